//! An engine with enrolled users, on real randomness and a clock that the bench moves.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use futures::executor::block_on;
use mfa::audit::Timestamp;
use mfa::{
    Begin, Challenge, Choice, Engine, EnrolConfirm, Login, OsEntropy, RequestFacts, Response, Runtime,
    Subject, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::host::{STEP, TestHost, TestStore, login, totp, vouched};

use crate::turns::timed;

/// An engine, its clock, and users with an authenticator app each.
#[derive(Debug)]
pub struct Rig {
    /// The engine: the operating system's randomness, a virtual clock.
    pub engine: Engine,
    host: TestHost,
    users: Vec<User>,
}

#[derive(Debug)]
struct User {
    subject: Subject,
    app: SoftAuthenticator,
    facts: RequestFacts,
}

/// One login that waits for its answer.
#[derive(Debug)]
pub struct Waiting {
    challenge: Challenge,
    response: Response,
}

impl Rig {
    /// Enrols `count` users on `store`, from `threads` threads.
    #[must_use]
    pub fn new(store: Arc<dyn TestStore>, count: usize, threads: usize) -> Self {
        let host = block_on(TestHost::on(store));
        let node = host.node().entropy(Arc::new(OsEntropy::new())).build();
        let engine = block_on(node).unwrap();
        let mut rig = Self { engine, host, users: Vec::new() };
        let (_, users) = at_once(threads, |thread| {
            (thread..count).step_by(threads).map(|number| rig.enrol(number)).collect::<Vec<_>>()
        });
        rig.users = users.into_iter().flatten().collect();
        rig.advance();
        rig
    }

    /// Moves the clock to the next step, so that every app shows a fresh code.
    pub fn advance(&self) {
        self.host.clock.advance(STEP);
    }

    /// Returns how a login of a user begins: what the host hands over.
    #[must_use]
    pub fn login(&self, user: usize) -> Login {
        let user = &self.users[user % self.users.len()];
        login(&user.subject).with_request(user.facts.clone())
    }

    /// Returns the right answer of a user, `steps` steps from now.
    #[must_use]
    pub fn answer(&self, user: usize, steps: u32) -> Response {
        let user = &self.users[user % self.users.len()];
        let at = self.now().plus(STEP * steps);
        Response::code(&user.app.code_at(at)).with_request(user.facts.clone())
    }

    /// Begins a login.
    #[must_use]
    pub fn begin(&self, user: usize) -> Waiting {
        let challenge = begun(block_on(self.engine.begin(self.login(user))));
        Waiting { challenge, response: self.answer(user, 0) }
    }

    /// Answers a login that waits.
    pub fn verify(&self, waiting: Waiting) {
        verified(block_on(self.engine.verify(&waiting.challenge.reference, waiting.response)));
    }

    /// Does `pairs` logins a step apart, from the user `first` on in turn; returns the time of the begins and of
    /// the answers.
    #[must_use]
    pub fn pairs(&self, first: usize, pairs: usize) -> [Duration; 2] {
        let steps = (first..).zip(1..).take(pairs);
        let prepared: Vec<_> =
            steps.map(|(user, step)| (self.login(user), self.answer(user, step))).collect();
        let mut times = [Duration::ZERO; 2];
        for (login, response) in prepared {
            self.advance();
            let (begin, challenge) = timed(|| begun(block_on(self.engine.begin(login))));
            let verify = || verified(block_on(self.engine.verify(&challenge.reference, response)));
            let (verify, ()) = timed(verify);
            times = [times[0] + begin, times[1] + verify];
        }
        times
    }

    /// Returns the clock's time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.host.clock.now()
    }

    fn enrol(&self, number: usize) -> User {
        let subject = block_on(self.host.add(&format!("user-{number:06}")));
        let (account, user) = (subject.account(), subject.user());
        let (choice, authority) = (Choice::none(), vouched());
        let started = block_on(self.engine.enrol_begin(account, user, &totp(), &choice, &authority)).unwrap();
        let app = SoftAuthenticator::scan(started.revealed.get("uri").unwrap().expose_secret()).unwrap();
        let code = Response::code(&app.code_at(self.now()));
        let confirmed = block_on(self.engine.enrol_confirm(&started.reference, &code)).unwrap();
        assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)), "{confirmed:?}");
        User { subject, app, facts: facts(number) }
    }
}

/// Runs `work` on so many threads, which start together; returns the time from the start to the last one's
/// end, and what each returned.
pub fn at_once<T: Send>(threads: usize, work: impl Fn(usize) -> T + Sync) -> (Duration, Vec<T>) {
    let (start, work) = (&Barrier::new(threads + 1), &work);
    thread::scope(|scope| {
        let run = |thread| {
            scope.spawn(move || {
                start.wait();
                work(thread)
            })
        };
        let running: Vec<_> = (0..threads).map(run).collect();
        start.wait();
        timed(|| running.into_iter().map(|thread| thread.join().unwrap()).collect())
    })
}

/// A browser's request, from one of 65,536 addresses.
fn facts(number: usize) -> RequestFacts {
    let [.., high, low] = number.to_be_bytes();
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    RequestFacts::new()
        .with_ip(IpAddr::V4(Ipv4Addr::new(10, 0, high, low)))
        .with_header("user-agent", agent)
        .with_id(format!("request-{number:010}"))
}

fn begun(begun: Result<Begin, mfa::Error>) -> Challenge {
    match begun.unwrap() {
        Begin::Challenge(challenge) => challenge,
        other => panic!("a challenge was expected: {other:?}"),
    }
}

fn verified(verified: Result<Verify, mfa::Error>) {
    let verified = verified.unwrap();
    assert!(matches!(verified, Verify::Verified(_)), "{verified:?}");
}
