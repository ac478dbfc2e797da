//! Provider configurations of accounts: who changes them, who sees their keys, and that nobody else does.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use audit_model::export::to_line;
use audit_model::{Kind, Profile};
use mfa::settings::{Change, Configuration, Modules, Owner};
use mfa::{
    Account, AccountId, Ancestor, Authority, Begin, Challenge, ConfigurationId, Denied, DeniedReason, Engine,
    EnrolConfirm, Intent, KeyId, Module, Policy, Reason, Record, RecordKind, Rejected, Response, Scope,
    Subject, Verify,
};
use mfa_testkit::faults::CountingStore;
use mfa_tests::attack::{forged, overwrite, payload, records};
use mfa_tests::between::{Moment, between};
use mfa_tests::duo::{DuoSite, Mode};
use mfa_tests::probe::node_on;
use mfa_tests::rights::{enrol_by, enrol_ranked, prove_on};
use mfa_tests::{World, acme, host, login, on_duo, on_stores, session};
use serde_json::{Value, json};

const FORM: Profile = Profile::Seed2017;
/// What nobody but whoever is shown a configuration may find anywhere.
const SECRETS: [&str; 3] = [
    "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
    "useacustomerprovidedapplicationsecretkey",
    "unknown-but-secret",
];

async fn node(world: &World) -> Engine {
    world.node().policy(Policy::kazoo()).modules(Modules::kazoo()).build().await.unwrap()
}

fn own() -> Owner {
    Owner::Account(acme().into())
}

fn of_acme() -> Scope {
    Scope::Account(acme())
}

fn duo() -> Value {
    json!({"provider_name": "duo", "settings": {"integration_key": "DIXXXXXXXXXXXXXXXXXX", "secret_key": SECRETS[0],
        "application_secret_key": SECRETS[1], "api_hostname": "api-1.duosecurity.com"}, "note": SECRETS[2]})
}

async fn create(engine: &Engine, owner: &Owner) -> Configuration {
    engine.configuration_create(owner, FORM, &duo(), &host()).await.unwrap()
}

