//! What a report over a ledger file waits for: exchanges and calls that have ended stand in the journal for a moment, until
//! the server commits them, or until somebody restores what a dead server has left.

use std::{
    io,
    time::{Duration, Instant},
};

use tracing::debug;

use super::{
    Error,
    database::{self, Database, Taken},
    journal::{Ended, Left, Slot, Slots},
    recovery,
    write::WriteConnection,
};
use crate::domain::exchange::{OwnerId, UnixMillis};

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
            if is_left(&file, owner).await? {
                return restore(&file, owner, now).await;
            }
            if Instant::now() >= until {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    .await;
    if let Err(error) = done {
        let error = &error as &dyn std::error::Error;
        debug!(error, "what stands in the journal is not in the report");
    }
}

/// Tells whether a dead process has left a journal.
async fn is_left(file: &Database, owner: OwnerId) -> Result<bool, Error> {
    if file.is_shared() {
        let left = Slots::of(file).take_left();
        return Ok(!left.map_err(|source| file.not_created(source))?.is_empty());
    }
    match file.must_be_free(owner).await {
        Ok(()) => Ok(true),
        Err(Error::InUse { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Restores what a dead process has left in a ledger, as its next start would. Changes nothing where there is nothing, or
/// while a process uses the ledger.
pub(super) async fn restore_left(
    file: &Database,
    owner: OwnerId,
    now: UnixMillis,
) -> Result<(), Error> {
    file.must_be_ledger().await?;
    match file.must_be_free(owner).await {
        Ok(()) => {}
        Err(Error::InUse { .. }) => return Ok(()),
        Err(error) => return Err(error),
    }
    let mut conn = file.beside(PATIENCE).await.map_err(Error::Open)?;
    database::check(&mut conn).await?;
    let running = recovery::count(&mut conn).await?;
    conn.close().await.map_err(Error::Write)?;
    let is_left = || {
        let mut journals = Slots::of(file).paths()?.into_iter();
        journals
            .try_fold(false, |any, path| Ok::<_, io::Error>(any || !Left::peek(&path)?.is_empty()))
    };
    if running > 0 || is_left().map_err(|source| file.not_created(source))? {
        restore(file, owner, now).await?;
    }
    Ok(())
}

/// What has ended in the journals of this machine.
fn journaled(file: &Database) -> Result<Vec<Ended>, Error> {
    let ended = || {
        let mut ended = Vec::new();
        for journal in Slots::of(file).paths()? {
            ended.extend(Left::peek(&journal)?.ended());
        }
        Ok(ended)
    };
    ended().map_err(|source| file.not_created(source))
}

/// What is not committed of this.
async fn uncommitted(file: &Database, ended: Vec<Ended>) -> Result<Vec<Ended>, Error> {
    if ended.is_empty() {
        return Ok(ended);
    }
    file.must_be_ledger().await?;
    let mut conn = file.beside(PATIENCE).await.map_err(Error::Open)?;
    let mut left = Vec::new();
    for item in &ended {
        let is_missing = match *item {
            Ended::Exchange(exchange) => !recovery::has_ended(&mut conn, exchange).await?,
            Ended::Call(call) => !recovery::has_call(&mut conn, call).await?,
            Ended::With(exchange, call) => {
                let ends = ended.contains(&Ended::Exchange(exchange))
                    || recovery::has_ended(&mut conn, exchange).await?;
                ends && !recovery::has_call(&mut conn, call).await?
            }
        };
        if is_missing {
            left.push(*item);
        }
    }
    // Without a server, the last connection to close removes the WAL.
    conn.close().await.map_err(Error::Write)?;
    Ok(left)
}

async fn restore(file: &Database, owner: OwnerId, now: UnixMillis) -> Result<(), Error> {
    let Taken { mut conn, lock, .. } = file.take(owner).await?;
    let mut writer = WriteConnection::open(file).await?;
    let journals = Slots::of(file).take_left().map_err(|source| file.not_created(source))?;
    recovery::run(&mut conn, &mut writer, file, journals.iter(), owner, now).await?;
    journals.into_iter().for_each(Slot::remove);
    writer.close().await?;
    conn.close().await.map_err(Error::Write)?;
    drop(lock);
    Ok(())
}
