//! Exchanges in flight, and claims of chats on keys.
//!
//! Both are looked up and changed under one lock ([`Inflight::lock`]): of many calls that want the same at once, one
//! asks and the others join; and of two columns of a chat with the same request, neither takes the other for a repeat.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use serde::Serialize;
use uuid::Uuid;

use super::{
    budget::Admitted,
    live::{self, RecordingReader, RecordingWriter, Subscription},
    mutex::{Mutex, MutexGuard},
};
use crate::{
    domain::{
        cache::{CacheKey, Keep, PriorAsk, Reason},
        exchange::{Api, ExchangeId},
    },
    store,
};

/// Limit on remembered claims. The ledger has them all, except for those whose rows are not committed yet: of running
/// exchanges, and of the last commits.
const MAX_CLAIMS: usize = 8192;

/// Exchanges in flight and recent claims, shared by all calls.
#[derive(Debug, Default)]
pub(super) struct Inflight(Mutex<State>);

#[derive(Debug, Default)]
pub(super) struct State {
    /// All exchanges in flight.
    running: HashMap<ExchangeId, Subscription>,
    /// The exchanges that calls may join.
    joinable: HashMap<CoalesceKey, ExchangeId>,
    claims: HashMap<ClaimKey, Claim>,
    /// Keys of `claims`, oldest first.
    claim_order: VecDeque<ClaimKey>,
}

/// Identity of calls that one exchange may answer: the key, the API, and in a chat the message that is answered into.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CoalesceKey {
    pub key: CacheKey,
    /// A paused answer is continued in one API and returned as it is in the other.
    pub api: Api,
    /// The chat and the message.
    pub message: Option<(String, String)>,
}

impl CoalesceKey {
    /// The same identity for the processes that share the ledger.
    pub(super) fn claim_key(&self) -> store::ClaimKey {
        let message = self.message.as_ref().map(|(chat, message)| (&**chat, &**message));
        store::ClaimKey::of(&self.key, self.api, message)
    }
}

/// The key that a chat asked for, and the chat; or the key of a user's message, and no chat.
type ClaimKey = (CacheKey, String);

/// The messages that a chat asked to answer into.
#[derive(Debug)]
enum Claim {
    /// One message; `is_whole`: it got a whole answer, whose row may not be committed yet.
    One { message: Option<String>, is_whole: bool },
    /// Several messages, at least one of which differs from any new one.
    Several,
}

/// An exchange that the holder must run.
#[derive(Debug)]
pub(super) struct Ticket {
    pub exchange: ExchangeId,
    /// The reason to ask upstream.
    pub reason: Reason,
    /// The part of the exchange to keep.
    pub keep: Keep,
    /// The leave of the budgets.
    pub admitted: Admitted,
    pub writer: RecordingWriter,
    /// Reader of the call that asks.
    pub reader: RecordingReader,
    /// What is claimed before the request is sent, where other processes may ask the same; `None`: the call joins none.
    pub claim: Option<store::ClaimKey>,
    pub guard: InflightGuard,
}

/// Keeps an exchange in flight until it is dropped.
#[derive(Debug)]
pub(super) struct InflightGuard {
    inflight: Arc<Inflight>,
    exchange: ExchangeId,
    coalesce_key: Option<CoalesceKey>,
}

impl Drop for InflightGuard {
    fn drop(&mut self) {
        let mut state = self.inflight.lock();
        state.running.remove(&self.exchange);
        // An exchange without readers may have been replaced already.
        if let Some(coalesce_key) = &self.coalesce_key
            && state.joinable.get(coalesce_key) == Some(&self.exchange)
        {
            state.joinable.remove(coalesce_key);
        }
    }
}

/// Load of the running process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Load {
    /// Exchanges with upstream.
    pub exchanges: usize,
    /// Calls that wait for these exchanges or read them.
    pub calls: usize,
}

impl Inflight {
    /// Locks the table. What is found stays true, and what is decided from it happens at once, while the lock is held.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    pub(super) fn load(&self) -> Load {
        let state = self.lock();
        let calls = state.running.values().map(Subscription::readers).sum();
        Load { exchanges: state.running.len(), calls }
    }

    /// All exchanges in flight.
    pub(super) fn running(&self) -> Vec<(ExchangeId, Subscription)> {
        self.lock().running.iter().map(|(id, running)| (*id, running.clone())).collect()
    }

    /// An exchange in flight.
    pub(super) fn get(&self, exchange: ExchangeId) -> Option<Subscription> {
        self.lock().running.get(&exchange).cloned()
    }
}

impl State {
    /// Claims a key for a chat that answers into `message`. Returns its claims before this one, as far as they are
    /// remembered here.
    pub(super) fn claim(&mut self, key: CacheKey, chat: &str, message: Option<&str>) -> PriorAsk {
        let claim_key = (key, chat.to_owned());
        if let Some(claim) = self.claims.get_mut(&claim_key) {
            let prior = match claim {
                // Whether another answer became whole is known to the ledger.
                Claim::One { message: earlier, is_whole } => {
                    PriorAsk::of(message, [(earlier.as_deref(), *is_whole)])
                }
                Claim::Several => PriorAsk::OtherMessage,
            };
            if prior == PriorAsk::OtherMessage {
                *claim = Claim::Several;
            }
            return prior;
        }
        if self.claim_order.len() >= MAX_CLAIMS
            && let Some(oldest) = self.claim_order.pop_front()
        {
            self.claims.remove(&oldest);
        }
        let message = message.map(str::to_owned);
        self.claims.insert(claim_key.clone(), Claim::One { message, is_whole: false });
        self.claim_order.push_back(claim_key);
        PriorAsk::Never
    }

    /// Remembers that a claim got its answer, whose row may not be committed yet.
    pub(super) fn mark_answered(&mut self, key: CacheKey, chat: &str) {
        if let Some(Claim::One { is_whole, .. }) = self.claims.get_mut(&(key, chat.to_owned())) {
            *is_whole = true;
        }
    }

    /// Remembers what the ledger knows from before the start: the claim of a chat on a key is not its first.
    pub(super) fn mark_repeated(&mut self, key: CacheKey, chat: &str) {
        if let Some(claim) = self.claims.get_mut(&(key, chat.to_owned())) {
            *claim = Claim::Several;
        }
    }

    /// Joins the exchange in flight with this key, if there is one.
    pub(super) fn join(&self, coalesce_key: &CoalesceKey) -> Option<(RecordingReader, ExchangeId)> {
        let exchange = self.joinable.get(coalesce_key)?;
        Some((self.running.get(exchange)?.join()?, *exchange))
    }

    /// Puts a new exchange in flight. Other calls can join it by its key, if it has one.
    pub(super) fn begin(
        &mut self,
        inflight: &Arc<Inflight>,
        coalesce_key: Option<CoalesceKey>,
        reason: Reason,
        keep: Keep,
        admitted: Admitted,
    ) -> Ticket {
        let exchange = ExchangeId::new(Uuid::now_v7());
        let (writer, reader) = live::start();
        self.running.insert(exchange, writer.subscription());
        if let Some(coalesce_key) = &coalesce_key {
            self.joinable.insert(coalesce_key.clone(), exchange);
        }
        let guard = InflightGuard { inflight: Arc::clone(inflight), exchange, coalesce_key };
        Ticket { exchange, reason, keep, admitted, writer, reader, claim: None, guard }
    }
}

#[cfg(test)]
mod tests;
