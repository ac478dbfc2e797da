//! Duo behind an engine: a fake of its service, the HTTPS client, and the provider in one of its modes.

use std::sync::Arc;
use std::time::Duration;

use mfa::duo::{ApiHosts, Duo, UserNames};
use mfa::http::Client;
use mfa::{
    Begin, Challenge, Choice, Engine, EngineBuilder, EnrolConfirm, EnrolmentStarted, Error, Evidence,
    HttpClient as _, ProviderName, Reference, Response, Status, Subject, Verify,
};
use mfa_testkit::duo::{Device, FakeDuo, Integration, Reaction, Seen, User};
use mfa_testkit::inbox::Inbox;
use serde_json::{Value, json};

use crate::{World, acme, host, login};

/// Where the Universal Prompt sends browsers back to.
pub const REDIRECT_URI: &str = "https://acme.example/duo";
/// The application key of the Web SDK.
pub const AKEY: &str = "an-application-key-that-duo-does-not-know";
/// A number that Duo would call.
const PHONE: &str = "+15555550100";

/// How the provider speaks to Duo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// See the module.
    AuthApi,
    /// See the module.
    Universal,
    /// See the module.
    WebSdk,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::AuthApi, Self::Universal, Self::WebSdk];
}

/// A world whose users have Duo.
#[derive(Debug)]
pub struct DuoSite {
    /// See the module.
    pub world: World,
    /// The fake. Its clock goes with the world's: [`DuoSite::advance`].
    pub duo: FakeDuo,
    /// The mode.
    pub mode: Mode,
    /// The keys.
    pub keys: Integration,
    /// The engine.
    pub engine: Engine,
    /// Where notices arrive.
    pub inbox: Inbox,
    client: Client,
}

impl DuoSite {
    /// Makes one.
    pub async fn new(world: World, mode: Mode) -> Self {
        Self::with(world, mode, &json!({}), |builder| builder).await
    }

    /// Makes one whose settings have these members besides, or instead, and whose engine has more.
    ///
    /// # Panics
    /// If a part of it fails.
    pub async fn with(
        world: World,
        mode: Mode,
        settings: &Value,
        more: impl FnOnce(EngineBuilder) -> EngineBuilder,
    ) -> Self {
        let duo = FakeDuo::start(world.now());
        let keys = duo.integration();
        let inbox = Inbox::new();
        let client = Client::builder().only_roots(duo.ca_pem()).allow_private(duo.authority());
        let client = client.build().expect("a client");
        // Replaced below, when there is something to make a node with.
        let engine = world.engine.clone();
        let mut site = Self { world, duo, mode, keys, engine, inbox, client };
        site.engine = more(site.node(settings)).build().await.expect("an engine");
        site
    }

    /// Starts a builder of another node with these settings besides, or instead.
    pub fn node(&self, settings: &Value) -> EngineBuilder {
        self.node_naming(settings, UserNames::default())
    }

    /// As [`DuoSite::node`], with users called so at Duo.
    ///
    /// # Panics
    /// If the provider cannot be made.
    pub fn node_naming(&self, settings: &Value, names: UserNames) -> EngineBuilder {
        let hosts = ApiHosts::duo().also(self.duo.authority()).expect("an authority");
        let provider = Duo::new(hosts).expect("a provider").with_names(names);
        let builder = self.world.node().provider_with(provider, self.settings(settings));
        builder.http(Arc::new(self.client.clone())).transport(Arc::new(self.inbox.clone()))
    }

    /// Starts a builder of a node whose host keeps no settings of Duo.
    ///
    /// # Panics
    /// If the provider cannot be made.
    pub fn bare_node(&self) -> EngineBuilder {
        let hosts = ApiHosts::duo().also(self.duo.authority()).expect("an authority");
        let builder = self.world.node().provider_without_settings(Duo::new(hosts).expect("a provider"));
        builder.http(Arc::new(self.client.clone())).transport(Arc::new(self.inbox.clone()))
    }

