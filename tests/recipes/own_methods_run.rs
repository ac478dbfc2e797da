//! Bob at his own page of methods, as `docs/recipes/own-methods.md` has it.

use serde_json::json;

use super::own_methods::*;
use super::pages::METHODS;
use super::*;

fn password() -> FirstFactor {
    FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, Some("session-of-bob"))
}

/// Bob's login and his app.
struct Page<'a> {
    service: &'a Service,
    engine: &'a Engine,
    bob: &'a Subject,
}

impl Page<'_> {
    /// Begins a set-up by this right, and confirms it with the app's code.
    async fn sets_up(&self, right: &Authority) -> Result<SoftAuthenticator, Error> {
        let started = set_up(self.engine, self.bob, &totp(), right).await?;
        Ok(self.confirms(&started).await)
    }

    async fn confirms(&self, started: &EnrolmentStarted) -> SoftAuthenticator {
        let uri = started.revealed.get("uri").unwrap().expose_secret();
        let app = SoftAuthenticator::scan(uri).unwrap();
        let host = &self.service.host;
        let confirmed = confirm(self.engine, &started.reference, &app.code_at(host.now())).await.unwrap();
        if let EnrolConfirm::RecoveryShown(_) = confirmed {
            let kept = self.engine.enrol_acknowledge(&started.reference, &RequestFacts::new()).await;
            assert!(matches!(kept, Ok(EnrolConfirm::Confirmed(_))), "{kept:?}");
        } else {
            assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)), "{confirmed:?}");
        }
        host.clock.advance(STEP);
        app
    }

    /// The right to a change, by a code of this app.
    async fn proves(&self, app: &SoftAuthenticator, wish: &Wish) -> Authority {
        let begun = ask(self.engine, self.bob, login(self.bob), wish).await.unwrap();
        let Begin::Challenge(challenge) = begun else { panic!("{begun:?}") };
        let now = self.service.host.now();
        let wrong = app.wrong_code_at(now, 2);
        let unproven = prove(self.engine, &challenge.reference, &wrong, "session-of-bob").await.unwrap();
        assert!(matches!(unproven, Err(Verify::Rejected(_))), "{unproven:?}");
        let right = prove(self.engine, &challenge.reference, &app.code_at(now), "session-of-bob").await;
        self.service.host.clock.advance(STEP);
        right.unwrap().unwrap()
    }

    async fn methods(&self) -> Vec<Method> {
        let methods = self.engine.methods(self.bob.account(), self.bob.user()).await.unwrap();
        methods.into_iter().filter(|method| !method.is_recovery).collect()
    }

    /// Signs in with a code of this app, and returns what that is worth.
    async fn signs_in(&self, app: &SoftAuthenticator) -> Aal {
        let Begin::Challenge(challenge) = self.begin().await else { panic!("a challenge was expected") };
        let code = Response::code(&app.code_at(self.service.host.now()));
        let verified = self.engine.verify(&challenge.reference, code).await.unwrap();
        let Verify::Verified(grant) = verified else { panic!("{verified:?}") };
        self.service.host.clock.advance(STEP);
        grant.evidence().aal()
    }

    async fn begin(&self) -> Begin {
        self.engine.begin(login(self.bob)).await.unwrap()
    }
}

#[test]
fn a_user_changes_their_own_methods_as_the_page_says() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let service = Service::open(&folder.path().join("mfa.db")).await;
        let bob = service.host.add_reachable("bob").await;
        let page = Page { service: &service, engine: &service.host.engine, bob: &bob };

        let right = first_right(&page.begin().await, password(), "session-of-bob", None).unwrap();
        let first = page.sets_up(&right).await.unwrap();
        // With a method there, the same right is none.
        let refused = set_up(page.engine, &bob, &totp(), &right).await.unwrap_err();
        assert_eq!(said(&refused), "Please show once more that it is you.");
        assert!(first_right(&page.begin().await, password(), "session-of-bob", None).is_none());
        assert_eq!(page.signs_in(&first).await, Aal::One);
        assert_eq!(page.signs_in(&first).await, Aal::Two);

        let add = Wish::Add(totp());
        let right = page.proves(&first, &add).await;
        let started = make(page.engine, &bob, add, &right).await.unwrap().unwrap();
        let second = page.confirms(&started).await;
        let [old, new] = &page.methods().await[..] else { panic!("two apps were expected") };
        let (old, new) = (old.id, new.id);

        let prefer = Wish::Prefer(new);
        let right = page.proves(&first, &prefer).await;
        // A proof of one change is none of another, and is not spent on it.
        let remove = Wish::remove(&page.methods().await, old);
        assert!(matches!(remove, Wish::Remove(_)));
        let refused = make(page.engine, &bob, remove.clone(), &right).await.unwrap_err();
        assert_eq!(refused.code(), "step_up_required");
        make(page.engine, &bob, prefer, &right).await.unwrap();

        let begun = service.place().await;
        let right = page.proves(&second, &remove).await;
        make(page.engine, &bob, remove.clone(), &right).await.unwrap();
        assert_eq!(service.account_log(begun).await, METHODS.log(0));
        let begun_again = ask(page.engine, &bob, login(&bob), &remove).await.unwrap();
        let Begin::Challenge(challenge) = begun_again else { panic!("{begun_again:?}") };
        let code = second.code_at(service.host.now());
        let right = prove(page.engine, &challenge.reference, &code, "session-of-bob").await.unwrap().unwrap();
        service.host.clock.advance(STEP);
        let gone = make(page.engine, &bob, remove, &right).await.unwrap_err();
        // Whether he has such a method nobody is told who may not change it.
        assert_eq!(said(&gone), "Please show once more that it is you.");
        assert_eq!(page.methods().await.iter().map(|method| method.id).collect::<Vec<_>>(), [new]);

        let last = Wish::remove(&page.methods().await, new);
        assert!(matches!(last, Wish::GiveUp));
        let right = page.proves(&second, &last).await;
        make(page.engine, &bob, last, &right).await.unwrap();
        assert!(page.methods().await.is_empty());
    });
}

