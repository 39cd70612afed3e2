//! The page at `/`: who may see it, what its endpoints tell, and how it looks to a browser.

mod browser;
mod data;
mod deletion;
mod export;
mod guard;
mod live;
mod sessions;
mod stopping;
mod users;
mod what_if;

use reprise::{answer, domain::exchange::UnixMillis};
use tempfile::TempDir;

use crate::{
    stats::{books::Books, traffic},
    support::app::Setup,
};

/// A server over the ledger in this folder, whose upstream is not there.
fn setup(folder: TempDir) -> Setup {
    Setup::within("http://127.0.0.1:9", folder).set("REPRISE_TIMEZONE", "UTC")
}

const DAY_MS: i64 = 86_400_000;

/// A ledger with some days of traffic that end now.
async fn month() -> TempDir {
    const DAYS: i64 = 24;
    let mut books = Books::open().await;
    let today = answer::now().0.div_euclid(DAY_MS) * DAY_MS;
    let first = UnixMillis(today - (DAYS - 1) * DAY_MS);
    let events = traffic::days(&mut traffic::Traffic::new(11, 5), first, DAYS, 6);
    books.write(&events).await;
    books.close().await
}
