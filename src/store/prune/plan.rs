//! Selection of the rows to delete. They are noted in temporary tables of the connection, so that the marking takes
//! them for deleted.

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::{Kept, Whose};
use crate::{domain::exchange::UnixMillis, store::Error};

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
    /// The moment before which calls do not count any more, if totals are deleted.
    pub(super) totals_before: Option<UnixMillis>,
}

impl Plan {
    /// The size of the recordings.
    pub(super) async fn bytes(&self, conn: &mut SqliteConnection) -> Result<u64, Error> {
        const SQL: &str = "select cast(coalesce(sum(length(recording)), 0) as bigint) from exchange \
             where rowid in (select at from gone_body) or rowid in (select at from gone_exchange)";
        let bytes: i64 = sqlx::query_scalar(SQL).fetch_one(conn).await?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }
}

/// Creates the temporary tables, empty.
pub(super) async fn none(conn: &mut SqliteConnection) -> Result<(), Error> {
    const TABLES: &str = "drop table if exists temp.gone_body; drop table if exists temp.gone_request; \
         drop table if exists temp.gone_call; drop table if exists temp.gone_exchange; \
         drop table if exists temp.kept; \
         create temp table gone_body (at integer primary key); \
         create temp table gone_request (at integer primary key); \
         create temp table gone_call (at integer primary key); \
         create temp table gone_exchange (at integer primary key); \
         create temp table kept (id text primary key) without rowid;";
    sqlx::raw_sql(TABLES).execute(conn).await?;
    Ok(())
}

/// Moments before which bodies and totals are deleted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    pub(super) bodies: Option<UnixMillis>,
    pub(super) totals: Option<UnixMillis>,
}

/// Selects the rows.
pub(super) async fn make(
    conn: &mut SqliteConnection,
    whose: &Whose,
    before: Before,
) -> Result<Plan, Error> {
    none(conn).await?;
    // Totals of everyone are deleted by whole hours, as they are summed up.
    let totals_before = before.totals.map(|before| match whose {
        Whose::Everyone => UnixMillis(before.hour() * UnixMillis::HOUR),
        Whose::User(_) | Whose::Chat(_) => before,
    });
    if let Some(before) = totals_before {
        totals(conn, whose, before.0).await?;
    }
    if let Some(before) = before.bodies {
        bodies(conn, whose, before.0).await?;
    }
    Ok(Plan {
        bodies: noted(conn, "select at from gone_body order by at").await?,
        requests: noted(conn, "select at from gone_request order by at").await?,
        calls: noted(conn, "select at from gone_call order by at").await?,
        exchanges: noted(conn, "select at from gone_exchange order by at").await?,
        totals_before,
    })
}

