//! S4: one user has one record, however the id is written.
#![cfg(test)]

use std::sync::Arc;

use async_trait::async_trait;
use mfa::{
    Account, AccountId, Begin, Choice, Commit, Committed, Directory, DirectoryError, Engine, EnrolConfirm,
    Error, Expect, Key, MethodSelector, RecordKind, Response, Scope, Subject, UserId, Verify, Version, Write,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::entropy::SeededEntropy;
use mfa_tests::attack::{KINDS, records, user_key};
use mfa_tests::{World, acme, host, on_stores, ring, subject, totp};

/// A user table as databases often have it: it finds `rené` in any case, with or without the accent.
#[derive(Debug)]
struct Folding;

#[async_trait]
impl Directory for Folding {
    async fn subject(&self, account: &AccountId, user: &UserId) -> Result<Option<Subject>, DirectoryError> {
        let folded = user.as_str().to_lowercase().replace('é', "e").replace('\u{a0}', "");
        let known = folded == "rene" && account.as_str().eq_ignore_ascii_case("acme");
        Ok(known.then(|| subject("rené")))
    }

    async fn account(&self, account: &AccountId) -> Result<Option<Account>, DirectoryError> {
        Ok(Some(Account::new(account.clone())))
    }
}

const SPELLINGS: [&str; 6] = ["rené", "RENÉ", "rene", "RENE", "René", "rEnE"];

async fn folding(world: &World) -> Engine {
    let builder =
        Engine::builder(world.store.clone(), Arc::new(Folding), ring(), Arc::new(world.clock.clone()));
    let builder =
        builder.entropy(Arc::new(SeededEntropy::new(404))).provider(mfa::totp::Totp::new("Example").unwrap());
    builder.danger_test_doubles().build().await.unwrap()
}

fn user(text: &str) -> UserId {
    UserId::parse(text).unwrap()
}

async fn enrol(world: &World, engine: &Engine, account: &AccountId, name: &str) -> SoftAuthenticator {
    let begun = engine.enrol_begin(account, &user(name), &totp(), &Choice::none(), &host()).await.unwrap();
    let app = SoftAuthenticator::scan(begun.revealed.get("uri").unwrap().expose_secret()).unwrap();
    let code = Response::code(&app.code_at(world.now()));
    let confirmed = engine.enrol_confirm(&begun.reference, &code).await.unwrap();
    assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)));
    world.clock.advance(mfa_tests::STEP);
    app
}

