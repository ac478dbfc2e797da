//! Every clause of the provider suite fails on a provider that breaks it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::unwrap_in_result,
    reason = "a broken provider is a part of a test"
)]

mod kept;
mod sticks;
mod tally;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mfa_testkit::provider_suite::{Clause, ProviderCase, clauses};

use sticks::SticksCase;
use tally::TallyCase;

/// What the provider does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    Sound,
    DescriptionChanges,
    SettingsErrorsRepeatValues,
    RefusesItsSettings,
    DrawsFromItsOwnSource,
    PanicsOnPoll,
    AcceptsPolls,
    AcceptsBeforeItBegins,
    ClaimsMoreThanItDescribes,
    RejectsTheRightAnswer,
    AcceptsOnce,
    FailsOnAWrongAnswer,
    StopsAfterAWrongAnswer,
    MalformedIsWrong,
    MalformedIsAnError,
    ComparesThePrefix,
    TakesAnyKind,
    ForgetsTheStep,
    ForgetsTheConfirmingStep,
    IgnoresTheSecret,
    DecodesAllButAPart,
    KeepsMoreThanItsLimit,
    DecodesLongBytes,
    ReadsAnyVersion,
    TakesTrailingBytes,
    TakesNoBytes,
    ShowsTheSecret,
    ShowsTheMessage,
    KeepsTheSecretInTheState,
    RevealsInALogin,
    DescribesNoEffects,
    SendsForFree,
    ChecksForFree,
    AcceptsInterruptions,
    ProvesMoreThanRecovery,
    IsConfirmed,
    JudgesWhileIssuing,
    RevealsNothing,
    CountsNoUses,
    CountsRefusedAnswers,
    NeverCountsDown,
    AcceptsUsedOnesAtTheEnd,
    HashesForFree,
    IssuesAtACharge,
    LooksBeforeItHashes,
    KeepsMoreOfTheUnknown,
    TellsThatAPlaceIsUsed,
}

use Mutant::*;

/// The clause must fail on the provider with the defect.
const PAIRS: &[(Mutant, &str)] = &[
    (DescriptionChanges, "the_description_does_not_change"),
    (SettingsErrorsRepeatValues, "settings_are_checked_without_repeating_their_values"),
    (RefusesItsSettings, "settings_are_checked_without_repeating_their_values"),
    (DrawsFromItsOwnSource, "the_same_inputs_give_the_same_step"),
    (PanicsOnPoll, "events_in_any_order_are_steps_or_errors"),
    (AcceptsPolls, "events_in_any_order_are_steps_or_errors"),
    (AcceptsBeforeItBegins, "events_in_any_order_are_steps_or_errors"),
    (ClaimsMoreThanItDescribes, "evidence_is_no_stronger_than_described"),
    (RejectsTheRightAnswer, "the_right_answer_is_accepted"),
    (AcceptsOnce, "the_right_answer_is_accepted"),
    (FailsOnAWrongAnswer, "a_wrong_answer_is_rejected"),
    (StopsAfterAWrongAnswer, "a_wrong_answer_is_rejected"),
    (MalformedIsWrong, "a_malformed_answer_is_rejected_as_such"),
    (MalformedIsAnError, "a_malformed_answer_is_rejected_as_such"),
    (MalformedIsAnError, "a_hostile_answer_is_rejected"),
    (ComparesThePrefix, "a_hostile_answer_is_rejected"),
    (TakesAnyKind, "an_answer_of_another_kind_is_not_accepted"),
    (ForgetsTheStep, "an_accepted_answer_is_not_accepted_again"),
    (ForgetsTheConfirmingStep, "an_accepted_answer_is_not_accepted_again"),
    (IgnoresTheSecret, "the_answer_of_another_enrolment_is_not_accepted"),
    (DecodesAllButAPart, "kept_values_come_back_from_their_bytes"),
    (KeepsMoreThanItsLimit, "kept_values_are_bounded"),
    (DecodesLongBytes, "kept_values_are_bounded"),
    (ReadsAnyVersion, "unknown_versions_are_refused"),
    (TakesTrailingBytes, "damaged_bytes_are_refused"),
    (TakesNoBytes, "damaged_bytes_are_refused"),
    (ShowsTheSecret, "no_secret_is_in_a_public_part"),
    (ShowsTheMessage, "no_secret_is_in_a_public_part"),
    (KeepsTheSecretInTheState, "no_secret_is_in_a_public_part"),
    (RevealsInALogin, "secrets_are_revealed_in_an_enrolment_alone"),
    (DescribesNoEffects, "effects_are_described"),
    (SendsForFree, "checks_sends_and_pushes_are_charged"),
    (ChecksForFree, "checks_sends_and_pushes_are_charged"),
    (AcceptsInterruptions, "an_interrupted_effect_accepts_nothing"),
];

