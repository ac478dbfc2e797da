//! Two to four nodes on one store, whose calls interleave at every await point as a seed says, beside a model
//! of what may happen: which is small, and knows nothing of how the engine works.
//!
//! Calls are polled in random order, the clocks of the nodes differ by some seconds and move on meanwhile, and
//! some callers go away in the middle. A failure names its seed; the one thing a seed does not fix is when a
//! lock that was waited for becomes fair, which its own timer decides.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::executor::block_on;
use mfa::audit::{Event, Kind};
use mfa::{
    Begin, ChallengeId, Engine, Entropy, Error, MemoryStore, Policy, Reference, Response, Subject, Timestamp,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::drop_at::YieldingStore;
use mfa_testkit::entropy::SeededEntropy;
use mfa_testkit::runtime::VirtualRuntime;
use mfa_tests::forks::copy_into;
use mfa_tests::probe::failures_today;
use mfa_tests::told::{of, streams_are_whole, words, words_of_change, wrong_code};
use mfa_tests::{STEP, World, begin, login};
use serde_json::json;

const SEEDS: u64 = 300;

#[test]
fn any_interleaving_of_nodes_accepts_a_step_once_and_keeps_to_the_budget() {
    block_on(async {
        let setting = World::memory().await;
        let (bob, app) = setting.enrol("bob").await;
        let mut seen = Seen::default();
        for seed in 0..SEEDS {
            let store = copy_into(MemoryStore::new(), &*setting.store, setting.now()).await;
            let world = World::on(Arc::new(YieldingStore::new(store)), None).await;
            world.clock.set(setting.now());
            Run::new(seed, &world, &bob, &app).await.play(&mut seen).await;
        }
        // What never happened was not tested.
        println!("{seen:?}");
        assert!(seen.granted > 50 && seen.wrong > 200 && seen.replayed > 50 && seen.locked > 50, "{seen:?}");
        assert!(seen.crashed > 50 && seen.crowded > 50, "{seen:?}");
    });
}

/// What came about in all runs.
#[derive(Debug, Default)]
struct Seen {
    granted: usize,
    wrong: usize,
    replayed: usize,
    locked: usize,
    contended: usize,
    crashed: usize,
    /// Steps whose code was given by several callers.
    crowded: usize,
}

/// One caller's step and what came of it.
#[derive(Debug)]
struct Told {
    challenge: ChallengeId,
    /// The time whose code was given, if it was a right one.
    step: Option<u64>,
    words: String,
}

/// What a caller does.
#[derive(Clone, Debug)]
enum Act {
    Answer(Target, String, Option<u64>),
    /// A login of its own, and an answer to that.
    Login(String, Option<u64>),
    Cancel(Target),
}

type Target = (ChallengeId, Reference);
type Caller<'a> = Pin<Box<dyn Future<Output = Option<Told>> + 'a>>;

struct Run<'a> {
    seed: u64,
    dice: Dice,
    world: &'a World,
    bob: &'a Subject,
    app: &'a SoftAuthenticator,
    nodes: Vec<Engine>,
    clocks: Vec<VirtualRuntime>,
    limit: u64,
    attempts: u64,
}

impl<'a> Run<'a> {
    async fn new(seed: u64, world: &'a World, bob: &'a Subject, app: &'a SoftAuthenticator) -> Self {
        let mut dice = Dice(SeededEntropy::new(seed));
        let (limit, attempts) = (1 + dice.roll(8), 1 + dice.roll(5));
        let knobs = json!({ "failures_per_day": limit, "attempts": attempts });
        let (mut nodes, mut clocks) = (Vec::new(), Vec::new());
        for node in 0..2 + dice.roll(3) {
            let clock = VirtualRuntime::new(world.now().plus(Duration::from_secs(dice.roll(5))));
            let policy = Policy::recommended().with_document(&knobs).expect("a policy");
            let entropy = Arc::new(SeededEntropy::new((1 << 50) + (seed << 8) + node));
            nodes.push(world.node_at(&clock).policy(policy).entropy(entropy).build().await.expect("a node"));
            clocks.push(clock);
        }
        Self { seed, dice, world, bob, app, nodes, clocks, limit, attempts }
    }

