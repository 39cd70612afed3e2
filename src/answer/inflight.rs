//! What is being asked right now, and which chat asked for what: joining, asking and claiming are decided here under
//! one lock, so that of many who want the same at once one asks and the others join, and of two columns with the same
//! question neither takes the other for a repeat.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

use super::live::{self, Entrance, Reader, Writer};
use crate::domain::{
    budget::{Notice, Refusal},
    cache::{CacheKey, Freshness, Keep, PriorAsk, Reason, Verdict},
    exchange::{Api, ExchangeId},
};

/// So many claims are remembered. The ledger has them all, but for those whose rows wait: of exchanges that are running,
/// and of the last commits.
const MOST_CLAIMS: usize = 8192;

/// Who sits at the inflight. Shared by all who answer.
#[derive(Debug, Default)]
pub(super) struct Inflight(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// All that are running.
    running: HashMap<ExchangeId, Entrance>,
    /// Those that others may join.
    places: HashMap<CoalesceKey, ExchangeId>,
    claims: HashMap<Claim, Earlier>,
    /// Which claim to forget next.
    oldest: VecDeque<Claim>,
}

/// What makes two calls one question: the key, the door, and in a chat the message that is answered into.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CoalesceKey {
    pub key: CacheKey,
    /// An answer that pauses goes on in the one and is given as it is in the other.
    pub door: Api,
    /// The chat and the message.
    pub message: Option<(String, String)>,
}

/// That a chat asked for a key.
type Claim = (CacheKey, String);

/// Into which message a chat wanted an answer.
#[derive(Debug)]
enum Earlier {
    /// This one; and whether the ledger has given it one, whose row may not be committed yet.
    One { message: Option<String>, is_whole: bool },
    /// More than one: one of them is another than any that comes.
    Several,
}

/// Who answers, as it was decided.
#[derive(Debug)]
pub(super) enum Turn {
    /// The ledger.
    Hit(Freshness),
    /// An exchange that is running; this is the call's reader of it.
    Joined(Reader, ExchangeId),
    /// Claude.
    Asks(Ticket),
    /// Nobody: only the ledger may, and does not for this reason.
    Nobody(Reason),
    /// Nobody: only Claude could, and no budget allows it.
    NoMoney(Refusal),
}

/// An exchange that is to be had.
#[derive(Debug)]
pub(super) struct Ticket {
    pub exchange: ExchangeId,
    /// Why the ledger does not answer.
    pub reason: Reason,
    /// What of it is kept.
    pub keep: Keep,
    /// A budget that is nearly spent.
    pub notice: Option<Notice>,
    /// What it is written into.
    pub writer: Writer,
    /// The call's own reader of it.
    pub reader: Reader,
    /// That it is running.
    pub seat: InflightGuard,
}

/// An exchange is running, and can be joined in its place, until this is dropped.
#[derive(Debug)]
pub(super) struct InflightGuard {
    inflight: Arc<Inflight>,
    exchange: ExchangeId,
    place: Option<CoalesceKey>,
}

impl Drop for InflightGuard {
    fn drop(&mut self) {
        let mut state = self.inflight.lock();
        state.running.remove(&self.exchange);
        // One that nobody read any more may have been replaced already.
        if let Some(place) = &self.place
            && state.places.get(place) == Some(&self.exchange)
        {
            state.places.remove(place);
        }
    }
}

/// What is running now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Load {
    /// Exchanges with upstream.
    pub exchanges: usize,
    /// Calls that wait for them or read them.
    pub calls: usize,
}

