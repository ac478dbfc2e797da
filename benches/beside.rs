//! What logins feel of recovery codes that are guessed at beside them: the time of a TOTP answer, from its arrival at
//! the executor to its verdict, alone and beside a thousand guesses whose hashes are the pool's work.
//!
//! One runtime as a service has it. The guesses come spread over a second, or all at the same moment, when an answer
//! waits behind a thousand requests whatever these ask for. A last lane hashes on the executor's own threads: what the
//! pool is there for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::executor::block_on;
use mfa::{
    Answer, Begin, Challenge, Choice, Engine, EnrolConfirm, Error, MemoryStore, OsEntropy, Policy,
    RequestFacts, Response, RunError, Runtime, SecretBytes, SlowJob, Subject, Timestamp, TokioRuntime,
    Verify,
};
use mfa_benches::Mode;
use mfa_benches::turns::{Figures, Target, report, show};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::host::{STEP, TestHost, login, totp, vouched};
use mfa_testkit::runtime::VirtualRuntime;
use serde_json::json;

/// Guesses at once, at the sets of so many users: five each, before the delays begin.
const GUESSES: usize = 1_000;
const EACH: usize = 5;
/// Logins of a lane in a round, a millisecond apart.
const LOGINS: usize = 300;
const ROUNDS: usize = 6;
/// After how long a guess that was told busy comes again.
const AGAIN: Duration = Duration::from_secs(1);

fn main() {
    mfa_benches::run(|_| {}, ratios);
}

fn ratios(mode: Mode) {
    let (guesses, logins, rounds) = mode.pick((GUESSES, LOGINS, ROUNDS), (EACH, 2, 1));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
    let lanes = [Load::None, Load::Spread, Load::AtOnce, Load::Inline];
    let mut rigs = lanes.map(|load| Rig::new(load, guesses, logins));
    let mut times = lanes.map(|_| Vec::new());
    for round in 0..rounds {
        for turn in 0..lanes.len() {
            let at = (round + turn) % lanes.len();
            if lanes[at] == Load::Inline && round > 0 {
                // It takes as long as all the hashes do, and says the same again.
                continue;
            }
            times[at].extend(runtime.block_on(rigs[at].round(logins)));
        }
    }
    let names = [
        "TOTP alone",
        "TOTP beside spread guesses",
        "TOTP beside guesses at one moment",
        "TOTP beside guesses hashed inline",
    ];
    let p99 = times.each_ref().map(|times| quantile(times, 0.99));
    let figures: Vec<_> = names.iter().zip(times).map(|(name, times)| Figures::new(*name, times)).collect();
    show(mode, &figures);
    for (name, p99) in names.iter().zip(p99) {
        report(mode, &format!("{name}: p99"), p99 / 1e6, " ms", Target::None);
    }
    // The aim is for guesses that come together; spread ones are the easier case, shown beside it.
    report(
        mode,
        "p99 of TOTP: beside guesses at one moment / alone",
        p99[2] / p99[0],
        "",
        Target::AtMost(3.0),
    );
    report(mode, "p99 of TOTP: beside spread guesses / alone", p99[1] / p99[0], "", Target::None);
    report(mode, "p99 of TOTP: beside guesses at one moment", p99[2] / 1e6, " ms", Target::AtMost(50.0));
    report(mode, "p99 of TOTP: hashed inline / alone", p99[3] / p99[0], "", Target::None);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    None,
    Spread,
    AtOnce,
    Inline,
}

/// An engine with users who log in and users who are guessed at.
struct Rig {
    load: Load,
    host: TestHost,
    engine: Engine,
    owners: Vec<(Subject, SoftAuthenticator)>,
    victims: Vec<(Subject, String)>,
    guesses: usize,
}

impl Rig {
    fn new(load: Load, guesses: usize, logins: usize) -> Self {
        let host = block_on(TestHost::on(Arc::new(MemoryStore::new())));
        let owners = (0..logins).map(|n| block_on(host.enrol(&format!("owner-{n:06}")))).collect();
        // Sets of one key: one hash to make each.
        let policy = Policy::recommended().with_document(&json!({"recovery": "key"})).unwrap();
        let pool = Arc::new(Pool { load, clock: host.clock.clone(), tokio: TokioRuntime::new() });
        let store: Arc<dyn mfa::Store> = host.store.clone();
        let node = |runtime: Arc<dyn Runtime>| {
            let recovery = mfa::recovery::Recovery::new("Example").unwrap();
            let node =
                Engine::builder(Arc::clone(&store), host.directory.clone(), host.ring.clone(), runtime);
            let node = node.entropy(Arc::new(OsEntropy::new())).policy(policy.clone()).danger_test_doubles();
            block_on(node.provider(mfa::totp::Totp::new("Example").unwrap()).provider(recovery).build())
                .unwrap()
        };
        let inline = node(Arc::new(host.clock.clone()));
        let victims = if load == Load::None { 0 } else { guesses / EACH };
        let victims = (0..victims).map(|n| block_on(victim(&host, &inline, n))).collect();
        let engine = node(pool);
        Self { load, host, engine, owners, victims, guesses }
    }

