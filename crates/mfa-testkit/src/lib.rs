//! Proves that stores and providers keep their contracts, and makes time, faults and races happen when a
//! test wants them.
//!
//! A new store is proven by one line in its tests, which becomes one `#[test]` per clause of the
//! contract of [`Store`](mfa_core::Store) and [`AuditLog`](audit_model::AuditLog):
//!
//! ```
//! mfa_testkit::store_suite!(mfa_core::MemoryStore::new());
//! ```
//!
//! A new provider is described by a [`ProviderCase`](provider_suite::ProviderCase) and proven by
//! [`provider_suite!`]. Each clause of both suites has been seen to fail on a double that breaks it: the
//! tests of this crate hold one for every clause.
//!
//! | module | gives |
//! |---|---|
//! | [`store_suite`](mod@store_suite) | the clauses of the store contract, one function each |
//! | [`provider_suite`](mod@provider_suite) | the clauses of the provider contract, one function each |
//! | [`faults`] | a store that fails on demand, and one that counts its calls |
//! | [`layer`] | a store over which a test puts what it does around some calls |
//! | [`race`] | a store that makes readers wait for each other, and a start line for threads |
//! | `duo`, with the feature of that name | a fake of Duo's service, over HTTPS on loopback |
//! | [`drop_at`] | futures dropped at a chosen await point |
//! | [`runtime`] | a clock that moves when told to |
//! | [`entropy`] | random bytes that repeat from run to run, and sources that fail |
//! | [`authenticator`] | an authenticator app, written from the RFCs alone |
//! | [`host`] | a host in miniature: an engine, users and their authenticator apps |
//! | [`inbox`] | transports that keep what they are given, in memory and as files |
//! | [`scripted`] | a provider that does what the test says |
//!
//! Everything here blocks threads freely, shows what it should not, and belongs in tests alone.

pub mod authenticator;
pub mod drop_at;
#[cfg(feature = "duo")]
pub mod duo;
pub mod entropy;
pub mod faults;
pub mod host;
pub mod inbox;
pub mod layer;
pub mod provider_suite;
pub mod race;
pub mod runtime;
pub mod scripted;
pub mod store_suite;
