//! The connection that writes, on a thread of its own.
//!
//! A whole transaction is sent to the thread and waited for once. sqlx, which reads, sends each statement: the two
//! switches between threads would cost more than a small insert itself.

use std::{
    io,
    sync::mpsc::{self, Receiver, Sender},
    thread,
};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tokio::sync::oneshot;

use super::DatabaseFile;
use crate::store::{Durability, error::WriteError};

/// Prepared statements that the connection keeps: more than the writer has.
const STATEMENTS: usize = 32;

/// Settings of every connection that writes, beside its wait for a lock.
const PRAGMAS: &str = "\
    pragma journal_mode = wal; \
    pragma foreign_keys = on; \
    pragma secure_delete = on; \
    -- In KiB: hashes fall anywhere in their tables, and pages that must be read again cost more than memory.
    pragma cache_size = -4096; \
    -- In pages: a page that several commits write is moved into the file once.
    pragma wal_autocheckpoint = 4000; \
    -- A write-ahead log that had to grow is cut again when it begins anew. In bytes.
    pragma journal_size_limit = 16777216; \
    -- Journals of single statements are small and need no files.
    pragma temp_store = memory;";

/// An order to the thread of a connection.
enum Order {
    Run(Box<dyn FnOnce(&mut Connection) + Send>),
    Close(oneshot::Sender<rusqlite::Result<()>>),
    Forget,
}

/// A connection that writes. Dropped, it closes.
pub(in crate::store) struct WriteConnection {
    orders: Sender<Order>,
}

impl WriteConnection {
    /// Opens the database, which must be there, and starts the thread.
    pub(in crate::store) async fn open(file: &DatabaseFile) -> Result<Self, WriteError> {
        let name = file.options.get_filename().to_owned();
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        if file.path.is_none() {
            // The one that sqlx has named.
            flags |= OpenFlags::SQLITE_OPEN_MEMORY
                | OpenFlags::SQLITE_OPEN_SHARED_CACHE
                | OpenFlags::SQLITE_OPEN_CREATE;
        }
        let (orders, queue) = mpsc::channel();
        let (opened, is_open) = oneshot::channel();
        thread::Builder::new().name("ledger".to_owned()).spawn(move || {
            let connection = Connection::open_with_flags(name, flags).and_then(|connection| {
                connection.busy_timeout(super::WRITER_BUSY)?;
                connection.execute_batch(PRAGMAS)?;
                connection.set_prepared_statement_cache_capacity(STATEMENTS);
                Ok(connection)
            });
            match connection {
                Ok(connection) => {
                    // Whoever opens it may have given up.
                    let _ = opened.send(Ok(()));
                    obey(connection, &queue);
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            }
        })?;
        is_open.await.map_err(|_| gone())??;
        Ok(Self { orders })
    }

    /// Runs `job` on the thread. Fails beside what the job returns if the thread has ended.
    pub(in crate::store) async fn run<T, E>(
        &self,
        job: impl FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, WriteError>
    where
        T: Send + 'static,
        E: Send + 'static,
        WriteError: From<E>,
    {
        let (done, result) = oneshot::channel();
        let run = Order::Run(Box::new(move |connection| {
            // What the job holds is dropped before its result is there.
            let result = job(connection);
            // The receiver may have stopped waiting.
            let _ = done.send(result);
        }));
        self.orders.send(run).map_err(|_| gone())?;
        Ok(result.await.map_err(|_| gone())??)
    }

    /// Moves the write-ahead log into the database file and empties it; see [`super::checkpoint`].
    pub(in crate::store) async fn checkpoint(&self) -> Result<bool, WriteError> {
        self.run(|connection| {
            connection.query_row("pragma wal_checkpoint(truncate)", [], |row| {
                Ok(row.get::<_, i64>(0)? == 0)
            })
        })
        .await
    }

    /// Closes the connection.
    pub(in crate::store) async fn close(self) -> Result<(), WriteError> {
        let (done, result) = oneshot::channel();
        self.orders.send(Order::Close(done)).map_err(|_| gone())?;
        Ok(result.await.map_err(|_| gone())??)
    }

    /// Ends the thread and leaves the connection open for as long as the process lives: closing it would write.
    pub(in crate::store) fn forget(self) {
        // A thread that has ended has closed it.
        let _ = self.orders.send(Order::Forget);
    }
}

/// Runs what is ordered, until there is nobody left to order.
fn obey(mut connection: Connection, queue: &Receiver<Order>) {
    while let Ok(order) = queue.recv() {
        match order {
            Order::Run(job) => job(&mut connection),
            Order::Close(done) => {
                let _ = done.send(connection.close().map_err(|(_, error)| error));
                return;
            }
            Order::Forget => return std::mem::forget(connection),
        }
    }
}

/// Runs `work` in one transaction, which takes the write lock at once, so that it cannot fail for it later.
pub(in crate::store) fn transaction<T, E: From<rusqlite::Error>>(
    connection: &mut Connection,
    work: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = work(&transaction)?;
    transaction.commit()?;
    Ok(done)
}

/// Gives the commits of a connection a durability.
pub(in crate::store) fn set_durability(
    connection: &Connection,
    wanted: Durability,
) -> rusqlite::Result<()> {
    connection.execute_batch(match wanted {
        Durability::Full => "pragma synchronous = full",
        Durability::Normal => "pragma synchronous = normal",
    })
}

fn gone() -> io::Error {
    io::Error::other("the thread that writes the ledger has ended")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_job_that_panics_ends_the_thread_and_gives_back_what_it_shared() {
        let file = DatabaseFile::parse("sqlite::memory:").unwrap();
        let connection = WriteConnection::open(&file).await.unwrap();
        let rows = Arc::new(());
        for _ in 0..2 {
            let taken = Arc::clone(&rows);
            let run = connection.run(move |_| -> rusqlite::Result<()> {
                panic!("for a test, with {taken:?}");
            });
            assert!(matches!(run.await, Err(WriteError::Io(_))));
            assert_eq!(Arc::strong_count(&rows), 1);
        }
    }
}
