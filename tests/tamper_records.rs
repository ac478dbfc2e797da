//! What someone with full SQL access to the file, and no key, can do to the records, and what comes of it: S18, S16.
#![cfg(test)]

use audit_model::{Flaw, Kind};
use futures::executor::block_on;
use mfa::{Authority, Begin, Intent, NotRequired, Reason, Rejected, Response, Verify};
use mfa_tests::site::{Row, Site, enforcing};
use mfa_tests::told::wrong_code;
use mfa_tests::{STEP, begin, host, login, session};

/// Returns where the only byte is that differs and fits, outside of the mac at the end.
fn byte_that_became(before: &Row, after: &Row, from: u8, to: u8) -> Vec<usize> {
    let end = before.1.len().min(after.1.len()) - 32;
    (0..end).filter(|at| before.1[*at] == from && after.1[*at] == to).collect()
}

#[test]
fn s18_swapped_rows_of_two_users_are_refused() {
    block_on(async {
        let site = Site::new().await;
        let open = site.world.begin(&site.bob.0).await;
        for kinds in [&["login"][..], &["vault"], &["login", "vault"], &["open"], &["login", "vault", "open"]]
        {
            site.world.begin(&site.eve.0).await;
            let mut kept = Vec::new();
            for kind in kinds {
                let (bob, eve) = (site.read(kind, b"bob"), site.read(kind, b"eve"));
                site.write(kind, b"bob", &eve);
                site.write(kind, b"eve", &bob);
                kept.push((kind, bob, eve));
            }
            site.is_refused(&site.bob, None, &format!("{kinds:?}")).await;
            site.is_refused(&site.eve, None, &format!("{kinds:?}")).await;
            if !kinds.contains(&"open") {
                site.is_refused(&site.bob, Some(&open), &format!("{kinds:?}")).await;
            }
            for (kind, bob, eve) in kept {
                site.write(kind, b"bob", &bob);
                site.write(kind, b"eve", &eve);
            }
        }
        let told = site.world.events_of(Kind::RecordRefused).await;
        for record in ["login", "vault", "open"] {
            assert!(told.iter().any(|event| event.field("record") == Some(record)), "{record}");
        }
        assert!(site.world.events_of(Kind::AnswerRejected).await.is_empty(), "nothing was judged");
        site.logs_in(&site.eve).await;
        let granted = site.right(&open, &site.bob).await;
        assert!(matches!(granted, Verify::Verified(_)), "{granted:?}");
    });
}

#[test]
fn s18_a_sealed_secret_pasted_from_another_user_or_method_is_refused() {
    type Sealed = (String, Vec<u8>, Vec<u8>);
    let secrets = |(_, body): &Row| -> Vec<(Vec<u8>, Sealed)> {
        let payload = &body[2 + usize::from(body[1])..body.len() - 32];
        postcard::from_bytes(&payload[1..]).unwrap()
    };
    let place = |row: &Row, bytes: &[u8]| row.1.windows(bytes.len()).position(|w| w == bytes).unwrap();
    block_on(async {
        let site = Site::new().await;
        site.world.enrol_again(&site.bob.0).await;
        let open = site.world.begin(&site.bob.0).await;
        let (bob, eve) = (site.read("vault", b"bob"), site.read("vault", b"eve"));
        let (own, theirs) = (secrets(&bob), secrets(&eve));
        // All that one app's secret is sealed in has one length: it fits in the place of another.
        let apps = |all: &[(Vec<u8>, Sealed)]| -> Vec<Sealed> {
            let shortest = all.iter().map(|(_, sealed)| sealed.2.len()).min().unwrap();
            all.iter().filter(|(_, s)| s.2.len() == shortest).map(|(_, s)| s.clone()).collect()
        };
        let (own, theirs) = (apps(&own), apps(&theirs));
        assert_eq!((own.len(), theirs.len()), (2, 1));
        for donor in [&theirs[0], &own[1]] {
            let mut pasted = bob.clone();
            let (nonce, bytes) = (place(&bob, &own[0].1), place(&bob, &own[0].2));
            pasted.1[nonce..nonce + 12].copy_from_slice(&donor.1);
            pasted.1[bytes..bytes + donor.2.len()].copy_from_slice(&donor.2);
            assert_ne!(pasted, bob);
            site.write("vault", b"bob", &pasted);
            site.is_refused(&site.bob, None, "pasted").await;
            site.is_refused(&site.bob, Some(&open), "pasted").await;
        }
        site.write("vault", b"bob", &bob);
        assert!(matches!(site.right(&open, &site.bob).await, Verify::Verified(_)));
    });
}

