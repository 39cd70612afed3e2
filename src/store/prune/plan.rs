//! Selection of the rows to delete. They are noted in temporary tables of the connection, so that the marking takes
//! them for deleted.

use super::{Kept, Limits, Whose, mark, pages::Pages};
use crate::{
    domain::exchange::UnixMillis,
    store::{
        Error,
        connection::Connection,
        database,
        older::{Older, ahead_of},
        query::{QueryBuilder, query, query_scalar, run_all},
    },
};

/// The rows to delete: calls by `seq`, exchanges by `rowid`.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Exchanges that lose their bodies.
    pub(super) bodies: Vec<i64>,
    /// Calls that lose their client's request.
    pub(super) requests: Vec<i64>,
    /// Calls that are deleted.
    pub(super) calls: Vec<i64>,
    /// Exchanges that are deleted.
    pub(super) exchanges: Vec<i64>,
    pub(super) before: Before,
}

impl Plan {
    /// The space that the recordings take, about.
    pub(super) async fn bytes(&self, conn: &mut Connection<'_>) -> Result<u64, Error> {
        const SQL: &str = "select cast(length(recording) as bigint) from exchange where recording is not null \
             and (rowid in (select at from gone_body) or rowid in (select at from gone_exchange))";
        let pages = Pages::of(conn).await?;
        let recordings: Vec<i64> = query_scalar(SQL).fetch_all(conn).await?;
        let freed = |bytes: i64| {
            let whole = pages.of_row(OTHER_COLUMNS + u64::try_from(bytes).unwrap_or(0));
            whole.saturating_sub(pages.of_row(OTHER_COLUMNS))
        };
        Ok(recordings.into_iter().map(freed).sum())
    }
}

/// Bytes of an exchange without its recording, about: they stay.
const OTHER_COLUMNS: u64 = 500;

/// Bytes that are freed beyond what has to be.
const MARGIN: u64 = 16 << 10;

/// Creates the temporary tables, empty.
pub(super) async fn none(conn: &mut Connection<'_>) -> Result<(), Error> {
    const TABLES: &str = "drop table if exists gone_body; drop table if exists gone_request; \
         drop table if exists gone_call; drop table if exists gone_exchange; drop table if exists kept; \
         create temp table gone_body (at bigint primary key); \
         create temp table gone_request (at bigint primary key); \
         create temp table gone_call (at bigint primary key); \
         create temp table gone_exchange (at bigint primary key); \
         create temp table kept (id text primary key)";
    run_all(TABLES, conn).await?;
    Ok(())
}

/// Moments before which bodies and totals are deleted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Before {
    pub(super) bodies: Option<Older>,
    pub(super) totals: Option<Older>,
}

impl Before {
    /// Those of the limits on age.
    pub(super) async fn of(
        conn: &mut Connection<'_>,
        limits: &Limits,
        now: UnixMillis,
    ) -> Result<Self, Error> {
        let mut before = Self::default();
        if let Some(keep) = limits.keep_bodies {
            before.bodies = Some(match keep.as_millis() {
                0 => Older::than_now(now),
                _ => Older::than(conn, now.before(keep), now).await?,
            });
        }
        if let Some(keep) = limits.keep_totals {
            // Totals of everyone are deleted by whole hours, as they are summed up.
            let moment = match limits.whose {
                Whose::Everyone => UnixMillis(now.before(keep).hour() * UnixMillis::HOUR),
                Whose::User(_) | Whose::Chats(_) | Whose::Calls(_) => now.before(keep),
            };
            before.totals = Some(Older::than(conn, moment, now).await?);
        }
        Ok(before)
    }
}

