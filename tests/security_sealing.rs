//! S18: what is stored opens only where and as it was written.
#![cfg(test)]

use std::sync::Arc;

use audit_model::Kind;
use mfa::totp::Totp;
use mfa::{
    AccountId, Begin, Challenge, Choice, Directory as _, Engine, EnrolConfirm, EnrolmentStarted, KeyId,
    KeyRing, Reason, Record, Response, Subject, UserId, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::entropy::SeededEntropy;
use mfa_tests::attack::{ROOT, ROOT_ID, forged, overwrite, payload, records, user_record};
use mfa_tests::{World, host, login, on_stores, totp};

/// One user with everything that is kept of one: records `login`, `vault`, `open`, `challenge`, `pending`.
struct Full {
    subject: Subject,
    app: SoftAuthenticator,
    challenge: Challenge,
    pending: EnrolmentStarted,
    new_app: SoftAuthenticator,
}

async fn enrol_begin(world: &World, subject: &Subject) -> (EnrolmentStarted, SoftAuthenticator) {
    let (account, user) = (subject.account(), subject.user());
    let begun = world.engine.enrol_begin(account, user, &totp(), &Choice::none(), &host()).await.unwrap();
    let app = SoftAuthenticator::scan(begun.revealed.get("uri").unwrap().expose_secret()).unwrap();
    (begun, app)
}

async fn full(world: &World, account: &str, name: &str) -> Full {
    let subject = Subject::new(AccountId::parse(account).unwrap(), UserId::parse(name).unwrap());
    world.directory.put(&subject).await.unwrap();
    let app = world.enrol_again(&subject).await;
    let challenge = world.begin(&subject).await;
    let (pending, new_app) = enrol_begin(world, &subject).await;
    Full { subject, app, challenge, pending, new_app }
}

/// Nothing that reads the changed record succeeds.
async fn refused(world: &World, user: &Full, kind: &str, what: &str) {
    let engine = &world.engine;
    if kind == "pending" {
        let code = Response::code(&user.new_app.code_at(world.now()));
        let confirmed = engine.enrol_confirm(&user.pending.reference, &code).await;
        assert_eq!(confirmed.unwrap_err().code(), "unavailable", "{what}");
        return;
    }
    if kind != "challenge" {
        let begun = engine.begin(login(&user.subject)).await.unwrap();
        assert!(matches!(begun, Begin::Denied(_)), "{what}: {begun:?}");
    }
    if kind != "open" {
        let code = Response::code(&user.app.code_at(world.now()));
        let verified = engine.verify(&user.challenge.reference, code).await;
        assert_eq!(verified.unwrap_err().code(), "unavailable", "{what}");
    }
}

async fn all_is_well(world: &World, user: &Full) {
    let code = user.new_app.code_at(world.now());
    let confirmed =
        world.engine.enrol_confirm(&user.pending.reference, &Response::code(&code)).await.unwrap();
    assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)));
    let challenge = world.begin(&user.subject).await;
    let code = user.app.code_at(world.now());
    assert!(matches!(world.answer(&challenge, &code).await, Verify::Verified(_)));
}

async fn stored(world: &World, user: &Full) -> Vec<Record> {
    let mut kept = Vec::new();
    for kind in ["login", "vault", "open"] {
        kept.push(user_record(world, &user.subject, kind).await);
    }
    for record in records(world).await {
        let of_user = record.key.id.ends_with(user.pending.id.as_bytes())
            || *record.key.id == *user.challenge.id.as_bytes();
        if of_user {
            kept.push(record);
        }
    }
    assert_eq!(kept.len(), 5);
    kept
}

/// The id of a key, a nonce, and the bytes.
type Sealed = (String, Vec<u8>, Vec<u8>);
/// The ids of enrolments with their secrets.
type Vault = Vec<(Vec<u8>, Sealed)>;

/// Takes a pending enrolment apart: what stands before its sealed secret, which is the last of its fields.
fn sealed_at_the_end(record: &Record) -> (Vec<u8>, Sealed) {
    let payload = payload(record);
    let ends_here = |at: &usize| match postcard::take_from_bytes::<Option<Sealed>>(&payload[*at..]) {
        Ok((Some(sealed), [])) if sealed.0 == ROOT_ID => Some((payload[..*at].to_vec(), sealed)),
        _ => None,
    };
    (0..payload.len()).find_map(|at| ends_here(&at)).unwrap()
}