    /// Adds a provider of Duo's, whose settings have these members besides, or instead, to a node on any store. Its users
    /// are called so at Duo.
    ///
    /// # Panics
    /// If the provider cannot be made.
    pub fn on_node(&self, node: EngineBuilder, settings: &Value, names: UserNames) -> EngineBuilder {
        let settings = self.settings(settings);
        let at = text(&settings, "api_hostname");
        let provider = Duo::new(ApiHosts::duo().also(at).expect("an authority")).expect("a provider");
        node.provider_with(provider.with_names(names), settings).http(Arc::new(self.client.clone()))
    }

    /// The settings of the mode, with these members besides, or instead.
    ///
    /// # Panics
    /// If they are no objects.
    #[must_use]
    pub fn settings(&self, more: &Value) -> Value {
        let Integration { ikey, skey, .. } = &self.keys;
        let host = self.duo.authority();
        let mut settings = match self.mode {
            Mode::AuthApi => {
                json!({"mode": "auth_api", "integration_key": ikey, "secret_key": skey, "api_hostname": host})
            }
            Mode::Universal => json!({"mode": "universal", "client_id": ikey, "client_secret": skey,
                "api_hostname": host, "redirect_uri": REDIRECT_URI}),
            Mode::WebSdk => json!({"mode": "web_sdk", "integration_key": ikey, "secret_key": skey,
                "application_secret_key": AKEY, "api_hostname": host}),
        };
        let (all, more) =
            (settings.as_object_mut().expect("an object"), more.as_object().expect("an object"));
        all.extend(more.clone());
        settings
    }

    /// Adds a user of account `acme` with an address, and gives them a phone at Duo, where they approve everything.
    pub async fn add(&self, name: &str) -> Subject {
        self.add_as(name, |user| user.device(Device::phone(PHONE))).await
    }

    /// As [`DuoSite::add`], with what Duo has of them.
    pub async fn add_as(&self, name: &str, more: impl FnOnce(User) -> User) -> Subject {
        self.duo.add_user(more(User::new(format!("acme/{name}"))));
        self.world.add_reachable(name).await
    }

    /// Adds a user and sets Duo up for them.
    pub async fn enrolled(&self, name: &str) -> Subject {
        let subject = self.add(name).await;
        self.enrol(&subject).await;
        subject
    }

    /// As [`DuoSite::enrolled`], with what Duo has of them.
    pub async fn enrolled_as(&self, name: &str, more: impl FnOnce(User) -> User) -> Subject {
        let subject = self.add_as(name, more).await;
        self.enrol(&subject).await;
        subject
    }

