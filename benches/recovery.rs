//! What a recovery code costs over one bare Argon2id of the same parameters, and whether the time tells what kind
//! of wrong code it was.
//!
//! A check is what the engine does of it: the two steps of the provider from the bytes of the vault, and the hash
//! between them.

use std::cell::RefCell;
use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use criterion::Criterion;
use mfa::recovery::{AskedSelector, CodesLeft, Cost, Count, Recovery, RecoveryCodes, RecoverySet};
use mfa::{
    AccountId, Answer, Change, Choice, Cx, Draw, Effect, Held, HeldOf, OsEntropy, Provider, Purpose, Reason,
    SecretBytes, StepEvent, StepOf, Then, Timestamp, UserId, Versioned,
};
use mfa_benches::Mode;
use mfa_benches::turns::{Figures, Lane, Target, report, take_turns, timed};

/// A check takes about 20 ms.
const ROUNDS: usize = 150;
/// Without its hash a check takes microseconds: ten thousand samples of each kind of code.
const ROUNDS_WITHOUT_HASH: usize = 10_000;

fn main() {
    let fixture = Fixture::new();
    mfa_benches::run(|harness| fixture.criterion(harness), |mode| fixture.ratios(mode));
}

/// One user's set of ten codes as the engine keeps it, the first code used.
struct Fixture {
    provider: Recovery,
    account: AccountId,
    user: UserId,
    secret: Vec<u8>,
    enrolment: Vec<u8>,
    cases: Vec<Case>,
}

/// A typed code and what it is to the set.
struct Case {
    name: &'static str,
    answer: Answer,
    /// What its hash answers, for the steps without the hash.
    digest: SecretBytes,
}

/// How a check ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Accepted,
    Rejected(Reason),
}

impl Fixture {
    fn new() -> Self {
        let provider = Recovery::new("Example").unwrap();
        let (account, user) = (AccountId::parse("acme").unwrap(), UserId::parse("user-000001").unwrap());
        let mut fixture =
            Self { provider, account, user, secret: Vec::new(), enrolment: Vec::new(), cases: Vec::new() };
        let codes = fixture.issue();
        let used = Answer::recovery(&codes[0]);
        let step = fixture.hashed(&fixture.state_of(&used), &fixture.job_of(&used));
        fixture.keep(step);
        fixture.cases = fixture.cases_of(&codes);
        fixture
    }

    fn cases_of(&self, codes: &[String]) -> Vec<Case> {
        let case = |name, typed: &str, told| {
            let answer = Answer::recovery(typed);
            let digest = self.job_of(&answer);
            let case = Case { name, answer, digest };
            assert_eq!(self.check(&case), told, "{name}");
            case
        };
        let wrong = Told::Rejected(Reason::WrongCode);
        vec![
            case("wrong, selector of a code", &other_code(|s| s == &codes[1][..2]), wrong),
            case("wrong, selector of a used code", &other_code(|s| s == &codes[0][..2]), wrong),
            case("wrong, unknown selector", &other_code(|s| codes.iter().all(|c| s != &c[..2])), wrong),
            case("used", &codes[0], Told::Rejected(Reason::AlreadyUsed)),
            case("right", &codes[9], Told::Accepted),
        ]
    }

    /// The whole check of an answer.
    fn check(&self, case: &Case) -> Told {
        let (state, job) = self.answered(&case.answer);
        told(&self.hashed(&state, &job()))
    }

    /// The check, with a hash that was made before.
    fn check_without_hash(&self, case: &Case) -> Told {
        let (state, _) = self.answered(&case.answer);
        told(&self.hashed(&state, &case.digest))
    }

    /// The step of the answer: what is kept, and the hash to be made.
    fn answered(&self, answer: &Answer) -> (Vec<u8>, impl FnOnce() -> SecretBytes + use<>) {
        let step = self.handle(self.held(None), Purpose::Login, StepEvent::Answer(answer));
        let Change::Set(state) = step.state else { panic!("nothing is kept while it is hashed") };
        let Then::Run(Effect::Hash(job), _) = step.then else { panic!("no hash") };
        (state.encode().unwrap(), move || job.run())
    }

    /// The step of the hash; what is set is encoded, as it is for the store.
    fn hashed(&self, state: &[u8], digest: &SecretBytes) -> StepOf<Recovery> {
        let step = self.handle(self.held(Some(state)), Purpose::Login, StepEvent::Hashed(digest));
        if let (Change::Set(secret), Change::Set(enrolment)) = (&step.secret, &step.enrolment) {
            std::hint::black_box((secret.encode().unwrap(), enrolment.encode().unwrap()));
        }
        step
    }

    fn state_of(&self, answer: &Answer) -> Vec<u8> {
        self.answered(answer).0
    }

    fn job_of(&self, answer: &Answer) -> SecretBytes {
        self.answered(answer).1()
    }

    /// What the engine hands over, from bytes.
    fn held(&self, state: Option<&[u8]>) -> HeldOf<Recovery> {
        Held::new(
            state.map(|state| AskedSelector::decode(state).unwrap()),
            Some(CodesLeft::decode(&self.enrolment).unwrap()),
            Some(RecoverySet::decode(&self.secret).unwrap()),
        )
    }

