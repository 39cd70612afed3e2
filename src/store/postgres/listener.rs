//! The connection that hears what other processes have committed.

use std::{io::ErrorKind, time::Duration};

use sqlx::{
    PgPool,
    postgres::{PgListener, PgPoolOptions},
};

use super::PgDatabase;

/// Time without news after which the connection is tried: a server that is gone says nothing, too.
const SILENCE: Duration = Duration::from_secs(5);
/// Time that a try of the connection may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Hears news, from when it is made until its connection breaks.
pub(in crate::store) struct Listener(PgListener);

impl PgDatabase {
    /// Listens from now on.
    pub(in crate::store) async fn listen(&self) -> Result<Listener, sqlx::Error> {
        let pool: PgPool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(self.connect_timeout)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(self.options.clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        let channel: String =
            sqlx::query_scalar("select news_channel()").fetch_one(&mut listener).await?;
        listener.listen(&channel).await?;
        Ok(Listener(listener))
    }
}

impl Listener {
    /// Waits for news. `None`: there was none for a while. After an error it is of no use any more: something may have been
    /// missed.
    pub(in crate::store) async fn next(&mut self) -> Result<Option<String>, sqlx::Error> {
        let lost = || sqlx::Error::Io(ErrorKind::TimedOut.into());
        match tokio::time::timeout(SILENCE, self.0.try_recv()).await {
            Ok(Ok(Some(news))) => Ok(Some(news.payload().to_owned())),
            Ok(Ok(None)) => Err(lost()),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                let tried = sqlx::query("select 1").execute(&mut self.0);
                tokio::time::timeout(PATIENCE, tried).await.unwrap_or_else(|_| Err(lost()))?;
                Ok(None)
            }
        }
    }
}