#[test]
fn s18_attempts_counters_and_states_cannot_be_set_by_sql() {
    block_on(async {
        let site = Site::new().await;
        let wrong = |at: &Site| wrong_code(&at.bob.1, at.world.now());
        let challenge = site.world.begin(&site.bob.0).await;
        let id = *challenge.id.as_bytes();
        let mut seen = vec![(site.read("challenge", &id), site.read("login", b"bob"))];
        for _ in 0..2 {
            let _ = site.world.answer(&challenge, &wrong(&site)).await;
            seen.push((site.read("challenge", &id), site.read("login", b"bob")));
        }
        let now = seen.pop().unwrap();
        // Where the attempts stand: 4 became 3. They are raised, and the row is put back in between.
        let attempts = byte_that_became(&seen[1].0, &now.0, 4, 3);
        assert!(!attempts.is_empty());
        for at in attempts {
            let mut raised = now.0.clone();
            raised.1[at] = 5;
            site.write("challenge", &id, &raised);
            site.is_refused(&site.bob, Some(&challenge), "attempts").await;
            site.write("challenge", &id, &now.0);
        }
        // Counters of the user: whatever went from 1 to 2 goes back.
        let counters = byte_that_became(&seen[1].1, &now.1, 1, 2);
        assert!(!counters.is_empty());
        for at in counters {
            let mut lowered = now.1.clone();
            lowered.1[at] = 0;
            site.write("login", b"bob", &lowered);
            site.is_refused(&site.bob, Some(&challenge), "counter").await;
            site.is_refused(&site.bob, None, "counter").await;
            site.write("login", b"bob", &now.1);
        }
        // A challenge that has ended is set open again: the byte that went from `sent` to `cancelled`.
        let _ = site.world.engine.cancel(&challenge.reference).await.unwrap();
        let ended = site.read("challenge", &id);
        let status: Vec<_> = (0..ended.1.len() - 32).filter(|at| ended.1[*at] != now.0.1[*at]).collect();
        for at in status {
            let mut open = ended.clone();
            open.1[at] = now.0.1[at];
            site.write("challenge", &id, &open);
            site.is_refused(&site.bob, Some(&challenge), "status").await;
        }
        // The body of before under the version of now, and the version of before over the body of now.
        for mixed in [(ended.0.clone(), now.0.1.clone()), (now.0.0.clone(), ended.1.clone())] {
            site.write("challenge", &id, &mixed);
            site.is_refused(&site.bob, Some(&challenge), "mixed").await;
        }
        site.write("challenge", &id, &ended);
        site.logs_in(&site.bob).await;
    });
}

#[test]
fn s18_an_older_row_put_back_opens_and_contradicts_the_log() {
    block_on(async {
        // What the rule says: a whole older row, version and body, is authentic. It is found by its stream.
        let site = Site::new().await;
        let challenge = site.world.begin(&site.bob.0).await;
        let id = *challenge.id.as_bytes();
        let before = (site.read("challenge", &id), site.read("login", b"bob"));
        let told = site.world.answer(&challenge, &wrong_code(&site.bob.1, site.world.now())).await;
        assert!(matches!(told, Verify::Rejected(Rejected { attempts_left: 4, .. })));
        site.fix().await;
        assert_eq!(site.found(None).await, None);
        site.write("challenge", &id, &before.0);
        site.write("login", b"bob", &before.1);
        assert_eq!(
            site.found(None).await,
            None,
            "events and checkpoints were not touched, and nothing new is there"
        );
        let told = site.world.answer(&challenge, &wrong_code(&site.bob.1, site.world.now())).await;
        assert!(matches!(told, Verify::Rejected(Rejected { attempts_left: 4, .. })), "{told:?}");
        assert_eq!(site.found(None).await, Some(Flaw::StreamGap), "a place of the stream is there twice");
        site.fix().await;
        assert_eq!(site.found(None).await, Some(Flaw::StreamGap), "and stays so");
    });
}

