//! The sentences of the attempts view, as Kazoo writes them.

use audit_model::Attempt;

use crate::Reason;

const AUTH_TYPE: &str = "multi_factor";

pub(super) fn accepted() -> Attempt {
    Attempt::new(AUTH_TYPE, "multi factor authentication was successful")
}

pub(super) fn rejected(reason: Reason) -> Attempt {
    let message = match reason {
        Reason::Unavailable => "no multi factor authentication provider is configured",
        _ => "unauthorized",
    };
    Attempt::new(AUTH_TYPE, message)
}
