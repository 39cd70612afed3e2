//! The tables that are copied, and their statements.
//!
//! The others are left: `running` belongs to the process that runs; the index of sessions and of words is made again by the
//! reports of the copy; `owner` and `copied_from` are the copy's own.

use crate::store::insert::Insert;

/// The type of a column. A boolean is a number in SQLite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Integer,
    Text,
    Bytes,
}

/// The way in which a table grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Growth {
    /// By rows that stay as they are for long. A copy that was broken off goes on after the greatest key that it has.
    Rows,
    /// By little, and its rows change. It is gone through whole each time.
    Changes,
}

/// A table that is copied.
pub(super) struct Table {
    /// Its columns, and the statement that writes a row.
    pub(super) insert: Insert,
    pub(super) kinds: &'static [Kind],
    pub(super) growth: Growth,
    /// Number of columns of the key, the first ones.
    pub(super) key: usize,
    /// Number of columns that are unique, alone or as the key, the first ones.
    pub(super) identity: usize,
    /// The columns of the key, with commas.
    pub(super) key_columns: &'static str,
    /// Selects all columns.
    pub(super) select: &'static str,
    /// Selects the columns of the identity.
    pub(super) select_identity: &'static str,
    /// Counts the rows.
    pub(super) count: &'static str,
    /// Deletes the row with a key.
    pub(super) delete: &'static str,
}

impl Table {
    pub(super) const fn name(&self) -> &'static str {
        self.insert.table
    }
}

macro_rules! parameter {
    ($column:ident) => {
        ", ?"
    };
}

macro_rules! one {
    ($column:ident) => {
        1
    };
}

/// Names with commas.
macro_rules! names {
    ($first:ident $(, $name:ident)*) => {
        concat!(stringify!($first) $(, ", ", stringify!($name))*)
    };
}

/// The condition that a key of up to three columns is that of the parameters.
macro_rules! key_is {
    ($a:ident) => {
        concat!(stringify!($a), " = $1")
    };
    ($a:ident, $b:ident) => {
        concat!(key_is!($a), " and ", stringify!($b), " = $2")
    };
    ($a:ident, $b:ident, $c:ident) => {
        concat!(key_is!($a, $b), " and ", stringify!($c), " = $3")
    };
}

/// What becomes of a row whose key is there already.
macro_rules! tail {
    (($($key:ident),+);) => {
        " on conflict do nothing"
    };
    (($($key:ident),+); $first:ident $(, $column:ident)*) => {
        concat!(
            " on conflict (", names!($($key),+), ") do update set ",
            stringify!($first), " = excluded.", stringify!($first),
            $(", ", stringify!($column), " = excluded.", stringify!($column),)*
        )
    };
}

/// A table with the columns of its key, then those that are unique besides, then the others.
macro_rules! table {
    ($name:ident, $growth:ident, key ($first:ident $first_kind:ident $(, $key:ident $key_kind:ident)*),
        unique ($($unique:ident $unique_kind:ident),*), ($($column:ident $kind:ident),* $(,)?)) => {
        Table {
            insert: Insert {
                table: stringify!($name),
                columns: &[
                    stringify!($first), $(stringify!($key),)* $(stringify!($unique),)* $(stringify!($column),)*
                ],
                tail: tail!(($first $(, $key)*); $($unique,)* $($column),*),
                sqlite: concat!(
                    "insert into ", stringify!($name), " (",
                    names!($first $(, $key)* $(, $unique)* $(, $column)*), ") values (?",
                    $(parameter!($key),)* $(parameter!($unique),)* $(parameter!($column),)* ")",
                    tail!(($first $(, $key)*); $($unique,)* $($column),*)
                ),
            },
            kinds: &[
                Kind::$first_kind, $(Kind::$key_kind,)* $(Kind::$unique_kind,)* $(Kind::$kind,)*
            ],
            growth: Growth::$growth,
            key: 1 $(+ one!($key))*,
            identity: 1 $(+ one!($key))* $(+ one!($unique))*,
            key_columns: names!($first $(, $key)*),
            select: concat!(
                "select ", names!($first $(, $key)* $(, $unique)* $(, $column)*), " from ", stringify!($name)
            ),
            select_identity: concat!(
                "select ", names!($first $(, $key)* $(, $unique)*), " from ", stringify!($name)
            ),
            count: concat!("select count(*) from ", stringify!($name)),
            delete: concat!("delete from ", stringify!($name), " where ", key_is!($first $(, $key)*)),
        }
    };
}

