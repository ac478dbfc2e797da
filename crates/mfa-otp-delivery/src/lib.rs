#![cfg_attr(docsrs, feature(doc_cfg))]
//! One-time codes and secure links by e-mail and SMS: the providers, addresses, the choice of a channel, the texts, and
//! the transports.
//!
//! ```
//! use std::time::Duration;
//!
//! use mfa_core::Transport as _;
//! use mfa_otp_delivery::address::{Domain, Region};
//! use mfa_otp_delivery::select::{ChannelPolicy, Flags, Reachable, SmsRules, select};
//! use mfa_otp_delivery::text::{Code, Occasion, Secret, SiteName, Texts};
//! use mfa_otp_delivery::transport::Folder;
//!
//! # futures::executor::block_on(async {
//! # let parent = tempfile::tempdir()?;
//! # let path = parent.path().join("outgoing");
//! let texts = Texts::builder(SiteName::parse("Acme")?, Domain::parse("acme.example")?).build()?;
//! let policy = ChannelPolicy::total_uptime(SmsRules::allowing([Region::parse("DE")?]));
//! let folder = Folder::open(&path)?;
//!
//! // A text message to a mobile phone, where there is one.
//! let bob = Reachable::none().with_email("bob@example.com").with_phone("+49 151 2345 6789", None);
//! let selected = select(&bob, &policy, &Flags::open())?;
//! let (code, life) = (Code::parse("012345")?, Duration::from_secs(120));
//! let message = texts.message(selected.destination, Occasion::SignIn, Secret::Code(&code), life, None);
//! folder.send(&message, Duration::from_secs(10)).await?;
//! assert_eq!(selected.destination.masked(), "…6789");
//!
//! // Nothing goes to an address that could say something else to the mail server.
//! let eve = Reachable::none().with_email("bob@example.com\nBcc: eve@example.com");
//! assert_eq!(select(&eve, &policy, &Flags::open()).unwrap_err().code(), "unreachable");
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! # Parts
//!
//! * [`Delivered`] — the providers `email` and `sms`, for the engine.
//! * [`address`] — canonical e-mail addresses and mobile numbers.
//! * [`select`] — one destination or the reason why there is none; the orders of three known systems.
//! * [`kount`] — the wire forms of a login that is challenged by a message, and of its status.
//! * [`text`] — the messages, by key and language.
//! * [`transport`] — SMTP, a signed webhook for text messages, and a folder for development.
//!
//! # Features
//!
//! * `smtp` — [`transport::smtp`](transport), e-mail through `lettre` with `rustls` and `ring`. It needs tokio.
//!
//! None is on by default.

pub mod address;
mod error;
pub mod kount;
mod provider;
pub mod select;
pub mod text;
pub mod transport;
mod url;

pub use self::error::Error;
pub use self::provider::Delivered;
pub use self::url::HttpsUrl;
