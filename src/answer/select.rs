//! Selection of the source of an answer: gathers the facts, lets the domain decide ([`cache::decide`]), and carries the
//! verdict out where it must not happen twice.

use std::time::Duration;

use super::{
    Answers, Failure,
    budget::Admitted,
    inflight::{CoalesceKey, Ticket},
    live::RecordingReader,
};
use crate::{
    domain::{
        anthropic,
        budget::{self, BudgetRefusal, Spender},
        cache::{
            self, CacheKey, CallKind, Facts, Freshness, Keep, PriorAsk, Reason, Requester,
            SharedCall, Sharing, Verdict,
        },
        catalog,
        exchange::{ExchangeId, UnixMillis},
        open_webui::{self, DearQuestion},
        prepare::{Caller, Chats, FileIds, PreparedRequest},
    },
    store::{self, PriorAskQuery, Stored},
};

/// Interval between warnings that Open WebUI sends no ids.
const A_DAY: Duration = Duration::from_hours(24);

/// The selected source of an answer.
#[derive(Debug)]
pub(super) enum AnswerSource {
    /// An answer in the ledger.
    Ledger(Stored, Freshness),
    /// An exchange in flight, which the call has joined.
    Running(RecordingReader, ExchangeId),
    /// A new exchange with upstream, which other calls may join.
    Upstream(Ticket),
}

impl Answers {
    /// Selects the source of the answer to a request.
    pub(super) async fn select(
        &self,
        request: &PreparedRequest,
        caller: &Caller,
        at: UnixMillis,
    ) -> Result<AnswerSource, Failure> {
        let policy = &self.settings.cache;
        let coalesce_key = coalesce_key(request, caller);
        let prior = self.claim(request, caller);
        let facts = facts(request, caller, at, prior);

        // Joining needs no look into the ledger.
        if let Some(coalesce_key) = &coalesce_key
            && cache::decide(&Facts { running: true, ..facts }, policy) == Verdict::Join
            && let Some((reader, exchange)) = self.inflight.lock().join(coalesce_key)
        {
            return Ok(AnswerSource::Running(reader, exchange));
        }

        // The ledger may have a whole answer to a call that is unanswered here.
        let known = if prior == PriorAsk::Unanswered { PriorAsk::SameMessage } else { prior };
        let best_case = Facts { kind: call_kind(request, known), ..facts };
        let uses_ledger = cache::depends_on_ledger(&best_case, policy);
        let requester = Requester::of(request.user.as_deref(), caller.chat.as_deref());
        let shared = SharedCall { requester, facts: best_case, policy };
        let shared = (policy.sharing == Sharing::Shared).then_some(shared);
        let (prior, mut stored) = if uses_ledger {
            let prior = self.prior_in_ledger(request, caller, prior).await;
            (prior, self.find(&request.key, shared.as_ref()).await)
        } else {
            (prior, None)
        };

        // The verdict and its act are one step under the lock: of many calls that want the same, one asks and the others
        // join.
        let mut inflight = self.inflight.lock();
        let running = coalesce_key.as_ref().and_then(|coalesce_key| inflight.join(coalesce_key));
        // An exchange that was running a moment ago may be in the ledger now. Where nothing else will do, it is for all.
        if uses_ledger && running.is_none() {
            let found = stored.as_ref().map(|stored| stored.ended_at);
            let shared = shared.filter(|call| found.is_some_and(|found| call.accepts(found)));
            let newest = self.ledger.in_memory(&request.key, super::now(), shared.as_ref());
            stored = newest.or(stored);
        }
        let stored = stored.map(|stored| self.loaded.share(stored));
        let facts = Facts {
            kind: call_kind(request, prior),
            running: running.is_some(),
            stored: stored.as_ref().map(|stored| stored.ended_at),
            ..facts
        };
        let source = match (cache::decide(&facts, policy), running, stored) {
            (Verdict::Join, Some((reader, exchange)), _) => AnswerSource::Running(reader, exchange),
            (Verdict::Hit(freshness), _, Some(stored)) => AnswerSource::Ledger(stored, freshness),
            (Verdict::Ask { reason, keep }, ..) => {
                let admitted = self.admit(request, caller, at)?;
                let would_join = |_: &&CoalesceKey| {
                    cache::decide(&Facts { running: true, ..facts }, policy) == Verdict::Join
                };
                let claim = coalesce_key.as_ref().filter(|_| self.ledger.is_shared());
                let claim = claim.filter(would_join).map(CoalesceKey::claim_key);
                let ticket = inflight.begin(&self.inflight, coalesce_key, reason, keep, admitted);
                AnswerSource::Upstream(Ticket { claim, ..ticket })
            }
            (Verdict::Refuse(reason), ..) => return Err(Failure::NotCached(reason)),
            (Verdict::Join, None, _) | (Verdict::Hit(_), _, None) => {
                unreachable!("the facts say that there is nothing to join or to serve")
            }
        };
        drop(inflight);

        match &source {
            AnswerSource::Ledger(stored, _)
                if !is_readable(stored) || !is_answer_to(stored, request) =>
            {
                return self.ask_alone(request, caller, at);
            }
            AnswerSource::Ledger(..) => {
                if let Some(chat) = &caller.chat {
                    self.inflight.lock().mark_answered(request.key, chat);
                }
            }
            AnswerSource::Upstream(Ticket { reason: Reason::NoChatId, .. }) => {
                self.warn_of_missing_ids(at);
            }
            AnswerSource::Running(..) | AnswerSource::Upstream(..) => {}
        }
        Ok(source)
    }

