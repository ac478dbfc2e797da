//! What can be wrong with the input of this crate.

use crate::{Digits, Period, TotpSecret, Window, uri};

/// Says which input was refused, and by which limit.
///
/// No variant carries the refused value: it may be, or may contain, a secret.
///
/// ```
/// use mfa_totp::TotpSecret;
///
/// let error = TotpSecret::from_bytes(&[0; 15]).unwrap_err();
/// assert_eq!(error.code(), "weak_secret");
/// assert_eq!(error.to_string(), "secret is shorter than 16 bytes (128 bits)");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The secret has fewer than 16 bytes (RFC 4226 §4, requirement R6).
    #[error("secret is shorter than {} bytes (128 bits)", TotpSecret::MIN_BYTES)]
    WeakSecret,
    /// The secret has more than 128 bytes.
    #[error("secret is longer than {} bytes", TotpSecret::MAX_BYTES)]
    SecretTooLong,
    /// The secret's text is not base32 (RFC 4648 §6).
    #[error("secret is not base32: {reason}")]
    InvalidBase32 {
        /// The rule that was broken.
        reason: &'static str,
    },
    /// The text is not an `otpauth` URI.
    #[error("uri is not a valid otpauth uri: {reason}")]
    InvalidUri {
        /// The rule that was broken.
        reason: &'static str,
    },
    /// The URI is of the counter-based type `hotp`.
    #[error("uri is of type hotp, which is not supported: the type must be totp")]
    UnsupportedType,
    /// The URI gives a parameter twice.
    #[error("uri gives the parameter {parameter} more than once")]
    DuplicateParameter {
        /// The parameter's name.
        parameter: &'static str,
    },
    /// The URI has no `secret`.
    #[error("uri has no parameter secret")]
    MissingSecret,
    /// The issuer is empty, too long, or has a character that it must not have.
    #[error("issuer {reason} (limit {} bytes)", uri::OtpauthUri::MAX_ISSUER_BYTES)]
    InvalidIssuer {
        /// The rule that was broken.
        reason: &'static str,
    },
    /// The issuer in the URI's label and the one in its parameter differ.
    #[error("issuer in the label and issuer in the parameter differ")]
    IssuerMismatch,
    /// The account label is empty, too long, or has a character that it must not have.
    #[error("account label {reason} (limit {} bytes)", uri::OtpauthUri::MAX_ACCOUNT_BYTES)]
    InvalidLabel {
        /// The rule that was broken.
        reason: &'static str,
    },
    /// The number of digits is not 6, 7 or 8.
    #[error("digits must be {} to {}", Digits::MIN, Digits::MAX)]
    InvalidDigits,
    /// The period is out of range.
    #[error("period must be {} to {} seconds", Period::MIN_SECONDS, Period::MAX_SECONDS)]
    InvalidPeriod,
    /// The algorithm is unknown.
    #[error("algorithm must be SHA1, SHA256 or SHA512")]
    InvalidAlgorithm,
    /// The window reaches too far.
    #[error("window must be at most {} step back and {} ahead", Window::MAX_BACK, Window::MAX_AHEAD)]
    InvalidWindow,
    /// A code is not exactly the expected number of ASCII digits.
    #[error("code must be exactly {digits} ascii digits")]
    MalformedCode {
        /// How many digits were expected.
        digits: u8,
    },
    /// The URI does not fit into a QR code.
    #[error("uri does not fit into a qr code")]
    QrTooLarge,
}

impl Error {
    /// Returns the error's stable name, in lower case with underscores.
    ///
    /// Names are never changed or used again for something else; messages may change.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::WeakSecret => "weak_secret",
            Self::SecretTooLong => "secret_too_long",
            Self::InvalidBase32 { .. } => "invalid_base32",
            Self::InvalidUri { .. } => "invalid_uri",
            Self::UnsupportedType => "unsupported_type",
            Self::DuplicateParameter { .. } => "duplicate_parameter",
            Self::MissingSecret => "missing_secret",
            Self::InvalidIssuer { .. } => "invalid_issuer",
            Self::IssuerMismatch => "issuer_mismatch",
            Self::InvalidLabel { .. } => "invalid_label",
            Self::InvalidDigits => "invalid_digits",
            Self::InvalidPeriod => "invalid_period",
            Self::InvalidAlgorithm => "invalid_algorithm",
            Self::InvalidWindow => "invalid_window",
            Self::MalformedCode { .. } => "malformed_code",
            Self::QrTooLarge => "qr_too_large",
        }
    }
}