/// Selects the rows within the limits on age, and the oldest bodies until about `most` bytes are left in use. The sizes
/// of rows tell how much their deletion frees, so that a preview selects what a prune deletes.
pub(super) async fn within(
    conn: &mut Connection<'_>,
    limits: &Limits,
    most: Option<u64>,
    now: UnixMillis,
) -> Result<Plan, Error> {
    let mut before = Before::of(conn, limits, now).await?;
    let mut plan = make(conn, &limits.whose, before).await?;
    let (Some(most), Whose::Everyone) = (most, &limits.whose) else { return Ok(plan) };
    let used = database::used_bytes(conn).await?;
    let excess = used.saturating_sub(most);
    if excess == 0 {
        return Ok(plan);
    }
    // Somewhat more, since what is left does not fill its pages.
    let excess = excess + excess / 8 + MARGIN;
    let mut tried = None;
    loop {
        let freed = plan.bytes(conn).await? + mark::unused(conn).await?.bytes;
        if freed >= excess || before.bodies == Some(Older::EVERYTHING) {
            return Ok(plan);
        }
        // Of bodies of one size, this part of all would be enough.
        let part = tried.map_or(excess, |part| {
            let needed = u128::from(part) * u128::from(excess) / u128::from(freed.max(1));
            let step = (used / 50).max(1);
            u64::try_from(needed).unwrap_or(u64::MAX).clamp(part + step, part + 10 * step)
        });
        tried = Some(part);
        let oldest = oldest(conn, part, used, now).await?.filter(|_| part < used);
        let older = match oldest {
            Some(oldest) => Older::than(conn, oldest, now).await?,
            None => Older::EVERYTHING,
        };
        if before.bodies.is_none_or(|bodies| bodies.before() < older.before()) {
            before.bodies = Some(older);
            plan = make(conn, &limits.whose, before).await?;
        }
    }
}

/// Selects the rows.
pub(super) async fn make(
    conn: &mut Connection<'_>,
    whose: &Whose,
    before: Before,
) -> Result<Plan, Error> {
    none(conn).await?;
    if let Some(older) = before.totals {
        totals(conn, whose, older).await?;
    }
    if let Some(older) = before.bodies {
        bodies(conn, whose, older).await?;
    }
    Ok(Plan {
        bodies: noted(conn, "select at from gone_body order by at").await?,
        requests: noted(conn, "select at from gone_request order by at").await?,
        calls: noted(conn, "select at from gone_call order by at").await?,
        exchanges: noted(conn, "select at from gone_exchange order by at").await?,
        before,
    })
}

/// The rest of a user or of chats without the rows in the temporary tables; `None` for everyone.
pub(super) async fn kept(conn: &mut Connection<'_>, whose: &Whose) -> Result<Option<Kept>, Error> {
    if *whose == Whose::Everyone {
        return Ok(None);
    }
    let mut query = QueryBuilder::new(
        "with stays (exchange) as (select call.exchange from call \
         where call.seq not in (select at from gone_call)",
    );
    push_whose(&mut query, whose);
    query.push(
        ") select (select count(*) from stays), (select count(*) from exchange \
         where exchange.id in (select exchange from stays) and exchange.recording is not null \
         and exchange.rowid not in (select at from gone_body) \
         and exchange.rowid not in (select at from gone_exchange))",
    );
    let (calls, answers): (i64, i64) = query.build_query_as().fetch_one(conn).await?;
    let [calls, answers] = [calls, answers].map(|count| u64::try_from(count).unwrap_or(0));
    Ok(Some(Kept { calls, answers }))
}

/// The moment before which the exchanges ended that have the oldest `part` of all `used` bytes, about; `None`: no bodies
/// are left but those with times ahead of the clock.
pub(super) async fn oldest(
    conn: &mut Connection<'_>,
    part: u64,
    used: u64,
    now: UnixMillis,
) -> Result<Option<UnixMillis>, Error> {
    const COUNT: &str = "select count(*) from exchange where ended_at <= $1 \
         and (recording is not null or frame is not null or head is not null)";
    const NTH: &str = "select ended_at from exchange where ended_at <= $1 \
         and (recording is not null or frame is not null or head is not null) \
         order by ended_at limit 1 offset $2";
    const CALLS: &str = "select max(at) from call where at <= $1 \
         and (client_frame is not null or client_head is not null)";
    let ahead = ahead_of(now);
    let count: i64 = query_scalar(COUNT).bind(ahead).fetch_one(&mut *conn).await?;
    let part = u128::from(part) * u128::try_from(count).unwrap_or(0) / u128::from(used.max(1));
    // At least a fiftieth, so that the number of rounds is limited.
    let nth = i64::try_from(part).unwrap_or(i64::MAX).max(count / 50).min(count - 1);
    let last: Option<i64> = match nth {
        0.. => query_scalar(NTH).bind(ahead).bind(nth).fetch_optional(conn).await?,
        // Only the clients' requests are left.
        _ => query_scalar(CALLS).bind(ahead).fetch_one(conn).await?,
    };
    Ok(last.map(|last| UnixMillis(last + 1)))
}

