//! `kill -9` around the sending of a notice or a code: on a SQLite file, with a transport that writes files.
//!
//! The parent lets one wait, closes the file, and starts a child that drains. The child says a word before and after
//! each of the four steps: the commit that takes the message, the one that charges it, the handing over, the commit that
//! settles it. The parent kills it at one of these words, each in turn: every second time while the child waits at the
//! word, so that the kill falls exactly there; every second time while it runs on, so that the kill falls somewhere
//! behind, inside a commit too. A code that was charged is charged no more: the kill falls at the next word then. Where
//! it fell is told by the last word. Nobody sleeps: the lease of whoever died ends when the clock is moved.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::executor::block_on;
use mfa::audit::Kind;
use mfa::delivery::Delivered;
use mfa::sqlite::SqliteStore;
use mfa::{
    Begin, Challenge, Choice, Engine, EngineBuilder, EnrolConfirm, Key, Message, NotDelivered, NoticeKind,
    ProviderName, Receipt, RecordKind, Response, Store, StoredDirectory, Subject, Timestamp, Transport,
    Verify,
};
use mfa_testkit::inbox::MessageFolder;
use mfa_testkit::runtime::VirtualRuntime;
use mfa_tests::mailed::{code_in, queueing, texts};
use mfa_tests::processes::{self, Peer};
use mfa_tests::tapped::{Tap, tapped};
use mfa_tests::told::of;
use mfa_tests::{TestHost, host as vouched, login, ring, start};
use serde_json::{Value, json};
use tempfile::TempDir;

const KILLS: usize = 256;
/// The words of a child, in order.
const WORDS: [&str; 8] = ["taking", "taken", "charging", "charged", "sending", "sent", "settling", "settled"];
/// How many kills a message has to stand, unless it is settled before.
const KILLS_A_MESSAGE: usize = 3;
const LEASE: Duration = Duration::from_secs(60);
/// After which a mailbox has room for as many notices again.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Notice,
    Code,
}

impl What {
    fn of(name: &Value) -> Self {
        if name == "code" { Self::Code } else { Self::Notice }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Code => "code",
        }
    }

    const fn record(self) -> RecordKind {
        RecordKind::new(match self {
            Self::Notice => "notice",
            Self::Code => "message",
        })
    }

    /// How far apart they are queued. Of ten codes a day each is charged once, however often its sender dies.
    const fn apart(self) -> Duration {
        match self {
            Self::Notice => DAY,
            Self::Code => Duration::from_secs(3 * 3600),
        }
    }

    fn with_provider(self, engine: EngineBuilder) -> EngineBuilder {
        match self {
            Self::Notice => engine,
            Self::Code => {
                let email = Delivered::email(texts()).expect("a provider");
                engine.provider(email).policy(queueing(&["email"]))
            }
        }
    }
}

#[test]
fn a_kill_at_any_moment_of_a_sending_leaves_a_notice_that_arrives_under_its_one_id() {
    block_on(async {
        let (site, notices) = kill_all(What::Notice).await;
        let events = site.host().events().await;
        let sent = of(&events, Kind::NoticeSent, None);
        let sent = sent.iter().filter(|event| event.field("notice") == Some("unlocked")).count();
        assert_eq!(sent, notices);
        assert!(events.iter().all(|event| event.kind() != Kind::NoticeGivenUp));
    });
}

#[test]
fn a_kill_at_any_moment_of_a_sending_leaves_a_code_that_arrives_under_its_one_id_and_logs_in() {
    block_on(async {
        let (site, codes) = kill_all(What::Code).await;
        let events = site.host().events().await;
        for kind in [Kind::MessageSent, Kind::AnswerAccepted] {
            assert_eq!(of(&events, kind, None).len(), codes, "{kind}");
        }
        for kind in [Kind::MessageGivenUp, Kind::EffectDropped, Kind::EffectRefunded] {
            assert!(of(&events, kind, None).is_empty(), "{kind}");
        }
    });
}

