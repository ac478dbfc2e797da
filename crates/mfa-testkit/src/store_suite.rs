//! The clauses of the store contract, one function each.
//!
//! Every clause takes a store and works in scopes and kinds of its own, so that it runs on a fresh store
//! and on one that others use at the same time. Only the clauses of [`purge`] want the store's past to
//! themselves: one process at a time. A clause that is broken panics and says what was expected.
//!
//! [`store_suite!`](crate::store_suite!) makes a test of each; [`CLAUSES`] names them all.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::missing_panics_doc,
    reason = "a clause is the body of a test: it panics where the contract is broken"
)]

pub mod atomicity;
pub mod bodies;
pub mod checkpoints;
pub mod concurrency;
pub mod erasure;
pub mod events;
pub mod expectations;
pub mod expiry;
mod fixture;
pub mod form;
pub mod keys;
pub mod lists;
pub mod purge;
pub mod queries;
pub mod reads;
pub mod scans;

use core::fmt;

use audit_model::{AuditLog, Checkpoints};
use futures::future::BoxFuture;
use mfa_core::Store;

/// A store with the audit log of the events it keeps, and what fixes it: what the suite runs on.
pub trait TestStore: Store + AuditLog + Checkpoints {}

impl<T: Store + AuditLog + Checkpoints + ?Sized> TestStore for T {}

const _: Option<&dyn TestStore> = None;

/// One clause of the contract.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Clause {
    /// The name of its function.
    pub name: &'static str,
    /// Its function, as a value.
    pub run: for<'a> fn(&'a dyn TestStore) -> BoxFuture<'a, ()>,
}

impl fmt::Debug for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Runs one clause on this thread; it must not be inside another executor.
pub fn run(clause: impl Future<Output = ()>) {
    futures::executor::block_on(clause);
}

macro_rules! clauses {
    ($($topic:ident { $($name:ident)* })*) => {
        /// Every clause.
        pub const CLAUSES: &[Clause] = &[$($(
            Clause { name: stringify!($name), run: |store| Box::pin($topic::$name(store)) },
        )*)*];

        /// Makes one `#[test]` of every clause of the store contract.
        ///
        /// The argument is an expression that gives a [`TestStore`](crate::store_suite::TestStore); it is
        /// evaluated once in each test. The store must work on a plain thread: one that needs an async
        /// runtime brings its own.
        ///
        /// ```
        /// mfa_testkit::store_suite!(mfa_core::MemoryStore::new());
        /// ```
        #[macro_export]
        macro_rules! store_suite {
            ($make:expr) => {$($(
                #[test]
                fn $name() {
                    let store = $make;
                    $crate::store_suite::run($crate::store_suite::$topic::$name(&store));
                }
            )*)*};
        }
    };
}

clauses! {
    reads {
        get_answers_in_the_order_of_the_keys
        get_gives_nothing_for_an_absent_record
        get_reads_several_scopes
        get_of_one_scope_sees_a_commit_whole
    }
    bodies {
        bodies_come_back_as_they_were_put
        the_longest_body_fits
        a_record_carries_the_version_of_its_commit
        a_second_put_replaces_everything
        an_expiry_comes_back_to_the_millisecond
    }
    form {
        a_body_past_the_limit_is_too_large_and_writes_nothing
        an_id_past_the_limit_is_too_large_and_writes_nothing
        a_write_of_another_scope_is_misuse_and_writes_nothing
        an_event_of_another_scope_is_misuse_and_writes_nothing
        two_writes_of_one_key_are_misuse_and_write_nothing
        an_empty_commit_is_done
    }
    expectations {
        put_expecting_absence_needs_it
        put_expecting_a_version_needs_it
        put_expecting_anything_always_happens
        delete_expecting_absence_needs_it
        delete_expecting_a_version_needs_it
        delete_expecting_anything_always_happens
        check_needs_its_version_and_changes_nothing
    }
    atomicity {
        a_commit_happens_whole
        a_conflict_writes_none_of_the_records
        a_failing_check_stops_every_write
        the_first_conflicting_key_is_named
        a_conflict_writes_no_events
        a_conflict_erases_nothing
        a_dropped_commit_happens_whole_or_not_at_all
    }
    expiry {
        get_hides_the_expired
        list_hides_the_expired
        scan_hides_the_expired
        a_record_expires_at_its_millisecond
        the_expired_counts_as_absent
        the_expired_has_no_version
        time_is_the_callers
    }
    lists {
        list_orders_by_the_bytes_of_the_id
        list_keeps_to_the_prefix
        list_goes_on_behind_an_id
        list_respects_the_limit
        list_keeps_to_its_scope_and_kind
        list_gives_whole_records
    }
    scans {
        scan_finds_every_record_of_every_scope_once
        scan_keeps_to_its_kind
        scan_respects_the_limit
        scan_goes_on_behind_a_deleted_key
        scan_gives_whole_records
    }
    purge {
        purge_takes_the_expired_alone
        purge_respects_the_limit
        purge_keeps_events
    }
    keys {
        different_keys_are_different_records
        names_are_compared_byte_by_byte
    }
    events {
        an_event_reads_back_as_written
        all_events_of_a_commit_are_stored
        an_event_is_found_in_its_scope_alone
        an_event_is_stored_once
        an_event_is_stored_once_in_one_commit
    }
    queries {
        query_keeps_to_its_scope
        query_by_view
        query_by_user
        query_by_module
        query_by_kind
        query_by_outcome
        query_by_auth_type
        query_by_address
        query_includes_both_ends_of_a_range
        query_combines_its_conditions
        query_orders_by_time_then_id
        query_respects_the_limit
        query_pages_give_each_event_once
        query_pages_hold_under_inserts
    }
    erasure {
        erasure_takes_the_personal_values_and_keeps_the_event
        the_erased_is_not_found_by_its_personal_values
        erasure_keeps_to_its_user
        erasure_keeps_to_its_scope
        erasure_leaves_the_new_events_of_its_commit
        erasing_everyone_leaves_no_personal_value_of_the_scope
    }
    checkpoints {
        a_checkpoint_covers_exactly_the_events_since_the_last
        checkpoints_make_one_chain
        without_new_events_there_is_no_new_checkpoint
        checkpoints_are_listed_behind_a_number
        another_key_makes_no_checkpoint
        leaves_come_in_the_order_of_the_commits
        leaves_are_given_behind_a_place
        a_repeated_event_has_one_place
        a_conflict_takes_no_place
        erased_events_keep_their_places_and_verify
        checkpoints_under_commits_leave_nothing_out
    }
    concurrency {
        one_of_many_puts_at_a_version_wins
        one_of_many_puts_of_a_new_record_wins
        concurrent_updates_lose_nothing
        a_check_and_a_put_of_its_record_exclude_each_other
        one_event_from_many_commits_is_stored_once
    }
}
