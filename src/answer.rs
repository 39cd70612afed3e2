//! The way of a request: read, translate, key, decide, ask, seal.
//!
//! [`Answers::answer`] is the whole of it on one screen. What comes back is a [`Reader`] of a recording, live or
//! stored; the doors turn it into their dialect with [`playback`].

mod budget;
mod choose;
mod events;
mod failure;
mod inflight;
mod joined;
mod live;
mod models;
pub mod playback;
mod prepare;
mod pump;
mod quirks;
mod recall;
mod sealing;
mod sources;

use std::{
    sync::{Arc, PoisonError, RwLock, atomic::AtomicI64},
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::inflight::Load;
use self::{
    budget::BudgetTracker, choose::Source, inflight::Inflight, playback::Payer,
    quirks::ModelQuirks, recall::Recalled,
};
pub use self::{
    events::{Events, message},
    failure::Failure,
    live::{End, Reader},
    models::{Listed, Models},
    prepare::Access,
};
use crate::{
    domain::{
        alias::Aliases,
        anthropic::ApiHeaders,
        budget::{Notice, Spending},
        cache::{CacheKey, Freshness, Keep, Policy, Reason},
        catalog::Catalog,
        exchange::{Api, CallId, ExchangeId, UnixMillis},
        prepare::{Caller, ClientRequest, PrepareError},
        translate::{Form, WithUsage},
    },
    store::Ledger,
    upstream::{Counted, Outgoing, Upstream},
};

/// An answer larger than this is broken off.
pub const LARGEST_RECORDING: usize = 256 << 20;

/// Everything that answers calls. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Answers {
    upstream: Arc<Upstream>,
    ledger: Ledger,
    catalog: Arc<RwLock<Arc<Catalog>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// What models refused.
    quirks: Arc<ModelQuirks>,
    /// Earlier answers that requests named.
    recalled: Arc<Recalled>,
    /// What is being asked, and by whom.
    inflight: Arc<Inflight>,
    /// What is spent of the budgets.
    budget: Arc<BudgetTracker>,
    /// When it was last said that Open WebUI sends no ids, in unix milliseconds.
    warned_at: Arc<AtomicI64>,
    settings: Settings,
}

/// What the operator decides.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What the ledger may answer.
    pub cache: Policy,
    /// Whether a chat in Open WebUI is told that its answer comes from the ledger.
    pub status_line: bool,
    /// What Open WebUI's background calls are asked of; `None`: what each asks for.
    pub task_model: Option<Arc<str>>,
    /// The HTTP status of our response, which only the server knows.
    pub status_of: StatusOf,
    /// What the operator named.
    pub aliases: Arc<Aliases>,
}

/// The HTTP status of a response at a door, with this failure or none.
pub type StatusOf = fn(Api, Option<&Failure>) -> u16;

/// An answer that has begun.
#[derive(Debug)]
pub struct Answer {
    /// What it is read from.
    pub reader: Reader,
    /// The call's id.
    pub call: CallId,
    /// When the call came in.
    pub at: UnixMillis,
    /// The exchange that answers.
    pub exchange: ExchangeId,
    /// Who answers, and why.
    pub by: By,
    /// Under which key the answer is kept.
    pub key: CacheKey,
    /// Who pays.
    pub payer: Payer,
    /// A budget that is nearly spent.
    pub budget: Option<Notice>,
    /// An event for the client's eye before the answer.
    pub status_line: Option<String>,
    /// Whether the client wants a stream, and of what kind.
    pub stream: Option<WithUsage>,
    /// How the client wants it written.
    pub form: Arc<Form>,
}

/// Who answers a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The ledger.
    Ledger(Freshness),
    /// An exchange that was running.
    Running,
    /// A fixture.
    Fixture,
    /// Claude, for this reason, and so much of it is kept.
    Claude(Reason, Keep),
}

/// Why a call is not answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be prepared.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// There is no answer.
    #[error(transparent)]
    Failed(Arc<Failure>),
    /// The thread that read the request died.
    #[error("reading the request failed")]
    Panicked(#[from] tokio::task::JoinError),
}

impl Answers {
    /// Answers with what `upstream` says and `ledger` knows, until `stop` is cancelled.
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
            catalog,
            tasks,
            stop,
            quirks: Arc::default(),
            recalled: Arc::default(),
            inflight: Arc::default(),
            budget: Arc::default(),
            warned_at: Arc::default(),
            settings,
        }
    }

    /// The same, as far as the budgets of `books` allow, in which stands what was spent before.
    #[must_use]
    pub fn within(self, books: Spending) -> Self {
        Self { budget: Arc::new(BudgetTracker::new(books)), ..self }
    }

    /// Answers one call. The answer has begun when this returns: with its first event, or whole.
    pub async fn answer(
        &self,
        request: ClientRequest,
        caller: Caller,
        access: Access,
    ) -> Result<Answer, Error> {
        let (at, came) = (now(), Instant::now());
        let prepared = self.prepare(request, &caller).await?;
        let mut answer = match self.choose(&prepared, &caller, at).await {
            Source::Ledger(stored, fresh) => {
                self.serve(stored, fresh, &prepared, caller, (at, came))
            }
            Source::Running(reader, exchange) => {
                self.join(reader, exchange, &prepared, caller, (at, came))
            }
            Source::Upstream(order) => self.ask(order, &prepared, caller, access, at),
            Source::Nobody(reason) => {
                return Err(Error::Failed(Arc::new(Failure::NotCached(reason))));
            }
            Source::NoMoney(refusal) => {
                return Err(Error::Failed(Arc::new(Failure::Budget(refusal))));
            }
        };
        answer.reader.ready().await.map_err(Error::Failed)?;
        Ok(answer)
    }

    /// Counts the tokens of a native request: passed on, and not recorded, because nothing was said.
    pub async fn count_tokens(
        &self,
        body: Bytes,
        headers: ApiHeaders,
        access: Access,
    ) -> Result<Counted, Error> {
        let Access { key, scenario } = access;
        let outgoing = Outgoing { body, headers, key, scenario };
        let counted = self.upstream.count_tokens(&outgoing).await;
        counted.map_err(|error| Error::Failed(Arc::new(error.into())))
    }

    /// What each model accepts and costs, as far as is known now.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where upstream is, and whether it was there the last time.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// What is running now.
    pub fn load(&self) -> Load {
        self.inflight.load()
    }

    /// Whether the ledger can be written, and what waits to be.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

/// The time, for the ledger.
pub fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
