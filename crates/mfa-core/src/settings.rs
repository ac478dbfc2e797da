//! Settings of the ways to log in: what accounts set for each module, and what comes of it down their tree.
//!
//! An account's [`Settings`] say only what it wants otherwise. [`Effective`] is what holds for one module of an
//! account: every value with where it came from, what the account set itself and what it would inherit.
//!
//! ```
//! use std::collections::BTreeMap;
//! use mfa_core::settings::{Effective, Inheritance, Modules, Origin, Settings};
//! use mfa_core::{AccountId, Ancestor, Module};
//! use serde_json::json;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let user_auth = Module::parse("user_auth")?;
//! let modules = Modules::new().with(user_auth.clone());
//! let (leaf, root) = (AccountId::parse("leaf")?, AccountId::parse("root")?);
//! let lineage = [Ancestor::new(leaf), Ancestor::new(root.clone())];
//!
//! let of_root = json!({"auth_modules": {"user_auth": {"token_auth_expiry_s": 7200}}});
//! let of_root = Settings::parse(&of_root, &modules, Inheritance::NearestWins).unwrap();
//! let set = |origin: &Origin| (*origin == Origin::Account(root.clone())).then_some(&of_root);
//! let effective = Effective::resolve(&user_auth, &modules, Inheritance::NearestWins, &lineage, set);
//! assert_eq!(effective.token_auth_expiry_s.value, 7200);
//! assert_eq!(effective.token_auth_expiry_s.origin, Origin::Account(root));
//! assert_eq!(effective.enabled.origin, Origin::BuiltIn);
//!
//! // What is wrong is named by its path, and nothing is taken over.
//! let wrong = json!({"auth_modules": {"user_auth": {"enabled": "yes"}}});
//! let errors = Settings::parse(&wrong, &modules, Inheritance::NearestWins).unwrap_err();
//! assert_eq!(errors[0].to_string(), "auth_modules.user_auth.enabled must be of type boolean");
//! # Ok(()) }
//! ```

mod configuration;
mod document;
mod effective;
mod origin;
mod owner;
mod wire;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Module;

pub use configuration::{Configuration, RevealedConfiguration};
pub use document::{ModuleSettings, MultiFactorSettings, Settings};
pub use effective::{Effective, Resolved};
pub use origin::Origin;
pub use owner::{Change, Owner, Revision, Stored};
pub use wire::{configuration_error, configurations_json};

pub(crate) use configuration::{Clear, MAX_CONFIGURATIONS, Sealed, Written};
pub(crate) use document::{MAX_DOCUMENT_BYTES, merged, short};
pub(crate) use origin::visible;

/// How the documents of a lineage become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Inheritance {
    /// Each setting by itself: the nearest account that sets it, up to and including the first reseller, then the
    /// system.
    NearestWins,
    /// The nearest document that sets anything holds whole, and nothing is taken from those above it.
    FirstDocument,
}

/// The modules that an engine has settings for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modules(BTreeMap<Module, bool>);

impl Modules {
    /// No modules: settings are not read.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds a module whose successful attempts are shown unless settings say otherwise.
    #[must_use]
    pub fn with(mut self, module: Module) -> Self {
        self.0.insert(module, true);
        self
    }

    /// Adds a module whose successful attempts are shown only where settings say so, as for programs that log in
    /// every minute.
    #[must_use]
    pub fn with_quiet(mut self, module: Module) -> Self {
        self.0.insert(module, false);
        self
    }

    /// The four modules of Kazoo's Crossbar, with its defaults: successes are shown of `cb_user_auth` alone.
    #[must_use]
    pub fn kazoo() -> Self {
        let quiet = ["cb_api_auth", "cb_auth", "cb_ip_auth"].into_iter().map(|name| (name, false));
        let all = quiet.chain([("cb_user_auth", true)]);
        Self(all.filter_map(|(name, shown)| Some((Module::parse(name).ok()?, shown))).collect())
    }

    /// Returns whether a module is one of them.
    #[must_use]
    pub fn contains(&self, module: &Module) -> bool {
        self.0.contains_key(module)
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Lists them in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Module> {
        self.0.keys()
    }

    /// Returns whether successful attempts of a module are shown where no settings say otherwise.
    fn shows_successes(&self, module: &Module) -> bool {
        self.0.get(module).copied().unwrap_or(false)
    }
}
