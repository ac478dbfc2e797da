//! The calls that read and write what accounts set: settings of modules, and policies.

use audit_model::Scope;
use serde_json::Value;

use super::Engine;
use crate::decide::document::{By, Writing, Written, read};
use crate::decide::permit::Permit;
use crate::record::document::document_key;
use crate::settings::{Change, Effective, Owner, Revision, Settings, Stored};
use crate::{
    Account, Authority, EffectivePolicy, Error, FieldError, Forbidden, Intent, Key, Module, PolicyDocument,
    Subject,
};

/// Nothing that whoever reads it has done wrong.
const NOT_KNOWN: Error = Error::Unavailable("a stored document is none that this program knows");

impl Engine {
    /// Returns the settings that an account, or the system, has of its own. One read.
    ///
    /// # Errors
    /// Errors with code `unavailable`.
    pub async fn settings(&self, of: &Scope) -> Result<Option<Stored<Settings>>, Error> {
        let Some((json, revision)) = self.document(of, Written::Settings).await? else { return Ok(None) };
        let document = Settings::read(&json).map_err(|_| NOT_KNOWN)?;
        Ok(Some(Stored { document, revision }))
    }

    /// Writes the settings of an account, or of the system, whole. They hold from the next step on, on every node.
    ///
    /// With a revision it is refused if the document was changed since; without one it takes the place of whatever is
    /// there.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_core::settings::*;
    /// # use mfa_testkit::host::{TestHost, acme, login, subject, vouched};
    /// # use serde_json::json;
    /// # futures::executor::block_on(async {
    /// let host = TestHost::with_modules(Modules::new().with(Module::parse("user_auth").unwrap())).await;
    /// let acme = Owner::Account(Account::new(acme()));
    /// let off = json!({"auth_modules": {"user_auth": {"enabled": false}}});
    /// let revision = host.engine.settings_put(&acme, &off, None, &vouched()).await?;
    /// let begun = host.engine.begin(login(&subject("bob"))).await?;
    /// assert!(matches!(begun, Begin::Denied(Denied { reason: DeniedReason::ModuleDisabled, .. })));
    ///
    /// // Somebody else was faster.
    /// let on = json!({"auth_modules": {"user_auth": {"enabled": true}}});
    /// host.engine.settings_put(&acme, &on, Some(revision), &vouched()).await?;
    /// let late = host.engine.settings_put(&acme, &off, Some(revision), &vouched()).await;
    /// assert_eq!(late.unwrap_err().code(), "conflict");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidDocument`] with every field that is wrong, as [`Settings::parse`] and, with code
    /// `not_in_account_tree`, where a configuration is named that is neither the account's nor of an account above that
    /// includes its sub-accounts; [`Error::Conflict`]; [`Error::Forbidden`]; errors with code `unavailable`.
    pub async fn settings_put(
        &self,
        owner: &Owner,
        document: &Value,
        revision: Option<Revision>,
        authority: &Authority,
    ) -> Result<Revision, Error> {
        self.put(Written::Settings, owner, Change::Put(document), revision, authority).await
    }

    /// Changes the settings of an account, or of the system: objects are merged, and `null` takes a value away, which is
    /// then inherited (RFC 7396).
    ///
    /// # Errors
    /// As [`Engine::settings_put`].
    pub async fn settings_patch(
        &self,
        owner: &Owner,
        patch: &Value,
        revision: Option<Revision>,
        authority: &Authority,
    ) -> Result<Revision, Error> {
        self.put(Written::Settings, owner, Change::Patch(patch), revision, authority).await
    }

    /// Deletes the settings of an account, or of the system: everything is inherited again.
    ///
    /// # Errors
    /// [`Error::NoDocument`] where there are none; else as [`Engine::settings_put`].
    pub async fn settings_delete(
        &self,
        owner: &Owner,
        revision: Option<Revision>,
        authority: &Authority,
    ) -> Result<(), Error> {
        self.write(Written::Settings, owner, Change::Delete, revision, authority).await.map(|_| ())
    }

