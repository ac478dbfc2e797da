//! Verifies time-based one-time passwords so that each code is accepted once, and enrols the
//! authenticator apps that show them.
//!
//! ```
//! use mfa_totp::{Match, OtpauthUri, Parameters, TotpSecret, Window, code_at, matching_step};
//!
//! // Enrolment: 20 bytes from the operating system's random source, shown once as a QR code.
//! # let entropy = *b"12345678901234567890";
//! let secret = TotpSecret::from_entropy(entropy);
//! let uri = OtpauthUri::new("Example", "ann@example.com", secret, Parameters::default())?;
//! let picture = uri.to_qr_svg()?;
//! # drop(picture);
//!
//! // Login: the app and the verifier compute the same code; the used step is kept.
//! let (secret, parameters, now) = (uri.secret(), uri.parameters(), 1_700_000_000);
//! let typed = code_at(secret, parameters, now);
//! let first =
//!     matching_step(secret, parameters, Window::default(), now, None, typed.expose_secret());
//! let Match::Accepted(step) = first else { panic!("the code is right") };
//!
//! // The same code a second time.
//! let again =
//!     matching_step(secret, parameters, Window::default(), now, Some(step), typed.expose_secret());
//! assert_eq!(again, Match::Replayed);
//! # Ok::<(), mfa_totp::Error>(())
//! ```
//!
//! # What it does not do
//!
//! * It reads no clock, draws no randomness and stores nothing: time, entropy and the last used step
//!   are arguments.
//! * It counts no failures. Three of a million codes are right at any time, so a caller of
//!   [`matching_step`] must limit the tries.
//! * It does not normalise codes. Spaces, dashes and full-width digits are mapped before it is asked.
//! * Counter-based codes (`hotp`), Steam's letters and `otpauth-migration` links are not supported.
//!
//! # Concepts
//!
//! ```text
//! TotpSecret ─┬─ Parameters ─── OtpauthUri ──► to_uri · to_qr_svg · to_qr_text   (enrolment)
//!             │                     ▲── parse                                    (import)
//!             └─ Parameters ─┬─ code_at(time)                      ──► Code
//!                            └─ matching_step(Window, time, used)  ──► Accepted(step) | Replayed | NoMatch
//! ```
//!
//! Codes follow RFC 6238 on RFC 4226, computed by the crate `totp-rs`. [`Parameters`] are what the app
//! and the verifier agree on; their default is what every app supports. A [`Window`] is how far their
//! clocks may differ: one step each way unless host code says otherwise.
//!
//! # Security
//!
//! * Store the step of [`Match::Accepted`] in the same atomic write that makes the answer count.
//! * Secrets, codes, URIs and pictures are wiped when dropped and redacted in `Debug`; errors name
//!   the field and the limit, never the value. [`OtpauthUri::to_qr_svg`] says where copies remain.
//! * A code is compared in constant time with the steps of the window up to the one it is right for, a
//!   wrong one with all of them.
//! * A code is not resistant to phishing (SP 800-63B-4 §3.2.5): a false page can pass it on.

mod algorithm;
mod base32;
mod error;
mod parameters;
mod percent;
mod provider;
mod qr;
mod secret;
mod unlock;
mod uri;

pub use algorithm::{Code, Match, code_at, matching_step, parse_code};
pub use error::Error;
pub use mfa_core::SecretText;
pub use parameters::{Algorithm, Digits, Parameters, Period, Window};
pub use provider::{Totp, TotpKey, UsedStep};
pub use qr::Background;
pub use secret::TotpSecret;
pub use unlock::matching_run;
pub use uri::OtpauthUri;
