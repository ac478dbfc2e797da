//! Where a user can be told of what happens to their account.

use core::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::keyring::{Label, Sealed};
use crate::{Channel, CodecError, Draw, Error, FieldError, KeyRing, SecretText, secret};

/// The most contacts of a user.
pub(crate) const MAX_CONTACTS: usize = 8;
/// The longest address, in bytes (RFC 5321 §4.5.3.1.3 allows 254 characters).
const MAX_ADDRESS_BYTES: usize = 254;

/// An address or number of a user, as the host's user row has it. `Debug` leaves the address out.
///
/// ```
/// use mfa_core::Contact;
/// let mail = Contact::email("bob@acme.example").unwrap().verified();
/// assert!(mail.is_verified());
/// assert_eq!(Contact::email("bob\r\nBcc: eve@evil.example").unwrap_err().code, "invalid");
/// ```
///
/// What is read with serde from a format that people write, such as JSON, is checked as by [`Contact::email`] and
/// [`Contact::phone`], and is not verified whatever it says: who sends a contact has not shown to own it. In other
/// formats it is what a host's own records hold, the mark with it.
///
/// ```
/// # use mfa_core::Contact;
/// let sent = r#"{"channel": "Email", "address": "bob@acme.example", "verified": true}"#;
/// assert!(!serde_json::from_str::<Contact>(sent)?.is_verified());
/// assert!(serde_json::from_str::<Contact>(r#"{"channel": "Email", "address": "bob"}"#).is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone)]
pub struct Contact {
    channel: Channel,
    address: SecretText,
    verified: bool,
}

impl Contact {
    /// Takes an e-mail address, in the host's canonical form. Not verified yet.
    ///
    /// # Errors
    /// [`FieldError`] unless it is 3 to 254 bytes with one `@` inside, without spaces and control characters.
    pub fn email(address: impl Into<String>) -> Result<Self, FieldError> {
        let address = checked("contact.email", address.into())?;
        let parts = address.expose_secret().split_once('@');
        if parts.is_none_or(|(local, domain)| local.is_empty() || domain.is_empty() || domain.contains('@')) {
            return Err(FieldError::new("contact.email", "invalid", "must have one @ inside"));
        }
        Ok(Self { channel: Channel::Email, address, verified: false })
    }

    /// Takes a telephone number in the form of E.164: `+` and 7 to 15 digits, the first no zero. Not verified yet.
    ///
    /// # Errors
    /// [`FieldError`] for any other form.
    pub fn phone(number: impl Into<String>) -> Result<Self, FieldError> {
        let number = checked("contact.phone", number.into())?;
        let digits = number.expose_secret().strip_prefix('+').unwrap_or_default();
        let is_number = (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if !is_number || digits.starts_with('0') {
            let problem = "must be + and 7 to 15 digits, the first no zero (E.164)";
            return Err(FieldError::new("contact.phone", "invalid", problem));
        }
        Ok(Self { channel: Channel::Phone, address: number, verified: false })
    }

    /// Marks the contact as verified: its owner has shown that messages arrive.
    #[must_use]
    pub const fn verified(mut self) -> Self {
        self.verified = true;
        self
    }

    /// Returns whether it is verified.
    #[must_use]
    pub const fn is_verified(&self) -> bool {
        self.verified
    }

    /// Returns the channel: e-mail or telephone.
    #[must_use]
    pub const fn channel(&self) -> Channel {
        self.channel
    }

    /// Returns the address or number.
    #[must_use]
    pub const fn address(&self) -> &SecretText {
        &self.address
    }
}

/// The form for serde. In postcard its bytes are those of stored records.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Contact")]
struct Parts {
    channel: Channel,
    #[serde(with = "secret::kept::text")]
    address: SecretText,
    #[serde(default)]
    verified: bool,
}

impl Serialize for Contact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { channel, address, verified } = self.clone();
        Parts { channel, address, verified }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Contact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let is_typed = deserializer.is_human_readable();
        let Parts { channel, address, verified } = Parts::deserialize(deserializer)?;
        if !is_typed {
            return Ok(Self { channel, address, verified });
        }
        match channel {
            Channel::Email => Self::email(address.expose_secret()),
            Channel::Phone => Self::phone(address.expose_secret()),
            _ => Err(FieldError::new("contact.channel", "invalid", "must be Email or Phone")),
        }
        .map_err(D::Error::custom)
    }
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channel, address: _, verified } = self;
        f.debug_struct("Contact")
            .field("channel", channel)
            .field("verified", verified)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Contact {
    /// Addresses are personal, not secret keys: they are compared as text.
    fn eq(&self, other: &Self) -> bool {
        (self.channel, self.verified) == (other.channel, other.verified)
            && self.address.expose_secret() == other.address.expose_secret()
    }
}

impl Eq for Contact {}

/// Seals contacts under a label and for a place of the caller's.
pub(crate) fn seal(
    ring: &KeyRing,
    label: Label,
    context: &[&[u8]],
    contacts: &[Contact],
    draw: &mut Draw,
) -> Result<Sealed, Error> {
    let plain = zeroize::Zeroizing::new(postcard::to_allocvec(contacts).map_err(|_| CodecError::Malformed)?);
    Ok(ring.seal(label, context, draw.take()?, &plain)?)
}

/// Opens what [`seal`] made under the same label and for the same place.
pub(crate) fn open(
    ring: &KeyRing,
    label: Label,
    context: &[&[u8]],
    sealed: &Sealed,
) -> Result<Vec<Contact>, Error> {
    let plain = ring.open(label, context, sealed)?;
    postcard::from_bytes(plain.expose_secret()).map_err(|_| CodecError::Malformed.into())
}

fn checked(field: &'static str, text: String) -> Result<SecretText, FieldError> {
    if !(3..=MAX_ADDRESS_BYTES).contains(&text.len()) {
        let problem = format!("has {} bytes, not 3 to {MAX_ADDRESS_BYTES}", text.len());
        return Err(FieldError::new(field, "length", problem));
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(FieldError::new(field, "invalid", "holds a space or a control character"));
    }
    Ok(SecretText::new(text))
}
