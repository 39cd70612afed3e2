//! The progress of the index of sessions and of that of words, and their validity.
//!
//! Both go by `seq`, the order of commits, as the sums of `rollup` do: the watermark remembers the call it stands at,
//! and if another call has its number, as in a copy of a ledger that lacks calls, the index is void and made anew.

use super::{
    Error,
    connection::Connection,
    query::{query, query_as},
    row::from_row,
};

/// The operator's word on the index of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WordIndex {
    /// It is kept.
    Kept,
    /// None is kept, and one that is there is deleted.
    NotKept,
}

/// Proof that the index was brought up to date: what was committed before is in it.
#[derive(Debug, Clone, Copy)]
pub struct Indexed(pub(super) WordIndex);

impl Indexed {
    /// True if there is an index of words.
    pub fn has_texts(self) -> bool {
        self.0 == WordIndex::Kept
    }
}

/// The state of the index when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IndexState {
    /// The newest `seq` that has its session.
    pub(super) upto: i64,
    /// The newest `seq` whose texts are indexed.
    pub(super) texts_upto: i64,
    pub(super) version: i64,
    /// Set if the rows of the index are void, because another call has the number of the watermark.
    pub(super) is_void: bool,
    /// The newest call in the ledger; 0: there is none.
    pub(super) newest: i64,
}

struct StateRow {
    upto: i64,
    upto_call: Option<String>,
    texts_upto: i64,
    version: i64,
    there: Option<String>,
    newest: i64,
}

from_row!(StateRow { upto, upto_call, texts_upto, version, there, newest });

impl IndexState {
    pub(super) async fn read(conn: &mut Connection<'_>) -> Result<Self, Error> {
        const SQL: &str = "select upto, upto_call, texts_upto, version, \
             (select id from call where call.seq = session_state.upto) as there, \
             (select coalesce(max(seq), 0) from call) as newest from session_state";
        let row: StateRow = query_as(SQL).fetch_one(conn).await?;
        let StateRow { upto, upto_call, texts_upto, version, there, newest } = row;
        let is_void = upto > 0 && upto_call != there;
        Ok(Self { upto, texts_upto, version, is_void, newest })
    }
}

/// Counts a change of the index inside a transaction, if none was made since `state` was read. `false`: the rows that were
/// made from that state must not be written.
pub(super) async fn claim(
    conn: &mut Connection<'_>,
    state: &IndexState,
) -> Result<bool, sqlx::Error> {
    const CLAIM: &str = "update session_state set version = version + 1 where version = $1";
    let claimed = query(CLAIM).bind(state.version).execute(conn).await?;
    Ok(claimed > 0)
}

/// Counts a change: what is read from the ledger before it is not written to the index any more.
pub(super) async fn change(conn: &mut Connection<'_>) -> Result<(), sqlx::Error> {
    const CHANGE: &str = "update session_state set version = version + 1";
    query(CHANGE).execute(conn).await.map(drop)
}