async fn kept(world: &World) -> Vec<Record> {
    let all = records(world).await.into_iter();
    all.filter(|record| record.key.kind == RecordKind::new("configurations")).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

on_stores! {
    async fn s07_no_key_is_in_a_record_an_event_an_error_or_what_is_printed(world) {
        let engine = node(&world).await;
        let made = create(&engine, &own()).await;
        let mut seen = vec![format!("{made:?}")];
        let shown = engine.configuration_show(&own(), made.id, &host()).await.unwrap();
        assert_eq!(shown.reveal().unwrap()["secret_key"], SECRETS[0]);
        seen.push(format!("{shown:?} {:?}", shown.to_json(FORM)));
        let wrong = json!({"enabled": SECRETS[0], "provider_name": SECRETS[1], "name": [SECRETS[2]], "provider_type": SECRETS[0]});
        for document in [json!(SECRETS[0]), wrong, json!({"provider_name": "d", "settings": SECRETS[0]})] {
            let error = engine.configuration_create(&own(), FORM, &document, &host()).await.unwrap_err();
            let reply = mfa::settings::configuration_error(&error, "");
            seen.push(format!("{error} {error:?} {}", reply.to_json()));
        }
        let patch = json!({"settings": {"secret_key": SECRETS[0], "more": SECRETS[1]}, "note": null});
        let changed = engine.configuration_patch(&own(), made.id, FORM, &patch, None, &host()).await.unwrap();
        seen.push(format!("{changed:?} {}", changed.summary_json(Profile::Kazoo4)));
        let account = Account::new(acme());
        seen.push(format!("{:?}", Intent::change_configuration(&account, Some(made.id), Change::Patch(&patch))));
        engine.configuration_replace(&own(), made.id, FORM, &duo(), None, &host()).await.unwrap();
        engine.configuration_delete(&own(), made.id, None, &host()).await.unwrap();
        create(&engine, &own()).await;
        for event in world.events().await {
            seen.push(format!("{event:?} {}", to_line(&event).unwrap()));
        }
        for secret in SECRETS {
            assert!(seen.iter().all(|text| !text.contains(secret)), "{secret}");
            assert!(records(&world).await.iter().all(|record| !holds(&record.body, secret)), "{secret}");
        }
    }

    async fn every_change_is_told_with_its_paths_and_who_made_it(world) {
        let engine = node(&world).await;
        let made = create(&engine, &own()).await;
        let patch = json!({"enabled": false, "settings": {"duo_expire": 60, "secret_key": null}});
        world.clock.advance(Duration::from_secs(1));
        engine.configuration_patch(&own(), made.id, FORM, &patch, None, &host()).await.unwrap();
        let created = world.events_of(Kind::ConfigurationCreated).await.remove(0);
        let paths = "enabled note provider_name settings.api_hostname settings.application_secret_key \
                     settings.integration_key settings.secret_key";
        assert_eq!(created.field("paths"), Some(paths));
        let changed = world.events_of(Kind::ConfigurationChanged).await.remove(0);
        assert_eq!(changed.field("paths"), Some("enabled settings.duo_expire settings.secret_key"));
        assert_eq!(changed.field("change"), Some("patch"));
        for event in [created, changed] {
            assert_eq!(event.field("configuration"), Some(&*made.id.to_string()));
            assert_eq!((event.field("provider"), event.field("authority")), (Some("duo"), Some("host_vouched")));
            assert!(event.actor().is_some() && event.user().is_none());
        }
    }

    async fn no_change_hides_behind_names_that_mean_nothing(world) {
        let engine = node(&world).await;
        let made = create(&engine, &own()).await;
        let mut patch = json!({"a".repeat(400): 1, "enabled": false, "settings": {"secret_key": null}});
        for n in 0..90 {
            patch["settings"][format!("a{n:02}")] = json!(n);
            patch["multi_factor"][format!("a{n:02}")] = json!(n);
        }
        engine.configuration_patch(&own(), made.id, FORM, &patch, None, &host()).await.unwrap();
        let told = world.events_of(Kind::ConfigurationChanged).await.remove(0).field("paths").unwrap().to_owned();
        let paths: Vec<_> = told.split(' ').collect();
        assert!(paths.contains(&"enabled") && paths.contains(&"settings.secret_key"), "{told}");
        let (more, whole) = paths.split_last().unwrap();
        assert_eq!(whole.len() + more.strip_prefix('+').unwrap().parse::<usize>().unwrap(), 183, "{told}");
    }

    async fn s29_keys_are_shown_ten_times_a_day_and_each_time_is_told(world) {
        let engine = node(&world).await;
        let (made, other) = (create(&engine, &own()).await, create(&engine, &own()).await);
        for _ in 0..10 {
            engine.configuration_show(&own(), made.id, &host()).await.unwrap();
        }
        let refused = engine.configuration_show(&own(), made.id, &host()).await;
        assert_eq!(refused.unwrap_err().code(), "too_often");
        let told = world.events_of(Kind::ChangeRefused).await.remove(0);
        assert_eq!((told.reason(), told.field("operation")), (Some("too_often"), Some("show_configuration")));
        // So is the host's own code, about what is the system's.
        let of_system = create(&engine, &Owner::System).await;
        for _ in 0..10 {
            engine.configuration_show(&Owner::System, of_system.id, &host()).await.unwrap();
        }
        let refused = engine.configuration_show(&Owner::System, of_system.id, &host()).await;
        assert_eq!(refused.unwrap_err().code(), "too_often");
        let all = mfa::audit::Query::new(Scope::System);
        let told = mfa::audit::all(&*world.store, &all, 100).await.unwrap();
        let refusals: Vec<_> = told.iter().filter(|event| event.kind() == Kind::ChangeRefused).collect();
        let [told] = refusals[..] else { panic!("{refusals:?}") };
        assert_eq!((told.reason(), told.field("operation")), (Some("too_often"), Some("show_configuration")));
        // Writing it anew does not begin the day anew; another one has its own; being shown changes no revision.
        engine.configuration_show(&own(), other.id, &host()).await.unwrap();
        engine.configuration_patch(&own(), made.id, FORM, &json!({"enabled": false}), Some(made.revision), &host()).await.unwrap();
        assert!(engine.configuration_show(&own(), made.id, &host()).await.is_err());
        assert_eq!(world.events_of(Kind::ConfigurationShown).await.len(), 11);
        world.clock.advance(Duration::from_secs(24 * 3600));
        engine.configuration_show(&own(), made.id, &host()).await.unwrap();
    }

    async fn s29_an_administrator_acts_by_a_proof_of_that_very_change(world) {
        let engine = node(&world).await;
        let (ann, app) = enrol_ranked(&world, "ann", 5).await;
        let (bob, bobs) = enrol_ranked(&world, "bob", 0).await;
        let (account, document) = (Account::new(acme()), duo());
        let by = |subject: &Subject, proof| Authority::proof(proof, Some(&session(subject)));
        let new = Intent::change_configuration(&account, None, Change::Put(&document));
        let proof = prove_on(&engine, &world, login(&bob), &bobs, &new).await;
        let refused = engine.configuration_create(&own(), FORM, &document, &by(&bob, proof)).await;
        assert_eq!(refused.unwrap_err().code(), "not_permitted");
        let proof = prove_on(&engine, &world, login(&ann), &app, &new).await;
        let made = create(&engine, &own()).await;
        let mut other = duo();
        other["settings"]["api_hostname"] = json!("api-2.duosecurity.com");
        let (id, ann_by) = (made.id, by(&ann, proof.clone()));
        // Other words, another one, another change of the same words, and to see it: no.
        let refused = [
            engine.configuration_create(&own(), FORM, &other, &ann_by).await.unwrap_err(),
            engine.configuration_replace(&own(), id, FORM, &document, None, &ann_by).await.unwrap_err(),
            engine.configuration_patch(&own(), id, FORM, &document, None, &ann_by).await.unwrap_err(),
            engine.configuration_delete(&own(), id, None, &ann_by).await.unwrap_err(),
            engine.configurations_clear(&own(), &ann_by).await.unwrap_err(),
            engine.configuration_show(&own(), id, &ann_by).await.unwrap_err(),
        ];
        assert_eq!(refused.map(|error| error.code()), ["step_up_required"; 6]);
        engine.configuration_create(&own(), FORM, &document, &ann_by).await.unwrap();
        let again = engine.configuration_create(&own(), FORM, &document, &ann_by).await;
        assert_eq!(again.unwrap_err().code(), "step_up_required");
        let told = world.events_of(Kind::ConfigurationCreated).await;
        assert!(told.iter().any(|event| event.actor() == Some("ann") && event.field("authority") == Some("administrator")));
        let proof = prove_on(&engine, &world, login(&ann), &app, &Intent::show_configuration(&account, id)).await;
        assert!(engine.configuration_show(&own(), id, &by(&ann, proof)).await.unwrap().reveal().is_some());
    }

    async fn s18_what_is_sealed_opens_in_its_own_place_alone(world) {
        let engine = node(&world).await;
        let made = create(&engine, &own()).await;
        create(&engine, &Owner::System).await;
        let all = kept(&world).await;
        let [ours, of_system] = [of_acme(), Scope::System]
            .map(|scope| all.iter().find(|record| record.key.scope == scope).unwrap().clone());
        // The system's record, in the place of the account's: authentic, and of another scope.
        let moved = Record::new(ours.key.clone(), of_system.version, of_system.body.clone(), None);
        overwrite(&world, &forged(&moved, &payload(&of_system))).await;
        let id = engine.configurations(&of_acme()).await.unwrap()[0].id;
        assert_eq!(engine.configuration_show(&own(), id, &host()).await.unwrap_err().code(), "unavailable");
        let patched = engine.configuration_patch(&own(), id, FORM, &json!({"enabled": false}), None, &host()).await;
        assert_eq!(patched.unwrap_err().code(), "unavailable");
        // Under another id of the same scope.
        let (at, other) = (payload(&ours), [0x5a; 16]);
        let bytes = made.id.to_string();
        let bytes = data_encoding::HEXLOWER.decode(bytes.as_bytes()).unwrap();
        let from = at.windows(16).position(|window| window == bytes).unwrap();
        let mut renamed = at;
        renamed[from..from + 16].copy_from_slice(&other);
        overwrite(&world, &forged(&ours, &renamed)).await;
        let id = ConfigurationId::from_random(other);
        assert_eq!(engine.configuration_show(&own(), id, &host()).await.unwrap_err().code(), "unavailable");
        // It can be written whole.
        engine.configuration_replace(&own(), id, FORM, &duo(), None, &host()).await.unwrap();
        engine.configuration_show(&own(), id, &host()).await.unwrap();
    }

    async fn a_record_that_cannot_be_trusted_is_an_error_and_is_cleared_whole(world) {
        let engine = node(&world).await;
        let made = create(&engine, &own()).await;
        let mut record = kept(&world).await.remove(0);
        let at = record.body.len() / 2;
        record.body[at] ^= 1;
        overwrite(&world, &record).await;
        let by = host();
        let codes = [
            engine.configurations(&of_acme()).await.unwrap_err().code(),
            engine.configuration_show(&own(), made.id, &by).await.unwrap_err().code(),
            engine.configuration_create(&own(), FORM, &duo(), &by).await.unwrap_err().code(),
            engine.configuration_replace(&own(), made.id, FORM, &duo(), None, &by).await.unwrap_err().code(),
            engine.configuration_delete(&own(), made.id, None, &by).await.unwrap_err().code(),
        ];
        assert_eq!(codes, ["unavailable"; 5]);
        assert!(!world.events_of(Kind::RecordRefused).await.is_empty());
        engine.configurations_clear(&own(), &by).await.unwrap();
        assert!(engine.configurations(&of_acme()).await.unwrap().is_empty());
        assert_eq!(engine.configurations_clear(&own(), &by).await.unwrap_err().code(), "no_document");
        assert_eq!(world.events_of(Kind::ConfigurationsCleared).await.len(), 1);
    }

    async fn s18_keys_move_to_the_new_key_and_hold_the_old_one_until_then(world) {
        let engine = node(&world).await;
        for _ in 0..32 {
            create(&engine, &own()).await;
        }
        let of_system = create(&engine, &Owner::System).await;
        let (old, new) = (world.ring.active(), KeyId::parse("k2").unwrap());
        world.ring.add(new.clone(), [9; 32]).unwrap();
        engine.key_activate(&new, "ops", "yearly").await.unwrap();
        // Bodies move when they are written; what is sealed in them as long as it holds the old key counts.
        engine.configuration_show(&Owner::System, of_system.id, &host()).await.unwrap();
        assert_eq!(engine.key_references(&old).await.unwrap(), 2);
        assert_eq!(engine.key_retire(&old, "ops", "yearly").await.unwrap_err().code(), "key_in_use");
        let before = engine.configurations(&of_acme()).await.unwrap();
        assert_eq!(engine.reseal().await.unwrap().unreadable, 0);
        engine.key_retire(&old, "ops", "yearly").await.unwrap();
        assert_eq!(engine.configurations(&of_acme()).await.unwrap(), before);
        for one in before {
            let shown = engine.configuration_show(&own(), one.id, &host()).await.unwrap();
            assert_eq!(shown.reveal(), duo().get("settings"));
        }
    }

    async fn a_backup_that_comes_back_leaves_them_as_they_are(world) {
        let engine = node(&world).await;
        create(&engine, &own()).await;
        let before = kept(&world).await;
        engine.restore_barrier("ops", "restored").await.unwrap();
        assert_eq!(kept(&world).await, before);
    }

    async fn there_are_so_many_of_so_many_bytes(world) {
        let engine = node(&world).await;
        let by = host();
        for _ in 0..32 {
            engine.configuration_create(&own(), FORM, &json!({"provider_name": "duo"}), &by).await.unwrap();
        }
        let more = engine.configuration_create(&own(), FORM, &json!({"provider_name": "duo"}), &by).await;
        assert_eq!(more.unwrap_err().code(), "maxItems");
        engine.configurations_clear(&own(), &by).await.unwrap();
        let large = json!({"provider_name": "duo", "settings": {"a": "a".repeat(4000)}});
        let mut made = 0;
        let error = loop {
            match engine.configuration_create(&own(), FORM, &large, &by).await {
                Ok(_) => made += 1,
                Err(error) => break error,
            }
        };
        assert_eq!((made, error.code()), (15, "maxLength"));
        assert_eq!(engine.configurations(&of_acme()).await.unwrap().len(), made);
    }

    async fn of_two_who_change_at_once_both_are_heard_unless_they_named_the_state(world) {
        let store = Arc::new(between(&world.store));
        let raced = node_on(&world, store.clone()).modules(Modules::kazoo()).build().await.unwrap();
        let other = node(&world).await;
        let made = create(&other, &own()).await;
        for (revision, expected) in [(None, "done"), (Some(made.revision), "conflict")] {
            let elsewhere = other.clone();
            store.plan(Moment::Read("configurations"), async move {
                let second = json!({"settings": {"raced": revision.is_some()}});
                elsewhere.configuration_patch(&own(), made.id, FORM, &second, None, &host()).await.unwrap();
            });
            let at = if revision.is_some() { Some(other.configurations(&of_acme()).await.unwrap()[0].revision) } else { None };
            let patch = json!({"settings": {"duo_expire": 60}, "enabled": revision.is_none()});
            let told = raced.configuration_patch(&own(), made.id, FORM, &patch, at, &host()).await;
            assert_eq!(told.map_or_else(|error| error.code(), |_| "done"), expected);
            assert!(store.is_done());
            let shown = other.configuration_show(&own(), made.id, &host()).await.unwrap();
            let settings = shown.reveal().unwrap();
            assert_eq!((&settings["raced"], &settings["duo_expire"]), (&json!(revision.is_some()), &json!(60)));
            assert!(shown.configuration().enabled);
        }
    }

    async fn a_change_costs_one_read_and_one_commit(world) {
        let counting = Arc::new(CountingStore::new(world.store.clone()));
        let engine = node_on(&world, counting.clone()).modules(Modules::kazoo()).build().await.unwrap();
        counting.take();
        let costs = || {
            let counts = counting.take();
            (counts.gets, counts.commits)
        };
        let made = create(&engine, &own()).await;
        assert_eq!(costs(), (1, 1));
        engine.configuration_show(&own(), made.id, &host()).await.unwrap();
        assert_eq!(costs(), (1, 1));
        engine.configurations(&of_acme()).await.unwrap();
        assert_eq!(costs(), (1, 0));
        // Nothing is written that nobody would read.
        let refused = world.engine.configuration_create(&own(), FORM, &duo(), &host()).await;
        assert_eq!(refused.unwrap_err().code(), "required");
    }
}

/// A site whose host keeps no settings of Duo.
async fn bare(world: World, policy: Policy) -> DuoSite {
    let mut site = DuoSite::new(world, Mode::WebSdk).await;
    let modules = Modules::new().with(Module::parse("user_auth").unwrap());
    site.engine = site.bare_node().policy(policy).modules(modules).build().await.unwrap();
    site
}

async fn of_site(site: &DuoSite, owner: &Owner) -> ConfigurationId {
    let document = json!({"provider_name": "duo", "settings": site.settings(&json!({}))});
    site.engine.configuration_create(owner, FORM, &document, &host()).await.unwrap().id
}

async fn ask_by(site: &DuoSite, of: &Owner, owner: &str, id: ConfigurationId) {
    let second = json!({"enabled": true, "configuration_id": id.to_string(), "account_id": owner,
        "include_subaccounts": true});
    let document = json!({"auth_modules": {"user_auth": {"multi_factor": second}}});
    site.engine.settings_put(of, &document, None, &host()).await.unwrap();
}

fn is_denied(begun: &Begin) -> bool {
    matches!(begun, Begin::Denied(Denied { reason: DeniedReason::Unavailable, .. }))
}

on_duo! {
    [memory, sqlite] async fn s07_an_enrolment_is_good_under_the_configuration_it_was_made_under_alone(world) {
        let site = bare(world, Policy::kazoo()).await;
        let lineage = ["acme", "root"].map(|name| Ancestor::new(AccountId::parse(name).unwrap())).to_vec();
        let bob = site.add("bob").await.with_lineage(lineage).unwrap();
        site.world.directory.put(&bob).await.unwrap();
        let root = Owner::Account(Account::new(AccountId::parse("root").unwrap()));
        let child = Owner::Account(Account::from(&bob));
        // Set up with a Duo of the child's own, which would approve everything.
        let (parents, childs) = (of_site(&site, &root).await, of_site(&site, &child).await);
        ask_by(&site, &root, "root", parents).await;
        ask_by(&site, &child, "acme", childs).await;
        site.enrol(&bob).await;
        assert!(matches!(site.log_in(&bob).await, Verify::Verified(_)));
        let open = site.begin(&bob).await;
        let answer = site.response_to(&open.prompt).await;
        // Under the parent's it is worth nothing: not at begin, and not for what was begun before.
        ask_by(&site, &child, "root", parents).await;
        assert!(is_denied(&site.engine.begin(login(&bob)).await.unwrap()));
        let told = site.verify(&open, answer).await;
        assert!(matches!(told, Verify::Rejected(_)), "{told:?}");
        // The same keys under another id are another configuration.
        ask_by(&site, &child, "acme", of_site(&site, &child).await).await;
        assert!(is_denied(&site.engine.begin(login(&bob)).await.unwrap()));
        ask_by(&site, &child, "acme", childs).await;
        site.advance(Duration::from_secs(1));
        assert!(matches!(site.log_in(&bob).await, Verify::Verified(_)));
    }

    [memory, sqlite] async fn s07_a_set_up_is_confirmed_under_the_configuration_it_was_begun_under(world) {
        let site = bare(world, Policy::kazoo()).await;
        let bob = site.add("bob").await;
        ask_by(&site, &own(), "acme", of_site(&site, &own()).await).await;
        let started = site.enrol_begin(&bob).await.unwrap();
        let answer = site.response_to(&started.prompt).await;
        ask_by(&site, &own(), "acme", of_site(&site, &own()).await).await;
        let told = site.confirm(&started, answer).await;
        assert!(matches!(told, EnrolConfirm::Rejected(Rejected { reason: Reason::Unavailable, .. })), "{told:?}");
    }

    [memory, sqlite] async fn s05_nobody_is_let_in_where_configurations_cannot_be_trusted(world) {
        let site = bare(world, Policy::kazoo()).await;
        let bob = site.add("bob").await;
        ask_by(&site, &own(), "acme", of_site(&site, &own()).await).await;
        site.enrol(&bob).await;
        let challenge = site.begin(&bob).await;
        let answer = site.response_to(&challenge.prompt).await;
        let record = kept(&site.world).await.remove(0);
        let mut changed = record.clone();
        let at = changed.body.len() / 2;
        changed.body[at] ^= 1;
        // Its version is new, so that nobody uses what was read before.
        let fresh = site.bare_node().policy(Policy::kazoo());
        let fresh = fresh.modules(Modules::new().with(Module::parse("user_auth").unwrap())).build().await.unwrap();
        overwrite(&site.world, &changed).await;
        assert_eq!(fresh.begin(login(&bob)).await.unwrap_err().code(), "unavailable");
        assert_eq!(fresh.verify(&challenge.reference, answer).await.unwrap_err().code(), "unavailable");
        overwrite(&site.world, &record).await;
        assert!(matches!(site.log_in(&bob).await, Verify::Verified(_)));
    }

    [memory, sqlite] async fn by_module_the_selected_provider_alone_is_asked_for(world) {
        let site = bare(world, Policy::kazoo()).await;
        let bob = site.add("bob").await;
        ask_by(&site, &own(), "acme", of_site(&site, &own()).await).await;
        let app = site.world.enrol_again(&bob).await;
        // Who has another method is neither asked for it nor taken for somebody without one.
        assert!(is_denied(&site.engine.begin(login(&bob)).await.unwrap()));
        site.enrol(&bob).await;
        let challenge = site.begin(&bob).await;
        assert_eq!((challenge.method.provider.as_str(), challenge.methods.len()), ("duo", 1));
        let told = site.verify(&challenge, Response::code(&app.code_at(site.world.now()))).await;
        assert!(matches!(told, Verify::Rejected(_)), "{told:?}");
        // Where the module does not decide, both are.
        let modules = Modules::new().with(Module::parse("user_auth").unwrap());
        let all = Policy::recommended().with_document(&json!({"offered": ["totp", "duo"]})).unwrap();
        let all = site.bare_node().policy(all).modules(modules).build().await.unwrap();
        let Begin::Challenge(challenge) = all.begin(login(&bob)).await.unwrap() else { panic!() };
        assert_eq!(challenge.methods.len(), 2);
    }

    [memory, sqlite] async fn a_provider_without_settings_of_the_host_s_is_nothing_without_a_configuration(world) {
        let site = bare(world, Policy::kazoo()).await;
        let bob = site.add("bob").await;
        assert_eq!(site.enrol_begin(&bob).await.unwrap_err().code(), "method_not_offered");
        ask_by(&site, &own(), "acme", of_site(&site, &own()).await).await;
        site.enrol_begin(&bob).await.unwrap();
    }

    [memory, sqlite] async fn a_login_reads_configurations_with_the_user_s_records(world) {
        let site = bare(world, Policy::kazoo()).await;
        let bob = site.add("bob").await;
        let (acme, other) = (of_site(&site, &own()).await, of_site(&site, &own()).await);
        ask_by(&site, &own(), "acme", acme).await;
        site.enrol(&bob).await;
        let challenge = site.begin(&bob).await;
        let answer = site.response_to(&challenge.prompt).await;
        // Another node writes another one in between: nothing is stale, and nothing of it is this login's.
        let elsewhere = site.bare_node().modules(Modules::kazoo()).build().await.unwrap();
        elsewhere.configuration_patch(&own(), other, FORM, &json!({"enabled": false}), None, &host()).await.unwrap();
        assert!(matches!(site.verify(&challenge, answer).await, Verify::Verified(_)));
        elsewhere.configuration_patch(&own(), acme, FORM, &json!({"enabled": false}), None, &host()).await.unwrap();
        assert!(is_denied(&site.engine.begin(login(&bob)).await.unwrap()));
    }
}

/// Logins through `user_auth`, which asks by a configuration of apps that acme has.
async fn apps(engine: &Engine) -> ConfigurationId {
    let apps = json!({"provider_name": "totp"});
    let made = engine.configuration_create(&own(), FORM, &apps, &host()).await.unwrap();
    let second = json!({"enabled": true, "configuration_id": made.id.to_string(), "account_id": "acme"});
    let document = json!({"auth_modules": {"user_auth": {"multi_factor": second}}});
    engine.settings_put(&own(), &document, None, &host()).await.unwrap();
    made.id
}

async fn told(engine: &Engine, challenge: &Challenge, code: &str) -> &'static str {
    match engine.verify(&challenge.reference, Response::code(code)).await.unwrap() {
        Verify::Rejected(rejected) => rejected.reason.code(),
        Verify::Verified(_) => "verified",
        other => panic!("{other:?}"),
    }
}

