//! Templates: text with places for arguments.

use mfa_core::FieldError;

use super::argument::breaks_line;
use super::{Form, TextKey};
use crate::address::Medium;

const MAX_SUBJECT_CHARS: usize = 120;
const MAX_BODY_CHARS: usize = 2_000;

/// A subject, where the medium has one, and a body.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub(super) subject: Option<Vec<Piece>>,
    pub(super) body: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Place(Place),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `{code}` or `{link}`, whichever the form has.
    Secret,
    Minutes,
    Site,
}

impl Template {
    pub(super) fn parse(key: TextKey, subject: Option<&str>, body: &str) -> Result<Self, FieldError> {
        let field = |part: &str| format!("texts.{key}.{part}");
        let subject = match (key.medium, subject) {
            (Medium::Email, Some(subject)) => Some(parse_subject(key, subject, field("subject"))?),
            (Medium::Email, None) => {
                return Err(FieldError::new(field("subject"), "required", "is missing: e-mails have one"));
            }
            (Medium::Sms, None) => None,
            (Medium::Sms, Some(_)) => {
                let problem = "must not be given: text messages have none";
                return Err(FieldError::new(field("subject"), "invalid", problem));
            }
        };
        Ok(Self { subject, body: parse_body(key, body, field("body"))? })
    }
}

/// A subject is one line, and holds no secret: it is shown on locked screens and written to logs.
fn parse_subject(key: TextKey, text: &str, field: String) -> Result<Vec<Piece>, FieldError> {
    check_length(text, MAX_SUBJECT_CHARS, &field)?;
    if text.chars().any(breaks_line) {
        let problem = "must be one line without control characters";
        return Err(FieldError::new(field, "invalid", problem));
    }
    let pieces = parse_pieces(key, text, &field)?;
    if pieces.contains(&Piece::Place(Place::Secret)) {
        return Err(FieldError::new(field, "invalid", "must not hold the code or link"));
    }
    Ok(pieces)
}

fn parse_body(key: TextKey, text: &str, field: String) -> Result<Vec<Piece>, FieldError> {
    check_length(text, MAX_BODY_CHARS, &field)?;
    if text.chars().any(|c| breaks_line(c) && c != '\n') {
        let problem = "must hold no control characters but line feeds";
        return Err(FieldError::new(field, "invalid", problem));
    }
    let pieces = parse_pieces(key, text, &field)?;
    if pieces.iter().filter(|piece| **piece == Piece::Place(Place::Secret)).count() != 1 {
        let problem = format!("must hold {{{}}} exactly once", key.form.code());
        return Err(FieldError::new(field, "invalid", problem));
    }
    Ok(pieces)
}

fn check_length(text: &str, most: usize, field: &str) -> Result<(), FieldError> {
    let chars = text.chars().count();
    if (1..=most).contains(&chars) {
        return Ok(());
    }
    Err(FieldError::new(field, "length", format!("has {chars} characters, not 1 to {most}")))
}

fn parse_pieces(key: TextKey, text: &str, field: &str) -> Result<Vec<Piece>, FieldError> {
    let unknown = || {
        let problem =
            format!("may hold {{{}}}, {{minutes}} and {{site}}, and no other brace", key.form.code());
        FieldError::new(field, "invalid", problem)
    };
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once('{') {
        let (name, following) = after.split_once('}').ok_or_else(unknown)?;
        let place = match (name, key.form) {
            ("code", Form::Code) | ("link", Form::Link) => Place::Secret,
            ("minutes", _) => Place::Minutes,
            ("site", _) => Place::Site,
            _ => return Err(unknown()),
        };
        push_text(&mut pieces, before);
        pieces.push(Piece::Place(place));
        rest = following;
    }
    push_text(&mut pieces, rest);
    if pieces.iter().any(|piece| matches!(piece, Piece::Text(text) if text.contains('}'))) {
        return Err(unknown());
    }
    Ok(pieces)
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}
