//! The table of knobs: name, class, which way is stronger, limits, default, what it does.

use std::collections::BTreeSet;

use serde_json::Value;

use super::value::Knob;
use super::{ChannelOrder, KnobClass, KnobInfo, RecoveryForm, Stronger, Trigger};
use crate::FieldError;
use crate::settings::{Inheritance, short};

macro_rules! knobs {
    ($(
        $name:ident: $type:ty = $default:expr, $class:ident, $stronger:ident, $clamp:expr, $words:literal, $what:literal;
    )*) => {
        /// The rules a login is judged by. Every value is within the limits of the table [`Policy::KNOBS`].
        ///
        /// ```
        /// use mfa_core::Policy;
        /// use serde_json::json;
        /// let policy = Policy::recommended().with_document(&json!({"enforced": true, "attempts": 3})).unwrap();
        /// assert!(policy.enforced());
        /// // A value past its clamp is an error that names the knob and the limit; nothing is taken over.
        /// let errors = Policy::recommended().with_document(&json!({"attempts": 11})).unwrap_err();
        /// assert_eq!(errors[0].to_string(), "attempts must be a whole number from 1 to 10");
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Policy {
            $( pub(super) $name: $type, )*
        }

        impl Policy {
            /// The table of knobs.
            pub const KNOBS: &'static [KnobInfo] = &[$(
                KnobInfo {
                    name: stringify!($name),
                    class: KnobClass::$class,
                    stronger: Stronger::$stronger,
                    clamp: $clamp,
                    default: $words,
                    what: $what,
                },
            )*];

            /// The preset for a service that has no reason to choose otherwise: whoever has a method is asked for it.
            #[must_use]
            pub const fn recommended() -> Self {
                Self { $( $name: $default, )* }
            }

            /// Makes every knob at least as strong as in `other`. Where no value is stronger than another, this
            /// one's stays.
            #[must_use]
            pub fn meet(&self, other: &Self) -> Self {
                Self { $( $name: self.$name.meet(&other.$name, Stronger::$stronger), )* }
            }

            /// Returns the value of a knob, as documents have it; `None` for a name that is not one.
            #[must_use]
            pub fn value(&self, name: &str) -> Option<Value> {
                match name {
                    $( stringify!($name) => Some(self.$name.show()), )*
                    _ => None,
                }
            }

            pub(super) fn set(&mut self, name: &str, value: &Value) -> Result<(), FieldError> {
                match name {
                    $( stringify!($name) => self.$name = Knob::read(stringify!($name), value, $clamp)?, )*
                    _ => return Err(FieldError::new(short(name), "unknown_knob", "is not a knob of the policy")),
                }
                Ok(())
            }

            /// Takes over one knob.
            pub(super) fn take(&mut self, name: &str, from: &Self) {
                match name {
                    $( stringify!($name) => self.$name.clone_from(&from.$name), )*
                    _ => {}
                }
            }

            /// Makes one knob at least as strong as in `other`, which an ancestor enforces: where no value is stronger
            /// than another, the ancestor's holds.
            pub(super) fn enforce(&mut self, name: &str, other: &Self) {
                match name {
                    $(
                        stringify!($name) => {
                            self.$name = match Stronger::$stronger {
                                Stronger::Neither => other.$name.clone(),
                                stronger => self.$name.meet(&other.$name, stronger),
                            };
                        }
                    )*
                    _ => {}
                }
            }
        }
    };
}

knobs! {
    enforced: bool = false, Tenant, True, None, "false",
        "A user without a method must enrol one before logging in.";
    enforced_from: u64 = 0, Tenant, Lower, Some((0, 253_402_300_799)), "0",
        "From when on that holds, in unix seconds: until then a user without a method is let in and told.";
    accept_own_configurations: bool = false, Tenant, False, None, "false",
        "Where `enforced` is enforced on accounts below, provider configurations of their own count for their logins.";
    offered: Option<BTreeSet<String>> = None, Tenant, Subset, None,
        "every registered provider but those by e-mail and telephone",
        "The providers that may be used.";
    always_offered: Option<BTreeSet<String>> = None, Host, Neither, None, "none",
        "Providers that may be used whatever a document says of `offered`.";
    attempts: u64 = 5, Tenant, Lower, Some((1, 10)), "5",
        "Judged answers of one challenge or enrolment.";
    challenge_ttl_s: u64 = 300, Tenant, Lower, Some((30, 600)), "300",
        "Life of a challenge, in seconds.";
    enrolment_ttl_s: u64 = 600, Tenant, Lower, Some((60, 3600)), "600",
        "Life of a pending enrolment, in seconds.";
    failures_per_day: u64 = 20, Tenant, Lower, Some((1, 20)), "20",
        "Judged failures of one user in 24 hours.";
    failures_per_month: u64 = 100, Tenant, Lower, Some((1, 100)), "100",
        "Judged failures of one user in 30 days.";
    open_challenges: u64 = 64, Host, Lower, Some((1, 64)), "64",
        "Open challenges of one user.";
    sends_per_hour: u64 = 5, Tenant, Lower, Some((1, 5)), "5",
        "Messages to one user in an hour.";
    sends_per_day: u64 = 20, Tenant, Lower, Some((1, 20)), "20",
        "Messages to one user in 24 hours.";
    pushes: u64 = 20, Tenant, Lower, Some((1, 20)), "20",
        "Pushes to one user since the last success.";
    stronger_hides_delivered: bool = true, Tenant, True, None, "true",
        "Codes by e-mail and telephone are not offered to whoever holds a stronger method.";
    channel_order: ChannelOrder = ChannelOrder::AsEnrolled, Tenant, Neither, None, "as_enrolled",
        "Which of the methods by e-mail and telephone is asked for first: as_enrolled, phone_first or email_first.";
    first_enrolment_needs_invitation: bool = true, Tenant, True, None, "true",
        "Where a method is enforced, a first one needs an administrator's invitation besides the first factor.";
    recovery: RecoveryForm = RecoveryForm::Codes, Tenant, Neither, None, "codes",
        "What is issued with a first method, where a recovery provider is registered: codes, key or none.";
    recovery_low: u64 = 3, Tenant, Neither, Some((0, 16)), "3",
        "A login tells when this many recovery codes or fewer are left.";
    trust: bool = false, Tenant, False, None, "false",
        "A user may trust a device, which is then not asked for a second step.";
    trust_days: u64 = 30, Tenant, Lower, Some((1, 30)), "30",
        "How long a device is trusted, in days.";
    exemptions: bool = false, Tenant, False, None, "false",
        "Administrators may exempt the logins of programs, by API key or client certificate, from the second step.";
    messages_by_outbox: bool = false, Host, Neither, None, "false",
        "Codes and links of logins leave through the outbox, after the call; otherwise in it.";
    api_keys_hash_only: bool = true, Host, True, None, "true",
        "API keys are kept as keyed hashes alone; otherwise sealed besides, so that they can be shown again.";
    trigger: Trigger = Trigger::OptIn, Host, Neither, None, "opt_in",
        "Which logins are asked for a second factor: opt_in, per_module or on_decision.";
    inheritance: Inheritance = Inheritance::NearestWins, Host, Neither, None, "nearest_wins",
        "How the settings of a lineage become one: nearest_wins or first_document.";
}