    /// Returns what holds for a module of `account`, every value with where it came from. One read.
    ///
    /// # Errors
    /// [`Error::Invalid`] with code `unknown_module`; errors with code `unavailable`.
    pub async fn settings_resolve(&self, account: &Account, module: &Module) -> Result<Effective, Error> {
        let rules = &self.inner.rules;
        let records = self.load_documents(account).await?;
        let held = rules.held(account.lineage(), Some(module), &records)?;
        let effective = held.documents.module.as_deref().cloned();
        effective
            .ok_or_else(|| FieldError::new("module", "unknown_module", "is none of this engine's").into())
    }

    /// Returns what an account, or the system, has of its own of the policy. One read.
    ///
    /// # Errors
    /// Errors with code `unavailable`.
    pub async fn policy_document(&self, of: &Scope) -> Result<Option<Stored<PolicyDocument>>, Error> {
        let Some((json, revision)) = self.document(of, Written::Policy).await? else { return Ok(None) };
        let document = PolicyDocument::parse(&json).map_err(|_| NOT_KNOWN)?;
        Ok(Some(Stored { document, revision }))
    }

    /// Writes the policy document of an account, or of the system, whole; revisions as in [`Engine::settings_put`].
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_core::settings::*;
    /// # use mfa_testkit::host::{TestHost, acme, login, subject, vouched};
    /// # use serde_json::json;
    /// # futures::executor::block_on(async {
    /// let host = TestHost::with_modules(Modules::new().with(Module::parse("user_auth").unwrap())).await;
    /// let everybody = json!({"enforced": true, "enforce": ["enforced"]});
    /// host.engine.policy_put(&Owner::System, &everybody, None, &vouched()).await?;
    ///
    /// // An account may say otherwise, and it changes nothing.
    /// let acme = Owner::Account(Account::new(acme()));
    /// host.engine.policy_put(&acme, &json!({"enforced": false}), None, &vouched()).await?;
    /// assert!(matches!(host.engine.begin(login(&subject("bob"))).await?, Begin::EnrolmentRequired(_)));
    ///
    /// let refused = host.engine.policy_put(&acme, &json!({"trigger": "per_module"}), None, &vouched()).await;
    /// assert_eq!(refused.unwrap_err().code(), "host_only");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidDocument`] as [`PolicyDocument::parse`]; [`Error::Conflict`]; [`Error::Forbidden`]; errors with
    /// code `unavailable`.
    pub async fn policy_put(
        &self,
        owner: &Owner,
        document: &Value,
        revision: Option<Revision>,
        authority: &Authority,
    ) -> Result<Revision, Error> {
        self.put(Written::Policy, owner, Change::Put(document), revision, authority).await
    }

    /// Changes the policy document of an account, or of the system; `null` takes a knob away (RFC 7396).
    ///
    /// # Errors
    /// As [`Engine::policy_put`].
    pub async fn policy_patch(
        &self,
        owner: &Owner,
        patch: &Value,
        revision: Option<Revision>,
        authority: &Authority,
    ) -> Result<Revision, Error> {
        self.put(Written::Policy, owner, Change::Patch(patch), revision, authority).await
    }

    /// Deletes the policy document of an account, or of the system.
    ///
    /// # Errors
    /// [`Error::NoDocument`] where there is none; else as [`Engine::policy_put`].
    pub async fn policy_delete(
        &self,
        owner: &Owner,
        revision: Option<Revision>,
        authority: &Authority,
    ) -> Result<(), Error> {
        self.write(Written::Policy, owner, Change::Delete, revision, authority).await.map(|_| ())
    }

    /// Returns the policy that holds for the first account of `lineage`, with where each knob came from. One read.
    ///
    /// # Errors
    /// Errors with code `unavailable`.
    pub async fn policy_resolve(&self, account: &Account) -> Result<EffectivePolicy, Error> {
        let records = self.load_documents(account).await?;
        let held = self.inner.rules.held(account.lineage(), None, &records)?;
        let (origins, configurations_from) =
            (held.documents.origins.clone(), held.documents.configurations_from.clone());
        Ok(EffectivePolicy { policy: held.policy.clone(), origins, configurations_from })
    }

