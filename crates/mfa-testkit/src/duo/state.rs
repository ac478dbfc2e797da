//! Everything the fake knows, behind one lock, and what it does with a request.

use std::collections::{BTreeMap, HashMap, HashSet};

use audit_model::Timestamp;
use data_encoding::BASE32_NOPAD;

use super::fault::{Fault, On, TokenFault};
use super::log::{Credentials, Rings, Seen};
use super::message::{Failure, Reply, Request};
use super::people::{NewUsers, Reaction, Status, User};
use super::transaction::{Transaction, Wait};
use super::universal::Approval;
use super::{auth_api, universal};

#[derive(Debug)]
pub(super) struct State {
    pub(super) now: Timestamp,
    /// Host and port, as addresses in answers have them.
    pub(super) authority: String,
    /// Secret keys by integration key.
    pub(super) integrations: HashMap<String, String>,
    /// Users by name.
    pub(super) users: BTreeMap<String, User>,
    pub(super) new_users: NewUsers,
    pub(super) rings: HashMap<String, Rings>,
    pub(super) logo: Option<Vec<u8>>,
    pub(super) enrolments: Vec<Enrolment>,
    pub(super) verified_pushes: HashMap<String, VerifiedPush>,
    /// Users by the token that makes their device a trusted one.
    pub(super) trusted: HashMap<String, String>,
    pub(super) transactions: HashMap<String, Transaction>,
    /// What was approved in the Universal Prompt, by its code.
    pub(super) approvals: HashMap<String, Approval>,
    /// Client and `jti` of every assertion that was accepted.
    pub(super) assertions: HashSet<(String, String)>,
    pub(super) faults: Vec<(On, Fault)>,
    pub(super) token_faults: Vec<TokenFault>,
    /// How many connections are still to be closed before they say anything.
    pub(super) drops: u32,
    pub(super) seen: Vec<Seen>,
}

/// An enrolment that was begun with `enroll`.
#[derive(Debug)]
pub(super) struct Enrolment {
    pub(super) user: String,
    pub(super) code: String,
    pub(super) expires: u64,
    pub(super) is_claimed: bool,
}

/// What `preauth` gave out for a Verified Duo Push.
#[derive(Debug)]
pub(super) struct VerifiedPush {
    pub(super) user: String,
    pub(super) code: String,
    pub(super) expires: u64,
}

/// What a request leads to.
#[derive(Debug)]
pub(super) enum Next {
    Reply(Reply),
    Wait(Wait),
}

impl From<Result<Self, Failure>> for Next {
    fn from(result: Result<Self, Failure>) -> Self {
        result.unwrap_or_else(|failure| Self::Reply(failure.into()))
    }
}

impl State {
    pub(super) fn new(now: Timestamp, authority: String) -> Self {
        Self {
            now,
            authority,
            integrations: HashMap::new(),
            users: BTreeMap::new(),
            new_users: NewUsers::default(),
            rings: HashMap::new(),
            logo: None,
            enrolments: Vec::new(),
            verified_pushes: HashMap::new(),
            trusted: HashMap::new(),
            transactions: HashMap::new(),
            approvals: HashMap::new(),
            assertions: HashSet::new(),
            faults: Vec::new(),
            token_faults: Vec::new(),
            drops: 0,
            seen: Vec::new(),
        }
    }

    /// Writes a request down and takes its fault out of the script; returns the place in the log.
    pub(super) fn note(&mut self, request: &Request) -> (usize, Option<Fault>) {
        let params = request.params();
        let user = self.user_of(request, &params);
        let fault = super::fault::next(&mut self.faults, &request.path, user.as_deref());
        self.seen.push(Seen {
            at: self.now,
            method: request.method.to_string(),
            path: request.path.clone(),
            params,
            headers: request.headers.clone(),
            user,
            integration: None,
            credentials: Credentials::Unchecked,
            faulted: fault.is_some(),
            status: None,
        });
        (self.seen.len().saturating_sub(1), fault)
    }

    /// Carries a request out.
    pub(super) fn carry_out(&mut self, request: &Request, place: usize) -> Next {
        let mut checked = (Credentials::Unchecked, None);
        let next = if request.path.starts_with("/auth/v2/") {
            auth_api::answer(self, request, &mut checked).into()
        } else {
            Next::Reply(universal::answer(self, request, &mut checked))
        };
        if let Some(seen) = self.seen.get_mut(place) {
            (seen.credentials, seen.integration) = checked;
        }
        next
    }

    /// Says whom a request is about, as far as it can be told before anything is checked.
    fn user_of(&self, request: &Request, params: &BTreeMap<String, String>) -> Option<String> {
        let of_transaction = |txid: &String| Some(self.transactions.get(txid)?.user.clone());
        let of_approval = |code: &String| Some(self.approvals.get(code)?.user.clone());
        let by_id = |id: &String| Some(self.user_by_id(id)?.name.clone());
        match request.path.as_str() {
            "/auth/v2/auth_status" => params.get("txid").and_then(of_transaction),
            universal::AUTHORIZE => params.get("request").and_then(|jwt| universal::claimed_user(jwt)),
            universal::TOKEN => params.get("code").and_then(of_approval),
            _ => params.get("username").cloned().or_else(|| params.get("user_id").and_then(by_id)),
        }
    }

    pub(super) fn user_by_id(&self, id: &str) -> Option<&User> {
        self.users.values().find(|user| user.id == id)
    }

    pub(super) fn rings_of(&mut self, user: &str) -> &mut Rings {
        self.rings.entry(user.to_owned()).or_default()
    }

    /// Says what the person does with what a device or browser asks, if the user may authenticate at all.
    pub(super) fn reaction_of(&self, user: &str) -> Option<Reaction> {
        let user = self.users.get(user)?;
        (user.status == Status::Active && user.is_enrolled()).then_some(user.reaction)
    }
}

/// Returns random upper-case letters and digits.
pub(super) fn random_text(length: usize) -> String {
    let mut bytes = [0; 32];
    // Where the system gives none, the text is the same each time: of no use to a test, and no danger.
    let _ = getrandom::fill(&mut bytes);
    BASE32_NOPAD.encode(&bytes).chars().cycle().take(length).collect()
}

/// Returns random digits.
pub(super) fn random_digits(length: usize) -> String {
    let mut bytes = [0; 16];
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().cycle().take(length).map(|byte| char::from(b'0'.saturating_add(byte % 10))).collect()
}
