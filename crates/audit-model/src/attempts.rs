//! The tenant's attempts view, asked for in Kazoo's words.

use std::net::IpAddr;

use core::time::Duration;

use crate::cursor::Opened;
use crate::{
    AccountId, AuditError, AuditLog, CursorKey, GREGORIAN_OFFSET_SECONDS, Order, Outcome, Page, Query, Scope,
    TimeError, Timestamp, all, page, parse_address,
};

/// The longest text of a filter, in bytes.
const MAX_FILTER_BYTES: usize = 256;

/// Which attempts of an account to list, with the rules of Kazoo's `/multi_factor/attempts` and
/// `/security/attempts`.
///
/// The range is given in gregorian seconds, both ends included. Without `created_to` it ends now; without
/// `created_from` it begins 2 682 000 seconds (31 days and one hour) before its end, which is also the
/// longest range. A page has 50 rows unless the client asks for another size, 1 to 1000.
///
/// ```
/// use audit_model::{AccountId, AttemptsQuery, CursorKey, Timestamp};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let key = CursorKey::from_bytes([7; 32]);
/// let now = Timestamp::from_unix_seconds(1_487_814_038)?;
/// let asked = AttemptsQuery::new(AccountId::parse("acme")?)
///     .parameter("created_from", "63655000000")?
///     .parameter("filter_client_ip", "10.1.0.2:8000")?;
/// let query = asked.to_query(now, &key)?;
/// assert_eq!(query.limit, 50);
/// assert_eq!(query.ip, Some("10.1.0.2".parse()?));
///
/// // Unix seconds where gregorian seconds belong: the error says so.
/// let asked = asked.parameter("created_from", "1487800000")?;
/// assert_eq!(asked.to_query(now, &key).unwrap_err().code(), "not_gregorian_seconds");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct AttemptsQuery {
    account: AccountId,
    created_from: Option<u64>,
    created_to: Option<u64>,
    module: Option<String>,
    auth_type: Option<String>,
    outcome: Option<Outcome>,
    ip: Option<IpAddr>,
    page_size: usize,
    order: Order,
    start_key: Option<String>,
    paginate: bool,
}

impl AttemptsQuery {
    /// The longest range, in seconds: 31 days and one hour.
    pub const MAX_RANGE_SECONDS: u64 = 2_682_000;

    /// Asks for the attempts of `account` in the last 31 days and one hour, newest first, 50 on a page.
    pub const fn new(account: AccountId) -> Self {
        Self {
            account,
            created_from: None,
            created_to: None,
            module: None,
            auth_type: None,
            outcome: None,
            ip: None,
            page_size: 50,
            order: Order::Descending,
            start_key: None,
            paginate: true,
        }
    }

    /// Sets the first second of the range, in gregorian seconds. Checked by [`AttemptsQuery::to_query`].
    pub const fn created_from(mut self, gregorian_seconds: u64) -> Self {
        self.created_from = Some(gregorian_seconds);
        self
    }

    /// Sets the last second of the range, in gregorian seconds; all of it is included. Checked by
    /// [`AttemptsQuery::to_query`].
    pub const fn created_to(mut self, gregorian_seconds: u64) -> Self {
        self.created_to = Some(gregorian_seconds);
        self
    }

    /// Keeps only attempts through `module`.
    pub fn module(mut self, module: impl Into<String>) -> Self {
        self.module = Some(module.into());
        self
    }

    /// Keeps only attempts of `auth_type`, as in `multi_factor`.
    pub fn auth_type(mut self, auth_type: impl Into<String>) -> Self {
        self.auth_type = Some(auth_type.into());
        self
    }

