//! What calls come to when they are added up, and by what they can be told apart.

use std::borrow::Cow;

use super::{
    exchange::{AnsweredBy, NanoDollars, Tokens},
    histogram::Histogram,
};

/// What calls are told apart by, besides time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key<'a> {
    /// The model that answered, else the one that was asked.
    pub model: Cow<'a, str>,
    /// These four as the client stated them.
    pub user: Option<Cow<'a, str>>,
    /// The chat.
    pub chat: Option<Cow<'a, str>>,
    /// The background task.
    pub task: Option<Cow<'a, str>>,
    /// The program that asked.
    pub client: Option<Cow<'a, str>>,
    /// How it was answered.
    pub answered_by: AnsweredBy,
    /// Why it got no whole answer; `None`: it got one, or the user pressed Stop.
    pub error: Option<Cow<'a, str>>,
}

impl Key<'_> {
    /// The same, for keeping.
    pub fn into_owned(self) -> Key<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Key {
            model: own(self.model),
            user: self.user.map(own),
            chat: self.chat.map(own),
            task: self.task.map(own),
            client: self.client.map(own),
            answered_by: self.answered_by,
            error: self.error.map(own),
        }
    }
}

/// Calls of one kind, added up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// How many.
    pub calls: u64,
    /// Of the answers, whoever paid for them.
    pub tokens: Tokens,
    /// All costs that are known.
    pub cost: NanoDollars,
    /// How many of those costs are lower bounds.
    pub at_least: u64,
    /// How many calls have no known cost.
    pub unpriced: u64,
    /// What those that were answered without asking would have cost, as far as it is known.
    pub saved: NanoDollars,
    /// Of how many of them it is not known.
    pub saved_unpriced: u64,
    /// What Anthropic's prompt cache saved: reads cost less than plain input, writes more.
    pub cache_saved: NanoDollars,
    /// How many calls used the prompt cache at unknown prices.
    pub cache_unpriced: u64,
    /// Until the first bytes of the answer.
    pub ttft: Histogram,
    /// Until its last bytes.
    pub total: Histogram,
}

impl Totals {
    /// Adds all of another.
    pub fn add(&mut self, more: &Self) {
        self.calls += more.calls;
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
