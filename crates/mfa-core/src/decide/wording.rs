//! The sentences of the attempts view, as Kazoo writes them.

use audit_model::Attempt;

use super::Rules;
use crate::settings::Origin;
use crate::{Module, Reason};

const AUTH_TYPE: &str = "multi_factor";
/// What becomes of the host's own login, before a second step is asked for.
const TOKEN: &str = "jwt_auth_token";

impl Rules {
    pub(super) fn accepted(&self) -> Attempt {
        self.found(Attempt::new(AUTH_TYPE, "multi factor authentication was successful"))
    }

    pub(super) fn rejected(&self, reason: Reason, module: &Module) -> Attempt {
        if reason == Reason::ModuleDisabled {
            return self.disabled(module);
        }
        let message = match reason {
            Reason::Unavailable => "no multi factor authentication provider is configured",
            _ => "unauthorized",
        };
        self.found(Attempt::new(AUTH_TYPE, message))
    }

    pub(super) fn disabled(&self, module: &Module) -> Attempt {
        self.found(Attempt::new(TOKEN, format!("authentication module {module} is disabled")))
    }

    /// Adds where the module's settings and the provider's configuration were found.
    fn found(&self, attempt: Attempt) -> Attempt {
        let Some(module) = &self.documents.module else { return attempt };
        let account = |origin: &Origin| match origin {
            Origin::Account(account) => account.as_str().to_owned(),
            Origin::System | Origin::BuiltIn => "system".to_owned(),
        };
        let owner = module.account_id.value.as_ref().filter(|_| module.configuration_id.value.is_some());
        let owner = owner.map_or_else(|| "system".to_owned(), |owner| owner.as_str().to_owned());
        attempt.with_origins(account(&module.multi_factor.origin), owner)
    }
}