    fn handle(&self, held: HeldOf<Recovery>, purpose: Purpose, event: StepEvent<'_>) -> StepOf<Recovery> {
        let (mut draw, settings) = (draw(), serde_json::Value::Null);
        let now = Timestamp::from_unix_seconds(1_800_000_000).unwrap();
        let mut cx = Cx::new(now, &self.account, &self.user, purpose, &settings, &mut draw);
        self.provider.handle(&mut cx, held, event).unwrap()
    }

    /// Issues ten codes and keeps the set.
    fn issue(&mut self) -> Vec<String> {
        let (nothing, none) = (|| Held::new(None, None, None), Choice::none());
        let step = self.handle(nothing(), Purpose::Enrol, StepEvent::Begin(&none));
        let Then::Run(Effect::Hash(job), _) = step.then else { panic!("no hash") };
        let step = self.handle(nothing(), Purpose::Enrol, StepEvent::Hashed(&job.run()));
        let Then::Reveal(_, revealed) = &step.then else { panic!("nothing revealed") };
        let codes = revealed.get("codes").unwrap().expose_secret().lines().map(str::to_owned).collect();
        self.keep(step);
        codes
    }

    fn keep(&mut self, step: StepOf<Recovery>) {
        let (Change::Set(secret), Change::Set(enrolment)) = (step.secret, step.enrolment) else {
            panic!("nothing to keep")
        };
        (self.secret, self.enrolment) = (secret.encode().unwrap(), enrolment.encode().unwrap());
    }

    fn criterion(&self, harness: &mut Criterion) {
        let mut group = harness.benchmark_group("recovery");
        group.sample_size(20);
        group.bench_function("bare Argon2id", |b| b.iter(bare));
        for case in &self.cases {
            group.bench_function(format!("check/{}", case.name), |b| b.iter(|| self.check(case)));
        }
        group.finish();
    }

    fn ratios(&self, mode: Mode) {
        let times: Vec<_> = (0..=self.cases.len()).map(|_| RefCell::new(Vec::new())).collect();
        let checks = self.cases.iter().zip(&times[1..]);
        let checks = checks.map(|(case, times)| undisturbed(case.name, times, || self.check(case)));
        let mut lanes: Vec<_> =
            [undisturbed("bare Argon2id", &times[0], bare)].into_iter().chain(checks).collect();
        take_turns(mode, ROUNDS, &mut lanes);
        drop(lanes);
        let fastest: Vec<_> = times.into_iter().map(fastest_tenth).collect();
        for (case, ours) in self.cases.iter().zip(&fastest[1..]) {
            let name = format!("recovery, {}: check / bare Argon2id", case.name);
            report(mode, &name, ours / fastest[0], "", Target::AtMost(1.02));
        }
        let name = "recovery, with the hash: slowest / fastest wrong code";
        report(mode, name, spread(fastest[1..4].iter().copied()), "", Target::AtMost(1.02));

        let steps = self.cases.iter().map(|case| {
            Lane::new(format!("{}: steps alone", case.name), 1, || self.check_without_hash(case))
        });
        let mut lanes: Vec<_> = steps.collect();
        let figures = take_turns(mode, ROUNDS_WITHOUT_HASH, &mut lanes);
        let name = "recovery, steps alone: slowest / fastest wrong code";
        report(mode, name, spread(figures[..3].iter().map(Figures::median)), "", Target::AtMost(1.05));
    }
}

/// A lane that keeps the time of each of its calls.
fn undisturbed<'a, T>(
    name: &str,
    times: &'a RefCell<Vec<f64>>,
    mut work: impl FnMut() -> T + 'a,
) -> Lane<'a> {
    Lane::custom(name, 1, move |_| {
        let (time, result) = timed(&mut work);
        std::hint::black_box(result);
        times.borrow_mut().push(time.as_nanos() as f64);
        time
    })
}

/// Returns the time below which a tenth of the calls stayed. A hash goes through all of its memory: what else runs on
/// the machine slows its median by more than the margin that is measured here.
fn fastest_tenth(times: RefCell<Vec<f64>>) -> f64 {
    let mut times = times.into_inner();
    times.sort_by(f64::total_cmp);
    times[times.len() / 10]
}

/// The largest over the smallest.
fn spread(times: impl Iterator<Item = f64> + Clone) -> f64 {
    times.clone().fold(0.0, f64::max) / times.fold(f64::INFINITY, f64::min)
}

fn told(step: &StepOf<Recovery>) -> Told {
    match &step.then {
        Then::Accept(_) => Told::Accepted,
        Then::Reject(reason) => Told::Rejected(*reason),
        other => panic!("neither accepted nor rejected: {other:?}"),
    }
}

/// One hash of a code's length with a salt's length, and nothing around.
fn bare() -> [u8; 32] {
    let cost = Cost::default();
    let params = Params::new(cost.memory_kib(), cost.passes(), 1, Some(32)).unwrap();
    let mut hash = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(b"0123456789ABCDEFGHJK", b"eighteen bytes of.", &mut hash)
        .unwrap();
    hash
}

/// A code of nobody's set whose first two characters are as asked for.
fn other_code(selector: impl Fn(&str) -> bool) -> String {
    loop {
        let set = RecoveryCodes::generate(Count::default(), &mut draw()).unwrap();
        let mut texts = set.iter().map(|code| code.to_text().expose_secret().to_owned());
        if let Some(code) = texts.find(|code| selector(&code[..2])) {
            return code;
        }
    }
}

fn draw() -> Draw {
    Draw::from_source(Arc::new(OsEntropy::new())).unwrap()
}