    async fn play(mut self, seen: &mut Seen) {
        let acts = self.acts().await;
        let given: Vec<u64> = acts.iter().filter_map(Act::step).collect();
        let distinct: BTreeSet<_> = given.iter().collect();
        seen.crowded += given.len() - distinct.len();
        let nodes = self.nodes.clone();
        let bob = self.bob;
        let mut callers: Vec<Caller<'_>> = Vec::new();
        for act in acts {
            let node = &nodes[self.dice.below(nodes.len())];
            callers.push(Box::pin(act.perform(node, bob)));
        }
        let (told, crashed) = self.interleave(callers);
        let events = self.world.events().await;
        self.judge(&told, &events, crashed).await;
        let count = |word: &str| told.iter().filter(|told| told.words.starts_with(word)).count();
        seen.granted += count("granted");
        seen.wrong += count("wrong_code");
        seen.replayed += count("replayed");
        seen.locked += count("locked");
        seen.contended += count("error");
        seen.crashed += crashed;
    }

    /// Decides who does what. The challenges of the answers are begun now.
    async fn acts(&mut self) -> Vec<Act> {
        let mut challenges = Vec::new();
        for _ in 0..=self.dice.roll(3) {
            let challenge = begin(&self.nodes[0], self.bob).await;
            challenges.push((challenge.id, challenge.reference));
        }
        let now = self.world.now();
        let mut acts = Vec::new();
        for _ in 0..4 + self.dice.roll(9) {
            let target = challenges[self.dice.below(challenges.len())].clone();
            let at = if self.dice.roll(3) == 0 { now.plus(STEP) } else { now };
            let right = (self.app.code_at(at), Some(at.unix_seconds()));
            let (code, step) = match self.dice.roll(8) {
                0..3 => right,
                3 => ("12345".to_owned(), None),
                _ => (wrong_code(self.app, now), None),
            };
            acts.push(match self.dice.roll(8) {
                0 => Act::Cancel(target),
                1 | 2 => Act::Login(code, step),
                _ => Act::Answer(target, code, step),
            });
        }
        acts
    }

    /// Polls the callers in random order until all are done or gone; returns what they were told, and how many
    /// have gone.
    fn interleave(&mut self, callers: Vec<Caller<'_>>) -> (Vec<Told>, usize) {
        let mut callers: Vec<_> =
            callers.into_iter().map(|caller| (caller, Arc::new(Woken::default()))).collect();
        let (mut told, mut crashed) = (Vec::new(), 0);
        while !callers.is_empty() {
            let awake: Vec<usize> =
                (0..callers.len()).filter(|i| callers[*i].1.0.load(Ordering::SeqCst)).collect();
            assert!(!awake.is_empty(), "seed {}: everybody waits for somebody", self.seed);
            let next = awake[self.dice.below(awake.len())];
            if self.dice.roll(100) == 0 {
                drop(callers.swap_remove(next));
                crashed += 1;
                continue;
            }
            if self.dice.roll(250) == 0 {
                let by = Duration::from_secs(1 + self.dice.roll(5));
                self.clocks.iter().for_each(|clock| clock.advance(by));
            }
            let (caller, woken) = &mut callers[next];
            woken.0.store(false, Ordering::SeqCst);
            let waker = Waker::from(woken.clone());
            if let Poll::Ready(done) = caller.as_mut().poll(&mut Context::from_waker(&waker)) {
                told.extend(done);
                drop(callers.swap_remove(next));
            }
        }
        (told, crashed)
    }

    /// Compares what callers were told and what the log says with the model.
    async fn judge(&self, told: &[Told], events: &[Event], crashed: usize) {
        let seed = self.seed;
        let log = |kind, reason| of(events, kind, reason);
        let times = |word: &str| told.iter().filter(|told| told.words.starts_with(word)).count();
        // Where the clock goes on for two seconds while a caller waits, it is told so, and nothing is judged.
        assert_eq!(times("error"), times("error contention"), "seed {seed}: {told:?}");
        // One event for each judged answer; without crashes one answer for each event.
        for (word, kind, reason) in [
            ("granted", Kind::AnswerAccepted, None),
            ("wrong_code", Kind::AnswerRejected, Some("wrong_code")),
        ] {
            let (told, logged) = (times(word), log(kind, reason).len());
            assert!(told <= logged && logged <= told + crashed, "seed {seed}: {word} {told} {logged}");
        }
        // A step and a challenge are each accepted once.
        let granted = || told.iter().filter(|told| told.words == "granted");
        let steps: BTreeSet<_> = granted().map(|told| told.step.expect("a right code")).collect();
        assert_eq!(steps.len(), granted().count(), "seed {seed}: a step is accepted twice: {told:?}");
        // There are codes of two steps only.
        assert!(log(Kind::AnswerAccepted, None).len() <= 2, "seed {seed}: a step is accepted twice");
        let mut ends: BTreeMap<_, usize> = BTreeMap::new();
        for event in [log(Kind::AnswerAccepted, None), log(Kind::ChallengeEnded, None)].concat() {
            *ends.entry(event.subject()).or_default() += 1;
        }
        assert!(ends.values().all(|ends| *ends == 1), "seed {seed}: a challenge ends twice: {ends:?}");
        // The exact counter is in the record, and is what the log says.
        let wrong = log(Kind::AnswerRejected, Some("wrong_code"));
        assert_eq!(failures_today(self.world, self.bob).await, wrong.len() as u64, "seed {seed}");
        if times("locked") > 0 {
            assert!(wrong.len() as u64 >= self.limit.min(5), "seed {seed}: locked for nothing");
        }
        self.attempts_fall(told);
        self.replay(events);
    }

