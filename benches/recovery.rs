//! What a recovery code costs over one bare Argon2id of the same parameters, and whether the time tells what kind
//! of wrong code it was.
//!
//! A check is what the engine does of it: the two steps of the provider from the bytes of the vault, and the hash
//! between them.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use criterion::Criterion;
use mfa::recovery::{AskedSelector, CodesLeft, Cost, Count, Recovery, RecoveryCodes, RecoverySet};
use mfa::{
    AccountId, Answer, Change, Choice, Cx, Draw, Effect, Held, HeldOf, OsEntropy, Provider, Purpose, Reason,
    SecretBytes, StepEvent, StepOf, Then, Timestamp, UserId, Versioned,
};
use mfa_benches::Mode;
use mfa_benches::turns::{Figures, Lane, Target, report, take_pairs, take_turns};

/// A check takes about 20 ms; a round has two, and two bare hashes.
const ROUNDS: usize = 60;
/// How many places in memory the bare hash is made in.
const PLACES: usize = 8;
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
        let mut memory = Memory::new();
        group.bench_function("bare Argon2id", |b| b.iter(|| bare(&mut memory)));
        for case in &self.cases {
            group.bench_function(format!("check/{}", case.name), |b| b.iter(|| self.check(case)));
        }
        group.finish();
    }

    fn ratios(&self, mode: Mode) {
        let mut memory = Memory::new();
        let mut bare = Lane::new("bare Argon2id", 1, || bare(&mut memory));
        let mut checks: Vec<_> =
            self.cases.iter().map(|case| Lane::new(case.name, 1, || self.check(case))).collect();
        for (case, check) in self.cases.iter().zip(&mut checks) {
            let ratio = take_pairs(mode, ROUNDS, check, &mut bare);
            let name = format!("recovery, {}: check / bare Argon2id", case.name);
            report(mode, &name, median(&ratio), "", Target::AtMost(1.02));
        }
        // Which kind of wrong code it was must not be told by the time: every two of the three against each other.
        let [first, second, third, ..] = &mut checks[..] else { panic!("three kinds of wrong codes") };
        let spreads = [apart(mode, first, second), apart(mode, second, third), apart(mode, third, first)];
        let name = "recovery, with the hash: slowest / fastest wrong code";
        report(mode, name, spreads.into_iter().fold(0.0, f64::max), "", Target::AtMost(1.02));
        drop((bare, checks));

        let steps = self.cases.iter().map(|case| {
            Lane::new(format!("{}: steps alone", case.name), 1, || self.check_without_hash(case))
        });
        let mut lanes: Vec<_> = steps.collect();
        let figures = take_turns(mode, ROUNDS_WITHOUT_HASH, &mut lanes);
        let name = "recovery, steps alone: slowest / fastest wrong code";
        report(mode, name, spread(figures[..3].iter().map(Figures::median)), "", Target::AtMost(1.05));
    }
}

/// The slower of two over the other one.
fn apart(mode: Mode, first: &mut Lane<'_>, second: &mut Lane<'_>) -> f64 {
    let ratio = median(&take_pairs(mode, ROUNDS, first, second));
    ratio.max(ratio.recip())
}

/// Of values in ascending order.
fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
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

/// The working memory of hashes, kept for the next ones, as the provider keeps its own. Where it lies makes a hash
/// faster or slower by up to two in a hundred, for as long as the process lives: so there are several, used in turn.
struct Memory {
    all: Vec<Vec<Block>>,
    next: usize,
}

impl Memory {
    fn new() -> Self {
        let all = (0..PLACES).map(|_| vec![Block::default(); params().block_count()]).collect();
        Self { all, next: 0 }
    }

    fn next(&mut self) -> &mut [Block] {
        self.next = (self.next + 1) % self.all.len();
        &mut self.all[self.next]
    }
}

/// One hash of a code's length with a salt's length, and nothing around.
fn bare(memory: &mut Memory) -> [u8; 32] {
    let mut hash = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params())
        .hash_password_into_with_memory(
            b"0123456789ABCDEFGHJK",
            b"eighteen bytes of.",
            &mut hash,
            memory.next(),
        )
        .unwrap();
    hash
}

fn params() -> Params {
    let cost = Cost::default();
    Params::new(cost.memory_kib(), cost.passes(), 1, Some(32)).unwrap()
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
