//! The engine's part, played for one user of one provider.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use audit_model::{AccountId, Timestamp, UserId};
use mfa_core::{
    Answer, ChallengeId, Change, Charge, Choice, Contact, Cx, Draw, Effect, EffectKind, EnrolmentId, Held,
    HttpFault, HttpReply, Provider, ProviderError, Purpose, Reason, Receipt, Role, SecretBytes, Step,
    StepEvent, Strength, Then, Versioned,
};
use serde_json::Value;

use super::ProviderCase;
use crate::entropy::SeededEntropy;

/// The most effects that one event may lead to.
const MAX_EFFECTS: usize = 8;

/// What a user has seen: the values that were revealed, the messages and the latest public part.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Shown {
    /// Revealed values, by name, the newest last.
    pub revealed: Vec<(&'static str, String)>,
    /// The texts of the messages, the newest last.
    pub messages: Vec<String>,
    /// The latest public part.
    pub public: Value,
}

impl Shown {
    /// Returns the newest revealed value of this name.
    #[must_use]
    pub fn revealed(&self, name: &str) -> Option<&str> {
        self.revealed.iter().rev().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.revealed.iter().map(|(name, _)| name).collect();
        f.debug_struct("Shown").field("revealed", &names).finish_non_exhaustive()
    }
}

/// Values as a store keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) state: Option<Vec<u8>>,
    pub(super) enrolment: Option<Vec<u8>>,
    pub(super) secret: Option<Vec<u8>>,
}

/// How a step ended, once its effects had run.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    Shown,
    Accepted(Strength),
    Rejected(Reason),
    Failed(ProviderError),
}

/// Something a provider asked for, and upon what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) effect: EffectKind,
    pub(super) charge: Charge,
    pub(super) upon: &'static str,
    pub(super) purpose: Purpose,
}

/// What one event did, without its secrets: the values kept after it, and the printed form of the step.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) kept: Kept,
    pub(super) printed: String,
    pub(super) revealed: Vec<(&'static str, String)>,
}

/// One user of the case's provider.
#[derive(Debug)]
pub(super) struct Session<'c, C> {
    pub(super) case: &'c C,
    pub(super) kept: Kept,
    pub(super) shown: Shown,
    pub(super) now: Timestamp,
    pub(super) purpose: Purpose,
    pub(super) seen: Vec<Seen>,
    pub(super) asked: Vec<Asked>,
    seed: u64,
    number: u64,
    login: u8,
    user: UserId,
}

impl<C> Clone for Session<'_, C> {
    fn clone(&self) -> Self {
        Self {
            kept: self.kept.clone(),
            shown: self.shown.clone(),
            seen: self.seen.clone(),
            asked: self.asked.clone(),
            user: self.user.clone(),
            ..*self
        }
    }
}

/// A verified mailbox and telephone of the user with this number.
fn contacts(user: u64) -> [Contact; 2] {
    let mail = Contact::email(format!("user{user}@suite.example")).unwrap();
    let phone = Contact::phone(format!("+49151234567{:02}", user % 100)).unwrap();
    [mail.verified(), phone.verified()]
}

impl<'c, C: ProviderCase> Session<'c, C> {
    /// Begins an enrolment of the user with this number.
    pub(super) fn enrolling(case: &'c C, user: u64) -> Self {
        let mut session = Self::new(case, user);
        let end = session.event("begin", StepEvent::Begin(&case.choice()));
        assert_eq!(end, End::Shown, "an enrolment begins with something to show");
        session
    }

    /// Enrols the user with this number, and lets the time of the confirming answer pass. What is issued needs
    /// none.
    pub(super) fn enrolled(case: &'c C, user: u64) -> Self {
        let mut session = Self::enrolling(case, user);
        if !session.is_issued() {
            let end = session.answer(&session.right());
            assert!(matches!(end, End::Accepted(_)), "the right answer confirms the enrolment: {end:?}");
        }
        session.kept.state = None;
        session.pass(case.next_answer_after());
        session.purpose = Purpose::Login;
        session
    }

    /// Enrols a user and begins a login.
    pub(super) fn logging_in(case: &'c C, user: u64) -> Self {
        let mut session = Self::enrolled(case, user);
        session.begin_login();
        session
    }

    /// A session for each of the places where an answer is judged: an enrolment, unless it is issued, and a login.
    pub(super) fn answering(case: &'c C) -> Vec<Self> {
        let login = Self::logging_in(case, 1);
        if login.is_issued() { vec![login] } else { vec![Self::enrolling(case, 1), login] }
    }

