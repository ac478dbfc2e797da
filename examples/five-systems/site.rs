//! One system: an engine with its preset, an account below its parent, and users with and without a method.

use std::sync::Arc;
use std::time::Duration;

use mfa::delivery::Delivered;
use mfa::delivery::address::Domain;
use mfa::delivery::text::{SiteName, Texts};
use mfa::settings::{Modules, Owner};
use mfa::sqlite::SqliteStore;
use mfa::totp::Totp;
use mfa::{
    Account, AccountId, Ancestor, Authority, Begin, Channel, Choice, Contact, Engine, EnrolConfirm,
    Entropy as _, ExplainedOutcome, Explanation, FirstFactor, FirstFactorKind, KeyId, KeyRing, Login, Module,
    NotRequired, OsEntropy, ProviderName, Response, RiskDecision, Runtime as _, StoredDirectory, Subject,
    Timestamp, UserId,
};
use mfa_examples::Failure;
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::inbox::Inbox;
use mfa_testkit::runtime::VirtualRuntime;
use serde_json::{Value, json};

use crate::systems::System;
use crate::table::Table;

/// 2027-01-15, eight o'clock.
const MORNING: u64 = 1_800_000_000;

/// An engine and who uses it.
pub(crate) struct Site {
    engine: Engine,
    clock: VirtualRuntime,
    inbox: Inbox,
    account: Account,
    directory: Arc<StoredDirectory>,
}

impl Site {
    pub(crate) async fn open(store: &Arc<SqliteStore>, system: &System) -> Result<Self, Failure> {
        let clock = VirtualRuntime::new(Timestamp::from_unix_seconds(MORNING)?);
        let mut key = [0; 32];
        OsEntropy::new().fill(&mut key)?;
        let ring = KeyRing::new(KeyId::parse(system.id)?, key)?;
        let directory =
            StoredDirectory::new(Arc::<SqliteStore>::clone(store), ring.clone(), Arc::new(clock.clone()));
        let directory = Arc::new(directory);
        let inbox = Inbox::new();
        let site_name = SiteName::parse("Acme")?;
        let texts = Texts::builder(site_name, Domain::parse("login.acme.example")?).build()?;
        let users = Arc::<StoredDirectory>::clone(&directory);
        let engine = Engine::builder(Arc::<SqliteStore>::clone(store), users, ring, Arc::new(clock.clone()))
            .policy((system.policy)())
            .modules(Modules::kazoo())
            .provider(Totp::new("Acme")?)
            .provider_with(Delivered::email(Arc::new(texts))?, (system.email)())
            .transport(Arc::new(inbox.clone()))
            .danger_test_doubles()
            .build()
            .await?;
        let lineage = [system.id, &format!("{}_parent", system.id)].map(AccountId::parse);
        let [own, parent] = lineage;
        let lineage = vec![Ancestor::new(own?), Ancestor::new(parent?)];
        let account = Account::new(AccountId::parse(system.id)?).with_lineage(lineage)?;
        Ok(Self { engine, clock, inbox, account, directory })
    }

