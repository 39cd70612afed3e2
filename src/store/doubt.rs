//! Commits whose outcome is unknown, because their connection ended before the database server had answered. Their rows
//! must not be written twice.

use super::{batch::Op, connection::Connection, error::WriteError, query::query_scalar};

/// A row that is in the ledger if the transaction was committed that wrote it.
pub(super) struct Proof {
    sql: &'static str,
    id: String,
}

impl Proof {
    /// The row of an operation; `None`: it writes none that could prove its commit. Counts of refused requests may then be
    /// added twice.
    pub(super) fn of(op: &Op) -> Option<Self> {
        const EXCHANGE: &str = "select count(*) from exchange where id = $1";
        const CALL: &str = "select count(*) from call where id = $1";
        const RUNNING: &str = "select count(*) from running where exchange = $1";
        let (sql, id) = match op {
            Op::Seal(seal) => (EXCHANGE, seal.opening.exchange.to_string()),
            Op::Call(call) => (CALL, call.record.id.to_string()),
            Op::Open(open) => (RUNNING, open.opening.exchange.to_string()),
            Op::Clear(_) | Op::Refusals(_) | Op::Name(_) | Op::Mark => return None,
        };
        Some(Self { sql, id })
    }

    /// Tells whether the row is there.
    pub(super) async fn is_there(&self, conn: &mut Connection<'_>) -> Result<bool, WriteError> {
        let Self { sql, id } = self;
        // A server may still be busy with the transaction, which has the lock then.
        let mut tx = conn.begin_write().await?;
        let rows: i64 = query_scalar(sql).bind(&**id).fetch_one(&mut *tx).await?;
        tx.rollback().await?;
        Ok(rows > 0)
    }
}
