//! Telephone numbers.

use core::fmt;

use mfa_core::{Contact, FieldError};
use phonenumber::{Mode, country};

use super::plan;

/// The most bytes of a number as people write it.
const MAX_GIVEN_BYTES: usize = 40;
const FIELD: &str = "contact.phone";

/// A telephone number that its numbering plan knows, in the form of E.164: `+`, a digit from 1 to 9, and 6 to 14 more.
/// `Debug` shows the masked form.
///
/// ```
/// use mfa_otp_delivery::address::{LineType, Phone, Region};
/// let german = Phone::parse("0151 2345 6789", Some(Region::parse("DE")?))?;
/// assert_eq!(german.as_str(), "+4915123456789");
/// assert_eq!(german.line(), LineType::Mobile);
/// assert_eq!(german.masked(), "…6789");
/// // Without a home region a number needs its country code.
/// assert_eq!(Phone::parse("0151 2345 6789", None).unwrap_err().code, "invalid");
/// # Ok::<(), mfa_core::FieldError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Phone {
    text: String,
    region: Option<Region>,
    line: LineType,
}

/// A country or territory with numbers of its own, by its code of ISO 3166-1 alpha-2.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region([u8; 2]);

/// What is at the end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LineType {
    /// A mobile phone.
    Mobile,
    /// A fixed line.
    FixedLine,
    /// One of the two: the numbering plan, such as that of North America, does not tell them apart.
    FixedOrMobile,
    /// Telephony over IP.
    Voip,
    /// Costs more than a call: premium and shared-cost numbers, and personal ones, which are forwarded at a price.
    Premium,
    /// Nothing is known, or something that takes no messages, such as a toll-free number.
    Unknown,
}

impl Phone {
    /// Takes a number as people write it: digits, with spaces, `-`, `.`, `/` and brackets between them. Without a
    /// leading `+` it is read as one of `home`.
    ///
    /// # Errors
    /// [`FieldError`] of the field `contact.phone`, `invalid`, unless the numbering plan of its country has it.
    pub fn parse(text: &str, home: Option<Region>) -> Result<Self, FieldError> {
        let invalid = |problem| FieldError::new(FIELD, "invalid", problem);
        if text.len() > MAX_GIVEN_BYTES || !text.char_indices().all(|(at, c)| is_written_in_numbers(at, c)) {
            return Err(invalid("must be a telephone number: digits, spaces and -./() after an optional +"));
        }
        if home.is_none() && !text.starts_with('+') {
            return Err(invalid("must begin with + and the country code"));
        }
        let unknown = || invalid("must be a number that its country's numbering plan has");
        let number = phonenumber::parse(home.and_then(|home| home.id()), text).map_err(|_| unknown())?;
        let text = number.format().mode(Mode::E164).to_string();
        if !is_e164(&text) {
            return Err(unknown());
        }
        let (region, line) = plan::look_up(&number).ok_or_else(unknown)?;
        Ok(Self { text, region, line })
    }

    /// Returns the number in the form of E.164.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the region; `None` for numbers that belong to none, such as those of satellite networks.
    #[must_use]
    pub const fn region(&self) -> Option<Region> {
        self.region
    }

    /// Returns what the numbering plan says of the line. Numbers move between networks, so a host may know better:
    /// see [`SmsRules::with_line_types`](crate::select::SmsRules::with_line_types).
    #[must_use]
    pub const fn line(&self) -> LineType {
        self.line
    }

    /// Returns the form for people: the last four digits; the last two of a number with less than ten.
    #[must_use]
    pub fn masked(&self) -> String {
        let shown = if self.text.len() > 10 { 4 } else { 2 };
        format!("…{}", self.text.get(self.text.len().saturating_sub(shown)..).unwrap_or_default())
    }

    /// Returns it as a contact, not verified yet.
    ///
    /// # Errors
    /// [`FieldError`] never for a canonical number; the contact's own rules have the last word.
    pub fn contact(&self) -> Result<Contact, FieldError> {
        Contact::phone(self.as_str())
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text: _, region, line } = self;
        f.debug_struct("Phone")
            .field("number", &self.masked())
            .field("region", region)
            .field("line", line)
            .finish()
    }
}

impl Region {
    /// Takes a code of two capital letters, as in `DE`.
    ///
    /// # Errors
    /// [`FieldError`] of the field `region` if no region with numbers has it.
    pub fn parse(code: &str) -> Result<Self, FieldError> {
        match (code.as_bytes(), code.parse::<country::Id>()) {
            (&[a, b], Ok(_)) => Ok(Self([a, b])),
            _ => {
                let problem = "must be a region of ISO 3166-1 with telephone numbers, as two capital letters";
                Err(FieldError::new("region", "invalid", problem))
            }
        }
    }

    /// Returns the two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }

    fn id(self) -> Option<country::Id> {
        self.as_str().parse().ok()
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl LineType {
    /// Returns the stable name, as in `mobile`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Mobile => "mobile",
            Self::FixedLine => "fixed_line",
            Self::FixedOrMobile => "fixed_or_mobile",
            Self::Voip => "voip",
            Self::Premium => "premium",
            Self::Unknown => "unknown",
        }
    }
}

/// Letters, extensions and other scripts' digits are not: they mean different things to different programs.
const fn is_written_in_numbers(at: usize, c: char) -> bool {
    match c {
        '0'..='9' | '(' => true,
        '+' => at == 0,
        ' ' | '-' | '.' | '/' | ')' => at > 0,
        _ => false,
    }
}

/// `^\+[1-9]\d{6,14}$`.
fn is_e164(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else { return false };
    (7..=15).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0')
}
