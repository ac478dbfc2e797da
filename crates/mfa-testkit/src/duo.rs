//! A fake of Duo's service: a real HTTPS server on loopback. **It is a fake.** It proves nothing about a login
//! and belongs in tests alone.
//!
//! It was written from what Duo publishes and what Duo's official clients send, and shares no code with any client
//! of this project, so that the two can disagree. The official Python packages are its judges: the tests of this
//! crate drive every call of the fake with them.
//!
//! | path | as |
//! |---|---|
//! | `/auth/v2/…` `ping` `check` `logo` `enroll` `enroll_status` `preauth` `auth` `auth_status` | Auth API, signed with version 2, 4 or 5 |
//! | `/oauth/v1/…` `health_check` `authorize` `token` | Universal Prompt |
//! | [`FakeDuo::web_prompt`] | the frame of Web SDK version 2 |
//!
//! What it checks, it checks as Duo does: credentials first (40101, 40104, 40105, 40102, 40103 and 40112, in this
//! order), then parameters (40001 and 40002, with the name in `message_detail`); unknown parameters are ignored.
//! People and what they do are data ([`User`], [`Reaction`]), and so is what goes wrong ([`Fault`], [`TokenFault`]).
//! Nothing happens by itself: the clock stands still until [`FakeDuo::set_now`] moves it, and a person who
//! [waits](Reaction::Wait) does so until then or until [`FakeDuo::react`]. A clock that is wrong is one that is set
//! so: answers carry its time in `Date`.
//!
//! Where Duo publishes nothing, the fake is one guess among others: for how long a long poll is held (30 seconds),
//! what `auth` answers for a user who is not enrolled (40002 `username`), the texts of messages, and the error that
//! comes back from a Universal Prompt that was denied (`access_denied`).
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test ends where its fake cannot go on"
)]

mod auth_api;
mod fault;
mod jwt;
mod log;
mod message;
mod people;
mod server;
mod sign;
mod state;
mod tls;
mod transaction;
mod universal;
mod web;

use core::convert::Infallible;
use core::fmt;
use core::time::Duration;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use audit_model::Timestamp;
use tokio::sync::oneshot;

pub use self::fault::{Fault, On, TokenFault};
pub use self::log::{Credentials, Rings, Seen};
pub use self::people::{Device, NewUsers, Reaction, Status, User};
use self::server::Shared;
use self::state::{State, random_text};

/// How long [`FakeDuo::wait_for_requests`] waits.
const PATIENCE: Duration = Duration::from_secs(30);

/// A fake Duo account with its servers, on a thread of its own; dropped, it stops and closes every connection.
///
/// ```
/// use mfa_core::Timestamp;
/// use mfa_testkit::duo::{Device, FakeDuo, Fault, On, Reaction, User};
///
/// let now = Timestamp::from_unix_seconds(1_800_000_000).unwrap();
/// let duo = FakeDuo::start(now);
/// let integration = duo.integration();
/// duo.add_user(User::new("ann").device(Device::phone("+15555550100")).reaction(Reaction::Deny));
/// duo.fault(On::any().path("/auth/v2/auth").user("ann").times(2), Fault::Failure(50000));
///
/// // An HTTPS client gets these: where to connect, whom to trust, and the keys.
/// assert!(duo.authority().starts_with("127.0.0.1:"));
/// assert!(duo.ca_pem().starts_with("-----BEGIN CERTIFICATE-----"));
/// assert_eq!((integration.ikey.len(), integration.skey.len()), (20, 40));
///
/// // Afterwards: what came in, and what rang.
/// assert!(duo.requests().is_empty());
/// assert_eq!(duo.rings("ann").pushes, 0);
/// ```
pub struct FakeDuo {
    shared: Arc<Shared>,
    authority: String,
    ca_pem: String,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

/// The keys of one integration: of the Auth API, of Web SDK version 2, and as client id and client secret of the
/// Universal Prompt.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Integration {
    /// The integration key: 20 characters.
    pub ikey: String,
    /// The secret key: 40 characters.
    pub skey: String,
}

impl Integration {
    /// Signs a cookie of Web SDK version 2 as Duo would: `prefix` is `AUTH` or `ENROLL`, or what a test wants to see
    /// refused. `expires` is the second from which on it is not good any more.
    #[must_use]
    pub fn web_cookie(&self, prefix: &str, user: &str, expires: Timestamp) -> String {
        web::cookie(self, prefix, user, expires.unix_seconds())
    }
}

