//! What the engine keeps of a set, and of an answer while it is hashed.

use core::fmt;

use mfa_core::{CodecError, Versioned};
use serde::{Deserialize, Serialize};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

use crate::hash::{HASH_BYTES, Hash};
use crate::{Cost, Count, Form};

/// The bytes of a set's salt.
pub(crate) const SET_SALT_BYTES: usize = 16;

/// What a challenge keeps while an answer is hashed: the public selector, never the code nor a hash of it. It
/// has the same size whatever the selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedSelector([u8; 2]);

impl AskedSelector {
    pub(crate) const fn new(selector: u16) -> Self {
        Self(selector.to_be_bytes())
    }
}

impl Versioned for AskedSelector {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 3;
}

/// How many codes a set had, and how many are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodesLeft {
    form: Form,
    total: u8,
    left: u8,
}

impl CodesLeft {
    /// Returns whether the set is several codes or a key.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// Returns how many codes the set was made of.
    #[must_use]
    pub const fn total(&self) -> u8 {
        self.total
    }

    /// Returns how many are unused.
    #[must_use]
    pub const fn left(&self) -> u8 {
        self.left
    }
}

impl Versioned for CodesLeft {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 8;
}

/// What the engine seals of a set: its cost, its salt, and of each code the selector, the hash and whether it
/// was used. A used code's hash stays, so that only who has the code is told that it was used.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "KeptSet")]
pub struct RecoverySet {
    form: Form,
    memory_kib: u32,
    passes: u32,
    salt: [u8; SET_SALT_BYTES],
    entries: Vec<Entry>,
}

/// A set as it was decoded, not checked yet.
#[derive(Deserialize)]
struct KeptSet {
    form: Form,
    memory_kib: u32,
    passes: u32,
    salt: [u8; SET_SALT_BYTES],
    entries: Vec<Entry>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Entry {
    selector: [u8; 2],
    used: bool,
    hash: Zeroizing<[u8; HASH_BYTES]>,
}

/// What a hash was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Of no code of the set.
    Nothing,
    /// Of the unused code at this place.
    Unused(u8),
    /// Of a used code.
    Used,
}

impl RecoverySet {
    pub(crate) fn new(form: Form, cost: Cost, salt: [u8; SET_SALT_BYTES], hashes: Vec<(u16, Hash)>) -> Self {
        let entry =
            |(selector, hash): (u16, Hash)| Entry { selector: selector.to_be_bytes(), used: false, hash };
        let entries = hashes.into_iter().map(entry).collect();
        Self { form, memory_kib: cost.memory_kib(), passes: cost.passes(), salt, entries }
    }

    /// Returns a set that no code fits: to find one that does, one would have to be hashed to nothing but zeros.
    pub(crate) fn of_nobody(form: Form, count: u8, cost: Cost) -> Self {
        let hashes = (0..u16::from(count)).map(|selector| (selector, Hash::default())).collect();
        Self::new(form, cost, [0; SET_SALT_BYTES], hashes)
    }

    /// Returns the set if it can be one.
    pub(crate) fn checked(self) -> Option<Self> {
        let most = match self.form {
            Form::Codes => usize::from(Count::MAX),
            Form::Key => 1,
        };
        let fits = (1..=most).contains(&self.entries.len()) && self.cost().is_ok();
        fits.then_some(self)
    }

    pub(crate) const fn form(&self) -> Form {
        self.form
    }

    pub(crate) fn cost(&self) -> Result<Cost, CodecError> {
        Cost::of_kept(self.memory_kib, self.passes).ok_or(CodecError::Malformed)
    }

    pub(crate) const fn salt(&self) -> [u8; SET_SALT_BYTES] {
        self.salt
    }

    /// Looks at every code in the same way, whichever it is and whether there is one.
    pub(crate) fn find(&self, asked: AskedSelector, hash: &Hash) -> Found {
        let (mut found, mut used, mut place) = (Choice::from(0), Choice::from(0), 0_u8);
        for (at, entry) in (0_u8..).zip(&self.entries) {
            let hit = entry.selector.ct_eq(&asked.0) & entry.hash.ct_eq(hash.as_slice());
            found |= hit;
            used |= hit & Choice::from(u8::from(entry.used));
            place.conditional_assign(&at, hit);
        }
        match (found.into(), used.into()) {
            (false, _) => Found::Nothing,
            (true, false) => Found::Unused(place),
            (true, true) => Found::Used,
        }
    }

    /// Marks the code at this place as used.
    pub(crate) fn spend(mut self, place: u8) -> Self {
        if let Some(entry) = self.entries.get_mut(usize::from(place)) {
            entry.used = true;
        }
        self
    }

    pub(crate) fn left(&self) -> CodesLeft {
        let number = |codes: usize| u8::try_from(codes).unwrap_or(u8::MAX);
        CodesLeft {
            form: self.form,
            total: number(self.entries.len()),
            left: number(self.entries.iter().filter(|entry| !entry.used).count()),
        }
    }
}

impl TryFrom<KeptSet> for RecoverySet {
    type Error = CodecError;

    fn try_from(kept: KeptSet) -> Result<Self, CodecError> {
        let KeptSet { form, memory_kib, passes, salt, entries } = kept;
        Self { form, memory_kib, passes, salt, entries }.checked().ok_or(CodecError::Malformed)
    }
}

impl Versioned for RecoverySet {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 512;
}

impl fmt::Debug for RecoverySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecoverySet")
            .field("left", &self.left())
            .field("memory_kib", &self.memory_kib)
            .field("passes", &self.passes)
            .field("entries", &format_args!("[redacted]"))
            .finish_non_exhaustive()
    }
}
