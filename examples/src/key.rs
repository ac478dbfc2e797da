//! The ring's root key: a file of its own beside the database, never in it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use data_encoding::HEXLOWER;
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
    let mut root = Zeroizing::new([0; 32]);
    OsEntropy::new().fill(&mut *root)?;
    let digits = Zeroizing::new(HEXLOWER.encode(&*root));
    match create(path, &digits) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made.map_err(|error| {
            Failure::failed(format!("cannot create the key file `{}`: {error}", path.display()))
        })?,
    }
    read(path)
}

fn create(path: &Path, digits: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let written = writeln!(file, "example-1:{digits}").and_then(|()| file.sync_all());
    // Half a key is worse than none.
    written.or_else(|error| fs::remove_file(path).and(Err(error)))
}
