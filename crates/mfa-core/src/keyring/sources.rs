//! Where a ring's keys come from: text, an environment variable, a file, or the host's own unwrapping.
//!
//! The text form is one key after another, `id:` and 64 lower-case hexadecimal digits, with white space or
//! commas between them. The first key is active, the others read what they wrote. `#` begins a comment that
//! ends with its line. Digits come in one spelling, so that equal keys look equal, and it is the one that
//! `openssl rand -hex 32` prints.

mod error;
#[cfg(test)]
mod tests;

use std::env;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use super::{KeyId, KeyRing, KeyRingError};
use crate::{SecretBytes, SecretText};

pub use error::{KeySource, KeySourceError};

/// The longest text of a ring, in bytes.
const MAX_BYTES: usize = 64 * 1024;
/// The length of a root key in text.
const DIGITS: usize = 64;

impl KeyRing {
    /// Makes a ring of the keys in `text`, each `id:` and 64 lower-case hexadecimal digits, with white space or
    /// commas between them. The first is active. `#` begins a comment that ends with its line.
    ///
    /// ```
    /// use mfa_core::{KeyRing, SecretText};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (new, old) = ("5e".repeat(32), "a7".repeat(32));
    /// let ring = KeyRing::from_text(&SecretText::new(format!("2026-11:{new}, 2026-05:{old}")))?;
    /// assert_eq!(ring.active().as_str(), "2026-11");
    /// assert_eq!(ring.ids().len(), 2);
    ///
    /// let short = KeyRing::from_text(&SecretText::new("# the new one\n2026-11:5e5e")).unwrap_err();
    /// assert_eq!(short.code(), "wrong_key_length");
    /// assert_eq!(short.to_string(), "key 1 of the text, in line 2, cannot be used");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`KeySourceError::Key`] for the first key that breaks its form, is all zeros, or has the id or the bytes
    /// of one before it; [`KeySourceError::Empty`], and [`KeySourceError::TooLong`] above 65,536 bytes.
    pub fn from_text(text: &SecretText) -> Result<Self, KeySourceError> {
        parse(KeySource::Text, text.expose_secret().as_bytes())
    }

    /// Makes a ring of the keys in an environment variable, in the form of [`KeyRing::from_text`].
    ///
    /// The variable itself stays in the process's environment, which its children inherit.
    ///
    /// ```
    /// use mfa_core::KeyRing;
    /// // MFA_KEYS="2026-11:5e…5e,2026-05:a7…a7"
    /// match KeyRing::from_env("MFA_KEYS") {
    ///     Ok(ring) => println!("writing with {}", ring.active()),
    ///     Err(error) => {
    ///         assert_eq!(error.code(), "variable_not_set");
    ///         assert_eq!(error.to_string(), "the environment variable MFA_KEYS is not set");
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// [`KeySourceError::NotSet`], [`KeySourceError::NotText`], and those of [`KeyRing::from_text`].
    pub fn from_env(variable: &str) -> Result<Self, KeySourceError> {
        let not_set = || KeySourceError::NotSet { variable: variable.to_owned() };
        let value = env::var_os(variable).ok_or_else(not_set)?;
        let value = Zeroizing::new(value.into_encoded_bytes());
        parse(KeySource::Variable(variable.to_owned()), &value)
    }

    /// Makes a ring of the keys in a file, in the form of [`KeyRing::from_text`].
    ///
    /// On Unix the file must be closed to everybody but its owner, as `chmod 600` makes it. A symbolic link is
    /// followed; the rule is for the file it leads to.
    ///
    /// ```
    /// use mfa_core::KeyRing;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let path = std::env::temp_dir().join(format!("keys-of-{}", std::process::id()));
    /// # let mut options = std::fs::File::options();
    /// # options.write(true).create_new(true);
    /// # #[cfg(unix)]
    /// # std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    /// # use std::io::Write;
    /// # let write = |text: String| options.open(&path)?.write_all(text.as_bytes());
    /// write(format!("# since November\n2026-11:{}\n", "5e".repeat(32)))?;
    /// let ring = KeyRing::from_file(&path);
    /// std::fs::remove_file(&path)?;
    /// assert_eq!(ring?.active().as_str(), "2026-11");
    ///
    /// assert_eq!(KeyRing::from_file(&path).unwrap_err().code(), "file_missing");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`KeySourceError::Missing`], [`KeySourceError::NotAFile`], [`KeySourceError::OpenToOthers`],
    /// [`KeySourceError::Unreadable`], [`KeySourceError::NotText`], and those of [`KeyRing::from_text`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, KeySourceError> {
        let path = path.as_ref();
        let text = read(path)?;
        parse(KeySource::File(path.to_owned()), &text)
    }

    /// Makes a ring of keys that the host unwraps, as with a key management service: `unwrap` turns each
    /// wrapped key into 32 bytes, once and in order. The first is active.
    ///
    /// A host whose service is asynchronous awaits its keys first and gives them to [`KeyRing::from_keys`].
    ///
    /// ```
    /// use mfa_core::{KeyId, KeyRing, SecretBytes};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # fn decrypt(wrapped: &[u8]) -> Result<SecretBytes, std::io::Error> {
    /// #     match wrapped { [first, ..] => Ok(SecretBytes::new(vec![*first; 32])), [] => Err(std::io::ErrorKind::InvalidData.into()) }
    /// # }
    /// let id = KeyId::parse("2026-11")?;
    /// let ring = KeyRing::unwrapped_by([(id.clone(), b"wrapped")], |_id, wrapped| decrypt(wrapped))?;
    /// assert_eq!(ring.active(), id);
    ///
    /// let refused = KeyRing::unwrapped_by([(id, b"")], |_id, wrapped| decrypt(wrapped)).unwrap_err();
    /// assert_eq!(refused.to_string(), "the key 2026-11 cannot be unwrapped");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`KeySourceError::Unwrap`] with the error of `unwrap`, and those of [`KeyRing::from_keys`].
    pub fn unwrapped_by<W, E>(
        wrapped: impl IntoIterator<Item = (KeyId, W)>,
        mut unwrap: impl FnMut(&KeyId, W) -> Result<SecretBytes, E>,
    ) -> Result<Self, KeySourceError>
    where
        E: Into<Box<dyn core::error::Error + Send + Sync>>,
    {
        let mut ring = Building::new(KeySource::Host);
        for (id, wrapped) in wrapped {
            match unwrap(&id, wrapped) {
                Ok(root) => ring.add(None, id, &root)?,
                Err(error) => return Err(KeySourceError::Unwrap { id, source: error.into() }),
            }
        }
        ring.finish()
    }

    /// Makes a ring of keys of 32 bytes each. The first is active.
    ///
    /// # Errors
    /// [`KeySourceError::Key`] for the first key that has another length, is all zeros, or has the id or the
    /// bytes of one before it; [`KeySourceError::Empty`].
    pub fn from_keys(keys: impl IntoIterator<Item = (KeyId, SecretBytes)>) -> Result<Self, KeySourceError> {
        let mut ring = Building::new(KeySource::Host);
        for (id, root) in keys {
            ring.add(None, id, &root)?;
        }
        ring.finish()
    }
}

