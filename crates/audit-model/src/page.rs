//! Reading a log page by page, or all of it at once.

use crate::{AuditError, AuditLog, Cursor, CursorKey, Event, Position, Query};

/// One page of events and where the next one begins.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Page {
    /// At most `query.limit` events, in the query's order.
    pub events: Vec<Event>,
    /// What to pass as `after` for the next page; `None` when nothing more matched at this moment.
    pub next: Option<Cursor>,
}

/// Reads the page of `query` behind the cursor `after`, or the first one.
///
/// Pages neither repeat nor lose an event, also when several have the same time or when new ones arrive
/// between two pages. Newest first, events that arrive later are not seen; oldest first, they come at the
/// end. Dropping the future has no effect.
///
/// # Errors
/// [`AuditError::InvalidCursor`] if `after` was not made for this query with this key;
/// [`AuditError::Invalid`] if `query.limit` is not 1 to 1000; otherwise what the log answers with.
///
/// ```
/// use audit_model::{AuditError, AuditLog, CursorKey, Query, page};
///
/// async fn count(log: &dyn AuditLog, query: &Query, key: &CursorKey) -> Result<usize, AuditError> {
///     let (mut count, mut after) = (0, None);
///     loop {
///         let page = page(log, query, after.as_deref(), key).await?;
///         count += page.events.len();
///         match page.next {
///             Some(cursor) => after = Some(cursor.to_string()),
///             None => return Ok(count),
///         }
///     }
/// }
/// # use audit_model::*;
/// # #[derive(Debug)]
/// # struct Log(Vec<Event>);
/// # #[async_trait::async_trait]
/// # impl AuditLog for Log {
/// #     async fn query(&self, query: &Query, after: Option<Position>) -> Result<Vec<Event>, AuditError> {
/// #         let place = |e: &Event| Position::new(e.at(), e.id());
/// #         let found = self.0.iter().rev().filter(|e| after.is_none_or(|after| place(e) < after));
/// #         Ok(found.take(query.limit).cloned().collect())
/// #     }
/// #     async fn event(&self, _: &Scope, _: EventId) -> Result<Option<Event>, AuditError> { Ok(None) }
/// # }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let scope = Scope::Account(AccountId::parse("acme")?);
/// # let events = (0..120).map(|n| {
/// #     let at = Timestamp::from_unix_seconds(1_487_814_038 + n)?;
/// #     EventBuilder::new(scope.clone(), Kind::AnswerRejected, Outcome::Failure, at)
/// #         .build(EventId::new(at, [1; 16]), [0; 16])
/// #         .map_err(Box::<dyn std::error::Error>::from)
/// # });
/// # let log = Log(events.collect::<Result<_, _>>()?);
/// # futures::executor::block_on(async {
/// # let query = Query::new(scope);
/// # let key = CursorKey::from_bytes([7; 32]);
/// assert_eq!(count(&log, &query, &key).await?, 120);
///
/// // What is no cursor of this query is refused.
/// let refused = page(&log, &query, Some("MTIz"), &key).await.unwrap_err();
/// assert_eq!(refused.code(), "invalid_cursor");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok(()) }
/// ```
pub async fn page(
    log: &dyn AuditLog,
    query: &Query,
    after: Option<&str>,
    key: &CursorKey,
) -> Result<Page, AuditError> {
    let limit = query.clone().limit(query.limit)?.limit;
    let after = after.map(|text| Cursor::open(text, query, key)).transpose()?;
    let (events, more) = read(log, query, after, limit).await?;
    let last = events.last().filter(|_| more);
    let next = last.map(|event| Cursor::new(Position::new(event.at(), event.id()), query, key));
    Ok(Page { events, next })
}

/// Reads every event of `query`, in its order: the same as all its pages one after the other.
///
/// Holds at most `ceiling` + 1 events in memory. `query.limit` is not looked at. Dropping the future has no
/// effect.
///
/// # Errors
/// [`AuditError::RangeTooLarge`] if more than `ceiling` events match; otherwise what the log answers with.
pub async fn all(log: &dyn AuditLog, query: &Query, ceiling: usize) -> Result<Vec<Event>, AuditError> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let after = events.last().map(|event| Position::new(event.at(), event.id()));
        let room = ceiling.saturating_sub(events.len());
        let (part, more) = read(log, query, after, room.min(Query::MAX_LIMIT)).await?;
        let full = part.len() == room;
        events.extend(part);
        match (more, full) {
            (false, _) => return Ok(events),
            (true, true) => return Err(AuditError::RangeTooLarge { limit: ceiling }),
            (true, false) => {}
        }
    }
}

/// Reads at most `limit` events, and whether there are more.
async fn read(
    log: &dyn AuditLog,
    query: &Query,
    after: Option<Position>,
    limit: usize,
) -> Result<(Vec<Event>, bool), AuditError> {
    let asked = Query { limit: limit.saturating_add(1), ..query.clone() };
    let mut events = log.query(&asked, after).await?;
    let more = events.len() > limit;
    events.truncate(limit);
    Ok((events, more))
}