impl FakeDuo {
    /// Starts an account without users, whose clock stands at `now`.
    #[must_use]
    pub fn start(now: Timestamp) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on loopback");
        listener.set_nonblocking(true).expect("a socket that need not block");
        let authority = listener.local_addr().expect("a bound socket").to_string();
        let (tls, ca_pem) = tls::acceptor();
        let shared = Arc::new(Shared::new(State::new(now, authority.clone())));
        let (stop, stopped) = oneshot::channel();
        let of_server = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("fake-duo".to_owned())
            .spawn(move || server::run(listener, tls, of_server, stopped))
            .expect("a thread");
        Self { shared, authority, ca_pem, stop: Some(stop), thread: Some(thread) }
    }

    /// Returns `127.0.0.1` and the port. The certificate is good for `localhost` too.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Returns the certificate of the authority that signed the server's, as PEM. Every fake has its own.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Sets the clock, forward or back.
    ///
    /// A push or call that has waited for 60 seconds by then runs out; a long poll that was held for 30 is answered.
    pub fn set_now(&self, now: Timestamp) {
        self.shared.with(|state| {
            state.now = now;
            state.run_out();
        });
    }

    /// Makes one more integration. All of them see the same users.
    #[must_use]
    pub fn integration(&self) -> Integration {
        let integration = Integration { ikey: format!("DI{}", random_text(18)), skey: random_text(40) };
        let Integration { ikey, skey } = integration.clone();
        self.shared.with(|state| state.integrations.insert(ikey, skey));
        integration
    }

    /// Adds a user, in place of one of the same name.
    pub fn add_user(&self, user: User) {
        self.shared.with(|state| state.users.insert(user.name.clone(), user));
    }

    /// Sets what happens to users who are not enrolled.
    pub fn set_new_users(&self, policy: NewUsers) {
        self.shared.with(|state| state.new_users = policy);
    }

    /// Sets what the user does with what rings from now on. Without such a user nothing happens.
    pub fn set_reaction(&self, user: &str, reaction: Reaction) {
        self.shared.with(|state| {
            if let Some(user) = state.users.get_mut(user) {
                user.reaction = reaction;
            }
        });
    }

    /// Lets the user react to what is ringing now, and returns how much that is.
    #[must_use]
    pub fn react(&self, user: &str, reaction: Reaction) -> usize {
        self.shared.with(|state| state.react(user, reaction))
    }

    /// Lets the user scan the activation code that `enroll` gave out: they have a phone from now on.
    ///
    /// Returns whether there was such a code and it was still good.
    #[must_use]
    pub fn activate(&self, user: &str) -> bool {
        self.shared.with(|state| {
            let now = state.now.unix_seconds();
            let mut open = state.enrolments.iter_mut().filter(|one| !one.is_claimed && now < one.expires);
            let Some(enrolment) = open.find(|one| one.user == user) else { return false };
            let Some(user) = state.users.get_mut(user) else { return false };
            enrolment.is_claimed = true;
            user.devices.push(Device::phone("+15555550199"));
            true
        })
    }

    /// Returns the passcodes of the last message to the user's phones, without those that were used.
    #[must_use]
    pub fn sms_codes(&self, user: &str) -> Vec<String> {
        let state = self.shared.lock();
        let devices = state.users.get(user).into_iter().flat_map(|user| &user.devices);
        devices.flat_map(|device| device.sms_codes.clone()).collect()
    }

    /// Sets the logo: a picture as PNG.
    pub fn set_logo(&self, png: impl Into<Vec<u8>>) {
        self.shared.with(|state| state.logo = Some(png.into()));
    }

    /// Adds a fault to the script. Of several that fit a request, the first that is left is used.
    pub fn fault(&self, on: On, fault: Fault) {
        self.shared.with(|state| state.faults.push((on, fault)));
    }

    /// Adds a fault to every `id_token` from now on.
    pub fn token_fault(&self, fault: TokenFault) {
        self.shared.with(|state| state.token_faults.push(fault));
    }

    /// Closes the next `count` connections before they say anything, TLS included.
    pub fn drop_connections(&self, count: u32) {
        self.shared.with(|state| state.drops = count);
    }

    /// Forgets every fault that was added, and those of connections.
    pub fn clear_faults(&self) {
        self.shared.with(|state| {
            state.faults.clear();
            state.token_faults.clear();
            state.drops = 0;
        });
    }

    /// Returns every request so far, in the order in which they came.
    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.lock().seen.clone()
    }

    /// Blocks until at least `count` requests have come in, and returns them. What a request does at once it has
    /// done by then, such as making a device ring; whether it was answered is in [`Seen::status`].
    ///
    /// Panics if they do not come within 30 seconds.
    #[must_use]
    pub fn wait_for_requests(&self, count: usize) -> Vec<Seen> {
        let seen = self.shared.wait(PATIENCE, |state| state.seen.len() >= count);
        seen.unwrap_or_else(|| panic!("fewer than {count} requests came"))
    }

    /// Returns how often the user's devices rang, and how many prompts they saw.
    #[must_use]
    pub fn rings(&self, user: &str) -> Rings {
        self.shared.lock().rings.get(user).copied().unwrap_or_default()
    }

    /// Stands in for the browser with the frame of Web SDK version 2: takes what `sign_request` or
    /// `sign_enroll_request` returned, lets its user react, and returns what the page would post as `sig_response`.
    ///
    /// That begins with `AUTH|` or `ENROLL|`, or with `ERR|` where the request is expired or not signed by an
    /// integration of this account, or the user was not let in. A user who waits runs out of time.
    ///
    /// ```
    /// # use mfa_core::Timestamp;
    /// # use mfa_testkit::duo::FakeDuo;
    /// # let duo = FakeDuo::start(Timestamp::from_unix_seconds(1_800_000_000).unwrap());
    /// let posted = duo.web_prompt("TX|Ym9i|00:APP|Ym9i|00");
    /// assert_eq!(posted, "ERR|The request could not be verified.:APP|Ym9i|00");
    /// ```
    #[must_use]
    pub fn web_prompt(&self, sig_request: &str) -> String {
        self.shared.with(|state| web::prompt(state, sig_request))
    }
}

impl fmt::Debug for FakeDuo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeDuo").field("authority", &self.authority).finish_non_exhaustive()
    }
}

impl Drop for FakeDuo {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