/// Kills children until each place was met often enough. Returns how many messages that were.
async fn kill_all(what: What) -> (Site, usize) {
    let mut site = Site::new(what).await;
    let mut fell = Fell::default();
    let mut messages = 0;
    let mut kill = 0;
    while kill < KILLS {
        let queued = site.queue().await;
        messages += 1;
        for _ in 0..KILLS_A_MESSAGE {
            site.kill_at(WORDS[kill / 2 % WORDS.len()], kill % 2 == 0, &mut fell).await;
            kill += 1;
            if kill == KILLS || site.waiting().await.is_empty() {
                break;
            }
        }
        site.arrives(queued).await;
    }
    println!("{kill} kills over {messages} of {what:?}: {fell}");
    assert_eq!(site.folder().messages().len(), messages, "one file a message, under its id");
    let places = [fell.before_take(), fell.take_to_charge(), fell.charge_to_send(), fell.send_to_settle()];
    for place in places.into_iter().chain([fell.sent_again]) {
        assert!(place > KILLS / 10, "{fell}");
    }
    (site, messages)
}

/// Where the kills fell.
#[derive(Debug, Default)]
struct Fell {
    /// By the last word.
    behind: [usize; WORDS.len()],
    /// Those whose message was there while it still waited: it is sent again.
    sent_again: usize,
}

impl Fell {
    /// Before the commit that takes the message was acknowledged.
    const fn before_take(&self) -> usize {
        self.behind[0]
    }

    /// After that, before the commit that charges it was acknowledged.
    const fn take_to_charge(&self) -> usize {
        self.behind[1] + self.behind[2]
    }

    /// After that, before the transport had answered.
    const fn charge_to_send(&self) -> usize {
        self.behind[3] + self.behind[4]
    }

    /// After that, before the commit that settles it was acknowledged.
    const fn send_to_settle(&self) -> usize {
        self.behind[5] + self.behind[6]
    }
}

impl fmt::Display for Fell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} before the take, {} from take to charge, ", self.before_take(), self.take_to_charge())?;
        write!(f, "{} from charge to send, ", self.charge_to_send())?;
        write!(f, "{} from send to settle, {} after; ", self.send_to_settle(), self.behind[7])?;
        write!(f, "{} messages were there and sent again (by last word: {:?})", self.sent_again, self.behind)
    }
}

/// A SQLite file with one enrolled user, and a folder where messages arrive.
struct Site {
    what: What,
    dir: TempDir,
    user: Subject,
    now: Timestamp,
    /// This process's own handle; closed while a child dies, which is then the only one on the file.
    host: Option<(TestHost, Engine)>,
    /// The texts that arrived, by the names of their files.
    arrived: BTreeMap<String, String>,
}

/// What was queued, and what must come of it.
enum Queued {
    /// A notice, by the id it is sent under.
    Notice(String),
    Code(Box<Challenge>),
}

