//! The ledger as reports read it.

use uuid::Uuid;

use crate::{
    answer,
    domain::exchange::OwnerId,
    store::{self, Reader},
};

/// Opens the ledger at `url`, with all that has ended, also in a process that died.
pub(super) async fn open(url: &str) -> Result<Reader, store::Error> {
    store::catch_up(url, OwnerId::new(Uuid::now_v7()), answer::now()).await;
    Reader::open(url).await
}
