//! What a knob's value may be: how it is read from a document, shown, and combined with another.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{ChannelOrder, RecoveryForm, Stronger, Trigger};
use crate::settings::Inheritance;
use crate::{FieldError, ProviderName};

/// The type of a knob.
pub(super) trait Knob: Clone {
    fn read(field: &'static str, value: &Value, clamp: Option<(u64, u64)>) -> Result<Self, FieldError>;
    fn show(&self) -> Value;

    /// Returns a value that is as strong as both. Where none is stronger, the first one stays.
    fn meet(&self, other: &Self, stronger: Stronger) -> Self;
}

impl Knob for bool {
    fn read(field: &'static str, value: &Value, _: Option<(u64, u64)>) -> Result<Self, FieldError> {
        value.as_bool().ok_or_else(|| FieldError::new(field, "type", "must be true or false"))
    }

    fn show(&self) -> Value {
        Value::from(*self)
    }

    fn meet(&self, other: &Self, stronger: Stronger) -> Self {
        match stronger {
            Stronger::True => *self || *other,
            Stronger::False => *self && *other,
            Stronger::Lower | Stronger::Subset | Stronger::Neither => *self,
        }
    }
}

impl Knob for u64 {
    fn read(field: &'static str, value: &Value, clamp: Option<(u64, u64)>) -> Result<Self, FieldError> {
        let (low, high) = clamp.unwrap_or((0, Self::MAX));
        let number = value.as_u64().filter(|number| (low..=high).contains(number));
        let problem =
            || FieldError::new(field, "clamp", format!("must be a whole number from {low} to {high}"));
        number.ok_or_else(problem)
    }

    fn show(&self) -> Value {
        Value::from(*self)
    }

    fn meet(&self, other: &Self, stronger: Stronger) -> Self {
        if stronger == Stronger::Lower { *self.min(other) } else { *self }
    }
}

/// Names of providers; `None` is whatever holds where nobody named any.
impl Knob for Option<BTreeSet<String>> {
    fn read(field: &'static str, value: &Value, _: Option<(u64, u64)>) -> Result<Self, FieldError> {
        let problem = || FieldError::new(field, "type", "must be a list of provider names");
        let items = value.as_array().ok_or_else(problem)?;
        let name =
            |item: &Value| item.as_str().and_then(|text| ProviderName::parse(text).ok()).ok_or_else(problem);
        items
            .iter()
            .map(|item| name(item).map(|name| name.as_str().to_owned()))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    fn show(&self) -> Value {
        self.as_ref().map_or(Value::Null, |names| names.iter().cloned().collect())
    }

    fn meet(&self, other: &Self, stronger: Stronger) -> Self {
        match (self, other) {
            _ if stronger != Stronger::Subset => self.clone(),
            (Some(a), Some(b)) => Some(a.intersection(b).cloned().collect()),
            (Some(names), None) | (None, Some(names)) => Some(names.clone()),
            (None, None) => None,
        }
    }
}

macro_rules! words {
    ($type:ty, $problem:literal: $( $word:literal = $variant:path ),*) => {
        impl Knob for $type {
            fn read(field: &'static str, value: &Value, _: Option<(u64, u64)>) -> Result<Self, FieldError> {
                match value.as_str() {
                    $( Some($word) => Ok($variant), )*
                    _ => Err(FieldError::new(field, "type", $problem)),
                }
            }

            fn show(&self) -> Value {
                Value::from(match self { $( $variant => $word, )* })
            }

            fn meet(&self, _: &Self, _: Stronger) -> Self {
                *self
            }
        }
    };
}

words!(RecoveryForm, "must be codes, key or none":
    "codes" = RecoveryForm::Codes, "key" = RecoveryForm::Key, "none" = RecoveryForm::None);
words!(ChannelOrder, "must be as_enrolled, phone_first or email_first":
    "as_enrolled" = ChannelOrder::AsEnrolled, "phone_first" = ChannelOrder::PhoneFirst,
    "email_first" = ChannelOrder::EmailFirst);
words!(Trigger, "must be opt_in, per_module or on_decision":
    "opt_in" = Trigger::OptIn, "per_module" = Trigger::PerModule, "on_decision" = Trigger::OnDecision);
words!(Inheritance, "must be nearest_wins or first_document":
    "nearest_wins" = Inheritance::NearestWins, "first_document" = Inheritance::FirstDocument);
