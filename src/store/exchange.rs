//! Exchanges as they are written: packed by the caller, in the journal or committed before the client gets the end.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use tokio::sync::oneshot;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::error;

use super::{
    Durable, HEAVY, Ledger,
    batch::{CallOp, Op, OpenOp, SealOp},
    chain::Packed,
    columns,
    record::{CallRecord, Opening, Sealing, Stored},
    recovery,
};
use crate::domain::chain::Chain;

impl Ledger {
    /// Writes the opening of an exchange, with its request, for the case that the process dies and for other processes to
    /// see.
    pub async fn open_exchange(&self, opening: &Arc<Opening>) -> Durable {
        let token = self.shared.packing_token();
        let (request, client) = self.packed(opening).await.unwrap_or_default();
        let call_json = recovery::call_json(&opening.call, &client);
        let opening = Arc::new(opening.without_bodies());
        let open = OpenOp { opening, request, client, call_json };
        self.commit(Op::Open(Box::new(open)), token).await
    }

    /// Lets the sealing of an exchange, and its call, survive: in the journal if it is small, and then the commit follows
    /// with others within 50 ms; else in the ledger. Where other processes share the ledger, it waits for the commit, and
    /// the journal has what comes too late. Await it before the client gets its last bytes. A servable answer can be
    /// found afterwards, not before: until then it may still be lost.
    pub async fn seal(&self, opening: &Arc<Opening>, sealing: Sealing) -> Durable {
        self.seal_as(opening, sealing, true).await
    }

    /// Writes the sealing of an exchange, and its call: when this returns, readers see it.
    pub async fn commit_seal(&self, opening: &Arc<Opening>, sealing: Sealing) -> Durable {
        self.seal_as(opening, sealing, false).await
    }

    async fn seal_as(
        &self,
        opening: &Arc<Opening>,
        mut sealing: Sealing,
        may_follow: bool,
    ) -> Durable {
        let recording = sealing.recording.take();
        let servable = recording.as_ref().filter(|_| sealing.servable);
        let stored = servable.map(|recording| Stored::sealed(opening, &sealing, recording));
        let key = opening.key;
        if stored.is_some() && self.keys.insert(&key) {
            self.tasks.spawn(self.keys.clone().read(self.reader.pool()));
        }
        let epoch = self.hot().epoch();
        let token = self.shared.packing_token();
        let (request, client) = self.packed(opening).await.unwrap_or_default();
        let recording = match recording {
            Some(recording) => {
                let size = recording.len();
                self.weighed(size, move || columns::compress(&recording.encode())).await
            }
            None => None,
        };
        let opening = Arc::new(opening.without_bodies());
        let call = sealing
            .call
            .take()
            .map(|record| CallOp { record: CallRecord { client_chain: None, ..record }, client });
        // The parts of an answer have the claim of the first; it ends with the last.
        let holder = if call.is_some() { opening.call.exchange } else { None };
        let claim = self.replicas.as_ref().zip(holder);
        let claim = claim.and_then(|(replicas, holder)| replicas.claims().take(holder));
        let seal = Arc::new(SealOp { opening, sealing, request, recording, call, claim });
        let sealed = if may_follow {
            self.journal_or_commit(seal, token).await
        } else {
            self.commit(Op::Seal(seal), token).await
        };
        if let Some(stored) = stored.filter(|_| sealed != Durable::Lost) {
            self.hot().insert(epoch, key, stored);
        }
        sealed
    }

    /// Waits until a sealing is in the journal, or committed.
    async fn journal_or_commit(&self, seal: Arc<SealOp>, token: TaskTrackerToken) -> Durable {
        let is_late = self.shared.behind.load(Relaxed);
        if let Some(writing) = self.journal.sealing(&seal, is_late) {
            if self.is_shared() && !is_late {
                // Other processes must see it before its client can ask them again, if that can be.
                return match self.commit(Op::Seal(seal), token).await {
                    Durable::Late if writing.written().await => Durable::Journaled,
                    sealed => sealed,
                };
            }
            self.enqueue(Op::Seal(seal), None);
            drop(token);
            if writing.written().await {
                return Durable::Journaled;
            }
            // The writer commits what is queued together.
            return self.commit(Op::Mark, self.shared.packing_token()).await;
        }
        let spare = Arc::clone(&seal);
        let (done, mut committed) = oneshot::channel();
        self.enqueue(Op::Seal(seal), Some(done));
        drop(token);
        let sealed = self.committed(&mut committed).await;
        if sealed != Durable::Late {
            return sealed;
        }
        let Some(writing) = self.journal.sealing(&spare, true) else { return sealed };
        // The commit may come before the line.
        let (journal, exchange) = (self.journal.clone(), spare.opening.exchange);
        self.tasks.spawn(async move {
            if committed.await.is_ok() {
                journal.forget_sealing(exchange);
            }
        });
        if writing.written().await { Durable::Journaled } else { Durable::Late }
    }

    /// Packs the requests of an exchange: the upstream request, and the client's.
    async fn packed(&self, opening: &Arc<Opening>) -> Option<(Packed, Packed)> {
        let size = |chain: &Option<Arc<Chain>>| chain.as_ref().map_or(0, |chain| chain.bytes());
        let bytes = size(&opening.chain) + size(&opening.call.client_chain);
        let (opening, shared) = (Arc::clone(opening), Arc::clone(&self.shared));
        self.weighed(bytes, move || {
            let pack = |chain: &Option<Arc<Chain>>| {
                chain
                    .as_deref()
                    .map(|chain| Packed::new(chain, &shared.persisted))
                    .unwrap_or_default()
            };
            (pack(&opening.chain), pack(&opening.call.client_chain))
        })
        .await
    }

    /// Runs `work`, apart from the threads that serve if its `bytes` are many. `None` if the runtime shuts down.
    async fn weighed<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if bytes < HEAVY {
            return Some(work());
        }
        match self.tasks.spawn_blocking(work).await {
            Ok(result) => Some(result),
            Err(error) => {
                error!(%error, "bodies could not be packed; they are dropped");
                self.shared.bodies_dropped.fetch_add(1, Relaxed);
                None
            }
        }
    }
}
