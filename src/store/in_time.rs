//! Look-ups on the way of a request. A database server may not answer at all, and a request does not wait for it: what is
//! not found in time counts as not in the ledger.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    ChatOf, Error, Ledger, PATIENCE,
    record::{PriorAskQuery, Stored},
};
use crate::domain::{
    cache::{CacheKey, PriorAsk, SharedCall},
    exchange::{AnswerRef, CallId, Cost, UnixMillis},
    recording::Recording,
};

/// Limit of the time that a request waits for a look-up.
const LIMIT: Duration = Duration::from_secs(1);
/// Time for which a server is not asked that did not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// Set while the database server does not answer: the moment from which on one request asks again.
#[derive(Debug, Default)]
pub(super) struct Silence(Mutex<Option<Instant>>);

/// Permission to look something up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Permission {
    /// The server has answered so far.
    All,
    /// This one asks whether the server answers again.
    One,
}

impl Silence {
    /// `None`: the server did not answer shortly before.
    fn permission(&self) -> Option<Permission> {
        let mut until = self.0.lock();
        match *until {
            None => Some(Permission::All),
            Some(moment) if Instant::now() < moment => None,
            Some(_) => {
                *until = Some(Instant::now() + LIMIT + PAUSE);
                Some(Permission::One)
            }
        }
    }

    /// Notes that the server did not answer; returns true if it did before.
    fn begin(&self) -> bool {
        self.0.lock().replace(Instant::now() + PAUSE).is_none()
    }

    /// Notes that the server has answered; returns true if it did not before.
    fn end(&self) -> bool {
        self.0.lock().take().is_some()
    }
}

impl Ledger {
    /// What the reader finds to a key, also if it is about to be committed.
    pub(super) async fn find_in_time(
        &self,
        key: &CacheKey,
        now: UnixMillis,
        call: Option<&SharedCall<'_>>,
    ) -> Result<Option<Stored>, Error> {
        let found = self.in_time(self.reader.find_among(key, now, call)).await?;
        if found.is_some() || !self.may_be_uncommitted(key) {
            return Ok(found);
        }
        let _ = tokio::time::timeout(PATIENCE, self.flush()).await;
        self.in_time(self.reader.find_among(key, now, call)).await
    }

    /// Tells whether an answer may be neither in memory nor committed yet: a prune or a clearing may have emptied the memory
    /// after it was sealed.
    fn may_be_uncommitted(&self, key: &CacheKey) -> bool {
        self.shared.queued.load(Relaxed) > 0
            && !self.shared.behind.load(Relaxed)
            && self.hot().get(key).is_none()
    }

    /// Tells whether a chat has asked before; see [`super::Reader::prior_ask`].
    pub async fn prior_ask(&self, query: &PriorAskQuery<'_>) -> Result<PriorAsk, Error> {
        self.in_time(self.reader.prior_ask(query)).await
    }

    /// The answers that a history names; see [`super::Reader::answers`].
    pub async fn answers(
        &self,
        scope: &str,
        names: &[AnswerRef],
    ) -> Result<Vec<(AnswerRef, Recording)>, Error> {
        self.in_time(self.reader.answers(scope, names)).await
    }

    /// The costs of the calls of a chat; see [`super::Reader::chat_costs`].
    pub async fn chat_costs(&self, chat: &ChatOf) -> Result<Vec<(CallId, Cost)>, Error> {
        self.in_time(self.reader.chat_costs(chat)).await
    }

    /// Waits for a look-up of a database server as long as a request can.
    async fn in_time<T>(
        &self,
        look_up: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        if !self.file.is_shared() {
            return look_up.await;
        }
        let silence = &self.shared.silence;
        let permission = silence.permission().ok_or(Error::NoAnswer)?;
        let Ok(found) = tokio::time::timeout(LIMIT, look_up).await else {
            if silence.begin() {
                warn!(
                    "the ledger does not answer look-ups; upstream answers all requests until it does"
                );
            } else if permission == Permission::All {
                return Err(Error::NoAnswer);
            }
            // The connections may have ended without a word.
            self.reader.replace(self.file.readers());
            return Err(Error::NoAnswer);
        };
        if found.is_ok() && silence.end() {
            info!("the ledger answers look-ups again");
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_request_at_a_time_asks_a_server_that_is_silent() {
        let silence = Silence::default();
        assert_eq!([silence.permission(); 2], [Some(Permission::All); 2]);
        assert!(silence.begin() && !silence.begin());
        assert_eq!(silence.permission(), None);
        tokio::time::advance(PAUSE).await;
        assert_eq!(silence.permission(), Some(Permission::One));
        assert_eq!(silence.permission(), None, "another one asks");
        tokio::time::advance(LIMIT + PAUSE).await;
        assert_eq!(silence.permission(), Some(Permission::One), "that one did not come back");
        assert!(silence.end() && !silence.end());
        assert_eq!(silence.permission(), Some(Permission::All));
    }
}