    /// Times so many logins; in the lanes with guesses, while these last.
    async fn round(&mut self, logins: usize) -> Vec<f64> {
        // Past every challenge of the round before.
        self.host.clock.advance(STEP * 40);
        let mut guesses = Vec::new();
        for (subject, key) in &self.victims {
            // Five guesses again, before the delays begin.
            self.engine.user_unlock(subject.account(), subject.user(), &vouched()).await.unwrap();
            for n in 0..EACH {
                guesses.push((begin(&self.engine, subject).await, other(key, n)));
            }
        }
        let mut waiting = Vec::new();
        for (subject, app) in self.owners.iter().take(logins) {
            let code = Response::code(&app.code_at(self.host.clock.now()));
            waiting.push((begin(&self.engine, subject).await, code));
        }
        let judged = Arc::new(AtomicUsize::new(0));
        let guessing: Vec<_> = guesses
            .into_iter()
            .enumerate()
            .map(|(n, (challenge, key))| {
                let share = u32::try_from(if self.load == Load::Spread { n } else { 0 }).unwrap();
                let after = AGAIN * share / u32::try_from(self.guesses).unwrap();
                tokio::spawn(guess(self.engine.clone(), (challenge, key), after, Arc::clone(&judged)))
            })
            .collect();
        if self.load == Load::Spread && logins == LOGINS {
            // All of them have come, and come again.
            tokio::time::sleep(AGAIN).await;
        }
        let mut answers = Vec::new();
        for (challenge, code) in waiting {
            tokio::time::sleep(Duration::from_millis(1)).await;
            answers.push(tokio::spawn(arrived(self.engine.clone(), challenge, code)));
        }
        let mut times = Vec::new();
        for answer in answers {
            times.push(answer.await.unwrap());
        }
        let lasted = judged.load(Ordering::SeqCst) < self.guesses || logins < LOGINS;
        assert!(
            matches!(self.load, Load::None | Load::Inline) || lasted,
            "the guesses were over before the logins"
        );
        guessing.iter().for_each(|guess| guess.abort());
        for guess in guessing {
            drop(guess.await);
        }
        times
    }
}

/// Answers, and returns the nanoseconds since the task was made.
fn arrived(engine: Engine, challenge: Challenge, code: Response) -> impl Future<Output = f64> {
    let clock = Clock::start();
    async move {
        let verified = engine.verify(&challenge.reference, code).await.unwrap();
        assert!(matches!(verified, Verify::Verified(_)), "{verified:?}");
        clock.nanos()
    }
}

/// Guesses until the guess is judged.
async fn guess(
    engine: Engine,
    (challenge, key): (Challenge, String),
    after: Duration,
    judged: Arc<AtomicUsize>,
) {
    tokio::time::sleep(after).await;
    loop {
        let answer = Response::answer(Answer::recovery(&key));
        match engine.verify(&challenge.reference, answer).await {
            Err(Error::Busy) => tokio::time::sleep(AGAIN).await,
            answered => {
                assert!(!matches!(answered, Ok(Verify::Verified(_))), "{answered:?}");
                judged.fetch_add(1, Ordering::SeqCst);
                return;
            }
        }
    }
}

async fn begin(engine: &Engine, subject: &Subject) -> Challenge {
    match engine.begin(login(subject)).await.unwrap() {
        Begin::Challenge(challenge) => challenge,
        other => panic!("a challenge was expected: {other:?}"),
    }
}

/// Enrols a user with an app and a key; returns the key.
async fn victim(host: &TestHost, engine: &Engine, number: usize) -> (Subject, String) {
    let subject = host.add(&format!("victim-{number:06}")).await;
    let (account, user) = (subject.account(), subject.user());
    let started = engine.enrol_begin(account, user, &totp(), &Choice::none(), &vouched()).await.unwrap();
    let app = SoftAuthenticator::scan(started.revealed.get("uri").unwrap().expose_secret()).unwrap();
    let code = Response::code(&app.code_at(host.clock.now()));
    let shown = engine.enrol_confirm(&started.reference, &code).await.unwrap();
    let EnrolConfirm::RecoveryShown(issued) = shown else { panic!("a key was expected: {shown:?}") };
    let confirmed = engine.enrol_acknowledge(&started.reference, &RequestFacts::new()).await.unwrap();
    assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)), "{confirmed:?}");
    (subject, issued.revealed.get("key").unwrap().expose_secret().to_owned())
}

/// Returns a well-formed key that is another one.
fn other(key: &str, n: usize) -> String {
    let alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let value = |c: char| alphabet.find(c).unwrap();
    let mut payload: Vec<char> = key.chars().filter(|c| *c != '-').collect();
    payload.truncate(34);
    payload[33] = alphabet.chars().nth((value(payload[33]) + 1 + n) % 32).unwrap();
    let sum = payload.iter().fold(1, |sum, c| (sum * 10 + value(*c)) % 1021);
    payload.into_iter().chain([sum / 32, sum % 32].map(|at| alphabet.chars().nth(at).unwrap())).collect()
}

fn quantile(times: &[f64], part: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}

/// The time since a moment.
struct Clock(std::time::Instant);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
    fn start() -> Self {
        Self(std::time::Instant::now())
    }

    fn nanos(&self) -> f64 {
        self.0.elapsed().as_nanos() as f64
    }
}

/// A virtual clock, real timers, and the pool of a tokio service, or none.
#[derive(Debug)]
struct Pool {
    load: Load,
    clock: VirtualRuntime,
    tokio: TokioRuntime,
}

#[async_trait]
impl Runtime for Pool {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.tokio.sleep(duration).await;
    }

    async fn run(&self, job: SlowJob) -> Result<SecretBytes, RunError> {
        if self.load == Load::Inline {
            return Ok(job());
        }
        self.tokio.run(job).await
    }

    fn is_test_double(&self) -> bool {
        true
    }
}