    async fn put(
        &self,
        kind: Written,
        owner: &Owner,
        change: Change<'_>,
        revision: Option<Revision>,
        authority: &Authority,
    ) -> Result<Revision, Error> {
        let revision = self.write(kind, owner, change, revision, authority).await?;
        revision.ok_or(Error::Unavailable("the document that was just written"))
    }

    async fn write(
        &self,
        kind: Written,
        owner: &Owner,
        change: Change<'_>,
        revision: Option<Revision>,
        authority: &Authority,
    ) -> Result<Option<Revision>, Error> {
        let rules = &self.inner.rules;
        let (scope, mut keys) = (owner.scope(), owner.keys(rules));
        let intent = |account: &Account| match kind {
            Written::Settings => Intent::change_settings(account, change),
            Written::Policy => Intent::change_policy(account, change),
        };
        let asker = self.asker(owner, authority, intent, &mut keys).await?;
        let writing = Writing { rules, kind, owner, change, revision, by: asker.by() };
        let decide = |records: &_, now, draw: &mut _| writing.write(records, now, draw);
        let settled = self.inner.driver.run_in(&scope, None, &keys, None, decide).await?;
        settled.value?;
        Ok(settled.records.version(&document_key(scope, kind.record())).map(Revision::of))
    }

    /// Reads who asks for a change to what an account, or the system, has; a proof of another account is spent there.
    pub(super) async fn asker<'a>(
        &self,
        owner: &Owner,
        authority: &'a Authority,
        intent: impl FnOnce(&Account) -> Intent,
        keys: &mut Vec<Key>,
    ) -> Result<Asker<'a>, Error> {
        let account = match owner {
            Owner::System => {
                let Authority::HostVouched { actor, reason } = authority else {
                    return Err(Forbidden::NotPermitted.into());
                };
                return Ok(Asker::Host { actor, reason });
            }
            Owner::Account(account) => account,
        };
        let (subject, intent) = (account.as_subject()?, intent(account));
        let mut permit = Permit::read(self.ring(), authority)?;
        keys.extend(permit.keys(subject.account(), subject.user())?);
        self.spend_elsewhere(&mut permit, &subject, keys, |_| Ok(intent.clone())).await?;
        Ok(Asker::Somebody(Box::new((subject, permit, intent))))
    }

    /// Refuses what no step would read.
    pub(super) fn keeps_documents(&self) -> Result<(), Error> {
        if self.inner.rules.modules.is_empty() {
            let problem = "must be named to the engine before settings and policies are kept for accounts";
            return Err(FieldError::new("modules", "required", problem).into());
        }
        Ok(())
    }

    async fn document(&self, of: &Scope, kind: Written) -> Result<Option<(Value, Revision)>, Error> {
        let key = document_key(of.clone(), kind.record());
        let driver = &self.inner.driver;
        let records = driver.load(core::slice::from_ref(&key), driver.runtime.now()).await?;
        Ok(read(&records, &key)?.document.map(|(json, version)| (json, Revision::of(version))))
    }

    async fn load_documents(&self, account: &Account) -> Result<crate::driver::Records, Error> {
        let driver = &self.inner.driver;
        driver.load(&self.inner.rules.document_keys(account.lineage()), driver.runtime.now()).await
    }
}

/// Who asks for a change to what an account, or the system, has.
pub(super) enum Asker<'a> {
    Host {
        actor: &'a str,
        reason: &'a str,
    },
    /// The account in the place of whom it is about, what is shown for it, and what for.
    Somebody(Box<(Subject, Permit<'a>, Intent)>),
}

impl Asker<'_> {
    pub(super) fn by(&self) -> By<'_> {
        match self {
            Self::Host { actor, reason } => By::Host { actor, reason },
            Self::Somebody(asks) => {
                let (subject, permit, intent) = &**asks;
                By::Asked { subject, permit, intent }
            }
        }
    }
}