fn decode<T: serde::de::DeserializeOwned>(record: &Record) -> T {
    postcard::from_bytes(&payload(record)[1..]).unwrap()
}

/// Writes another value into a record, as authentically as the engine itself.
async fn rewrite<T: serde::Serialize>(world: &World, record: &Record, value: &T) {
    let bytes = postcard::to_extend(value, vec![1_u8]).unwrap();
    overwrite(world, &forged(record, &bytes)).await;
}

async fn node_with(world: &World, ring: KeyRing, seed: u64) -> Engine {
    Engine::builder(world.store.clone(), world.directory.clone(), ring, Arc::new(world.clock.clone()))
        .entropy(Arc::new(SeededEntropy::new(seed)))
        .provider(Totp::new("Example").unwrap())
        .danger_test_doubles()
        .build()
        .await
        .unwrap()
}

on_stores! {
    async fn s18_no_record_stands_in_for_another(world) {
        let users = [
            full(&world, "acme", "bob").await,
            full(&world, "acme", "eve").await,
            full(&world, "other", "bob").await,
        ];
        let mut all = Vec::new();
        for user in &users {
            all.push(stored(&world, user).await);
        }
        for (user, own) in users.iter().zip(&all) {
            for record in own {
                for other in all.iter().flatten().filter(|other| other.key != record.key) {
                    let moved =
                        Record::new(record.key.clone(), other.version, other.body.clone(), record.expires_at);
                    overwrite(&world, &moved).await;
                    let kind = record.key.kind.as_str();
                    refused(&world, user, kind, &format!("{:?} at {:?}", other.key, record.key)).await;
                }
                overwrite(&world, record).await;
            }
        }
        let told = world.events_of(Kind::RecordRefused).await;
        for record in ["login", "vault", "open", "challenge"] {
            assert!(told.iter().any(|e| e.field("record") == Some(record)), "{record}");
        }
        for user in &users {
            all_is_well(&world, user).await;
        }
    }

    async fn s18_no_byte_of_a_record_can_be_changed(world) {
        let bob = full(&world, "acme", "bob").await;
        for record in stored(&world, &bob).await {
            for at in 0..record.body.len() {
                let mut body = record.body.clone();
                body[at] ^= 1 << (at % 8);
                let flipped = Record::new(record.key.clone(), record.version, body, record.expires_at);
                overwrite(&world, &flipped).await;
                refused(&world, &bob, record.key.kind.as_str(), &format!("{:?} byte {at}", record.key)).await;
            }
            for cut in [0, 1, 4, 35, record.body.len() - 1] {
                let body = record.body[..cut].to_vec();
                overwrite(&world, &Record::new(record.key.clone(), record.version, body, record.expires_at))
                    .await;
                refused(&world, &bob, record.key.kind.as_str(), &format!("{:?} cut at {cut}", record.key))
                    .await;
            }
            overwrite(&world, &record).await;
        }
        all_is_well(&world, &bob).await;
    }

    async fn s18_an_older_body_does_not_open_under_a_newer_version(world) {
        let (bob, app) = world.enrol("bob").await;
        let old: Vec<Record> =
            vec![user_record(&world, &bob, "login").await, user_record(&world, &bob, "vault").await];
        let used = app.code_at(world.now());
        let challenge = world.begin(&bob).await;
        assert!(matches!(world.answer(&challenge, &used).await, Verify::Verified(_)));
        world.enrol_again(&bob).await;
        for record in old {
            let newest = user_record(&world, &bob, record.key.kind.as_str()).await;
            assert_ne!(newest.version, record.version);
            overwrite(&world, &Record::new(record.key.clone(), newest.version, record.body, None)).await;
            assert!(matches!(world.engine.begin(login(&bob)).await.unwrap(), Begin::Denied(_)));
            overwrite(&world, &newest).await;
        }
    }

    async fn s18_a_sealed_secret_opens_only_for_its_own_enrolment_user_and_account(world) {
        let bob = full(&world, "acme", "bob").await;
        let second = world.enrol_again(&bob.subject).await;
        let eve = full(&world, "acme", "eve").await;
        let other = full(&world, "other", "bob").await;
        let vault = user_record(&world, &bob.subject, "vault").await;
        let own: Vault = decode(&vault);
        assert_eq!(own.len(), 2);
        // A rewritten record is taken as long as nothing in it has moved.
        rewrite(&world, &vault, &own).await;
        let live = world.begin(&bob.subject).await;
        let mut donors = vec![(second.code_at(world.now()), own[1].1.clone())];
        for user in [&eve, &other] {
            let theirs: Vault = decode(&user_record(&world, &user.subject, "vault").await);
            donors.push((user.app.code_at(world.now()), theirs[0].1.clone()));
        }
        for (code, sealed) in donors {
            // Under the id of an enrolment of bob stands a secret whose code the attacker knows.
            let moved: Vault = own.iter().map(|(id, _)| (id.clone(), sealed.clone())).collect();
            let only: Vault = vec![moved[0].clone()];
            rewrite(&world, &vault, &only).await;
            let begun = world.engine.begin(login(&bob.subject)).await.unwrap();
            assert!(matches!(begun, Begin::Denied(_)), "{begun:?}");
            let refused = world.answer(&live, &code).await;
            assert!(matches!(refused, Verify::Rejected(r) if r.reason == Reason::Unavailable), "{refused:?}");
        }
        let told = world.events_of(Kind::RecordRefused).await;
        assert!(told.iter().any(|e| e.field("problem") == Some("does_not_open")));
        // Each part of a sealed field counts: key id, nonce, bytes.
        let (key, nonce, bytes) = own[0].1.clone();
        let mut changed: Vec<Sealed> = vec![("k9".to_owned(), nonce.clone(), bytes.clone())];
        for at in 0..nonce.len() {
            let mut nonce = nonce.clone();
            nonce[at] ^= 1;
            changed.push((key.clone(), nonce, bytes.clone()));
        }
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x80;
            changed.push((key.clone(), nonce.clone(), bytes));
        }
        for sealed in changed {
            rewrite(&world, &vault, &vec![(own[0].0.clone(), sealed)]).await;
            assert!(matches!(world.engine.begin(login(&bob.subject)).await.unwrap(), Begin::Denied(_)));
        }
        overwrite(&world, &vault).await;
        all_is_well(&world, &bob).await;
    }

    async fn s18_a_pending_secret_is_no_vault_secret_and_the_other_way_round(world) {
        let bob = full(&world, "acme", "bob").await;
        // The app's own enrolment has a record of this kind too, which says that it is confirmed.
        let of_pending = |record: &Record| {
            record.key.kind.as_str() == "pending" && record.key.id.ends_with(bob.pending.id.as_bytes())
        };
        let pending_key = records(&world).await.into_iter().find(of_pending).unwrap();
        let (before, pending) = sealed_at_the_end(&pending_key);
        let vault = user_record(&world, &bob.subject, "vault").await;
        let own: Vault = decode(&vault);
        // The active secret in the pending place: confirming with its code fails.
        let planted = postcard::to_extend(&Some(own[0].1.clone()), before).unwrap();
        overwrite(&world, &forged(&pending_key, &planted)).await;
        let code = Response::code(&bob.app.code_at(world.now()));
        assert!(world.engine.enrol_confirm(&bob.pending.reference, &code).await.is_err());
        overwrite(&world, &pending_key).await;
        // The pending secret in the active place, once under the active id and once under its own.
        all_is_well(&world, &bob).await;
        let vault = user_record(&world, &bob.subject, "vault").await;
        let own: Vault = decode(&vault);
        let own_id = bob.pending.id.as_bytes().to_vec();
        assert!(own.iter().any(|(id, _)| *id == own_id));
        for id in [own[0].0.clone(), own_id] {
            rewrite(&world, &vault, &vec![(id, pending.clone())]).await;
            assert!(matches!(world.engine.begin(login(&bob.subject)).await.unwrap(), Begin::Denied(_)));
        }
    }

    async fn s18_an_old_key_reads_a_new_key_writes_and_a_missing_key_is_no_wrong_code(world) {
        let (bob, app) = world.enrol("bob").await;
        let id = |text: &str| KeyId::parse(text).unwrap();
        let turned = KeyRing::new(id("k2"), [0x77; 32]).unwrap().with_old_key(id(ROOT_ID), ROOT).unwrap();
        let new = node_with(&world, turned, 901).await;
        // A challenge of the old key is answered under the new one.
        let challenge = world.begin(&bob).await;
        let code = Response::code(&app.code_at(world.now()));
        assert!(matches!(new.verify(&challenge.reference, code).await.unwrap(), Verify::Verified(_)));
        let written = user_record(&world, &bob, "login").await;
        assert_eq!(&written.body[..4], b"\x01\x02k2");
        // The node without the new key: an answer of its own kind, for right and wrong codes.
        world.clock.advance(mfa_tests::STEP);
        let fresh = mfa_tests::begin(&new, &bob).await;
        assert!(matches!(world.engine.begin(login(&bob)).await.unwrap(), Begin::Denied(_)));
        for code in [app.code_at(world.now()), app.wrong_code_at(world.now(), 3)] {
            let refused = world.answer(&fresh, &code).await;
            assert!(matches!(refused, Verify::Rejected(r) if r.reason == Reason::NotFound));
        }
        let told = world.events_of(Kind::RecordRefused).await;
        assert!(told.iter().any(|e| e.field("problem") == Some("unknown_key")));
        assert!(world.events_of(Kind::AnswerRejected).await.is_empty());
        // A challenge that the old node began before the turn, its records rewritten since.
        let code = Response::code(&app.code_at(world.now()));
        assert!(matches!(new.verify(&fresh.reference, code).await.unwrap(), Verify::Verified(_)));
        // The old key dropped: the sealed secret does not open, which is no missing method.
        let without = node_with(&world, KeyRing::new(id("k2"), [0x77; 32]).unwrap(), 902).await;
        let begun = without.begin(login(&bob)).await.unwrap();
        assert!(matches!(begun, Begin::Denied(d) if d.reason == mfa::DeniedReason::Unavailable), "{begun:?}");
    }

    async fn s18_contacts_of_the_stored_directory_are_sealed_for_their_user(world) {
        let (bob, eve) = (world.add_reachable("bob").await, world.add_reachable("eve").await);
        let address = |whom: &Subject| whom.contacts()[0].address().expose_secret().to_owned();
        for record in records(&world).await {
            let body = String::from_utf8_lossy(&record.body).into_owned();
            assert!(!body.contains("acme.example"), "{:?}", record.key);
        }
        let known = async |whom: &Subject| world.directory.subject(whom.account(), whom.user()).await;
        let found = known(&bob).await.unwrap().unwrap();
        assert_eq!((address(&found), found.contacts()[0].is_verified()), (address(&bob), true));
        // Pasted into another user's row, by who could even make it authentic, they open for nobody.
        let of_bob = payload(&user_record(&world, &bob, "directory_user").await);
        let row = user_record(&world, &eve, "directory_user").await;
        overwrite(&world, &forged(&row, &of_bob)).await;
        assert!(known(&eve).await.is_err());
        assert!(known(&bob).await.is_ok());
        // A user without any is one without any.
        let ann = world.add("ann").await;
        assert!(known(&ann).await.unwrap().unwrap().contacts().is_empty());
    }

    async fn s18_right_and_wrong_codes_are_alike_when_a_record_lost_its_key(world) {
        let (bob, app) = world.enrol("bob").await;
        let challenge = world.begin(&bob).await;
        let id = |text: &str| KeyId::parse(text).unwrap();
        let turned = KeyRing::new(id("k2"), [0x77; 32]).unwrap().with_old_key(id(ROOT_ID), ROOT).unwrap();
        let new = node_with(&world, turned, 903).await;
        new.revoke(bob.account(), bob.user(), &host()).await.unwrap();
        let mut errors = Vec::new();
        for code in [app.code_at(world.now()), app.wrong_code_at(world.now(), 3)] {
            let error = world.engine.verify(&challenge.reference, Response::code(&code)).await.unwrap_err();
            errors.push((error.code(), error.to_string()));
        }
        assert_eq!(errors[0], errors[1]);
        assert_eq!(errors[0].0, "unavailable");
    }
}