on_stores! {
    async fn s23_one_that_is_disabled_while_an_answer_is_judged_is_held_against_it(world) {
        let store = Arc::new(between(&world.store));
        let modules = || Modules::new().with(Module::parse("user_auth").unwrap());
        let raced = node_on(&world, store.clone()).modules(modules()).build().await.unwrap();
        let other = world.node().modules(modules()).build().await.unwrap();
        let id = apps(&other).await;
        let bob = world.add("bob").await;
        let app = enrol_by(&other, &world, &bob, &host()).await;
        let challenge = mfa_tests::begin(&raced, &bob).await;
        let elsewhere = other.clone();
        store.plan(Moment::Read("challenge"), async move {
            let off = json!({"enabled": false});
            elsewhere.configuration_patch(&own(), id, FORM, &off, None, &host()).await.unwrap();
        });
        assert_eq!(told(&raced, &challenge, &app.code_at(world.now())).await, "unavailable");
        assert!(store.is_done());
        assert!(world.events_of(Kind::AnswerAccepted).await.is_empty());
        // Enabled again it is as it was, and nothing was spent.
        other.configuration_patch(&own(), id, FORM, &json!({"enabled": true}), None, &host()).await.unwrap();
        assert_eq!(told(&raced, &challenge, &app.code_at(world.now())).await, "verified");
    }
}

on_duo! {
    [memory, sqlite] async fn while_what_the_module_asks_by_is_disabled_no_other_method_lets_in(world) {
        let policy = Policy::recommended().with_document(&json!({"offered": ["totp", "duo"]})).unwrap();
        let site = bare(world, policy).await;
        let id = of_site(&site, &own()).await;
        ask_by(&site, &own(), "acme", id).await;
        let (bob, app) = site.world.enrol("bob").await;
        let challenge = site.begin(&bob).await;
        site.engine.configuration_patch(&own(), id, FORM, &json!({"enabled": false}), None, &host()).await.unwrap();
        assert!(is_denied(&site.engine.begin(login(&bob)).await.unwrap()));
        let code = app.code_at(site.world.now());
        assert_eq!(told(&site.engine, &challenge, &code).await, "unavailable");
        // A change is still proven.
        let intent = Intent::disable(&bob);
        let begun = site.engine.step_up_begin(login(&bob), &intent).await.unwrap();
        assert!(matches!(begun, Begin::Challenge(_)), "{begun:?}");
        site.engine.configuration_patch(&own(), id, FORM, &json!({"enabled": true}), None, &host()).await.unwrap();
        assert_eq!(told(&site.engine, &challenge, &code).await, "verified");
    }
}