#[test]
fn s18_a_used_code_made_fresh_by_an_older_row_contradicts_the_log() {
    block_on(async {
        let site = Site::new().await;
        let older = site.read("login", b"bob");
        let used = site.bob.1.code_at(site.world.now());
        let challenge = site.world.begin(&site.bob.0).await;
        assert!(matches!(site.world.answer(&challenge, &used).await, Verify::Verified(_)));
        // As long as the row is the newest, it is used.
        let again = site.world.begin(&site.bob.0).await;
        let told = site.world.answer(&again, &used).await;
        assert!(matches!(told, Verify::Rejected(Rejected { reason: Reason::Replayed, .. })), "{told:?}");
        site.fix().await;
        site.write("login", b"bob", &older);
        let told = site.world.answer(&again, &used).await;
        assert!(matches!(told, Verify::Verified(_)), "what a database alone cannot see: {told:?}");
        assert_eq!(site.found(None).await, Some(Flaw::StreamGap));
    });
}

#[test]
fn s18_a_deleted_user_record_lets_nobody_past_an_enforced_second_step() {
    block_on(async {
        let site = Site::new().await;
        let engine = enforcing(&site).await;
        let open = begin(&engine, &site.bob.0).await;
        site.delete("login", b"bob");
        let begun = engine.begin(login(&site.bob.0)).await.unwrap();
        assert!(matches!(begun, Begin::EnrolmentRequired(_)), "{begun:?}");
        // What was open ends; nothing of before fits a record that is made anew.
        let right = Response::code(&site.bob.1.code_at(site.world.now()));
        let told = engine.verify(&open.reference, right).await.unwrap();
        assert!(matches!(told, Verify::Rejected(Rejected { reason: Reason::Superseded, .. })), "{told:?}");
        // Where nothing is enforced a user without a record is one without a method; that is in the log.
        let begun = site.world.engine.begin(login(&site.bob.0)).await.unwrap();
        assert!(matches!(begun, Begin::NotRequired(NotRequired::NoMethod)), "{begun:?}");
        let events = site.world.events().await;
        let count =
            |kind| events.iter().filter(|e| e.kind() == kind && e.user() == Some(site.bob.0.user())).count();
        assert_eq!(count(Kind::EnrolmentConfirmed), 1);
        assert_eq!([Kind::EnrolmentRemoved, Kind::UserReset, Kind::UserForgotten].map(count), [0, 0, 0]);
        assert_eq!((count(Kind::EnrolmentRequired), count(Kind::LoginNotRequired)), (1, 1));
    });
}

#[test]
fn s18_a_vault_row_deleted_or_put_back_is_no_missing_method() {
    block_on(async {
        let site = Site::new().await;
        let open = site.world.begin(&site.bob.0).await;
        let vault = site.read("vault", b"bob");
        site.delete("vault", b"bob");
        for engine in [&site.world.engine, &enforcing(&site).await] {
            let begun = engine.begin(login(&site.bob.0)).await.unwrap();
            assert!(matches!(begun, Begin::Denied(_)), "{begun:?}");
        }
        let told = site.right(&open, &site.bob).await;
        assert!(matches!(told, Verify::Rejected(_)), "{told:?}");
        site.write("vault", b"bob", &vault);
        assert!(matches!(site.right(&open, &site.bob).await, Verify::Verified(_)));
        // An older vault does not bring a removed method back: what there is says the user's record.
        site.world.clock.advance(STEP);
        let older = site.read("vault", b"bob");
        let totp = "totp".parse().unwrap();
        site.world
            .engine
            .method_remove(site.bob.0.account(), site.bob.0.user(), &totp, &host())
            .await
            .unwrap();
        site.write("vault", b"bob", &older);
        let methods = site.world.engine.methods(site.bob.0.account(), site.bob.0.user()).await.unwrap();
        assert!(methods.iter().all(|method| method.is_recovery), "{methods:?}");
        let begun = enforcing(&site).await.begin(login(&site.bob.0)).await.unwrap();
        assert!(matches!(begun, Begin::EnrolmentRequired(_)), "{begun:?}");
    });
}

