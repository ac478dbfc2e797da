//! The reference store keeps the contract that the suite was written against.

mfa_testkit::store_suite!(mfa_core::MemoryStore::new());
