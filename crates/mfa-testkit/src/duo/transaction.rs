//! Authentications under way: what `auth` starts and `auth_status` follows.

use serde_json::{Value, json};

use super::message::Reply;
use super::people::Reaction;
use super::state::{State, random_text};

/// How many seconds a push or call waits for its user.
const LIFE: u64 = 60;
/// How many seconds a long poll is held. Duo publishes no figure; about 30 is what others saw.
const HOLD: u64 = 30;

/// An authentication and the stages it has come through.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) user: String,
    pub(super) ikey: String,
    way: Way,
    started: u64,
    stages: Vec<Stage>,
    /// How many of the stages a poll has been told of.
    told: usize,
}

/// How the user is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Push,
    Call,
    /// Nothing rings: a passcode, a message, or a user who is let in or refused as such.
    Silent,
}

/// `result`, `status` and `status_msg`.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    result: &'static str,
    status: &'static str,
    message: String,
    /// The trusted device token that comes with an approval.
    token: Option<String>,
}

/// A request that is answered when a transaction has come further.
#[derive(Debug)]
pub(super) struct Wait {
    pub(super) txid: String,
    /// When it began, in Unix seconds.
    since: u64,
    /// Whether only the result will do, as for `auth` without `async`.
    for_result: bool,
}

impl Stage {
    pub(super) fn new(result: &'static str, status: &'static str, message: impl Into<String>) -> Self {
        Self { result, status, message: message.into(), token: None }
    }

    pub(super) fn allow() -> Self {
        Self::new("allow", "allow", "Success. Logging you in...")
    }

    fn is_result(&self) -> bool {
        self.result != "waiting"
    }

    fn to_json(&self) -> Value {
        let mut fields = json!({ "result": self.result, "status": self.status, "status_msg": self.message });
        if let (Some(token), Some(fields)) = (&self.token, fields.as_object_mut()) {
            fields.insert("trusted_device_token".to_owned(), token.as_str().into());
        }
        fields
    }
}

impl Wait {
    pub(super) const fn new(txid: String, now: u64, for_result: bool) -> Self {
        Self { txid, since: now, for_result }
    }
}

impl State {
    /// Starts a transaction that nobody needs to answer.
    pub(super) fn settle(&mut self, ikey: &str, user: &str, stage: Stage) -> String {
        self.begin(ikey, user, Way::Silent, stage)
    }

    /// Makes a device ring. `code` is what a Verified Duo Push asks to type.
    pub(super) fn ring(&mut self, ikey: &str, user: &str, way: Way, code: Option<&str>) -> String {
        let reaction = self.users.get(user).map_or(Reaction::Wait, |user| user.reaction);
        let first = match (way, reaction, code) {
            (Way::Call, ..) => Stage::new("waiting", "calling", "Dialing your phone..."),
            (_, Reaction::Unreachable, _) => {
                Stage::new("waiting", "push_failed", "The login request could not be sent to your phone.")
            }
            (.., Some(code)) => {
                let message = format!("Please enter verification code {code} into Duo Mobile...");
                Stage::new("waiting", "pushed", message)
            }
            (.., None) => Stage::new("waiting", "pushed", "Pushed a login request to your phone..."),
        };
        let rings = self.rings_of(user);
        let count = if way == Way::Call { &mut rings.calls } else { &mut rings.pushes };
        *count = count.saturating_add(1);
        let txid = self.begin(ikey, user, way, first);
        self.decide(&txid, reaction);
        txid
    }

    fn begin(&mut self, ikey: &str, user: &str, way: Way, stage: Stage) -> String {
        let txid = random_text(32);
        let transaction = Transaction {
            user: user.to_owned(),
            ikey: ikey.to_owned(),
            way,
            started: self.now.unix_seconds(),
            stages: vec![stage],
            told: 0,
        };
        self.transactions.insert(txid.clone(), transaction);
        txid
    }

    /// Lets the user react to everything that rings; returns how much that was.
    pub(super) fn react(&mut self, user: &str, reaction: Reaction) -> usize {
        let ringing = self.transactions.iter().filter(|(_, tx)| tx.user == user && tx.result().is_none());
        let ringing: Vec<_> = ringing.map(|(txid, _)| txid.clone()).collect();
        ringing.iter().for_each(|txid| self.decide(txid, reaction));
        ringing.len()
    }

    /// Ends what has waited for its user too long.
    pub(super) fn run_out(&mut self) {
        let now = self.now.unix_seconds();
        let is_over = |tx: &Transaction| tx.result().is_none() && now.saturating_sub(tx.started) >= LIFE;
        let over = self.transactions.iter().filter(|(_, tx)| is_over(tx));
        let over: Vec<_> = over.map(|(txid, _)| txid.clone()).collect();
        over.iter().for_each(|txid| self.decide(txid, Reaction::TimeOut));
    }

    fn decide(&mut self, txid: &str, reaction: Reaction) {
        let Some(transaction) = self.transactions.get_mut(txid) else { return };
        let mut result = match reaction {
            Reaction::Approve => Stage::allow(),
            Reaction::Deny => Stage::new("deny", "deny", "Login request denied."),
            Reaction::ReportFraud => Stage::new("deny", "fraud", "Login request reported as fraudulent."),
            Reaction::TimeOut => Stage::new("deny", "timeout", "Login timed out."),
            Reaction::Wait | Reaction::Unreachable => return,
        };
        let is_remembered = self.users.get(&transaction.user).is_some_and(|user| user.remembered);
        if reaction == Reaction::Approve && is_remembered {
            let token = random_text(32);
            self.trusted.insert(token.clone(), transaction.user.clone());
            result.token = Some(token);
        }
        if transaction.way == Way::Call && reaction != Reaction::TimeOut {
            transaction.stages.push(Stage::new(
                "waiting",
                "answered",
                "Press any key on your phone to log in.",
            ));
        }
        transaction.stages.push(result);
    }

    /// Answers a waiting request, if it need not wait any more.
    pub(super) fn check(&mut self, wait: &Wait) -> Option<Reply> {
        let transaction = self.transactions.get_mut(&wait.txid)?;
        if wait.for_result {
            return Some(Reply::ok(transaction.result()?.to_json()));
        }
        let untold = transaction.stages.get(transaction.told);
        let is_held_long_enough = self.now.unix_seconds().saturating_sub(wait.since) >= HOLD;
        let last = transaction.stages.last();
        let again = || last.filter(|stage| stage.is_result() || is_held_long_enough);
        let reply = Reply::ok(untold.or_else(again)?.to_json());
        transaction.told = transaction.told.saturating_add(1).min(transaction.stages.len());
        Some(reply)
    }
}

impl Transaction {
    fn result(&self) -> Option<&Stage> {
        self.stages.last().filter(|stage| stage.is_result())
    }
}