/// The tables, those first that others refer to.
pub(super) const TABLES: &[Table] = &[
    table!(holder_salt, Changes, key(salt Bytes), unique(), ()),
    table!(old_holder, Changes, key(name Text), unique(), ()),
    table!(frame, Rows, key(hash Bytes), unique(), (body Bytes)),
    table!(node, Rows, key(hash Bytes), unique(), (parent Bytes, body Bytes)),
    table!(blob, Rows, key(hash Bytes), unique(), (body Bytes)),
    table!(piece, Rows, key(owner Bytes, at Integer), unique(), (blob Bytes)),
    table!(
        exchange, Rows, key(rowid Integer), unique(id Text),
        (
            key Bytes, scope Text, frame Bytes, head Bytes, continues Text, model_asked Text, model_served Text,
            outcome Text, stop_reason Text, error_kind Text, error Text, status Integer, upstream_request Text,
            opened_at Integer, ended_at Integer, ttft_us Integer, total_us Integer, input Integer,
            cache_write_5m Integer, cache_write_1h Integer, cache_read Integer, output Integer, thinking Integer,
            searches Integer, cost Integer, cost_is Text, priced_on Text, servable Bool, breakpoints Text,
            version Text, betas Text, tries Integer, priced_as Text, estimate Integer, bill Text, recording Bytes,
        )
    ),
    table!(
        call, Rows, key(seq Integer), unique(id Text),
        (
            exchange Text, at Integer, answered_by Text, api Text, stream Bool, user_id Text, chat_id Text,
            message_id Text, user_message_id Text, task Text, client Text, status Integer, outcome Text,
            error_kind Text, ttft_us Integer, total_us Integer, model Text, input Integer, cache_write_5m Integer,
            cache_write_1h Integer, cache_read Integer, output Integer, thinking Integer, searches Integer,
            cost Integer, cost_is Text, saved Integer, saved_is Text, notes Text, key Bytes, client_frame Bytes,
            client_head Bytes, tries Integer, priced_as Text, estimate Integer, client_key Text, tags Text,
            reason Text,
        )
    ),
    table!(answer_ref, Rows, key(scope Text, ref Text, exchange Text), unique(), ()),
    table!(
        price, Changes, key(model Text, since Text, above Integer), unique(),
        (
            input Integer, output Integer, cache_write_5m Integer, cache_write_1h Integer, cache_read Integer,
        )
    ),
    table!(
        price_state, Changes, key(one Integer), unique(),
        (version Integer, applied Integer, builtin Text, after_seq Integer)
    ),
    table!(
        repricing, Changes, key(id Integer), unique(),
        (
            at Integer, cause Text, operator Text, model Text, exchanges Integer, newly_priced Integer,
            no_longer_priced Integer, before Integer, after Integer,
        )
    ),
    table!(refusal, Changes, key(hour Integer, reason Text), unique(), (count Integer)),
    table!(user_name, Changes, key(id Text), unique(), (name Text, email Text, seen_at Integer)),
    table!(rollup, Changes, key(hour Integer), unique(), (totals Bytes)),
    table!(
        rollup_state, Changes, key(one Integer), unique(),
        (upto Integer, upto_call Text, version Integer, totals_from Integer)
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        domain::exchange::OwnerId,
        store::{database::Database, query::query_as},
    };

    /// Tables that are not copied; see the top of this file.
    const LEFT: [&str; 7] = [
        "running",
        "session",
        "session_call",
        "session_state",
        "said",
        "copied_from",
        "_sqlx_migrations",
    ];

    /// A new column is copied, or its table is left.
    #[tokio::test]
    async fn every_column_of_every_table_is_copied() {
        const COLUMNS: &str = "select list.name, info.name, info.type from pragma_table_list as list \
             join pragma_table_info(list.name) as info on true \
             where list.schema = 'main' and list.type = 'table' and list.name not like 'sqlite%'";
        let memory = Database::parse("sqlite::memory:").unwrap();
        let mut taken = memory.take(OwnerId::new(uuid::Uuid::nil())).await.unwrap();
        let rows: Vec<(String, String, String)> =
            query_as(COLUMNS).fetch_all(&mut taken.conn).await.unwrap();
        let mut there: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for (table, column, kind) in rows {
            if !LEFT.contains(&&*table) {
                there.entry(table).or_default().insert(column, kind);
            }
        }
        let mut copied: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for table in TABLES {
            assert_eq!(table.insert.columns.len(), table.kinds.len(), "{}", table.name());
            for (column, kind) in table.insert.columns.iter().zip(table.kinds) {
                let kind = match kind {
                    Kind::Bool | Kind::Integer => "INTEGER",
                    Kind::Text => "TEXT",
                    Kind::Bytes => "BLOB",
                };
                // SQLite does not list it.
                if (table.name(), *column) != ("exchange", "rowid") {
                    let columns = copied.entry(table.name().to_owned()).or_default();
                    columns.insert((*column).to_owned(), kind.to_owned());
                }
            }
        }
        assert_eq!(copied, there);
    }
}
