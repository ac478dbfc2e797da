//! `kill -9` around the sending of a notice: on a SQLite file, with a transport that writes files.
//!
//! The parent lets a notice wait, closes the file, and starts a child that drains. The child says a word before
//! and after each of the four steps: the commit that takes the notice, the one that charges its message, the handing
//! over, the commit that settles it. The parent kills it at one of these words, each in turn: every second time while the child waits at
//! the word, so that the kill falls exactly there; every second time while it runs on, so that the kill falls
//! somewhere behind, inside a commit too. Where it fell is told by the last word. Nobody sleeps: the lease of
//! whoever died ends when the clock is moved.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::executor::block_on;
use mfa::audit::Kind;
use mfa::sqlite::SqliteStore;
use mfa::{
    Engine, Key, Message, NotDelivered, NoticeKind, Receipt, RecordKind, Store, StoredDirectory, Subject,
    Timestamp, Transport,
};
use mfa_testkit::inbox::MessageFolder;
use mfa_testkit::runtime::VirtualRuntime;
use mfa_tests::processes::{self, Peer};
use mfa_tests::tapped::{Tap, tapped};
use mfa_tests::told::of;
use mfa_tests::{TestHost, host as vouched, ring, start};
use serde_json::{Value, json};
use tempfile::TempDir;

const KILLS: usize = 256;
/// The words of a child, in order.
const WORDS: [&str; 8] = ["taking", "taken", "charging", "charged", "sending", "sent", "settling", "settled"];
/// How many kills a notice has to stand, unless it is settled before.
const KILLS_A_NOTICE: usize = 3;
const LEASE: Duration = Duration::from_secs(60);
/// After which a mailbox has room for as many notices again.
const DAY: Duration = Duration::from_secs(24 * 3600);

#[test]
fn a_kill_at_any_moment_of_a_sending_leaves_a_notice_that_arrives_under_its_one_id() {
    block_on(async {
        let mut site = Site::new().await;
        let mut fell = Fell::default();
        let mut notices = 0;
        let mut kill = 0;
        while kill < KILLS {
            let id = site.queue().await;
            notices += 1;
            for _ in 0..KILLS_A_NOTICE {
                site.kill_at(WORDS[kill / 2 % WORDS.len()], kill % 2 == 0, &mut fell).await;
                kill += 1;
                if kill == KILLS || site.waiting().await.is_empty() {
                    break;
                }
            }
            site.arrives(&id).await;
        }
        println!("{kill} kills over {notices} notices: {fell}");
        assert_eq!(site.folder().messages().len(), notices, "one message a notice, under its id");
        let events = site.host().events().await;
        let sent = of(&events, Kind::NoticeSent, None);
        let sent = sent.iter().filter(|event| event.field("notice") == Some("unlocked")).count();
        assert_eq!(sent, notices);
        assert!(events.iter().all(|event| event.kind() != Kind::NoticeGivenUp));
        let places =
            [fell.before_take(), fell.take_to_charge(), fell.charge_to_send(), fell.send_to_settle()];
        for place in places.into_iter().chain([fell.sent_again]) {
            assert!(place > KILLS / 10, "{fell}");
        }
    });
}

/// Where the kills fell.
#[derive(Debug, Default)]
struct Fell {
    /// By the last word.
    behind: [usize; WORDS.len()],
    /// Those whose message was there while the notice still waited: it is sent again.
    sent_again: usize,
}

impl Fell {
    /// Before the commit that takes the notice was acknowledged.
    const fn before_take(&self) -> usize {
        self.behind[0]
    }

    /// After that, before the commit that charges its message was acknowledged.
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
    dir: TempDir,
    user: Subject,
    now: Timestamp,
    /// This process's own handle; closed while a child dies, which is then the only one on the file.
    host: Option<(TestHost, Engine)>,
    /// The texts that arrived, by the names of their files.
    arrived: BTreeMap<String, String>,
}

