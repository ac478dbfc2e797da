//! Every clause of the store suite fails on a store that breaks it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a broken store is a part of a test"
)]

mod audit;
mod broken;
mod checkpoints;
mod commit;
mod mutant;
mod table;

use std::panic::{AssertUnwindSafe, catch_unwind};

use mfa_core::MemoryStore;
use mfa_testkit::store_suite::{CLAUSES, Clause, TestStore, run};

use broken::Broken;
use mutant::Mutant;
use table::PAIRS;

#[test]
fn every_clause_fails_on_its_broken_doubles() {
    let sound = |(mutant, name): &(Mutant, &str)| holds(clause(name), &Broken::new(*mutant));
    let survivors: Vec<_> = PAIRS.iter().filter(|pair| sound(pair)).collect();
    assert!(survivors.is_empty(), "these defects are not found: {survivors:#?}");
}

#[test]
fn every_clause_has_a_broken_double() {
    let named = |clause: &&Clause| PAIRS.iter().any(|(_, name)| *name == clause.name);
    let without: Vec<_> = CLAUSES.iter().filter(|clause| !named(clause)).collect();
    assert!(without.is_empty(), "clauses that no pair names: {without:?}");
}

#[test]
fn every_clause_holds_on_the_wrapper_without_a_defect() {
    for clause in CLAUSES {
        assert!(holds(clause, &Broken::new(Mutant::Sound)), "{}", clause.name);
    }
}

#[test]
fn every_clause_holds_on_one_store_used_by_all_of_them_at_once() {
    let store = &MemoryStore::new();
    std::thread::scope(|scope| {
        for clause in CLAUSES.iter().chain(CLAUSES) {
            scope.spawn(move || run((clause.run)(store)));
        }
    });
}

fn clause(name: &str) -> &'static Clause {
    CLAUSES.iter().find(|clause| clause.name == name).unwrap_or_else(|| panic!("no clause {name}"))
}

fn holds(clause: &Clause, store: &dyn TestStore) -> bool {
    catch_unwind(AssertUnwindSafe(|| run((clause.run)(store)))).is_ok()
}
