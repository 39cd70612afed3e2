//! Decision on the source of an answer (design §5): facts in, verdict with its reason out.
//!
//! The rows of the design's table stand here in its order, and the first that applies decides. `tests/decisions.rs`
//! checks each of them, and each pair that could contradict.

use std::time::Duration;

use super::{CacheDirectives, Policy, Reuse};
use crate::domain::exchange::{AnsweredBy, UnixMillis};

/// Facts about a call on which the decision rests.
#[expect(clippy::struct_excessive_bools, reason = "each is one independent fact of the call")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Arrival of the call.
    pub at: UnixMillis,
    /// Its `Cache-Control` directives.
    pub directives: CacheDirectives,
    /// Its kind.
    pub kind: CallKind<'a>,
    /// `true` if it belongs to a temporary chat, of which nothing is kept.
    pub temporary: bool,
    /// `true` if the operator keeps nothing of its user ([`Policy::is_no_store_user`]).
    pub no_store_user: bool,
    /// `true` if its answer may depend on more than the request ([`super::external_data`]).
    pub external_data: bool,
    /// `true` if an exchange is in flight that it could join: the same key and, for a chat, the same message.
    pub running: bool,
    /// End of the servable answer to its key that it would get, as late as the ledger allows: of the newest, or in a
    /// scope that users share, of the one that [`super::SharedCall`] chooses. It may have ended after the call came in,
    /// which makes its age zero; a clock that was ahead does not.
    pub stored: Option<UnixMillis>,
}

/// Kind of a call, as far as the decision depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind<'a> {
    /// A call of a client that has no chats: the same request means the same answer.
    Plain,
    /// A chat of Open WebUI that does not send its id: a repeat may be a *Regenerate*.
    Nameless,
    /// One of Open WebUI's background calls.
    Task {
        /// Open WebUI's name for it.
        name: &'a str,
        /// `true` if the chat has asked for this key before.
        again: bool,
    },
    /// A chat that sends its id.
    Chat(PriorAsk),
}

/// Earlier calls of a chat for a key, by the message that they answer into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PriorAsk {
    /// There were none.
    #[default]
    Never,
    /// All were for the same message, which has a whole answer: the client repeats a call whose answer it did not get.
    SameMessage,
    /// All were for the same message, which has no whole answer as far as is known: a person pressed Stop and then
    /// *Continue*.
    Unanswered,
    /// At least one was for another message, or for an unknown one.
    OtherMessage,
}

impl PriorAsk {
    /// Compares a call that answers into message `now` with earlier ones: the message of each, and whether it got a
    /// whole answer.
    pub fn of<'a>(
        now: Option<&str>,
        earlier: impl IntoIterator<Item = (Option<&'a str>, bool)>,
    ) -> Self {
        earlier.into_iter().fold(Self::Never, |prior, (earlier, is_whole)| {
            if now.is_none() || now != earlier {
                return Self::OtherMessage;
            }
            match prior {
                Self::Never | Self::SameMessage | Self::Unanswered if is_whole => Self::SameMessage,
                Self::Never => Self::Unanswered,
                prior => prior,
            }
        })
    }

    /// Adds the calls that the ledger knows. It also knows which of them were answered.
    #[must_use]
    pub const fn with_ledger(self, ledger: Self) -> Self {
        match (self, ledger) {
            (Self::OtherMessage, _) | (_, Self::OtherMessage) => Self::OtherMessage,
            (_, Self::SameMessage) | (Self::SameMessage, _) => Self::SameMessage,
            (Self::Unanswered, _) | (_, Self::Unanswered) => Self::Unanswered,
            (Self::Never, Self::Never) => Self::Never,
        }
    }
}

/// Decision on the source of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Serve the answer of the ledger.
    Hit(Freshness),
    /// Join the exchange in flight.
    Join,
    /// Ask Claude.
    Ask {
        /// The reason why no other source answers.
        reason: Reason,
        /// The part of the exchange to keep.
        keep: Keep,
    },
    /// Refuse: only the ledger may answer, and it does not for this reason.
    Refuse(Reason),
}

/// Age of a stored answer, and the time left to serve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// Time since the answer ended.
    pub age: Duration,
    /// Time until it is too old.
    pub ttl: Duration,
}

/// The part of an exchange that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// Totals only, no bodies.
    Totals,
    /// The bodies, but not to answer repeats.
    Recording,
    /// The bodies, to answer repeats if the answer is servable.
    Answer,
}

/// The reason why Claude is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// `Cache-Control: no-store`.
    NoStore,
    /// A temporary chat.
    Temporary,
    /// The operator keeps nothing of this user (`--no-store-users`).
    UserNoStore,
    /// `Cache-Control: no-cache`.
    NoCache,
    /// The operator does not let the ledger answer such calls (`--cache`).
    Off,
    /// The chat has asked for the same before: a person pressed *Regenerate*, or Stop and then *Continue*, edited a
    /// message into itself, opened two columns, or asked for another title.
    AskedBefore,
    /// Open WebUI does not send the id of the chat.
    NoChatId,
    /// The operator has set no time to live for such answers (`--task-ttl`, `--web-ttl`).
    NoTtl,
    /// The ledger has no servable answer to this key.
    Nothing,
    /// The newest answer is older than the operator's limit (`--cache-ttl`).
    Stale,
    /// `Cache-Control: max-age`: the newest answer is too old for this client.
    MaxAge,
    /// `Cache-Control: min-fresh`: the newest answer becomes too old too soon for this client.
    MinFresh,
}

