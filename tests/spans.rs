//! The spans of steps, in a program of their own: what is traced is the same for every thread of a program.
#![cfg(test)]

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use mfa::{Response, Verify};
use mfa_tests::World;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// Keeps the name and the fields of every span.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Span>>>);

/// A span's name and fields.
type Span = (&'static str, BTreeMap<String, String>);

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
