//! The full check of a ledger: that of SQLite, and of what the tables must agree on. Changes nothing, and may run beside
//! a server; meanwhile the server's write-ahead log grows by what it writes.

use std::collections::BTreeMap;

use super::{
    Error, Reader,
    columns::count,
    connection::Connection,
    query::{query_as, query_scalar},
    rollup, sqlite,
};

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Integrity {
    /// Errors that SQLite finds in the file.
    pub file: Vec<String>,
    /// The tables; `None`: the file is damaged, so they cannot be trusted.
    pub tables: Option<Tables>,
}

/// Numbers of rows in the tables, and of those that do not agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tables {
    /// Exchanges.
    pub exchanges: u64,
    /// Calls.
    pub calls: u64,
    /// Rows that refer to one that is not there.
    pub dangling: u64,
    /// Requests of which a frame or a message is missing.
    pub incomplete: u64,
    /// Calls whose exchange is missing.
    pub without_exchange: u64,
    /// Exchanges that belong to no call, so that reports do not have their cost.
    pub without_call: u64,
    /// Hours whose sums were compared with their calls.
    pub hours: u64,
    /// Those that do not agree.
    pub wrong_hours: u64,
}

/// Number of parts of a check, after each of which it reports.
pub const PARTS: usize = 5;

impl Reader {
    /// Checks the ledger. `watch` is called after each part.
    pub async fn integrity(&self, watch: &mut (dyn FnMut() + Send)) -> Result<Integrity, Error> {
        const COUNTS: &str = "select (select count(*) from exchange), (select count(*) from call)";
        // A request is there if its frame and its last message are, and of each message the one before.
        const INCOMPLETE: &str = "select \
             (select count(*) from exchange where \
                 frame is not null and not exists (select 1 from frame where hash = exchange.frame) \
                 or head is not null and not exists (select 1 from node where hash = exchange.head)) \
             + (select count(*) from call where \
                 client_frame is not null and not exists (select 1 from frame where hash = call.client_frame) \
                 or client_head is not null and not exists (select 1 from node where hash = call.client_head)) \
             + (select count(*) from node where parent is not null \
                 and not exists (select 1 from node as before where before.hash = node.parent))";
        const WITHOUT_EXCHANGE: &str = "select count(*) from call where exchange is not null \
             and not exists (select 1 from exchange where id = call.exchange) \
             and not exists (select 1 from running where running.exchange = call.exchange)";
        // Pruning of totals goes by the beginning of calls and by the end of exchanges: a day lies between them at most.
        const WITHOUT_CALL: &str = "with recursive mine (id) as ( \
             select exchange from call where exchange is not null \
             union select continues from running where continues is not null \
             union select exchange.continues from mine join exchange on exchange.id = mine.id \
             where exchange.continues is not null) \
             select count(*) from exchange where id not in (select id from mine) \
             and ended_at >= (select totals_from + 86400000 from rollup_state)";
        let mut conn = self.pool().acquire().await?;
        let file = match &mut conn {
            Connection::Sqlite(conn) => sqlite::integrity_check(conn.get()).await?,
            // Postgres checks its pages itself, where it was set up to.
            Connection::Postgres(_) => Vec::new(),
        };
        watch();
        if !file.is_empty() {
            return Ok(Integrity { file, tables: None });
        }
        // One state of the ledger for all of these.
        let mut tx = conn.begin_read().await?;
        let (exchanges, calls): (i64, i64) = query_as(COUNTS).fetch_one(&mut *tx).await?;
        let dangling = match &mut *tx {
            Connection::Sqlite(conn) => sqlite::foreign_key_check(conn.get()).await?,
            // Its foreign keys hold.
            Connection::Postgres(_) => 0,
        };
        watch();
        let incomplete: i64 = query_scalar(INCOMPLETE).fetch_one(&mut *tx).await?;
        watch();
        let without_exchange = query_scalar(WITHOUT_EXCHANGE).fetch_one(&mut *tx).await?;
        let without_call = query_scalar(WITHOUT_CALL).fetch_one(&mut *tx).await?;
        watch();
        let sums = rollup::compared(&mut tx).await?;
        watch();
        let wrong_hours = sums.values().filter(|[summed, counted]| summed != counted).count();
        let tables = Tables {
            exchanges: count(exchanges),
            calls: count(calls),
            dangling,
            incomplete: count(incomplete),
            without_exchange: count(without_exchange),
            without_call: count(without_call),
            hours: BTreeMap::len(&sums) as u64,
            wrong_hours: wrong_hours as u64,
        };
        Ok(Integrity { file, tables: Some(tables) })
    }
}
