//! One transport for e-mail, another for text messages.

use core::time::Duration;
use std::sync::Arc;

use async_trait::async_trait;
use mfa_core::{Channel, Message, NotDelivered, Receipt, Transport};

/// Sends e-mail one way and text messages another. A medium without a transport is refused as
/// [`NotDelivered::Permanent`], as an engine without one does.
///
/// ```
/// use std::sync::Arc;
/// use mfa_core::{Channel, Message, NotDelivered, SecretText, Transport as _};
/// use mfa_otp_delivery::transport::{Folder, Routed};
/// # futures::executor::block_on(async {
/// # let parent = tempfile::tempdir().unwrap();
/// # let path = parent.path().join("outgoing");
/// let routed = Routed::new().with_email(Arc::new(Folder::open(&path).unwrap()));
/// let message = Message::new(SecretText::new("bob@example.com"), None, SecretText::new("hello"));
/// let deadline = std::time::Duration::from_secs(10);
/// assert!(routed.send(&message, deadline).await.is_ok());
/// let refused = routed.send(&message.over(Channel::Phone), deadline).await;
/// assert_eq!(refused.unwrap_err(), NotDelivered::Permanent);
/// # });
/// ```
#[derive(Clone, Debug, Default)]
pub struct Routed {
    email: Option<Arc<dyn Transport>>,
    sms: Option<Arc<dyn Transport>>,
}

impl Routed {
    /// Without any transport yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends e-mail with `transport`.
    #[must_use]
    pub fn with_email(mut self, transport: Arc<dyn Transport>) -> Self {
        self.email = Some(transport);
        self
    }

    /// Sends text messages with `transport`.
    #[must_use]
    pub fn with_sms(mut self, transport: Arc<dyn Transport>) -> Self {
        self.sms = Some(transport);
        self
    }
}

#[async_trait]
impl Transport for Routed {
    async fn send(&self, message: &Message, deadline: Duration) -> Result<Receipt, NotDelivered> {
        let transport = match message.channel {
            Channel::Email => &self.email,
            Channel::Phone => &self.sms,
            _ => &None,
        };
        match transport {
            Some(transport) => transport.send(message, deadline).await,
            None => Err(NotDelivered::Permanent),
        }
    }

    fn dangers(&self) -> Vec<&'static str> {
        let mut dangers: Vec<_> =
            [&self.email, &self.sms].into_iter().flatten().flat_map(|t| t.dangers()).collect();
        dangers.dedup();
        dangers
    }
}
