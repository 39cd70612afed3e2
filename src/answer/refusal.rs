//! Calls that Reprise refuses although it knows their caller: each gets a row in the ledger, without a cost. A client
//! that repeats one for ever does not fill the ledger: beyond a limit, refusals are only counted.

use std::{collections::HashMap, time::Instant};

use parking_lot::Mutex;
use uuid::Uuid;

use super::{Answers, ErrorForm, Failure};
use crate::{
    domain::{
        cache::CacheKey,
        exchange::{AnsweredBy, Api, CallId, Cost, ExchangeId, NanoDollars, Outcome, UnixMillis},
        openai,
        prepare::{Caller, PrepareError, PreparedRequest, model_named},
    },
    store::CallRecord,
};

/// Limit of rows in an hour.
const MOST: u32 = 600;
/// Limit of rows in an hour for one caller and one reason.
const MOST_OF_ONE: u32 = 60;

/// The rows that refused calls got in the current hour.
#[derive(Debug, Default)]
pub(super) struct RefusalLimit(Mutex<Rows>);

#[derive(Debug, Default)]
struct Rows {
    /// Since the Unix epoch.
    hour: i64,
    all: u32,
    /// By caller and reason.
    of_one: HashMap<(String, String), u32>,
}

impl RefusalLimit {
    /// Takes one of the rows that `caller` may still have for `reason`; returns false if there is none.
    fn take(&self, at: UnixMillis, caller: &str, reason: &str) -> bool {
        let mut rows = self.0.lock();
        let hour = at.hour();
        if rows.hour != hour {
            *rows = Rows { hour, ..Rows::default() };
        }
        if rows.all == MOST {
            return false;
        }
        let of_one = rows.of_one.entry((caller.to_owned(), reason.to_owned())).or_default();
        if *of_one == MOST_OF_ONE {
            return false;
        }
        *of_one += 1;
        rows.all += 1;
        true
    }
}

impl Answers {
    /// Records a call whose request cannot be prepared.
    pub(super) fn record_unprepared(
        &self,
        error: &PrepareError,
        (api, body): (Api, &[u8]),
        caller: &Caller,
        (at, arrived): (UnixMillis, Instant),
    ) {
        let form = ErrorForm::unprepared(error);
        let model = model_named(body).unwrap_or_default();
        let call = CallRecord {
            user: caller.user_in_books(caller.user.clone()),
            task: caller.task.clone(),
            tags: caller.tags.clone(),
            status: Some(form.status(api)),
            ..refused(at, api, model)
        };
        self.record_refusal(call, &form.into_openai(), caller, arrived);
    }

    /// Records a call that no source may answer.
    pub(super) fn record_unanswered(
        &self,
        failure: &Failure,
        request: &PreparedRequest,
        caller: &Caller,
        (at, arrived): (UnixMillis, Instant),
    ) {
        let api = request.upstream.api();
        let model = request.upstream.model().to_owned();
        let call = CallRecord {
            stream: request.stream.is_some(),
            user: request.user.clone(),
            task: request.task.clone(),
            tags: request.tags.clone(),
            status: Some(failure.form().status(api)),
            reason: match failure {
                Failure::NotCached(reason) => Some(reason.as_str().to_owned()),
                _ => None,
            },
            ..refused(at, api, model)
        };
        self.record_refusal(call, &failure.openai(), caller, arrived);
    }

    fn record_refusal(
        &self,
        call: CallRecord,
        error: &openai::Error,
        caller: &Caller,
        arrived: Instant,
    ) {
        let reason = error.code.as_deref().unwrap_or(error.kind);
        self.observer.refused(reason);
        let who = call.user.as_deref().unwrap_or(caller.holder.as_str());
        if !self.refusals.take(call.at, who, reason) {
            return self.ledger.count_refusal(call.at, reason);
        }
        let call = CallRecord {
            chat: caller.chat.clone(),
            message: caller.message.clone(),
            user_message: caller.user_message.clone(),
            client: caller.client.clone(),
            client_key: caller.key_name.clone(),
            error_kind: Some(reason.to_owned()),
            total: Some(arrived.elapsed().into()),
            ..call
        };
        self.observer.recorded_refusal(&call);
        self.ledger.record(call);
    }
}

/// A refused call of which nothing more is known. Its chat has asked for nothing by it.
fn refused(at: UnixMillis, api: Api, model: String) -> CallRecord {
    let key = CacheKey::of_nothing(ExchangeId::new(Uuid::now_v7()));
    CallRecord {
        outcome: Outcome::Refused,
        cost: Cost::Exact(NanoDollars(0)),
        ..CallRecord::new(CallId::new(Uuid::now_v7()), at, AnsweredBy::Refused, api, key, model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_get_rows_up_to_a_limit_an_hour() {
        let limit = RefusalLimit::default();
        let taken = |at, who: &str, reason, times| {
            (0..times).filter(|_| limit.take(UnixMillis(at), who, reason)).count()
        };
        assert_eq!(taken(0, "ann", "quota", 100), 60);
        assert_eq!((taken(0, "ann", "invalid", 100), taken(0, "bob", "quota", 100)), (60, 60));
        let others: usize =
            (0..100).map(|n| taken(UnixMillis::HOUR - 1, &n.to_string(), "quota", 10)).sum();
        assert_eq!(others, 600 - 180);
        assert_eq!(taken(UnixMillis::HOUR, "ann", "quota", 100), 60, "the next hour");
    }
}
