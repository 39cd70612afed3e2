//! Costs of chats so far, background tasks included, for the usage of answers. The ledger is read once for a chat, beside
//! its first call; later costs are added in memory.

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::ReusableBoxFuture;

use super::Answers;
use crate::{
    domain::{
        exchange::{CallId, Cost, NanoDollars},
        prepare::{Caller, PreparedRequest},
    },
    store::{CallRecord, ChatOf},
};

/// Limit of chats whose costs are in memory.
const MOST: usize = 1024;
/// Limit on the time that the end of an answer waits for the ledger to be read.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
/// No cost.
const FREE: Cost = Cost::Exact(NanoDollars(0));

/// The costs of the newest chats.
#[derive(Debug, Default)]
pub(super) struct ChatCosts(Mutex<Chats>);

#[derive(Debug, Default)]
struct Chats {
    by_chat: HashMap<ChatOf, watch::Sender<Sum>>,
    /// Oldest first.
    order: VecDeque<ChatOf>,
}

/// The cost of a chat.
#[derive(Debug)]
struct Sum {
    /// `None` while nothing was paid.
    cost: Option<Cost>,
    /// Calls that ended while the ledger is read, which may have them; `None` after that.
    meanwhile: Option<Vec<CallId>>,
}

impl Sum {
    fn add(&mut self, cost: Cost) {
        if cost != FREE {
            self.cost = Some(self.cost.map_or(cost, |sum| sum.plus(cost)));
        }
    }

    /// Adds the calls that the ledger has.
    fn complete(&mut self, calls: impl IntoIterator<Item = (CallId, Cost)>) {
        let meanwhile = self.meanwhile.take().unwrap_or_default();
        let calls = calls.into_iter().filter(|(call, _)| !meanwhile.contains(call));
        calls.for_each(|(_, cost)| self.add(cost));
    }
}

