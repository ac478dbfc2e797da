//! The sentences of the attempts view, as Kazoo writes them.

use audit_model::{Attempt, EventBuilder};

use super::Rules;
use super::selected::NOT_CONFIGURED;
use crate::settings::Origin;
use crate::{Module, Reason};

const AUTH_TYPE: &str = "multi_factor";
/// What becomes of the host's own login, before a second step is asked for.
const TOKEN: &str = "jwt_auth_token";

impl Rules {
    pub(super) fn accepted(&self, event: EventBuilder) -> EventBuilder {
        self.shown(event, Attempt::new(AUTH_TYPE, "multi factor authentication was successful"), true)
    }

    pub(super) fn exempted(&self, event: EventBuilder) -> EventBuilder {
        self.shown(event, Attempt::new(AUTH_TYPE, "no multi factor authentication: the user is exempt"), true)
    }

    pub(super) fn rejected(&self, event: EventBuilder, reason: Reason, module: &Module) -> EventBuilder {
        if reason == Reason::ModuleDisabled {
            return self.disabled(event, module);
        }
        let message = match reason {
            Reason::Unavailable => match self.documents.unusable() {
                Some(why) => why.to_string(),
                None => NOT_CONFIGURED.to_owned(),
            },
            _ => "unauthorized".to_owned(),
        };
        self.shown(event, Attempt::new(AUTH_TYPE, message), false)
    }

    pub(super) fn disabled(&self, event: EventBuilder, module: &Module) -> EventBuilder {
        let message = format!("authentication module {module} is disabled");
        self.shown(event, Attempt::new(TOKEN, message), false)
    }

    /// Makes an event an attempt, which the attempts view shows if the module logs such attempts now.
    pub(super) fn shown(&self, event: EventBuilder, attempt: Attempt, succeeded: bool) -> EventBuilder {
        let event = event.attempt(self.found(attempt));
        let logs = self.documents.module.as_ref().is_none_or(|module| {
            if succeeded { module.log_successful_attempts.value } else { module.log_failed_attempts.value }
        });
        if logs { event } else { event.hidden_from_attempts() }
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
