//! Space that rows take in the pages of a database, about, by the layout of <https://sqlite.org/fileformat2.html>: a long
//! row has pages of its own, which its deletion empties, and the others share pages.

use crate::store::{Error, connection::Connection, database};

/// Bytes of the header of a page, and of a row, about.
const HEADER: u64 = 8;

/// Pages of a database.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pages {
    bytes: u64,
}

impl Pages {
    pub(super) async fn of(conn: &mut Connection<'_>) -> Result<Self, Error> {
        let size = database::size(conn).await?;
        Ok(Self { bytes: size.page.max(512) })
    }

    /// Space of a row of so many bytes in a table with row ids: rows of one time lie together.
    pub(super) fn of_row(self, bytes: u64) -> u64 {
        let (own, rest) = self.split(bytes, self.bytes - 35);
        own + self.bytes / ((self.bytes - HEADER) / (rest + HEADER)).max(1)
    }

    /// Space that is emptied with a row of a table without row ids: it lies among others, in the order of their keys,
    /// which keep about half of the shared pages.
    pub(super) fn of_keyed_row(self, bytes: u64) -> u64 {
        let (own, rest) = self.split(bytes, self.share(64));
        own + rest / 2
    }

    /// The bytes of the pages that a row has of its own, and of its rest in a shared page, which takes up to `most`.
    fn split(self, bytes: u64, most: u64) -> (u64, u64) {
        if bytes <= most {
            return (0, bytes);
        }
        let (least, page) = (self.share(32), self.bytes - 4);
        let rest = least + (bytes - least) % page;
        let rest = if rest <= most { rest } else { least };
        ((bytes - rest).div_ceil(page) * self.bytes, rest)
    }

    fn share(self, part: u64) -> u64 {
        (self.bytes - 12) * part / 255 - 23
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_rows_have_pages_of_their_own() {
        let pages = Pages { bytes: 4096 };
        // Eight to a page, one to a page, three pages beside it.
        assert_eq!(pages.of_row(500), 512);
        assert_eq!(pages.of_row(3_000), 4_096);
        assert_eq!(pages.of_row(489 + 3 * 4_092), 3 * 4_096 + 512);
        assert_eq!(pages.of_keyed_row(1_002), 501);
        assert_eq!(pages.of_keyed_row(1_500), 4_096 + 489 / 2);
    }
}
