//! Calls and the requests that they become.

use core::fmt;

use http::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderValue, USER_AGENT};
use http::{Method, Request};
use mfa_core::{HttpReply, Timestamp};

use super::{ClockOffset, Params, SignatureVersion, Unsigned, authorization, date};
use crate::{ApiHost, Error, IntegrationKey, SecretKey};

const AGENT: &str = concat!("mfa-duo/", env!("CARGO_PKG_VERSION"));
const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// One call of the Auth API: what to ask and how to read the answer. The eight calls are types of this module;
/// there are no others.
pub trait Call: sealed::Sealed {
    /// What a successful reply says.
    type Reply;

    /// Reads a reply.
    ///
    /// # Errors
    /// [`Error::Api`] if Duo refused, [`Error::HttpStatus`] for any other status than 200,
    /// [`Error::MalformedReply`] if it is not of the documented form or larger than 1 MiB.
    fn parse(reply: &HttpReply) -> Result<Self::Reply, Error>;
}

pub(super) mod sealed {
    use super::Params;

    /// What the requests of a call have in common.
    #[expect(unnameable_types, reason = "sealed: nobody else can make a call, nor ask for its parameters")]
    pub trait Sealed {
        const POST: bool;
        const PATH: &'static str;
        /// Whether Duo checks a signature.
        const SIGNED: bool = true;
        /// Whether Duo may hold the reply until a person has acted.
        const HELD: bool = false;
        /// Whether a second request could ring a telephone a second time or use up a second passcode.
        const RINGS: bool = false;

        fn params(&self) -> Params;
    }
}

/// Makes signed requests to the Auth API of one integration.
#[derive(Clone, Debug)]
pub struct AuthApi {
    host: ApiHost,
    ikey: IntegrationKey,
    skey: SecretKey,
    version: SignatureVersion,
}

impl AuthApi {
    /// Takes what Duo's administration shows for an application of type *Auth API*.
    #[must_use]
    pub const fn new(host: ApiHost, ikey: IntegrationKey, skey: SecretKey) -> Self {
        Self { host, ikey, skey, version: SignatureVersion::V5 }
    }

    /// Sets another signature than [`SignatureVersion::V5`], for old servers.
    #[must_use]
    pub const fn with_signature(mut self, version: SignatureVersion) -> Self {
        self.version = version;
        self
    }

    /// Makes the request of a call at `now`. Each attempt needs its own: Duo refuses an old date.
    ///
    /// Credentials are in the header `Authorization`, which is marked sensitive, and what is secret is in the
    /// body, never in the address.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the parts do not form a request.
    pub fn request<C: Call>(
        &self,
        call: &C,
        now: Timestamp,
        offset: ClockOffset,
    ) -> Result<Request<Vec<u8>>, Error> {
        let params = call.params();
        let date = date::write(offset.apply(now));
        let mut address = format!("https://{}{}", self.host.authority(), C::PATH);
        let unsigned = Unsigned::new(if C::POST { "POST" } else { "GET" }, self.host.host(), C::PATH);
        let (unsigned, body, content_type) = match (C::POST, self.version.has_json_body()) {
            (true, true) => (unsigned, params.json(), Some(JSON)),
            (true, false) => {
                (unsigned.with_params(&params), params.canonical().as_bytes().to_vec(), Some(FORM))
            }
            (false, _) => {
                let query = params.canonical();
                if !query.is_empty() {
                    address.push('?');
                    address.push_str(&query);
                }
                (unsigned.with_params(&params), Vec::new(), None)
            }
        };
        let mut request =
            Request::builder().method(if C::POST { Method::POST } else { Method::GET }).uri(address);
        if C::SIGNED {
            let signature = unsigned.with_body(&body).sign(self.version, &date, &self.skey);
            let header = authorization(self.ikey.as_str(), &signature);
            let mut header =
                HeaderValue::from_str(header.expose_secret()).map_err(|_| no_request("authorization"))?;
            header.set_sensitive(true);
            request = request.header(AUTHORIZATION, header);
        }
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let request = request.header(DATE, date).header(USER_AGENT, AGENT);
        request.body(body).map_err(|_| no_request("address"))
    }
}

const fn no_request(name: &'static str) -> Error {
    Error::Parameter { name, reason: "does not form a request" }
}

/// Whom a call is about: exactly one of `username` and `user_id`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct User {
    parameter: &'static str,
    value: String,
}

impl User {
    /// The name that Duo knows the user by, or one of the user's aliases.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it is empty.
    pub fn name(name: &str) -> Result<Self, Error> {
        Self::new("username", name)
    }

    /// The id that Duo gave the user, such as `DU94SWSN4ADHHJHF2HXT`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it is empty.
    pub fn id(id: &str) -> Result<Self, Error> {
        Self::new("user_id", id)
    }

    fn new(parameter: &'static str, value: &str) -> Result<Self, Error> {
        if value.is_empty() {
            return Err(Error::Parameter { name: parameter, reason: "must not be empty" });
        }
        Ok(Self { parameter, value: value.to_owned() })
    }

    pub(super) fn add_to(&self, params: Params) -> Params {
        params.with(self.parameter, self.value.as_str())
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("User").field(&self.parameter).field(&self.value).finish()
    }
}
