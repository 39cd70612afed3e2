//! The way of a request: prepare, select a source, then hit, join or ask.
//!
//! [`Answers::answer`] shows the whole of it. The result is a [`RecordingReader`] of a recording, live or stored, which
//! [`playback`] and [`EventStream`] turn into a response. A request is prepared in `prepare`; its source is selected in
//! `select` (with the exchanges in `inflight`); an answer that is there is reused in `reuse`. A new answer has a `pump`:
//! it sends an `exchange` in an `attempt`, which fills a `live` recording with what is no longer `held`, and seals it in
//! `seal`. Where several processes share the ledger, one of them asks (`claim`). The record of each call
//! is begun and finished in `call`; `chats` adds up what they cost, and `observe` hands them on to `metrics`. Operators
//! look at running answers, and stop them, in `watch`.

mod attempt;
mod budget;
mod call;
mod chats;
mod claim;
mod events;
mod exchange;
mod failure;
mod held;
mod inflight;
mod live;
mod loaded;
mod metrics;
mod models;
mod mutex;
mod observe;
pub mod playback;
mod prepare;
mod progress;
mod pump;
mod quirks;
mod recall;
mod refusal;
mod reuse;
mod seal;
mod select;
mod span;
mod steps;
mod warnings;
mod watch;

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use parking_lot::RwLock;
use prometheus_client::registry::Registry;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::inflight::Load;
use self::{
    budget::BudgetTracker, chats::ChatCosts, inflight::Inflight, loaded::Loaded,
    observe::CallObserver, quirks::Quirks, recall::Recalled, refusal::RefusalLimit,
    select::AnswerSource, steps::Steps, warnings::Warnings,
};
pub use self::{
    chats::ChatCost,
    events::{EventStream, message},
    failure::{ErrorForm, Failure, UpstreamFailure},
    live::{End, RecordingReader, StopError},
    models::{Listed, Models},
    observe::Change,
    prepare::Access,
    span::{Attribute, Span, SpanKind},
    watch::{Follow, FollowError, RunningCall, Stoppable, Written, WrittenKind},
};
use crate::{
    domain::{
        alias::Aliases,
        anthropic::ApiHeaders,
        budget::{BudgetLevel, BudgetNotice, Budgets, Crossing, Spending},
        cache::{CacheKey, Policy, Verdict},
        catalog::Catalog,
        exchange::{AnsweredBy, CallId, ExchangeId, NanoDollars, UnixMillis},
        prepare::{Caller, ClientRequest, PrepareError, PreparedRequest, readable},
        translate::{Form, WithUsage},
    },
    store::{CallRecord, Ledger},
    upstream::{self, TokenCount, Upstream},
};

/// Size limit of a recording; a longer answer is cut.
pub const LARGEST_RECORDING: usize = 256 << 20;

/// Answers calls. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Answers {
    upstream: Arc<Upstream>,
    ledger: Ledger,
    catalog: Arc<RwLock<Arc<Catalog>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
    quirks: Arc<Quirks>,
    /// Permits to prepare large requests.
    preparing: Arc<Semaphore>,
    /// Earlier answers that requests named.
    recalled: Arc<Recalled>,
    inflight: Arc<Inflight>,
    /// Recordings of the ledger that are read now.
    loaded: Arc<Loaded>,
    aliases: Arc<RwLock<Arc<Aliases>>>,
    budget: Arc<BudgetTracker>,
    refusals: Arc<RefusalLimit>,
    steps: Arc<Steps>,
    chats: Arc<ChatCosts>,
    observer: Arc<CallObserver>,
    warnings: Arc<Warnings>,
    settings: Settings,
}

/// Settings of the operator.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which answers the ledger may serve.
    pub cache: Policy,
    /// True if a chat in Open WebUI shows that its answer comes from the ledger.
    pub status_line: bool,
    /// Estimated cost above which a chat in Open WebUI warns of a question; `None`: none does.
    pub warn_above: Option<NanoDollars>,
    /// Model for Open WebUI's background calls; `None`: the model that each asks for.
    pub task_model: Option<Arc<str>>,
    /// The operator's model aliases.
    pub aliases: Arc<Aliases>,
}

