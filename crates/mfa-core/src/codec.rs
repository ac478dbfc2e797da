//! Injective encodings for hashes, macs and keys, and the versioned bytes that records hold.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Encodes parts so that different lists of parts give different bytes: each part behind its length.
pub(crate) fn tuple(parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().map(|part| part.len().saturating_add(4)).sum();
    let mut out = Vec::with_capacity(length);
    for part in parts {
        out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

/// Room for most records, so that they are encoded without growing.
const USUAL_BYTES: usize = 640;

/// A value that is kept in a record: its bytes begin with a format version and have a limit.
///
/// A program writes [`VERSION`](Versioned::VERSION) and reads it and, through
/// [`upgrade`](Versioned::upgrade), the one before. An unknown version is an error, never an absence.
pub trait Versioned: Sized + Serialize + DeserializeOwned {
    /// The version that is written, from 1 on.
    const VERSION: u8;
    /// The most bytes the encoding may have, the version byte included.
    const MAX_BYTES: usize;

    /// Reads the bytes of the version before this one, without their version byte. A first version has none before it,
    /// and knows no other.
    ///
    /// # Errors
    /// [`CodecError`] where `version` is not known or the bytes are not that version's.
    fn upgrade(version: u8, bytes: &[u8]) -> Result<Self, CodecError> {
        let _ = bytes;
        Err(CodecError::UnknownVersion { version })
    }

    /// Encodes the value behind its version byte.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] past [`Versioned::MAX_BYTES`].
    fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let mut bytes = Vec::with_capacity(Self::MAX_BYTES.min(USUAL_BYTES));
        bytes.push(Self::VERSION);
        let bytes = postcard::to_extend(self, bytes).map_err(|_| CodecError::Malformed)?;
        if bytes.len() > Self::MAX_BYTES {
            return Err(CodecError::TooLong { bytes: bytes.len(), limit: Self::MAX_BYTES });
        }
        Ok(bytes)
    }

    /// Decodes what [`Versioned::encode`] wrote, or its predecessor.
    ///
    /// # Errors
    /// [`CodecError`] for an unknown version, too many bytes, or bytes that are not such a value.
    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(CodecError::TooLong { bytes: bytes.len(), limit: Self::MAX_BYTES });
        }
        let (version, rest) = bytes.split_first().ok_or(CodecError::Malformed)?;
        if *version != Self::VERSION {
            return Self::upgrade(*version, rest);
        }
        match postcard::take_from_bytes(rest) {
            Ok((value, [])) => Ok(value),
            _ => Err(CodecError::Malformed),
        }
    }
}

/// Nothing to keep: for providers without a state, an enrolment or a secret of their own.
impl Versioned for () {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 1;
}

/// As the value itself: a large one is moved once.
impl<T: Versioned> Versioned for Box<T> {
    const VERSION: u8 = T::VERSION;
    const MAX_BYTES: usize = T::MAX_BYTES;

    fn upgrade(version: u8, bytes: &[u8]) -> Result<Self, CodecError> {
        T::upgrade(version, bytes).map(Self::new)
    }
}

/// Why bytes are not a value of the kind expected. The bytes themselves are never part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The format version is not one this program reads.
    #[error("format version {version} is unknown to this program")]
    UnknownVersion {
        /// The version found.
        version: u8,
    },
    /// The encoding is longer than its kind allows.
    #[error("{bytes} bytes, the limit is {limit}")]
    TooLong {
        /// The length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The bytes are not such a value.
    #[error("malformed bytes")]
    Malformed,
}
