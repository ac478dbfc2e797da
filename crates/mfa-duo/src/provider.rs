//! Duo as a provider of the engine: one provider, `duo`, in three modes that its settings choose.

mod api;
mod evidence;
mod kept;
mod probe;
mod prompt;
mod settings;
mod universal;
mod web;

use core::fmt;

use mfa_core::{
    AnswerKind, Channel, Cx, Descriptor, EffectKind, FieldError, Held, Provider, ProviderError, ProviderName,
    StepEvent, StepOf,
};
use serde_json::Value;

use crate::{ApiHosts, Error};
use kept::{Pinned, Replies, State};
use settings::{Mode, Settings};

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
    descriptor: Descriptor,
}

/// How users are called at Duo, whose integrations know a user by name alone, in any case of its letters, and where
/// they are set to normalise names, without what is before a backslash or behind an at sign. A name has at most 255
/// bytes; whoever would get a longer one cannot set Duo up.
///
/// A name says nothing of a user's generation: Duo knows no other. A person who is given the id of a former one inherits
/// the devices that are enrolled under the name, and with a first factor alone sets Duo up by them, until an
/// administrator of Duo has deleted that user there. Delete it when you forget the user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UserNames {
    /// `account/user`: no two users of this engine share a name, whatever Duo makes of it. Of an id, lower-case letters
    /// `a` to `z`, digits, `.`, `_` and `-` are written as they are, and every other byte as `%` and two lower-case hex
    /// digits: `Bob@x` is `%42ob%40x`.
    #[default]
    AccountAndUser,
    /// The user's id. The host says by this that no two users of all accounts that share an integration have ids that
    /// Duo takes for one name, unless they are the same person: otherwise one of them could approve the login of the
    /// other. Nothing here compares a name with those of other accounts.
    UserId,
    /// The user's label, such as an e-mail address. The host says by this that no two users of all accounts that share
    /// an integration have labels that Duo takes for one name, and that a user cannot choose theirs: a name is pinned
    /// when Duo is set up, so that a label which another user gets later is still that of the first. A user who is not at
    /// Duo yet is not told where to enrol there, neither here nor with [`UserId`](Self::UserId): an administrator adds
    /// them.
    Label,
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
        Ok(Self { hosts, names: UserNames::default(), descriptor })
    }

    /// Sets how users are called at Duo.
    #[must_use]
    pub const fn with_names(mut self, names: UserNames) -> Self {
        self.names = names;
        self
    }

    fn name_of(&self, cx: &Cx<'_>) -> Result<String, ProviderError> {
        let name = match self.names {
            UserNames::AccountAndUser => {
                format!("{}/{}", part_of_name(cx.account.as_str()), part_of_name(cx.user.as_str()))
            }
            UserNames::UserId => cx.user.as_str().to_owned(),
            UserNames::Label => cx.label.to_owned(),
        };
        if name.len() > MAX_NAME_BYTES {
            let problem = format!("must have at most {MAX_NAME_BYTES} bytes as it is written for duo");
            return Err(ProviderError::Invalid(FieldError::new("username", "too_long", problem)));
        }
        Ok(name)
    }
}

/// The longest name at Duo, which says of none how long it may be: a field of a name's usual size does not cut one off.
const MAX_NAME_BYTES: usize = 255;

/// Returns an id as a part of a name that has parts, so that different ids stay different when Duo folds case and takes
/// a domain away: no capital, backslash, at sign or letter that has other spellings is left.
fn part_of_name(id: &str) -> String {
    let mut part = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' => part.push(char::from(byte)),
            _ => part.push_str(&format!("%{byte:02x}")),
        }
    }
    part
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

    fn handle(
        &self,
        cx: &mut Cx<'_>,
        held: Held<State, Replies, Pinned>,
        event: StepEvent<'_>,
    ) -> Result<StepOf<Self>, ProviderError> {
        let settings = Settings::read(cx.settings, &self.hosts).map_err(|_| ProviderError::Inappropriate)?;
        let replies = held.enrolment.unwrap_or_default();
        // An enrolment that begins pins the name; every later step is about that name, whatever the label becomes.
        let (pinned, begins) = match (held.secret, &event) {
            (Some(pinned), _) => (pinned, false),
            (None, StepEvent::Begin(_)) => (Pinned::new(self.name_of(cx)?), true),
            (None, _) => return Err(ProviderError::Inappropriate),
        };
        let is_of_account = self.names == UserNames::AccountAndUser;
        let mut call = Call { cx, settings: &settings, name: pinned.name(), is_of_account, replies };
        let step = match (&settings.mode, held.state) {
            (Mode::Web(mode), state) => web::handle(mode, &mut call, state, event)?,
            (Mode::AuthApi(mode), state) => api::handle(mode, &mut call, state, event)?,
            (Mode::Universal(mode), state) => universal::handle(mode, &mut call, state, event)?,
        };
        Ok(if begins { step.with_secret(pinned) } else { step })
    }
}

type DuoStep = StepOf<Duo>;
