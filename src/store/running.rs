//! The calls whose exchanges are running, as other processes see them.

use super::{Error, Reader, query::query_as, recovery::read_call};
use crate::store::record::CallRecord;

impl Reader {
    /// The calls that have opened an exchange and not ended it: they run, or the process died. Those that cannot be read
    /// are left out.
    pub async fn running(&self) -> Result<Vec<CallRecord>, Error> {
        const SQL: &str = "select model, call from running where continues is null";
        let rows: Vec<(String, String)> = query_as(SQL).fetch_all(&self.pool()).await?;
        let calls = rows.into_iter().filter_map(|(model, call)| {
            let (call, _) = read_call(call.as_bytes()).ok()?;
            Some(CallRecord { model, ..call })
        });
        Ok(calls.collect())
    }
}
