//! Every change that needs a right, asked for through the public calls, and the proofs for them.

use std::time::Duration;

use audit_model::Profile;
use mfa::settings::{Change, Owner};
use mfa::{
    Account, AccountId, Answer, Authority, Begin, Channel, Choice, ConfigurationId, DeviceId, Engine,
    EnrolConfirm, EnrolmentId, EnrolmentStarted, Error, ExemptionId, ExemptionTerms, FirstFactor,
    FirstFactorKind, Intent, Login, MethodSelector, Module, Operation, Policy, Proof, ProviderName,
    RecoveryForm, Response, Subject, UserId, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use serde_json::{Value, json};

use crate::devices::session_of;
use crate::{STEP, World, host, login, session, start, subject, totp};

/// The changes to what protects a user that [`Wanted`] can ask for of anybody; the others are to what an account has, and
/// the end of an exemption, which must be there.
pub const TO_A_USER: [Operation; 12] = [
    Operation::AddMethod,
    Operation::RemoveMethod,
    Operation::PreferMethod,
    Operation::IssueRecovery,
    Operation::Disable,
    Operation::Unlock,
    Operation::Reset,
    Operation::Bypass,
    Operation::Forget,
    Operation::RevokeDevice,
    Operation::BanDevice,
    Operation::GrantExemption,
];

/// One change that somebody asks for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What.
    pub operation: Operation,
    /// For whom.
    pub whom: Subject,
    /// Which of their methods, where it is about one.
    pub method: EnrolmentId,
    /// What to enrol, where it is about that.
    pub provider: ProviderName,
    /// Which of their devices, where it is about one.
    pub device: DeviceId,
}

impl Wanted {
    /// Wants `operation` for `whom`, of their enrolment `method` or with the provider of apps.
    #[must_use]
    pub fn new(operation: Operation, whom: &Subject, method: EnrolmentId) -> Self {
        Self {
            operation,
            whom: whom.clone(),
            method,
            provider: totp(),
            device: DeviceId::from_bytes([9; 16]),
        }
    }

    /// Wants it of this device.
    #[must_use]
    pub const fn of_device(mut self, device: DeviceId) -> Self {
        self.device = device;
        self
    }

    /// Returns what a proof for it is made for.
    ///
    /// # Panics
    /// For an operation that is new here.
    #[must_use]
    pub fn intent(&self) -> Intent {
        let whom = &self.whom;
        match self.operation {
            Operation::AddMethod => Intent::add_method(whom, &self.provider),
            Operation::RemoveMethod => Intent::remove_method(whom, self.method),
            Operation::PreferMethod => Intent::prefer_method(whom, self.method),
            Operation::IssueRecovery => Intent::issue_recovery(whom),
            Operation::Disable => Intent::disable(whom),
            Operation::Unlock => Intent::unlock(whom),
            Operation::Reset => Intent::reset(whom),
            Operation::Bypass => Intent::bypass(whom),
            Operation::Forget => Intent::forget(whom),
            Operation::RevokeDevice => Intent::revoke_device(whom, None),
            Operation::BanDevice => Intent::ban_device(whom, self.device),
            Operation::GrantExemption => Intent::grant_exemption(whom, &exemption()),
            Operation::EndExemption => Intent::end_exemption(whom, ExemptionId::from_bytes([7; 16])),
            Operation::IssueApiKey => Intent::issue_api_key(&self.account()),
            Operation::ShowApiKey => Intent::show_api_key(&self.account()),
            Operation::RemoveApiKey => Intent::remove_api_key(&self.account()),
            Operation::ChangeSettings => Intent::change_settings(&self.account(), Change::Put(&json!({}))),
            Operation::ChangePolicy => Intent::change_policy(&self.account(), Change::Put(&json!({}))),
            Operation::ChangeConfiguration => {
                Intent::change_configuration(&self.account(), None, Change::Put(&provider_of_none()))
            }
            Operation::ShowConfiguration => Intent::show_configuration(&self.account(), no_configuration()),
            other => panic!("{other} is new: say how it is asked for"),
        }
    }

