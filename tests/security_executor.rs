//! S32: slow hashes run on a bounded pool of their own, and never on the threads that serve logins.
#![cfg(test)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::join_all;
use mfa::{
    Challenge, Choice, Engine, EnrolConfirm, Error, MemoryStore, OsEntropy, Reason, RecoveryForm,
    RequestFacts, Response, RunError, Runtime, SecretBytes, SlowJob, StoredDirectory, Subject, Timestamp,
    TokioRuntime, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_tests::saved::{guess, recover};
use mfa_tests::{begin, host, ring, subject, totp};

/// How long a hash waits for what should not wait for it.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn s32_every_hash_runs_on_the_pool_and_none_on_a_thread_of_the_executor() {
    let executor = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .thread_name("executor")
        .enable_time()
        .build()
        .unwrap();
    let watched = Arc::new(Watched::new(None));
    executor.block_on(async {
        let engine = engine(&watched).await;
        let mut guesses = Vec::new();
        for n in 0..8 {
            let bob = subject(&format!("bob{n}"));
            let (_app, codes) = enrol(&engine, &watched, &bob).await;
            for (i, code) in codes.iter().enumerate().take(4) {
                let (engine, challenge, code) = (engine.clone(), begin(&engine, &bob).await, guess(code, i));
                guesses.push(tokio::spawn(async move { recover(&engine, &challenge, &code).await }));
            }
        }
        for answer in join_all(guesses).await {
            let answer = answer.unwrap().unwrap();
            assert!(matches!(&answer, Verify::Rejected(r) if r.reason == Reason::WrongCode), "{answer:?}");
        }
        // One job a set, one a guess.
        assert_eq!(watched.ran(), 8 + 8 * 4);
        let bob = subject("bob0");
        engine.recovery_issue(bob.account(), bob.user(), RecoveryForm::Key, &host()).await.unwrap();
        assert_eq!(watched.ran(), 8 + 8 * 4 + 1);
    });
    let threads = watched.threads.lock().unwrap();
    assert_eq!(threads.iter().map(String::as_str).collect::<Vec<_>>(), ["mfa-slow"], "by their names");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    assert!(
        watched.at_once.load(Ordering::SeqCst) <= (cores / 2).max(1),
        "as many at once as the pool has threads"
    );
}

// One thread serves everything. A hash that ran on it, or that it waited for, would wait for ever.
#[test]
fn s32_a_login_goes_through_while_a_hash_is_running_on_an_executor_of_one_thread() {
    let executor = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    executor.block_on(async {
        let plain = Arc::new(Watched::new(None));
        let (store, bob, ann) = (Arc::new(MemoryStore::new()), subject("bob"), subject("ann"));
        let engine = engine_on(&plain, &store).await;
        let (_app, codes) = enrol(&engine, &plain, &bob).await;
        let (anns, _) = enrol(&engine, &plain, &ann).await;
        let (go, gone) = channel();
        let held = Arc::new(Watched::new(Some(gone)));
        let engine = engine_on(&held, &store).await;
        let (guessed, owners) = (begin(&engine, &bob).await, begin(&engine, &ann).await);
        let (slow, code) = (engine.clone(), codes[0].clone());
        let guess = tokio::spawn(async move { recover(&slow, &guessed, &code).await });
        // The hash is running now.
        while held.ran() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let verified = login_beside(&engine, &held, &owners, &anns).await;
        assert!(matches!(verified, Ok(Verify::Verified(_))), "{verified:?}");
        go.send(()).unwrap();
        assert!(matches!(guess.await.unwrap(), Ok(Verify::Verified(_))));
    });
}