impl Reason {
    /// The name in `Cache-Status`, in logs and in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoStore => "no-store",
            Self::Temporary => "temporary",
            Self::UserNoStore => "user-no-store",
            Self::NoCache => "no-cache",
            Self::Off => "cache-off",
            Self::AskedBefore => "asked-before",
            Self::NoChatId => "no-chat-id",
            Self::NoTtl => "no-ttl",
            Self::Nothing => "no-answer",
            Self::Stale => "stale",
            Self::MaxAge => "max-age",
            Self::MinFresh => "min-fresh",
        }
    }

    /// The source in the record of a call that Claude is asked for.
    pub const fn answered_by(self) -> AnsweredBy {
        match self {
            Self::NoStore | Self::Temporary | Self::UserNoStore | Self::Off | Self::NoTtl => {
                AnsweredBy::Bypass
            }
            Self::NoCache | Self::AskedBefore | Self::NoChatId | Self::MaxAge | Self::MinFresh => {
                AnsweredBy::Refresh
            }
            Self::Nothing | Self::Stale => AnsweredBy::Miss,
        }
    }
}

/// Decides on the source of the answer to a call.
pub fn decide(facts: &Facts<'_>, policy: &Policy) -> Verdict {
    match verdict(facts, policy) {
        Verdict::Ask { reason, .. } if facts.directives.only_if_cached => Verdict::Refuse(reason),
        verdict => verdict,
    }
}

/// Returns whether the verdict depends on the ledger, so that it has to be read.
pub fn depends_on_ledger(facts: &Facts<'_>, policy: &Policy) -> bool {
    let with = |stored| decide(&Facts { stored, ..*facts }, policy);
    with(None) != with(Some(facts.at))
}

/// The verdict without `only-if-cached`, which turns a question to Claude into a refusal.
fn verdict(facts: &Facts<'_>, policy: &Policy) -> Verdict {
    let Facts { at, directives, kind, temporary, no_store_user, external_data, running, stored } =
        *facts;
    let keep = if policy.stores_answer(external_data) { Keep::Answer } else { Keep::Recording };
    let ask = |reason| Verdict::Ask { reason, keep };
    if directives.no_store {
        return Verdict::Ask { reason: Reason::NoStore, keep: Keep::Totals };
    }
    if temporary {
        return Verdict::Ask { reason: Reason::Temporary, keep: Keep::Totals };
    }
    if no_store_user {
        return Verdict::Ask { reason: Reason::UserNoStore, keep: Keep::Totals };
    }
    if directives.no_cache {
        return ask(Reason::NoCache);
    }
    let is_task = matches!(kind, CallKind::Task { .. });
    if policy.reuse == Reuse::Off || policy.reuse == Reuse::Tasks && !is_task {
        return ask(Reason::Off);
    }
    // A client that wants the ledger or nothing gets what it has, even where others would get a new answer.
    if !directives.only_if_cached {
        match kind {
            CallKind::Chat(PriorAsk::OtherMessage) => return ask(Reason::AskedBefore),
            CallKind::Nameless => return ask(Reason::NoChatId),
            // Also a title that is asked for again: the one in flight is newer than any that was shown.
            CallKind::Plain | CallKind::Task { .. } | CallKind::Chat(_) if running => {
                return Verdict::Join;
            }
            CallKind::Chat(PriorAsk::Unanswered) => return ask(Reason::AskedBefore),
            CallKind::Task { name: TITLE, again: true } if stored.is_some() => {
                return ask(Reason::AskedBefore);
            }
            CallKind::Plain | CallKind::Task { .. } | CallKind::Chat(_) => {}
        }
    }
    let task = if let CallKind::Task { name, .. } = kind { Some(name) } else { None };
    let Some(limit) = policy.ttl(task, external_data) else { return ask(Reason::NoTtl) };
    let Some(stored) = stored else { return ask(Reason::Nothing) };
    let age = at.since(stored);
    let Some(ttl) = limit.checked_sub(age).filter(|ttl| !ttl.is_zero()) else {
        return ask(Reason::Stale);
    };
    if directives.max_age.is_some_and(|most| age >= Duration::from_secs(most)) {
        return ask(Reason::MaxAge);
    }
    if directives.min_fresh.is_some_and(|least| ttl < Duration::from_secs(least)) {
        return ask(Reason::MinFresh);
    }
    Verdict::Hit(Freshness { age, ttl })
}

/// Open WebUI's name for the task that a person can repeat (✨).
pub const TITLE: &str = "title_generation";