#[test]
fn s18_a_deleted_proof_proves_nothing_and_a_spent_one_put_back_dies_with_the_fence() {
    block_on(async {
        let site = Site::new().await;
        let (bob, app) = &site.bob;
        let (account, user, engine) = (bob.account(), bob.user(), &site.world.engine);
        let proven = async |intent: &Intent| {
            let proof = site.world.prove(bob, app, intent).await;
            Authority::proof(proof, Some(&session(bob)))
        };
        // Deleted: as if it had never been.
        let authority = proven(&Intent::disable(bob)).await;
        let [id] = &site.of_user("proof", bob)[..] else { panic!("one proof was expected") };
        let row = site.read("proof", id);
        site.delete("proof", id);
        let refused = engine.disable(account, user, &authority).await.unwrap_err();
        assert_eq!(refused.code(), "step_up_required");
        // In another's place, and with another's contents: refused like any row that moved.
        let other = site.world.prove(&site.eve.0, &site.eve.1, &Intent::disable(&site.eve.0)).await;
        let [eves] = &site.of_user("proof", &site.eve.0)[..] else { panic!("one proof was expected") };
        let kept = site.read("proof", eves);
        site.write("proof", eves, &row);
        let other = Authority::proof(other, Some(&session(&site.eve.0)));
        let refused = engine.disable(site.eve.0.account(), site.eve.0.user(), &other).await;
        assert!(refused.is_err(), "{refused:?}");
        site.write("proof", eves, &kept);
        // Put back after it was spent, and after something raised the fence: it is of before.
        let first = engine.methods(account, user).await.unwrap()[0].id;
        let selector = first.to_string().parse().unwrap();
        let authority = proven(&Intent::prefer_method(bob, first)).await;
        let [id] = &site.of_user("proof", bob)[..] else { panic!("one proof was expected") };
        let row = site.read("proof", id);
        engine.method_prefer(account, user, &selector, &authority).await.unwrap();
        assert!(site.of_user("proof", bob).is_empty(), "spent");
        engine.revoke(account, user, &host()).await.unwrap();
        site.write("proof", id, &row);
        let refused = engine.method_prefer(account, user, &selector, &authority).await.unwrap_err();
        assert_eq!(refused.code(), "step_up_required");
        site.delete("proof", id);
        site.logs_in(&site.bob).await;
    });
}

#[test]
fn s18_a_spent_proof_put_back_on_a_change_without_a_fence_is_in_the_log_twice() {
    block_on(async {
        // The promise ends here: a whole older row is authentic. Its holder, who also writes to the file, makes the
        // same change twice within the five minutes of the proof; the log says that one proof was issued.
        let site = Site::new().await;
        let (bob, app) = &site.bob;
        let (account, user, engine) = (bob.account(), bob.user(), &site.world.engine);
        let id = engine.methods(account, user).await.unwrap()[0].id;
        let selector = id.to_string().parse().unwrap();
        let proof = site.world.prove(bob, app, &Intent::prefer_method(bob, id)).await;
        let authority = Authority::proof(proof, Some(&session(bob)));
        let [row_id] = &site.of_user("proof", bob)[..] else { panic!("one proof was expected") };
        let row = site.read("proof", row_id);
        engine.method_prefer(account, user, &selector, &authority).await.unwrap();
        assert_eq!(
            engine.method_prefer(account, user, &selector, &authority).await.unwrap_err().code(),
            "step_up_required"
        );
        site.write("proof", row_id, &row);
        engine.method_prefer(account, user, &selector, &authority).await.unwrap();
        let events = site.world.events().await;
        let issued = events.iter().filter(|e| e.kind() == Kind::ProofIssued).count();
        let spent = events.iter().filter(|e| e.field("authority") == Some("proof")).count();
        assert_eq!((issued, spent), (1, 2), "more was done by proof than was proven");
        // Nor does it outlive its five minutes, whatever the row's own column says.
        site.write("proof", row_id, &row);
        site.sql("UPDATE records SET expires_at = NULL WHERE kind = 'proof'");
        site.world.clock.advance(std::time::Duration::from_secs(301));
        let late = engine.method_prefer(account, user, &selector, &authority).await.unwrap_err();
        assert_eq!(late.code(), "step_up_required");
    });
}