impl Site {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir(dir.path().join("messages")).expect("a folder");
        let store = SqliteStore::open(dir.path().join("mfa.db")).expect("a store");
        let host = TestHost::on(Arc::new(store)).await;
        let user = host.add_reachable("bob").await;
        let _ = host.enrol_again(&user).await;
        let now = host.now();
        drop(host);
        let mut site = Self { dir, user, now, host: None, arrived: BTreeMap::new() };
        site.reopen().await;
        let (_, engine) = site.host.as_ref().expect("an open file");
        assert_eq!(engine.drain_notices(10).await.expect("a drain").sent, 1);
        for (name, _) in site.folder().messages() {
            fs::remove_file(site.dir.path().join("messages").join(name)).expect("a message");
        }
        // The events of the beginning are not counted.
        site.now = site.now.plus(DAY);
        site
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
        let engine = host.node().transport(Arc::new(self.folder())).build().await.expect("an engine");
        self.host = Some((host, engine));
    }

    /// Lets a notice of a fresh day wait, and returns the id it will be sent under.
    async fn queue(&mut self) -> String {
        self.now = self.now.plus(DAY);
        let (host, engine) = self.host.as_ref().expect("an open file");
        host.clock.set(self.now);
        engine.user_unlock(self.user.account(), self.user.user(), &vouched()).await.expect("an unlock");
        let waiting = self.waiting().await;
        assert_eq!(waiting.len(), 1);
        let id: Vec<String> = waiting[0].id.iter().rev().take(16).map(|byte| format!("{byte:02x}")).collect();
        let id: String = id.into_iter().rev().collect();
        format!("{id}-0")
    }

    async fn waiting(&self) -> Vec<Key> {
        let kind = RecordKind::new("notice");
        let found = self.host().store.scan(kind, None, 10, self.now).await.expect("a scan");
        found.into_iter().map(|record| record.key).collect()
    }

    /// Lets a child drain, and kills it at `word`: while it waits there, or while it runs on.
    async fn kill_at(&mut self, word: &str, waits: bool, fell: &mut Fell) {
        // Whoever died before has its lease no more.
        self.now = self.now.plus(LEASE);
        let (file, folder) = (self.dir.path().join("mfa.db"), self.dir.path().join("messages"));
        let mut child = Peer::start(&json!({ "file": file, "folder": folder }));
        child.hear("ready");
        self.host = None;
        let wait = if waits { word } else { "" };
        child.say(&json!({ "now": self.now.unix_seconds(), "wait": wait }));
        let mut last = None;
        while let Some((said, _)) = child.next() {
            let is_there = said == word;
            last = Some(said);
            if is_there {
                child.kill();
            }
        }
        drop(child);
        self.reopen().await;
        let place = WORDS.iter().position(|word| Some(*word) == last.as_deref()).expect("a word");
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

    /// Drains to the end, and sees that the notice arrived under its id.
    async fn arrives(&mut self, id: &str) {
        self.now = self.now.plus(LEASE);
        let (host, engine) = self.host.as_ref().expect("an open file");
        host.clock.set(self.now);
        let left = u64::try_from(self.waiting().await.len()).expect("a number");
        let drained = engine.drain_notices(10).await.expect("a drain");
        assert_eq!((drained.sent, drained.waiting, drained.given_up), (left, 0, 0));
        assert!(self.waiting().await.is_empty());
        let before = self.arrived.len();
        for (name, text) in self.folder().messages() {
            let kept = self.arrived.entry(name).or_insert_with(|| text.clone());
            assert_eq!(*kept, text);
        }
        assert_eq!(self.arrived.len(), before + 1);
        let text = self.arrived.get(id).expect("a message of this id");
        let (subject, body) = (NoticeKind::Unlocked.subject(), NoticeKind::Unlocked.text());
        assert_eq!(*text, format!("to: bob@acme.example\nsubject: {subject}\n\n{body}\n"));
    }
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
    let engine = block_on(engine.build()).expect("an engine");
    processes::say("ready", &Value::Null);
    let work = processes::hear().expect("work");
    clock.set(Timestamp::from_unix_seconds(work["now"].as_u64().expect("a time")).expect("a time"));
    *marks.wait.lock().expect("a lock") = work["wait"].as_str().expect("a word").to_owned();
    marks.armed.store(true, Ordering::SeqCst);
    assert_eq!(block_on(engine.drain_notices(10)).expect("a drain").sent, 1);
    // It lives until it is killed.
    drop(processes::hear());
}

/// Says a word before and after each step, once it is armed, and waits at one of them.
#[derive(Debug, Default)]
struct Marks {
    armed: AtomicBool,
    /// How many commits were acknowledged since.
    commits: AtomicUsize,
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
    fn of_commit(&self, words: [&str; 3]) {
        let n = self.commits.load(Ordering::SeqCst);
        self.mark(words.get(n).expect("three commits"));
    }
}

impl Tap for Marks {
    fn read(&self, _: &[Key]) {}

    fn committing(&self) {
        self.of_commit(["taking", "charging", "settling"]);
    }

    fn committed(&self) {
        self.of_commit(["taken", "charged", "settled"]);
        if self.armed.load(Ordering::SeqCst) {
            self.commits.fetch_add(1, Ordering::SeqCst);
        }
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
        self.marks.mark("sent");
        receipt
    }
}
