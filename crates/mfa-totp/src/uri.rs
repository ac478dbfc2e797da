//! The `otpauth` URI that a QR code carries to an authenticator app.

mod parse;

use core::fmt;

use zeroize::Zeroizing;

use crate::{Error, Parameters, TotpSecret, base32, percent};
use mfa_core::SecretText;

/// An authenticator's enrolment as an `otpauth` URI, in the form that authenticator apps read:
/// `otpauth://totp/Issuer:account?secret=BASE32&issuer=Issuer&algorithm=SHA1&digits=6&period=30`
/// (Google Authenticator, "Key URI Format").
///
/// The issuer is the service's name and the account label the user's name in it; the app shows both.
/// `Debug` shows neither the secret nor the label.
///
/// ```
/// use mfa_totp::{OtpauthUri, Parameters, TotpSecret};
///
/// let secret = TotpSecret::from_bytes(b"12345678901234567890")?;
/// let uri = OtpauthUri::new("Example Ltd", "ann@example.com", secret, Parameters::default())?;
/// assert_eq!(
///     uri.to_uri().expose_secret(),
///     "otpauth://totp/Example%20Ltd:ann%40example.com\
///      ?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Example%20Ltd\
///      &algorithm=SHA1&digits=6&period=30"
/// );
///
/// // A colon would end the issuer too early.
/// let secret = TotpSecret::from_bytes(b"12345678901234567890")?;
/// let error = OtpauthUri::new("Example: Ltd", "ann", secret, Parameters::default()).unwrap_err();
/// assert_eq!(error.code(), "invalid_issuer");
/// # Ok::<(), mfa_totp::Error>(())
/// ```
pub struct OtpauthUri {
    issuer: Option<String>,
    account: String,
    secret: TotpSecret,
    parameters: Parameters,
}

impl OtpauthUri {
    /// The longest issuer, in bytes of UTF-8.
    pub const MAX_ISSUER_BYTES: usize = 128;
    /// The longest account label, in bytes of UTF-8.
    pub const MAX_ACCOUNT_BYTES: usize = 256;
    /// The longest URI that [`parse`](Self::parse) reads, in bytes. Every URI that
    /// [`to_uri`](Self::to_uri) writes is shorter.
    pub const MAX_URI_BYTES: usize = 2048;

    /// Returns the URI of a new enrolment.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidIssuer`] or [`Error::InvalidLabel`] if the text is empty, over its limit, has
    /// a colon or a control character, or begins or ends with white space.
    pub fn new(
        issuer: &str,
        account: &str,
        secret: TotpSecret,
        parameters: Parameters,
    ) -> Result<Self, Error> {
        check_issuer(issuer)?;
        check_account(account)?;
        Ok(Self { issuer: Some(issuer.to_owned()), account: account.to_owned(), secret, parameters })
    }

    /// Reads a URI that another system made, to import its enrolment.
    ///
    /// Accepted: a scheme and type in any case, a missing issuer or issuer prefix, missing
    /// `algorithm`, `digits` and `period` (SHA-1, 6, 30 seconds), an encoded colon in the label,
    /// spaces before the account, `+` for a space in the query, and the secret's forms of
    /// [`TotpSecret::from_base32`]. Unknown parameters are ignored.
    ///
    /// ```
    /// use mfa_totp::OtpauthUri;
    ///
    /// let uri = OtpauthUri::parse("otpauth://totp/ann?secret=gezdgnbvgy3tqojqgezdgnbvgy3tqojq")?;
    /// assert_eq!(uri.account(), "ann");
    /// assert_eq!(uri.issuer(), None);
    ///
    /// let error = OtpauthUri::parse("otpauth://hotp/ann?secret=GEZDGNBVGY3TQOJQ&counter=0");
    /// assert_eq!(error.unwrap_err().code(), "unsupported_type");
    /// # Ok::<(), mfa_totp::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// * [`Error::InvalidUri`] over 2,048 bytes, for another scheme or type, for user names, ports
    ///   and fragments, and for a broken percent-encoding
    /// * [`Error::UnsupportedType`] for `hotp`
    /// * [`Error::DuplicateParameter`] if a known parameter is given twice
    /// * [`Error::IssuerMismatch`] if the label's issuer is not the parameter's
    /// * [`Error::MissingSecret`], and what [`TotpSecret::from_base32`] answers
    /// * [`Error::InvalidIssuer`], [`Error::InvalidLabel`], [`Error::InvalidAlgorithm`],
    ///   [`Error::InvalidDigits`], [`Error::InvalidPeriod`] for a value out of its limits
    pub fn parse(uri: &str) -> Result<Self, Error> {
        parse::parse(uri)
    }

    /// Returns the URI, percent-encoded throughout.
    ///
    /// Algorithm, digits and period are always written, default or not.
    #[must_use]
    pub fn to_uri(&self) -> SecretText {
        // invariant: no growing, which would leave copies of the secret behind. An encoded byte
        // takes three characters, the issuer is written twice, the fixed parts take under 100.
        let issuer = self.issuer.as_deref().unwrap_or_default();
        let capacity = issuer
            .len()
            .saturating_mul(6)
            .saturating_add(self.account.len().saturating_mul(3))
            .saturating_add(base32::encoded_len(self.secret.expose_secret().len()))
            .saturating_add(100);
        let mut uri = Zeroizing::new(String::with_capacity(capacity));

        uri.push_str("otpauth://totp/");
        if let Some(issuer) = &self.issuer {
            percent::encode_into(&mut uri, issuer);
            uri.push(':');
        }
        percent::encode_into(&mut uri, &self.account);
        uri.push_str("?secret=");
        uri.push_str(self.secret.to_base32().expose_secret());
        if let Some(issuer) = &self.issuer {
            uri.push_str("&issuer=");
            percent::encode_into(&mut uri, issuer);
        }
        uri.push_str("&algorithm=");
        uri.push_str(self.parameters.algorithm.as_str());
        uri.push_str("&digits=");
        uri.push_str(&self.parameters.digits.to_string());
        uri.push_str("&period=");
        uri.push_str(&self.parameters.period.to_string());
        SecretText::from(uri)
    }

    /// Returns the issuer; an imported URI may have none.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Returns the account label, without the issuer.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// Returns the secret.
    #[must_use]
    pub const fn secret(&self) -> &TotpSecret {
        &self.secret
    }

    /// Returns the secret by value.
    #[must_use]
    pub fn into_secret(self) -> TotpSecret {
        self.secret
    }

    /// Returns algorithm, digits and period.
    #[must_use]
    pub const fn parameters(&self) -> Parameters {
        self.parameters
    }
}

impl fmt::Debug for OtpauthUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtpauthUri")
            .field("issuer", &self.issuer)
            .field("account", &format_args!("[redacted]"))
            .field("secret", &self.secret)
            .field("parameters", &self.parameters)
            .finish()
    }
}

fn check_issuer(issuer: &str) -> Result<(), Error> {
    check_text(issuer, OtpauthUri::MAX_ISSUER_BYTES).map_err(|reason| Error::InvalidIssuer { reason })
}

fn check_account(account: &str) -> Result<(), Error> {
    check_text(account, OtpauthUri::MAX_ACCOUNT_BYTES).map_err(|reason| Error::InvalidLabel { reason })
}

fn check_text(text: &str, max_bytes: usize) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("is empty");
    }
    if text.len() > max_bytes {
        return Err("is too long");
    }
    if text.contains(':') {
        return Err("has a colon");
    }
    if text.contains(char::is_control) {
        return Err("has a control character");
    }
    if text.trim() != text {
        return Err("begins or ends with white space");
    }
    Ok(())
}