    /// Begins to set Duo up.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn enrol_begin(&self, subject: &Subject) -> Result<EnrolmentStarted, Error> {
        let (account, user) = (subject.account(), subject.user());
        self.engine.enrol_begin(account, user, &duo(), &Choice::none(), &host()).await
    }

    /// Sets Duo up, and moves the clock on by a second, so that what comes next is another reply of Duo's.
    ///
    /// # Panics
    /// If it does not work.
    pub async fn enrol(&self, subject: &Subject) {
        let started = self.enrol_begin(subject).await.expect("a begin");
        let mut confirmed = self.confirm(&started, self.response_to(&started.prompt).await).await;
        for _ in 0..4 {
            if !matches!(confirmed, EnrolConfirm::Pending(_)) {
                break;
            }
            confirmed = self.confirm(&started, Response::poll()).await;
        }
        assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)), "{confirmed:?}");
        self.advance(Duration::from_secs(1));
    }

    /// Responds to a set-up.
    ///
    /// # Panics
    /// If it is not judged.
    pub async fn confirm(&self, started: &EnrolmentStarted, response: Response) -> EnrolConfirm {
        self.engine.enrol_confirm(&started.reference, &response).await.expect("an answer")
    }

    /// Begins a login.
    ///
    /// # Panics
    /// Unless it is a challenge.
    pub async fn begin(&self, subject: &Subject) -> Challenge {
        begin_on(&self.engine, subject).await
    }

    /// Responds to a challenge.
    ///
    /// # Panics
    /// If it is not judged.
    pub async fn verify(&self, challenge: &Challenge, response: Response) -> Verify {
        self.engine.verify(&challenge.reference, response).await.expect("an answer")
    }

    /// Polls until something has come of it, at most four times.
    pub async fn settled(&self, challenge: &Challenge) -> Verify {
        let mut polled = self.verify(challenge, Response::poll()).await;
        for _ in 0..3 {
            // Once it can be claimed there is nothing to show any more.
            if !matches!(&polled, Verify::Pending(pending) if !pending.prompt.is_null()) {
                break;
            }
            polled = self.verify(challenge, Response::poll()).await;
        }
        polled
    }

    /// Lets the user do at Duo what they do, and returns what comes of it, a claim included.
    pub async fn go_on(&self, challenge: &Challenge) -> Verify {
        let told = self.verify(challenge, self.response_to(&challenge.prompt).await).await;
        if !matches!(told, Verify::Pending(_)) || self.mode != Mode::AuthApi {
            return told;
        }
        match self.settled(challenge).await {
            Verify::Pending(_) => self.claim(&challenge.reference).await,
            other => other,
        }
    }

    /// Logs a user in.
    pub async fn log_in(&self, subject: &Subject) -> Verify {
        let challenge = self.begin(subject).await;
        self.go_on(&challenge).await
    }

    /// Claims.
    ///
    /// # Panics
    /// If it is not judged.
    pub async fn claim(&self, reference: &Reference) -> Verify {
        self.engine.claim(reference).await.expect("an answer")
    }

    /// What the page sends to the engine after a prompt: the start of a push, or what came back from Duo's page.
    pub async fn response_to(&self, prompt: &Value) -> Response {
        match self.mode {
            Mode::AuthApi => push(),
            Mode::Universal => reply(&self.browse(prompt).await),
            Mode::WebSdk => reply(&self.duo.web_prompt(text(prompt, "duo_sig_request"))),
        }
    }

    /// Stands in for a browser that goes to the Universal Prompt, and returns the query it comes back with.
    ///
    /// # Panics
    /// If it does not come back.
    pub async fn browse(&self, prompt: &Value) -> String {
        let request = http::Request::get(text(prompt, "url")).body(Vec::new()).expect("a request");
        let page = self.client.send(request, Duration::from_secs(10)).await.expect("a page");
        let back = page.headers().get("location").and_then(|to| to.to_str().ok()).expect("a way back");
        back.strip_prefix(REDIRECT_URI).expect("the configured address").trim_start_matches('?').to_owned()
    }

    /// Where a challenge stands.
    ///
    /// # Panics
    /// If there is none.
    pub async fn status(&self, challenge: &Challenge) -> Status {
        let found = self.engine.status(&acme(), challenge.id).await;
        found.expect("a status").expect("a challenge").status
    }

    /// Moves both clocks.
    pub fn advance(&self, by: Duration) {
        self.world.clock.advance(by);
        self.duo.set_now(self.world.now());
    }

    /// Sets what `acme/name` does when a device rings.
    pub fn reaction(&self, name: &str, reaction: Reaction) {
        self.duo.set_reaction(&format!("acme/{name}"), reaction);
    }

    /// How many pushes rang for `acme/name`.
    #[must_use]
    pub fn pushes(&self, name: &str) -> u32 {
        self.duo.rings(&format!("acme/{name}")).pushes
    }

    /// How many requests went to a path of the Auth API or the Universal Prompt.
    #[must_use]
    pub fn sent_to(&self, path: &str) -> usize {
        self.duo.requests().iter().filter(|seen| seen.path.ends_with(path)).count()
    }

    /// Runs a call to its end; whenever a request to one of these paths hangs, the clock moves on by the time that the
    /// engine waits for it. Returns what came of it and how long it took.
    pub async fn without_waiting<T>(&self, hanging: &[&str], call: impl Future<Output = T>) -> (T, Duration) {
        let mut call = std::pin::pin!(call);
        let hang = || {
            // One without a fault has no status yet for a moment, too.
            let hangs = |seen: &Seen| seen.faulted && seen.status.is_none() && hanging.contains(&&*seen.path);
            self.duo.requests().iter().filter(|seen| hangs(seen)).count()
        };
        let (began, mut given_up) = (self.world.now(), hang());
        drop(self.world.clock.take_sleeps());
        loop {
            tokio::select! {
                biased;
                told = &mut call => return (told, self.world.now().since(began)),
                () = tokio::task::yield_now() => {}
            }
            if hang() > given_up {
                given_up += 1;
                let deadline = self.world.clock.take_sleeps().into_iter().max().unwrap_or_default();
                self.advance(deadline);
            }
        }
    }

    /// A client of its own, without a connection that is open already, which trusts this authority.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn client(&self, ca_pem: &str) -> Arc<Client> {
        let client = Client::builder().only_roots(ca_pem).allow_private(self.duo.authority());
        Arc::new(client.build().expect("a client"))
    }
}

