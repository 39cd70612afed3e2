//! The choice among several answers to one key in a scope that users share: what one person asked for anew does not
//! replace what others repeat.

use super::{Facts, Policy, Verdict, decide};
use crate::domain::exchange::{ExchangeId, UnixMillis};

/// The user in the books of calls whose user is only claimed, where the operator requires signatures.
pub const UNVERIFIED: &str = "unverified";

/// The caller to whom an answer in a shared scope belongs: the one whose scope it would be otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requester {
    /// A user.
    User(String),
    /// A chat of nobody in particular.
    Chat(String),
    /// Anybody who names neither.
    Nobody,
}

impl Requester {
    /// The requester of a call, from its user in the books and its chat.
    pub fn of(user: Option<&str>, chat: Option<&str>) -> Self {
        // Nobody knows which user of those.
        match (user.filter(|user| *user != UNVERIFIED), chat) {
            (Some(user), _) => Self::User(user.to_owned()),
            (None, Some(chat)) => Self::Chat(chat.to_owned()),
            (None, None) => Self::Nobody,
        }
    }
}

/// An answer to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The exchange.
    pub exchange: ExchangeId,
    /// The requester; `None`: the call is gone.
    pub requester: Option<Requester>,
    /// The end, as late as the ledger allows.
    pub ended_at: UnixMillis,
}

/// A call in a scope that users share.
#[derive(Debug, Clone)]
pub struct SharedCall<'a> {
    /// Its requester.
    pub requester: Requester,
    /// The facts about it. The answer is none of them yet.
    pub facts: Facts<'a>,
    /// The operator's policy.
    pub policy: &'a Policy,
}

impl SharedCall<'_> {
    /// Returns whether an answer that ended then may be served, by its age.
    pub fn accepts(&self, ended_at: UnixMillis) -> bool {
        let facts = Facts { stored: Some(ended_at), ..self.facts };
        matches!(decide(&facts, self.policy), Verdict::Hit(_))
    }

    /// Chooses among the answers to the key, in the order of their commits: the newest that the same requester asked for,
    /// else the oldest. So others go on getting that one until it is too old, and then the next. Answers that are too old
    /// do not count, unless all are: then it is the newest, which tells why there is no hit.
    pub fn choose<'c>(&self, answers: &'c [Candidate]) -> Option<&'c Candidate> {
        let fresh = || answers.iter().filter(|answer| self.accepts(answer.ended_at));
        let own = fresh().filter(|answer| answer.requester.as_ref() == Some(&self.requester));
        let end = |answer: &&Candidate| answer.ended_at;
        let chosen = own.max_by_key(end).or_else(|| fresh().min_by_key(end));
        chosen.or_else(|| answers.iter().max_by_key(end))
    }
}