#[test]
fn where_a_method_is_enforced_the_first_one_takes_a_ticket_and_an_invitation() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let service = Service::open(&folder.path().join("mfa.db")).await;
        let policy = Policy::recommended().with_document(&json!({ "enforced": true })).unwrap();
        let engine = service.host.recovery_node(&service.inbox).policy(policy).build().await.unwrap();
        let bob = service.host.add_reachable("bob").await;
        let page = Page { service: &service, engine: &engine, bob: &bob };
        let desk = locked_out_user::the_desk();

        let begun = page.begin().await;
        assert!(matches!(&begun, Begin::EnrolmentRequired(required) if required.needs_invitation));
        let refused = page.sets_up(&Authority::FirstFactor(password())).await.unwrap_err();
        assert_eq!(said(&refused), "Your organisation does not allow this.");
        let right = first_right(&begun, password(), "session-of-bob", None).unwrap();
        let refused = page.sets_up(&right).await.unwrap_err();
        assert_eq!(said(&refused), "Please enter the invitation you were given.");

        // The ticket that was refused is good still.
        let given = engine.user_invite(bob.account(), bob.user(), &totp(), &desk).await.unwrap();
        let typed = given.invitation.expose_secret();
        let right = first_right(&begun, password(), "session-of-bob", Some(typed)).unwrap();
        let app = page.sets_up(&right).await.unwrap();
        assert_eq!(page.signs_in(&app).await, Aal::Two);

        let give_up = Wish::GiveUp;
        let right = page.proves(&app, &give_up).await;
        let refused = make(&engine, &bob, give_up, &right).await.unwrap_err();
        assert_eq!(said(&refused), "Your organisation does not allow this.");
    });
}

#[test]
fn an_app_that_a_password_set_up_proves_nothing_over_a_stronger_one_before_its_first_login() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let service = Service::open(&folder.path().join("mfa.db")).await;
        let bob = service.host.add_reachable("bob").await;
        let page = Page { service: &service, engine: &service.host.engine, bob: &bob };
        let first = page.sets_up(&Authority::FirstFactor(password())).await.unwrap();
        let add = Wish::Add(totp());
        let right = page.proves(&first, &add).await;
        let started = make(page.engine, &bob, add, &right).await.unwrap().unwrap();
        page.confirms(&started).await;
        let remove = Wish::remove(&page.methods().await, started.id);
        let asked = async || ask(page.engine, &bob, login(&bob), &remove).await.unwrap();
        let denied = asked().await;
        assert!(
            matches!(&denied, Begin::Denied(denied) if denied.reason == DeniedReason::Unavailable),
            "{denied:?}"
        );
        assert_eq!(page.signs_in(&first).await, Aal::One);
        assert!(matches!(asked().await, Begin::Challenge(_)));
    });
}

#[test]
fn within_a_day_of_a_recovery_code_methods_are_added_and_none_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let service = Service::open(&folder.path().join("mfa.db")).await;
        let (bob, app, codes) = service.bob().await;
        let page = Page { service: &service, engine: &service.host.engine, bob: &bob };
        let challenge = service.host.begin(&bob).await;
        assert!(matches!(service.host.recover(&challenge, &codes[0]).await, Verify::Verified(_)));

        let add = Wish::Add(totp());
        let right = page.proves(&app, &add).await;
        let started = make(page.engine, &bob, add, &right).await.unwrap().unwrap();
        let second = page.confirms(&started).await;
        let methods = page.methods().await;
        let remove = Wish::remove(&methods, methods[0].id);
        let right = page.proves(&second, &remove).await;
        let refused = make(page.engine, &bob, remove.clone(), &right).await.unwrap_err();
        assert_eq!(said(&refused), "Possible a day after you used a recovery code.");

        service.host.clock.advance(DAY);
        let right = page.proves(&second, &remove).await;
        make(page.engine, &bob, remove, &right).await.unwrap();
    });
}
