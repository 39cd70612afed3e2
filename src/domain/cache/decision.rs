//! Who may answer a call (design §5): facts in, verdict with its reason out.
//!
//! The rows of the design's table stand here in its order; the first that fits decides. `tests/decisions.rs` holds
//! each of them, and each pair that could contradict.

use std::time::Duration;

use super::{CacheDirectives, Policy, Reuse};
use crate::domain::exchange::{AnsweredBy, UnixMillis};

/// What is known of a call when its source is chosen.
#[expect(clippy::struct_excessive_bools, reason = "each is one independent fact of the call")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts<'a> {
    /// When it came in.
    pub at: UnixMillis,
    /// What it says of caching.
    pub directives: CacheDirectives,
    /// What kind of call it is.
    pub caller: CallKind<'a>,
    /// Whether it belongs to a chat of which nothing is kept.
    pub temporary: bool,
    /// Whether the operator wants nothing kept of its user ([`Policy::forgets`]).
    pub forgotten_user: bool,
    /// Whether its answer may rest on more than the request ([`super::reaches_out`]).
    pub reaches_out: bool,
    /// Whether an exchange is running that it could join: the same key and, for a chat, the same message.
    pub running: bool,
    /// When the newest servable answer to its key was whole, if there is one.
    pub stored: Option<UnixMillis>,
}

/// What kind of call it is, as far as that decides who may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind<'a> {
    /// A client that tells no chats apart: the same request means the same answer.
    Plain,
    /// A chat of Open WebUI whose connection does not say which: a repeat may be a *Regenerate*.
    Nameless,
    /// One of Open WebUI's background calls.
    Task {
        /// Its word for it.
        name: &'a str,
        /// Whether the same chat has asked for this key before.
        again: bool,
    },
    /// A chat that says which one it is.
    Chat(PriorAsk),
}

/// Whether a chat has asked for a key before, and to answer into which message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PriorAsk {
    /// It has not.
    #[default]
    Never,
    /// Only into the same message, which got a whole answer: the client sends again what it did not receive.
    SameMessage,
    /// Only into the same message, which got no whole answer, or it is not known what it got: a person pressed Stop and
    /// then *Continue*.
    Unanswered,
    /// Into another message, or into one that is not known.
    OtherMessage,
}

impl PriorAsk {
    /// What earlier calls mean for one that answers into message `now`: the message of each, and whether it got a whole
    /// answer.
    pub fn of<'a>(
        now: Option<&str>,
        earlier: impl IntoIterator<Item = (Option<&'a str>, bool)>,
    ) -> Self {
        earlier.into_iter().fold(Self::Never, |asked, (earlier, is_whole)| {
            if now.is_none() || now != earlier {
                return Self::OtherMessage;
            }
            match asked {
                Self::Never | Self::SameMessage | Self::Unanswered if is_whole => Self::SameMessage,
                Self::Never => Self::Unanswered,
                asked => asked,
            }
        })
    }

    /// Together with what the ledger knows, which also knows what came of it.
    #[must_use]
    pub const fn and_in_ledger(self, ledger: Self) -> Self {
        match (self, ledger) {
            (Self::OtherMessage, _) | (_, Self::OtherMessage) => Self::OtherMessage,
            (_, Self::SameMessage) | (Self::SameMessage, _) => Self::SameMessage,
            (Self::Unanswered, _) | (_, Self::Unanswered) => Self::Unanswered,
            (Self::Never, Self::Never) => Self::Never,
        }
    }
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The ledger, with its newest answer.
    Hit(Freshness),
    /// The exchange that is running.
    Join,
    /// Claude.
    Ask {
        /// Why not another.
        reason: Reason,
        /// What of the answer is kept.
        keep: Keep,
    },
    /// Nobody: only the ledger may, and cannot.
    Refuse(Reason),
}

/// How old an answer is, and how much longer it may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// Since it was whole.
    pub age: Duration,
    /// Until it is too old.
    pub ttl: Duration,
}