/// The cost of a chat when an answer in it ends; `None` if it is not known in time.
#[derive(Debug)]
pub struct ChatCost(ReusableBoxFuture<'static, Option<Cost>>);

impl Future for ChatCost {
    type Output = Option<Cost>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Cost>> {
        self.0.poll(context)
    }
}

/// The time limit begins with the first poll.
async fn known(mut sum: watch::Receiver<Sum>) -> Option<Cost> {
    let read = sum.wait_for(|sum| sum.meanwhile.is_none());
    let cost = tokio::time::timeout(LONGEST_WAIT, read).await.ok()?.ok()?.cost;
    // The cost of the answer itself is missing in a chat that was left out meanwhile.
    sum.has_changed().ok().map(|_| cost.unwrap_or(FREE))
}

impl ChatCosts {
    /// Follows the cost of a chat. Returns a sender, too, if the ledger must be read.
    fn follow(&self, chat: &ChatOf) -> (watch::Receiver<Sum>, Option<watch::Sender<Sum>>) {
        let mut chats = self.0.lock();
        if let Some(sum) = chats.by_chat.get(chat) {
            return (sum.subscribe(), None);
        }
        let (sum, receiver) = watch::channel(Sum { cost: None, meanwhile: Some(Vec::new()) });
        chats.by_chat.insert(chat.clone(), sum.clone());
        chats.order.push_back(chat.clone());
        if chats.order.len() > MOST
            && let Some(oldest) = chats.order.pop_front()
        {
            chats.by_chat.remove(&oldest);
        }
        (receiver, Some(sum))
    }

    /// Adds the cost of a call that ends. Before its commit: it is either in a ledger that is read later, or added here.
    pub(super) fn settle(&self, call: &CallRecord, cost: Cost) {
        let Some(chat) = chat_of(call.chat.as_ref(), call.user.as_ref(), call.client_key.as_ref())
        else {
            return;
        };
        if let Some(sum) = self.0.lock().by_chat.get(&chat) {
            sum.send_modify(|sum| {
                sum.add(cost);
                if let Some(meanwhile) = &mut sum.meanwhile {
                    meanwhile.push(call.id);
                }
            });
        }
    }

    fn forget(&self, chat: &ChatOf) {
        let mut chats = self.0.lock();
        chats.by_chat.remove(chat);
        chats.order.retain(|other| other != chat);
    }

    /// Leaves all costs out, because the ledger has other ones.
    pub(super) fn clear(&self) {
        *self.0.lock() = Chats::default();
    }
}

fn chat_of(chat: Option<&String>, user: Option<&String>, key: Option<&String>) -> Option<ChatOf> {
    Some(ChatOf { chat: chat?.clone(), user: user.cloned(), key: key.cloned() })
}

impl Answers {
    /// Follows the cost of the caller's chat, if there is one. In a replay, nothing costs anything.
    pub(super) fn follow_chat(
        &self,
        request: &PreparedRequest,
        caller: &Caller,
    ) -> Option<ChatCost> {
        let key = caller.key_name.as_ref();
        let chat = chat_of(caller.chat.as_ref(), request.user.as_ref(), key)?;
        if self.upstream.replay().is_some() {
            return None;
        }
        let (receiver, unread) = self.chats.follow(&chat);
        if let Some(sum) = unread {
            let (ledger, chats) = (self.ledger.clone(), Arc::clone(&self.chats));
            self.tasks.spawn(async move {
                match ledger.chat_costs(&chat).await {
                    Ok(calls) => sum.send_modify(|sum| sum.complete(calls)),
                    Err(error) => {
                        chats.forget(&chat);
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, "the cost of a chat cannot be read");
                    }
                }
            });
        }
        Some(ChatCost(ReusableBoxFuture::new(known(receiver))))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        cache::CacheKey,
        exchange::{AnsweredBy, Api, ExchangeId, UnixMillis},
    };

    fn call(chat: &str) -> CallRecord {
        let (id, exchange) = (CallId::new(Uuid::now_v7()), ExchangeId::new(Uuid::now_v7()));
        let key = CacheKey::of_nothing(exchange);
        let by = AnsweredBy::Miss;
        let model = "m".to_owned();
        let call = CallRecord::new(id, UnixMillis(0), by, Api::Chat, key, model);
        CallRecord { chat: Some(chat.to_owned()), ..call }
    }

    fn chat(id: &str) -> ChatOf {
        ChatOf { chat: id.to_owned(), user: None, key: None }
    }

    const CENT: Cost = Cost::Exact(NanoDollars(10_000_000));

    #[tokio::test(start_paused = true)]
    async fn each_call_counts_once_whether_it_ends_before_beside_or_after_the_read() {
        let costs = ChatCosts::default();
        let (first, unread) = costs.follow(&chat("c"));
        let unread = unread.expect("the first reads");
        let [before, beside, after] = [(); 3].map(|()| call("c"));
        costs.settle(&beside, CENT);
        costs.settle(&call("other"), CENT);
        unread.send_modify(|sum| sum.complete([(before.id, CENT), (beside.id, CENT)]));
        drop(unread);
        assert_eq!(known(first).await, Some(Cost::Exact(NanoDollars(20_000_000))));
        costs.settle(&after, CENT.at_least());
        costs.settle(&call("c"), FREE);
        let (next, unread) = costs.follow(&chat("c"));
        assert!(unread.is_none(), "once for a chat");
        assert_eq!(known(next).await, Some(Cost::AtLeast(NanoDollars(30_000_000))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cost_that_is_not_known_in_time_or_any_more_is_left_out_and_unpriced_is_no_zero() {
        let costs = ChatCosts::default();
        let (slow, unread) = costs.follow(&chat("slow"));
        assert_eq!(known(slow).await, None, "the ledger is slow");
        drop(unread);
        let (failed, unread) = costs.follow(&chat("failed"));
        costs.forget(&chat("failed"));
        drop(unread);
        assert_eq!(known(failed).await, None);
        let follow = |id: &str| {
            let (sum, unread) = costs.follow(&chat(id));
            unread.expect("new").send_modify(|sum| sum.complete([]));
            sum
        };
        let (free, unpriced, old) = (follow("free"), follow("unpriced"), follow("old"));
        costs.settle(&call("unpriced"), Cost::Unpriced);
        costs.settle(&call("unpriced"), FREE);
        assert_eq!((known(free).await, known(unpriced).await), (Some(FREE), Some(Cost::Unpriced)));
        for number in 0..MOST {
            follow(&number.to_string());
        }
        assert_eq!(costs.0.lock().by_chat.len(), MOST);
        assert_eq!(known(old).await, None);
        let newest = follow("newest");
        costs.clear();
        assert_eq!(known(newest).await, None, "the prices have changed");
    }
}
