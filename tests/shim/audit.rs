//! The ops of the audit log.

use mfa::UserId;
use mfa::audit::{
    AttemptsQuery, AuditError, AuditLog, Cursor, Event, EventId, Profile, Query, Scope, export, page,
};
use serde_json::{Value, json};

use crate::answer::add;
use crate::failure::Failure;
use crate::input::Input;
use crate::node::Node;

/// The most rows of an unpaginated answer.
const CEILING: usize = 10_000;

/// Fields of `audit.attempts`, with the names of the same parameters in a query string.
const PARAMETERS: [(&str, &str); 9] = [
    ("module", "auth_module"),
    ("auth_type", "auth_type"),
    ("status", "status"),
    ("ip", "client_ip"),
    ("created_from", "created_from"),
    ("created_to", "created_to"),
    ("page_size", "page_size"),
    ("start_key", "start_key"),
    ("paginate", "paginate"),
];

impl Node {
    pub(crate) async fn audit_attempts(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let account = input.account()?;
        let profile = input.parsed("profile", str::parse::<Profile>)?;
        let mut asked = AttemptsQuery::new(account.clone());
        for (field, parameter) in PARAMETERS {
            if let Some(value) = input.get(field) {
                let given = plain(input, field, value)?;
                let at = |error: AuditError| Failure::from(error).on(field);
                asked = asked.parameter(parameter, &given).map_err(at)?;
            }
        }
        if input.flag("ascending")? {
            asked = asked.ascending();
        }
        self.host.check_account(&account).await?;
        let page = asked.read(&*self.store, self.now(), &self.cursor_key, CEILING).await?;
        let rows: Vec<_> = page.events.iter().filter_map(|event| profile.summary(event)).collect();
        let mut answer = json!({ "data": rows, "page_size": rows.len() });
        add(&mut answer, "start_key", asked.start_key());
        add(&mut answer, "next_start_key", page.next.as_ref().map(Cursor::as_str));
        Ok(answer)
    }

    pub(crate) async fn audit_attempt(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let account = input.account()?;
        let profile = input.parsed("profile", str::parse::<Profile>)?;
        let id = input.parsed("attempt_id", str::parse::<EventId>)?;
        self.host.check_account(&account).await?;
        let event = self.store.event(&Scope::Account(account), id).await?;
        let row = event.as_ref().and_then(|event| profile.detail(event));
        let row = row.ok_or_else(|| Failure::new("not_found", "no such attempt").at("attempt_id"))?;
        Ok(json!({ "data": row }))
    }

    pub(crate) async fn audit_events(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let scope = input.scope()?;
        let mut query = Query::new(scope.clone());
        if let Some(user) = input.optional_parsed("user", UserId::parse)? {
            query = query.user(user);
        }
        if let Some(rows) = input.optional_whole("page_size")? {
            let limit = usize::try_from(rows).unwrap_or(usize::MAX);
            query = query.limit(limit).map_err(|error| Failure::from(error).on("page_size"))?;
        }
        let after = input.optional_text("after")?;
        if let Scope::Account(account) = &scope {
            self.host.check_account(account).await?;
        }
        let log: &dyn AuditLog = &*self.store;
        let page = page(log, &query, after, &self.cursor_key).await.map_err(|error| match error {
            AuditError::InvalidCursor => Failure::from(error).on("after"),
            other => other.into(),
        })?;
        let events = page.events.iter().map(event_json).collect::<Result<Vec<_>, _>>()?;
        let mut answer = json!({ "events": events });
        add(&mut answer, "next", page.next.as_ref().map(Cursor::as_str));
        Ok(answer)
    }
}

/// Writes a value as a query string has it.
fn plain(input: &Input<'_>, field: &str, value: &Value) -> Result<String, Failure> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        _ => Err(input.mistyped(field, "text, a number, or true or false")),
    }
}

/// The form of an exported line.
fn event_json(event: &Event) -> Result<Value, Failure> {
    let line = export::to_line(event)?;
    serde_json::from_str(&line).map_err(|_| Failure::new("corrupt", "an exported line is not JSON"))
}