/// The same for providers of recovery.
const RECOVERY_PAIRS: &[(Mutant, &str)] = &[
    (ProvesMoreThanRecovery, "the_description_does_not_change"),
    (IsConfirmed, "an_enrolment_ends_as_its_role_says"),
    (JudgesWhileIssuing, "an_enrolment_ends_as_its_role_says"),
    (RevealsNothing, "an_enrolment_ends_as_its_role_says"),
    (CountsNoUses, "uses_are_counted_down"),
    (CountsRefusedAnswers, "uses_are_counted_down"),
    (NeverCountsDown, "uses_are_counted_down"),
    (AcceptsUsedOnesAtTheEnd, "uses_are_counted_down"),
    (HashesForFree, "checks_sends_and_pushes_are_charged"),
    (IssuesAtACharge, "checks_sends_and_pushes_are_charged"),
    (LooksBeforeItHashes, "recovery_answers_cost_the_same"),
    (KeepsMoreOfTheUnknown, "recovery_answers_cost_the_same"),
    (TellsThatAPlaceIsUsed, "recovery_answers_cost_the_same"),
];

thread_local! {
    static MUTANT: Cell<Mutant> = const { Cell::new(Sound) };
}

/// Whether the defect is on: codecs have no other way to learn of it than the thread.
pub(crate) fn is(mutant: Mutant) -> bool {
    MUTANT.get() == mutant
}

#[test]
fn every_clause_fails_on_its_broken_doubles() {
    let survivors = [survivors(PAIRS, TallyCase::new), survivors(RECOVERY_PAIRS, SticksCase::new)].concat();
    assert!(survivors.is_empty(), "these defects are not found: {survivors:#?}");
}

#[test]
fn every_clause_has_a_broken_double() {
    let all = clauses::<TallyCase>();
    let named = |clause: &&Clause<TallyCase>| {
        PAIRS.iter().chain(RECOVERY_PAIRS).any(|(_, name)| *name == clause.name)
    };
    let without: Vec<_> = all.iter().filter(|clause| !named(clause)).collect();
    assert!(without.is_empty(), "clauses that no pair names: {without:?}");
}

mod without_a_defect {
    mfa_testkit::provider_suite!(crate::tally::TallyCase::new());
}

mod without_a_defect_of_recovery {
    mfa_testkit::provider_suite!(crate::sticks::SticksCase::new());
}

/// The pairs whose clause holds although the provider has the defect.
fn survivors<C: ProviderCase>(
    pairs: &[(Mutant, &'static str)],
    case: fn() -> C,
) -> Vec<(Mutant, &'static str)> {
    pairs.iter().filter(|(mutant, name)| holds(*mutant, &clause(name), case)).copied().collect()
}

fn clause<C: ProviderCase>(name: &str) -> Clause<C> {
    let mut all = clauses().into_iter();
    all.find(|clause| clause.name == name).unwrap_or_else(|| panic!("no clause {name}"))
}

fn holds<C: ProviderCase>(mutant: Mutant, clause: &Clause<C>, case: fn() -> C) -> bool {
    MUTANT.set(mutant);
    let held = catch_unwind(AssertUnwindSafe(|| (clause.run)(&case()))).is_ok();
    MUTANT.set(Sound);
    held
}