/// An answer that has begun.
#[derive(Debug)]
pub struct Answer {
    /// Reader of the recording.
    pub reader: RecordingReader,
    /// The call's id.
    pub call: CallId,
    /// Arrival of the call.
    pub at: UnixMillis,
    /// The exchange that answers.
    pub exchange: ExchangeId,
    /// Source of the answer.
    pub answered_by: AnsweredBy,
    /// The decision on the source, which is never to refuse.
    pub verdict: Verdict,
    /// Key of the request.
    pub key: CacheKey,
    /// A budget that is nearly spent, or that is always shown.
    pub budget: Option<BudgetNotice>,
    /// True if a person sees status lines above the answer.
    pub is_watched: bool,
    /// A status line to show before the answer.
    pub status_line: Option<String>,
    /// The cost of the chat for the usage of the answer; `None`: the call names none, or wants no usage.
    pub chat_cost: Option<ChatCost>,
    /// The kind of stream that the client wants; `None` if it wants none.
    pub stream: Option<WithUsage>,
    /// The form in which the client wants the answer.
    pub form: Arc<Form>,
}

impl Answer {
    fn new(
        reader: RecordingReader,
        request: &PreparedRequest,
        call: &CallRecord,
        exchange: ExchangeId,
        verdict: Verdict,
    ) -> Self {
        Self {
            reader,
            call: call.id,
            at: call.at,
            exchange,
            answered_by: call.answered_by,
            verdict,
            key: request.key,
            budget: None,
            is_watched: false,
            status_line: None,
            chat_cost: None,
            stream: request.stream,
            form: Arc::clone(&request.form),
        }
    }
}

/// The reason why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be prepared.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// There is no answer, and the client has got nothing of it.
    #[error("{failure}")]
    Failed {
        /// The reason.
        failure: Arc<Failure>,
        /// The exchange that failed; `None`: there was none.
        exchange: Option<ExchangeId>,
    },
    /// The thread that prepared the request panicked.
    #[error("reading the request failed")]
    Panicked(#[from] tokio::task::JoinError),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Failed { failure: Arc::new(failure), exchange: None }
    }
}

impl Error {
    /// The failure of an exchange.
    pub const fn of_exchange(exchange: ExchangeId, failure: Arc<Failure>) -> Self {
        Self::Failed { failure, exchange: Some(exchange) }
    }
}

impl Answers {
    /// Creates a service that answers from `upstream` and `ledger` until `stop` is cancelled.
    pub fn new(
        upstream: Upstream,
        ledger: Ledger,
        catalog: Catalog,
        tasks: TaskTracker,
        stop: CancellationToken,
        settings: Settings,
    ) -> Self {
        let catalog = Arc::new(RwLock::new(Arc::new(catalog)));
        Self {
            upstream: Arc::new(upstream),
            ledger,
            observer: Arc::new(CallObserver::new(Arc::clone(&catalog))),
            catalog,
            tasks,
            stop,
            quirks: Arc::default(),
            preparing: Arc::new(Semaphore::new(prepare::AT_ONCE)),
            recalled: Arc::default(),
            inflight: Arc::default(),
            loaded: Arc::default(),
            aliases: Arc::new(RwLock::new(Arc::clone(&settings.aliases))),
            budget: Arc::default(),
            refusals: Arc::default(),
            steps: Arc::default(),
            chats: Arc::default(),
            warnings: Arc::default(),
            settings,
        }
    }

    /// Limits the service to the budgets of `spending`, which has what was spent before. `crossings` gets the thresholds
    /// that are crossed from now on.
    #[must_use]
    pub fn within(self, spending: Spending, crossings: mpsc::UnboundedSender<Crossing>) -> Self {
        Self { budget: Arc::new(BudgetTracker::new(spending, crossings)), ..self }
    }

    /// Hands a span of each call and of each exchange to `spans` from now on. What it has no room for is dropped.
    #[must_use]
    pub fn traced(self, spans: mpsc::Sender<Span>) -> Self {
        let observer = CallObserver::new(Arc::clone(&self.catalog));
        Self { observer: Arc::new(observer.traced(spans, self.upstream.base())), ..self }
    }

