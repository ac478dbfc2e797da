//! Calls about the service and the keys, which name no user.

use core::fmt;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use mfa_core::{HttpReply, Timestamp};

use super::call::sealed::Sealed;
use super::{Call, Params, envelope};
use crate::Error;

/// `GET /auth/v2/ping`: is Duo there, and what time is it there? Not signed, so that it works with a wrong clock.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Ping;

/// `GET /auth/v2/check`: are the keys, the signature and the clock right? Replies with Duo's time.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Check;

/// `GET /auth/v2/logo`: the picture that the account's administrator has chosen. Where there is none, 40002.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Logo;

macro_rules! without_parameters {
    ($call:ty, $path:literal, $signed:literal) => {
        impl $call {
            /// Makes the call.
            #[must_use]
            pub const fn new() -> Self {
                Self
            }
        }

        impl Sealed for $call {
            const POST: bool = false;
            const PATH: &'static str = $path;
            const SIGNED: bool = $signed;

            fn params(&self) -> Params {
                Params::new()
            }
        }
    };
}

without_parameters!(Ping, "/auth/v2/ping", false);
without_parameters!(Check, "/auth/v2/check", true);
without_parameters!(Logo, "/auth/v2/logo", true);

impl Call for Ping {
    type Reply = Timestamp;

    fn parse(reply: &HttpReply) -> Result<Timestamp, Error> {
        time(reply)
    }
}

impl Call for Check {
    type Reply = Timestamp;

    fn parse(reply: &HttpReply) -> Result<Timestamp, Error> {
        time(reply)
    }
}

impl Call for Logo {
    type Reply = LogoImage;

    fn parse(reply: &HttpReply) -> Result<LogoImage, Error> {
        let content_type = reply.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        match content_type.filter(|content_type| content_type.starts_with("image/")) {
            Some(content_type) if reply.status() == StatusCode::OK => {
                let (content_type, bytes) = (content_type.to_owned(), envelope::body(reply)?.to_vec());
                Ok(LogoImage { content_type, bytes })
            }
            _ => envelope::open(reply).and(Err(Error::MalformedReply { reason: "the logo is not an image" })),
        }
    }
}

/// The picture of [`Logo`].
#[derive(Clone)]
#[non_exhaustive]
pub struct LogoImage {
    /// Its type, `image/png` as a rule.
    pub content_type: String,
    /// Its bytes, 1 MiB at most.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for LogoImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("LogoImage");
        shown.field("content_type", &self.content_type).field("bytes", &self.bytes.len()).finish()
    }
}

fn time(reply: &HttpReply) -> Result<Timestamp, Error> {
    let response = envelope::open(reply)?;
    envelope::time(&response, "time").ok_or(Error::MalformedReply { reason: "time is not unix seconds" })
}