    /// What lets in more than the recommended preset; the clock of a script is no part of the system.
    pub(crate) fn dangers(&self) -> Vec<&'static str> {
        self.engine.dangers().iter().copied().filter(|danger| *danger != "danger_test_doubles").collect()
    }

    /// Adds a user with a verified mailbox.
    pub(crate) async fn user(&self, name: &str) -> Result<Subject, Failure> {
        let mailbox = Contact::email(format!("{name}@acme.example"))?.verified();
        let subject = Subject::of(&self.account, UserId::parse(name)?).with_contacts(vec![mailbox])?;
        self.directory.put(&subject).await?;
        Ok(subject)
    }

    /// Has a user set up an authenticator app.
    pub(crate) async fn set_up_app(&self, user: &Subject) -> Result<(), Failure> {
        let totp = ProviderName::parse("totp")?;
        let (none, host) = (Choice::none(), host());
        let begun = self.engine.enrol_begin(user.account(), user.user(), &totp, &none, &host);
        let started = begun.await?;
        let uri = started.revealed.get("uri").ok_or_else(|| Failure::failed("no link for the app"))?;
        let app =
            SoftAuthenticator::scan(uri.expose_secret()).map_err(|_| Failure::failed("no app reads it"))?;
        let code = Response::code(&app.code_at(self.clock.now()));
        self.confirmed(self.engine.enrol_confirm(&started.reference, &code).await?)
    }

    /// Has a user set up the mailbox.
    pub(crate) async fn set_up_mailbox(&self, user: &Subject) -> Result<(), Failure> {
        let email = ProviderName::parse("email")?;
        let (none, host) = (Choice::none(), host());
        let begun = self.engine.enrol_begin(user.account(), user.user(), &email, &none, &host);
        let started = begun.await?;
        let mail = self.inbox.take().pop().ok_or_else(|| Failure::failed("no mail arrived"))?;
        let code = mail.body.split(|c: char| !c.is_ascii_digit()).find(|run| run.len() == 6);
        let code = code.ok_or_else(|| Failure::failed("no code in the mail"))?;
        self.confirmed(self.engine.enrol_confirm(&started.reference, &Response::code(code)).await?)
    }

    /// Writes settings of the account, or of its parent.
    pub(crate) async fn settings(&self, of: Whose, module: &str, fields: Value) -> Result<(), Failure> {
        let document = json!({ "auth_modules": { module: fields } });
        self.engine.settings_put(&self.owner(of)?, &document, None, &host()).await?;
        Ok(())
    }

    /// Writes the policy of the account, or of its parent.
    pub(crate) async fn policy(&self, of: Whose, document: Value) -> Result<(), Failure> {
        self.engine.policy_put(&self.owner(of)?, &document, None, &host()).await?;
        Ok(())
    }

    /// Lets an hour pass.
    pub(crate) fn an_hour_later(&self) {
        self.clock.advance(Duration::from_secs(3600));
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.now().unix_seconds()
    }

    /// Notes what an administrator did.
    pub(crate) fn note(&self, table: &mut Table, what: &str) {
        table.row([self.time(), "–".to_owned(), what.to_owned(), String::new(), String::new()]);
    }

    /// Signs in with a password, and notes what is asked for then.
    pub(crate) async fn sign_in(
        &self,
        table: &mut Table,
        user: &Subject,
        module: &str,
        decision: RiskDecision,
    ) -> Result<(), Failure> {
        let password = FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, None);
        let login = Login::new(user.clone(), password, Module::parse(module)?).with_decision(decision);
        let explained = self.engine.explain(&login).await?;
        let asked = match self.engine.begin(login).await? {
            Begin::Challenge(challenge) => challenge.method.provider.to_string(),
            Begin::NotRequired(why) => format!("nothing ({})", why.code()),
            Begin::EnrolmentRequired(_) => "to set up a method first".to_owned(),
            Begin::Denied(denied) => format!("refused ({})", denied.reason.code()),
            _ => "something new".to_owned(),
        };
        let signs_in = format!("signs in through {module}");
        table.row([self.time(), user.user().as_str().to_owned(), signs_in, asked, deciding(&explained)]);
        Ok(())
    }

    fn owner(&self, of: Whose) -> Result<Owner, Failure> {
        let from = match of {
            Whose::Own => 0,
            Whose::Parents => 1,
        };
        let lineage: Vec<_> = self.account.lineage().iter().skip(from).cloned().collect();
        let first = lineage.first().ok_or_else(|| Failure::failed("no account"))?.account.clone();
        Ok(Owner::Account(Account::new(first).with_lineage(lineage)?))
    }

    fn confirmed(&self, confirmed: EnrolConfirm) -> Result<(), Failure> {
        self.clock.advance(Duration::from_secs(30));
        match confirmed {
            EnrolConfirm::Confirmed(_) => Ok(()),
            other => Err(Failure::Failed(format!("a method was not set up: {other:?}"))),
        }
    }

    fn time(&self) -> String {
        let minutes = self.now().saturating_sub(MORNING) / 60;
        format!("{:02}:{:02}", (minutes / 60).saturating_add(8), minutes % 60)
    }
}

/// Whose documents an administrator writes.
#[derive(Clone, Copy)]
pub(crate) enum Whose {
    Own,
    Parents,
}

/// Nobody asks: the script decides what the users have and what the administrators write.
fn host() -> Authority {
    Authority::host_vouched("script", "one day in five systems")
}

/// Names the rule that decided, with its value and where it came from.
fn deciding(explained: &Explanation) -> String {
    let names: &[&str] = match explained.outcome {
        ExplainedOutcome::Denied(_) => &["module_enabled"],
        ExplainedOutcome::EnrolmentRequired => &["enforced", "module_asks"],
        ExplainedOutcome::NotRequired(NotRequired::NotChallenged) => &["decision"],
        ExplainedOutcome::NotRequired(NotRequired::Grace) => &["enforced_from"],
        ExplainedOutcome::NotRequired(NotRequired::ModuleDoesNotAsk) => &["module_asks"],
        ExplainedOutcome::NotRequired(_) => &["enrolments"],
        _ => &["module_asks", "enforced", "decision", "enrolments"],
    };
    let of = |name: &&str| explained.rules.iter().find(|rule| rule.name == *name && rule.value != "false");
    let rule =
        names.iter().find_map(of).or_else(|| explained.rules.iter().find(|rule| names.contains(&rule.name)));
    rule.map_or_else(String::new, |rule| format!("{} = {} ({})", rule.name, rule.value, rule.origin))
}