/// What is kept of an answer that Claude gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// Totals; nothing that was said.
    Totals,
    /// What was said, but not for repeats.
    Recording,
    /// What was said, for repeats if it turns out well.
    Answer,
}

/// Why Claude is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// `Cache-Control: no-store`.
    NoStore,
    /// A temporary chat.
    Temporary,
    /// The operator wants nothing kept of this user (`--no-store-users`).
    UserNoStore,
    /// `Cache-Control: no-cache`.
    NoCache,
    /// The operator lets the ledger answer no such calls (`--cache`).
    Off,
    /// The same chat has asked for the same before: a person pressed *Regenerate*, or Stop and then *Continue*, edited
    /// and sent the same, opened two columns, or asked for another title.
    AskedBefore,
    /// Open WebUI does not say which chat it is.
    NoChatId,
    /// The operator gives such answers no time (`--task-ttl`, `--web-ttl`).
    NoTtl,
    /// There is no servable answer to this key.
    Nothing,
    /// The newest answer is older than the operator lets it become (`--cache-ttl`).
    Stale,
    /// `Cache-Control: max-age`: the newest answer is too old for this client.
    MaxAge,
    /// `Cache-Control: min-fresh`: the newest answer will be too old too soon for this client.
    MinFresh,
}

impl Reason {
    /// The word for it in `Cache-Status`, in logs and in reports.
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

    /// How a call is answered that is asked for this reason.
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

/// Chooses who answers a call.
pub fn decide(facts: &Facts<'_>, policy: &Policy) -> Verdict {
    match source(facts, policy) {
        Verdict::Ask { reason, .. } if facts.directives.only_if_cached => Verdict::Refuse(reason),
        verdict => verdict,
    }
}

/// Whether it makes a difference what the ledger has: whether it is worth looking.
pub fn depends_on_ledger(facts: &Facts<'_>, policy: &Policy) -> bool {
    let found = |stored| decide(&Facts { stored, ..*facts }, policy);
    found(None) != found(Some(facts.at))
}

fn source(facts: &Facts<'_>, policy: &Policy) -> Verdict {
    let Facts { at, directives, caller, temporary, forgotten_user, reaches_out, running, stored } =
        *facts;
    let keep = if policy.keeps(reaches_out) { Keep::Answer } else { Keep::Recording };
    let ask = |reason| Verdict::Ask { reason, keep };
    if directives.no_store {
        return Verdict::Ask { reason: Reason::NoStore, keep: Keep::Totals };
    }
    if temporary {
        return Verdict::Ask { reason: Reason::Temporary, keep: Keep::Totals };
    }
    if forgotten_user {
        return Verdict::Ask { reason: Reason::UserNoStore, keep: Keep::Totals };
    }
    if directives.no_cache {
        return ask(Reason::NoCache);
    }
    let is_task = matches!(caller, CallKind::Task { .. });
    if policy.reuse == Reuse::Off || policy.reuse == Reuse::Tasks && !is_task {
        return ask(Reason::Off);
    }
    // Who wants the ledger or nothing gets what it has, also where others would be answered anew.
    if !directives.only_if_cached {
        match caller {
            CallKind::Chat(PriorAsk::OtherMessage) => return ask(Reason::AskedBefore),
            CallKind::Nameless => return ask(Reason::NoChatId),
            // Also a title that is asked for again: what is running is newer than any that was seen.
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
    let task = if let CallKind::Task { name, .. } = caller { Some(name) } else { None };
    let Some(longest) = policy.ttl(task, reaches_out) else { return ask(Reason::NoTtl) };
    let Some(stored) = stored else { return ask(Reason::Nothing) };
    let age = at.since(stored);
    let Some(ttl) = longest.checked_sub(age).filter(|ttl| !ttl.is_zero()) else {
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

/// Open WebUI's word for the task that a person can ask for again (✨).
pub const TITLE: &str = "title_generation";
