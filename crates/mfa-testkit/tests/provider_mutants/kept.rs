//! What the tally provider keeps, in a codec with defects.

use mfa_core::{CodecError, Versioned};
use serde::{Deserialize, Serialize};

use crate::{Mutant, is};

/// How far a challenge has come, and a text that does not belong there.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stage {
    pub(crate) wrong: u8,
    pub(crate) sending: bool,
    pub(crate) note: String,
}

/// The last step whose code was used.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Used(pub(crate) u64);

/// What the codes are made of.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seed(pub(crate) [u8; 8]);

/// The place of the stick whose number is being checked, and more where a defect keeps more.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) place: char,
    pub(crate) note: String,
}

/// How many sticks are left.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Left(pub(crate) u8);

/// The hashes of the sticks, and whether each was used.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sticks(pub(crate) Vec<(u64, bool)>);

impl Stage {
    fn forget(&mut self) {
        self.wrong = 0;
    }
}

impl Used {
    fn forget(&mut self) {}
}

impl Seed {
    fn forget(&mut self) {}
}

impl Asked {
    fn forget(&mut self) {}
}

impl Left {
    fn forget(&mut self) {}
}

impl Sticks {
    fn forget(&mut self) {}
}

macro_rules! versioned {
    ($name:ident, $max:literal) => {
        impl Versioned for $name {
            const VERSION: u8 = 3;
            const MAX_BYTES: usize = $max;

            fn encode(&self) -> Result<Vec<u8>, CodecError> {
                let json = serde_json::to_vec(self).map_err(|_| CodecError::Malformed)?;
                let mut bytes = [&[Self::VERSION], &json[..]].concat();
                if is(Mutant::KeepsMoreThanItsLimit) {
                    bytes.resize(Self::MAX_BYTES + 1, b' ');
                }
                Ok(bytes)
            }

            fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
                if is(Mutant::TakesNoBytes) && bytes.is_empty() {
                    return Ok(Self::default());
                }
                let lenient = is(Mutant::DecodesLongBytes) || is(Mutant::KeepsMoreThanItsLimit);
                if bytes.len() > Self::MAX_BYTES && !lenient {
                    let (bytes, limit) = (bytes.len(), Self::MAX_BYTES);
                    return Err(CodecError::TooLong { bytes, limit });
                }
                let (version, rest) = bytes.split_first().ok_or(CodecError::Malformed)?;
                if *version != Self::VERSION && !is(Mutant::ReadsAnyVersion) {
                    return Self::upgrade(*version, rest);
                }
                if is(Mutant::TakesTrailingBytes) {
                    let mut values = serde_json::Deserializer::from_slice(rest).into_iter();
                    return values.next().and_then(Result::ok).ok_or(CodecError::Malformed);
                }
                let mut value: Self = serde_json::from_slice(rest).map_err(|_| CodecError::Malformed)?;
                if is(Mutant::DecodesAllButAPart) {
                    value.forget();
                }
                Ok(value)
            }
        }
    };
}

versioned!(Stage, 200);
versioned!(Used, 30);
versioned!(Seed, 60);
versioned!(Asked, 60);
versioned!(Left, 30);
versioned!(Sticks, 200);