    /// Keeps only attempts that ended as `outcome`.
    pub const fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = Some(outcome);
        self
    }

    /// Keeps only attempts from `ip`.
    pub const fn ip(mut self, ip: IpAddr) -> Self {
        self.ip = Some(ip);
        self
    }

    /// Gives the oldest first.
    pub const fn ascending(mut self) -> Self {
        self.order = Order::Ascending;
        self
    }

    /// Sets the most rows on one page.
    ///
    /// # Errors
    /// [`AuditError::Invalid`] unless it is 1 to 1000.
    pub fn page_size(mut self, rows: usize) -> Result<Self, AuditError> {
        if !(1..=Query::MAX_LIMIT).contains(&rows) {
            return Err(invalid("page_size", format!("is {rows}, must be 1 to {}", Query::MAX_LIMIT)));
        }
        self.page_size = rows;
        Ok(self)
    }

    /// Takes one parameter of a query string, decoded, by its name on Kazoo's wire: `created_from`,
    /// `created_to`, `page_size`, `start_key`, `paginate`, `ascending`, and `client_ip`, `status`,
    /// `auth_type`, `auth_module` with or without `filter_` before them. Given twice, the later one counts.
    /// Other names are left alone, as a host has parameters of its own, unless they begin with `filter_`.
    ///
    /// # Errors
    /// [`AuditError::WrongType`], [`AuditError::InvalidIp`] and [`AuditError::Invalid`] name the parameter and
    /// what it must be; the value is not repeated.
    pub fn parameter(mut self, name: &str, value: &str) -> Result<Self, AuditError> {
        let plain = name.strip_prefix("filter_").unwrap_or(name);
        match (name, plain) {
            ("created_from", _) => self.created_from = Some(seconds("created_from", value)?),
            ("created_to", _) => self.created_to = Some(seconds("created_to", value)?),
            ("page_size", _) => {
                let problem = || wrong_type("page_size", "a whole number, 1 to 1000");
                return self.page_size(digits(value).and_then(|n| n.try_into().ok()).ok_or_else(problem)?);
            }
            ("start_key", _) => self.start_key = Some(value.to_owned()),
            ("paginate", _) => self.paginate = truth("paginate", value)?,
            ("ascending", _) => {
                self.order = if truth("ascending", value)? { Order::Ascending } else { Order::Descending };
            }
            (_, "client_ip") => self.ip = Some(parse_address(value)?),
            (_, "status" | "debug_type") => self.outcome = Some(status(value)?),
            (_, "auth_type") => self.auth_type = Some(filter("auth_type", value)?),
            (_, "auth_module") => self.module = Some(filter("auth_module", value)?),
            _ if plain != name => {
                let names = "must be filter_client_ip, filter_status, filter_auth_type or filter_auth_module";
                return Err(invalid("filter", names.to_owned()));
            }
            _ => {}
        }
        Ok(self)
    }

    /// Returns the cursor to continue behind, as the client sent it; for [`page`].
    #[must_use]
    pub fn start_key(&self) -> Option<&str> {
        self.start_key.as_deref()
    }

    /// Returns whether the client wants pages; otherwise everything at once, for [`all`].
    #[must_use]
    pub const fn paginates(&self) -> bool {
        self.paginate
    }

    /// Makes the query, as of `now`.
    ///
    /// With a `start_key`, an end of the range that the client did not give is the one its first page had:
    /// the range does not move while a client reads on.
    ///
    /// # Errors
    /// [`AuditError::RangeReversed`] and [`AuditError::RangeTooLong`], both with code `date_range`;
    /// [`AuditError::Time`] if an end is no gregorian second, as when Unix seconds were given;
    /// [`AuditError::InvalidCursor`] if the `start_key` belongs to another query.
    pub fn to_query(&self, now: Timestamp, key: &CursorKey) -> Result<Query, AuditError> {
        let mut query = Query::new(Scope::Account(self.account.clone())).attempts().limit(self.page_size)?;
        query.order = self.order;
        query.module.clone_from(&self.module);
        query.auth_type.clone_from(&self.auth_type);
        query.outcome = self.outcome;
        query.ip = self.ip.map(|ip| ip.to_canonical());
        let opened = self.start_key().map(|text| Opened::open(text, &query, key)).transpose()?;
        let first_page = |end: fn(&Opened) -> Option<Timestamp>| {
            opened.as_ref().and_then(end).map(Timestamp::gregorian_seconds)
        };
        let from = self.created_from.or_else(|| first_page(|opened| opened.from));
        let to = self.created_to.or_else(|| first_page(|opened| opened.to));
        let (from, to) = range(from, to, now)?;
        query.between(from, to)
    }
}