/// What stays of a user or a chat without the rows in the temporary tables; `None` for everyone.
pub(super) async fn kept(
    conn: &mut SqliteConnection,
    whose: &Whose,
) -> Result<Option<Kept>, Error> {
    if *whose == Whose::Everyone {
        return Ok(None);
    }
    let mut query = QueryBuilder::<Sqlite>::new(
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

/// The moment before which the exchanges ended that have the oldest `excess` of all `used` bytes, about; `None`: no
/// bodies are left.
pub(super) async fn oldest(
    conn: &mut SqliteConnection,
    excess: u64,
    used: u64,
) -> Result<Option<UnixMillis>, Error> {
    const COUNT: &str = "select count(*) from exchange \
         where recording is not null or frame is not null or head is not null";
    const NTH: &str = "select ended_at from exchange \
         where recording is not null or frame is not null or head is not null \
         order by ended_at limit 1 offset $1";
    const CALLS: &str =
        "select max(at) from call where client_frame is not null or client_head is not null";
    let count: i64 = sqlx::query_scalar(COUNT).fetch_one(&mut *conn).await?;
    let part = u128::from(excess) * u128::try_from(count).unwrap_or(0) / u128::from(used.max(1));
    // At least a fiftieth, so that the number of rounds is limited.
    let nth = i64::try_from(part).unwrap_or(i64::MAX).max(count / 50).min(count - 1);
    let last: Option<i64> = match nth {
        0.. => sqlx::query_scalar(NTH).bind(nth).fetch_optional(conn).await?,
        // Only the clients' requests are left.
        _ => sqlx::query_scalar(CALLS).fetch_one(conn).await?,
    };
    Ok(last.map(|last| UnixMillis(last + 1)))
}

async fn noted(conn: &mut SqliteConnection, sql: &'static str) -> Result<Vec<i64>, Error> {
    Ok(sqlx::query_scalar(sql).fetch_all(conn).await?)
}

/// Appends a condition on `call` for `whose`.
fn push_whose(query: &mut QueryBuilder<Sqlite>, whose: &Whose) {
    match whose {
        Whose::Everyone => {}
        Whose::User(user) => _ = query.push(" and call.user_id = ").push_bind(user.clone()),
        Whose::Chat(chat) => _ = query.push(" and call.chat_id = ").push_bind(chat.clone()),
    }
}

/// Appends a table `mine`: the exchanges that calls of `whose` before a moment sent upstream, and those that they
/// continue.
fn push_mine(query: &mut QueryBuilder<Sqlite>, whose: &Whose, before: i64) {
    query.push(
        "with recursive mine (id) as ( \
         select call.exchange from call where call.exchange is not null \
         and call.answered_by in ('miss', 'refresh', 'bypass') and call.at < ",
    );
    query.push_bind(before);
    push_whose(query, whose);
    query.push(
        " union select exchange.continues from mine join exchange on exchange.id = mine.id \
         where exchange.continues is not null) ",
    );
}

/// Appends a query for the exchanges of `whose` before a moment, open for further conditions.
fn push_exchanges(query: &mut QueryBuilder<Sqlite>, whose: &Whose, before: i64) {
    match whose {
        Whose::Everyone => {
            query.push("select exchange.rowid from exchange where exchange.ended_at < ");
            query.push_bind(before);
        }
        Whose::User(_) | Whose::Chat(_) => {
            push_mine(query, whose, before);
            query.push(
                "select exchange.rowid from exchange where exchange.id in (select id from mine)",
            );
        }
    }
}

async fn totals(
    conn: &mut SqliteConnection,
    whose: &Whose,
    before: i64,
) -> Result<(), sqlx::Error> {
    const KEPT: &str = "insert into kept (id) with recursive line (id) as ( \
         select exchange from call where exchange is not null \
         and seq not in (select at from gone_call) \
         union select continues from running where continues is not null \
         union select exchange.continues from line join exchange on exchange.id = line.id \
         where exchange.continues is not null) select id from line";
    let mut calls = QueryBuilder::<Sqlite>::new(
        "insert into gone_call (at) select call.seq from call where call.at < ",
    );
    calls.push_bind(before);
    push_whose(&mut calls, whose);
    calls.build().execute(&mut *conn).await?;
    // A later call may have been answered from an old exchange, and reports show that one.
    sqlx::query(KEPT).execute(&mut *conn).await?;
    let mut exchanges = QueryBuilder::<Sqlite>::new("insert into gone_exchange (at) ");
    push_exchanges(&mut exchanges, whose, before);
    exchanges.push(" and exchange.id not in (select id from kept)");
    exchanges.build().execute(conn).await?;
    Ok(())
}

async fn bodies(
    conn: &mut SqliteConnection,
    whose: &Whose,
    before: i64,
) -> Result<(), sqlx::Error> {
    let mut requests = QueryBuilder::<Sqlite>::new(
        "insert into gone_request (at) select call.seq from call \
         where (call.client_frame is not null or call.client_head is not null) \
         and call.seq not in (select at from gone_call) and call.at < ",
    );
    requests.push_bind(before);
    push_whose(&mut requests, whose);
    requests.build().execute(&mut *conn).await?;
    let mut exchanges = QueryBuilder::<Sqlite>::new("insert into gone_body (at) ");
    push_exchanges(&mut exchanges, whose, before);
    exchanges.push(
        " and (exchange.recording is not null or exchange.frame is not null or exchange.head is not null) \
         and exchange.rowid not in (select at from gone_exchange)",
    );
    exchanges.build().execute(conn).await?;
    Ok(())
}
