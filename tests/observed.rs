//! What a host sees of steps besides their answers: the fields of spans, and the records that were not trusted.
#![cfg(test)]

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use audit_model::Kind;
use mfa::{Begin, NotRequired, Response, Verify};
use mfa_testkit::faults::{At, Fault, FaultStore};
use mfa_tests::attack::{Shared, overwrite, records};
use mfa_tests::{World, host, login, on_stores, subject, totp};
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// Keeps the name and the fields of every span.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<(&'static str, BTreeMap<String, String>)>>>);

struct Fields<'a>(&'a mut BTreeMap<String, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut spans = self.0.lock().unwrap();
        spans.push((attributes.metadata().name(), BTreeMap::new()));
        let span = context.span(id).unwrap();
        span.extensions_mut().insert(spans.len() - 1);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        let place = *span.extensions().get::<usize>().unwrap();
        values.record(&mut Fields(&mut self.0.lock().unwrap()[place].1));
    }
}

impl Spans {
    fn of(&self, name: &str) -> BTreeMap<String, String> {
        let spans = self.0.lock().unwrap();
        spans.iter().rev().find(|(of, _)| *of == name).map(|(_, fields)| fields.clone()).expect("a span")
    }
}

#[test]
fn a_span_says_how_a_step_went_and_what_it_cost() {
    let spans = Spans::default();
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    tracing::subscriber::with_default(subscriber, || {
        futures::executor::block_on(async {
            let world = World::memory().await;
            let (bob, app) = world.enrol("bob").await;
            let challenge = world.begin(&bob).await;
            assert_eq!(spans.of("mfa.begin")["outcome"], "challenge");
            assert_eq!(spans.of("mfa.begin")["method"], "totp");

            let code = app.code_at(world.now());
            let verified = world.engine.verify(&challenge.reference, Response::code(&code)).await;
            assert!(matches!(verified, Ok(Verify::Verified(_))));
            let verify = spans.of("mfa.verify");
            assert_eq!((verify["outcome"].as_str(), verify["method"].as_str()), ("verified", "totp"));
            assert_eq!((verify["conflicts"].as_str(), verify["retries"].as_str()), ("0", "0"));
            assert!(verify["store_us"].parse::<u64>().is_ok());
        });
    });
}

on_stores! {
    async fn a_record_that_is_not_trusted_is_told_of_whatever_call_met_it(world) {
        let (bob, app) = world.enrol("bob").await;
        let (account, user) = (bob.account(), bob.user());
        let started = world.engine.enrol_begin(account, user, &totp(), &mfa::Choice::none(), &host()).await.unwrap();
        let code = Response::code(&app.code_at(world.now()));
        let mut vault = records(&world).await.into_iter().find(|r| r.key.kind.as_str() == "vault").unwrap();
        *vault.body.last_mut().unwrap() ^= 1;
        overwrite(&world, &vault).await;

        let engine = &world.engine;
        let unlocked = engine.user_reset(account, user, &host()).await.map_err(|e| e.code());
        assert_eq!(unlocked, Err("unavailable"));
        let confirmed = engine.enrol_confirm(&started.reference, &code).await;
        assert!(!matches!(confirmed, Ok(mfa::EnrolConfirm::Confirmed(_))));
        // Once a record and minute, however many calls meet it.
        let told = world.events_of(Kind::RecordRefused).await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0].field("record"), told[0].field("problem")), (Some("vault"), Some("not_authentic")));
    }

    async fn an_event_of_unknown_outcome_is_written_once_and_the_login_goes_on(world) {
        let faulty = Arc::new(FaultStore::new(Shared(world.store.clone())));
        let other = World::on(faulty.clone(), None).await;
        let eve = subject("eve");
        other.directory.put(&eve).await.unwrap();
        faulty.fail(At::AfterCommit, Fault::Unknown, 1);
        let begun = other.engine.begin(login(&eve)).await.unwrap();
        assert!(matches!(begun, Begin::NotRequired(NotRequired::NoMethod)));
        assert_eq!(world.events_of(Kind::LoginNotRequired).await.len(), 1);
        // Twice unknown: nobody knows, so nobody is let through.
        faulty.fail(At::AfterCommit, Fault::Unknown, 2);
        assert_eq!(other.engine.begin(login(&eve)).await.unwrap_err().code(), "unavailable");
    }
}
