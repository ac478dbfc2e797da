//! What `docs/recipes/upkeep.md` has run.

use super::pages::UPKEEP;
use super::upkeep::*;
use super::*;

#[test]
fn what_waits_is_sent_what_expired_is_deleted_and_old_months_are_dropped() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let service = Service::open(&folder.path().join("mfa.db")).await;
        let (host, store, key) = (&service.host, &service.store, checkpoint_key());
        let (bob, app, _codes) = service.bob().await;

        assert_eq!(send_what_waits(&host.engine).await.unwrap().sent, 1, "he is told of the app");
        assert_eq!(service.inbox.take().len(), 1);
        assert_eq!(send_what_waits(&host.engine).await.unwrap(), Drained::default());

        // Five logins are given up in the middle.
        for _ in 0..5 {
            let _challenge = host.begin(&bob).await;
        }
        assert_eq!(sweep(store, host.now()).await.unwrap(), 0, "nothing is over yet");
        host.clock.advance(2 * DAY);
        assert!(sweep(store, host.now()).await.unwrap() >= 5);
        assert_eq!(sweep(store, host.now()).await.unwrap(), 0);

        let fixed = fix_the_log(store, &key, host.now()).await.unwrap();
        assert_eq!(fix_the_log(store, &key, host.now()).await.unwrap(), fixed, "nothing has happened since");
        let written = service.place().await;
        host.clock.advance(120 * DAY);
        let dropped = drop_old_months(store, &key, 90 * DAY, host.now()).await.unwrap();
        assert_eq!(dropped, written);
        assert_eq!(service.log(&Scope::System, written).await, UPKEEP.log(0));
        assert_eq!(drop_old_months(store, &key, 90 * DAY, host.now()).await.unwrap(), 0);

        // What is left still proves itself, and Bob signs in.
        fix_the_log(store, &key, host.now()).await.unwrap();
        assert!(Verifier::new(key).read(store).await.unwrap().holds());
        let challenge = host.begin(&bob).await;
        assert!(matches!(host.answer(&challenge, &app.code_at(host.now())).await, Verify::Verified(_)));
    });
}
