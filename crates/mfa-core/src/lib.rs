//! The contracts of the engine: stores, providers, the challenge machine and its cost table, the runtime.

mod codec;
mod entropy;
mod error;
mod ids;
mod keyring;
mod machine;
mod provider;
mod reason;
mod runtime;
mod secret;
mod store;

pub use audit_model::{AccountId, Scope, Timestamp, UserId};

pub use codec::{CodecError, Versioned};
pub use entropy::{Draw, Entropy, EntropyError, OsEntropy};
pub use error::{DirectoryError, Error, FieldError};
pub use ids::{ChallengeId, EnrolmentId, Module, NameError, ProviderName};
pub use keyring::{KeyId, KeyRing, KeyRingError};
pub use machine::{IllegalMove, Move, Status};
pub use provider::{
    Aal, Amr, Answer, AnswerKind, Change, Channel, Charge, Choice, Cx, Descriptor, Effect, EffectKind, Factor, HashJob,
    Held, HeldOf, HttpClient, HttpFault, HttpReply, MAX_ENROLMENT_BYTES, Message, NotDelivered, Provider,
    ProviderError, Receipt, Revealed, Step, StepEvent, StepOf, Strength, Then, Transport, normalise_code,
};
pub use reason::{Purpose, Reason};
pub use runtime::{RunError, Runtime, SlowJob};
pub use secret::{SecretBytes, SecretText};
pub use store::{
    Commit, Committed, Expect, Key, MAX_BODY_BYTES, MemoryStore, Record, RecordKind, Store, StoreError, Version, Write,
};