#[test]
fn s18_a_notice_is_sent_to_nobody_else_by_its_row() {
    block_on(async {
        let site = Site::new().await;
        site.world.engine.drain_outbox(100).await.unwrap();
        assert!(!site.inbox.take().is_empty());
        site.world.clock.advance(std::time::Duration::from_secs(3600));
        for user in [&site.bob, &site.eve] {
            site.world.engine.disable(user.0.account(), user.0.user(), &host()).await.unwrap();
        }
        let ids = [&site.bob.0, &site.eve.0].map(|user| site.of_user("notice", user));
        let [[bobs], [eves]] = ids.each_ref().map(|ids| &ids[..]) else { panic!("a notice each: {ids:?}") };
        let (bob, eve) = (site.read("notice", bobs), site.read("notice", eves));
        // Eve's sealed contacts in bob's notice, as a whole row and as the part of it.
        let mut part = bob.clone();
        let tail = part.1.len().min(eve.1.len()) - 32;
        let from = tail - 64;
        part.1[from..tail].copy_from_slice(&eve.1[from..tail]);
        for pasted in [&eve, &part] {
            site.write("notice", bobs, pasted);
            let drained = site.world.engine.drain_outbox(100).await.unwrap();
            let sent: Vec<_> = site.inbox.take().into_iter().map(|message| message.to).collect();
            assert!(sent.iter().all(|to| to == "eve@acme.example"), "{sent:?}");
            assert!(sent.len() <= 1, "hers, once: {sent:?} {drained:?}");
        }
        site.write("notice", bobs, &bob);
        site.world.engine.drain_outbox(100).await.unwrap();
        let sent: Vec<_> = site.inbox.take().into_iter().map(|message| message.to).collect();
        assert_eq!(sent, ["bob@acme.example"]);
    });
}

#[test]
fn s18_the_column_of_the_expiry_prolongs_nothing() {
    block_on(async {
        let site = Site::new().await;
        let open = site.world.begin(&site.bob.0).await;
        assert!(site.sql("UPDATE records SET expires_at = NULL") > 0);
        site.world.clock.advance(std::time::Duration::from_secs(300));
        let told = site.right(&open, &site.bob).await;
        assert!(matches!(told, Verify::Rejected(Rejected { reason: Reason::Expired, .. })), "{told:?}");
        // Set into the past, a row reads as absent; of a challenge that is the end.
        let open = site.world.begin(&site.bob.0).await;
        site.sql("UPDATE records SET expires_at = 1 WHERE kind = 'challenge'");
        let told = site.right(&open, &site.bob).await;
        assert!(matches!(told, Verify::Rejected(Rejected { reason: Reason::NotFound, .. })), "{told:?}");
        site.logs_in(&site.bob).await;
    });
}

#[test]
fn s16_yesterdays_whole_file_is_whole_in_itself_and_found_by_the_trusted_head() {
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("mfa.db");
    block_on(async {
        let site = Site::new().await;
        let yesterday = site.fix().await;
        site.sql(&format!("VACUUM INTO '{}'", copy.display()));
        let used = site.bob.1.code_at(site.world.now());
        let challenge = site.world.begin(&site.bob.0).await;
        assert!(matches!(site.world.answer(&challenge, &used).await, Verify::Verified(_)));
        let today = site.fix().await;
        // Every table as it was.
        site.sql(&format!(
            "ATTACH '{}' AS old; BEGIN;
            DELETE FROM records; INSERT INTO records SELECT * FROM old.records;
            DELETE FROM events; INSERT INTO events SELECT * FROM old.events;
            DELETE FROM checkpoints; INSERT INTO checkpoints SELECT * FROM old.checkpoints; COMMIT",
            copy.display()
        ));
        assert_eq!(site.found(None).await, None);
        assert_eq!(site.found(Some(yesterday)).await, None);
        assert_eq!(site.found(Some(today)).await, Some(Flaw::CutTail));
        // Continued, it has another end than the one that was kept elsewhere.
        site.logs_in(&site.eve).await;
        site.fix().await;
        assert_eq!(site.found(Some(today)).await, Some(Flaw::NotExtended));
        // And once the host knows, the barrier makes the used code used again.
        site.world.engine.restore_barrier("ops", "an older file was put in").await.unwrap();
        let challenge = site.world.begin(&site.bob.0).await;
        let told = site.world.answer(&challenge, &used).await;
        assert!(matches!(told, Verify::Rejected(_)), "{told:?}");
    });
}
