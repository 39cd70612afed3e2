//! Pages of calls, the newest first.

use serde::Serialize;

use super::CallLine;
use crate::store::{self, CallFilter, Reader};

/// A page of calls, the newest first.
#[derive(Debug, Serialize)]
pub struct CallPage {
    /// The calls, with the fields of `reprise calls export`.
    pub calls: Vec<CallLine>,
    /// The number before which the next page begins; `None`: there are no more calls.
    pub older: Option<i64>,
}

impl CallPage {
    /// Reads the calls of `filter` that were committed before the number `before`, at most `most`.
    pub async fn of(
        ledger: &Reader,
        filter: &CallFilter,
        before: Option<i64>,
        most: u32,
    ) -> Result<Self, store::Error> {
        let length = usize::try_from(most).unwrap_or(usize::MAX);
        // One more tells whether there is another page.
        let mut calls = ledger.newest_calls(filter, before, most.saturating_add(1)).await?;
        let has_more = calls.len() > length;
        calls.truncate(length);
        let older = calls.last().map(|call| call.seq).filter(|_| has_more);
        Ok(Self { calls: calls.into_iter().map(CallLine).collect(), older })
    }
}
