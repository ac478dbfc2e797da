//! Transports that keep what they are given: in memory, and as files in a folder.
#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test ends where its folder cannot be written"
)]

use core::fmt;
use core::time::Duration;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use mfa_core::{Channel, Message, NotDelivered, Receipt, Transport};

/// A transport that keeps every message in memory, and fails when told to.
///
/// ```
/// use core::time::Duration;
/// use mfa_core::{Message, NotDelivered, SecretText, Transport};
/// use mfa_testkit::inbox::Inbox;
/// # futures::executor::block_on(async {
/// let inbox = Inbox::new();
/// let message = Message::new(SecretText::new("bob@acme.example"), None, SecretText::new("hello"));
/// inbox.fail_next(NotDelivered::Temporary);
/// assert_eq!(inbox.send(&message, Duration::ZERO).await.unwrap_err(), NotDelivered::Temporary);
/// inbox.send(&message, Duration::ZERO).await.unwrap();
/// assert_eq!(inbox.take()[0].to, "bob@acme.example");
/// assert!(inbox.take().is_empty());
/// # });
/// ```
#[derive(Clone, Debug, Default)]
pub struct Inbox {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    messages: Vec<Received>,
    failures: Vec<NotDelivered>,
    refusing: Vec<(String, NotDelivered)>,
    hanging: bool,
    tried: Vec<String>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("messages", &self.messages).finish_non_exhaustive()
    }
}

/// A message that arrived.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// The id that the sender gave it.
    pub id: Option<String>,
    /// The way it came.
    pub channel: Channel,
    /// The address or number.
    pub to: String,
    /// The subject.
    pub subject: Option<String>,
    /// The text.
    pub body: String,
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("id", &self.id)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

impl Inbox {
    /// Makes an empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns what arrived since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<Received> {
        core::mem::take(&mut self.locked().messages)
    }

    /// Makes the next send fail so; several calls queue up.
    pub fn fail_next(&self, cause: NotDelivered) {
        self.locked().failures.push(cause);
    }

    /// Makes every send to `address` fail so, until [`Inbox::mend`].
    pub fn refuse(&self, address: impl Into<String>, cause: NotDelivered) {
        self.locked().refusing.push((address.into(), cause));
    }

    /// Makes every send from now on go without an answer, until [`Inbox::mend`].
    pub fn hang(&self) {
        self.locked().hanging = true;
    }

    /// Fails no send any more.
    pub fn mend(&self) {
        let mut state = self.locked();
        state.failures.clear();
        state.refusing.clear();
        state.hanging = false;
    }

    /// Returns the addresses that sends went to since the last call, those that failed included.
    #[must_use]
    pub fn take_tried(&self) -> Vec<String> {
        core::mem::take(&mut self.locked().tried)
    }

    /// Notes a message; `None` if there is never to be an answer.
    fn receive(&self, message: &Message) -> Option<Result<Receipt, NotDelivered>> {
        let mut state = self.locked();
        let message = received(message);
        state.tried.push(message.to.clone());
        if state.hanging {
            return None;
        }
        if !state.failures.is_empty() {
            return Some(Err(state.failures.remove(0)));
        }
        if let Some((_, cause)) = state.refusing.iter().find(|(address, _)| *address == message.to) {
            return Some(Err(*cause));
        }
        state.messages.push(message);
        Some(Ok(Receipt::new(format!("inbox-{}", state.messages.len()))))
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Transport for Inbox {
    async fn send(&self, message: &Message, _: Duration) -> Result<Receipt, NotDelivered> {
        match self.receive(message) {
            Some(answer) => answer,
            None => core::future::pending().await,
        }
    }
}

fn received(message: &Message) -> Received {
    Received {
        id: message.id.clone(),
        channel: message.channel,
        to: message.to.expose_secret().to_owned(),
        subject: message.subject.clone(),
        body: message.body.expose_secret().to_owned(),
    }
}

/// A transport that writes each message to a file of a folder, named by the message's id: a message that is sent
/// again replaces itself. The folder is the caller's.
#[derive(Clone, Debug)]
pub struct MessageFolder {
    folder: PathBuf,
}

impl MessageFolder {
    /// Writes to `folder`, which must exist.
    #[must_use]
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Returns the text of every message there, by the name of its file.
    #[must_use]
    pub fn messages(&self) -> Vec<(String, String)> {
        let entries = std::fs::read_dir(&self.folder).expect("a folder");
        let mut found: Vec<_> = entries
            .map(|entry| {
                let path = entry.expect("an entry").path();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                (name, std::fs::read_to_string(&path).expect("a message"))
            })
            .filter(|(name, _)| !name.starts_with('.'))
            .collect();
        found.sort();
        found
    }
}

#[async_trait]
impl Transport for MessageFolder {
    async fn send(&self, message: &Message, _: Duration) -> Result<Receipt, NotDelivered> {
        let message = received(message);
        let name = message.id.unwrap_or_else(|| "message".to_owned());
        let text = format!(
            "to: {}\nsubject: {}\n\n{}\n",
            message.to,
            message.subject.unwrap_or_default(),
            message.body
        );
        // Written whole or not at all.
        let draft = self.folder.join(format!(".{name}.{}", std::process::id()));
        std::fs::write(&draft, text).map_err(|_| NotDelivered::Temporary)?;
        std::fs::rename(&draft, self.folder.join(&name)).map_err(|_| NotDelivered::Temporary)?;
        Ok(Receipt::new(name))
    }
}
