//! Sums of calls, and the keys by which they are grouped.

use std::borrow::Cow;

use super::{
    exchange::{AnsweredBy, NanoDollars, Tokens},
    histogram::Histogram,
};

/// The key by which calls are grouped, besides time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key<'a> {
    /// The model that answered, else the one that was asked.
    pub model: Cow<'a, str>,
    /// The user, as stated by the client, like the next three fields.
    pub user: Option<Cow<'a, str>>,
    /// The chat.
    pub chat: Option<Cow<'a, str>>,
    /// The background task.
    pub task: Option<Cow<'a, str>>,
    /// The program that asked.
    pub client: Option<Cow<'a, str>>,
    /// The name of the client key.
    pub client_key: Option<Cow<'a, str>>,
    /// The source of its answer.
    pub answered_by: AnsweredBy,
    /// The error; `None` if the answer was complete, or if the user pressed Stop.
    pub error: Option<Cow<'a, str>>,
}

impl Key<'_> {
    /// An owned copy.
    pub fn into_owned(self) -> Key<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Key {
            model: own(self.model),
            user: self.user.map(own),
            chat: self.chat.map(own),
            task: self.task.map(own),
            client: self.client.map(own),
            client_key: self.client_key.map(own),
            answered_by: self.answered_by,
            error: self.error.map(own),
        }
    }
}

/// Sums of the calls of one group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// Number of calls.
    pub calls: u64,
    /// Number of requests that upstream was sent for them.
    pub tries: u64,
    /// Tokens of the answers, including those that cost nothing.
    pub tokens: Tokens,
    /// Sum of the known costs.
    pub cost: NanoDollars,
    /// Number of costs that are lower bounds.
    pub at_least: u64,
    /// Number of calls without a known cost.
    pub unpriced: u64,
    /// Known cost of asking for the answers that were served without an upstream request.
    pub saved: NanoDollars,
    /// Number of such answers without a known cost.
    pub saved_unpriced: u64,
    /// Net savings by Anthropic's prompt cache: reads cost less than plain input, writes more.
    pub cache_saved: NanoDollars,
    /// Number of calls that used the prompt cache at unknown prices.
    pub cache_unpriced: u64,
    /// Time to the first bytes of the answer.
    pub ttft: Histogram,
    /// Time to its last bytes.
    pub total: Histogram,
}

impl Totals {
    /// Adds other sums.
    pub fn add(&mut self, more: &Self) {
        self.calls += more.calls;
        self.tries += more.tries;
        self.tokens += more.tokens;
        self.at_least += more.at_least;
        self.unpriced += more.unpriced;
        self.saved_unpriced += more.saved_unpriced;
        self.cache_unpriced += more.cache_unpriced;
        for (sum, more) in [
            (&mut self.cost, more.cost),
            (&mut self.saved, more.saved),
            (&mut self.cache_saved, more.cache_saved),
        ] {
            sum.0 = sum.0.saturating_add(more.0);
        }
        self.ttft.merge(&more.ttft);
        self.total.merge(&more.total);
    }
}
