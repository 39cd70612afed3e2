//! The list of sessions, by pages: all of them, or those in which something was said.

use std::fmt;

use serde::Serialize;

use super::SessionSummary;
use crate::{
    domain::{exchange::UnixMillis, user_name::UserNames},
    report::{
        lines::paragraph,
        moment::to_the_minute,
        numbers::thousands,
        table::{Column, Table},
    },
    store::{self, Found, Indexed, NoCursor, Reader, SessionCursor, SessionFilter, SessionRow},
};

/// The report of `reprise sessions list` and `reprise sessions search`: a page of sessions, those that were used last
/// first.
#[derive(Debug, Serialize)]
pub struct Sessions {
    /// The sessions on this page.
    pub sessions: Vec<SessionSummary>,
    /// Number of sessions after this page; `None`: unknown, as in searches.
    pub more: Option<u64>,
    /// The place after which the next page begins; `None`: this is the last one.
    pub next: Option<String>,
}

/// Selection of a page of sessions.
#[derive(Debug, Clone, Default)]
pub struct SessionQuery {
    /// The sessions among which it is.
    pub filter: SessionFilter,
    /// Words that one call of a session says, all of them; `None`: all sessions. See [`Reader::search`].
    pub words: Option<String>,
    /// The place after which it begins: `next` of the page before.
    pub after: Option<String>,
    /// Maximum number of sessions.
    pub most: usize,
}

/// Errors of lists of sessions.
#[derive(Debug, thiserror::Error)]
pub enum SessionsError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A page that is no `next`.
    #[error(transparent)]
    Cursor(#[from] NoCursor),
    /// There is no index of words.
    #[error("there is no index of what was said: none is kept, or the ledger cannot be written")]
    NoTexts,
}

impl Sessions {
    /// Reads a page. `index` proves that the index of sessions is up to date; without one, all calls are read, and nothing
    /// can be searched. `names` has the names of users, here and below.
    pub async fn of(
        ledger: &Reader,
        names: &UserNames,
        index: Option<Indexed>,
        query: &SessionQuery,
    ) -> Result<Self, SessionsError> {
        match (&query.words, index) {
            (Some(words), Some(index)) if index.has_texts() => {
                Self::found(ledger, names, words, query).await
            }
            (Some(_), _) => Err(SessionsError::NoTexts),
            (None, Some(index)) => Self::listed(ledger, names, index, query).await,
            (None, None) => {
                let rows = ledger.sessions(UnixMillis(0)).await?;
                Self::of_rows(ledger, names, rows, query).await
            }
        }
    }

    async fn listed(
        ledger: &Reader,
        names: &UserNames,
        index: Indexed,
        query: &SessionQuery,
    ) -> Result<Self, SessionsError> {
        let SessionQuery { filter, after, most, .. } = query;
        let after = after.as_ref().map(|after| after.parse()).transpose()?;
        let after: Option<SessionCursor> = after;
        let mut rows =
            ledger.session_page(index, filter, after.as_ref(), most.saturating_add(1)).await?;
        let has_more = rows.len() > *most;
        rows.truncate(*most);
        let last = rows.last().map(SessionCursor::of);
        let more = match &last {
            Some(last) if has_more => ledger.session_count(index, filter, last).await?,
            _ => 0,
        };
        let next = last.filter(|_| has_more).map(|last| last.to_string());
        Ok(Self { sessions: summaries(ledger, names, &rows).await?, more: Some(more), next })
    }

