//! S7: where an account above enforces a method, no provider of a child's own answers for it.
#![cfg(test)]

use std::time::Duration;

use audit_model::Profile;
use mfa::settings::{Modules, Owner};
use mfa::{
    Account, AccountId, Ancestor, Begin, ConfigurationId, Denied, DeniedReason, EnrolConfirm, Module, Policy,
    Reason, Subject, Verify,
};
use mfa_tests::duo::{DuoSite, Mode};
use mfa_tests::{World, host, login, on_duo};
use serde_json::{Value, json};

/// The account of a login, and those above it. The system is above all.
const LINEAGE: [&str; 3] = ["acme", "mid", "root"];

/// A site whose host keeps no settings of Duo; every account and the system has a Duo of its own.
async fn site(world: World) -> (DuoSite, Vec<(&'static str, ConfigurationId)>) {
    let mut site = DuoSite::new(world, Mode::WebSdk).await;
    let modules = Modules::new().with(Module::parse("user_auth").unwrap());
    site.engine = site.bare_node().policy(Policy::recommended()).modules(modules).build().await.unwrap();
    let document = json!({"provider_name": "duo", "settings": site.settings(&json!({}))});
    let mut made = Vec::new();
    for name in LINEAGE.into_iter().chain(["system"]) {
        let (owner, by) = (owner(name), host());
        let created = site.engine.configuration_create(&owner, Profile::Seed2017, &document, &by).await;
        let id = created.unwrap().id;
        made.push((name, id));
        if name != "system" {
            ask_by(&site, name, name, id, true).await;
        }
    }
    (site, made)
}

fn owner(name: &str) -> Owner {
    let Some(place) = LINEAGE.iter().position(|of| *of == name) else { return Owner::System };
    let above = LINEAGE[place..].iter().map(|name| Ancestor::new(AccountId::parse(name).unwrap()));
    let account = Account::new(AccountId::parse(name).unwrap());
    Owner::Account(account.with_lineage(above.collect()).unwrap())
}

async fn add(site: &DuoSite, name: &str) -> Subject {
    let lineage = LINEAGE.map(|name| Ancestor::new(AccountId::parse(name).unwrap())).to_vec();
    let bob = site.add(name).await.with_lineage(lineage).unwrap();
    site.world.directory.put(&bob).await.unwrap();
    bob
}

/// The module of an account asks by a configuration of this owner; by the system's where it names none.
async fn ask_by(site: &DuoSite, who: &str, of: &str, id: ConfigurationId, asks: bool) {
    let mut second = json!({"enabled": asks, "include_subaccounts": true});
    if of != "system" {
        second["configuration_id"] = json!(id.to_string());
        second["account_id"] = json!(of);
    }
    let document = json!({"auth_modules": {"user_auth": {"multi_factor": second}}});
    site.engine.settings_put(&owner(who), &document, None, &host()).await.unwrap();
}

async fn say(site: &DuoSite, who: &str, document: Value) {
    site.engine.policy_put(&owner(who), &document, None, &host()).await.unwrap();
}

fn enforcing(accepts: Option<bool>) -> Value {
    let mut document = json!({"enforced": true, "enforce": ["enforced"]});
    if let Some(accepts) = accepts {
        document["accept_own_configurations"] = json!(accepts);
    }
    document
}

/// Whether the login goes on; else it is refused for what it would be asked by.
async fn goes_on(site: &DuoSite, bob: &Subject) -> bool {
    match site.engine.begin(login(bob)).await.unwrap() {
        Begin::Challenge(_) => true,
        Begin::Denied(Denied { reason: DeniedReason::Unavailable, .. }) => false,
        other => panic!("{other:?}"),
    }
}

on_duo! {
    [memory, sqlite] async fn s07_whoever_enforces_a_method_accepts_configurations_of_its_own_and_from_above(world) {
        let (site, made) = site(world).await;
        let everybody: Vec<_> = LINEAGE.into_iter().chain(["system"]).collect();
        for (of, id) in made {
            if of == "system" {
                // Whoever inherits nobody's has the system's.
                for who in LINEAGE {
                    site.engine.settings_delete(&owner(who), None, &host()).await.unwrap();
                }
            }
            for asks in [true, false] {
                for who in &everybody {
                    say(&site, who, json!({})).await;
                }
                ask_by(&site, "acme", of, id, true).await;
                let bob = add(&site, &format!("bob-{of}-{asks}")).await;
                site.enrol(&bob).await;
                ask_by(&site, "acme", of, id, asks).await;
                assert!(goes_on(&site, &bob).await, "nobody enforces anything");
                for (place, who) in everybody.iter().enumerate() {
                    let accepted = everybody.iter().position(|name| *name == of).unwrap() >= place;
                    say(&site, who, enforcing(None)).await;
                    assert_eq!(goes_on(&site, &bob).await, accepted, "of {of}, enforced by {who}, {asks}");
                    let resolved = site.engine.policy_resolve(&Account::from(&bob)).await.unwrap();
                    assert_eq!(resolved.configurations_from.unwrap().to_string(), **who);
                    // What the account itself says of it changes nothing, but of its own enforcement.
                    if *who != "acme" {
                        say(&site, "acme", json!({"accept_own_configurations": true})).await;
                        assert_eq!(goes_on(&site, &bob).await, accepted, "of {of}, enforced by {who}, {asks}");
                        say(&site, "acme", json!({})).await;
                    }
                    say(&site, who, enforcing(Some(true))).await;
                    assert!(goes_on(&site, &bob).await, "of {of}, accepted by {who}");
                    say(&site, who, json!({})).await;
                }
            }
        }
    }

    [memory, sqlite] async fn s07_what_nobody_may_accept_is_accepted_by_nobody_below(world) {
        let (site, _) = site(world).await;
        let bob = add(&site, "bob").await;
        site.enrol(&bob).await;
        say(&site, "mid", enforcing(Some(true))).await;
        assert!(goes_on(&site, &bob).await);
        say(&site, "root", json!({"accept_own_configurations": false, "enforce": ["accept_own_configurations"]})).await;
        assert!(!goes_on(&site, &bob).await);
        // Nor where the account below enforces for itself what the one above enforces too.
        say(&site, "root", enforcing(None)).await;
        assert!(!goes_on(&site, &bob).await);
    }

    [memory, sqlite] async fn s07_a_childs_own_duo_that_approves_lets_nobody_in_once_it_is_not_accepted(world) {
        let (site, _) = site(world).await;
        let bob = add(&site, "bob").await;
        site.enrol(&bob).await;
        site.advance(Duration::from_secs(1));
        assert!(matches!(site.log_in(&bob).await, Verify::Verified(_)));
        site.advance(Duration::from_secs(1));
        let open = site.begin(&bob).await;
        let approved = site.response_to(&open.prompt).await;
        let eve = add(&site, "eve").await;
        let pending = site.enrol_begin(&eve).await.unwrap();
        let confirms = site.response_to(&pending.prompt).await;
        say(&site, "root", enforcing(None)).await;
        // What was begun before does not count, and nothing is begun.
        let told = site.verify(&open, approved).await;
        assert!(matches!(&told, Verify::Rejected(rejected) if rejected.reason == Reason::Unavailable), "{told:?}");
        assert!(!goes_on(&site, &bob).await);
        assert!(!goes_on(&site, &eve).await, "who has none is not asked to set up one that counts for nothing");
        let confirmed = site.confirm(&pending, confirms).await;
        assert!(matches!(confirmed, EnrolConfirm::Rejected(_)), "{confirmed:?}");
        assert!(site.enrol_begin(&eve).await.is_err());
        // The rule says why, and whose it is.
        let explained = site.engine.explain(&login(&bob)).await.unwrap();
        let rule = explained.rules.iter().find(|rule| rule.name == "configuration").unwrap();
        assert_eq!((&*rule.value, &*rule.origin), ("the multi factor authentication provider is not accepted", "root"));
        // An app is no provider of the child's.
        say(&site, "root", json!({})).await;
        assert!(goes_on(&site, &bob).await);
    }
}
