//! The driver of the two requests over a host's HTTP client.

use core::time::Duration;
use std::sync::Arc;

use http::Request;
use mfa_core::{Draw, Entropy, HttpClient, HttpReply, Runtime, Timestamp};

use super::{AuthorizationCode, Claims, Exchange, Universal};
use crate::Error;

/// How long a request may take: Duo answers both at once.
const DEADLINE: Duration = Duration::from_secs(10);

/// Sends what [`Universal`] makes, over a host's HTTP client and clock. Nothing is sent twice.
///
/// *Cancellation:* a dropped future may have sent its request; a code that was sent is used up.
#[derive(Clone, Debug)]
pub struct Client {
    universal: Universal,
    http: Arc<dyn HttpClient>,
    runtime: Arc<dyn Runtime>,
    entropy: Arc<dyn Entropy>,
}

impl Client {
    /// Puts a client together. `entropy` is [`OsEntropy`](mfa_core::OsEntropy) outside of tests.
    #[must_use]
    pub fn new(
        universal: Universal,
        http: Arc<dyn HttpClient>,
        runtime: Arc<dyn Runtime>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { universal, http, runtime, entropy }
    }

    /// Returns the configuration, which makes URLs and reads callbacks.
    #[must_use]
    pub const fn universal(&self) -> &Universal {
        &self.universal
    }

    /// Asks whether Duo is there and knows the keys; returns Duo's time. No user is named.
    ///
    /// # Errors
    /// [`Error::Transport`], [`Error::Entropy`] and those of [`Universal::health_check_response`].
    pub async fn health_check(&self) -> Result<Timestamp, Error> {
        let request = self.universal.health_check_request(&self.jti()?, self.runtime.now());
        Universal::health_check_response(&self.send(request).await?)
    }

    /// Exchanges a code for Duo's word on the login. Forget the [`PendingLogin`](super::PendingLogin) first.
    ///
    /// # Errors
    /// [`Error::Transport`], [`Error::Entropy`] and those of [`Exchange::finish`].
    pub async fn exchange(&self, code: AuthorizationCode, exchange: Exchange) -> Result<Claims, Error> {
        let request = self.universal.token_request(&code, &self.jti()?, self.runtime.now());
        let reply = self.send(request).await?;
        exchange.finish(&self.universal, &reply, self.runtime.now())
    }

    fn jti(&self) -> Result<[u8; 18], Error> {
        let mut draw = Draw::from_source(Arc::clone(&self.entropy)).map_err(Error::Entropy)?;
        draw.take().map_err(Error::Entropy)
    }

    async fn send(&self, request: Request<Vec<u8>>) -> Result<HttpReply, Error> {
        self.http.send(request, DEADLINE).await.map_err(Error::Transport)
    }
}