    /// Asks upstream although the ledger has an answer, because that cannot be read, or names the ids of other files.
    fn ask_alone(
        &self,
        request: &PreparedRequest,
        caller: &Caller,
        at: UnixMillis,
    ) -> Result<AnswerSource, Failure> {
        if caller.directives.only_if_cached {
            return Err(Failure::NotCached(Reason::Nothing));
        }
        let admitted = self.admit(request, caller, at)?;
        let mut inflight = self.inflight.lock();
        let (reason, keep) = (Reason::Nothing, Keep::Answer);
        Ok(AnswerSource::Upstream(inflight.begin(&self.inflight, None, reason, keep, admitted)))
    }

    /// Has the budgets admit the request, which reserves its estimated cost. A person who watches is warned of a high one.
    fn admit(
        &self,
        request: &PreparedRequest,
        caller: &Caller,
        at: UnixMillis,
    ) -> Result<Admitted, BudgetRefusal> {
        let (model, key) = (request.upstream.model(), caller.key_name.as_deref());
        let spender = Spender { user: request.user.as_deref(), key, model };
        let warn_above = self.settings.warn_above.filter(|_| self.is_watched(request, caller));
        if !self.budget.is_limited() && warn_above.is_none() {
            return Ok(Admitted::default());
        }
        // All of the prompt is looked at: not while other calls wait for the budgets.
        let prompt = budget::prompt_tokens(request.upstream.chain());
        let mut estimate = None;
        let admitted = self.budget.admit(at, spender, |outputs| {
            let (most, day) = (request.upstream.max_tokens(), catalog::day_of(at));
            estimate = budget::estimate(&self.catalog(), model, prompt, most, outputs, day);
            estimate
        })?;
        let cost = estimate.map(|estimate| estimate.likely);
        let cost = cost.filter(|cost| warn_above.is_some_and(|above| *cost > above));
        let dear = cost.map(|cost| DearQuestion { cost, prompt_tokens: prompt });
        Ok(Admitted { dear, ..admitted })
    }

    /// Claims the key for the chat, if prior calls matter; and the answer to the user's message, because a Regenerate
    /// is one even if the request has changed since, or lies in a clone of the chat.
    fn claim(&self, request: &PreparedRequest, caller: &Caller) -> PriorAsk {
        let scope = request.scope.to_string();
        let Some(query) = prior_ask_query(request, caller, &scope) else { return PriorAsk::Never };
        let mut inflight = self.inflight.lock();
        let prior = inflight.claim(*query.key, query.chat, query.message);
        let Some(user_message) = query.user_message else { return prior };
        let of_message = CacheKey::of_message(user_message, query.model, query.scope);
        match inflight.claim(of_message, "", query.message) {
            PriorAsk::OtherMessage => PriorAsk::OtherMessage,
            PriorAsk::Never | PriorAsk::SameMessage | PriorAsk::Unanswered => prior,
        }
    }

    /// Adds to `prior` the chat's earlier calls in the ledger. A ledger that cannot be read may have one.
    async fn prior_in_ledger(
        &self,
        request: &PreparedRequest,
        caller: &Caller,
        prior: PriorAsk,
    ) -> PriorAsk {
        let scope = request.scope.to_string();
        let Some(query) = prior_ask_query(request, caller, &scope) else { return prior };
        let in_ledger = self.ledger.prior_ask(&query).await.unwrap_or_else(|error| {
            tell_unreadable(&error);
            PriorAsk::OtherMessage
        });
        if in_ledger == PriorAsk::OtherMessage {
            // The same call again must not join the exchange of this one, for which no look is taken.
            self.inflight.lock().mark_repeated(*query.key, query.chat);
        }
        prior.with_ledger(in_ledger)
    }

