//! The calls about provider configurations of accounts and of the system.

use audit_model::{Profile, Scope};
use serde_json::Value;

use super::Engine;
use crate::decide::configuration::{Asked, Changing};
use crate::driver::{Decision, Read, Records};
use crate::record::configurations::{Configurations, configurations_key};
use crate::settings::{Change, Configuration, Owner, RevealedConfiguration, Revision};
use crate::{Account, Authority, ConfigurationId, Draw, Error, Forbidden, Intent, Timestamp};

impl Engine {
    /// Makes a provider configuration of an account, or of the system, and returns it with the id and revision that it
    /// got. What only the server says (`id`, `revision`, `pvt_…`) is ignored in `document`, and what the provider makes
    /// of the settings is not asked: a login that comes to them says so.
    ///
    /// An administrator's call: of the account or of one above it, with a rank and with a proof for this very change,
    /// or of the host, which vouches; the system's by the host alone. One read and one commit, and one of each more for
    /// an administrator of another account.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_core::settings::*;
    /// # use audit_model::Profile;
    /// # use mfa_testkit::host::{TestHost, acme, vouched};
    /// # use serde_json::json;
    /// # futures::executor::block_on(async {
    /// let host = TestHost::with_modules(Modules::kazoo()).await;
    /// let acme = Owner::Account(Account::new(acme()));
    /// let create = |document| {
    ///     let (engine, acme) = (host.engine.clone(), acme.clone());
    ///     async move { engine.configuration_create(&acme, Profile::Kazoo4, &document, &vouched()).await }
    /// };
    /// let duo = json!({"name": "Duo", "provider_name": "duo", "enabled": true, "settings": {"secret_key": "…"}});
    /// let made = create(duo).await?;
    /// assert_eq!((made.id.to_string().len(), made.provider.as_str()), (32, "duo"));
    ///
    /// let nameless = create(json!({"enabled": true, "name": "Duo"})).await;
    /// assert_eq!(nameless.unwrap_err().to_string(), "the document is wrong: provider_name is required");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidDocument`] with every field that is wrong: codes `required`, `type`, `enum`, `minLength`,
    /// `maxLength`, `maxDepth` and `pattern`; [`Error::Invalid`] with code `maxItems` past 32 of them;
    /// [`Error::Forbidden`]; errors with code `unavailable`.
    pub async fn configuration_create(
        &self,
        owner: &Owner,
        profile: Profile,
        document: &Value,
        authority: &Authority,
    ) -> Result<Configuration, Error> {
        let intent = |account: &_| Intent::change_configuration(account, None, Change::Put(document));
        self.about_configurations(owner, authority, intent, |asked, records, now, draw| {
            asked.create(document, profile, records, now, draw)
        })
        .await
    }

    /// Returns the provider configurations of an account, or of the system, oldest first and without their settings.
    /// One read. [`configurations_json`](crate::settings::configurations_json) puts them into Kazoo's form.
    ///
    /// # Errors
    /// Errors with code `unavailable`.
    pub async fn configurations(&self, of: &Scope) -> Result<Vec<Configuration>, Error> {
        let key = configurations_key(of.clone());
        let driver = &self.inner.driver;
        let records = driver.load(core::slice::from_ref(&key), driver.runtime.now()).await?;
        match records.read::<Configurations>(&key) {
            Read::Absent => Ok(Vec::new()),
            Read::Live(record, _) => {
                Ok(record.all.iter().map(crate::record::configurations::Stored::public).collect())
            }
            Read::Refused(_) => Err(Error::Unavailable("a stored record cannot be trusted")),
        }
    }

    /// Shows a provider configuration with its settings, keys in clear; at most ten times in 24 hours, and each time
    /// with an event. An administrator's call, as [`Engine::configuration_create`].
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_core::settings::*;
    /// # use audit_model::Profile;
    /// # use mfa_testkit::host::{TestHost, acme, vouched};
    /// # use serde_json::json;
    /// # futures::executor::block_on(async {
    /// let host = TestHost::with_modules(Modules::kazoo()).await;
    /// let acme = Owner::Account(Account::new(acme()));
    /// let duo = json!({"provider_name": "duo", "settings": {"secret_key": "deadbeef"}});
    /// let made = host.engine.configuration_create(&acme, Profile::Seed2017, &duo, &vouched()).await?;
    /// let shown = host.engine.configuration_show(&acme, made.id, &vouched()).await?;
    /// assert_eq!(shown.reveal(), Some(&json!({"secret_key": "deadbeef"})));
    /// assert!(!format!("{shown:?}").contains("deadbeef"));
    ///
    /// let unknown = ConfigurationId::from_random([7; 16]);
    /// let none = host.engine.configuration_show(&acme, unknown, &vouched()).await;
    /// assert_eq!(none.unwrap_err().code(), "no_document");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::NoDocument`]; [`Error::Forbidden`], also past the limit; errors with code `unavailable`, also for
    /// settings that do not open.
    pub async fn configuration_show(
        &self,
        owner: &Owner,
        id: ConfigurationId,
        authority: &Authority,
    ) -> Result<RevealedConfiguration, Error> {
        let intent = |account: &_| Intent::show_configuration(account, id);
        self.about_configurations(owner, authority, intent, |asked, records, now, _| {
            asked.show(id, records, now)
        })
        .await
    }

