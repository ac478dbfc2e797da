//! No secret is shown: not by `Debug`, not by errors, not by spans, not by the log.
#![cfg(test)]

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use audit_model::export::to_line;
use audit_model::{Event, Query};
use data_encoding::{BASE32_NOPAD, BASE64, BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use mfa::totp::{OtpauthUri, Parameters, TotpSecret, code_at};
use mfa::{
    Answer, Change, Charge, Choice, Draw, Effect, EffectKind, EnrolConfirm, HashJob, HttpClient, HttpFault,
    HttpReply, Message, MethodSelector, Reference, RequestFacts, Response, Revealed, Scope, SecretBytes,
    SecretText, Step, StepEvent, Target, Then, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::entropy::SeededEntropy;
use mfa_testkit::faults::{At, Fault, FaultStore};
use mfa_testkit::scripted::{On, Say};
use mfa_tests::attack::ROOT;
use mfa_tests::doubles::{SCRIPTED_CODE, enrol_in, scripted};
use mfa_tests::{World, host, login, on_stores, session, totp};
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};

/// Everything that was traced, by every thread, at every level.
static TRACED: Mutex<String> = Mutex::new(String::new());

fn traced() -> MutexGuard<'static, String> {
    TRACED.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Everything;

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        writeln!(self.0, "{field}={value:?}").unwrap();
    }
}

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut traced = traced();
        writeln!(traced, "span {}", span.metadata().name()).unwrap();
        span.record(&mut Fields(&mut traced));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Fields(&mut traced()));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut Fields(&mut traced()));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn watch() {
    // The tests of this file share one subscriber; whoever comes second finds it there.
    let _ = tracing::subscriber::set_global_default(Everything);
}

/// Secrets, in every way in which they might be written down.
#[derive(Default)]
struct Needles(Vec<String>);

impl Needles {
    fn bytes(&mut self, bytes: &[u8]) {
        for encoding in [BASE32_NOPAD, BASE64, BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER] {
            self.0.push(encoding.encode(bytes));
        }
        self.0.push(BASE32_NOPAD.encode(bytes).to_lowercase());
        // As `Debug` shows a list of bytes.
        let listed = format!("{bytes:?}");
        self.0.push(listed.trim_matches(['[', ']']).to_owned());
        self.0.extend(std::str::from_utf8(bytes).map(str::to_owned));
    }

    fn reference(&mut self, reference: &Reference) {
        let text = reference.expose_secret();
        self.0.push(text.to_owned());
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
        self.bytes(&bytes[bytes.len() - 64..bytes.len() - 32]);
    }

    fn text(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }

    /// A code is found where it stands alone: six digits of a longer number are no code.
    fn hits(&self, haystack: &str) -> Vec<&str> {
        let alone = |at: usize, len: usize| {
            let part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
            !part(haystack[..at].chars().next_back()) && !part(haystack[at + len..].chars().next())
        };
        let is_hit = |needle: &str| {
            let found = haystack.match_indices(needle).map(|(at, _)| at);
            let mut hits = found.filter(|at| needle.len() > 8 || alone(*at, needle.len()));
            hits.next().is_some()
        };
        self.0.iter().map(String::as_str).filter(|needle| is_hit(needle)).collect()
    }
}

async fn log(world: &World) -> (String, Vec<Event>) {
    let mut shown = String::new();
    let mut events = world.events().await;
    let system = Query::new(Scope::System).ascending();
    events.extend(audit_model::all(&*world.store, &system, 1000).await.unwrap());
    for event in &events {
        writeln!(shown, "{event:?}").unwrap();
        let line = to_line(event).unwrap();
        // What is encoded in a line is searched as it is.
        for token in line.split(['"', ':', ',', ' ']) {
            for encoding in [BASE64, BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER] {
                if let Ok(bytes) = encoding.decode(token.as_bytes()) {
                    writeln!(shown, "{}", String::from_utf8_lossy(&bytes)).unwrap();
                }
            }
        }
        writeln!(shown, "{line}").unwrap();
        for field in event.fields() {
            writeln!(shown, "{field:?}").unwrap();
        }
    }
    (shown, events)
}

/// Answers every request with a body that holds a secret.
#[derive(Debug)]
struct Telling;

#[async_trait]
impl HttpClient for Telling {
    async fn send(&self, _: http::Request<Vec<u8>>, _: Duration) -> Result<HttpReply, HttpFault> {
        Ok(http::Response::new(b"secret-of-the-reply".to_vec()))
    }
}