    /// Each judged answer of a challenge has taken an attempt of its own.
    fn attempts_fall(&self, told: &[Told]) {
        let mut left: BTreeMap<_, BTreeSet<u64>> = BTreeMap::new();
        for told in told.iter().filter(|t| ["wrong_code", "replayed"].iter().any(|w| t.words.starts_with(w)))
        {
            let n: u64 = told.words.rsplit(' ').next().and_then(|n| n.parse().ok()).expect("a number");
            let is_new = left.entry(told.challenge).or_default().insert(n);
            assert!(is_new && n < self.attempts, "seed {}: {n} attempts are left again", self.seed);
        }
    }

    /// Plays the judged answers again, in the order that the user's stream gives them.
    fn replay(&self, events: &[Event]) {
        let seed = self.seed;
        streams_are_whole(events);
        let mut judged: Vec<_> = events.iter().filter(|event| event.stream().is_some()).collect();
        judged.sort_by_key(|event| event.stream().map(|stream| stream.seq));
        let (mut failures, mut in_a_row, mut locks) = (0, 0_u32, 0);
        let (mut latest, mut failed_at) = (Timestamp::MIN, Timestamp::MIN);
        let mut left: BTreeMap<_, u64> = BTreeMap::new();
        for event in judged {
            latest = latest.max(event.at());
            let is_judgement = matches!(event.kind(), Kind::AnswerAccepted | Kind::AnswerRejected);
            if is_judgement {
                let delay = in_a_row.checked_sub(5).map_or(0, |doublings| 1 << doublings);
                let until = failed_at.plus(Duration::from_secs(delay));
                assert!(failures < self.limit, "seed {seed}: judged beyond the budget");
                assert!(latest >= until, "seed {seed}: judged within the delay");
            }
            match event.kind() {
                Kind::AnswerAccepted => in_a_row = 0,
                Kind::AnswerRejected => {
                    failures += 1;
                    in_a_row += 1;
                    failed_at = latest;
                    locks += usize::from(in_a_row == 5 || failures == self.limit);
                    let now: u64 =
                        event.field("attempts_left").and_then(|n| n.parse().ok()).expect("a number");
                    let before = left.insert(event.subject(), now).unwrap_or(self.attempts);
                    assert!(now < before, "seed {seed}: {now} attempts are left after {before}");
                }
                _ => {}
            }
        }
        assert_eq!(of(events, Kind::UserLocked, None).len(), locks, "seed {seed}");
    }
}

impl Act {
    const fn step(&self) -> Option<u64> {
        match self {
            Self::Answer(_, _, step) | Self::Login(_, step) => *step,
            Self::Cancel(_) => None,
        }
    }

    /// Returns what the caller was told; `None` if there was nobody to log in.
    async fn perform(self, node: &Engine, bob: &Subject) -> Option<Told> {
        let step = self.step();
        let (challenge, words) = match self {
            Self::Answer((id, reference), code, _) => {
                (id, words(&node.verify(reference, Response::code(&code)).await))
            }
            Self::Login(code, _) => {
                let challenge = match node.begin(login(bob)).await {
                    Ok(Begin::Challenge(challenge)) => challenge,
                    Ok(Begin::Denied(_)) | Err(Error::Contention) => return None,
                    other => panic!("{other:?}"),
                };
                (challenge.id, words(&node.verify(&challenge.reference, Response::code(&code)).await))
            }
            Self::Cancel((id, reference)) => (id, words_of_change(&node.cancel(&reference).await)),
        };
        Some(Told { challenge, step, words })
    }
}

/// The random choices of one seed.
struct Dice(SeededEntropy);

impl Dice {
    /// Returns a number below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes).expect("bytes");
        u64::from_le_bytes(bytes) % sides
    }

    fn below(&mut self, len: usize) -> usize {
        self.roll(len as u64) as usize
    }
}

/// Whether a caller wants to be polled.
struct Woken(AtomicBool);

impl Default for Woken {
    fn default() -> Self {
        Self(AtomicBool::new(true))
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}
