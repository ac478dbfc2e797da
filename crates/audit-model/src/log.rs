//! The read side of a store's events.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{AuditError, Event, EventId, Kind, Outcome, Scope, Timestamp, UserId};

/// Reads the events that a store's commits wrote.
///
/// *What is read:* only events whose commit was acknowledged or is durable; an event is seen at most once
/// in one answer. *Order:* by (time, id), the way [`Query::order`] says; the order of two events never
/// changes. *Under writes:* a later answer after a [`Position`] holds every event behind it that was there
/// when the position was given, and none at or before it. *Limit:* a log takes `query.limit` as it is:
/// paging asks for one event more than the page, so it may be [`Query::MAX_LIMIT`] + 1. *Cancellation:* dropping the future has no effect.
/// *What a wrong implementation costs:* an administrator who is shown another tenant's rows, or who does
/// not see an attack.
#[async_trait]
pub trait AuditLog: core::fmt::Debug + Send + Sync + 'static {
    /// Returns at most `query.limit` events that match, those behind `after` if it is given.
    ///
    /// # Errors
    /// [`AuditError::Unavailable`] if the store cannot be read, [`AuditError::Corrupt`] for a row that
    /// cannot be decoded.
    async fn query(&self, query: &Query, after: Option<Position>) -> Result<Vec<Event>, AuditError>;

    /// Returns one event of `scope` by its id; `None` for an unknown id and for one of another scope.
    ///
    /// # Errors
    /// As [`AuditLog::query`].
    async fn event(&self, scope: &Scope, id: EventId) -> Result<Option<Event>, AuditError>;
}

const _: Option<&dyn AuditLog> = None;

macro_rules! forward_audit_log {
    ($($pointer:ident),*) => {$(
        #[deny(clippy::missing_trait_methods)]
        #[async_trait]
        impl<T: AuditLog + ?Sized> AuditLog for $pointer<T> {
            async fn query(&self, query: &Query, after: Option<Position>) -> Result<Vec<Event>, AuditError> {
                (**self).query(query, after).await
            }
            async fn event(&self, scope: &Scope, id: EventId) -> Result<Option<Event>, AuditError> {
                (**self).event(scope, id).await
            }
        }
    )*};
}

forward_audit_log!(Arc, Box);

/// Which events to read: all conditions must hold.
///
/// ```
/// use audit_model::{AccountId, Kind, Query, Scope};
/// let scope = Scope::Account(AccountId::parse("acme").unwrap());
/// let query = Query::new(scope).kind(Kind::AnswerRejected).limit(50).unwrap();
/// assert_eq!(query.limit, 50);
/// assert!(query.limit(0).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Query {
    /// The account, or the engine's own scope.
    pub scope: Scope,
    /// All events, or the attempts view.
    pub view: View,
    /// Newest or oldest first.
    pub order: Order,
    /// Only events about this user.
    pub user: Option<UserId>,
    /// Only events of this module.
    pub module: Option<String>,
    /// Only events of this kind.
    pub kind: Option<Kind>,
    /// Only events that ended so.
    pub outcome: Option<Outcome>,
    /// Only attempts of this `auth_type`.
    pub auth_type: Option<String>,
    /// Only events from this address; compared in canonical form (a mapped IPv4 address is IPv4).
    pub ip: Option<IpAddr>,
    /// Only events at or after this time.
    pub from: Option<Timestamp>,
    /// Only events at or before this time.
    pub to: Option<Timestamp>,
    /// The most events in one answer, 1 to 1000; 50 by default.
    pub limit: usize,
}

/// Which rows a query sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum View {
    /// Every event.
    Events,
    /// Only the tenant's attempts view: attempts that were not hidden from it when they happened.
    Attempts,
}

/// Which end of the log comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Order {
    /// Newest first.
    Descending,
    /// Oldest first.
    Ascending,
}

/// The place of one event in the order of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Position {
    /// When the event happened.
    pub at: Timestamp,
    /// Its id.
    pub id: EventId,
}

impl Position {
    /// Names the place of the event `id` that happened at `at`.
    #[must_use]
    pub const fn new(at: Timestamp, id: EventId) -> Self {
        Self { at, id }
    }
}

impl Query {
    /// The most events one answer may hold.
    pub const MAX_LIMIT: usize = 1000;

    /// Asks for all events of `scope`, newest first, 50 at a time.
    #[must_use]
    pub const fn new(scope: Scope) -> Self {
        Self {
            scope,
            view: View::Events,
            order: Order::Descending,
            user: None,
            module: None,
            kind: None,
            outcome: None,
            auth_type: None,
            ip: None,
            from: None,
            to: None,
            limit: 50,
        }
    }

    /// Sees only the attempts view.
    #[must_use]
    pub const fn attempts(mut self) -> Self {
        self.view = View::Attempts;
        self
    }

    /// Gives the oldest first.
    #[must_use]
    pub const fn ascending(mut self) -> Self {
        self.order = Order::Ascending;
        self
    }

    /// Keeps only events about `user`.
    #[must_use]
    pub fn user(mut self, user: UserId) -> Self {
        self.user = Some(user);
        self
    }

    /// Keeps only events of `module`.
    #[must_use]
    pub fn module(mut self, module: impl Into<String>) -> Self {
        self.module = Some(module.into());
        self
    }

    /// Keeps only events of `kind`.
    #[must_use]
    pub const fn kind(mut self, kind: Kind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Keeps only events that ended as `outcome`.
    #[must_use]
    pub const fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = Some(outcome);
        self
    }

    /// Keeps only attempts of `auth_type`.
    #[must_use]
    pub fn auth_type(mut self, auth_type: impl Into<String>) -> Self {
        self.auth_type = Some(auth_type.into());
        self
    }

    /// Keeps only events from `ip`.
    #[must_use]
    pub const fn ip(mut self, ip: IpAddr) -> Self {
        self.ip = Some(ip.to_canonical());
        self
    }

    /// Keeps only events from `from` to `to`, both included.
    ///
    /// # Errors
    /// [`AuditError::Invalid`] if `to` lies before `from`.
    pub fn between(mut self, from: Timestamp, to: Timestamp) -> Result<Self, AuditError> {
        if to < from {
            return Err(AuditError::Invalid { field: "to", problem: "lies before `from`".to_owned() });
        }
        self.from = Some(from);
        self.to = Some(to);
        Ok(self)
    }

    /// Sets the most events in one answer.
    ///
    /// # Errors
    /// [`AuditError::Invalid`] unless it is 1 to 1000.
    pub fn limit(mut self, limit: usize) -> Result<Self, AuditError> {
        if (1..=Self::MAX_LIMIT).contains(&limit) {
            self.limit = limit;
            return Ok(self);
        }
        let problem = format!("is {limit}, must be 1 to {}", Self::MAX_LIMIT);
        Err(AuditError::Invalid { field: "limit", problem })
    }

    /// Returns whether `event` fulfils every condition; paging and order aside.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        *event.scope() == self.scope
            && (self.view == View::Events || event.is_in_attempts_view())
            && self.user.as_ref().is_none_or(|user| event.user() == Some(user))
            && self.module.as_deref().is_none_or(|module| event.module() == Some(module))
            && self.kind.is_none_or(|kind| event.kind() == kind)
            && self.outcome.is_none_or(|outcome| event.outcome() == outcome)
            && self.auth_type.as_deref().is_none_or(|t| event.attempt().is_some_and(|a| a.auth_type == t))
            && self.ip.is_none_or(|ip| event.ip() == Some(ip))
            && self.from.is_none_or(|from| event.at() >= from)
            && self.to.is_none_or(|to| event.at() <= to)
    }
}
