//! A message as it goes over the wire (RFC 5322).

use core::fmt;
use core::time::Duration;
use std::time::SystemTime;

use lettre::Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0};
use lettre::message::{Mailbox, Message as Mime};
use mfa_core::{FieldError, Message, NotDelivered, Timestamp};
use zeroize::Zeroizing;

use crate::address::Email;
use crate::text::SiteName;

/// Who sends.
pub(super) struct Sender {
    mailbox: Mailbox,
    email: Email,
}

/// A message to one recipient, ready to send.
pub(super) struct Mail {
    pub(super) from: Address,
    pub(super) to: Address,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

impl Sender {
    pub(super) fn new(email: Email, name: Option<SiteName>) -> Result<Self, FieldError> {
        let address = address(&email).ok_or_else(|| {
            FieldError::new("smtp.from", "invalid", "must be an address that can be written in a header")
        })?;
        let name = name.map(|name| name.as_str().to_owned());
        Ok(Self { mailbox: Mailbox::new(name, address), email })
    }

    /// Writes a message. `id` has letters, digits, `-` and `_` alone. `None` if a mail server could
    /// take the address or the subject for something else.
    pub(super) fn mail(
        &self,
        message: &Message,
        id: Option<&str>,
        now: Timestamp,
    ) -> Result<Mail, NotDelivered> {
        // Another channel may reach who has such an address. What else is wrong, is wrong with us.
        let to = recipient(message.to.expose_secret()).ok_or(NotDelivered::Permanent)?;
        let date = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(now.unix_seconds()));
        let date = date.ok_or(NotDelivered::Temporary)?;
        let mut mime = Mime::builder()
            .date(date)
            .from(self.mailbox.clone())
            .to(Mailbox::new(None, to.clone()))
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ))
            .header(MIME_VERSION_1_0)
            .header(ContentType::TEXT_PLAIN);
        if let Some(subject) = &message.subject {
            // A line break would begin another header; a subject with one is of no text of ours.
            if subject.chars().any(char::is_control) {
                return Err(NotDelivered::Temporary);
            }
            mime = mime.subject(subject.as_str());
        }
        if let Some(id) = id {
            mime = mime.message_id(Some(format!("<{id}@{}>", self.email.domain())));
        }
        let mime = mime.body(message.body.expose_secret().to_owned());
        let mime = mime.map_err(|_| NotDelivered::Temporary)?;
        Ok(Mail { from: self.mailbox.email.clone(), to, bytes: Zeroizing::new(mime.formatted()) })
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender").field(&self.email.domain()).finish()
    }
}

/// Codes go to canonical addresses. Notices go to contacts as the host has them, which may be of a kind that we do not
/// enrol: a quoted local part (RFC 5321 §4.1.2), a host of one label.
fn recipient(text: &str) -> Option<Address> {
    if let Ok(email) = Email::parse(text) {
        return address(&email);
    }
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>'));
    if is_plain { text.parse().ok() } else { None }
}

fn address(email: &Email) -> Option<Address> {
    email.as_str().parse().ok()
}
