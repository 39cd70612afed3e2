//! What a report over a ledger file waits for: exchanges that have ended stand in the journal for a moment, until the
//! server commits them, or until somebody restores what a dead server has left.

use std::time::{Duration, Instant};

use tracing::debug;

use super::{
    Error,
    database::{Database, Taken},
    journal::Left,
    recovery,
    write::WriteConnection,
};
use crate::domain::exchange::{ExchangeId, OwnerId, UnixMillis};

/// Time that a report waits for the commits of a server.
const PATIENCE: Duration = Duration::from_millis(250);
/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Lets readers of the ledger at `url` see all that has ended: waits a moment for the server that uses it, or restores
/// what a dead one has left, as its next start would, for the process `owner`. Where it cannot, a report has less.
pub async fn catch_up(url: &str, owner: OwnerId, now: UnixMillis) {
    let done: Result<(), Error> = async {
        let file = Database::parse(url)?;
        let until = Instant::now() + PATIENCE;
        let mut ended = journaled(&file)?;
        loop {
            ended = uncommitted(&file, ended).await?;
            if ended.is_empty() {
                return Ok(());
            }
            match file.must_be_free(owner).await {
                Ok(()) => return restore(&file, owner, now).await,
                Err(Error::InUse { .. }) if Instant::now() < until => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(Error::InUse { .. }) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
    .await;
    if let Err(error) = done {
        let error = &error as &dyn std::error::Error;
        debug!(error, "what stands in the journal is not in the report");
    }
}

/// The exchanges in the journal that have ended.
fn journaled(file: &Database) -> Result<Vec<ExchangeId>, Error> {
    let Some(journal) = file.journal() else { return Ok(Vec::new()) };
    let left = Left::peek(&journal).map_err(|source| file.not_created(source))?;
    Ok(left.ended().collect())
}

/// Those of some exchanges that are not committed.
async fn uncommitted(file: &Database, ended: Vec<ExchangeId>) -> Result<Vec<ExchangeId>, Error> {
    if ended.is_empty() {
        return Ok(ended);
    }
    file.must_be_ledger().await?;
    let mut conn = file.beside(PATIENCE).await.map_err(Error::Open)?;
    let mut left = Vec::new();
    for exchange in ended {
        if !recovery::has_ended(&mut conn, exchange).await? {
            left.push(exchange);
        }
    }
    // Without a server, the last connection to close removes the WAL.
    conn.close().await.map_err(Error::Write)?;
    Ok(left)
}

async fn restore(file: &Database, owner: OwnerId, now: UnixMillis) -> Result<(), Error> {
    let Taken { mut conn, lock, .. } = file.take(owner).await?;
    let mut writer = WriteConnection::open(file).await?;
    recovery::run(&mut conn, &mut writer, file, owner, now).await?;
    file.remove_journal();
    writer.close().await?;
    conn.close().await.map_err(Error::Write)?;
    if let Some(lock) = lock {
        lock.release().await;
    }
    Ok(())
}
