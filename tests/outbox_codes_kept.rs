//! What is stored of codes that wait in the outbox: sealed, in its place alone, and no longer than its challenge.
#![cfg(test)]

use std::time::Duration;

use audit_model::Kind;
use mfa::{Challenge, Changed, Key, KeyId, Record, RecordKind, Scope, Verify};
use mfa_tests::attack::{delete, dump, forged, overwrite, payload, user_key};
use mfa_tests::mailed::{Mailed, waiting};
use mfa_tests::{acme, on_stores};

const SECOND: Duration = Duration::from_secs(1);
const MESSAGE: RecordKind = RecordKind::new("message");

on_stores! {
    async fn s18_a_message_of_another_place_or_with_another_byte_is_not_sent(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let carol = mailed.add(&world, "carol").await;
        mailed.enrol(&world, &carol, "email").await;
        world.clock.advance(SECOND * 3600);
        let _ = (mailed.drain().await, mailed.inbox.take(), mailed.inbox.take_tried());
        let challenges = [mailed.begin(&bob).await, mailed.begin(&bob).await, mailed.begin(&carol).await];
        let rows = world.store.scan(MESSAGE, None, 10, world.now()).await.unwrap();
        let of = |challenge: &Challenge| {
            rows.iter().find(|row| row.key.id.ends_with(challenge.id.as_bytes())).unwrap().clone()
        };
        let [own, bobs, carols] = challenges.each_ref().map(of);
        let body = |body: Vec<u8>| Record::new(own.key.clone(), own.version, body, own.expires_at);
        let flipped = (0..own.body.len()).map(|at| {
            let mut bytes = own.body.clone();
            bytes[at] ^= 1;
            body(bytes)
        });
        let pasted = [&bobs, &carols].map(|other| {
            Record::new(own.key.clone(), other.version, other.body.clone(), own.expires_at)
        });
        // The holder of the root key writes an authentic record: the message in it is another challenge's.
        // Behind the format byte and the length is the effect that it is sent for.
        let sealed = [&bobs, &carols].map(|other| {
            forged(&own, &[&payload(&own)[..18], &payload(other)[18..]].concat())
        });
        delete(&world, bobs.key.clone()).await;
        delete(&world, carols.key.clone()).await;
        for row in flipped.chain(pasted).chain(sealed) {
            overwrite(&world, &row).await;
            assert_eq!(mailed.drain().await[0], 0);
            assert!(mailed.inbox.take_tried().is_empty());
        }
        overwrite(&world, &own).await;
        assert_eq!(mailed.drain().await, [1, 0, 0]);
        assert!(matches!(mailed.answer(&challenges[0], &mailed.code()).await, Verify::Verified(_)));
    }

    async fn s18_an_older_message_put_back_is_dropped(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let challenge = mailed.begin(&bob).await;
        let old = world.store.scan(MESSAGE, None, 10, world.now()).await.unwrap().remove(0);
        world.clock.advance(SECOND * 30);
        assert!(matches!(mailed.engine.resend(&challenge.reference).await.unwrap(), Changed::Done(_)));
        let new = world.store.scan(MESSAGE, None, 10, world.now()).await.unwrap().remove(0);
        overwrite(&world, &old).await;
        assert_eq!((mailed.drain().await, mailed.inbox.take_tried().len()), ([0, 0, 1], 0));
        overwrite(&world, &new).await;
        assert_eq!(mailed.drain().await, [1, 0, 0]);
        assert!(matches!(mailed.answer(&challenge, &mailed.code()).await, Verify::Verified(_)));
    }

    async fn a_message_whose_login_s_records_are_gone_is_dropped_and_names_nobody(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        for gone in ["challenge", "login"] {
            let challenge = mailed.begin(&bob).await;
            let key = match gone {
                "login" => user_key(&bob, gone),
                _ => Key::new(Scope::Account(acme()), RecordKind::new(gone), *challenge.id.as_bytes()),
            };
            delete(&world, key).await;
            assert_eq!((mailed.drain().await, mailed.inbox.take_tried().len()), ([0, 0, 1], 0), "{gone}");
            assert_eq!(waiting(&world).await, 0, "{gone}");
        }
        let dropped = world.events_of(Kind::EffectDropped).await;
        assert_eq!(dropped.len(), 2);
        assert!(dropped.iter().all(|event| event.user().is_none() && event.subject().is_some()));
    }

    async fn s18_a_message_that_waits_moves_to_the_active_key(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let challenge = mailed.begin(&bob).await;
        let (old, new) = (world.ring.active(), KeyId::parse("k2").unwrap());
        world.ring.add(new.clone(), [0x24; 32]).unwrap();
        mailed.engine.key_activate(&new, "ops", "rotation").await.unwrap();
        // The code of the challenge is hashed under the old one as long as it lives.
        assert!(mailed.engine.key_retire(&old, "ops", "rotation").await.is_err());
        let before = mailed.engine.key_references(&old).await.unwrap();
        mailed.engine.reseal().await.unwrap();
        assert!(mailed.engine.key_references(&old).await.unwrap() < before);
        let record = world.store.scan(MESSAGE, None, 10, world.now()).await.unwrap().remove(0);
        let names = |id: &str| record.body.windows(id.len()).any(|bytes| bytes == id.as_bytes());
        assert!(names("k2") && !names(old.as_str()));
        assert_eq!(mailed.drain().await, [1, 0, 0]);
        assert!(matches!(mailed.answer(&challenge, &mailed.code()).await, Verify::Verified(_)));
    }

    async fn s30_no_record_and_no_event_has_the_code_or_the_address(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let challenge = mailed.begin(&bob).await;
        let (records, events) = dump(&world).await;
        assert_eq!((mailed.drain().await, waiting(&world).await), ([1, 0, 0], 0));
        let (code, after) = (mailed.code(), dump(&world).await);
        for (records, events) in [(records, events), after] {
            let has = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
            for text in [code.as_str(), "bob@acme.example"] {
                assert!(records.iter().all(|record| !has(&record.body, text) && !has(&record.key.id, text)), "{text}");
                assert!(events.iter().all(|event| !format!("{event:?}").contains(text)), "{text}");
            }
        }
        assert!(!format!("{challenge:?}").contains(&code));
    }

    async fn a_message_s_record_is_gone_with_its_challenge(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let challenge = mailed.begin(&bob).await;
        let record = world.store.scan(MESSAGE, None, 10, world.now()).await.unwrap().remove(0);
        assert_eq!(record.expires_at, Some(challenge.expires_at));
        world.clock.advance(SECOND * 301);
        assert!(world.store.purge(world.now(), 100).await.unwrap() > 0);
        world.clock.set(challenge.created_at);
        assert_eq!(waiting(&world).await, 0);
    }
}