// A pool that is full says so at once, and what it refused can be given again.
#[test]
fn s32_what_the_pool_has_no_room_for_is_told_busy_and_nothing_is_charged() {
    let executor = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    executor.block_on(async {
        let plain = Arc::new(Watched::new(None));
        let (store, bob) = (Arc::new(MemoryStore::new()), subject("bob"));
        let engine = engine_on(&plain, &store).await;
        let (_app, codes) = enrol(&engine, &plain, &bob).await;
        let (go, gone) = channel();
        let held = Arc::new(Watched::new(Some(gone)));
        let threads = (std::thread::available_parallelism().map_or(1, usize::from) / 2).max(1);
        let job = || Box::pin(held.run(Box::new(|| SecretBytes::new(vec![1]))));
        let mut jobs: Vec<_> = (0..threads).map(|_| job()).collect();
        assert!(jobs.iter_mut().all(|job| job.now_or_never().is_none()));
        while held.ran() < threads {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Every thread has one; now the queue.
        for n in 0..64 {
            let mut job = job();
            assert!((&mut job).now_or_never().is_none(), "{n}");
            jobs.push(job);
        }
        assert_eq!(job().now_or_never().map(|answer| answer.map(drop)), Some(Err(RunError::Busy)));
        let engine = engine_on(&held, &store).await;
        let challenge = begin(&engine, &bob).await;
        for _ in 0..20 {
            let busy = recover(&engine, &challenge, &codes[0]).await;
            assert!(matches!(busy, Err(Error::Busy)), "{busy:?}");
        }
        let status = engine.status(bob.account(), challenge.id).await.unwrap().unwrap();
        assert_eq!(status.verify_attempts, 0);
        // One more word, for the guess that is given again.
        for _ in 0..=jobs.len() {
            go.send(()).unwrap();
        }
        for job in jobs {
            assert!(job.await.is_ok());
        }
        assert!(matches!(recover(&engine, &challenge, &codes[0]).await, Ok(Verify::Verified(_))));
    });
}

/// The runtime of a tokio service, and on which threads its slow jobs ran. They can be made to wait for a word.
#[derive(Debug)]
struct Watched {
    inner: TokioRuntime,
    threads: Arc<Mutex<BTreeSet<String>>>,
    ran: Arc<AtomicUsize>,
    now: Arc<AtomicUsize>,
    at_once: Arc<AtomicUsize>,
    word: Option<Arc<Mutex<Receiver<()>>>>,
}

impl Watched {
    fn new(word: Option<Receiver<()>>) -> Self {
        Self {
            inner: TokioRuntime::new(),
            threads: Arc::default(),
            ran: Arc::default(),
            now: Arc::default(),
            at_once: Arc::default(),
            word: word.map(|word| Arc::new(Mutex::new(word))),
        }
    }

    fn ran(&self) -> usize {
        self.ran.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Runtime for Watched {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.inner.sleep(duration).await;
    }

    async fn run(&self, job: SlowJob) -> Result<SecretBytes, RunError> {
        let (threads, ran, word) = (Arc::clone(&self.threads), Arc::clone(&self.ran), self.word.clone());
        let (now, at_once) = (Arc::clone(&self.now), Arc::clone(&self.at_once));
        let watched = move || {
            ran.fetch_add(1, Ordering::SeqCst);
            at_once.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            threads.lock().unwrap().insert(std::thread::current().name().unwrap_or_default().to_owned());
            let digest = job();
            if let Some(word) = word {
                word.lock().unwrap().recv_timeout(PATIENCE).expect("what should not wait for a hash");
            }
            now.fetch_sub(1, Ordering::SeqCst);
            digest
        };
        self.inner.run(Box::new(watched)).await
    }

    fn is_test_double(&self) -> bool {
        false
    }
}

async fn engine(runtime: &Arc<Watched>) -> Engine {
    engine_on(runtime, &Arc::new(MemoryStore::new())).await
}

async fn engine_on(runtime: &Arc<Watched>, store: &Arc<MemoryStore>) -> Engine {
    let runtime: Arc<dyn Runtime> = runtime.clone();
    let directory = StoredDirectory::new(store.clone(), ring(), Arc::clone(&runtime));
    for name in ["bob", "ann"].map(str::to_owned).into_iter().chain((0..8).map(|n| format!("bob{n}"))) {
        directory.put(&subject(&name)).await.unwrap();
    }
    let builder = Engine::builder(store.clone(), Arc::new(directory), ring(), runtime);
    let builder =
        builder.entropy(Arc::new(OsEntropy::new())).provider(mfa::totp::Totp::new("Example").unwrap());
    builder.provider(mfa_testkit::host::recovery()).build().await.unwrap()
}

async fn enrol(engine: &Engine, runtime: &Watched, subject: &Subject) -> (SoftAuthenticator, Vec<String>) {
    let (account, user) = (subject.account(), subject.user());
    let started = engine.enrol_begin(account, user, &totp(), &Choice::none(), &host()).await.unwrap();
    let app = SoftAuthenticator::scan(started.revealed.get("uri").unwrap().expose_secret()).unwrap();
    // The step before: the one after is left for a login.
    let code = Response::code(&app.code_at(runtime.now().minus(Duration::from_secs(30))));
    let shown = engine.enrol_confirm(&started.reference, &code).await.unwrap();
    let EnrolConfirm::RecoveryShown(issued) = shown else { panic!("{shown:?}") };
    let codes = issued.revealed.get("codes").unwrap().expose_secret().lines().map(str::to_owned).collect();
    let confirmed = engine.enrol_acknowledge(&started.reference, &RequestFacts::new()).await.unwrap();
    assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)), "{confirmed:?}");
    (app, codes)
}

async fn login_beside(
    engine: &Engine,
    runtime: &Watched,
    challenge: &Challenge,
    app: &SoftAuthenticator,
) -> Result<Verify, Error> {
    let code = Response::code(&app.code_at(runtime.now()));
    engine.verify(&challenge.reference, code).await
}
