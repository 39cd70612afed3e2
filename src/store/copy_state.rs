//! The note that a ledger is a copy of another: of which, and whether it is whole. Nothing else may use half a ledger.

use super::{
    Error,
    connection::Connection,
    query::{query, query_as, query_scalar},
    row::from_row,
};

/// The state of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CopyState {
    /// It began empty, and has the beginning of each table.
    Begun,
    /// It was whole, and is being brought up to date.
    Renewed,
    /// It is whole.
    Whole,
}

impl CopyState {
    const fn word(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Renewed => "renewed",
            Self::Whole => "whole",
        }
    }
}

/// The note in a copy.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CopyNote {
    /// The salt of the ledger that it is a copy of.
    pub(super) source: Vec<u8>,
    pub(super) state: CopyState,
    /// Set if it has calls or exchanges that were not copied: a server has used it.
    pub(super) has_own_rows: bool,
}

struct Row {
    source: Vec<u8>,
    state: String,
    has_own_rows: bool,
}

from_row!(Row { source, state, has_own_rows });

/// Reads the note; `None`: the ledger is no copy.
pub(super) async fn read(conn: &mut Connection<'_>) -> Result<Option<CopyNote>, Error> {
    const SQL: &str = "select source, state, \
         exists (select 1 from call where seq > calls_upto) \
         or exists (select 1 from exchange where rowid > exchanges_upto) as has_own_rows from copied_from";
    let row: Option<Row> = query_as(SQL).fetch_optional(conn).await?;
    Ok(row.map(|Row { source, state, has_own_rows }| {
        let states = [CopyState::Begun, CopyState::Renewed];
        let state = states.into_iter().find(|known| known.word() == state);
        CopyNote { source, state: state.unwrap_or(CopyState::Whole), has_own_rows }
    }))
}

/// Notes that the ledger is a copy.
pub(super) async fn note(
    conn: &mut Connection<'_>,
    source: &[u8],
    state: CopyState,
) -> Result<(), Error> {
    const SQL: &str = "insert into copied_from (one, source, state, calls_upto, exchanges_upto) \
         values (1, $1, $2, (select coalesce(max(seq), 0) from call), (select coalesce(max(rowid), 0) from exchange)) \
         on conflict (one) do update set source = excluded.source, state = excluded.state, \
         calls_upto = excluded.calls_upto, exchanges_upto = excluded.exchanges_upto";
    let noted = query(SQL).bind(source).bind(state.word()).execute(conn).await;
    noted.map(drop).map_err(Error::Write)
}

/// Fails if the ledger is half a copy.
pub(super) async fn must_be_whole(conn: &mut Connection<'_>) -> Result<(), Error> {
    const SQL: &str = "select exists (select 1 from copied_from where state <> 'whole')";
    let is_unfinished: bool = query_scalar(SQL).fetch_one(conn).await?;
    if is_unfinished { Err(Error::UnfinishedCopy) } else { Ok(()) }
}
