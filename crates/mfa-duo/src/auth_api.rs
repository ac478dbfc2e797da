//! Duo's Auth API v2: the host draws its own prompt, and Duo sends pushes, calls, messages and checks passcodes.
//!
//! ```text
//! preauth ─► auth (a prompt is needed) ─► choose a device ─► auth (push, phone, passcode …) ─► auth_status …
//!         ├► allow · deny                                                                     └► allow · deny
//!         └► enroll ─► enroll, enroll_status
//! ```
//!
//! [`AuthApi`] turns a [`Call`] into a signed request and reads the reply; it sends nothing itself:
//!
//! ```
//! use mfa_core::{HttpReply, Timestamp};
//! use mfa_duo::auth_api::{AuthApi, Call, ClockOffset, FactorKind, Preauth, PreauthResult, User};
//! use mfa_duo::{ApiHost, IntegrationKey, SecretKey};
//!
//! let api = AuthApi::new(
//!     ApiHost::parse("api-xxxxxxxx.duosecurity.com")?,
//!     IntegrationKey::parse("DIXXXXXXXXXXXXXXXXXX")?,
//!     SecretKey::parse("deadbeefdeadbeefdeadbeefdeadbeefdeadbeef")?,
//! );
//! let call = Preauth::new(User::name("ann")?);
//! let now = Timestamp::from_unix_seconds(1_345_570_158)?;
//! let request = api.request(&call, now, ClockOffset::NONE)?;
//! assert_eq!(request.uri(), "https://api-xxxxxxxx.duosecurity.com/auth/v2/preauth");
//! assert_eq!(request.headers()["date"], "Tue, 21 Aug 2012 17:29:18 -0000");
//!
//! // What came back.
//! let body = br#"{"stat": "OK", "response": {"result": "auth", "status_msg": "Account is active", "devices":
//!     [{"device": "DPFZRS9FB0D46QFTM891", "type": "phone", "capabilities": ["push", "sms"]}]}}"#;
//! let reply = Preauth::parse(&HttpReply::new(body.to_vec()))?;
//! assert_eq!(reply.result, PreauthResult::Auth);
//! let offer = reply.devices.choose(&[FactorKind::Push, FactorKind::Sms]).unwrap();
//! assert_eq!(offer.kind(), FactorKind::Push);
//!
//! // And what comes back when the secret key is wrong.
//! let body = br#"{"stat": "FAIL", "code": 40103, "message": "Invalid signature in request credentials"}"#;
//! let refused = http::Response::builder().status(401).body(body.to_vec())?;
//! assert_eq!(Preauth::parse(&refused).unwrap_err().code(), "duo_invalid_signature");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Client`] is the driver over a host's [`HttpClient`](mfa_core::HttpClient): deadlines, back-off, the long poll.
//!
//! # Security
//!
//! * Only the result `allow` grants ([`AuthResult::granted`]); a result that this version does not know does not.
//! * A preauth `allow` and the status `bypass` come without a second factor: see [`Status::Bypass`].
//! * [`Preauth`] always says that verified push is supported. Without that, Duo skips a policy that demands it.
//! * Keys, passcodes, codes and tokens are redacted in `Debug`, in no error and in no address.

mod auth;
mod backoff;
mod call;
mod client;
mod clock;
mod date;
mod device;
mod enroll;
mod envelope;
mod factor;
mod headers;
mod params;
mod poll;
mod preauth;
mod push_info;
mod service;
mod signature;

pub use auth::{Auth, AuthReply, AuthResult, AuthStatus, Status, Txid, Verdict};
pub use backoff::{Backoff, retry_after};
pub use call::{AuthApi, Call, User};
pub use client::{Client, Deadlines};
pub use clock::ClockOffset;
pub use device::{Capability, Device, DeviceId, DeviceKind, Devices, Offer};
pub use enroll::{Enroll, EnrollState, EnrollStatus, Enrolled};
pub use factor::{DeviceChoice, Factor, FactorKind, Passcode, Push};
pub use headers::DuoHeaders;
pub use params::Params;
pub use poll::{Poll, Polled};
pub use preauth::{Preauth, PreauthReply, PreauthResult, VerifiedPush};
pub use push_info::PushInfo;
pub use service::{Check, Logo, LogoImage, Ping};
pub use signature::{SignatureVersion, Unsigned, authorization};
