//! What goes wrong, and for which requests.

use core::time::Duration;

use serde_json::{Map, Value};

/// Which requests a [`Fault`] is for: all that fit everything said here.
#[derive(Clone, Debug, Default)]
pub struct On {
    path: Option<String>,
    user: Option<String>,
    left: Option<u32>,
}

impl On {
    /// Fits every request.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Narrows it to requests for this path, such as `/auth/v2/auth`.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Narrows it to requests about this user.
    #[must_use]
    pub fn user(mut self, name: impl Into<String>) -> Self {
        self.user = Some(name.into());
        self
    }

    /// Narrows it to the next `times` requests that fit.
    #[must_use]
    pub const fn times(mut self, times: u32) -> Self {
        self.left = Some(times);
        self
    }

    fn fits(&self, path: &str, user: Option<&str>) -> bool {
        self.left != Some(0)
            && self.path.as_deref().is_none_or(|wanted| wanted == path)
            && self.user.as_deref().is_none_or(|wanted| Some(wanted) == user)
    }
}

/// What goes wrong with a request.
///
/// *Not carried out* means that nothing happens for it: no credentials are checked, no device rings, no
/// passcode is spent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// Not carried out: HTTP 429, code 42901.
    RateLimited {
        /// The value of `Retry-After`, seconds or an HTTP date; `None` leaves the header out, as Duo does.
        retry_after: Option<String>,
    },
    /// Not carried out: the envelope of a failure with this code, such as 50000 or 40002. Its first three digits
    /// are the HTTP status.
    Failure(u32),
    /// Not carried out: this answer, whatever it is.
    Answer {
        /// The HTTP status.
        status: u16,
        /// The value of `Content-Type`.
        content_type: String,
        /// The body.
        body: Vec<u8>,
    },
    /// Not carried out: HTTP 302 to this address.
    Redirect(String),
    /// Not carried out: the connection is closed without an answer.
    CloseBefore,
    /// Carried out, and the connection is closed without an answer.
    CloseAfter,
    /// Not carried out, and never answered.
    HangBefore,
    /// Carried out, and never answered.
    HangAfter,
    /// Carried out; the body of the answer comes one byte at a time, with this pause before each. The pause is real
    /// time, whatever the fake's clock says.
    SlowBody(Duration),
    /// Carried out; the body of the answer begins as it should, and then blanks follow for ever.
    EndlessBody,
    /// Carried out; the answer says that its content is of this type.
    ContentType(String),
    /// Carried out; this place of the answer, a JSON pointer (RFC 6901), is set to this value, such as `/stat` or
    /// `/response/result`. The last name may be new.
    Set {
        /// The place.
        pointer: String,
        /// The value.
        value: Value,
    },
    /// Carried out; every object in the answer holds fields that nobody knows.
    UnknownFields,
}

impl Fault {
    /// Says whether the request is carried out all the same.
    pub(super) const fn is_carried_out(&self) -> bool {
        !matches!(
            self,
            Self::RateLimited { .. }
                | Self::Failure(_)
                | Self::Answer { .. }
                | Self::Redirect(_)
                | Self::CloseBefore
                | Self::HangBefore
        )
    }
}

/// What is wrong with the `id_token` of the Universal Prompt.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TokenFault {
    /// This claim, a JSON pointer such as `/nonce` or `/auth_result/result`, has this value.
    Claim {
        /// The place.
        pointer: String,
        /// The value.
        value: Value,
    },
    /// This claim, named as a member of the token itself, is missing.
    Missing(String),
    /// The header says `none`, and there is no signature.
    Unsigned,
    /// The header says so, and the token is signed with HMAC-SHA-512 all the same.
    Algorithm(String),
    /// The token is signed with another key.
    OtherKey,
}

/// Takes the first fault for such a request out of the script, if there is one.
pub(super) fn next(script: &mut [(On, Fault)], path: &str, user: Option<&str>) -> Option<Fault> {
    let (on, fault) = script.iter_mut().find(|(on, _)| on.fits(path, user))?;
    on.left = on.left.map(|left| left.saturating_sub(1));
    Some(fault.clone())
}

/// Sets the value at a JSON pointer, and adds its last name where that is new.
pub(super) fn set(root: &mut Value, pointer: &str, value: Value) {
    if let Some(place) = root.pointer_mut(pointer) {
        *place = value;
    } else if let Some((parent, name)) = pointer.rsplit_once('/')
        && let Some(Value::Object(parent)) = root.pointer_mut(parent)
    {
        parent.insert(name.replace("~1", "/").replace("~0", "~"), value);
    }
}

/// Adds fields that nobody knows to every object.
pub(super) fn add_unknown_fields(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(add_unknown_fields);
            let news = Map::from_iter([("more".to_owned(), Value::from([1, 2]))]);
            fields.insert("future_object".to_owned(), Value::Object(news));
            fields.insert("future_flag".to_owned(), Value::Null);
        }
        Value::Array(items) => items.iter_mut().for_each(add_unknown_fields),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
