//! The page of the ledger's schema, as a new ledger has it.

use std::fmt::Write;

use reprise::{
    domain::exchange::UnixMillis,
    store::{Ledger, Options},
};
use rusqlite::{Connection, OpenFlags};
use tokio_util::task::TaskTracker;

use crate::support::{generated, rows};

const HEAD: &str = "\
# The ledger's schema

The tables of the ledger, for queries of your own: `sqlite3 'file:reprise.db?mode=ro' 'select …'`, also while a server
uses it; what ended less than 50 ms before may stand in `.journal` yet. They may change with a new version, unlike the
`--json` of the commands. Ids are UUIDv7 as text, times unix milliseconds in UTC, durations microseconds, money billionths
of a dollar; bodies are compressed with zstd, short ones are plain.
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schema_page_shows_the_tables_of_a_new_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reprise.db");
    let url = format!("sqlite://{}", file.display());
    let (owner, now) = (rows::owner(1), UnixMillis(1_792_454_400_000));
    let ledger = Ledger::open(&Options::new(&url), owner, now, &TaskTracker::new()).await.unwrap();
    let connection = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let query = "select type, tbl_name, sql from sqlite_schema where sql is not null and tbl_name not like 'sqlite%' \
        and tbl_name not like '\\_%' escape '\\' order by tbl_name, type = 'table' desc, name";
    let mut statement = connection.prepare(query).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let mut page = HEAD.to_owned();
    for row in rows {
        let (kind, table, sql): (String, String, String) = row.unwrap();
        if kind == "table" {
            let _ = write!(page, "\n## {table}\n\n```sql\n{sql};\n```\n");
        } else {
            let block = page.strip_suffix("```\n").expect("the block of the table").len();
            page.truncate(block);
            let _ = write!(page, "{sql};\n```\n");
        }
    }
    drop(ledger);
    generated::page("schema.md", &page, "guide::schema");
}