impl Site {
    async fn new(what: What) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir(dir.path().join("messages")).expect("a folder");
        let store = SqliteStore::open(dir.path().join("mfa.db")).expect("a store");
        let host = TestHost::on(Arc::new(store)).await;
        let user = host.add_reachable("bob").await;
        if what == What::Notice {
            let _ = host.enrol_again(&user).await;
        }
        let now = host.now();
        drop(host);
        let mut site = Self { what, dir, user, now, host: None, arrived: BTreeMap::new() };
        site.reopen().await;
        if what == What::Code {
            site.set_up_mailbox().await;
        }
        let (_, engine) = site.host.as_ref().expect("an open file");
        assert_eq!(engine.drain_outbox(10).await.expect("a drain").sent, 1);
        for (name, _) in site.folder().messages() {
            fs::remove_file(site.dir.path().join("messages").join(name)).expect("a message");
        }
        // The events of the beginning are not counted.
        site.now = site.now.plus(DAY);
        site
    }

    async fn set_up_mailbox(&self) {
        let (_, engine) = self.host.as_ref().expect("an open file");
        let (account, user) = (self.user.account(), self.user.user());
        let email = ProviderName::parse("email").expect("a name");
        let started = engine.enrol_begin(account, user, &email, &Choice::none(), &vouched()).await;
        let code = Response::code(&code_in(&self.folder().messages()[0].1));
        let confirmed = engine.enrol_confirm(&started.expect("a set-up").reference, &code).await;
        assert!(matches!(confirmed, Ok(EnrolConfirm::Confirmed(_))), "{confirmed:?}");
    }

    fn folder(&self) -> MessageFolder {
        MessageFolder::new(self.dir.path().join("messages"))
    }

    fn host(&self) -> &TestHost {
        &self.host.as_ref().expect("an open file").0
    }

    async fn reopen(&mut self) {
        let store = SqliteStore::open(self.dir.path().join("mfa.db")).expect("a store that opens");
        let host = TestHost::on(Arc::new(store)).await;
        host.clock.set(self.now);
        let engine = self.what.with_provider(host.node()).transport(Arc::new(self.folder()));
        let engine = engine.build().await.expect("an engine");
        self.host = Some((host, engine));
    }

    /// Lets one wait.
    async fn queue(&mut self) -> Queued {
        self.now = self.now.plus(self.what.apart());
        let (host, engine) = self.host.as_ref().expect("an open file");
        host.clock.set(self.now);
        if self.what == What::Code {
            let begun = engine.begin(login(&self.user)).await.expect("a begin");
            let Begin::Challenge(challenge) = begun else { panic!("{begun:?}") };
            assert_eq!(self.waiting().await.len(), 1);
            return Queued::Code(Box::new(challenge));
        }
        engine.user_unlock(self.user.account(), self.user.user(), &vouched()).await.expect("an unlock");
        let waiting = self.waiting().await;
        assert_eq!(waiting.len(), 1);
        let id: Vec<String> = waiting[0].id.iter().rev().take(16).map(|byte| format!("{byte:02x}")).collect();
        let id: String = id.into_iter().rev().collect();
        Queued::Notice(format!("{id}-0"))
    }

    async fn waiting(&self) -> Vec<Key> {
        let found = self.host().store.scan(self.what.record(), None, 10, self.now).await.expect("a scan");
        found.into_iter().map(|record| record.key).collect()
    }

    /// Lets a child drain, and kills it at `word`: while it waits there, or while it runs on.
    async fn kill_at(&mut self, word: &str, waits: bool, fell: &mut Fell) {
        // Whoever died before has its lease no more.
        self.now = self.now.plus(LEASE);
        let (file, folder) = (self.dir.path().join("mfa.db"), self.dir.path().join("messages"));
        let mut child = Peer::start(&json!({ "file": file, "folder": folder, "what": self.what.name() }));
        child.hear("ready");
        self.host = None;
        let wait = if waits { word } else { "" };
        child.say(&json!({ "now": self.now.unix_seconds(), "wait": wait }));
        let mut last = None;
        while let Some((said, _)) = child.next() {
            let is_there = place_of(&said) >= place_of(word);
            last = Some(said);
            if is_there {
                child.kill();
            }
        }
        drop(child);
        self.reopen().await;
        let place = place_of(last.as_deref().expect("a word"));
        let is_settled = self.waiting().await.is_empty();
        fell.behind[place] += 1;
        if last.as_deref() == Some("settled") {
            assert!(is_settled, "an acknowledged commit is lost");
        }
        // Whatever is there is whole, and stays as it is when it is sent again.
        let messages = self.folder().messages();
        if is_settled {
            assert_eq!(messages.len(), self.arrived.len() + 1, "settled and not sent");
        } else if messages.len() > self.arrived.len() {
            fell.sent_again += 1;
        }
    }

    /// Drains to the end, and sees that what was queued arrived under its one id.
    async fn arrives(&mut self, queued: Queued) {
        self.now = self.now.plus(LEASE);
        let (host, engine) = self.host.as_ref().expect("an open file");
        host.clock.set(self.now);
        let left = u64::try_from(self.waiting().await.len()).expect("a number");
        let drained = engine.drain_outbox(10).await.expect("a drain");
        assert_eq!((drained.sent, drained.waiting, drained.given_up), (left, 0, 0));
        assert!(self.waiting().await.is_empty());
        let mut new = Vec::new();
        for (name, text) in self.folder().messages() {
            match self.arrived.get(&name) {
                Some(kept) => assert_eq!(*kept, text),
                None => new.push((name, text)),
            }
        }
        assert_eq!(new.len(), 1);
        let (id, text) = new.remove(0);
        match queued {
            Queued::Notice(of) => {
                let (subject, body) = (NoticeKind::Unlocked.subject(), NoticeKind::Unlocked.text());
                assert_eq!((id, text), (of, format!("to: bob@acme.example\nsubject: {subject}\n\n{body}\n")));
            }
            Queued::Code(challenge) => {
                let code = Response::code(&code_in(&text));
                let verified = engine.verify(&challenge.reference, code).await.expect("a verdict");
                assert!(matches!(verified, Verify::Verified(_)), "{verified:?}");
            }
        }
        self.arrived.extend(self.folder().messages());
    }
}

