//! The files that are read: the log, the trusted checkpoint.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use mfa::audit::Checkpoint;
use mfa::audit::export::checkpoint_from_line;

use crate::Refused;

/// More than a checkpoint takes, in bytes.
const MAX_BYTES: u64 = 4096;
/// What is read from the log at once, in bytes.
const READ_BYTES: usize = 1 << 18;

pub(crate) fn log(path: &Path) -> Result<BufReader<File>, Refused> {
    Ok(BufReader::with_capacity(READ_BYTES, open("log", path)?))
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
