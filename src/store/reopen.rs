//! A ledger whose file was removed or replaced while it is open: what is at the path is opened in its place.
//!
//! Nothing that the old file had is carried over, except the rows of exchanges that still run. So no hash counts as
//! persisted any more, hot answers are forgotten, and requests that were packed by the old file's hashes are left out of
//! their rows, of which the totals stay.

use std::{collections::HashSet, io};

use futures_util::future::BoxFuture;
use tracing::{debug, error, warn};

use super::{
    Error,
    database::Taken,
    error::WriteError,
    queue::Queued,
    sqlite::{self, Carried, Fault, Newest, OpenFile},
    write::WriteConnection,
    writer::{LAST_READS, Writer},
};
use crate::domain::exchange::ExchangeId;

impl Writer {
    /// Opens the file that is at the path now, or creates it; `batch` will be written to it next. Another program's
    /// file is an error, and stays as it is.
    pub(super) async fn open_anew(
        &mut self,
        fault: Fault,
        batch: &mut [Queued],
    ) -> Result<(), Error> {
        let Some(path) = self.shared.open.lock().as_ref().map(|open| open.path().to_owned()) else {
            return Ok(());
        };
        if self.left.is_none() {
            if self.shared.set_error(Some(format!("the ledger {fault}"))).is_none() {
                let path = path.display();
                error!(%path, "the ledger {fault} while it is in use; exchanges in it are lost with it");
            }
            if fault == Fault::Overwritten {
                // Its content, its log and its index do not belong together any more.
                return Err(Error::Overwritten { path });
            }
            self.left = Some(self.leave_file().await);
        }
        let taken: BoxFuture<'_, _> = Box::pin(self.file.take(self.owner));
        let Taken { conn, lock, open } = taken.await?;
        self.lock = lock;
        *self.shared.open.lock() = open;
        let connection = WriteConnection::open(&self.file).await?;
        conn.close().await.map_err(Error::Open)?;
        if let Some(rows) = self.left.take() {
            let written: HashSet<ExchangeId> =
                batch.iter().filter_map(|queued| queued.op.exchange()).collect();
            let carried =
                connection.run(move |connection| sqlite::carry_over(rows, connection, &written));
            match carried.await.unwrap_or(Ok(0)) {
                Ok(0) => {}
                Ok(exchanges) => warn!(exchanges, "running exchanges are in the new file"),
                Err(error) => warn!(%error, "running exchanges cannot be carried over"),
            }
        }
        self.connection = Some(connection);
        let file = self.shared.persisted.lock().next_file();
        for queued in batch {
            queued.op.drop_unless_in(file);
        }
        self.hot.lock().forget();
        self.reader.replace(self.file.readers());
        self.keys.forget();
        self.shared.names.forget();
        let path = path.display();
        warn!(%path, "the ledger was opened anew; what is committed from now on is in the file at its path");
        Ok(())
    }

    /// Closes the file before, and completes it where it still has a name. No connection may be left when the next file
    /// is opened: it may be the same one, come back.
    async fn leave_file(&mut self) -> Vec<Carried> {
        if tokio::time::timeout(LAST_READS, self.reader.pool().close()).await.is_err() {
            debug!("the file before is still being read");
        }
        let mut running = Vec::new();
        if let Some(connection) = self.connection.take() {
            match connection.run(sqlite::carried).await.unwrap_or_else(|| Ok(Vec::new())) {
                Ok(rows) => running = rows,
                Err(error) => warn!(%error, "running exchanges cannot be carried over"),
            }
            if let Err(error) = connection.checkpoint().await {
                debug!(%error, "the file before cannot be completed");
            }
            if let Err(error) = connection.close().await {
                debug!(%error, "the file before did not close cleanly");
            }
        }
        let removed = self.shared.open.lock().as_ref().map(OpenFile::remove_beside);
        if let Some(Err(error)) = removed {
            warn!(%error, "the write-ahead log of the file before cannot be removed");
        }
        if let Some(open) = self.shared.open.lock().as_mut() {
            open.close();
        }
        // The lock beside it may be the next one's, too, which has other rows.
        if let Some(mut lock) = self.lock.take() {
            lock.forget();
        }
        running
    }

    /// Saves what is in a write-ahead log that was removed while it is in use, and begins another one. Until then, another
    /// process does not see it, and its end would lose it.
    pub(super) async fn renew_log(&mut self) -> Result<(), WriteError> {
        const BUSY: &str = "the write-ahead log was removed, and cannot be saved yet";
        if let Some(connection) = self.connection.take() {
            error!("the write-ahead log was removed while it is in use; what is in it is saved");
            // No connection may be left, or the next ones would share what was removed.
            if tokio::time::timeout(LAST_READS, self.reader.pool().close()).await.is_err() {
                debug!("the ledger is being read");
            }
            let saved = connection.checkpoint().await;
            if !matches!(saved, Ok(true)) {
                self.connection = Some(connection);
                self.reader.replace(self.file.readers());
                return saved.and(Err(io::Error::other(BUSY).into()));
            }
            connection.close().await?;
        }
        self.connection = Some(WriteConnection::open(&self.file).await?);
        self.reader.replace(self.file.readers());
        if let Some(open) = self.shared.open.lock().as_mut() {
            open.renew_beside();
        }
        Ok(())
    }

    /// Notes the newest rows of a batch that is committed, unless a pruning may delete them.
    pub(super) fn note(&mut self, batch: &[Queued]) {
        let Some(lock) = &mut self.lock else { return };
        if self.shared.persisted.lock().is_suspended() {
            return lock.forget();
        }
        let exchange = batch.iter().rev().find_map(|queued| queued.op.exchange());
        let call = batch.iter().rev().find_map(|queued| queued.op.call());
        if exchange.is_some() || call.is_some() {
            lock.note(Newest { exchange, call });
        }
    }
}
