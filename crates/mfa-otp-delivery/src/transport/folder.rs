//! Files instead of messages, for development.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use mfa_core::{Message, NotDelivered, Receipt, Transport};

use super::plain_id;
use crate::Error;

/// Writes each message to a file of its own, named by the message's id and `.txt`: a message that is sent again
/// replaces itself. For development: whoever reads the folder can sign in as anybody. An engine lists it among its dangers
/// as `danger_folder`.
///
/// The folder has mode 0700 and the files 0600; on systems without such modes they have the system's. A file appears
/// whole or not at all. Writing blocks the caller's thread.
///
/// ```
/// use mfa_core::{Message, SecretText, Transport as _};
/// use mfa_otp_delivery::transport::Folder;
/// # futures::executor::block_on(async {
/// # let parent = tempfile::tempdir().unwrap();
/// # let path = parent.path().join("outgoing");
/// let folder = Folder::open(&path).unwrap();
/// let mut message = Message::new(SecretText::new("bob@example.com"), None, SecretText::new("hello"));
/// message.id = Some("m-1".to_owned());
/// let receipt = folder.send(&message, std::time::Duration::from_secs(10)).await.unwrap();
/// assert_eq!(receipt.id, "m-1");
/// assert_eq!(std::fs::read_to_string(path.join("m-1.txt")).unwrap(), "channel: email\nto: bob@example.com\n\nhello\n");
/// # });
/// // A file is no folder.
/// # let file = tempfile::NamedTempFile::new().unwrap();
/// assert_eq!(Folder::open(file.path()).unwrap_err().code(), "folder_unusable");
/// ```
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Numbers the messages without an id.
    count: AtomicU64,
}

impl Folder {
    /// Opens a folder, making it if it is not there; its parent must be.
    ///
    /// # Errors
    /// [`Error::Folder`] if it cannot be made or is none, [`Error::FolderIsOpen`] if it is there and others than its
    /// owner may enter it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        match private_dir().create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(Error::Folder(error)),
            _ => {}
        }
        let metadata = fs::metadata(&path).map_err(Error::Folder)?;
        if !metadata.is_dir() {
            return Err(Error::Folder(io::ErrorKind::NotADirectory.into()));
        }
        if is_open_to_others(&metadata) {
            return Err(Error::FolderIsOpen);
        }
        Ok(Self { path, count: AtomicU64::new(0) })
    }

    fn write(&self, name: &str, message: &Message) -> io::Result<()> {
        let draft = self.path.join(format!(".{name}.{}", std::process::id()));
        // What an earlier process left there is not written into.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = private_file().open(&draft)?;
        writeln!(file, "channel: {}\nto: {}", message.channel.code(), message.to.expose_secret())?;
        if let Some(subject) = &message.subject {
            writeln!(file, "subject: {subject}")?;
        }
        writeln!(file, "\n{}", message.body.expose_secret())?;
        fs::rename(&draft, self.path.join(format!("{name}.txt")))
    }

    /// Returns the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[async_trait]
impl Transport for Folder {
    async fn send(&self, message: &Message, _: Duration) -> Result<Receipt, NotDelivered> {
        let name = match &message.id {
            Some(id) => plain_id(id),
            None => {
                let number = self.count.fetch_add(1, Ordering::Relaxed);
                format!("message-{}-{number}", std::process::id())
            }
        };
        match self.write(&name, message) {
            Ok(()) => Ok(Receipt::new(name)),
            Err(error) => {
                tracing::warn!(kind = %error.kind(), "a message was not written to its folder");
                Err(NotDelivered::Temporary)
            }
        }
    }

    fn dangers(&self) -> Vec<&'static str> {
        vec!["danger_folder"]
    }
}

#[cfg(unix)]
fn private_dir() -> DirBuilder {
    let mut builder = DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

#[cfg(not(unix))]
fn private_dir() -> DirBuilder {
    DirBuilder::new()
}

fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn is_open_to_others(metadata: &fs::Metadata) -> bool {
    #[cfg(unix)]
    return std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0;
    #[cfg(not(unix))]
    return false;
}
