//! The files that are read: the log, the key, the trusted checkpoint.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use data_encoding::HEXLOWER;
use mfa::audit::export::checkpoint_from_line;
use mfa::audit::{Checkpoint, CheckpointKey};
use zeroize::Zeroizing;

use crate::Refused;

/// More than a key or a checkpoint takes, in bytes.
const MAX_BYTES: u64 = 4096;
/// What is read from the log at once, in bytes.
const READ_BYTES: usize = 1 << 18;

pub(crate) fn log(path: &Path) -> Result<BufReader<File>, Refused> {
    Ok(BufReader::with_capacity(READ_BYTES, open("log", path)?))
}

pub(crate) fn key(path: &Path) -> Result<CheckpointKey, Refused> {
    let file = open("key file", path)?;
    refuse_if_others_can_read(path, &file)?;
    let text = Zeroizing::new(text("key file", path, file)?);
    let mut key = Zeroizing::new([0; 32]);
    let digits = text.trim();
    let read = HEXLOWER.decode_len(digits.len()) == Ok(key.len())
        && HEXLOWER.decode_mut(digits.as_bytes(), &mut *key).is_ok();
    let shown = path.display();
    if !read {
        return Err(Refused(format!(
            "the key file `{shown}` does not hold 64 lower-case hexadecimal digits"
        )));
    }
    CheckpointKey::from_bytes(*key).map_err(|error| Refused(format!("the key file `{shown}`: {error}")))
}

pub(crate) fn trusted(path: &Path) -> Result<Checkpoint, Refused> {
    let text = text("trusted checkpoint", path, open("trusted checkpoint", path)?)?;
    let refused = |error| Refused(format!("the trusted checkpoint `{}`: {error}", path.display()));
    checkpoint_from_line(text.trim()).map_err(refused)
}

fn open(what: &str, path: &Path) -> Result<File, Refused> {
    let opened = File::open(path).and_then(|file| {
        let is_folder = file.metadata()?.is_dir();
        if is_folder { Err(io::Error::from(io::ErrorKind::IsADirectory)) } else { Ok(file) }
    });
    opened.map_err(|error| Refused(format!("cannot open the {what} `{}`: {error}", path.display())))
}

fn text(what: &str, path: &Path, file: File) -> Result<String, Refused> {
    let mut text = String::new();
    let read = file.take(MAX_BYTES).read_to_string(&mut text);
    let refused = |error| Refused(format!("cannot read the {what} `{}`: {error}", path.display()));
    read.map(|_| text).map_err(refused)
}

#[cfg(unix)]
fn refuse_if_others_can_read(path: &Path, file: &File) -> Result<(), Refused> {
    let metadata = file.metadata().map_err(|error| Refused(format!("`{}`: {error}", path.display())))?;
    let mode = std::os::unix::fs::MetadataExt::mode(&metadata) & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let shown = path.display();
    Err(Refused(format!("the key file `{shown}` has mode {mode:03o}, open to others; run `chmod 600` on it")))
}

#[cfg(not(unix))]
fn refuse_if_others_can_read(_: &Path, _: &File) -> Result<(), Refused> {
    Ok(())
}
