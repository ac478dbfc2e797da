//! Collecting what an event says.

use std::borrow::Cow;
use std::net::IpAddr;

use super::{Attempt, Core, Event, FORMAT, FORMAT_WITH_FLAGS, Personal, Stream, Text, hash_core};
use crate::{AuditError, EventId, Kind, Outcome, Scope, Timestamp, UserId};

/// The longest text of one field, in bytes; longer text is cut and ends in `…`.
const MAX_TEXT_BYTES: usize = 1024;
/// The most request headers one event keeps.
const MAX_HEADERS: usize = 16;
/// Stands where something was left out.
const MARK: char = '…';
const ALLOWED_HEADERS: [&str; 3] = ["user-agent", "host", "accept-language"];

/// Collects what an event says.
#[derive(Clone, Debug)]
#[must_use]
pub struct EventBuilder {
    core: Box<Core>,
    personal: Box<Personal>,
}

impl EventBuilder {
    /// Starts an event of `kind` that ended as `outcome` in `scope` at `at`.
    pub fn new(scope: Scope, kind: Kind, outcome: Outcome, at: Timestamp) -> Self {
        let core = Core {
            format: FORMAT,
            id: [0; 20],
            at,
            scope,
            kind: kind.number(),
            outcome: outcome.number(),
            module: None,
            reason: None,
            subject: None,
            actor: None,
            fields: Vec::new(),
            stream: None,
            attempt: None,
            commitment: None,
            hidden: false,
        };
        Self { core: Box::new(core), personal: Box::default() }
    }

    /// Returns when it happens.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.core.at
    }

    /// Sets the module that was logged in through.
    pub fn module(mut self, module: impl Into<Text>) -> Self {
        self.core.module = Some(clip(module.into()));
        self
    }

    /// Sets the stable reason.
    pub fn reason(mut self, reason: impl Into<Text>) -> Self {
        self.core.reason = Some(clip(reason.into()));
        self
    }

    /// Sets the id of the challenge (or other thing) it is about.
    pub fn subject(mut self, id: [u8; 16]) -> Self {
        self.core.subject = Some(id);
        self
    }

    /// Sets who did it, where it was not the user.
    pub fn actor(mut self, actor: impl Into<Text>) -> Self {
        self.core.actor = Some(clip(actor.into()));
        self
    }

    /// Adds a further field.
    pub fn field(mut self, name: &'static str, value: impl Into<Text>) -> Self {
        self.core.fields.push((Text::Borrowed(name), clip(value.into())));
        self
    }

    /// Sets the position in the stream of the record that the commit puts.
    pub fn stream(mut self, stream: Stream) -> Self {
        self.core.stream = Some(stream);
        self
    }

    /// Makes it a row of the attempts view.
    pub fn attempt(mut self, attempt: Attempt) -> Self {
        self.core.attempt = Some(Attempt {
            auth_type: clip(attempt.auth_type),
            message: clip(attempt.message),
            auth_config_origin: attempt.auth_config_origin.map(clip),
            mfa_config_origin: attempt.mfa_config_origin.map(clip),
        });
        self
    }

    /// Keeps the attempt out of the attempts view, for good: the account logs no attempts of this kind at this
    /// moment. The event is written all the same, and the view of all events has it. Without an attempt it
    /// changes nothing.
    pub fn hidden_from_attempts(mut self) -> Self {
        self.core.hidden = true;
        self
    }

    /// Sets the user it is about.
    pub fn user(mut self, user: UserId) -> Self {
        self.personal.user = Some(user);
        self
    }

    /// Sets the address the request came from; a mapped IPv4 address becomes IPv4.
    pub fn ip(mut self, ip: IpAddr) -> Self {
        self.personal.ip = Some(ip.to_canonical());
        self
    }

    /// Adds a request header. Names off the allow-list (`user-agent`, `host`, `accept-language`) are left out
    /// with their values: secrets travel in headers of any name. At most sixteen are kept; where there were
    /// more, the last one ends in `…`. Bytes that are not UTF-8 are given as [`String::from_utf8_lossy`] does.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let allowed = ALLOWED_HEADERS.iter().find(|allowed| allowed.eq_ignore_ascii_case(name));
        let Some(name) = allowed else { return self };
        if self.personal.headers.len() < MAX_HEADERS {
            // There are few, and they are kept.
            self.personal.headers.reserve_exact(1);
            self.personal.headers.push((Text::Borrowed(name), clipped(value).into_owned()));
        } else if let Some((_, last)) = self.personal.headers.last_mut().filter(|(_, v)| !v.ends_with(MARK)) {
            last.push(MARK);
        }
        self
    }

    /// Sets the host's id of the request.
    pub fn request_id(mut self, id: &str) -> Self {
        self.personal.request_id = Some(clipped(id).into_owned());
        self
    }

    /// Makes it an event of `kind` that says where, when, how and why, and about which challenge; the field `step` says
    /// which kind it would have been. Who it is about, where the request came from and every other field are dropped.
    pub fn stripped(self, kind: Kind) -> Self {
        let Core { at, scope, kind: was, outcome, module, reason, subject, .. } = *self.core;
        let step = Kind::from_number(was).map_or("", Kind::code);
        let mut stripped = Self::new(scope, kind, Outcome::Info, at).field("step", step);
        stripped.core.outcome = outcome;
        stripped.core.module = module;
        stripped.core.reason = reason;
        stripped.core.subject = subject;
        stripped
    }

    /// Ends the event under `id`, with `salt` for the commitment to its personal values. Both come from
    /// the operating system's random source; a salt is never used twice.
    ///
    /// # Errors
    /// [`AuditError::Invalid`] if the event cannot be encoded.
    pub fn build(mut self, id: EventId, salt: [u8; 16]) -> Result<Event, AuditError> {
        self.core.id = id.to_bytes();
        self.personal.salt = salt;
        self.core.commitment = self.personal.commitment();
        self.core.hidden &= self.core.attempt.is_some();
        self.core.format = if self.core.hidden { FORMAT_WITH_FLAGS } else { FORMAT };
        let hash = hash_core(&self.core.encode()?);
        let personal = self.core.commitment.is_some().then_some(self.personal);
        Ok(Event { core: self.core, personal, hash })
    }
}

fn clip(text: Text) -> Text {
    match clipped(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(clipped) => Text::Owned(clipped),
    }
}

/// Escapes control characters and cuts text past the limit, with a mark, so that nothing is dropped in silence.
fn clipped(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_TEXT_BYTES && !has_controls(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().min(MAX_TEXT_BYTES));
    for c in text.chars() {
        // invariant: what one turn adds, at most six bytes for `\u{9f}`, leaves room for the three of the mark.
        if out.len().saturating_add(9) > MAX_TEXT_BYTES {
            out.push(MARK);
            break;
        }
        if c.is_control() { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

fn has_controls(text: &str) -> bool {
    // Nearly all text is printable ASCII: one pass without a branch settles that.
    let is_plain = text.bytes().fold(true, |plain, byte| plain & (b' '..=b'~').contains(&byte));
    !is_plain && text.chars().any(char::is_control)
}
