//! A memory store with one defect: its audit log.

use std::collections::BTreeSet;

use async_trait::async_trait;
use audit_model::{AuditError, AuditLog, Event, EventId, Order, Position, Query, Scope, View};

use crate::broken::{Broken, MILLISECOND};
use crate::mutant::Mutant;

#[async_trait]
impl AuditLog for Broken {
    async fn query(&self, query: &Query, after: Option<Position>) -> Result<Vec<Event>, AuditError> {
        let mut found = self.matching(&self.widened(query), query).await;
        if self.is(Mutant::QueryReversesTies) {
            found.sort_by_key(|event| (event.at(), std::cmp::Reverse(event.id())));
        }
        if query.order == Order::Descending && !self.is(Mutant::QueryAscendsAlways) {
            found.reverse();
        }
        let found = self.page(found, query, after);
        Ok(found.into_iter().flat_map(|event| self.stored_as(event)).collect())
    }

    async fn event(&self, scope: &Scope, id: EventId) -> Result<Option<Event>, AuditError> {
        if self.memory().hidden.contains(&id) {
            return Ok(None);
        }
        let found = self.inner.event(scope, id).await?;
        if found.is_none() && self.is(Mutant::FindsEventsOfAnyScope) {
            return Ok(self.memory().events.iter().find(|event| event.id() == id).cloned());
        }
        Ok(found.and_then(|event| self.stored_as(event).pop()))
    }
}

impl Broken {
    /// The query with the condition left out that the defect forgets.
    fn widened(&self, query: &Query) -> Query {
        let mut query = query.clone();
        match self.mutant {
            Mutant::QueryIgnoresView | Mutant::QueryShowsTheHidden => query.view = View::Events,
            Mutant::QueryIgnoresUser | Mutant::QueryFoldsUser => query.user = None,
            Mutant::QueryIgnoresModule => query.module = None,
            Mutant::QueryIgnoresKind => query.kind = None,
            Mutant::QueryIgnoresOutcome => query.outcome = None,
            Mutant::QueryIgnoresAuthType => query.auth_type = None,
            Mutant::QueryIgnoresAddress => query.ip = None,
            Mutant::QueryForgetsOutcomeBesideKind if query.kind.is_some() => query.outcome = None,
            Mutant::QueryExcludesFrom => query.from = query.from.map(|at| at.plus(MILLISECOND)),
            Mutant::QueryExcludesTo => query.to = query.to.map(|at| at.minus(MILLISECOND)),
            Mutant::ErasureLeavesTheIndex => (query.user, query.ip) = (None, None),
            _ => {}
        }
        query
    }

    /// Every event that matches, oldest first.
    async fn matching(&self, widened: &Query, asked: &Query) -> Vec<Event> {
        let scopes: BTreeSet<Scope> = if self.is(Mutant::QueryMixesScopes) {
            self.memory().events.iter().map(|event| event.scope().clone()).collect()
        } else {
            [asked.scope.clone()].into()
        };
        let mut found = Vec::new();
        for scope in scopes {
            let mut query = widened.clone().ascending();
            query.scope = scope;
            query.limit = usize::MAX;
            if self.is(Mutant::QueryLimitsBeforeItFilters) {
                query = Query::new(query.scope).ascending();
                query.limit = asked.limit;
            }
            found.extend(self.inner.query(&query, None).await.unwrap());
        }
        found.sort_by_key(place);
        let memory = self.memory();
        found.retain(|event| !memory.hidden.contains(&event.id()));
        match self.mutant {
            Mutant::QueryLimitsBeforeItFilters => found.retain(|event| asked.matches(event)),
            Mutant::QueryShowsTheHidden => {
                found.retain(|event| asked.view == View::Events || event.attempt().is_some());
            }
            Mutant::QueryFoldsUser => found.retain(|event| {
                let folded = |text: &str| text.to_lowercase();
                let user = event.user().map(|user| folded(user.as_str()));
                asked.user.as_ref().is_none_or(|asked| user == Some(folded(asked.as_str())))
            }),
            Mutant::ErasureLeavesTheIndex => found.retain(|event| {
                memory.events.iter().any(|known| known.id() == event.id() && asked.matches(known))
            }),
            _ => {}
        }
        found
    }

    fn page(&self, found: Vec<Event>, query: &Query, after: Option<Position>) -> Vec<Event> {
        let ascending = query.order == Order::Ascending;
        let behind = |event: &Event| {
            after.is_none_or(|after| {
                let here = place(event);
                match self.mutant {
                    Mutant::PagesIncludeTheirPosition if here == after => true,
                    Mutant::PagesByTimeAlone if ascending => here.at > after.at,
                    Mutant::PagesByTimeAlone => here.at < after.at,
                    _ if ascending => here > after,
                    _ => here < after,
                }
            })
        };
        let offset = after.and_then(|after| self.memory().offsets.get(&after).copied());
        let offset = offset.filter(|_| self.is(Mutant::PagesByOffset));
        let limit = if self.is(Mutant::QueryIgnoresItsLimit) { usize::MAX } else { query.limit };
        let numbered = found.into_iter().enumerate();
        let of_page =
            |(i, event): &(usize, Event)| offset.map_or_else(|| behind(event), |offset| *i > offset);
        let page: Vec<_> = numbered.filter(of_page).take(limit).collect();
        self.memory().offsets.extend(page.iter().map(|(i, event)| (place(event), *i)));
        page.into_iter().map(|(_, event)| event).collect()
    }

    /// The rows that the store has of one event.
    fn stored_as(&self, event: Event) -> Vec<Event> {
        let memory = self.memory();
        let known = || memory.events.iter().filter(|known| known.id() == event.id());
        match self.mutant {
            Mutant::LastEventOfAnIdStays => known().next_back().cloned().into_iter().collect(),
            Mutant::StoresEventsTwice => known().cloned().collect(),
            _ => vec![event],
        }
    }
}

fn place(event: &Event) -> Position {
    Position::new(event.at(), event.id())
}
