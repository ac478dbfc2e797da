//! Where mail goes: to a sink that the program plays, to a folder, or to a real mail server.

use core::time::Duration;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use mfa::delivery::address::Email;
use mfa::delivery::transport::Folder;
use mfa::delivery::transport::smtp::Smtp;
use mfa::{Message, NotDelivered, Receipt, TokioRuntime, Transport};

use super::MailSink;
use super::smtp_url::smtp_of;
use crate::Failure;

/// How long the mail server has to answer when the program starts.
const CHECK: Duration = Duration::from_secs(15);

/// Where mail goes.
#[derive(Debug)]
pub struct Post {
    transport: Arc<dyn Transport>,
    mailbox: Mailbox,
    whereabouts: String,
}

/// Where the program can read what was sent.
#[derive(Debug)]
enum Mailbox {
    Sink(MailSink),
    Folder(Arc<Noting>),
    Elsewhere,
}

impl Post {
    /// Starts a sink on loopback, and sends there over SMTP.
    ///
    /// # Errors
    /// [`Failure::Failed`] if it cannot listen.
    pub async fn sink(from: Email) -> Result<Self, Failure> {
        let sink = MailSink::start().await?;
        let address = sink.address();
        let smtp = Smtp::danger_plain(address.ip()).port(address.port());
        let smtp = smtp.build(from, Arc::new(TokioRuntime::new()))?;
        let whereabouts = format!("a mail sink of this program's own, at {address}");
        Ok(Self { transport: Arc::new(smtp), mailbox: Mailbox::Sink(sink), whereabouts })
    }

    /// Writes mail to the files of a folder.
    ///
    /// # Errors
    /// [`Failure::Failed`] if the folder cannot be used.
    pub fn folder(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let folder = Folder::open(path).map_err(|error| match Failure::from(error) {
            Failure::Failed(line) => Failure::Failed(format!("`{shown}`: {line}")),
            failure => failure,
        })?;
        let noting = Arc::new(Noting { folder, newest: Mutex::new(None) });
        let whereabouts = format!("the folder `{shown}`");
        Ok(Self { transport: Arc::<Noting>::clone(&noting), mailbox: Mailbox::Folder(noting), whereabouts })
    }

    /// Sends over SMTP to the server of a URL, once that has answered.
    ///
    /// # Errors
    /// [`Failure::Usage`] if the URL is refused, [`Failure::Failed`] if the server is.
    pub async fn server(url: &str, from: Email) -> Result<Self, Failure> {
        let (smtp, host) = smtp_of(url)?;
        let smtp = smtp.build(from, Arc::new(TokioRuntime::new()));
        let smtp = smtp.map_err(|error| Failure::usage(format!("--smtp: {error}")))?;
        smtp.check(CHECK).await?;
        let whereabouts = format!("the mail server {host}");
        Ok(Self { transport: Arc::new(smtp), mailbox: Mailbox::Elsewhere, whereabouts })
    }

    /// Returns the transport for the engine.
    #[must_use]
    pub fn transport(&self) -> Arc<dyn Transport> {
        Arc::clone(&self.transport)
    }

    /// Says where mail goes.
    #[must_use]
    pub fn whereabouts(&self) -> &str {
        &self.whereabouts
    }

    /// Returns whether this program can read the mail, and so play the user.
    #[must_use]
    pub const fn plays(&self) -> bool {
        !matches!(self.mailbox, Mailbox::Elsewhere)
    }

    /// Returns the mail that was sent last, where this program can read it.
    ///
    /// # Errors
    /// [`Failure::Failed`] if it is gone.
    pub fn newest(&self) -> Result<Option<String>, Failure> {
        match &self.mailbox {
            Mailbox::Sink(sink) => Ok(sink.newest()),
            Mailbox::Folder(_) => Ok(self.newest_file().map(fs::read_to_string).transpose()?),
            Mailbox::Elsewhere => Ok(None),
        }
    }

    /// Returns the file that was written last.
    #[must_use]
    pub fn newest_file(&self) -> Option<PathBuf> {
        let Mailbox::Folder(noting) = &self.mailbox else { return None };
        noting.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A folder that remembers which file it wrote last.
#[derive(Debug)]
struct Noting {
    folder: Folder,
    newest: Mutex<Option<PathBuf>>,
}

#[async_trait]
impl Transport for Noting {
    async fn send(&self, message: &Message, deadline: Duration) -> Result<Receipt, NotDelivered> {
        let receipt = self.folder.send(message, deadline).await?;
        let path = self.folder.path().join(format!("{}.txt", receipt.id));
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(path);
        Ok(receipt)
    }
}
