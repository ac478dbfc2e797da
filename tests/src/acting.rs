//! A method that acts by itself, by a message or a request, and what leaves it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use audit_model::Kind;
use mfa::{
    Begin, Challenge, Charge, DeniedReason, Engine, EngineBuilder, EnrolConfirm, EnrolmentStarted,
    ExplainedOutcome, HttpClient, HttpFault, HttpReply, Login, Message, MethodSelector, NotDelivered,
    Provider, ProviderName, Reason, Receipt, Rejected, Response, Status, Store, Subject, Target, Transport,
    Verify,
};
use mfa_testkit::scripted::{On, Say, ScriptedProvider};

use crate::doubles::{SCRIPTED_CODE, enrol_in};
use crate::{World, acme, login};

/// The longest delay after a failure.
pub const LONGEST_DELAY: Duration = Duration::from_secs(900);

/// Counts messages. While `hangs` is set no message ever arrives.
#[derive(Debug, Default)]
struct Post {
    sent: AtomicUsize,
    hangs: AtomicBool,
}

#[async_trait]
impl Transport for Post {
    async fn send(&self, _: &Message, _: Duration) -> Result<Receipt, NotDelivered> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(Receipt::new("sent"))
    }
}

/// Counts requests and answers 200, or nothing from the one on that is set.
#[derive(Debug, Default)]
struct Web {
    sent: AtomicUsize,
    fails_from: AtomicUsize,
    never_leaves: AtomicBool,
    hangs: AtomicBool,
    /// Requests wait until so many were sent.
    together: AtomicUsize,
}

#[async_trait]
impl HttpClient for Web {
    async fn send(&self, _: http::Request<Vec<u8>>, _: Duration) -> Result<HttpReply, HttpFault> {
        if self.never_leaves.load(Ordering::SeqCst) {
            return Err(HttpFault::NotSent);
        }
        let sent = self.sent.fetch_add(1, Ordering::SeqCst) + 1;
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        std::future::poll_fn(|cx| {
            if self.sent.load(Ordering::SeqCst) >= self.together.load(Ordering::SeqCst) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        let fails_from = self.fails_from.load(Ordering::SeqCst);
        if fails_from != 0 && sent >= fails_from {
            return Err(HttpFault::Unanswered);
        }
        Ok(http::Response::new(Vec::new()))
    }
}

/// An engine with a provider that the test programs, and what leaves it.
#[derive(Debug)]
pub struct Acting {
    /// The engine, which has TOTP too.
    pub engine: Engine,
    /// The provider.
    pub provider: ScriptedProvider,
    post: Arc<Post>,
    web: Arc<Web>,
}

impl Acting {
    /// Makes one with a provider of this name, in which bob is enrolled by [`SCRIPTED_CODE`].
    ///
    /// # Panics
    /// If a part of it fails.
    pub async fn new(world: &World, name: &str) -> (Self, Subject) {
        Self::with(world, ScriptedProvider::new(name)).await
    }

    /// As [`Acting::new`], with `provider`.
    ///
    /// # Panics
    /// If a part of it fails.
    pub async fn with(world: &World, provider: ScriptedProvider) -> (Self, Subject) {
        provider.on(On::Answer(SCRIPTED_CODE.to_owned()), Say::Accept);
        let (post, web) = (Arc::new(Post::default()), Arc::new(Web::default()));
        let builder = world.node().provider(provider.clone());
        let engine = builder.transport(post.clone()).http(web.clone()).build().await.expect("an engine");
        let bob = world.add("bob").await;
        enrol_in(&engine, &bob, provider.describe().name.as_str(), SCRIPTED_CODE).await;
        (Self { engine, provider, post, web }, bob)
    }

    /// Starts a builder of another engine with the same provider and the same ways out.
    pub fn node(&self, world: &World) -> EngineBuilder {
        self.acts(world.node())
    }

    /// Starts a builder of such an engine on another store.
    pub fn node_on(&self, world: &World, store: Arc<dyn Store>) -> EngineBuilder {
        self.acts(crate::probe::node_on(world, store))
    }

    fn acts(&self, builder: EngineBuilder) -> EngineBuilder {
        let builder = builder.provider(self.provider.clone());
        builder.transport(self.post.clone()).http(self.web.clone())
    }

    /// Returns the provider's name.
    #[must_use]
    pub fn name(&self) -> ProviderName {
        self.provider.describe().name.clone()
    }

    /// From now on a message is sent when a challenge begins.
    pub fn sends_at_begin(&self) {
        self.sends_at_begin_for(Charge::Send);
    }

    /// As [`sends_at_begin`](Self::sends_at_begin), at another charge.
    pub fn sends_at_begin_for(&self, charge: Charge) {
        self.provider.on(On::Begin, Say::Deliver("bob*".to_owned(), SCRIPTED_CODE.to_owned(), charge));
        self.provider.on(On::Interrupted, Say::Prompt(serde_json::Value::Null));
    }

    /// From now on a request is sent when this happens, at this charge.
    pub fn asks(&self, on: On, charge: Charge) {
        self.provider.on(on, Say::Http("https://localhost/".to_owned(), charge));
    }

    /// Begins, and drops the call while the message is on its way. No message arrives from now on. Returns whether
    /// one left.
    ///
    /// # Panics
    /// If the login is not denied and no message leaves.
    pub async fn begin_and_drop(&self, login: Login) -> bool {
        self.post.hangs.store(true, Ordering::SeqCst);
        let before = self.post.sent.load(Ordering::SeqCst);
        let mut beginning = pin!(self.engine.begin(login));
        let mut context = Context::from_waker(Waker::noop());
        // SQLite answers from its own threads: poll until the message leaves.
        while self.post.sent.load(Ordering::SeqCst) == before {
            if let Poll::Ready(begun) = beginning.as_mut().poll(&mut context) {
                assert!(matches!(begun, Ok(Begin::Denied(_))), "{begun:?}");
                return false;
            }
            std::thread::yield_now();
        }
        true
    }

    /// Answers the newest challenge of `login`.
    ///
    /// # Panics
    /// If it is not judged.
    pub async fn answer_current(&self, login: Login, response: Response) -> Verify {
        self.engine.verify(Target::Current(Box::new(login)), response).await.expect("an answer")
    }

    /// From request `number` on, counted from 1, none is answered.
    pub fn fails_from(&self, number: usize) {
        self.web.fails_from.store(number, Ordering::SeqCst);
    }

    /// Sets whether requests provably never leave.
    pub fn never_leaves(&self, set: bool) {
        self.web.never_leaves.store(set, Ordering::SeqCst);
    }

    /// Sets whether requests are never answered.
    pub fn hangs(&self, set: bool) {
        self.web.hangs.store(set, Ordering::SeqCst);
    }

    /// Polls on two nodes, so that both requests are on their way before either is answered.
    ///
    /// # Panics
    /// If a poll is not judged.
    pub async fn poll_twice_at_once(&self, world: &World, challenge: &Challenge) -> [Verify; 2] {
        let other = self.node(world).build().await.expect("an engine");
        self.web.together.store(self.requests() + 2, Ordering::SeqCst);
        let poll =
            |engine: Engine| async move { engine.verify(&challenge.reference, Response::poll()).await };
        let (one, other) = futures::join!(poll(self.engine.clone()), poll(other));
        [one.expect("an answer"), other.expect("an answer")]
    }

    /// Answers a pending enrolment on two nodes, so that both requests are on their way before either is answered.
    ///
    /// # Panics
    /// If an answer is not judged.
    pub async fn confirm_twice_at_once(
        &self,
        world: &World,
        started: &EnrolmentStarted,
        response: &Response,
    ) -> [EnrolConfirm; 2] {
        let other = self.node(world).build().await.expect("an engine");
        self.web.together.store(self.requests() + 2, Ordering::SeqCst);
        let confirm =
            |engine: Engine| async move { engine.enrol_confirm(&started.reference, response).await };
        let (one, other) = futures::join!(confirm(self.engine.clone()), confirm(other));
        [one.expect("an answer"), other.expect("an answer")]
    }

    /// Answers a pending enrolment, and drops the call while a request is on its way.
    ///
    /// # Panics
    /// If no request leaves.
    pub async fn confirm_and_drop(&self, started: &EnrolmentStarted, response: Response) {
        let before = self.requests();
        let mut confirming = pin!(self.engine.enrol_confirm(&started.reference, &response));
        let mut context = Context::from_waker(Waker::noop());
        while self.requests() == before {
            assert!(confirming.as_mut().poll(&mut context).is_pending());
            std::thread::yield_now();
        }
    }

    /// Returns how many messages left.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.post.sent.load(Ordering::SeqCst)
    }

    /// Returns how many requests were sent.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.web.sent.load(Ordering::SeqCst)
    }

