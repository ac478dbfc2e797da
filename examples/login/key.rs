//! The ring's root key: a file of its own beside the database, never in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use data_encoding::HEXLOWER;
use mfa::{Entropy, KeyId, KeyRing, OsEntropy};
use zeroize::Zeroizing;

use crate::failure::Failure;

const KEY_BYTES: usize = 32;
const KEY_ID: &str = "example-1";

/// Reads the key of a database that exists already.
pub(crate) fn read(path: &Path) -> Result<KeyRing, Failure> {
    let shown = path.display();
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::failed(format!(
            "the key file `{shown}` is missing, and without it nobody can use the database; \
             put it back, or begin anew with another --db"
        )),
        _ => Failure::failed(format!("cannot read the key file `{shown}`: {error}")),
    })?;
    refuse_if_others_can_read(path, &file)?;
    let mut text = Zeroizing::new(String::new());
    let limit = u64::try_from(KEY_BYTES.saturating_mul(4)).unwrap_or(u64::MAX);
    let whole = file.take(limit).read_to_string(&mut text).is_ok();
    let root = HEXLOWER.decode(text.trim().as_bytes()).map(Zeroizing::new).ok().filter(|_| whole);
    let root = root.and_then(|root| <[u8; KEY_BYTES]>::try_from(root.as_slice()).ok());
    let root = root.ok_or_else(|| {
        Failure::failed(format!("the key file `{shown}` does not hold 64 lower-case hexadecimal digits"))
    })?;
    Ok(KeyRing::new(KeyId::parse(KEY_ID)?, root)?)
}

/// Makes a key from the operating system's randomness, unless one is there already.
pub(crate) fn make(path: &Path) -> Result<KeyRing, Failure> {
    let mut root = Zeroizing::new([0; KEY_BYTES]);
    OsEntropy::new().fill(&mut *root)?;
    let text = Zeroizing::new(HEXLOWER.encode(&*root));
    match create(path, &text) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made.map_err(|error| {
            Failure::failed(format!("cannot create the key file `{}`: {error}", path.display()))
        })?,
    }
    read(path)
}

fn create(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let written = writeln!(file, "{text}").and_then(|()| file.sync_all());
    // Half a key is worse than none.
    written.or_else(|error| fs::remove_file(path).and(Err(error)))
}

#[cfg(unix)]
fn refuse_if_others_can_read(path: &Path, file: &File) -> Result<(), Failure> {
    let mode = std::os::unix::fs::MetadataExt::mode(&file.metadata()?) & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let shown = path.display();
    Err(Failure::failed(format!(
        "the key file `{shown}` has mode {mode:03o}, open to others; run `chmod 600` on it"
    )))
}

#[cfg(not(unix))]
fn refuse_if_others_can_read(_: &Path, _: &File) -> Result<(), Failure> {
    Ok(())
}