    /// An enrolment that has not begun.
    pub(super) fn new(case: &'c C, user: u64) -> Self {
        Self {
            case,
            kept: Kept::default(),
            shown: Shown::default(),
            now: Timestamp::from_unix_seconds(1_700_000_000).unwrap(),
            purpose: Purpose::Enrol,
            seen: Vec::new(),
            asked: Vec::new(),
            seed: user << 32,
            number: user,
            login: 0,
            user: UserId::parse(&format!("user{user}")).unwrap(),
        }
    }

    /// Begins a login, which is a challenge of its own.
    pub(super) fn begin_login(&mut self) {
        self.kept.state = None;
        self.login += 1;
        let end = self.event("begin", StepEvent::Begin(&Choice::none()));
        assert_eq!(end, End::Shown, "a login begins with something to show");
    }

    /// Whether an enrolment ends with what it shows, without an answer.
    pub(super) fn is_issued(&self) -> bool {
        self.case.provider().describe().role == Role::Recovery
    }

    /// How many answers the enrolment is still good for.
    pub(super) fn uses_left(&self) -> Option<u8> {
        let enrolment = decoded(self.kept.enrolment.as_deref());
        enrolment.and_then(|enrolment| self.case.provider().uses_left(&enrolment))
    }

    /// Enrols the user anew where the enrolment is used up.
    pub(super) fn renew(&mut self) {
        if self.uses_left() == Some(0) {
            self.kept = Kept::default();
            self.purpose = Purpose::Enrol;
            let end = self.event("begin", StepEvent::Begin(&self.case.choice()));
            assert_eq!(end, End::Shown, "a used-up enrolment is issued anew");
            self.purpose = Purpose::Login;
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now.plus(time);
    }

    pub(super) fn right(&self) -> Answer {
        self.case.right_answer(&self.shown, self.now)
    }

    pub(super) fn wrong(&self) -> Answer {
        self.case.wrong_answer(&self.shown, self.now)
    }

    pub(super) fn answer(&mut self, answer: &Answer) -> End {
        self.event("answer", StepEvent::Answer(answer))
    }

    /// Gives one event to the provider, runs the effects it asks for and feeds their results back.
    pub(super) fn event(&mut self, upon: &'static str, event: StepEvent<'_>) -> End {
        let mut then = match self.step(event) {
            Ok(then) => then,
            Err(error) => return End::Failed(error),
        };
        for _ in 0..MAX_EFFECTS {
            let Then::Run(effect, charge) = then else {
                return self.end(then);
            };
            self.asked.push(Asked { effect: effect.kind(), charge, upon, purpose: self.purpose });
            then = match self.run(effect) {
                Ok(then) => then,
                Err(error) => return End::Failed(error),
            };
        }
        panic!("one event led to more than {MAX_EFFECTS} effects");
    }

    /// Gives one event to the provider and keeps what it says, as the engine does. Effects do not run.
    #[expect(clippy::unwrap_in_result, reason = "the suite's own constants are valid")]
    pub(super) fn step(&mut self, event: StepEvent<'_>) -> Result<Then, ProviderError> {
        let provider = self.case.provider();
        let settings = self.case.settings();
        let account = AccountId::parse("acme").unwrap();
        self.seed += 1;
        let source = SeededEntropy::new(self.seed);
        let mut draw = Draw::from_source(Arc::new(source)).unwrap();
        let purpose = self.purpose;
        let (ring, contacts) = (crate::host::ring(), contacts(self.number));
        let active = ring.active();
        let mut cx = Cx::new(self.now, &account, &self.user, purpose, &settings, &mut draw)
            .with_ring(&ring, active.as_str())
            .with_contacts(&contacts);
        cx.label = "ann@example.org";
        cx.challenge = ChallengeId::from_random([self.login; 16]);
        cx.enrolment = EnrolmentId::from_random([self.number.to_be_bytes()[7]; 16]);
        let held = Held::new(
            decoded(self.kept.state.as_deref()),
            decoded(self.kept.enrolment.as_deref()),
            decoded(self.kept.secret.as_deref()),
        );
        let step: Step<_, _, _> = provider.handle(&mut cx, held, event)?;
        keep(&mut self.kept.state, &step.state);
        keep(&mut self.kept.enrolment, &step.enrolment);
        keep(&mut self.kept.secret, &step.secret);
        let revealed = match &step.then {
            Then::Reveal(_, revealed) => {
                let text = |name| revealed.get(name).map(|text| text.expose_secret().to_owned());
                revealed.names().filter_map(|name| Some((name, text(name)?))).collect()
            }
            _ => Vec::new(),
        };
        let printed = format!("{:?}", step.then);
        self.seen.push(Seen { kept: self.kept.clone(), printed, revealed: revealed.clone() });
        self.shown.revealed.extend(revealed);
        Ok(step.then)
    }

    /// Runs one effect and gives its result to the provider.
    fn run(&mut self, effect: Effect) -> Result<Then, ProviderError> {
        match effect {
            Effect::Http(call) => {
                let (request, _) = call.into_parts();
                let reply: Result<HttpReply, HttpFault> = self.case.http(&request);
                self.step(StepEvent::Http(&reply))
            }
            Effect::Deliver(message) => {
                self.shown.messages.push(message.body.expose_secret().to_owned());
                self.step(StepEvent::Delivered(&Receipt::new("receipt-1")))
            }
            Effect::Hash(job) => self.step(StepEvent::Hashed(&job.run())),
            other => panic!("the suite does not know how to run {other:?}"),
        }
    }

    fn end(&mut self, then: Then) -> End {
        match then {
            Then::Prompt(public) | Then::Wait(public) | Then::Reveal(public, _) => {
                self.shown.public = public;
                End::Shown
            }
            Then::Accept(strength) => End::Accepted(strength),
            Then::Reject(reason) => End::Rejected(reason),
            // Whatever the engine makes of it, nothing was accepted.
            Then::Unproven(_) => End::Rejected(Reason::Denied),
            other => panic!("the suite does not know {other:?}"),
        }
    }
}

/// Decodes what the provider itself encoded.
fn decoded<T: Versioned>(bytes: Option<&[u8]>) -> Option<T> {
    bytes.map(|bytes| T::decode(bytes).expect("kept values are read back"))
}

fn keep<T: Versioned>(kept: &mut Option<Vec<u8>>, change: &Change<T>) {
    match change {
        Change::Set(value) => *kept = Some(value.encode().expect("kept values are encoded")),
        Change::Clear => *kept = None,
        _ => {}
    }
}

/// Every kind of event, with a name, made for `session`; the answers among them are not right.
pub(super) fn each_event<C: ProviderCase>(
    session: &Session<'_, C>,
    mut give: impl FnMut(&'static str, StepEvent<'_>),
) {
    let none = Choice::none();
    let odd = Choice::new(serde_json::json!({"secret": "?", "algorithm": 7, "to": [null]}));
    for choice in [&none, &odd] {
        give("begin", StepEvent::Begin(choice));
        give("start", StepEvent::Start(choice));
    }
    let mut answers = session.case.malformed_answers();
    answers.extend([Answer::code(""), Answer::recovery(""), Answer::reply("")]);
    // A user who was shown nothing has no answer of the right form to give.
    answers.extend((!session.seen.is_empty()).then(|| session.wrong()));
    for answer in &answers {
        give("answer", StepEvent::Answer(answer));
    }
    give("poll", StepEvent::Poll);
    give("resend", StepEvent::Resend);
    let body = |status: u16, body: &str| {
        http::Response::builder().status(status).body(body.as_bytes().to_vec()).unwrap()
    };
    let replies = [
        Ok(body(200, "")),
        Ok(body(200, "{\"stat\":\"OK\",\"response\":{\"result\":\"allow\"}}")),
        Ok(body(500, "\u{0}")),
        Err(HttpFault::NotSent),
        Err(HttpFault::Refused),
        Err(HttpFault::Tls),
        Err(HttpFault::Unanswered),
    ];
    for reply in &replies {
        give("http", StepEvent::Http(reply));
    }
    for digest in [vec![], vec![0; 32]] {
        give("hashed", StepEvent::Hashed(&SecretBytes::new(digest)));
    }
    give("delivered", StepEvent::Delivered(&Receipt::new("")));
    for cause in [
        mfa_core::NotDelivered::Permanent,
        mfa_core::NotDelivered::Temporary,
        mfa_core::NotDelivered::TimedOut,
    ] {
        give("not delivered", StepEvent::NotDelivered(cause));
    }
    give("interrupted", StepEvent::Interrupted);
}