on_stores! {
    async fn n01_a_whole_life_shows_no_secret(base) {
        watch();
        let faulty = Arc::new(FaultStore::new(base.store.clone()));
        let world = World::on(faulty.clone(), None).await;
        let provider = scripted(vec![EffectKind::Http]);
        provider.on(
            On::Answer("864209".to_owned()),
            Say::Http("http://localhost/secret-of-the-path".to_owned(), Charge::Attempt),
        );
        provider.on(On::HttpStatus(200), Say::Accept);
        let engine = world.node().provider(provider).http(Arc::new(Telling)).build().await.unwrap();
        let bob = world.add("bob").await;
        let mut shown = format!("{engine:?} {world:?}");
        let mut needles = Needles::default();
        for text in ["864209", "secret-of-the-path", "secret-of-the-reply", "secret-of-the-cookie"] {
            needles.text(text);
        }
        needles.text(&session(&bob));
        needles.bytes(&ROOT);
        let facts = RequestFacts::new()
            .with_header("cookie", "secret-of-the-cookie")
            .with_header("User-Agent", "browser")
            .with_id("request-1");

        let started =
            engine.enrol_begin(bob.account(), bob.user(), &totp(), &Choice::none(), &host()).await.unwrap();
        let app = SoftAuthenticator::scan(started.revealed.get("uri").unwrap().expose_secret()).unwrap();
        needles.bytes(app.secret());
        for name in ["secret", "uri", "qr", "qr_text", "qr_text_light"] {
            needles.text(started.revealed.get(name).unwrap().expose_secret());
        }
        needles.reference(&started.reference);
        writeln!(shown, "{started:?}").unwrap();
        for code in [app.wrong_code_at(world.now(), 3), app.code_at(world.now())] {
            let response = Response::code(&code).with_request(facts.clone());
            writeln!(shown, "{response:?}").unwrap();
            writeln!(shown, "{:?}", engine.enrol_confirm(&started.reference, &response).await).unwrap();
            needles.text(&code);
        }
        enrol_in(&engine, &bob, "scripted", SCRIPTED_CODE).await;
        needles.text(SCRIPTED_CODE);
        world.clock.advance(mfa_tests::STEP);

        for round in 0..4 {
            let login = login(&bob).with_request(facts.clone());
            writeln!(shown, "{login:?}").unwrap();
            let begun = engine.begin(login.clone()).await.unwrap();
            writeln!(shown, "{begun:?} {:?}", engine.explain(&login).await).unwrap();
            let mfa::Begin::Challenge(challenge) = begun else { panic!("no challenge") };
            needles.reference(&challenge.reference);
            let target = Target::from(&challenge.reference);
            writeln!(shown, "{target:?} {:?}", Target::Current(Box::new(login))).unwrap();
            let mut answers = vec![
                Answer::code("12345x"),
                Answer::code(&app.wrong_code_at(world.now(), 3)),
                Answer::recovery("RECO-VERY-KEY1"),
            ];
            if round == 3 {
                let scripted = "scripted".parse::<MethodSelector>().unwrap();
                writeln!(shown, "{:?}", engine.switch(&challenge.reference, &scripted).await).unwrap();
                answers.push(Answer::code("864209"));
            } else {
                answers.push(Answer::code(&app.code_at(world.now())));
            }
            for answer in answers {
                needles.text(answer.text().expose_secret());
                let response = Response::answer(answer).with_request(facts.clone());
                writeln!(shown, "{response:?}").unwrap();
                if round == 1 {
                    faulty.fail(At::BeforeCommit, Fault::Unknown, 1);
                    let error = engine.verify(&challenge.reference, response.clone()).await.unwrap_err();
                    writeln!(shown, "{error:?} {error} {}", error.code()).unwrap();
                    let mut source = std::error::Error::source(&error);
                    while let Some(error) = source {
                        writeln!(shown, "{error:?} {error}").unwrap();
                        source = error.source();
                    }
                }
                let verified = engine.verify(&challenge.reference, response).await;
                writeln!(shown, "{verified:?}").unwrap();
                if let Ok(Verify::Verified(grant)) = verified {
                    let mine = session(&bob);
                    let session = if round == 2 { "session-of-eve" } else { &mine };
                    let redeemed = grant.redeem(bob.account(), bob.user(), Some(session), world.now());
                    writeln!(shown, "{redeemed:?}").unwrap();
                }
            }
            let id = challenge.id;
            writeln!(
                shown,
                "{:?} {:?}",
                engine.status(bob.account(), id).await,
                engine.claim(&challenge.reference).await
            )
            .unwrap();
            world.clock.advance(mfa_tests::STEP);
        }
        let methods = engine.methods(bob.account(), bob.user()).await.unwrap();
        writeln!(shown, "{methods:?}").unwrap();
        engine.revoke(bob.account(), bob.user(), &host()).await.unwrap();
        let (before, events) = log(&world).await;
        engine.forget_user(bob.account(), bob.user(), &host()).await.unwrap();
        let (after, _) = log(&world).await;
        shown.push_str(&before);
        shown.push_str(&after);
        let traces = traced().clone();
        assert!(traces.contains("mfa.verify") && traces.contains("wrong_code"), "the spans were seen");
        assert!(events.len() > 15 && before.contains("browser"), "the log was read");
        shown.push_str(&traces);
        let hits = needles.hits(&shown);
        assert!(hits.is_empty(), "{hits:?}");
    }

    async fn n02_the_search_finds_what_is_there(world) {
        let (_, app) = world.enrol("bob").await;
        let mut needles = Needles::default();
        needles.bytes(app.secret());
        needles.text("864209");
        for text in [
            format!("x{}y", BASE32_NOPAD.encode(app.secret())),
            format!("{:?}", app.secret()),
            HEXLOWER.encode(app.secret()),
            "code=864209.".to_owned(),
        ] {
            assert_eq!(needles.hits(&text).len(), 1, "{text}");
        }
        assert!(needles.hits("1864209 8642090 a864209").is_empty());
    }
}

