//! Saved recovery codes and recovery keys: the way back in for a user who lost every other second factor. Each is
//! accepted once, and an answer costs one Argon2id hash whatever the number of codes.
//!
//! ```
//! # use std::sync::Arc;
//! # use mfa_core::{AccountId, Answer, Change, Choice, Cx, Draw, Effect, Held, HeldOf, OsEntropy, Provider};
//! # use mfa_core::{Purpose, Reason, StepEvent, StepOf, Then, Timestamp, UserId};
//! use mfa_recovery::Recovery;
//!
//! let recovery = Recovery::new("Example")?;
//! # let (account, user) = (AccountId::parse("acme")?, UserId::parse("ann")?);
//! # // What the engine does: it hands over what it kept, and runs the hash that the step asks for.
//! # let step = |purpose, held: HeldOf<Recovery>, event: StepEvent<'_>| {
//! #     let (mut draw, settings) = (Draw::from_source(Arc::new(OsEntropy::new())).unwrap(), Default::default());
//! #     let mut cx = Cx::new(Timestamp::MIN, &account, &user, purpose, &settings, &mut draw);
//! #     let first = recovery.handle(&mut cx, held.clone(), event).unwrap();
//! #     let Then::Run(Effect::Hash(job), _) = first.then else { return first };
//! #     let state = match first.state { Change::Set(state) => Some(state), _ => None };
//! #     let held = Held::new(state, held.enrolment, held.secret);
//! #     recovery.handle(&mut cx, held, StepEvent::Hashed(&job.run())).unwrap()
//! # };
//! // The set is issued: codes to show once, and hashes to keep.
//! let nothing = Held::new(None, None, None);
//! let issued = step(Purpose::Enrol, nothing, StepEvent::Begin(&Choice::none()));
//! let Then::Reveal(_, revealed) = &issued.then else { panic!("a set is issued") };
//! let codes = revealed.get("codes").unwrap().expose_secret().to_owned();
//! # let Change::Set(set) = issued.secret else { panic!("a set is kept") };
//!
//! // A login: the user types one of them, in small letters and with spaces.
//! let typed = codes.lines().next().unwrap().to_lowercase().replace('-', " ");
//! # let held = Held::new(None, None, Some(set));
//! let judged = step(Purpose::Login, held, StepEvent::Answer(&Answer::recovery(&typed)));
//! assert!(matches!(judged.then, Then::Accept(_)));
//!
//! // The same code a second time.
//! # let Change::Set(set) = judged.secret else { panic!("the used code is marked") };
//! # let held = Held::new(None, None, Some(set));
//! let again = step(Purpose::Login, held, StepEvent::Answer(&Answer::recovery(&typed)));
//! assert!(matches!(again.then, Then::Reject(Reason::AlreadyUsed)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In a service the engine makes these steps: register [`Recovery`] with it, and it issues sets, runs the hashes
//! on its pool, charges the answers and keeps what is to be kept. Hidden lines stand in for it here.
//!
//! # What it does not do
//!
//! * It reads no clock, draws no randomness of its own and stores nothing: time and random bytes are arguments.
//! * It limits no tries and sends no notice. The engine charges every judged answer as an attempt
//!   (SP 800-63B-4 §4.2.1.1 asks for a limit whatever the entropy) and says what recovery may not do.
//! * It has no key that may be used twice, and no setting for one.
//! * It mails no codes. A code that is sent is a one-time code of another provider.
//!
//! # Concepts
//!
//! ```text
//! RecoveryCodes (shown once) ─┬─ to_text · to_download
//!      ▲ generate             └─ RecoveryCode ─► Argon2id ─► RecoverySet (kept: selectors, hashes, used marks)
//! random bytes                         ▲ parse                      │
//!                                  typed text ─► one Argon2id ──────┴─► Accept · already used · wrong
//! ```
//!
//! A [`RecoveryCode`] is a public selector of 10 bits, 80 random bits (160 in a key) and a checksum of 10 bits, in
//! Crockford's base 32, 20 characters (36) in groups of four. The random bits are the operating system's, each code
//! has its own. Case, spaces, dashes, full-width forms and the letters `O`, `I`, `L` and `U` are read as what they
//! were meant to be. One wrong character or two swapped ones never pass the checksum: such a typing error is
//! told as malformed, costs no attempt and is not hashed.
//!
//! The selector is a part of the hash's salt, so an answer is hashed before anything is looked up. A selector
//! that the set does not have, a used one and another user's take the same way, cost the same hash and get the
//! same answer. That a code was used is told only to who has the whole code.
//!
//! [`Cost`] is 19 MiB and 2 passes unless host code says otherwise, and has a floor. A set keeps the cost it was
//! made with, so raising it harms no set. The engine's pool of slow work needs the cost's memory for each thread.
//!
//! A host that keeps hashes itself uses [`hash`](fn@hash) and [`check`] alone.
//!
//! # Security
//!
//! * The acceptance, the used mark and the number of codes left are one step: store them in one atomic write, or a
//!   code can be accepted twice.
//! * Codes, sets and hashes are wiped when dropped and redacted in `Debug`; errors name the field and the limit,
//!   never the value. The working memory of Argon2id is not wiped: what it holds is found from the code, not the
//!   code from it.
//! * While an answer is hashed, a challenge keeps the selector alone, never the code nor a hash of it.
//! * Evidence of recovery is of AAL1 and has no RFC 8176 value. A code is not resistant to phishing.

mod alphabet;
mod code;
mod cost;
mod error;
mod form;
mod hash;
mod job;
mod kept;
mod provider;
mod set;

pub use code::RecoveryCode;
pub use cost::Cost;
pub use error::Error;
pub use form::{Count, Form};
pub use hash::{check, hash};
pub use kept::{AskedSelector, CodesLeft, RecoverySet};
pub use provider::Recovery;
pub use set::RecoveryCodes;