    async fn found(
        ledger: &Reader,
        names: &UserNames,
        words: &str,
        query: &SessionQuery,
    ) -> Result<Self, SessionsError> {
        let SessionQuery { filter, after, most, .. } = query;
        let before = after.as_ref().map(|after| after.parse().map_err(|_| NoCursor)).transpose()?;
        let (found, next) = ledger.search(words, filter, before, *most).await?;
        let numbers: Vec<i64> = found.iter().map(|found| found.session).collect();
        let mut sessions = Vec::with_capacity(found.len());
        for (Found { excerpt, .. }, row) in
            found.into_iter().zip(ledger.sessions_numbered(&numbers).await?)
        {
            let summary = SessionSummary::of(ledger, names, &row).await?;
            sessions.push(SessionSummary { excerpt: Some(excerpt), ..summary });
        }
        Ok(Self { sessions, more: None, next: next.map(|next| next.to_string()) })
    }

    /// Makes the page from all sessions, which were read before.
    pub async fn of_rows(
        ledger: &Reader,
        names: &UserNames,
        rows: Vec<SessionRow>,
        query: &SessionQuery,
    ) -> Result<Self, SessionsError> {
        let SessionQuery { filter, after, most, .. } = query;
        let after = after.as_ref().map(|after| after.parse()).transpose()?;
        let after: Option<SessionCursor> = after;
        let selected = rows.into_iter().filter(|row| filter.selects(row));
        let mut rows: Vec<(SessionCursor, SessionRow)> =
            selected.map(|row| (SessionCursor::of(&row), row)).collect();
        rows.retain(|(place, _)| after.as_ref().is_none_or(|after| place < after));
        rows.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
        let more = rows.len().saturating_sub(*most);
        rows.truncate(*most);
        let next = rows.last().filter(|_| more > 0).map(|(place, _)| place.to_string());
        let rows: Vec<SessionRow> = rows.into_iter().map(|(_, row)| row).collect();
        let sessions = summaries(ledger, names, &rows).await?;
        Ok(Self { sessions, more: Some(more as u64), next })
    }
}

async fn summaries(
    ledger: &Reader,
    names: &UserNames,
    rows: &[SessionRow],
) -> Result<Vec<SessionSummary>, store::Error> {
    let mut sessions = Vec::with_capacity(rows.len());
    for row in rows {
        sessions.push(SessionSummary::of(ledger, names, row).await?);
    }
    Ok(sessions)
}

impl fmt::Display for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.sessions.is_empty() {
            return writeln!(f, "There are no such sessions in the ledger.");
        }
        let has_users = self.sessions.iter().any(|session| session.who.is_some());
        let is_search = self.sessions.iter().any(|session| session.excerpt.is_some());
        let columns = [
            Some(Column::name("session")),
            has_users.then(|| Column::name("user").expendable(2)),
            Some(Column::name("last used (UTC)").expendable(1)),
            (!is_search).then(|| Column::number("turns").expendable(4)),
            (!is_search).then(|| Column::number("cost").expendable(3)),
            Some(Column::text("title")),
            is_search.then(|| Column::text("said")),
        ];
        let mut table = Table::new(columns.into_iter().flatten());
        for summary in &self.sessions {
            let turns = thousands(u64::try_from(summary.turns).unwrap_or(u64::MAX));
            let SessionSummary { id, title, cost, last_at, who, excerpt, .. } = summary;
            let who = has_users.then_some(who.as_deref().unwrap_or("–"));
            let (last, cost) = (to_the_minute(*last_at), cost.in_words());
            let excerpt = is_search.then_some(excerpt.as_deref().unwrap_or_default());
            let [turns, cost] = [turns, cost].map(|cell| (!is_search).then_some(cell));
            let (turns, cost) = (turns.as_deref(), cost.as_deref());
            let row = [Some(id.as_str()), who, Some(&last), turns, cost, Some(title), excerpt];
            table.row(row.into_iter().flatten());
        }
        table.fmt(f)?;
        match (self.more, &self.next) {
            (_, None) => Ok(()),
            (Some(1), _) => paragraph(f, "", "and one older session; --last 0 shows all"),
            (Some(more), _) => {
                paragraph(f, "", &format!("and {more} older sessions; --last 0 shows all"))
            }
            (None, _) => paragraph(f, "", "and older sessions; --last 0 shows all"),
        }
    }
}