    /// Asks for it, and drops what it hands out.
    ///
    /// # Errors
    /// Those of the call.
    ///
    /// # Panics
    /// For an operation that is new here.
    pub async fn ask(&self, engine: &Engine, authority: &Authority) -> Result<(), Error> {
        let (account, user) = (self.whom.account(), self.whom.user());
        let method = MethodSelector::Enrolment(self.method);
        let life = Duration::from_secs(3600);
        match self.operation {
            Operation::AddMethod => {
                engine.enrol_begin(account, user, &self.provider, &Choice::none(), authority).await.map(drop)
            }
            Operation::RemoveMethod => {
                engine.method_remove(account, user, &method, authority).await.map(drop)
            }
            Operation::PreferMethod => {
                engine.method_prefer(account, user, &method, authority).await.map(drop)
            }
            Operation::IssueRecovery => {
                engine.recovery_issue(account, user, RecoveryForm::Key, authority).await.map(drop)
            }
            Operation::Disable => engine.disable(account, user, authority).await,
            Operation::Unlock => engine.user_unlock(account, user, authority).await,
            Operation::Reset => engine.user_reset(account, user, authority).await,
            Operation::IssueApiKey => engine.api_key_reset(&self.account(), authority).await.map(drop),
            Operation::ShowApiKey => engine.api_key_show(&self.account(), authority).await.map(drop),
            Operation::RemoveApiKey => engine.api_key_remove(&self.account(), authority).await,
            Operation::ChangeSettings => {
                let owner = Owner::Account(self.account());
                engine.settings_put(&owner, &json!({}), None, authority).await.map(drop)
            }
            Operation::ChangePolicy => {
                let owner = Owner::Account(self.account());
                engine.policy_put(&owner, &json!({}), None, authority).await.map(drop)
            }
            Operation::ChangeConfiguration => {
                let (owner, form) = (Owner::Account(self.account()), Profile::Seed2017);
                engine.configuration_create(&owner, form, &provider_of_none(), authority).await.map(drop)
            }
            Operation::ShowConfiguration => {
                let owner = Owner::Account(self.account());
                match engine.configuration_show(&owner, no_configuration(), authority).await {
                    // Whoever may see that there is none may see it.
                    Err(Error::NoDocument) => Ok(()),
                    other => other.map(drop),
                }
            }
            Operation::Bypass => engine.bypass_issue(account, user, life, authority).await.map(drop),
            Operation::Forget => engine.forget_user(account, user, authority).await,
            Operation::RevokeDevice => engine.device_revoke_all(account, user, authority).await,
            Operation::BanDevice => engine.device_ban(account, user, self.device, authority).await,
            Operation::GrantExemption => {
                engine.exemption_grant(account, user, &exemption(), authority).await.map(drop)
            }
            Operation::EndExemption => {
                let none = ExemptionId::from_bytes([7; 16]);
                match engine.exemption_end(account, user, none, authority).await {
                    // Whoever is told that there is none may end it.
                    Err(error) if error.code() == "unknown_exemption" => Ok(()),
                    other => other,
                }
            }
            other => panic!("{other} is new: say how it is asked for"),
        }
    }

    /// Returns the account of whoever it is for, for a change to what the account has.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn account(&self) -> Account {
        let account = Account::new(self.whom.account().clone());
        account.with_lineage(self.whom.lineage().to_vec()).expect("a lineage")
    }

    /// As [`Wanted::ask`], in a word: `done`, or the code of the error.
    pub async fn told(&self, engine: &Engine, authority: &Authority) -> &'static str {
        self.ask(engine, authority).await.map_or_else(|error| error.code(), |()| "done")
    }
}

/// An exemption for 300 days, from the time when every world begins.
///
/// # Panics
/// Never.
#[must_use]
pub fn exemption() -> ExemptionTerms {
    let until = start().plus(Duration::from_secs(300 * 24 * 3600));
    let module = Module::parse("api_auth").expect("a module");
    ExemptionTerms::new(module, FirstFactorKind::ApiKey, "the nightly export", until).expect("terms")
}

/// The recommended policy, with exemptions.
///
/// # Panics
/// Never.
#[must_use]
pub fn exempting() -> Policy {
    Policy::recommended().with_document(&json!({ "exemptions": true })).expect("a policy")
}

/// A configuration of a provider that no engine has.
#[must_use]
pub fn provider_of_none() -> Value {
    json!({ "provider_name": "none" })
}

/// The id of a configuration that nobody has.
#[must_use]
pub const fn no_configuration() -> ConfigurationId {
    ConfigurationId::from_random([7; 16])
}

/// Whether a user may make a change to themselves with a proof, and whether an administrator may to another: the
/// table of the administrators' manual.
///
/// # Panics
/// For an operation that is new here.
#[must_use]
pub fn may(operation: Operation) -> (bool, bool) {
    match operation {
        Operation::AddMethod
        | Operation::RemoveMethod
        | Operation::PreferMethod
        | Operation::Forget
        | Operation::RevokeDevice
        | Operation::BanDevice => (true, true),
        Operation::IssueRecovery | Operation::Disable => (true, false),
        Operation::Unlock
        | Operation::Reset
        | Operation::Bypass
        | Operation::GrantExemption
        | Operation::EndExemption
        | Operation::IssueApiKey
        | Operation::ShowApiKey
        | Operation::RemoveApiKey
        | Operation::ChangeSettings
        | Operation::ChangePolicy
        | Operation::ChangeConfiguration
        | Operation::ShowConfiguration => (false, true),
        other => panic!("{other} is new: say who may"),
    }
}

/// What someone is told who shows a proof of theirs for a change that nobody makes to another, or to themselves.
///
/// Of new recovery codes it is that the user's own proof is needed.
#[must_use]
pub fn never(operation: Operation) -> &'static str {
    if operation == Operation::IssueRecovery { "step_up_required" } else { "not_permitted" }
}

