//! What a provider has the engine keep.

use mfa_core::{CodecError, MAX_ENROLMENT_BYTES, Provider, Versioned};

use super::ProviderCase;
use super::session::{Kept, Session};

type State<C> = <<C as ProviderCase>::Provider as Provider>::State;
type Enrolment<C> = <<C as ProviderCase>::Provider as Provider>::Enrolment;
type Secret<C> = <<C as ProviderCase>::Provider as Provider>::Secret;

/// Every kept value decodes from its bytes, and encodes to the same bytes again.
pub fn kept_values_come_back_from_their_bytes<C: ProviderCase>(case: &C) {
    for kept in every_kept(case) {
        comes_back::<State<C>>(kept.state.as_deref());
        comes_back::<Enrolment<C>>(kept.enrolment.as_deref());
        comes_back::<Secret<C>>(kept.secret.as_deref());
    }
}

/// Every kept value is within its limit, an enrolment within [`MAX_ENROLMENT_BYTES`] too, and bytes past
/// the limit are refused.
pub fn kept_values_are_bounded<C: ProviderCase>(case: &C) {
    assert!(Enrolment::<C>::MAX_BYTES <= MAX_ENROLMENT_BYTES, "the limit of an enrolment");
    for kept in every_kept(case) {
        is_bounded::<State<C>>(kept.state.as_deref());
        is_bounded::<Enrolment<C>>(kept.enrolment.as_deref());
        is_bounded::<Secret<C>>(kept.secret.as_deref());
    }
}

/// A version that is neither the one written nor the one before is an error.
pub fn unknown_versions_are_refused<C: ProviderCase>(case: &C) {
    for kept in every_kept(case) {
        refuses_versions::<State<C>>(kept.state.as_deref());
        refuses_versions::<Enrolment<C>>(kept.enrolment.as_deref());
        refuses_versions::<Secret<C>>(kept.secret.as_deref());
    }
}

/// No bytes at all, a version alone where more belongs, a cut tail and a longer one are errors.
pub fn damaged_bytes_are_refused<C: ProviderCase>(case: &C) {
    for kept in every_kept(case) {
        refuses_damage::<State<C>>(kept.state.as_deref());
        refuses_damage::<Enrolment<C>>(kept.enrolment.as_deref());
        refuses_damage::<Secret<C>>(kept.secret.as_deref());
    }
}

/// What is kept after each step of an enrolment and of logins with wrong and right answers.
fn every_kept<C: ProviderCase>(case: &C) -> Vec<Kept> {
    let mut session = Session::logging_in(case, 1);
    let _ = session.answer(&session.wrong());
    let _ = session.answer(&session.right());
    session.pass(case.next_answer_after());
    session.begin_login();
    let _ = session.answer(&session.right());
    session.seen.into_iter().map(|seen| seen.kept).collect()
}

fn comes_back<T: Versioned>(bytes: Option<&[u8]>) {
    let Some(bytes) = bytes else { return };
    let again = T::decode(bytes).and_then(|value| value.encode()).expect("it decodes and encodes");
    assert_eq!(again, bytes, "the same bytes again");
    assert_eq!(bytes.first(), Some(&T::VERSION), "bytes begin with their version");
}

fn is_bounded<T: Versioned>(bytes: Option<&[u8]>) {
    let Some(bytes) = bytes else { return };
    assert!(bytes.len() <= T::MAX_BYTES, "{} bytes, the limit is {}", bytes.len(), T::MAX_BYTES);
    let mut long = bytes.to_vec();
    long.resize(T::MAX_BYTES + 1, 0);
    let refused = matches!(T::decode(&long), Err(CodecError::TooLong { .. }));
    assert!(refused, "bytes past the limit are refused as too long");
}

fn refuses_versions<T: Versioned>(bytes: Option<&[u8]>) {
    let Some((version, rest)) = bytes.and_then(<[u8]>::split_first) else {
        return;
    };
    let known = [*version, version.saturating_sub(1)];
    for unknown in (0..=255).filter(|v| *v == 0 || !known.contains(v)) {
        let decoded = T::decode(&[&[unknown], rest].concat());
        assert!(decoded.is_err(), "version {unknown} is not known");
    }
}

fn refuses_damage<T: Versioned>(bytes: Option<&[u8]>) {
    let Some(bytes) = bytes else { return };
    assert!(T::decode(&[]).is_err(), "no bytes");
    for end in 1..bytes.len() {
        // A cut that still decodes must mean something else: it may not be taken for the whole.
        let cut = T::decode(&bytes[..end]).and_then(|value| value.encode());
        assert_ne!(cut.as_deref(), Ok(bytes), "cut to {end} bytes");
    }
    assert!(T::decode(&[bytes, &[0]].concat()).is_err(), "a byte more");
}
