//! Exemptions of programs, for the tests of what they do and of how they end.

use audit_model::{AttemptsQuery, CursorKey, Outcome};
use mfa::{
    Authority, Begin, Channel, Engine, Error, Exemption, ExemptionId, ExemptionTerms, FirstFactor,
    FirstFactorKind, Login, Module, Network, RequestFacts, Subject, Timestamp,
};

use crate::rights::exempting;
use crate::{World, acme, host, session};

/// A module by its name.
///
/// # Panics
/// If what the test takes for granted is not so.
pub fn module(name: &str) -> Module {
    Module::parse(name).unwrap()
}

/// A login by a first factor of this kind, through this module.
///
/// # Panics
/// If what the test takes for granted is not so.
pub fn by(whom: &Subject, kind: FirstFactorKind, name: &str) -> Login {
    let first = FirstFactor::verified_now(kind, Channel::Direct, Some(&session(whom)));
    Login::new(whom.clone(), first, module(name))
}

/// A login by API key through the module that programs log in by.
///
/// # Panics
/// If what the test takes for granted is not so.
pub fn by_key(whom: &Subject) -> Login {
    by(whom, FirstFactorKind::ApiKey, "api_auth")
}

/// The login, from this address.
///
/// # Panics
/// If what the test takes for granted is not so.
pub fn from(login: Login, ip: &str) -> Login {
    login.with_request(RequestFacts::new().with_ip(ip.parse().unwrap()))
}

/// Terms for the nightly export.
///
/// # Panics
/// If what the test takes for granted is not so.
pub fn terms(kind: FirstFactorKind, name: &str, until: Timestamp) -> ExemptionTerms {
    ExemptionTerms::new(module(name), kind, "the nightly export", until).unwrap()
}

/// Networks by their texts.
///
/// # Panics
/// If what the test takes for granted is not so.
pub fn networks(of: &[&str]) -> Vec<Network> {
    of.iter().map(|text| text.parse().unwrap()).collect()
}

/// A node on which exemptions count.
///
/// # Panics
/// If what the test takes for granted is not so.
pub async fn exempting_node(world: &World) -> Engine {
    world.node().policy(exempting()).build().await.unwrap()
}

/// Grants one, as the host.
///
/// # Panics
/// If what the test takes for granted is not so.
pub async fn grant(engine: &Engine, whom: &Subject, terms: &ExemptionTerms) -> Exemption {
    engine.exemption_grant(whom.account(), whom.user(), terms, &host()).await.unwrap()
}

/// Ends one; what is said of it, in a word.
///
/// # Panics
/// If what the test takes for granted is not so.
pub async fn end(engine: &Engine, whom: &Subject, id: ExemptionId, by: &Authority) -> &'static str {
    told(engine.exemption_end(whom.account(), whom.user(), id, by).await)
}

/// Asks for one; what is said of it, in a word.
///
/// # Panics
/// If what the test takes for granted is not so.
pub async fn asks_for(
    engine: &Engine,
    whom: &Subject,
    terms: &ExemptionTerms,
    by: &Authority,
) -> &'static str {
    told(engine.exemption_grant(whom.account(), whom.user(), terms, by).await)
}

/// What is said, in a word.
///
/// # Panics
/// If what the test takes for granted is not so.
pub fn told<T>(result: Result<T, Error>) -> &'static str {
    result.map_or_else(|error| error.code(), |_| "done")
}

/// What a login is answered, in a word.
///
/// # Panics
/// If what the test takes for granted is not so.
pub async fn answer(engine: &Engine, login: Login) -> &'static str {
    match engine.begin(login).await.unwrap() {
        Begin::Challenge(_) => "challenge",
        Begin::NotRequired(why) => why.code(),
        Begin::EnrolmentRequired(_) => "enrolment_required",
        Begin::Denied(denied) => denied.reason.code(),
        other => panic!("{other:?}"),
    }
}

/// How many attempts the view of the account shows that say the user was exempt.
///
/// # Panics
/// If what the test takes for granted is not so.
pub async fn exempt_attempts(world: &World) -> usize {
    let key = CursorKey::from_bytes([7; 32]);
    let query = AttemptsQuery::new(acme()).outcome(Outcome::Success);
    let page = query.read(&*world.store, world.now(), &key, 1000).await.unwrap();
    let says = |event: &&audit_model::Event| event.attempt().is_some_and(|a| a.message.ends_with("exempt"));
    page.events.iter().filter(says).count()
}
