//! Duo as a provider of the engine: one provider, `duo`, in three modes that its settings choose.

mod api;
mod evidence;
mod kept;
mod names;
mod probe;
mod prompt;
mod settings;
mod universal;
mod web;

use core::fmt;

use mfa_core::{
    AnswerKind, Channel, Choice, Cx, Descriptor, EffectKind, FieldError, Held, Identity, Provider,
    ProviderError, ProviderName, Reason, Step, StepEvent, StepOf, Then,
};
use serde_json::Value;

use crate::{ApiHost, ApiHosts, Error};
use kept::{Pinned, Replies, State};
use names::identity;
use settings::{Mode, Settings};

pub use names::UserNames;

/// The second factor `duo`. Its settings, a JSON object, choose the mode:
///
/// | `mode` | settings | answer |
/// |---|---|---|
/// | `auth_api` | `integration_key`, `secret_key`, `api_hostname` | start a push, call or SMS and poll, or a passcode |
/// | `universal` | `client_id`, `client_secret`, `api_hostname`, `redirect_uri` | the query of the callback, as a reply |
/// | `web_sdk` | `integration_key`, `secret_key`, `application_secret_key`, `api_hostname`, `duo_expire`?, `app_expire`? | the posted `sig_response`, as a reply |
///
/// Without `mode`, an `application_secret_key` means `web_sdk`, a `client_id` means `universal`, and neither
/// `auth_api`. `accept_approve_only` (`false` unless set) says that a push that is approved without a number, or a call,
/// is evidence of AAL2; it is of AAL1 otherwise (SP 800-63B-4 §3.1.3).
///
/// Where Duo wants a number to be typed, the prompt has it as `verification_code`, to be shown to the user. It is good
/// for one push and about a minute; a start after that answers with another prompt and number, and sends nothing.
///
/// An enrolment pins the name that the user has at Duo. What Duo lets pass without an answer of the user's (a bypass, a
/// bypass code, a remembered device, a trusted network) is never evidence, and no more is an enrolment in the Universal
/// Prompt. Of two things Duo says nothing: how a user passed the frame of the Web SDK, whose replies are of AAL1
/// therefore, and whether a passcode was a bypass code; one of nine digits or ten is taken for it, so let Duo give out no
/// shorter ones.
///
/// **In Duo's policy of the application, deny access to new users** for `universal` and `web_sdk`. Who is not at Duo yet,
/// or has no device there any more, could otherwise enrol one in the prompt with the password alone. Where Duo says that
/// this happened it counts as a bypass; the frame says nothing, and of the next login Duo says that it was passed.
///
/// ```
/// use mfa_core::Provider;
/// use mfa_duo::{ApiHosts, Duo};
/// use serde_json::json;
///
/// let duo = Duo::new(ApiHosts::duo())?;
/// let mut settings = json!({
///     "integration_key": "DIXXXXXXXXXXXXXXXXXX",
///     "secret_key": "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
///     "api_hostname": "api-xxxxxxxx.duosecurity.com",
/// });
/// assert!(duo.validate(&settings).is_ok());
///
/// settings["api_hostname"] = json!("api-xxxxxxxx.duosecurity.com.evil.io");
/// let errors = duo.validate(&settings).unwrap_err();
/// assert_eq!(errors[0].to_string(), "api_hostname must end in .duosecurity.com or .duofederal.com");
/// # Ok::<(), mfa_duo::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Duo {
    hosts: ApiHosts,
    names: UserNames,
    domains_in_names: bool,
    names_given_by_host: bool,
    descriptor: Descriptor,
}

impl Duo {
    /// Makes the provider; settings may name the hosts of `hosts` only.
    ///
    /// # Errors
    /// [`Error::Parameter`] never happens.
    pub fn new(hosts: ApiHosts) -> Result<Self, Error> {
        let name = ProviderName::parse("duo");
        let name = name.map_err(|_| Error::Parameter { name: "duo", reason: "is no provider name" })?;
        // A passcode of six digits is the least of what it takes.
        let mut descriptor = Descriptor::one_time_code(name, 19);
        descriptor.channel = Channel::Push;
        descriptor.other_channels = vec![Channel::Device, Channel::Phone];
        descriptor.answers = vec![AnswerKind::Code, AnswerKind::Reply];
        descriptor.effects = vec![EffectKind::Http];
        descriptor.amr = evidence::EVERY_AMR.to_vec();
        descriptor.several = false;
        if !hosts.are_duos_alone() {
            descriptor.dangers.push("danger_other_duo_hosts");
        }
        Ok(Self {
            hosts,
            names: UserNames::default(),
            domains_in_names: false,
            names_given_by_host: false,
            descriptor,
        })
    }

    /// Sets how users are called at Duo.
    #[must_use]
    pub const fn with_names(mut self, names: UserNames) -> Self {
        self.names = names;
        self
    }

    /// Says that Duo tells names apart by their domain: that it normalises none, in no application that is used.
    ///
    /// With [`UserNames::Label`] and [`UserNames::UserId`], names that differ in their domain alone are otherwise taken for
    /// one, so that of `bob@a.example` and `bob@b.example` one alone can set Duo up. Say so before the first set-up: what is
    /// claimed by one reading of names is not met by the other.
    #[must_use]
    pub const fn with_domains_in_names(mut self) -> Self {
        self.domains_in_names = true;
        self
    }

