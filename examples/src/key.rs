//! The keys of a host, each a file of its own beside the database, never in it: the ring's root key, and that of the
//! checkpoints of the log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use data_encoding::HEXLOWER;
use mfa::audit::CheckpointKey;
use mfa::{Entropy, KeyRing, KeySourceError, OsEntropy};
use zeroize::Zeroizing;

use crate::Failure;

/// Reads the key of a database that exists already.
pub(crate) fn read(path: &Path) -> Result<KeyRing, Failure> {
    KeyRing::from_file(path).map_err(|error| match error {
        KeySourceError::Missing { .. } => Failure::failed(format!(
            "{error}, and without it nobody can use the database; put it back, or begin anew with another --db"
        )),
        error => error.into(),
    })
}

/// Makes a key from the operating system's randomness, unless one is there already.
pub(crate) fn make(path: &Path) -> Result<KeyRing, Failure> {
    create(path, "example-1:")?;
    read(path)
}

/// Reads the key of a log's checkpoints: 64 lower-case hexadecimal digits in a file that others cannot read.
///
/// # Errors
/// [`Failure::Failed`] names the file and what is wrong with it.
pub fn read_checkpoint_key(path: &Path) -> Result<CheckpointKey, Failure> {
    /// More than a key takes.
    const MAX_BYTES: u64 = 4096;
    let shown = path.display();
    let opened = File::open(path);
    let file =
        opened.map_err(|error| Failure::failed(format!("cannot open the key file `{shown}`: {error}")))?;
    refuse_if_others_can_read(path, &file)?;
    let mut text = Zeroizing::new(String::new());
    let read = file.take(MAX_BYTES).read_to_string(&mut text);
    read.map_err(|error| Failure::failed(format!("cannot read the key file `{shown}`: {error}")))?;
    let mut key = Zeroizing::new([0; 32]);
    let digits = text.trim();
    let is_key = HEXLOWER.decode_len(digits.len()) == Ok(key.len())
        && HEXLOWER.decode_mut(digits.as_bytes(), &mut *key).is_ok();
    if !is_key {
        let problem = "does not hold 64 lower-case hexadecimal digits";
        return Err(Failure::failed(format!("the key file `{shown}` {problem}")));
    }
    CheckpointKey::from_bytes(*key)
        .map_err(|error| Failure::failed(format!("the key file `{shown}`: {error}")))
}

/// Reads the key of a log's checkpoints, or makes one. A real host has it far from the database: who has both can write
/// a log that holds.
///
/// # Errors
/// As [`read_checkpoint_key`].
pub fn checkpoint_key(path: &Path) -> Result<CheckpointKey, Failure> {
    create(path, "")?;
    read_checkpoint_key(path)
}

#[cfg(unix)]
fn refuse_if_others_can_read(path: &Path, file: &File) -> Result<(), Failure> {
    let shown = path.display();
    let metadata = file.metadata().map_err(|error| Failure::failed(format!("`{shown}`: {error}")))?;
    let mode = std::os::unix::fs::MetadataExt::mode(&metadata) & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let problem = format!("has mode {mode:03o}, open to others; run `chmod 600` on it");
    Err(Failure::failed(format!("the key file `{shown}` {problem}")))
}

#[cfg(not(unix))]
fn refuse_if_others_can_read(_: &Path, _: &File) -> Result<(), Failure> {
    Ok(())
}

/// Writes 32 random bytes to a new file, as digits behind `prefix`; leaves a file that is there as it is.
fn create(path: &Path, prefix: &str) -> Result<(), Failure> {
    let mut root = Zeroizing::new([0; 32]);
    OsEntropy::new().fill(&mut *root)?;
    let digits = Zeroizing::new(HEXLOWER.encode(&*root));
    match write_new(path, prefix, &digits) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map_err(|error| {
            Failure::failed(format!("cannot create the key file `{}`: {error}", path.display()))
        }),
    }
}

fn write_new(path: &Path, prefix: &str, digits: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let written = writeln!(file, "{prefix}{digits}").and_then(|()| file.sync_all());
    // Half a key is worse than none.
    written.or_else(|error| fs::remove_file(path).and(Err(error)))
}