/// A ring that gets one key after another.
struct Building {
    origin: KeySource,
    seen: usize,
    ring: Option<KeyRing>,
}

impl Building {
    const fn new(origin: KeySource) -> Self {
        Self { origin, seen: 0, ring: None }
    }

    fn add(&mut self, line: Option<usize>, id: KeyId, root: &SecretBytes) -> Result<(), KeySourceError> {
        let root = root.expose_secret().try_into().map_err(|_| KeyRingError::Length);
        self.take(line, root.map(|root: &[u8; 32]| (id, Zeroizing::new(*root))))
    }

    /// Takes the next key, or what is wrong with it.
    fn take(
        &mut self,
        line: Option<usize>,
        key: Result<(KeyId, Zeroizing<[u8; 32]>), KeyRingError>,
    ) -> Result<(), KeySourceError> {
        self.seen = self.seen.saturating_add(1);
        let taken = key.and_then(|(id, root)| match &self.ring {
            Some(ring) => ring.insert(id, &root),
            None => KeyRing::of_one(id, &root).map(|ring| self.ring = Some(ring)),
        });
        let (origin, nth) = (&self.origin, self.seen);
        taken.map_err(|source| KeySourceError::Key { origin: origin.clone(), line, nth, source })
    }

    fn finish(self) -> Result<KeyRing, KeySourceError> {
        self.ring.ok_or(KeySourceError::Empty { origin: self.origin })
    }
}

fn parse(origin: KeySource, text: &[u8]) -> Result<KeyRing, KeySourceError> {
    if text.len() > MAX_BYTES {
        return Err(KeySourceError::TooLong { origin, limit: MAX_BYTES });
    }
    let Ok(text) = core::str::from_utf8(text) else { return Err(KeySourceError::NotText { origin }) };
    let mut ring = Building::new(origin);
    for (line, content) in (1..).zip(text.lines()) {
        let keys = content.split('#').next().unwrap_or_default();
        let between = |c: char| c.is_whitespace() || c == ',';
        for key in keys.split(between).filter(|key| !key.is_empty()) {
            ring.take(Some(line), parse_key(key))?;
        }
    }
    ring.finish()
}

fn parse_key(text: &str) -> Result<(KeyId, Zeroizing<[u8; 32]>), KeyRingError> {
    let (id, digits) = text.split_once(':').ok_or(KeyRingError::Form)?;
    let id = KeyId::parse(id)?;
    if digits.len() != DIGITS {
        return Err(KeyRingError::Length);
    }
    let mut root = Zeroizing::new([0; 32]);
    // invariant: 64 digits are 32 bytes; `decode_mut` wants exactly that much room.
    HEXLOWER.decode_mut(digits.as_bytes(), &mut *root).map_err(|_| KeyRingError::Digits)?;
    Ok((id, root))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeySourceError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => KeySourceError::Missing { path: path.to_owned() },
        _ => KeySourceError::Unreadable { path: path.to_owned(), source },
    };
    // Opening a pipe would wait for its other end.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(KeySourceError::NotAFile { path: path.to_owned() });
    }
    let file = File::open(path).map_err(failed)?;
    if let Some(mode) = open_to_others(&file).map_err(failed)? {
        return Err(KeySourceError::OpenToOthers { path: path.to_owned(), mode });
    }
    // Room for all at once: a buffer that grows leaves copies behind. One byte more tells what is too long.
    let mut text = Zeroizing::new(vec![0; MAX_BYTES.saturating_add(1)]);
    let length = fill(file, &mut text).map_err(failed)?;
    text.truncate(length);
    Ok(text)
}

/// Reads until the buffer is full or the file ends, and returns how much it was.
fn fill(mut file: File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length: usize = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(more) => length = length.saturating_add(more),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[cfg(unix)]
fn open_to_others(file: &File) -> io::Result<Option<u32>> {
    let mode = std::os::unix::fs::MetadataExt::mode(&file.metadata()?) & 0o777;
    Ok((mode & 0o077 != 0).then_some(mode))
}

#[cfg(not(unix))]
fn open_to_others(_: &File) -> io::Result<Option<u32>> {
    Ok(None)
}