/// Keeps a device of `whom`'s, who gets in by a bypass code. What was open for them ends with it.
///
/// # Panics
/// If they do not get in.
pub async fn keep_device(engine: &Engine, whom: &Subject) -> DeviceId {
    let life = Duration::from_secs(60);
    let issued = engine.bypass_issue(whom.account(), whom.user(), life, &host()).await.expect("a code");
    let begun = engine.begin(login(whom)).await.expect("a begin");
    let Begin::Challenge(challenge) = begun else { panic!("a challenge was expected: {begun:?}") };
    let code = Response::answer(Answer::bypass(issued.code.expose_secret()));
    let verified = engine.verify(&challenge.reference, code).await.expect("a judgement");
    let Verify::Verified(grant) = verified else { panic!("a grant was expected: {verified:?}") };
    engine.device_remember(&grant, Some(&session_of(&grant)), "a device").await.expect("a device").id
}

/// Proves with the app's code, on `engine`, that whoever logs in by `login` wants a change, and moves the clock
/// by a step.
///
/// # Panics
/// If nothing is proven.
pub async fn prove_on(
    engine: &Engine,
    world: &World,
    login: Login,
    app: &SoftAuthenticator,
    intent: &Intent,
) -> Proof {
    let begun = engine.step_up_begin(login, intent).await.expect("a begin");
    let Begin::Challenge(challenge) = begun else { panic!("a challenge was expected: {begun:?}") };
    let code = Response::code(&app.code_at(world.now()));
    let verified = engine.verify(&challenge.reference, code).await.expect("a judgement");
    let Verify::Proven(proven) = verified else { panic!("a proof was expected: {verified:?}") };
    assert_eq!(proven.operation, intent.operation());
    world.clock.advance(STEP);
    proven.proof
}

/// As [`prove_on`], on the first node, in the session that [`session`] names, with the enrolment `method`.
pub async fn prove_with(
    world: &World,
    whom: &Subject,
    (method, app): (EnrolmentId, &SoftAuthenticator),
    intent: &Intent,
) -> Proof {
    let login = login(whom).with_method(MethodSelector::Enrolment(method));
    prove_on(&world.engine, world, login, app, intent).await
}

/// Spends `proof` in the session of `of`.
#[must_use]
pub fn in_session_of(of: &Subject, proof: &Proof) -> Authority {
    Authority::proof(proof.clone(), Some(&session(of)))
}

/// Adds a user of this rank and enrols an app.
///
/// # Panics
/// If the store fails.
pub async fn enrol_ranked(world: &World, name: &str, rank: u8) -> (Subject, SoftAuthenticator) {
    let ranked = subject(name).with_rank(rank);
    world.directory.put(&ranked).await.expect("a directory");
    let app = world.enrol_again(&ranked).await;
    (ranked, app)
}

/// Returns the ids of the user's enrolments, oldest first.
///
/// # Panics
/// If the store fails.
pub async fn enrolments(world: &World, whom: &Subject) -> Vec<EnrolmentId> {
    let methods = world.engine.methods(whom.account(), whom.user()).await.expect("methods");
    methods.into_iter().map(|method| method.id).collect()
}

/// Names a user of another account.
///
/// # Panics
/// If one is no id.
#[must_use]
pub fn subject_of(account: &str, user: &str) -> Subject {
    let account = Account::new(AccountId::parse(account).expect("an id"));
    Subject::of(&account, UserId::parse(user).expect("an id")).with_password_epoch(0)
}

/// The right of `whom` who passed a first factor, in the session that [`session`] names.
#[must_use]
pub fn first_factor(whom: &Subject) -> Authority {
    let session = session(whom);
    let first = FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, Some(&session));
    Authority::FirstFactor(first)
}

/// Enrols an app for `whom` by `authority`, and moves the clock by a step.
///
/// # Panics
/// If that is refused.
pub async fn enrol_by(
    engine: &Engine,
    world: &World,
    whom: &Subject,
    authority: &Authority,
) -> SoftAuthenticator {
    let begun = engine.enrol_begin(whom.account(), whom.user(), &totp(), &Choice::none(), authority).await;
    let started = begun.expect("a begin");
    let app = scan(&started);
    let code = Response::code(&app.code_at(world.now()));
    let confirmed = engine.enrol_confirm(&started.reference, &code).await.expect("a confirmation");
    assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)), "{confirmed:?}");
    world.clock.advance(STEP);
    app
}

/// Scans what an enrolment shows.
///
/// # Panics
/// If it shows no address of an app.
#[must_use]
pub fn scan(started: &EnrolmentStarted) -> SoftAuthenticator {
    let uri = started.revealed.get("uri").expect("a uri");
    SoftAuthenticator::scan(uri.expose_secret()).expect("a uri that scans")
}