on_stores! {
    async fn s04_every_spelling_of_a_user_is_one_user_with_one_record_and_one_budget(world) {
        let engine = folding(&world).await;
        let rene = subject("rené");
        for (n, spelling) in SPELLINGS.iter().enumerate() {
            let account = AccountId::parse(if n % 2 == 0 { "acme" } else { "ACME" }).unwrap();
            enrol(&world, &engine, &account, spelling).await;
            for other in SPELLINGS {
                let methods = engine.methods(&account, &user(other)).await.unwrap();
                assert_eq!(methods.len(), n + 1, "{other} after {spelling}");
            }
        }
        let ids: Vec<_> =
            engine.methods(&acme(), &user("rene")).await.unwrap().iter().map(|m| m.id).collect();
        let preferred = MethodSelector::Enrolment(ids[3]);
        assert_eq!(engine.method_prefer(&acme(), &user("RENE"), &preferred, &host()).await.unwrap(), ids[3]);
        let begun = mfa_tests::begin(&engine, &rene).await;
        assert_eq!(begun.method.id, ids[3]);
        let removed = MethodSelector::Enrolment(ids[0]);
        engine.method_remove(&acme(), &user("rEnE"), &removed, &host()).await.unwrap();
        assert_eq!(engine.methods(&acme(), &user("rené")).await.unwrap().len(), SPELLINGS.len() - 1);
        // The removal by another spelling ended the open challenge.
        let refused = engine.verify(&begun.reference, Response::code("000000")).await.unwrap();
        assert!(matches!(refused, Verify::Rejected(r) if r.reason == mfa::Reason::Superseded));
        engine.revoke(&acme(), &user("RENÉ"), &host()).await.unwrap();
        // One budget: 20 failures, spread over challenges begun between calls by other spellings.
        let mut judged = 0;
        while let Begin::Challenge(challenge) = engine.begin(mfa_tests::login(&rene)).await.unwrap() {
            let refused = engine.verify(&challenge.reference, Response::code("999999")).await.unwrap();
            judged += u32::from(matches!(refused, Verify::Rejected(r) if r.reason == mfa::Reason::WrongCode));
            engine.methods(&acme(), &user(SPELLINGS[judged as usize % SPELLINGS.len()])).await.unwrap();
            world.clock.advance(std::time::Duration::from_secs(901));
            assert!(judged <= 20);
        }
        assert_eq!(judged, 20);
        // No record and no event names anyone else.
        for record in records(&world).await.into_iter().filter(|r| r.key.kind != KINDS[3]) {
            let id = record.key.id.to_vec();
            assert!(id.windows(5).any(|bytes| bytes == "rené".as_bytes()), "{id:?}");
            assert_eq!(record.key.scope, Scope::Account(acme()));
        }
        let users = world.events().await.into_iter().filter_map(|event| event.user().cloned());
        assert!(users.into_iter().all(|u| u == *rene.user()));
    }

    async fn s04_an_unknown_user_is_an_error_and_leaves_no_record(world) {
        let engine = folding(&world).await;
        let nobody = user("nobody");
        let by_totp = MethodSelector::Provider(totp());
        let account = acme();
        let begun = engine.enrol_begin(&account, &nobody, &totp(), &Choice::none(), &host()).await;
        let errors = [
            begun.err(),
            engine.methods(&account, &nobody).await.err(),
            engine.method_prefer(&account, &nobody, &by_totp, &host()).await.err(),
            engine.method_remove(&account, &nobody, &by_totp, &host()).await.err(),
            engine.revoke(&account, &nobody, &host()).await.err(),
        ];
        for error in errors {
            assert!(matches!(error, Some(Error::UnknownUser)), "{error:?}");
        }
        assert!(records(&world).await.is_empty());
    }

    async fn s04_ids_that_look_alike_are_kept_apart(world) {
        // Pairs of keys whose parts would be the same text if they were joined by any of these characters.
        let alphabet = [":", "{", "}", "/", "|", "é", "A", "a", "~x"];
        let mut keys = Vec::new();
        for (n, a) in alphabet.iter().enumerate() {
            for b in alphabet {
                let account = format!("{b}{a}{a}");
                let Ok(account) = AccountId::parse(&account) else { continue };
                let kind = if n % 2 == 0 { KINDS[0] } else { KINDS[1] };
                for id in [a.to_string(), format!("{a}{b}"), format!("{b}\0{a}"), format!("{a}\0")] {
                    keys.push(Key::new(Scope::Account(account.clone()), kind, id.into_bytes()));
                }
            }
        }
        keys.sort();
        keys.dedup();
        for (n, key) in keys.iter().enumerate() {
            let mut version = [1; 16];
            version[..8].copy_from_slice(&(n as u64).to_be_bytes());
            let mut commit = Commit::new(key.scope.clone(), Version::from_bytes(version), world.now());
            let body = n.to_be_bytes().to_vec();
            commit.writes.push(Write::Put {
                key: key.clone(),
                expect: Expect::Absent,
                body,
                expires_at: None,
            });
            assert_eq!(world.store.commit(commit).await.unwrap(), Committed::Done, "{key:?}");
        }
        for (n, record) in world.store.get(&keys, world.now()).await.unwrap().into_iter().enumerate() {
            assert_eq!(record.unwrap().body, n.to_be_bytes().to_vec());
        }
    }

    async fn s04_users_whose_ids_are_prefixes_or_variants_share_nothing(world) {
        let names = ["bob", "Bob", "bo", "bobb", "bob/b", "ｂｏｂ", "böb", "b\u{f8}b"];
        for name in names {
            let (subject, app) = world.enrol(name).await;
            assert_eq!(world.engine.methods(subject.account(), subject.user()).await.unwrap().len(), 1);
            let challenge = world.begin(&subject).await;
            let code = app.code_at(world.now());
            assert!(matches!(world.answer(&challenge, &code).await, Verify::Verified(_)));
        }
        // Forgetting one forgets one: pending enrolments are found by a prefix that is no other's.
        let started = |name: &'static str| {
            let engine = world.engine.clone();
            async move {
                engine.enrol_begin(&acme(), &user(name), &totp(), &Choice::none(), &host()).await.unwrap()
            }
        };
        let (_, bobb) = (started("bo").await, started("bobb").await);
        world.engine.forget_user(&acme(), &user("bo"), &host()).await.unwrap();
        let uri = bobb.revealed.get("uri").unwrap().expose_secret().to_owned();
        let code = SoftAuthenticator::scan(&uri).unwrap().code_at(world.now());
        let confirmed = world.engine.enrol_confirm(&bobb.reference, &Response::code(&code)).await.unwrap();
        assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)));
        let gone = world.store.get(&[user_key(&subject("bo"), "login")], world.now()).await.unwrap();
        assert_eq!(gone, [None]);
        assert_eq!(world.engine.methods(&acme(), &user("bob")).await.unwrap().len(), 1);
    }
}

#[test]
fn s04_keys_are_encoded_injectively() {
    // 450 keys make 101,025 pairs; a key is told apart from every other by its bytes.
    let parts = [":", "{", "}", "/", "|", "\0", "é", "A", "a", "aa", "a:", ":a", "a\0", "\0a", ""];
    let mut keys = Vec::new();
    for account in ["a", "a:", ":a", "é", "A"] {
        let scope = Scope::Account(AccountId::parse(account).unwrap());
        for first in parts {
            for kind in ["a", "a:", "aa", "l", "login", ":a"] {
                keys.push(Key::new(scope.clone(), RecordKind::new(kind), first.as_bytes()));
            }
        }
    }
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 450);
    let mut encoded: Vec<_> = keys.iter().map(Key::encode).collect();
    encoded.sort();
    encoded.dedup();
    assert_eq!(encoded.len(), keys.len());
}

#[test]
fn s04_ids_that_break_the_form_are_refused() {
    let long = "a".repeat(257);
    let bad = [
        "",
        " bob",
        "bob ",
        "\tbob",
        "b\0b",
        "b\nb",
        "bob\u{85}",
        "bob\u{a0}",
        "e\u{301}",
        "\u{212b}",
        &long,
    ];
    for text in bad {
        assert!(UserId::parse(text).is_err(), "{text:?}");
        assert!(AccountId::parse(text).is_err(), "{text:?}");
    }
    for text in ["~system", "~", "~index", "~destinations"] {
        assert!(AccountId::parse(text).is_err(), "{text:?}");
    }
    let longest = "é".repeat(128);
    for text in ["a", "a:b", "{a}", "BOB", "é", &longest] {
        assert_eq!(UserId::parse(text).unwrap().as_str(), text);
    }
}
