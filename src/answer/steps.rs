//! The steps of answers that call tools. Open WebUI asks for each of them with the id of the same message, and the last
//! tells the person of all.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use crate::domain::{
    exchange::{Cost, NanoDollars},
    open_webui::StepCount,
    prepare::{Caller, PreparedRequest},
};

/// Limit of messages whose steps are counted, which bounds the memory.
const MOST: usize = 1024;

/// The steps of the newest messages.
#[derive(Debug, Default)]
pub(super) struct Steps(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    by_message: HashMap<Message, StepCount>,
    /// Oldest first.
    order: VecDeque<Message>,
}

/// A chat and a message in it.
type Message = (Option<String>, String);

impl Steps {
    /// Counts a step of the answer into the caller's message. `saved`: what an answer of the ledger saved. Returns the
    /// steps so far; `None`: the call names no message, or its first step is not known.
    pub(super) fn count(
        &self,
        request: &PreparedRequest,
        caller: &Caller,
        saved: Option<Cost>,
    ) -> Option<StepCount> {
        let message = (caller.chat.clone(), caller.message.clone()?);
        let mut counts = self.0.lock();
        if !request.follows_tools {
            counts.begin(message.clone());
        }
        let count = counts.by_message.get_mut(&message)?;
        count.steps += 1;
        if let Some(saved) = saved {
            count.of_ledger += 1;
            count.saved = count.saved.plus(saved);
        }
        Some(*count)
    }
}

impl Counts {
    fn begin(&mut self, message: Message) {
        let none = StepCount { steps: 0, of_ledger: 0, saved: Cost::Exact(NanoDollars(0)) };
        if self.by_message.insert(message.clone(), none).is_some() {
            return;
        }
        self.order.push_back(message);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_message.remove(&oldest);
        }
    }
}
