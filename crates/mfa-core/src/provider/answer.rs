//! What a user answers, and how codes are normalised.

use core::fmt;

use serde_json::Value;

use super::ProviderError;
use crate::{FieldError, SecretText};

/// The longest text of an answer, in bytes; longer text is malformed.
const MAX_ANSWER_BYTES: usize = 4096;

/// What a user answered. It names its kind: a code is never tried as anything else.
///
/// ```
/// use mfa_core::{Answer, AnswerKind};
/// let answer = Answer::code(" 123-456 ");
/// assert_eq!(answer.kind(), AnswerKind::Code);
/// assert_eq!(answer.text().expose_secret(), "123456");
/// assert_eq!(format!("{answer:?}"), "Answer(Code)");
/// ```
#[derive(Clone)]
pub struct Answer {
    kind: AnswerKind,
    text: SecretText,
}

/// The kinds of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AnswerKind {
    /// A one-time code of digits.
    Code,
    /// A recovery code or key.
    Recovery,
    /// A bypass code of an administrator.
    Bypass,
    /// A provider's own reply, such as Duo's, as text.
    Reply,
}

impl Answer {
    /// Takes a one-time code as the user typed it and normalises it (see [`normalise_code`]).
    #[must_use]
    pub fn code(typed: &str) -> Self {
        Self { kind: AnswerKind::Code, text: SecretText::new(normalise_code(typed)) }
    }

    /// Takes a recovery code or key as the user typed it.
    #[must_use]
    pub fn recovery(typed: &str) -> Self {
        Self { kind: AnswerKind::Recovery, text: SecretText::new(cut(typed)) }
    }

    /// Takes a bypass code as the user typed it.
    #[must_use]
    pub fn bypass(typed: &str) -> Self {
        Self { kind: AnswerKind::Bypass, text: SecretText::new(cut(typed)) }
    }

    /// Takes a provider's own reply.
    #[must_use]
    pub fn reply(text: &str) -> Self {
        Self { kind: AnswerKind::Reply, text: SecretText::new(cut(text)) }
    }

    /// Returns what kind of answer it is.
    #[must_use]
    pub const fn kind(&self) -> AnswerKind {
        self.kind
    }

    /// Returns the text, normalised.
    #[must_use]
    pub const fn text(&self) -> &SecretText {
        &self.text
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Answer").field(&self.kind).finish()
    }
}

/// Normalises a typed code, once and for every use of it: white space is trimmed from its edges (dashes do not
/// hide it there), ASCII spaces and dashes dropped, full-width digits mapped to ASCII ones. Everything else is
/// kept and judged as it is, and normalising again changes nothing.
#[must_use]
pub fn normalise_code(typed: &str) -> String {
    let trimmed = cut(typed).trim_matches(|c: char| c.is_whitespace() || c == '-');
    let kept = trimmed.chars().filter(|c| *c != ' ' && *c != '-').map(|c| match c {
        '０'..='９' => char::from_digit((c as u32).saturating_sub('０' as u32), 10).unwrap_or(c),
        _ => c,
    });
    kept.collect()
}

/// Text past the limit becomes one character that no provider's form has: it is malformed, whatever it holds.
const fn cut(text: &str) -> &str {
    if text.len() <= MAX_ANSWER_BYTES { text } else { "\u{fffd}" }
}

/// What a user or a host chose when something begins: a document whose form the provider defines. It may
/// hold a secret, as when one is imported.
#[derive(Clone, Default)]
pub struct Choice(Value);

impl Choice {
    /// Chooses nothing.
    #[must_use]
    pub const fn none() -> Self {
        Self(Value::Null)
    }

    /// Takes a document.
    #[must_use]
    pub const fn new(document: Value) -> Self {
        Self(document)
    }

    /// Returns a text field; `None` where it is not there, or `null`.
    ///
    /// # Errors
    /// [`ProviderError::Invalid`] of code `type` if it is something else, or if the choice is no object: what was chosen
    /// is not left out in silence.
    pub fn text(&self, name: &str) -> Result<Option<&str>, ProviderError> {
        let wrong = |field: String, problem| ProviderError::Invalid(FieldError::new(field, "type", problem));
        match &self.0 {
            Value::Null => Ok(None),
            Value::Object(fields) => match fields.get(name) {
                None | Some(Value::Null) => Ok(None),
                Some(Value::String(text)) => Ok(Some(text)),
                Some(_) => Err(wrong(format!("choice.{name}"), "must be a string")),
            },
            _ => Err(wrong("choice".to_owned(), "must be an object")),
        }
    }

    /// Returns a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Returns whether nothing was chosen.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_null()
    }
}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_none() { "Choice(none)" } else { "Choice([redacted])" })
    }
}