#[test]
fn n03_no_type_shows_the_secret_it_holds() {
    const SECRET: &str = "correct-horse-battery";
    let text = || SecretText::new(SECRET);
    let bytes = || SecretBytes::new(SECRET.as_bytes().to_vec());
    let request = || {
        http::Request::post("http://localhost/correct-horse-battery?code=correct-horse-battery")
            .header("authorization", SECRET)
            .body(SECRET.as_bytes().to_vec())
            .unwrap()
    };
    let reply: Result<HttpReply, HttpFault> =
        Ok(http::Response::builder().header("set-cookie", SECRET).body(SECRET.as_bytes().to_vec()).unwrap());
    let choice = Choice::new(json!({ "secret": SECRET }));
    let answer = Answer::reply(SECRET);
    let hashed = bytes();
    let message = || Message::new(text(), None, text());
    let work = bytes();
    let job = || {
        let work = work.clone();
        HashJob::new(move || work)
    };
    let revealed = Revealed::new().with("secret", text());
    let key = TotpSecret::from_bytes(SECRET.as_bytes()).unwrap();
    let code = code_at(&key, Parameters::default(), 59);
    let uri = OtpauthUri::new(
        "Example",
        "bob",
        TotpSecret::from_bytes(SECRET.as_bytes()).unwrap(),
        Parameters::default(),
    );
    let uri = uri.unwrap();
    let uri_text = uri.to_uri().expose_secret().to_owned();
    let draw = Draw::from_source(Arc::new(SeededEntropy::new(1))).unwrap();
    let drawn: [u8; 32] = Draw::from_source(Arc::new(SeededEntropy::new(1))).unwrap().take().unwrap();
    let facts = RequestFacts::new().with_header("authorization", SECRET).with_header("cookie", SECRET);
    let step = |then| Step::<(), (), SecretBytes>::then(then).with_secret(bytes());
    let subject = mfa_tests::subject("bob");
    let first =
        mfa::FirstFactor::verified_now(mfa::FirstFactorKind::Password, mfa::Channel::Direct, Some(SECRET));
    let module = mfa::Module::parse("user_auth").unwrap();
    let login = mfa::Login::new(subject, first.clone(), module).with_request(facts.clone());
    let ring =
        mfa::KeyRing::new(mfa::KeyId::parse("k").unwrap(), *b"correct-horse-battery-staple-123").unwrap();
    let shown = [
        format!("{:?} {:?} {revealed:?} {draw:?} {facts:?} {ring:?}", text(), bytes()),
        format!("{:?} {:?} {:?}", Reference::from_text(SECRET), choice, answer),
        format!("{first:?} {login:?} {:?}", Target::Current(Box::new(login.clone()))),
        format!("{:?} {:?}", Response::code(SECRET), Response::start(choice.clone()).with_request(facts)),
        format!(
            "{:?} {:?} {:?}",
            Effect::Http(mfa::HttpCall::new(request())),
            Effect::Deliver(message()),
            Effect::Hash(job())
        ),
        format!("{:?}", step(Then::Run(Effect::Http(mfa::HttpCall::new(request())), Charge::Attempt))),
        format!("{:?}", step(Then::Reveal(json!({}), revealed.clone()))),
        format!("{:?} {:?}", Change::Set(bytes()), message()),
        format!("{:?} {:?}", StepEvent::Http(&reply), StepEvent::Hashed(&hashed)),
        format!("{:?} {:?}", StepEvent::Answer(&answer), StepEvent::Begin(&choice)),
        format!("{key:?} {uri:?} {code:?}"),
        format!("{:?}", EnrolConfirm::Rejected(mfa::Rejected::new(mfa::Reason::WrongCode, 4, None))),
    ];
    let mut needles = Needles::default();
    needles.bytes(SECRET.as_bytes());
    needles.bytes(b"correct-horse-battery-staple-123");
    needles.bytes(&drawn);
    needles.text(&uri_text);
    needles.text(code.expose_secret());
    for text in shown {
        let hits = needles.hits(&text);
        assert!(hits.is_empty(), "{hits:?} in {text}");
    }
}
