//! Pruning a ledger that is being written, through a connection beside the writer's.
//!
//! [`prune`] looks again at what is written meanwhile. What it cannot see is what this process has in
//! memory, so before it begins
//!
//! 1. nothing is believed to be in the ledger any more: each request brings all that it stands on;
//! 2. whoever packed rows before that, in the belief that others are there, has queued them;
//! 3. all that was queued is committed.
//!
//! Hot answers are forgotten after each step that takes bodies.

use std::{
    mem,
    ops::ControlFlow,
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{
    Error, Ledger,
    batch::Op,
    prune::{self, Limits, Pruned, Step},
};
use crate::domain::exchange::UnixMillis;

/// How long a step waits for the writer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether rows that were being packed are queued.
const LOOK: Duration = Duration::from_millis(5);

/// Nothing is believed to be there until this is dropped.
struct SuspendGuard<'a>(&'a Ledger);

impl<'a> SuspendGuard<'a> {
    fn begin(ledger: &'a Ledger) -> Self {
        ledger.shared.known.lock().unwrap_or_else(PoisonError::into_inner).suspend();
        Self(ledger)
    }
}

impl Drop for SuspendGuard<'_> {
    fn drop(&mut self) {
        self.0.shared.known.lock().unwrap_or_else(PoisonError::into_inner).resume();
    }
}

impl Ledger {
    /// Lets go of what `limits` do not keep, while others write. It ends early when the ledger closes; what is left
    /// stays for the next time. `None`: the ledger cannot be written, and nothing was done.
    pub async fn prune(&self, limits: &Limits, now: UnixMillis) -> Result<Option<Pruned>, Error> {
        let Ok(_one) = self.pruning.try_lock() else { return Err(Error::PruneRunning) };
        let _disbelief = SuspendGuard::begin(self);
        let packing = {
            let mut packing = self.shared.packing.lock().unwrap_or_else(PoisonError::into_inner);
            mem::take(&mut *packing)
        };
        while Arc::strong_count(&packing) > 1 {
            tokio::time::sleep(LOOK).await;
        }
        let (done, committed) = oneshot::channel();
        self.enqueue(Op::Mark, Some(done));
        if committed.await.is_err() {
            return Ok(None);
        }
        let mut conn = self.place.beside(PATIENCE).await.map_err(Error::Open)?;
        let pruned = prune::on(&mut conn, limits, now, &mut |step| {
            if matches!(step, Step::Bodies | Step::Totals) {
                self.hot().forget();
            }
            if self.shared.closing.is_cancelled() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .await;
        // Also where it failed half way.
        self.hot().forget();
        pruned.map(Some)
    }
}
