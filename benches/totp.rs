//! What TOTP costs over `totp-rs` alone: the engine's step of the provider against build and check from the same
//! secret, with and without opening the sealed secret.

use std::sync::Arc;

use aes_gcm_siv::aead::{Aead, KeyInit, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use criterion::Criterion;
use mfa::engine::internal::{SealedSecret, handle};
use mfa::totp::Totp;
use mfa::{
    AccountId, Answer, Change, Choice, Cx, Draw, Held, KeyId, KeyRing, OsEntropy, Provider, Purpose, Reason,
    SecretBytes, StepEvent, Then, Timestamp, UserId, Versioned,
};
use mfa_benches::Mode;
use mfa_benches::turns::{Lane, Target, report, take_turns};
use mfa_testkit::authenticator::SoftAuthenticator;
use totp_rs::{Builder, Secret};

/// The secret of RFC 6238 appendix B, as bytes and in base32.
const SECRET: &[u8; 20] = b"12345678901234567890";
const BASE32: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
/// The first second of a step.
const NOW: u64 = 1_800_000_000;
const STEP: u64 = 30;
/// Turns are short, so that a busy machine interrupts few of them.
const ROUNDS: usize = 2_000;
const CALLS: usize = 50;

fn main() {
    let fixture = Fixture::new();
    mfa_benches::run(|harness| fixture.criterion(harness), |mode| fixture.ratios(mode));
}

/// One user's enrolment, as the engine keeps it and as a caller of `totp-rs` would.
struct Fixture {
    provider: Totp,
    account: AccountId,
    user: UserId,
    /// What the engine hands to the provider: the secret, encoded, and the step that was used last.
    secret: SecretBytes,
    enrolment: Vec<u8>,
    ring: KeyRing,
    bare: Sealed,
}

/// The same bytes sealed with nothing around.
struct Sealed {
    cipher: Aes256GcmSiv,
    nonce: Nonce,
    bytes: Vec<u8>,
    associated_data: Vec<u8>,
}

/// A code, and what it is at [`NOW`]. Both sides stop at their first hit: the provider looks at the newest step
/// first, so that a code of two steps uses up both, `totp-rs` at the oldest. So the provider computes three codes
/// for the oldest step and one for the newest, `totp-rs` the other way round; two for the current step and three
/// where nothing matches, both.
struct Case {
    name: &'static str,
    code: String,
    answer: Answer,
}

impl Fixture {
    fn new() -> Self {
        let provider = Totp::new("Example").unwrap();
        let (account, user) = (AccountId::parse("acme").unwrap(), UserId::parse("user-000001").unwrap());
        let ring = KeyRing::new(KeyId::parse("k1").unwrap(), [0x42; 32]).unwrap();
        let (secret, enrolment) = enrol(&provider, &account, &user);
        let sealed =
            SealedSecret::seal(&ring, &account, &user, "totp", [3; 12], secret.expose_secret()).unwrap();
        let associated_data = sealed.associated_data();
        let cipher = Aes256GcmSiv::new(&[0x17; 32].into());
        let nonce = Nonce::from([3; 12]);
        let payload = Payload { msg: secret.expose_secret(), aad: &associated_data };
        let bytes = cipher.encrypt(&nonce, payload).unwrap();
        assert_eq!(bytes.len(), sealed.sealed_bytes());
        let bare = Sealed { cipher, nonce, bytes, associated_data };
        Self { provider, account, user, secret, enrolment, ring, bare }
    }

    fn cases(&self) -> [Case; 4] {
        let app = SoftAuthenticator::from_secret(SECRET);
        let case = |name, code: String, matches| {
            let case = Case { name, answer: Answer::code(&code), code };
            // Both sides agree on what the code is.
            assert_eq!(self.handle(&mut draw(), &self.secret, &case), matches, "{name}");
            assert_eq!(check(&case.code).is_some(), matches, "{name}");
            case
        };
        [
            case("current step", app.code_of_step(NOW / STEP), true),
            case("oldest step", app.code_of_step(NOW / STEP - 1), true),
            case("newest step", app.code_of_step(NOW / STEP + 1), true),
            case("no match", app.wrong_code_at(Timestamp::from_unix_seconds(NOW).unwrap(), 3), false),
        ]
    }

    /// The provider's step on an opened secret; returns whether the code was accepted.
    fn handle(&self, draw: &mut Draw, secret: &SecretBytes, case: &Case) -> bool {
        let now = Timestamp::from_unix_seconds(NOW).unwrap();
        let settings = no_settings();
        let mut cx = Cx::new(now, &self.account, &self.user, Purpose::Login, &settings, draw);
        let event = StepEvent::Answer(&case.answer);
        match handle(&self.provider, &mut cx, Some(&self.enrolment), secret, event).unwrap() {
            Then::Accept(_) => true,
            Then::Reject(Reason::WrongCode) => false,
            other => panic!("neither accepted nor wrong: {other:?}"),
        }
    }

    fn criterion(&self, harness: &mut Criterion) {
        let (mut draw, sealed) = (draw(), self.sealed());
        for case in self.cases() {
            let mut group = harness.benchmark_group(format!("totp/{}", case.name));
            group.bench_function("handle", |b| b.iter(|| self.handle(&mut draw, &self.secret, &case)));
            group.bench_function("totp-rs", |b| b.iter(|| check(&case.code)));
            group.bench_function("open and handle", |b| {
                b.iter(|| self.handle(&mut draw, &sealed.open(&self.ring).unwrap(), &case));
            });
            group.bench_function("bare open and totp-rs", |b| {
                b.iter(|| (self.bare.open(), check(&case.code)));
            });
            group.finish();
        }
    }

    fn ratios(&self, mode: Mode) {
        let sealed = self.sealed();
        for case in self.cases() {
            let name = case.name;
            let (mut first, mut second) = (draw(), draw());
            let mut lanes = [
                Lane::new(format!("{name}: handle"), CALLS, || self.handle(&mut first, &self.secret, &case)),
                Lane::new(format!("{name}: totp-rs build + check"), CALLS, || check(&case.code)),
                Lane::new(format!("{name}: open + handle"), CALLS, || {
                    self.handle(&mut second, &sealed.open(&self.ring).unwrap(), &case)
                }),
                Lane::new(format!("{name}: bare open + totp-rs"), CALLS, || {
                    (self.bare.open(), check(&case.code))
                }),
            ];
            let figures = take_turns(mode, ROUNDS, &mut lanes);
            let ratio = |ours: usize, bare: usize| figures[ours].median() / figures[bare].median();
            let target = Target::AtMost(1.5);
            report(mode, &format!("totp, {name}: handle / totp-rs"), ratio(0, 1), "", target);
            report(
                mode,
                &format!("totp, {name}: open + handle / bare open + totp-rs"),
                ratio(2, 3),
                "",
                target,
            );
        }
    }

    fn sealed(&self) -> SealedSecret<'_> {
        let (account, user, plain) = (&self.account, &self.user, self.secret.expose_secret());
        SealedSecret::seal(&self.ring, account, user, "totp", [3; 12], plain).unwrap()
    }
}

