//! The table of texts.

use core::time::Duration;
use std::collections::BTreeMap;

use mfa_core::{FieldError, Message, SecretText};
use zeroize::Zeroizing;

use super::template::{Piece, Place, Template};
use super::{Form, Occasion, Secret, SiteName, TextKey, english};
use crate::address::{Destination, Domain, Medium};

/// The texts of a site, in English and in the languages that the host adds.
///
/// ```
/// use core::time::Duration;
/// use mfa_otp_delivery::address::{Destination, Domain, Medium, Phone};
/// use mfa_otp_delivery::text::{Code, Form, Occasion, Secret, SiteName, TextKey, Texts};
///
/// let key = TextKey::new(Medium::Sms, Form::Code, Occasion::SignIn);
/// let texts = Texts::builder(SiteName::parse("Acme")?, Domain::parse("login.acme.example")?);
/// let texts = texts.text("de", key, None, "{code} ist Ihr Code für {site}.").build()?;
///
/// let (phone, code) = (Phone::parse("+4915123456789", None)?, Code::parse("012345")?);
/// let life = Duration::from_secs(120);
/// let (to, secret) = (Destination::Sms(&phone), Secret::Code(&code));
/// let message = texts.message(to, Occasion::SignIn, secret, life, Some("de-AT"));
/// // The last line lets browsers offer the code on this site, and on no other.
/// assert_eq!(message.body.expose_secret(), "012345 ist Ihr Code für Acme.\n\n@login.acme.example #012345");
///
/// // A text without its code would be of no use.
/// let texts = Texts::builder(SiteName::parse("Acme")?, Domain::parse("login.acme.example")?);
/// let error = texts.text("de", key, None, "Willkommen").build().unwrap_err();
/// assert_eq!(error.to_string(), "texts.sms.code.sign_in.body must hold {code} exactly once");
/// # Ok::<(), mfa_core::FieldError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Texts {
    site: SiteName,
    domain: Domain,
    /// By language, in lower case; the default is the empty one and has every key.
    templates: BTreeMap<(String, TextKey), Template>,
}

impl Texts {
    /// Takes the site's name and the domain on which codes are typed; browsers compare it with the page's.
    pub const fn builder(site: SiteName, domain: Domain) -> TextsBuilder {
        TextsBuilder { site, domain, given: Vec::new() }
    }

    /// Writes a message. It has no id; its sender gives it one.
    ///
    /// `life` is how long the secret works, and is told in whole minutes, rounded down, at least one. `language` is a
    /// tag of BCP 47 that the host chose; what it has no text for is looked for under shorter tags (RFC 4647 §3.4),
    /// then in the host's texts without a language and in English.
    ///
    /// A code by SMS ends in the line `@domain #code`, whatever the template says ("Origin-bound one-time codes
    /// delivered via SMS", WICG).
    #[must_use]
    pub fn message(
        &self,
        to: Destination<'_>,
        occasion: Occasion,
        secret: Secret<'_>,
        life: Duration,
        language: Option<&str>,
    ) -> Message {
        let key = TextKey { medium: to.medium(), form: secret.form(), occasion };
        let minutes = (life.as_secs() / 60).max(1).to_string();
        let fill = Fill { site: self.site.as_str(), minutes: &minutes, secret: secret.expose_secret() };
        let (subject, mut pieces) = match self.template(key, language) {
            Some(template) => (
                template.subject.as_ref().map(|pieces| fill.text(pieces)),
                template.body.iter().map(|piece| fill.piece(piece)).collect::<Vec<_>>(),
            ),
            // invariant: the builder put every key under the empty language.
            None => (None, vec![fill.secret]),
        };
        if key.medium == Medium::Sms && key.form == Form::Code {
            pieces.extend(["\n\n@", self.domain.as_str(), " #", fill.secret]);
        }
        Message::new(to.canonical(), subject, written(&pieces)).over(to.medium().channel())
    }

    fn template(&self, key: TextKey, language: Option<&str>) -> Option<&Template> {
        let given = language.unwrap_or_default().to_ascii_lowercase();
        let mut tag = given.as_str();
        loop {
            let found = self.templates.get(&(tag.to_owned(), key));
            if found.is_some() || tag.is_empty() {
                return found;
            }
            tag = tag.rsplit_once('-').map_or("", |(shorter, _)| shorter);
        }
    }
}

/// Gathers the host's texts.
#[derive(Clone, Debug)]
#[must_use]
pub struct TextsBuilder {
    site: SiteName,
    domain: Domain,
    given: Vec<Given>,
}

#[derive(Clone, Debug)]
struct Given {
    language: String,
    key: TextKey,
    subject: Option<String>,
    body: String,
}

impl TextsBuilder {
    /// Sets the text of `key` in `language`, a tag such as `de` or `pt-BR`; the empty tag replaces the English one.
    ///
    /// Subject and body may hold `{site}` and `{minutes}`; the body holds `{code}` or `{link}`, after the key's form,
    /// exactly once. An e-mail has a subject of 1 to 120 characters, a text message has none. A body has 1 to 2,000
    /// characters, and no control characters but line feeds.
    pub fn text(mut self, language: &str, key: TextKey, subject: Option<&str>, body: &str) -> Self {
        let subject = subject.map(str::to_owned);
        self.given.push(Given { language: language.to_owned(), key, subject, body: body.to_owned() });
        self
    }

    /// Checks every text.
    ///
    /// # Errors
    /// [`FieldError`] of the first text that does not fit, under `texts.<key>.subject` or `texts.<key>.body`, or of
    /// `texts.language`.
    pub fn build(self) -> Result<Texts, FieldError> {
        let Self { site, domain, given } = self;
        let mut templates = BTreeMap::new();
        for key in TextKey::all() {
            let (subject, body) = english::text(key);
            templates.insert((String::new(), key), Template::parse(key, subject, body)?);
        }
        for Given { language, key, subject, body } in given {
            if language.len() > 35
                || !language.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            {
                let problem = "must be a language tag of letters, digits and hyphens, or empty";
                return Err(FieldError::new("texts.language", "invalid", problem));
            }
            let template = Template::parse(key, subject.as_deref(), &body)?;
            templates.insert((language.to_ascii_lowercase(), key), template);
        }
        Ok(Texts { site, domain, templates })
    }
}

/// What the places of a template are filled with.
struct Fill<'a> {
    site: &'a str,
    minutes: &'a str,
    secret: &'a str,
}

impl<'a> Fill<'a> {
    fn piece(&self, piece: &'a Piece) -> &'a str {
        match piece {
            Piece::Text(text) => text,
            Piece::Place(Place::Secret) => self.secret,
            Piece::Place(Place::Minutes) => self.minutes,
            Piece::Place(Place::Site) => self.site,
        }
    }

    fn text(&self, pieces: &'a [Piece]) -> String {
        pieces.iter().map(|piece| self.piece(piece)).collect()
    }
}

/// Joins the pieces into a buffer that does not grow, so that no copy of the secret stays behind.
fn written(pieces: &[&str]) -> SecretText {
    let bytes = pieces.iter().map(|piece| piece.len()).fold(0, usize::saturating_add);
    let mut text = Zeroizing::new(String::with_capacity(bytes));
    for piece in pieces {
        text.push_str(piece);
    }
    text.into()
}
