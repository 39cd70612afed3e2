//! Pages of the list of sessions, from its index: those that were used last come first.

use std::{collections::HashMap, ops::Range};

use super::{
    Error, Reader,
    query::{QueryBuilder, query_as},
    row::from_row,
    session_state::Indexed,
    sessions::{CALLS, CallSummary, SessionRow},
};
use crate::domain::exchange::UnixMillis;

/// Limit of sessions that the beginning of an id is compared with.
const ALIKE: usize = 100;

/// Selection of sessions: all given conditions hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// A period in which it was used, or between two of its calls.
    pub span: Option<Range<UnixMillis>>,
    /// The user of its first call that states one.
    pub user: Option<String>,
    /// The model of one of its calls.
    pub model: Option<String>,
    /// The background task of one of its calls.
    pub task: Option<String>,
}

/// The place of a session in the list, after which the next page begins. As text it is the time in milliseconds, a hyphen
/// and the id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionCursor {
    last_at: UnixMillis,
    id: String,
}

/// A text is not the place of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the place of a session in a list")]
pub struct NoCursor;

impl std::fmt::Display for SessionCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.last_at.0, self.id)
    }
}

impl std::str::FromStr for SessionCursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let (last_at, id) = text.split_once('-').ok_or(NoCursor)?;
        let last_at = UnixMillis(last_at.parse().map_err(|_| NoCursor)?);
        Ok(Self { last_at, id: id.to_owned() })
    }
}

impl SessionCursor {
    /// The place of a session.
    pub fn of(session: &SessionRow) -> Self {
        let last_at = session.calls.iter().map(|call| call.at).max().unwrap_or_default();
        Self { last_at, id: session.id.clone() }
    }

    /// Adds the condition that a row of `session` comes after this place.
    fn push(&self, query: &mut QueryBuilder<'_>) {
        query.push(" and (session.last_at, session.id) < (").push_bind(self.last_at);
        query.push(", ").push_bind(self.id.clone()).push(")");
    }
}

impl SessionFilter {
    /// Adds the conditions on rows of `session`.
    pub(super) fn push(&self, query: &mut QueryBuilder<'_>) {
        let Self { span, user, model, task } = self;
        if let Some(span) = span {
            query.push(" and session.last_at >= ").push_bind(span.start);
            query.push(" and session.began_at < ").push_bind(span.end);
        }
        if let Some(user) = user {
            query.push(" and session.user_id = ").push_bind(user.clone());
        }
        for (list, name) in [("models", model), ("tasks", task)] {
            if let Some(name) = name {
                // In its quotes it is found nowhere else in the list.
                let quoted = serde_json::Value::from(name.as_str()).to_string();
                query.push(" and instr(session.").push(list).push(", ");
                query.push_bind(quoted).push(") > 0");
            }
        }
    }

    /// Tells whether a session is selected.
    pub fn selects(&self, session: &SessionRow) -> bool {
        let Self { span, user, model, task } = self;
        let calls = &session.calls;
        let is_in = |span: &Range<UnixMillis>| {
            calls.iter().any(|call| call.at >= span.start)
                && calls.iter().any(|call| call.at < span.end)
        };
        let of_session = calls.iter().find_map(CallSummary::user);
        span.as_ref().is_none_or(is_in)
            && user.as_ref().is_none_or(|user| of_session == Some(user))
            && model.as_ref().is_none_or(|model| calls.iter().any(|call| call.model == *model))
            && task
                .as_ref()
                .is_none_or(|task| calls.iter().any(|call| call.task.as_ref() == Some(task)))
    }
}

struct NumberedCall {
    session: i64,
    call: CallSummary,
}

from_row!(NumberedCall { session, call: columns });

impl Reader {
    /// The sessions of `filter` after a place, at most `most`, each with all of its calls.
    pub async fn session_page(
        &self,
        _: Indexed,
        filter: &SessionFilter,
        after: Option<&SessionCursor>,
        most: usize,
    ) -> Result<Vec<SessionRow>, Error> {
        let mut query = QueryBuilder::new("select session.number from session where true");
        filter.push(&mut query);
        if let Some(after) = after {
            after.push(&mut query);
        }
        query.push(" order by session.last_at desc, session.id desc limit ");
        query.push_bind(i64::try_from(most).unwrap_or(i64::MAX));
        let numbers: Vec<i64> = query.build_query_scalar().fetch_all(&self.pool()).await?;
        self.sessions_numbered(&numbers).await
    }

    /// The number of sessions of `filter` after a place.
    pub async fn session_count(
        &self,
        _: Indexed,
        filter: &SessionFilter,
        after: &SessionCursor,
    ) -> Result<u64, Error> {
        let mut query = QueryBuilder::new("select count(*) from session where true");
        filter.push(&mut query);
        after.push(&mut query);
        let count: i64 = query.build_query_scalar().fetch_one(&self.pool()).await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// The sessions whose id is `id`, or else begins with it, at most a hundred. Their calls are read only if it is one.
    pub async fn sessions_like(&self, _: Indexed, id: &str) -> Result<Vec<SessionRow>, Error> {
        const EXACT: &str = "select number, id from session where id = $1";
        const ALIKE_SQL: &str = "select number, id from session where id >= $1 \
             and substr(id, 1, length($1)) = $1 order by id limit $2";
        let exact = query_as(EXACT).bind(id);
        let mut found: Vec<(i64, String)> = exact.fetch_all(&self.pool()).await?;
        if found.is_empty() && !id.is_empty() {
            let alike = query_as(ALIKE_SQL).bind(id).bind(i64::try_from(ALIKE).unwrap_or(0));
            found = alike.fetch_all(&self.pool()).await?;
        }
        match &*found {
            [(number, _)] => self.sessions_numbered(&[*number]).await,
            _ => {
                Ok(found.into_iter().map(|(_, id)| SessionRow { id, calls: Vec::new() }).collect())
            }
        }
    }

    /// The sessions with these numbers, in this order, with their calls.
    pub async fn sessions_numbered(&self, numbers: &[i64]) -> Result<Vec<SessionRow>, Error> {
        const IDS: &str = "select number, id from session where number in (select cast(value as bigint) from json_each($1))";
        let list = serde_json::json!(numbers).to_string();
        let ids: Vec<(i64, String)> = query_as(IDS).bind(&list).fetch_all(&self.pool()).await?;
        let mut ids: HashMap<i64, String> = ids.into_iter().collect();
        let mut query = QueryBuilder::new(CALLS);
        query.push(
            ", session_call.session from session_call join call on call.seq = session_call.seq \
             where session_call.session in (select cast(value as bigint) from json_each(",
        );
        query.push_bind(list).push(")) order by call.at, call.id");
        let mut calls: HashMap<i64, Vec<CallSummary>> = HashMap::new();
        let rows: Vec<NumberedCall> = query.build_query_as().fetch_all(&self.pool()).await?;
        for NumberedCall { session, call } in rows {
            calls.entry(session).or_default().push(call);
        }
        let session = |number: &i64| {
            let (id, calls) = (ids.remove(number)?, calls.remove(number)?);
            Some(SessionRow { id, calls })
        };
        Ok(numbers.iter().filter_map(session).collect())
    }
}
