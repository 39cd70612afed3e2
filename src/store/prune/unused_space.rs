//! Zeros in the unused space of pages.
//!
//! With `secure_delete`, SQLite overwrites a row where it stands when it is deleted. But when it had moved the row to
//! another page of the tree before, the first page still has a copy in its unused space, between the list of cells and
//! the first cell (`rebuildPage` in `btree.c` leaves it as it is), and no deletion reaches that. So a pruning ends with
//! zeros in all unused space, written through `sqlite_dbpage` (<https://sqlite.org/dbpage.html>), which is a write like
//! any other: in a transaction, and seen by all connections. The layout of pages is that of
//! <https://sqlite.org/fileformat2.html>.

use std::ops::Range;

use sqlx::SqliteConnection;

use crate::store::sqlite;

/// Number of the first map page.
const FIRST_MAP: u32 = 2;

/// Length of an entry in a map page: the kind of a page, and the page that refers to it.
const ENTRY: usize = 5;

/// Kinds of pages, as maps have them, that are part of a tree: its root, and all others.
const TREE: [u8; 2] = [1, 5];

/// The map pages of a database that can be vacuumed step by step. Each tells the kinds of the pages that follow it.
pub(super) struct Maps {
    /// Bytes of a page that SQLite uses.
    usable: usize,
    /// The page that SQLite never uses, because it locks its bytes.
    locked: u32,
}

/// A page in the database.
type Page = (u32, Vec<u8>);

impl Maps {
    /// `None`: this build of SQLite has no `sqlite_dbpage`, or the database has no maps.
    pub(super) async fn of(conn: &mut SqliteConnection) -> Result<Option<Self>, sqlx::Error> {
        const HAS: &str =
            "select exists (select 1 from pragma_module_list where name = 'sqlite_dbpage')";
        if !sqlx::query_scalar(HAS).fetch_one(&mut *conn).await? {
            return Ok(None);
        }
        let first = pages(conn, 1, 1).await?;
        Ok(first.first().and_then(|(_, page)| Self::from_header(page)))
    }

    fn from_header(page: &[u8]) -> Option<Self> {
        let largest_root = page.get(52..56)?;
        let usable = page.len() - usize::from(*page.get(20)?);
        let locked = 0x4000_0000 / u32::try_from(page.len()).ok()? + 1;
        (largest_root != [0; 4]).then_some(Self { usable, locked })
    }

    /// The numbers of the map pages, in a database of so many pages.
    pub(super) fn numbers(&self, pages: u64) -> impl Iterator<Item = u32> + use<> {
        let last = u32::try_from(pages).unwrap_or(u32::MAX);
        (FIRST_MAP..=last).step_by(self.kinds() + 1)
    }

    /// Number of pages whose kind one map tells.
    fn kinds(&self) -> usize {
        self.usable / ENTRY
    }

    /// Overwrites the unused space of the pages of this map in one transaction, and returns the number of pages that had
    /// something in it.
    pub(super) async fn clear(
        &self,
        conn: &mut SqliteConnection,
        number: u32,
    ) -> Result<usize, sqlx::Error> {
        const WRITE: &str = "update sqlite_dbpage set data = $1 where pgno = $2";
        let last = number.saturating_add(u32::try_from(self.kinds()).unwrap_or(u32::MAX));
        let mut tx = sqlite::begin_write(conn).await?;
        let pages = self.unclean(pages(&mut tx, number, last).await?);
        for (number, page) in &pages {
            sqlx::query(WRITE).bind(page).bind(number).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(pages.len())
    }

    /// Those of the pages of a map that have something in their unused space, without it. The first page is the map,
    /// but for the locked page, whose place the next one takes.
    fn unclean(&self, mut pages: Vec<Page>) -> Vec<Page> {
        pages.retain(|(number, _)| *number != self.locked);
        let mut pages = pages.into_iter();
        let Some((map_number, map)) = pages.next() else { return Vec::new() };
        let is_tree = |number: u32| {
            let at = (number - map_number - 1) as usize * ENTRY;
            map[..self.usable].get(at).is_some_and(|kind| TREE.contains(kind))
        };
        let unclean = |(number, mut page): Page| {
            let unused = unused_space(&page[..self.usable])?;
            let unused = &mut page[unused];
            if unused.iter().all(|byte| *byte == 0) {
                return None;
            }
            unused.fill(0);
            Some((number, page))
        };
        pages.filter(|(number, _)| is_tree(*number)).filter_map(unclean).collect()
    }
}

/// The pages with these numbers, as far as they exist, in their order.
async fn pages(
    conn: &mut SqliteConnection,
    first: u32,
    last: u32,
) -> Result<Vec<Page>, sqlx::Error> {
    // One by one, since the table finds a page only by its number.
    const PAGES: &str = "with recursive wanted (number) as \
         (select $1 union all select number + 1 from wanted where number < $2) \
         select pgno, data from wanted cross join sqlite_dbpage on pgno = number";
    sqlx::query_as(PAGES).bind(first).bind(last).fetch_all(conn).await
}

/// The part of a tree's page between its list of cells and its first cell; `None`: it is no page of a tree.
fn unused_space(page: &[u8]) -> Option<Range<usize>> {
    let number =
        |at: usize| Some(usize::from(u16::from_be_bytes([*page.get(at)?, *page.get(at + 1)?])));
    let header = match page.first()? {
        2 | 5 => 12,
        10 | 13 => 8,
        _ => return None,
    };
    let begin = header + 2 * number(3)?;
    // 65,536 does not fit into its two bytes.
    let end = Some(number(5)?).filter(|end| *end > 0).unwrap_or(65_536);
    (begin <= end && end <= page.len()).then_some(begin..end)
}
