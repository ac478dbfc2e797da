//! The presets: policies of systems that are in use, and what is dangerous about each.

use std::collections::BTreeSet;

use super::{ChannelOrder, Policy, RecoveryForm, Trigger};
use crate::settings::Inheritance;

impl Policy {
    /// As Kazoo's Authentication app: modules ask by their settings, which are inherited each by itself up to the
    /// first reseller. It has no recovery codes.
    ///
    /// ```
    /// use mfa_core::{Policy, Trigger};
    /// assert_eq!(Policy::kazoo().trigger(), Trigger::PerModule);
    /// assert_eq!(Policy::kazoo().dangers(), ["per_module"]);
    /// assert!(Policy::recommended().dangers().is_empty());
    /// ```
    #[must_use]
    pub fn kazoo() -> Self {
        Self { trigger: Trigger::PerModule, recovery: RecoveryForm::None, ..Self::recommended() }
    }

    /// As Kazoo's Crossbar of 2017: the nearest document holds whole.
    #[must_use]
    pub fn kazoo_2017() -> Self {
        Self { inheritance: Inheritance::FirstDocument, ..Self::kazoo() }
    }

    /// As Kount Control: a link by e-mail, or else by SMS, for those logins that the host decided to challenge.
    #[must_use]
    pub fn kount() -> Self {
        Self {
            trigger: Trigger::OnDecision,
            channel_order: ChannelOrder::EmailFirst,
            offered: Some(names(&["email", "sms"])),
            recovery: RecoveryForm::None,
            ..Self::recommended()
        }
    }

    /// As Total Uptime: a company asks all its users, who choose among codes by SMS, or else e-mail, an
    /// authenticator app and Duo, and have two minutes. API users may be exempt, each by an administrator. SMS and e-mail stay the
    /// fallback of every user, whatever else they chose, and whatever else the company offers.
    #[must_use]
    pub fn total_uptime() -> Self {
        Self {
            offered: Some(names(&["duo", "email", "sms", "totp"])),
            always_offered: Some(names(&["email", "sms"])),
            channel_order: ChannelOrder::PhoneFirst,
            challenge_ttl_s: 120,
            exemptions: true,
            stronger_hides_delivered: false,
            recovery: RecoveryForm::None,
            ..Self::recommended()
        }
    }

    /// As B3Networks: users turn it on with a code to their verified e-mail address and get a recovery key; an
    /// authenticator app is a second way. Which of them an organisation allows is its policy's `offered`.
    #[must_use]
    pub fn b3_networks() -> Self {
        Self {
            offered: Some(names(&["email", "totp"])),
            stronger_hides_delivered: false,
            recovery: RecoveryForm::Key,
            ..Self::recommended()
        }
    }

    /// Names what of this policy lets in more than [`Policy::recommended`] would:
    ///
    /// | name | what it means |
    /// |---|---|
    /// | `per_module` | whoever has a method is let in without it through a module that does not ask |
    /// | `on_decision` | whoever has a method is let in without it unless the host decides otherwise |
    /// | `first_document` | a document that sets one thing takes nothing from those above it |
    /// | `own_configurations` | a provider of an account's own answers for it where an account above enforces a method |
    /// | `delivered_beside_stronger` | a code by e-mail or telephone is enough for whoever has something stronger |
    /// | `first_method_by_password` | whoever knows the password of a user without a method enrols theirs |
    /// | `exemptions` | a program that an administrator exempted is not asked for more than its key |
    /// | `trusted_devices` | whoever has the cookie of a trusted device and the password is not asked for more |
    #[must_use]
    pub fn dangers(&self) -> Vec<&'static str> {
        let found = [
            (self.trigger == Trigger::PerModule, "per_module"),
            (self.trigger == Trigger::OnDecision, "on_decision"),
            (self.inheritance == Inheritance::FirstDocument, "first_document"),
            (self.accept_own_configurations, "own_configurations"),
            (!self.stronger_hides_delivered, "delivered_beside_stronger"),
            (!self.first_enrolment_needs_invitation, "first_method_by_password"),
            (self.exemptions, "exemptions"),
            (self.trust, "trusted_devices"),
        ];
        found.into_iter().filter_map(|(is_so, name)| is_so.then_some(name)).collect()
    }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
