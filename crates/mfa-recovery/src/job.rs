//! The two slow jobs and what they answer: hashes of a new set, and the one hash of an answer.

use mfa_core::{CodecError, HashJob, SecretBytes};
use zeroize::Zeroizing;

use crate::hash::{HASH_BYTES, Hash, Memory, argon2id};
use crate::kept::{RecoverySet, SET_SALT_BYTES};
use crate::{Cost, Error, Form, RecoveryCode, RecoveryCodes};

/// The first byte of a digest says what it is of.
const OF_ANSWER: u8 = 1;
const OF_SET: u8 = 2;

/// Returns the job that hashes an answer: one hash, whatever the set holds.
pub(crate) fn of_answer(code: RecoveryCode, set: &RecoverySet) -> Result<HashJob, CodecError> {
    let (cost, salt) = (set.cost()?, set.salt());
    Ok(HashJob::new(move || {
        digest(|| {
            let hash = hash_of(&code, salt, cost, None)?;
            let mut digest = Zeroizing::new(Vec::with_capacity(ANSWER_BYTES));
            digest.push(OF_ANSWER);
            digest.extend_from_slice(hash.as_slice());
            Ok(digest)
        })
    }))
}

/// Reads what [`of_answer`] answered.
pub(crate) fn read_answer(digest: &[u8]) -> Result<Hash, CodecError> {
    match digest.split_first() {
        Some((&OF_ANSWER, hash)) => hash.try_into().map(Zeroizing::new).map_err(|_| CodecError::Malformed),
        _ => Err(CodecError::Malformed),
    }
}

/// Returns the job that hashes the codes of a new set. Its digest carries the codes too, so that they are
/// nowhere else until they are shown.
pub(crate) fn of_set(codes: RecoveryCodes, salt: [u8; SET_SALT_BYTES], cost: Cost) -> HashJob {
    HashJob::new(move || {
        digest(|| {
            let mut memory = Memory::new(cost)?;
            let entry = codes.form().chars().saturating_add(HASH_BYTES);
            let bytes = HEADER_BYTES.saturating_add(entry.saturating_mul(codes.iter().len()));
            // invariant: never grows, which would leave copies of codes behind.
            let mut digest = Zeroizing::new(Vec::with_capacity(bytes));
            digest.push(OF_SET);
            digest.push(match codes.form() {
                Form::Codes => 1,
                Form::Key => 2,
            });
            digest.push(u8::try_from(codes.iter().len()).unwrap_or(u8::MAX));
            digest.extend_from_slice(&cost.memory_kib().to_be_bytes());
            digest.extend_from_slice(&cost.passes().to_be_bytes());
            digest.extend_from_slice(&salt);
            for code in codes.iter() {
                digest.extend_from_slice(code.canonical().as_bytes());
                digest.extend_from_slice(hash_of(code, salt, cost, Some(&mut memory))?.as_slice());
            }
            Ok(digest)
        })
    })
}

/// Reads what [`of_set`] answered: the codes to show, and the set to keep.
pub(crate) fn read_set(digest: &[u8]) -> Result<(RecoveryCodes, RecoverySet), CodecError> {
    parse_set(digest).ok_or(CodecError::Malformed)
}

fn parse_set(digest: &[u8]) -> Option<(RecoveryCodes, RecoverySet)> {
    let ([tag, form, count], rest) = digest.split_first_chunk()?;
    let (memory, rest) = rest.split_first_chunk()?;
    let (passes, rest) = rest.split_first_chunk()?;
    let (salt, mut rest) = rest.split_first_chunk()?;
    let form = match (*tag, *form) {
        (OF_SET, 1) => Form::Codes,
        (OF_SET, 2) => Form::Key,
        _ => return None,
    };
    let cost = Cost::of_kept(u32::from_be_bytes(*memory), u32::from_be_bytes(*passes))?;
    let (mut codes, mut hashes) = (Vec::new(), Vec::new());
    while !rest.is_empty() {
        let (text, after) = rest.split_at_checked(form.chars())?;
        let (hash, after) = after.split_first_chunk()?;
        let code = RecoveryCode::parse(core::str::from_utf8(text).ok()?).ok()?;
        hashes.push((code.selector(), Zeroizing::new(*hash)));
        codes.push(code);
        rest = after;
    }
    if codes.len() != usize::from(*count) {
        return None;
    }
    let set = RecoverySet::new(form, cost, *salt, hashes).checked()?;
    Some((RecoveryCodes::of(form, codes), set))
}

/// Hashes one code of a set: its salt is the set's and its selector, so no two codes share one.
fn hash_of(
    code: &RecoveryCode,
    salt: [u8; SET_SALT_BYTES],
    cost: Cost,
    memory: Option<&mut Memory>,
) -> Result<Hash, Error> {
    let mut whole = [0; SET_SALT_BYTES + 2];
    let parts = salt.into_iter().chain(code.selector().to_be_bytes());
    whole.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    argon2id(code.canonical().as_bytes(), &whole, cost, memory)
}

/// A job that fails has no digest, and no digest is ever right.
fn digest(work: impl FnOnce() -> Result<Zeroizing<Vec<u8>>, Error>) -> SecretBytes {
    work().map(SecretBytes::from).unwrap_or_default()
}

const ANSWER_BYTES: usize = 1 + HASH_BYTES;
const HEADER_BYTES: usize = 3 + 4 + 4 + SET_SALT_BYTES;