    /// Says that the host gives every user their id, or their label where that is the name at Duo, and no account does:
    /// there is one account, or the host makes the ids. Users can then set Duo up by themselves through settings that
    /// accounts share, those in the host's code included. One user alone still has a name.
    #[must_use]
    pub const fn with_names_given_by_host(mut self) -> Self {
        self.names_given_by_host = true;
        self
    }

    /// Returns whom a name means at an API host, for [`Engine::identity_holder`](mfa_core::Engine::identity_holder):
    /// who has Duo under it, and under every name that Duo might take for the same.
    ///
    /// ```
    /// use mfa_duo::{ApiHosts, Duo};
    /// let duo = Duo::new(ApiHosts::duo())?;
    /// let at = |name| duo.identity_of("api-1b9e2f0c.duosecurity.com", name).unwrap();
    /// assert_eq!(at("bob@acme.example"), at("Bob"));
    /// assert_ne!(at("bob@acme.example"), at("eve@acme.example"));
    /// assert!(duo.identity_of("api.acme.example", "bob").is_err());
    /// # Ok::<(), mfa_duo::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ApiHost`] for a host that no settings could name.
    pub fn identity_of(&self, api_hostname: &str, name: &str) -> Result<Identity, Error> {
        Ok(identity(&authority(&self.hosts.parse(api_hostname)?), name, self.domains_in_names))
    }
}

/// Returns a host as it is pinned: in one of its spellings.
fn authority(host: &ApiHost) -> String {
    let authority = host.authority().to_ascii_lowercase();
    authority.strip_suffix(":443").unwrap_or(&authority).to_owned()
}

/// What a mode decides with: the context, the name at Duo, what is kept.
struct Call<'a, 'c> {
    cx: &'a mut Cx<'c>,
    settings: &'a Settings,
    name: &'a str,
    /// Whether no user of another account can have the name.
    is_of_account: bool,
    replies: Replies,
}

impl fmt::Debug for Call<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("cx", &self.cx).finish_non_exhaustive()
    }
}

impl Provider for Duo {
    type State = State;
    type Enrolment = Replies;
    type Secret = Pinned;

    fn describe(&self) -> &Descriptor {
        &self.descriptor
    }

    fn validate(&self, settings: &Value) -> Result<(), Vec<FieldError>> {
        Settings::read(settings, &self.hosts).map(|_| ())
    }

    fn identity(&self, settings: &Value, secret: &Pinned) -> Result<Option<Identity>, ProviderError> {
        let Some(host) = &secret.host else { return Ok(None) };
        let settings = Settings::read(settings, &self.hosts).map_err(|_| ProviderError::Inappropriate)?;
        let mut identity = identity(host, &secret.name, self.domains_in_names);
        if self.names_given_by_host {
            identity = identity.given_by_host();
        }
        // Whoever has the keys makes Duo's replies, and whoever wrote the settings has made the keys.
        if matches!(settings.mode, Mode::Web(_)) {
            identity = identity.unasked();
        }
        Ok(Some(identity))
    }

    /// It has no name, and is called in nobody's: whoever typed a name would have Duo ask whose it is.
    fn decoy(&self, _: &Choice) -> Option<Pinned> {
        Some(Pinned { name: String::new(), host: None })
    }

    fn handle(
        &self,
        cx: &mut Cx<'_>,
        held: Held<State, Replies, Pinned>,
        event: StepEvent<'_>,
    ) -> Result<StepOf<Self>, ProviderError> {
        let settings = Settings::read(cx.settings, &self.hosts).map_err(|_| ProviderError::Inappropriate)?;
        let replies = held.enrolment.unwrap_or_default();
        let host = authority(&settings.host);
        // An enrolment that begins pins the name; every later step is about that name, whatever the label becomes.
        let (pinned, begins) = match (held.secret, &event) {
            (Some(pinned), _) if pinned.name.is_empty() => return Err(ProviderError::Inappropriate),
            (Some(pinned), _) => (pinned, false),
            (None, StepEvent::Begin(_)) => {
                let host = (!self.names.are_of_accounts()).then(|| host.clone());
                (Pinned { name: self.names.name_of(cx)?, host }, true)
            }
            (None, _) => return Err(ProviderError::Inappropriate),
        };
        // At another customer of Duo's the name may be somebody else's.
        if pinned.host.as_ref().is_some_and(|pinned| *pinned != host) {
            return Ok(Step::then(Then::Reject(Reason::Unavailable)));
        }
        let is_of_account = pinned.host.is_none();
        let mut call = Call { cx, settings: &settings, name: &pinned.name, is_of_account, replies };
        let step = match (&settings.mode, held.state) {
            (Mode::Web(sdk), state) => web::handle(sdk, &mut call, state, event)?,
            (Mode::AuthApi(mode), state) => api::handle(mode, &mut call, state, event)?,
            (Mode::Universal(mode), state) => universal::handle(mode, &mut call, state, event)?,
        };
        Ok(if begins { step.with_secret(pinned) } else { step })
    }
}

type DuoStep = StepOf<Duo>;