impl AttemptsQuery {
    /// Reads what is asked for, as of `now`: one page, or with `paginate=false` everything at once, which is at
    /// most `ceiling` attempts. Dropping the future has no effect.
    ///
    /// # Errors
    /// As [`AttemptsQuery::to_query`] and [`page`]; [`AuditError::RangeTooLarge`] if everything is more than
    /// `ceiling`.
    pub async fn read(
        &self,
        log: &dyn AuditLog,
        now: Timestamp,
        key: &CursorKey,
        ceiling: usize,
    ) -> Result<Page, AuditError> {
        let query = self.to_query(now, key)?;
        if self.paginate {
            return page(log, &query, self.start_key(), key).await;
        }
        Ok(Page { events: all(log, &query, ceiling).await?, next: None })
    }
}

/// Returns the first and the last millisecond of the range.
fn range(from: Option<u64>, to: Option<u64>, now: Timestamp) -> Result<(Timestamp, Timestamp), AuditError> {
    // Two numbers of one kind are compared before their kind is judged, as Kazoo does.
    if let (Some(created_from), Some(created_to)) = (from, to)
        && created_to < created_from
        && (created_from < GREGORIAN_OFFSET_SECONDS || created_to >= GREGORIAN_OFFSET_SECONDS)
    {
        return Err(AuditError::RangeReversed { created_from, created_to });
    }
    let last = to.map_or(Ok(now), |seconds| time("created_to", seconds))?;
    let created_to = last.gregorian_seconds();
    let earliest = created_to.saturating_sub(AttemptsQuery::MAX_RANGE_SECONDS);
    let created_from = from.unwrap_or_else(|| earliest.max(GREGORIAN_OFFSET_SECONDS));
    let first = time("created_from", created_from)?;
    if created_to < created_from {
        return Err(AuditError::RangeReversed { created_from, created_to });
    }
    if created_from < earliest {
        let limit_seconds = AttemptsQuery::MAX_RANGE_SECONDS;
        return Err(AuditError::RangeTooLong { created_from, created_to, limit_seconds });
    }
    let last = time("created_to", created_to)?.plus(Duration::from_millis(999));
    Ok((first, last))
}

fn time(field: &'static str, seconds: u64) -> Result<Timestamp, AuditError> {
    let wrap = |source: TimeError| AuditError::Time { field, source };
    Timestamp::from_gregorian_seconds(seconds).map_err(wrap)
}

fn seconds(field: &'static str, value: &str) -> Result<u64, AuditError> {
    let problem = || wrong_type(field, "a positive whole number of gregorian seconds");
    digits(value).filter(|seconds| *seconds > 0).ok_or_else(problem)
}

/// Reads decimal digits only; the standard library would take a plus sign too.
fn digits(value: &str) -> Option<u64> {
    let plain = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| value.parse().ok()).flatten()
}

fn truth(field: &'static str, value: &str) -> Result<bool, AuditError> {
    value.parse().map_err(|_| wrong_type(field, "true or false"))
}

fn status(value: &str) -> Result<Outcome, AuditError> {
    match value {
        "success" => Ok(Outcome::Success),
        "failed" => Ok(Outcome::Failure),
        _ => Err(invalid("status", "must be success or failed".to_owned())),
    }
}

fn filter(field: &'static str, value: &str) -> Result<String, AuditError> {
    if (1..=MAX_FILTER_BYTES).contains(&value.len()) {
        return Ok(value.to_owned());
    }
    Err(invalid(field, format!("has {} bytes, must have 1 to {MAX_FILTER_BYTES}", value.len())))
}

const fn wrong_type(field: &'static str, expected: &'static str) -> AuditError {
    AuditError::WrongType { field, expected }
}

const fn invalid(field: &'static str, problem: String) -> AuditError {
    AuditError::Invalid { field, problem }
}