    /// Answers one call. Returns when the answer has begun: with its first event, or whole.
    pub async fn answer(
        &self,
        request: ClientRequest,
        caller: Caller,
        access: Access,
    ) -> Result<Answer, Error> {
        let arrival = (now(), Instant::now());
        let (at, _) = arrival;
        let (api, body) = (request.api(), request.body().clone());
        let request = self.prepare(request, &caller).await.inspect_err(|error| {
            if let Error::Prepare(cause) = error {
                self.record_unprepared(cause, (api, &body), &caller, arrival);
            }
        })?;
        drop(body);
        if let Some((user, name)) = caller.user.as_ref().zip(caller.user_name.as_ref())
            && !request.no_store_user
        {
            self.ledger.name_user(user, name, at);
        }
        // The ledger is read meanwhile.
        let chat_cost = self.follow_chat(&request, &caller);
        let shows_usage = request.task.is_none() && request.stream != Some(WithUsage::No);
        let source = self.select(&request, &caller, at).await.inspect_err(|failure| {
            self.record_unanswered(failure, &request, &caller, arrival);
        })?;
        let mut answer = match source {
            AnswerSource::Ledger(stored, freshness) => {
                self.hit(stored, freshness, &request, caller, arrival).await
            }
            AnswerSource::Running(reader, exchange) => {
                self.join(reader, exchange, &request, caller, arrival).await
            }
            AnswerSource::Upstream(ticket) => self.ask(ticket, &request, caller, access, at),
        };
        let ready = answer.reader.ready().await;
        ready.map_err(|failure| Error::of_exchange(answer.exchange, failure))?;
        if let Some(exchange) = answer.reader.answered_by() {
            let (answered_by, verdict) = (AnsweredBy::Collapsed, Verdict::Join);
            answer = Answer { exchange, answered_by, verdict, ..answer };
        }
        Ok(Answer { chat_cost: chat_cost.filter(|_| shows_usage), ..answer })
    }

    /// Counts the tokens of a request in Anthropic's API. Passed on and not recorded: it has no answer.
    pub async fn count_tokens(
        &self,
        body: Bytes,
        headers: ApiHeaders,
        access: Access,
    ) -> Result<TokenCount, Error> {
        let Access { key, scenario } = access;
        let (body, _) = readable(body);
        let outgoing =
            upstream::Request { body, headers, key, scenario, record: upstream::Recordable::Never };
        self.upstream.count_tokens(&outgoing).await.map_err(|error| Failure::from(error).into())
    }

    /// The models' limits and prices as far as they are known now.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.read())
    }

    /// Takes the prices of `catalog` from now on. The models and limits that Anthropic listed stay.
    pub fn set_prices(&self, catalog: &Catalog) {
        let mut known = self.catalog.write();
        *known = Arc::new(catalog.with_models_of(&known));
    }

    /// The operator's aliases as they are now.
    fn aliases(&self) -> Arc<Aliases> {
        Arc::clone(&self.aliases.read())
    }

    /// Notes costs from now on, because the spending of other budgets is being read.
    pub fn begin_replacing_budgets(&self) {
        self.budget.begin_replacing();
    }

    /// Goes on with the budgets as they are.
    pub fn keep_budgets(&self) {
        self.budget.keep();
    }

    /// Returns whether a cost has come since [`Self::begin_replacing_budgets`].
    pub fn have_budgets_changed(&self) -> bool {
        self.budget.has_changed()
    }

    /// The budgets as they are now.
    pub fn budgets(&self) -> Budgets {
        self.budget.budgets()
    }

    /// Goes on with budgets whose spending was read since [`Self::begin_replacing_budgets`]. With `keep_same`, those that
    /// have not changed keep what they have counted; without, costs of the past have changed.
    pub fn replace_budgets(&self, spending: Spending, keep_same: bool) {
        self.budget.replace(spending, keep_same);
        if !keep_same {
            self.chats.clear();
        }
    }

    /// Goes on with the budgets as they are, whose spending was read since [`Self::begin_replacing_budgets`].
    pub fn set_spending(&self, spending: Spending) {
        self.budget.replace(spending, false);
    }

    /// Takes the operator's aliases from now on.
    pub fn set_aliases(&self, aliases: Aliases) {
        *self.aliases.write() = Arc::new(aliases);
    }

    /// Adds the metrics of calls and of the ledger to a registry.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.observer.register_metrics(registry);
        self.ledger.register_metrics(registry);
    }

    /// Counts a request of which nothing but the reason of its refusal is known, which is one of a fixed number of words.
    pub fn count_refusal(&self, reason: &str) {
        self.observer.refused(reason);
        self.ledger.count_refusal(now(), reason);
    }

    /// The levels of the budgets at this time.
    pub fn budget_levels(&self, now: UnixMillis) -> Vec<BudgetLevel> {
        self.budget.levels(now)
    }

    /// The upstream that is asked.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// The exchanges in flight and their readers.
    pub fn load(&self) -> Load {
        self.inflight.load()
    }

    /// The ledger that records the calls.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

/// The current time.
pub fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
