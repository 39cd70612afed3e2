//! Writing a ledger anew without empty and half-empty pages, by its owner: rows may get other row ids, and a server's
//! prune or repricing goes by them. A server gives back empty pages by pruning without limits instead.

use std::{fs, ops::ControlFlow, time::Duration};

use super::{
    Error,
    connection::Connection,
    database::{self, Database},
    prune::{self, Limits, Pruned},
    rollup,
    sqlite::{self, Taken},
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
    let file = Database::in_file(url, "autovacuum gives its space back")?;
    let onward = &mut |_| ControlFlow::Continue(());
    let pruned = prune::run(url, owner, &Limits::none(), now, onward).await?;
    let Taken { conn, lock, .. } = file.take(owner).await?;
    let mut conn = Connection::from(conn);
    let mut tx = conn.begin_write().await.map_err(Error::Write)?;
    rollup::void(&mut tx).await.map_err(Error::Write)?;
    tx.commit().await.map_err(Error::Write)?;
    let used = database::used_bytes(&mut conn).await?;
    let log = file.real().map(|path| sqlite::beside(&path)[0].clone());
    {
        let Connection::Sqlite(conn) = &mut conn else { unreachable!("the ledger is in a file") };
        let mut vacuum = std::pin::pin!(sqlite::vacuum(conn.get()));
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
    let bytes_after = database::size(&mut conn).await?.whole;
    database::checkpoint(&mut conn).await.map_err(Error::Write)?;
    conn.close().await.map_err(Error::Write)?;
    drop(lock);
    Ok(Pruned { bytes_after, ..pruned })
}
