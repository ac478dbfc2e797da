//! What a request says of a login and of an answer.

use mfa::audit::parse_address;
use mfa::{
    Answer, Channel, Choice, DeviceToken, FirstFactor, FirstFactorKind, Login, MethodSelector, Module,
    Reference, RequestFacts, Response, RiskDecision, Subject,
};

use crate::failure::Failure;
use crate::input::Input;
use crate::node::{Holder, Node};

/// Fields of a login that no library has a meaning for yet.
const LATER: &[&str] = &["correlation_id", "profile", "email", "phone"];

const CHANNELS: [Channel; 5] =
    [Channel::Direct, Channel::Device, Channel::Email, Channel::Phone, Channel::Push];

/// The kinds of an answer, of which a response has exactly one.
const ANSWERS: [&str; 7] = ["code", "recovery", "bypass", "duo", "universal", "start", "poll"];

impl Node {
    /// Reads a login of a user whom the directory knows.
    pub(crate) async fn login(&self, input: &Input<'_>) -> Result<(Login, Holder), Failure> {
        let module = input.parsed("module", Module::parse)?;
        let read = login_fields(input)?;
        Ok(read.of(self.subject(input).await?, module))
    }

    /// As [`Node::login`], for ops that name the module only where it matters.
    pub(crate) async fn login_of(&self, input: &Input<'_>, module: &str) -> Result<(Login, Holder), Failure> {
        let module = match input.optional_parsed("module", Module::parse)? {
            Some(module) => module,
            None => Module::parse(module)?,
        };
        let read = login_fields(input)?;
        Ok(read.of(self.subject(input).await?, module))
    }
}

/// A login that names its user still has to get.
pub(crate) struct LoginFields {
    first: FirstFactor,
    session: Option<String>,
    method: Option<MethodSelector>,
    device: Option<DeviceToken>,
    decision: RiskDecision,
    facts: RequestFacts,
}

impl LoginFields {
    pub(crate) fn of(self, subject: Subject, module: Module) -> (Login, Holder) {
        let (account, user) = (subject.account().clone(), subject.user().clone());
        let holder = Holder { account, user, session: self.session };
        let login =
            Login::new(subject, self.first, module).with_request(self.facts).with_decision(self.decision);
        let login = self.method.into_iter().fold(login, Login::with_method);
        (self.device.into_iter().fold(login, Login::with_device), holder)
    }
}

pub(crate) fn login_fields(input: &Input<'_>) -> Result<LoginFields, Failure> {
    let (first, session) = first_factor(input)?;
    input.without(LATER)?;
    let method = input.optional_parsed("method", str::parse::<MethodSelector>)?;
    let device = input.optional_text("device_token")?.map(DeviceToken::from_text);
    // Whatever is not known to be harmless is a challenge.
    let decision = match input.optional_text("decision")? {
        Some(word) if word.eq_ignore_ascii_case("allow") => RiskDecision::Allow,
        _ => RiskDecision::Challenge,
    };
    Ok(LoginFields { first, session, method, device, decision, facts: request_facts(input)? })
}

/// Reads the answer of `response`. It names its kind; the others are refused before anything is judged.
pub(crate) fn response(input: &Input<'_>) -> Result<Response, Failure> {
    let given = input.object("response")?;
    let kinds: Vec<_> = ANSWERS.into_iter().filter(|kind| given.get(kind).is_some()).collect();
    let response = match kinds.as_slice() {
        ["code"] => Response::answer(Answer::code(given.text("code")?)),
        ["recovery"] => Response::answer(Answer::recovery(given.text("recovery")?)),
        ["bypass"] => Response::answer(Answer::bypass(given.text("bypass")?)),
        ["duo"] => Response::answer(Answer::reply(given.text("duo")?)),
        ["universal"] => Response::answer(Answer::reply(&callback(&given.object("universal")?)?)),
        ["start"] => Response::start(Choice::new(given.required("start")?.clone())),
        ["poll"] if given.flag("poll")? => Response::poll(),
        _ => {
            let message = "response must have exactly one of code, recovery, bypass, duo, universal, start, or poll: true";
            return Err(Failure::bad_request(message).at("response"));
        }
    };
    let started = given.optional_object("start")?;
    let named = started.as_ref().unwrap_or(&given);
    let method = named.optional_parsed("method", str::parse::<MethodSelector>)?;
    Ok(if let Some(method) = method { response.with_method(method) } else { response })
}

/// Returns the query that the browser brings back from Duo: `state`, and `code` or `error`.
fn callback(given: &Input<'_>) -> Result<String, Failure> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("state", given.text("state")?);
    match given.optional_text("error")? {
        Some(error) => query.append_pair("error", error),
        None => query.append_pair("duo_code", given.text("code")?),
    };
    Ok(query.finish())
}

pub(crate) fn reference(input: &Input<'_>, name: &str) -> Result<Reference, Failure> {
    Ok(Reference::from_text(input.text(name)?))
}

pub(crate) fn request_facts(input: &Input<'_>) -> Result<RequestFacts, Failure> {
    let mut facts = RequestFacts::new();
    if let Some(ip) = input.optional_parsed("ip", parse_address)? {
        facts = facts.with_ip(ip);
    }
    if let Some(headers) = input.optional_object("headers")? {
        for (name, _) in headers.entries() {
            facts = facts.with_header(name, headers.text(name)?);
        }
    }
    if let Some(id) = input.optional_text("request_id")? {
        facts = facts.with_id(id);
    }
    Ok(facts)
}

/// Reads `first_factor`, with the host's session that it was given in: a password, in `session`, without one.
pub(crate) fn first_factor(input: &Input<'_>) -> Result<(FirstFactor, Option<String>), Failure> {
    let Some(given) = input.optional_object("first_factor")? else {
        let session = input.optional_text("session")?;
        let first = FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, session);
        return Ok((first, session.map(str::to_owned)));
    };
    let name = given.optional_text("kind")?.unwrap_or("password");
    let kind = FirstFactorKind::ALL.into_iter().find(|kind| kind.code() == name);
    let kind = kind.ok_or_else(|| given.mistyped("kind", "the name of a kind of first factor"))?;
    let name = given.optional_text("channel")?.unwrap_or("direct");
    let channel = CHANNELS.into_iter().find(|channel| channel.code() == name);
    let channel = channel.ok_or_else(|| given.mistyped("channel", "the name of a channel"))?;
    let session = given.optional_text("session")?;
    Ok((FirstFactor::verified_now(kind, channel, session), session.map(str::to_owned)))
}