/// True if there are bodies.
pub(super) async fn has_bodies(conn: &mut Connection<'_>) -> Result<bool, Error> {
    const SQL: &str = "select exists (select 1 from exchange \
         where recording is not null or frame is not null or head is not null) \
         or exists (select 1 from call where client_frame is not null or client_head is not null)";
    Ok(query_scalar(SQL).fetch_one(conn).await?)
}

async fn noted(conn: &mut Connection<'_>, sql: &'static str) -> Result<Vec<i64>, Error> {
    Ok(query_scalar(sql).fetch_all(conn).await?)
}

/// Appends a condition on `call` for `whose`.
fn push_whose(query: &mut QueryBuilder<'_>, whose: &Whose) {
    match whose {
        Whose::Everyone => {}
        Whose::User(user) => _ = query.push(" and call.user_id = ").push_bind(user.clone()),
        Whose::Chats(chats) => {
            query.push(" and call.chat_id in (select value from json_each(");
            query.push_bind(serde_json::json!(chats).to_string()).push("))");
        }
        Whose::Calls(calls) => {
            query.push(" and call.id in (select value from json_each(");
            query.push_bind(serde_json::json!(calls).to_string()).push("))");
        }
    }
}

/// Appends a table `mine`: the exchanges that calls of `whose` before a moment sent upstream, and those that they
/// continue.
fn push_mine(query: &mut QueryBuilder<'_>, whose: &Whose, older: Older) {
    query.push(
        "with recursive mine (id) as ( \
         select call.exchange from call where call.exchange is not null \
         and call.answered_by in ('miss', 'refresh', 'bypass') and ",
    );
    older.push_calls(query);
    push_whose(query, whose);
    query.push(
        " union select exchange.continues from mine join exchange on exchange.id = mine.id \
         where exchange.continues is not null) ",
    );
}

/// Appends a query for the exchanges of `whose` before a moment, open for further conditions.
fn push_exchanges(query: &mut QueryBuilder<'_>, whose: &Whose, older: Older) {
    match whose {
        Whose::Everyone => {
            query.push("select exchange.rowid from exchange where ");
            older.push_exchanges(query);
        }
        Whose::User(_) | Whose::Chats(_) | Whose::Calls(_) => {
            push_mine(query, whose, older);
            query.push(
                "select exchange.rowid from exchange where exchange.id in (select id from mine)",
            );
        }
    }
}

async fn totals(conn: &mut Connection<'_>, whose: &Whose, older: Older) -> Result<(), sqlx::Error> {
    const KEPT: &str = "insert into kept (id) with recursive line (id) as ( \
         select exchange from call where exchange is not null \
         and seq not in (select at from gone_call) \
         union select continues from running where continues is not null \
         union select exchange.continues from line join exchange on exchange.id = line.id \
         where exchange.continues is not null) select id from line";
    let mut calls =
        QueryBuilder::new("insert into gone_call (at) select call.seq from call where ");
    older.push_calls(&mut calls);
    push_whose(&mut calls, whose);
    calls.build().execute(&mut *conn).await?;
    // A later call may have been answered from an old exchange, and reports show that one.
    query(KEPT).execute(&mut *conn).await?;
    let mut exchanges = QueryBuilder::new("insert into gone_exchange (at) ");
    push_exchanges(&mut exchanges, whose, older);
    exchanges.push(" and exchange.id not in (select id from kept)");
    exchanges.build().execute(conn).await?;
    Ok(())
}

async fn bodies(conn: &mut Connection<'_>, whose: &Whose, older: Older) -> Result<(), sqlx::Error> {
    let mut requests = QueryBuilder::new(
        "insert into gone_request (at) select call.seq from call \
         where (call.client_frame is not null or call.client_head is not null) \
         and call.seq not in (select at from gone_call) and ",
    );
    older.push_calls(&mut requests);
    push_whose(&mut requests, whose);
    requests.build().execute(&mut *conn).await?;
    let mut exchanges = QueryBuilder::new("insert into gone_body (at) ");
    push_exchanges(&mut exchanges, whose, older);
    exchanges.push(
        " and (exchange.recording is not null or exchange.frame is not null or exchange.head is not null) \
         and exchange.rowid not in (select at from gone_exchange)",
    );
    exchanges.build().execute(conn).await?;
    Ok(())
}
