//! Writing a ledger anew without empty and half-empty pages, by its owner: rows may get other row ids, and a server's
//! prune or repricing goes by them. A server gives back empty pages by pruning without limits instead.

use std::{fs, ops::ControlFlow, time::Duration};

use sqlx::Connection;

use super::{
    Error,
    prune::{self, Limits, Pruned},
    rollup,
    sqlite::{self, DatabaseFile, Taken},
};
use crate::domain::exchange::{OwnerId, UnixMillis};

/// Interval between two reports of the progress.
const INTERVAL: Duration = Duration::from_millis(200);

/// Deletes what nothing refers to, writes the file anew, and has the sums made anew by the next report. Fails while
/// another process owns the ledger. `watch` is told how many of all bytes are written, about.
pub async fn run(
    url: &str,
    owner: OwnerId,
    now: UnixMillis,
    watch: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Pruned, Error> {
    let onward = &mut |_| ControlFlow::Continue(());
    let pruned = prune::run(url, owner, &Limits::none(), now, onward).await?;
    let file = DatabaseFile::parse(url)?;
    let Taken { mut conn, lock, .. } = file.take(owner).await?;
    let mut tx = sqlite::begin_write(&mut conn).await.map_err(Error::Write)?;
    rollup::void(&mut tx).await.map_err(Error::Write)?;
    tx.commit().await.map_err(Error::Write)?;
    let used = sqlite::size(&mut conn).await?.used;
    let log = file.real().map(|path| sqlite::beside(&path)[0].clone());
    {
        let mut vacuum = std::pin::pin!(sqlite::vacuum(&mut conn));
        loop {
            tokio::select! {
                done = &mut vacuum => break done.map_err(Error::Write)?,
                () = tokio::time::sleep(INTERVAL) => {
                    let log = log.as_ref().and_then(|log| fs::metadata(log).ok());
                    watch(log.map_or(0, |log| log.len()), used);
                }
            }
        }
    }
    let bytes_after = sqlite::size(&mut conn).await?.whole;
    sqlite::checkpoint(&mut conn).await.map_err(Error::Write)?;
    conn.close().await.map_err(Error::Write)?;
    drop(lock);
    Ok(Pruned { bytes_after, ..pruned })
}