impl Sealed {
    fn open(&self) -> Vec<u8> {
        let payload = Payload { msg: &self.bytes, aad: &self.associated_data };
        self.cipher.decrypt(&self.nonce, payload).unwrap()
    }
}

/// What a caller without a state does with `totp-rs`: build from the secret's bytes, check one step either side.
fn check(code: &str) -> Option<u64> {
    let totp = Builder::new()
        .with_algorithm(totp_rs::Algorithm::SHA1)
        .with_digits(6)
        .with_step_duration(STEP)
        .with_skew(1)
        .with_secret(Secret::from(SECRET.as_slice()))
        .build();
    totp.unwrap().check(code, NOW)
}

/// Enrols with the known secret; returns what the engine keeps after a code of an earlier step was used.
fn enrol(provider: &Totp, account: &AccountId, user: &UserId) -> (SecretBytes, Vec<u8>) {
    let (settings, mut draw) = (no_settings(), draw());
    let choice = Choice::new(serde_json::json!({ "secret": BASE32 }));
    let earlier = Timestamp::from_unix_seconds(NOW - 100 * STEP).unwrap();
    let mut cx = Cx::new(earlier, account, user, Purpose::Enrol, &settings, &mut draw);
    cx.label = "ann@example.com";
    let begun = provider.handle(&mut cx, Held::new(None, None, None), StepEvent::Begin(&choice)).unwrap();
    let Change::Set(key) = begun.secret else { panic!("an enrolment without a secret") };
    let secret = SecretBytes::new(key.encode().unwrap());

    let answer = Answer::code(&SoftAuthenticator::from_secret(SECRET).code_at(earlier));
    let held = Held::new(None, None, Some(key));
    let used = provider.handle(&mut cx, held, StepEvent::Answer(&answer)).unwrap();
    let Change::Set(used) = used.enrolment else { panic!("a code that was not accepted") };
    (secret, used.encode().unwrap())
}

fn draw() -> Draw {
    Draw::from_source(Arc::new(OsEntropy::new())).unwrap()
}

/// The settings of a provider that has none.
const fn no_settings() -> serde_json::Value {
    serde_json::Value::Null
}