    /// Returns where a challenge stands.
    ///
    /// # Panics
    /// If there is none.
    pub async fn status(&self, challenge: &Challenge) -> Status {
        let found = self.engine.status(&acme(), challenge.id).await;
        found.expect("a status").expect("a challenge").status
    }

    /// Returns whether `subject` could not begin now.
    ///
    /// # Panics
    /// If the store fails.
    pub async fn is_locked(&self, subject: &Subject) -> bool {
        let explained = self.engine.explain(&login(subject)).await.expect("an explanation").outcome;
        matches!(explained, ExplainedOutcome::Denied(DeniedReason::Locked))
    }
}

/// Returns how an answer was refused.
///
/// # Panics
/// If it was not.
#[must_use]
pub fn refused(verify: Verify) -> Rejected {
    match verify {
        Verify::Rejected(rejected) => rejected,
        other => panic!("not refused: {other:?}"),
    }
}

/// Names a method by its provider.
///
/// # Panics
/// If it is no name.
#[must_use]
pub fn method(name: &str) -> MethodSelector {
    name.parse().expect("a name")
}

/// Attacks for a day, waiting whenever it must, and returns how many wrong answers were judged. An attack that
/// is not let in returns `None`.
///
/// # Panics
/// If a guess is refused otherwise than as wrong or locked.
pub async fn judged_in_a_day(world: &World, mut attack: impl AsyncFnMut() -> Option<Reason>) -> u32 {
    let until = world.now().plus(Duration::from_secs(86_400));
    let mut judged = 0;
    while world.now() < until {
        match attack().await {
            Some(Reason::WrongCode) => judged += 1,
            Some(Reason::Locked) | None => world.clock.advance(LONGEST_DELAY),
            Some(other) => panic!("{other}"),
        }
    }
    judged
}

/// Returns the reasons of the refusals that are events, oldest first.
pub async fn refusals(world: &World) -> Vec<String> {
    let events = world.events_of(Kind::AnswerRejected).await;
    events.iter().filter_map(|event| event.reason().map(str::to_owned)).collect()
}