impl Inflight {
    /// Claims a key for a chat that answers into `message`, and says whether it had claimed it before, as far as that
    /// is remembered here.
    pub(super) fn claim(&self, key: CacheKey, chat: &str, message: Option<&str>) -> PriorAsk {
        let mut state = self.lock();
        let State { claims, oldest, .. } = &mut *state;
        let claim = (key, chat.to_owned());
        if let Some(earlier) = claims.get_mut(&claim) {
            let asked = match earlier {
                // What came of it otherwise the ledger knows.
                Earlier::One { message: before, is_whole } => {
                    PriorAsk::of(message, [(before.as_deref(), *is_whole)])
                }
                Earlier::Several => PriorAsk::OtherMessage,
            };
            if asked == PriorAsk::OtherMessage {
                *earlier = Earlier::Several;
            }
            return asked;
        }
        if oldest.len() >= MOST_CLAIMS
            && let Some(oldest) = oldest.pop_front()
        {
            claims.remove(&oldest);
        }
        let message = message.map(str::to_owned);
        claims.insert(claim.clone(), Earlier::One { message, is_whole: false });
        oldest.push_back(claim);
        PriorAsk::Never
    }

    /// Remembers that a claim got its answer from the ledger, whose row of that may not be committed yet.
    pub(super) fn answered(&self, key: CacheKey, chat: &str) {
        let mut state = self.lock();
        if let Some(Earlier::One { is_whole, .. }) = state.claims.get_mut(&(key, chat.to_owned())) {
            *is_whole = true;
        }
    }

    /// Joins what is running in this place, if anything is.
    pub(super) fn join(&self, place: &CoalesceKey) -> Option<(Reader, ExchangeId)> {
        self.lock().join(place)
    }

    /// Lets `decide` choose, who is told whether there is something to join. What it chooses has happened when this
    /// returns: the call has joined, or it asks, if `admit` lets it, and others can join.
    pub(super) fn take_turn(
        self: &Arc<Self>,
        place: Option<CoalesceKey>,
        exchange: ExchangeId,
        mut decide: impl FnMut(Running) -> Verdict,
        admit: impl FnOnce() -> Result<Option<Notice>, Refusal>,
    ) -> Turn {
        let mut state = self.lock();
        if let Some(place) = &place
            && decide(Running::Yes) == Verdict::Join
            && let Some((reader, exchange)) = state.join(place)
        {
            return Turn::Joined(reader, exchange);
        }
        let (reason, keep) = match decide(Running::No) {
            Verdict::Hit(freshness) => return Turn::Hit(freshness),
            Verdict::Ask { reason, keep } => (reason, keep),
            Verdict::Refuse(reason) => return Turn::Nobody(reason),
            Verdict::Join => unreachable!("it was said that there is nothing to join"),
        };
        match admit() {
            Ok(notice) => Turn::Asks(state.order(self, exchange, (reason, keep), notice, place)),
            Err(refusal) => Turn::NoMoney(refusal),
        }
    }

    /// An exchange that nobody joins, because what the ledger has is of no use.
    pub(super) fn order_alone(
        self: &Arc<Self>,
        exchange: ExchangeId,
        notice: Option<Notice>,
    ) -> Ticket {
        self.lock().order(self, exchange, (Reason::Nothing, Keep::Answer), notice, None)
    }

    /// What is running now.
    pub(super) fn load(&self) -> Load {
        let state = self.lock();
        let calls = state.running.values().map(Entrance::readers).sum();
        Load { exchanges: state.running.len(), calls }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an exchange is running that the call can join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Running {
    Yes,
    No,
}

impl State {
    fn join(&self, place: &CoalesceKey) -> Option<(Reader, ExchangeId)> {
        let exchange = self.places.get(place)?;
        Some((self.running.get(exchange)?.join()?, *exchange))
    }

    fn order(
        &mut self,
        inflight: &Arc<Inflight>,
        exchange: ExchangeId,
        (reason, keep): (Reason, Keep),
        notice: Option<Notice>,
        place: Option<CoalesceKey>,
    ) -> Ticket {
        let (writer, reader) = live::start();
        self.running.insert(exchange, writer.entrance());
        if let Some(place) = &place {
            self.places.insert(place.clone(), exchange);
        }
        let seat = InflightGuard { inflight: Arc::clone(inflight), exchange, place };
        Ticket { exchange, reason, keep, notice, writer, reader, seat }
    }
}