    /// Finds the answer that the call gets. If the ledger cannot be read, upstream is asked.
    async fn find(&self, key: &CacheKey, shared: Option<&SharedCall<'_>>) -> Option<Stored> {
        self.ledger.find_among(key, super::now(), shared).await.unwrap_or_else(|error| {
            tell_unreadable(&error);
            None
        })
    }

    /// Warns once a day that Open WebUI sends no ids, and says what to do about it.
    fn warn_of_missing_ids(&self, at: UnixMillis) {
        if self.warnings.missing_ids.is_due(at, A_DAY) {
            tracing::warn!(
                headers = %open_webui::HEADER_BOX,
                "Open WebUI does not send the ids of chats and messages, so a Regenerate cannot be told from a repeat \
                 and every chat is asked anew; paste this line into the headers of its connection"
            );
        }
    }
}

/// Logs that upstream is asked because the ledger cannot be read. One that does not answer says so itself.
fn tell_unreadable(error: &store::Error) {
    if !matches!(error, store::Error::NoAnswer) {
        let error = error as &dyn std::error::Error;
        tracing::error!(error, "cannot read the ledger; asking upstream");
    }
}

/// Returns whether an answer can be read, which is not checked when it is sealed.
fn is_readable(stored: &Stored) -> bool {
    if let Err(error) = stored.recording.readings() {
        tracing::error!(exchange = %stored.exchange, error, "a recording cannot be read; asking upstream");
        return false;
    }
    true
}

/// Returns whether an answer is one to this very request, of which the key may leave out ids.
fn is_answer_to(stored: &Stored, request: &PreparedRequest) -> bool {
    request.file_ids == FileIds::InKey
        || anthropic::assemble(stored.recording.recording())
            .is_ok_and(|message| request.has_ids_of(&String::from_utf8_lossy(&message)))
}

fn call_kind(request: &PreparedRequest, prior: PriorAsk) -> CallKind<'_> {
    match (&request.task, request.chats) {
        (Some(name), _) => CallKind::Task { name, again: prior != PriorAsk::Never },
        (None, Chats::Named) => CallKind::Chat(prior),
        (None, Chats::Nameless) => CallKind::Nameless,
        (None, Chats::None) => CallKind::Plain,
    }
}

/// The facts that are known without the ledger and the exchanges in flight.
fn facts<'a>(
    request: &'a PreparedRequest,
    caller: &Caller,
    at: UnixMillis,
    prior: PriorAsk,
) -> Facts<'a> {
    Facts {
        at,
        directives: caller.directives,
        kind: call_kind(request, prior),
        temporary: caller.temporary,
        no_store_user: request.no_store_user,
        external_data: request.upstream.external_data(),
        running: false,
        stored: None,
    }
}

/// The turn of a chat, if it matters whether the chat has asked before.
fn prior_ask_query<'a>(
    request: &'a PreparedRequest,
    caller: &'a Caller,
    scope: &'a str,
) -> Option<PriorAskQuery<'a>> {
    let user_message = match call_kind(request, PriorAsk::Never) {
        CallKind::Chat(_) => caller.user_message.as_deref(),
        CallKind::Task { name: cache::TITLE, .. } => None,
        CallKind::Task { .. } | CallKind::Plain | CallKind::Nameless => return None,
    };
    let chat = caller.chat.as_deref().filter(|_| !caller.temporary)?;
    let message = caller.message.as_deref();
    let (key, model) = (&request.key, request.upstream.model());
    Some(PriorAskQuery { key, chat, message, user_message, scope, model })
}

/// The key by which other calls may join the exchange of this one; `None` if none may.
fn coalesce_key(request: &PreparedRequest, caller: &Caller) -> Option<CoalesceKey> {
    let kind = call_kind(request, PriorAsk::Never);
    let message = match (kind, &caller.chat, &caller.message) {
        // Its answer may name the ids of files that another request with the key does not have.
        (CallKind::Plain | CallKind::Task { .. }, ..) if request.file_ids == FileIds::LeftOut => {
            return None;
        }
        (CallKind::Plain | CallKind::Task { .. }, ..) => None,
        (CallKind::Chat(_), Some(chat), Some(message)) => Some((chat.clone(), message.clone())),
        (CallKind::Chat(_) | CallKind::Nameless, ..) => return None,
    };
    let (key, api) = (request.key, request.upstream.api());
    request.is_kept(caller).then_some(CoalesceKey { key, api, message })
}