/// Begins a login on an engine.
///
/// # Panics
/// Unless it is a challenge.
pub async fn begin_on(engine: &Engine, subject: &Subject) -> Challenge {
    match engine.begin(login(subject)).await.expect("a begin") {
        Begin::Challenge(challenge) => challenge,
        other => panic!("no challenge: {other:?}"),
    }
}

/// The provider's name.
///
/// # Panics
/// Never.
#[must_use]
pub fn duo() -> ProviderName {
    ProviderName::parse("duo").expect("a name")
}

/// Starts a push.
#[must_use]
pub fn push() -> Response {
    start("push")
}

/// Starts a factor.
#[must_use]
pub fn start(factor: &str) -> Response {
    Response::start(Choice::new(json!({"factor": factor})))
}

/// A reply that came through the browser.
#[must_use]
pub fn reply(text: &str) -> Response {
    Response::answer(mfa::Answer::reply(text))
}

/// A member of a prompt.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn text<'a>(prompt: &'a Value, name: &str) -> &'a str {
    prompt.get(name).and_then(Value::as_str).unwrap_or_else(|| panic!("{name} is not in {prompt}"))
}

/// The evidence of a grant.
///
/// # Panics
/// If there is none.
#[expect(clippy::must_use_candidate, reason = "it fails where there is none")]
pub fn granted(verify: Verify) -> Evidence {
    match verify {
        Verify::Verified(grant) => grant.evidence().clone(),
        other => panic!("no grant: {other:?}"),
    }
}

/// A user of another account.
///
/// # Panics
/// If they are no ids.
#[must_use]
pub fn user_of(account: &str, user: &str) -> Subject {
    let ids = (mfa::AccountId::parse(account), mfa::UserId::parse(user));
    Subject::of(&mfa::Account::new(ids.0.expect("an id")), ids.1.expect("an id"))
}

/// Another world, in a file if this one is.
pub async fn another(world: &World) -> World {
    if world.file().is_some() { World::sqlite().await } else { World::memory().await }
}

/// Runs a test on a runtime that can do networking.
///
/// # Panics
/// If there is none.
pub fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test);
}

/// The stores of [`on_duo!`](crate::on_duo).
pub mod on {
    use crate::World;

    /// In memory.
    pub async fn memory(_: &str) -> World {
        World::memory().await
    }

    /// In a file.
    pub async fn sqlite(_: &str) -> World {
        World::sqlite().await
    }

    /// In a file that several processes serve in turn.
    pub async fn processes(exe: &str) -> World {
        World::scattered(exe).await
    }
}

/// Defines a test that runs on these stores: `name::memory`, `name::sqlite`, `name::processes`.
#[macro_export]
macro_rules! on_duo {
    ($($(#[$meta:meta])* [$($store:ident),+] async fn $name:ident($world:ident) $body:block)*) => {$(
        $(#[$meta])*
        mod $name {
            use super::*;
            async fn body($world: $crate::World) $body
            $(
                #[test]
                fn $store() {
                    let exe = env!("CARGO_BIN_EXE_mfa-store-node");
                    $crate::duo::run(async { body($crate::duo::on::$store(exe).await).await });
                }
            )+
        }
    )*};
}