fn place_of(word: &str) -> usize {
    WORDS.iter().position(|known| *known == word).expect("a word")
}

/// The process that is killed: drains once, and says how far it has come.
#[test]
fn child() {
    let Some(job) = processes::job() else { return };
    let path = |name: &str| PathBuf::from(job[name].as_str().expect("a path"));
    let file = SqliteStore::open(path("file")).expect("a store");
    let marks = Arc::new(Marks::default());
    let store = Arc::new(tapped(file, marks.clone()));
    let clock = VirtualRuntime::new(start());
    let directory = StoredDirectory::new(store.clone(), ring(), Arc::new(clock.clone()));
    let folder = Marked { folder: MessageFolder::new(path("folder")), marks: marks.clone() };
    let engine = Engine::builder(store, Arc::new(directory), ring(), Arc::new(clock.clone()))
        .transport(Arc::new(folder))
        .danger_test_doubles();
    let engine = block_on(What::of(&job["what"]).with_provider(engine).build()).expect("an engine");
    processes::say("ready", &Value::Null);
    let work = processes::hear().expect("work");
    clock.set(Timestamp::from_unix_seconds(work["now"].as_u64().expect("a time")).expect("a time"));
    *marks.wait.lock().expect("a lock") = work["wait"].as_str().expect("a word").to_owned();
    marks.armed.store(true, Ordering::SeqCst);
    assert_eq!(block_on(engine.drain_outbox(10)).expect("a drain").sent, 1);
    // It lives until it is killed.
    drop(processes::hear());
}

/// Says a word before and after each step, once it is armed, and waits at one of them.
#[derive(Debug, Default)]
struct Marks {
    armed: AtomicBool,
    /// A commit was acknowledged since.
    has_taken: AtomicBool,
    has_sent: AtomicBool,
    wait: std::sync::Mutex<String>,
}

impl Marks {
    fn mark(&self, word: &str) {
        if self.armed.load(Ordering::SeqCst) {
            processes::say(word, &Value::Null);
            if *self.wait.lock().expect("a lock") == word {
                // Nothing is said to it any more.
                drop(processes::hear());
            }
        }
    }

    /// Marks the commit that is under way with its word: one that takes, one that charges, one that settles.
    fn of_commit(&self, [taking, charging, settling]: [&str; 3]) {
        self.mark(match (self.has_taken.load(Ordering::SeqCst), self.has_sent.load(Ordering::SeqCst)) {
            (false, _) => taking,
            (true, false) => charging,
            (true, true) => settling,
        });
    }
}

impl Tap for Marks {
    fn read(&self, _: &[Key]) {}

    fn committing(&self) {
        self.of_commit(["taking", "charging", "settling"]);
    }

    fn committed(&self) {
        self.of_commit(["taken", "charged", "settled"]);
        self.has_taken.store(self.armed.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

#[derive(Debug)]
struct Marked {
    folder: MessageFolder,
    marks: Arc<Marks>,
}

#[async_trait]
impl Transport for Marked {
    async fn send(&self, message: &Message, deadline: Duration) -> Result<Receipt, NotDelivered> {
        self.marks.mark("sending");
        let receipt = self.folder.send(message, deadline).await;
        self.marks.has_sent.store(true, Ordering::SeqCst);
        self.marks.mark("sent");
        receipt
    }
}
