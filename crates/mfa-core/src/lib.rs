//! The second step of a login, as a library: the engine, the contracts of stores and providers, budgets,
//! sealing, and the audit events that commit with the state they describe.
//!
//! A host verifies its own first factor, calls [`Engine::begin`], shows the challenge it gets, passes the
//! answer to [`Engine::verify`], and turns the [`Grant`] into its own session:
//!
//! ```text
//! begin(Login) ─► Challenge(reference) ─► verify(reference, answer) ─► Verified(Grant) ─► redeem ─► Authenticated
//!              ├► NotRequired                                       ├► Rejected
//!              ├► EnrolmentRequired                                 └► Pending ─► claim(reference)
//!              └► Denied
//! ```
//!
//! Every call runs the same loop: **load** the records it needs in one read, **decide** in a pure function,
//! **commit** state and events in one conditional write, and only then **act**: answer, or run an effect.
//!
//! What this crate does not do: it has no server, no HTTP client, no database driver, no TLS and no async
//! runtime. It checks no passwords and keeps no sessions. Providers ([`Provider`]) and stores ([`Store`]) are
//! crates of their own, or yours.
//!
//! # Features
//!
//! * `metrics` — counts steps and conflicts through the `metrics` facade; off by default.

mod api_key;
mod authority;
mod budget;
mod bypass;
mod codec;
mod contact;
mod decide;
mod device;
mod directory;
mod driver;
mod engine;
mod entropy;
mod error;
mod exemption;
mod explain;
mod grant;
mod http_status;
mod ids;
#[doc(hidden)]
pub mod internal;
mod keyed;
mod keyring;
mod link;
mod machine;
mod notice;
mod observe;
mod operation;
mod outcome;
mod permission;
mod plan;
mod policy;
mod provider;
mod reason;
mod record;
mod reference;
mod request;
mod runtime;
mod secret;
pub mod settings;
mod store;
mod subject;

pub use audit_model::{AccountId, Scope, Timestamp, UserId};

pub use api_key::{ApiKey, ApiKeyVerify, IssuedApiKey, VerifiedApiKey};
pub use authority::{Authority, Forbidden, Invitation, Proof, Ticket};
pub use codec::{CodecError, Versioned};
pub use contact::Contact;
pub use device::{Device, DeviceState, DeviceToken, KeptDevice, TrustedDevice};
pub use directory::{Directory, StoredDirectory};
pub use engine::{BuildError, Engine, EngineBuilder};
pub use entropy::{Draw, Entropy, EntropyError, OsEntropy};
pub use error::{DirectoryError, Error, FieldError};
pub use exemption::{Exemption, ExemptionState, ExemptionTerms, Network};
pub use explain::{ExplainedOutcome, Explanation, Rule};
pub use grant::{Authenticated, Evidence, Grant, GrantMismatch};
pub use http_status::{HttpOutcome, HttpStatus, http_status};
pub use ids::{
    ChallengeId, ConfigurationId, DeviceId, EnrolmentId, ExemptionId, Module, NameError, ProviderName,
};
pub use keyed::KeyedHash;
pub use keyring::{KeyId, KeyRing, KeyRingError, KeySource, KeySourceError};
pub use link::{LinkAct, LinkConfirm, LinkEvent, LinkOpen, LinkProof, LinkToken, LinkView};
pub use machine::{IllegalMove, Move, Status};
pub use notice::NoticeKind;
pub use operation::{Intent, Operation};
pub use outcome::{
    Begin, Challenge, ChallengeStatus, Changed, Denied, DeniedReason, Drained, EnrolConfirm,
    EnrolmentRequired, EnrolmentStarted, IssuedBypass, IssuedInvitation, IssuedRecovery, Method, NotRequired,
    Pending, Proven, Rejected, Resealed, Unlocked, Verify,
};
pub use policy::{
    ChannelOrder, EffectivePolicy, KnobClass, KnobInfo, Policy, PolicyDocument, RecoveryForm, Stronger,
    Trigger,
};
pub use provider::{
    Aal, Amr, Answer, AnswerKind, Change, Channel, Charge, Choice, Cx, Descriptor, Effect, EffectKind,
    Factor, HashJob, Held, HeldOf, HttpCall, HttpClient, HttpFault, HttpReply, Identity, MAX_ENROLMENT_BYTES,
    Message, NotDelivered, Provider, ProviderError, Receipt, Revealed, Role, Step, StepEvent, StepOf,
    Strength, Then, Transport, Unproven, normalise_code,
};
pub use reason::{Purpose, Reason};
pub use reference::Reference;
pub use request::{Login, MethodSelector, RequestFacts, Response, RiskDecision, Target};
pub use runtime::{RunError, Runtime, SlowJob};
pub use secret::{SecretBytes, SecretText};
pub use store::{
    Commit, Committed, Erase, Expect, Key, MAX_BODY_BYTES, MemoryStore, Record, RecordKind, Store,
    StoreError, Version, Write,
};
pub use subject::{Account, Ancestor, FirstFactor, FirstFactorKind, Subject};
