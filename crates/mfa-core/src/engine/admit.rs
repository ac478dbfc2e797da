//! Admission: how many answers that cost a slow hash one process works on at a time, and that it asks a service about a
//! challenge once at a time.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Engine;
use crate::request::Act;
use crate::{AnswerKind, EffectKind, Error, Response};

/// As many as wait at most in a pool for slow work. One more is told `busy` before anything is read for it, so that a
/// thousand guesses at once cost logins beside them a thousand refusals, not a thousand charges and refunds.
const MOST: usize = 64;

/// How many are being worked on.
#[derive(Debug, Default)]
pub(super) struct SlowAnswers(AtomicUsize);

/// One place among them, given back when dropped: a dropped call is over, too.
#[derive(Debug)]
pub(super) struct Place<'a>(&'a SlowAnswers);

impl SlowAnswers {
    fn take(&self) -> Option<Place<'_>> {
        let more = |taken: usize| (taken < MOST).then_some(taken.saturating_add(1));
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Place(self))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The challenges and pending enrolments for which an effect that costs nothing is being run. Whoever has one reference
/// could otherwise have this process hold as many requests to a service open as they can make polls.
#[derive(Debug, Default)]
pub(super) struct FreeEffects(Mutex<HashSet<[u8; 16]>>);

/// The right to run one, given back when dropped: a dropped call is over, too.
#[derive(Debug)]
pub(super) struct Alone<'a> {
    of: &'a FreeEffects,
    id: [u8; 16],
}

impl FreeEffects {
    fn take(&self, id: [u8; 16]) -> Option<Alone<'_>> {
        let is_free = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        // Not made where it is not given: its end would give the other call's place away.
        is_free.then(|| Alone { of: self, id })
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.of.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

impl Engine {
    /// Takes the right to run an effect that costs nothing, for the challenge or pending enrolment of this id. `None`
    /// while another call has it.
    pub(super) fn alone(&self, id: [u8; 16]) -> Option<Alone<'_>> {
        self.inner.free_effects.take(id)
    }

    /// Takes a place for an answer that costs a slow hash; other answers need none. Whose challenge it is for does
    /// not matter, nor whether there is one: nothing is known of it yet.
    pub(super) fn admit(&self, response: &Response) -> Result<Option<Place<'_>>, Error> {
        match &response.act {
            Act::Answer(answer) if self.is_slow(answer.kind()) => {
                self.inner.slow_answers.take().map(Some).ok_or(Error::Busy)
            }
            Act::Answer(_) | Act::Start(_) | Act::Poll => Ok(None),
        }
    }

    /// Returns whether every provider that takes answers of this kind hashes them.
    fn is_slow(&self, kind: AnswerKind) -> bool {
        let providers = self.inner.rules.providers.values().map(|provider| provider.code.describe());
        let mut takers = providers.filter(|provider| provider.answers.contains(&kind)).peekable();
        takers.peek().is_some() && takers.all(|provider| provider.effects.contains(&EffectKind::Hash))
    }
}