    /// Writes a provider configuration whole; its id stays. With a revision it is refused if the configuration was
    /// changed since. An administrator's call, as [`Engine::configuration_create`].
    ///
    /// # Errors
    /// [`Error::NoDocument`]; [`Error::Conflict`]; else as [`Engine::configuration_create`].
    pub async fn configuration_replace(
        &self,
        owner: &Owner,
        id: ConfigurationId,
        profile: Profile,
        document: &Value,
        revision: Option<Revision>,
        authority: &Authority,
    ) -> Result<Configuration, Error> {
        let changing = Changing { id, change: Change::Put(document), profile, revision };
        self.change_configuration(owner, changing, authority).await?.ok_or(Error::NoDocument)
    }

    /// Changes a provider configuration: objects are merged, `null` takes a value away, and what comes of it is checked
    /// as a whole (RFC 7396). What changes nothing leaves the revision as it is.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_core::settings::*;
    /// # use audit_model::Profile;
    /// # use mfa_testkit::host::{TestHost, acme, vouched};
    /// # use serde_json::json;
    /// # futures::executor::block_on(async {
    /// let host = TestHost::with_modules(Modules::kazoo()).await;
    /// let (acme, form) = (Owner::Account(Account::new(acme())), Profile::Seed2017);
    /// let duo = json!({"provider_name": "duo", "settings": {"duo_expire": 300, "app_expire": 3600}});
    /// let made = host.engine.configuration_create(&acme, form, &duo, &vouched()).await?;
    /// let patch = json!({"enabled": false, "settings": {"duo_expire": null}});
    /// let (at, by) = (Some(made.revision), vouched());
    /// let off = host.engine.configuration_patch(&acme, made.id, form, &patch, at, &by).await?;
    /// assert!(!off.enabled && off.revision != made.revision);
    ///
    /// // Somebody else was faster.
    /// let late = host.engine.configuration_patch(&acme, made.id, form, &patch, at, &by).await;
    /// assert_eq!(late.unwrap_err().code(), "conflict");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Engine::configuration_replace`].
    pub async fn configuration_patch(
        &self,
        owner: &Owner,
        id: ConfigurationId,
        profile: Profile,
        patch: &Value,
        revision: Option<Revision>,
        authority: &Authority,
    ) -> Result<Configuration, Error> {
        let changing = Changing { id, change: Change::Patch(patch), profile, revision };
        self.change_configuration(owner, changing, authority).await?.ok_or(Error::NoDocument)
    }

    /// Deletes a provider configuration. Its id never comes back, and logins of modules that name it are denied.
    ///
    /// # Errors
    /// [`Error::NoDocument`]; [`Error::Conflict`]; [`Error::Forbidden`]; errors with code `unavailable`.
    pub async fn configuration_delete(
        &self,
        owner: &Owner,
        id: ConfigurationId,
        revision: Option<Revision>,
        authority: &Authority,
    ) -> Result<(), Error> {
        // Nothing is read in a form.
        let changing = Changing { id, change: Change::Delete, profile: Profile::Kazoo4, revision };
        self.change_configuration(owner, changing, authority).await.map(drop)
    }

    /// Deletes every provider configuration of an account, or of the system: before an account is deleted, and where what
    /// is kept of them cannot be trusted any more, which keeps everybody below from logging in.
    ///
    /// # Errors
    /// [`Error::NoDocument`] where there are none; [`Error::Forbidden`]; errors with code `unavailable`.
    pub async fn configurations_clear(&self, owner: &Owner, authority: &Authority) -> Result<(), Error> {
        let intent = |account: &_| Intent::change_configuration(account, None, Change::Delete);
        self.about_configurations(owner, authority, intent, |asked, records, now, draw| {
            asked.clear(records, now, draw)
        })
        .await
    }

    async fn change_configuration(
        &self,
        owner: &Owner,
        changing: Changing<'_>,
        authority: &Authority,
    ) -> Result<Option<Configuration>, Error> {
        let Changing { id, change, .. } = changing;
        let intent = |account: &_| Intent::change_configuration(account, Some(id), change);
        self.about_configurations(owner, authority, intent, |asked, records, now, draw| {
            asked.change(changing, records, now, draw)
        })
        .await
    }

    async fn about_configurations<T: Send>(
        &self,
        owner: &Owner,
        authority: &Authority,
        intent: impl FnOnce(&Account) -> Intent,
        mut decide: impl FnMut(
            &Asked<'_>,
            &Records,
            Timestamp,
            &mut Draw,
        ) -> Result<Decision<Result<T, Forbidden>>, Error>
        + Send,
    ) -> Result<T, Error> {
        let scope = owner.scope();
        let mut keys = vec![configurations_key(scope.clone())];
        let asker = self.asker(owner, authority, intent, &mut keys).await?;
        self.keeps_documents()?;
        let asked = Asked { rules: &self.inner.rules, owner, by: asker.by() };
        let decide = |records: &_, now, draw: &mut _| decide(&asked, records, now, draw);
        Ok(self.inner.driver.run_in(&scope, None, &keys, None, decide).await?.value?)
    }
}
