//! The configuration of one application at Duo.

use http::Uri;

use crate::{ApiHost, Error, IntegrationKey, SecretKey};

const MAX_REDIRECT_URI_BYTES: usize = 1024;

/// An application of the type *Web SDK* at Duo. Makes requests and reads replies; sends nothing.
#[derive(Clone, Debug)]
pub struct Universal {
    pub(super) client_id: IntegrationKey,
    pub(super) client_secret: SecretKey,
    pub(super) redirect_uri: String,
    /// `https://{host}`: what the browser's request is made for.
    pub(super) audience: String,
    pub(super) token_url: String,
    pub(super) token_uri: Uri,
    pub(super) health_check_url: String,
    pub(super) health_check_uri: Uri,
}

impl Universal {
    /// Puts a configuration together. `redirect_uri` is where Duo sends the browser back to; it is sent as it is
    /// and must be configuration, never taken from a request.
    ///
    /// ```
    /// use mfa_duo::universal::Universal;
    /// use mfa_duo::{ApiHost, IntegrationKey, SecretKey};
    ///
    /// let with = |redirect_uri| {
    ///     let id = IntegrationKey::parse("DIXXXXXXXXXXXXXXXXXX")?;
    ///     let secret = SecretKey::parse("deadbeefdeadbeefdeadbeefdeadbeefdeadbeef")?;
    ///     Universal::new(id, secret, ApiHost::parse("api-xxxxxxxx.duosecurity.com")?, redirect_uri)
    /// };
    /// assert!(with("https://www.example.com/duo").is_ok());
    /// assert!(with("http://localhost:8080/duo").is_ok());
    /// let error = with("http://www.example.com/duo").unwrap_err();
    /// assert_eq!(error.to_string(), "redirect_uri must be https, or http to localhost");
    /// # Ok::<(), mfa_duo::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Parameter`] named `redirect_uri` if that is empty, longer than 1,024 bytes, no absolute `https` URL
    /// (`http` to `localhost`, `127.0.0.1` or `[::1]` passes), or has user, password or fragment.
    pub fn new(
        client_id: IntegrationKey,
        client_secret: SecretKey,
        host: ApiHost,
        redirect_uri: &str,
    ) -> Result<Self, Error> {
        check_redirect_uri(redirect_uri)?;
        let audience = format!("https://{}", host.authority());
        let endpoint = |name: &str| {
            let url = format!("{audience}/oauth/v1/{name}");
            let uri: Result<Uri, _> = url.parse();
            uri.map(|uri| (url, uri)).map_err(|_| Error::ApiHost { reason: "does not fit into a url" })
        };
        let (token_url, token_uri) = endpoint("token")?;
        let (health_check_url, health_check_uri) = endpoint("health_check")?;
        let redirect_uri = redirect_uri.to_owned();
        Ok(Self {
            client_id,
            client_secret,
            redirect_uri,
            audience,
            token_url,
            token_uri,
            health_check_url,
            health_check_uri,
        })
    }

    /// Returns the client id.
    #[must_use]
    pub const fn client_id(&self) -> &IntegrationKey {
        &self.client_id
    }

    /// Returns where Duo sends the browser back to.
    #[must_use]
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }
}

fn check_redirect_uri(text: &str) -> Result<(), Error> {
    let refused = |reason| Err(Error::Parameter { name: "redirect_uri", reason });
    if text.is_empty() {
        return refused("is empty");
    }
    if text.len() > MAX_REDIRECT_URI_BYTES {
        return refused("is longer than 1024 bytes");
    }
    let Ok(uri) = text.parse::<Uri>() else { return refused("is not a url") };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return refused("is not an absolute url");
    };
    if text.contains('#') || authority.as_str().contains('@') {
        return refused("must have neither user nor fragment");
    }
    match (scheme, authority.host()) {
        ("https", _) | ("http", "localhost" | "127.0.0.1" | "[::1]") => Ok(()),
        _ => refused("must be https, or http to localhost"),
    }
}
