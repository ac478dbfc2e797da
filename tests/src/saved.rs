//! Recovery codes: users who hold some, codes that nobody was given, and nodes whose slow hashes meet.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use mfa::{
    Answer, Challenge, Engine, EngineBuilder, Error, Response, RunError, Runtime, SecretBytes, SlowJob,
    Store, Subject, Timestamp, Verify,
};
use mfa_testkit::entropy::SeededEntropy;
use mfa_testkit::host::TestHost;
use mfa_testkit::inbox::Inbox;
use mfa_testkit::runtime::VirtualRuntime;

/// The characters of a code.
pub const ALPHABET: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Longer than the longest delay after a failure.
pub const PAST_A_DELAY: Duration = Duration::from_secs(901);
/// How long a hash waits for the others.
const PATIENCE: Duration = Duration::from_secs(30);

/// Puts a recovery code into a response.
#[must_use]
pub fn recovery(code: &str) -> Response {
    Response::answer(Answer::recovery(code))
}

/// Answers with a recovery code.
///
/// # Errors
/// The engine's.
pub async fn recover(engine: &Engine, challenge: &Challenge, code: &str) -> Result<Verify, Error> {
    engine.verify(&challenge.reference, recovery(code)).await
}

/// Returns how many of the user's codes are left, as the host is told.
///
/// # Panics
/// If the user has no set.
pub async fn left(engine: &Engine, subject: &Subject) -> u8 {
    let methods = engine.methods(subject.account(), subject.user()).await.expect("a list");
    let set = methods.into_iter().find(|method| method.provider.as_str() == "recovery").expect("a set");
    set.uses_left.expect("a count")
}

/// Returns a well-formed code with the selector of `code` and other random bits, another one for every `n`.
#[must_use]
pub fn guess(code: &str, n: usize) -> String {
    let payload: Vec<char> = code.chars().filter(|c| *c != '-').collect();
    let (mut payload, mut n) = (payload[..payload.len() - 2].to_vec(), n + 1);
    for place in (2..payload.len()).rev() {
        let at = ALPHABET.find(payload[place]).expect("a character of a code") + n;
        payload[place] = ALPHABET.chars().nth(at % 32).expect("a character");
        n = at / 32;
        if n == 0 {
            break;
        }
    }
    with_checksum(&payload)
}

/// Returns a well-formed code whose selector none of `codes` has.
#[must_use]
pub fn foreign(codes: &[String]) -> String {
    let selectors: Vec<&str> = codes.iter().map(|code| &code[..2]).collect();
    let pairs = ALPHABET.chars().flat_map(|a| ALPHABET.chars().map(move |b| format!("{a}{b}")));
    let free = pairs.into_iter().find(|pair| !selectors.contains(&pair.as_str())).expect("a free selector");
    let payload: Vec<char> = free.chars().chain(codes[0].chars().filter(|c| *c != '-').skip(2)).collect();
    with_checksum(&payload[..payload.len() - 2])
}

/// Appends the checksum of a code's characters: written here again, from the description of the form.
fn with_checksum(payload: &[char]) -> String {
    let value = |c: &char| ALPHABET.find(*c).expect("a character of a code");
    let sum = payload.iter().fold(1, |sum, c| (sum * 10 + value(c)) % 1021);
    let check = [sum / 32, sum % 32].map(|at| ALPHABET.chars().nth(at).expect("a character"));
    payload.iter().chain(&check).collect()
}

/// Starts a builder of a node of `host` with recovery, on another store and another runtime.
///
/// # Panics
/// If the issuer is refused, which it is not.
pub fn recovery_node_on(host: &TestHost, store: Arc<dyn Store>, runtime: Arc<dyn Runtime>) -> EngineBuilder {
    static SEED: AtomicUsize = AtomicUsize::new(1 << 40);
    let seed = SEED.fetch_add(1, Ordering::Relaxed) as u64;
    Engine::builder(store, host.directory.clone(), host.ring.clone(), runtime)
        .entropy(Arc::new(SeededEntropy::new(seed)))
        .provider(mfa::totp::Totp::new("Example").expect("an issuer"))
        .provider(mfa_testkit::host::recovery())
        .transport(Arc::new(Inbox::new()))
        .danger_test_doubles()
}

/// A virtual runtime whose slow jobs are counted and can be made to meet: their results are held back until so many
/// have run. Clones share it; each job that waits blocks its thread.
#[derive(Clone)]
pub struct Meeting {
    clock: VirtualRuntime,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    ran: usize,
    wanted: usize,
}

impl Meeting {
    /// Makes one on `clock`; nothing waits.
    #[must_use]
    pub fn new(clock: &VirtualRuntime) -> Self {
        Self { clock: clock.clone(), state: Arc::default() }
    }

    /// Holds the results of the next `n` slow jobs back until all of them have run.
    pub fn arm(&self, n: usize) {
        let mut state = self.lock();
        state.wanted = state.ran + n;
    }

    /// Returns how many slow jobs have run.
    #[must_use]
    pub fn ran(&self) -> usize {
        self.lock().ran
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Meeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meeting").finish_non_exhaustive()
    }
}

#[async_trait]
impl Runtime for Meeting {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }

    async fn run(&self, job: SlowJob) -> Result<SecretBytes, RunError> {
        let result = self.clock.run(job).await;
        let mut state = self.lock();
        state.ran += 1;
        self.state.1.notify_all();
        let waited = self.state.1.wait_timeout_while(state, PATIENCE, |state| state.ran < state.wanted);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(state.ran >= state.wanted, "only {} of {} hashes came", state.ran, state.wanted);
        drop(state);
        result
    }

    fn is_test_double(&self) -> bool {
        true
    }
}
