//! The way of a request: read, translate, key, decide, ask, seal.
//!
//! [`Answers::answer`] is the whole of it on one screen. What comes back is a [`Reader`] of a recording, live or
//! stored; the doors turn it into their dialect with [`playback`].

mod ask;
mod events;
mod failure;
mod learned;
mod live;
mod models;
pub mod playback;
mod pump;
mod question;
mod recall;
mod sealing;

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

pub use self::question::Asker;
pub use self::{
    ask::{Ask, Spoken},
    events::{Events, message},
    failure::Failure,
    live::{End, Reader},
    models::{Listed, Models},
};
use self::{
    learned::Learned,
    playback::Payer,
    pump::Exchange,
    question::{Parsed, Question, facts},
    recall::Recalled,
};
use crate::{
    domain::{
        alias::Aliases,
        anthropic::{self, Texts},
        cache::{CacheKey, Directives, Source},
        catalog::Catalog,
        exchange::{
            AnsweredBy, CallId, Cost, Door, ExchangeId, Micros, NanoDollars, Outcome, UnixMillis,
        },
        openai,
        recording::Recording,
        translate::{self, Form, WithUsage},
    },
    store::{CallRow, Ledger, Opening, Stored},
    upstream::{Counted, Upstream},
};

/// An answer larger than this is broken off.
pub const LARGEST_RECORDING: usize = 256 << 20;
/// Reading a request larger than this is work for a thread that may block.
const LARGE_REQUEST: usize = 1 << 20;

/// Everything that answers calls. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Answers {
    upstream: Arc<Upstream>,
    ledger: Ledger,
    catalog: Arc<RwLock<Arc<Catalog>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// What models refused.
    learned: Arc<Learned>,
    /// Earlier answers that requests named.
    recalled: Arc<Recalled>,
    settings: Settings,
}

/// What the operator decides.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long answers in the ledger may be served.
    pub ttl: Duration,
    /// The HTTP status of our response, which only the server knows.
    pub status_of: fn(Door, Option<&Failure>) -> u16,
    /// What the operator named.
    pub aliases: Arc<Aliases>,
}

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
    /// How the call is answered.
    pub answered_by: AnsweredBy,
    /// Under which key the answer is kept.
    pub key: CacheKey,
    /// Whether it will be kept for repeats, if it turns out well.
    pub stored: bool,
    /// How old it is and how long it may still be served; for answers from the ledger.
    pub freshness: Option<Freshness>,
    /// Who pays.
    pub payer: Payer,
    /// Whether the client wants a stream, and of what kind.
    pub stream: Option<WithUsage>,
    /// How the client wants it written.
    pub form: Arc<Form>,
}

/// How old an answer is, and how much longer it may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// Since it was whole.
    pub age: Duration,
    /// Until it is too old.
    pub ttl: Duration,
}

/// Why a call is not answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be read.
    #[error(transparent)]
    Unreadable(#[from] openai::ParseError),
    /// The native request cannot be read.
    #[error(transparent)]
    Misspoken(#[from] anthropic::NativeError),
    /// The request cannot be translated.
    #[error(transparent)]
    Untranslatable(#[from] translate::Error),
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
            learned: Arc::default(),
            recalled: Arc::default(),
            settings,
        }
    }

    /// Answers one call. The answer has begun when this returns: with its first event, or whole.
    pub async fn answer(&self, ask: Ask, asker: Asker) -> Result<Answer, Error> {
        let at = now();
        let question = self.read(ask, &asker).await?;
        let stored = match question.source {
            Source::LedgerFirst | Source::LedgerOnly => {
                self.recall(&question.key, at, asker.directives).await
            }
            Source::Refresh | Source::Bypass => None,
        };
        let mut answer = match (stored, question.source) {
            (Some(stored), _) => self.serve(stored, &question, asker, at),
            (None, Source::LedgerOnly) => return Err(Error::Failed(Arc::new(Failure::NotCached))),
            (None, Source::LedgerFirst) => self.ask(&question, asker, at, AnsweredBy::Miss),
            (None, Source::Refresh) => self.ask(&question, asker, at, AnsweredBy::Refresh),
            (None, Source::Bypass) => self.ask(&question, asker, at, AnsweredBy::Bypass),
        };
        answer.reader.ready().await.map_err(Error::Failed)?;
        Ok(answer)
    }

    /// Counts the tokens of a native request: passed on, and not recorded, because nothing was said.
    pub async fn count_tokens(
        &self,
        body: Bytes,
        spoken: Spoken,
        asker: Asker,
    ) -> Result<Counted, Error> {
        let outgoing = spoken.outgoing(body, asker.key);
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

    /// Whether the ledger can be written, and what waits to be.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Parses, translates and keys a request: work without waiting, but for large ones long work.
    async fn read(&self, ask: Ask, asker: &Asker) -> Result<Question, Error> {
        let catalog = self.catalog();
        let is_large = ask.body().len() > LARGE_REQUEST;
        let parsed = if is_large {
            let asker = asker.clone();
            self.tasks.spawn_blocking(move || Parsed::of(ask, &asker)).await??
        } else {
            Parsed::of(ask, asker)?
        };
        let originals = self.originals(parsed.refs(), &parsed.scope.to_string()).await;
        if !is_large {
            return parsed.understand(asker, &catalog, &self.settings.aliases, &originals);
        }
        let asker = asker.clone();
        let aliases = Arc::clone(&self.settings.aliases);
        let understand = move || parsed.understand(&asker, &catalog, &aliases, &originals);
        self.tasks.spawn_blocking(understand).await?
    }

    /// Looks an answer up. A ledger that cannot be read is no reason not to ask.
    async fn recall(
        &self,
        key: &CacheKey,
        at: UnixMillis,
        directives: Directives,
    ) -> Option<Stored> {
        if directives.no_cache || directives.no_store {
            return None;
        }
        let longest = directives
            .max_age
            .map_or(self.settings.ttl, |max| self.settings.ttl.min(Duration::from_secs(max)));
        let not_before =
            UnixMillis(at.0.saturating_sub(i64::try_from(longest.as_millis()).unwrap_or(i64::MAX)));
        let stored = match self.ledger.find(key, not_before).await {
            Ok(stored) => stored?,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "cannot look into the ledger; asking upstream");
                return None;
            }
        };
        // Whether its deltas can be read was not looked at when it was sealed.
        if let Err(error) = anthropic::fold(&stored.recording) {
            let error = &error as &dyn std::error::Error;
            tracing::error!(exchange = %stored.exchange, error, "a recording cannot be read; asking upstream");
            return None;
        }
        Some(stored)
    }

    /// Serves what the ledger has.
    fn serve(&self, stored: Stored, question: &Question, asker: Asker, at: UnixMillis) -> Answer {
        let call = CallId::new(Uuid::now_v7());
        let Stored { exchange, recording, model_served, tokens, cost, ended_at } = stored;
        let age = at.since(ended_at);
        let took = Micros::from(now().since(at));
        let facts = facts(call, at, AnsweredBy::Hit, question, asker);
        tracing::info!(
            %call,
            %exchange,
            answered_by = %AnsweredBy::Hit,
            model = model_served,
            task = facts.task,
            notes = facts.notes,
            prompt_tokens = tokens.prompt(),
            output_tokens = tokens.output,
            saved_nano_dollars = cost.amount().map(|amount| amount.0),
            total_us = took.0,
            "call answered"
        );
        self.ledger.record(CallRow {
            facts,
            exchange: Some(exchange),
            status: Some((self.settings.status_of)(question.said.door(), None)),
            outcome: Outcome::Complete,
            ttft: Some(took),
            total: Some(took),
            model: model_served,
            tokens,
            cost: Cost::Exact(NanoDollars(0)),
            saved: cost.amount().unwrap_or_default(),
        });
        Answer {
            reader: live::stored(Recording::clone(&recording), End::Whole { cost, tokens }),
            call,
            at,
            exchange,
            answered_by: AnsweredBy::Hit,
            key: question.key,
            stored: true,
            freshness: Some(Freshness { age, ttl: self.settings.ttl.saturating_sub(age) }),
            payer: Payer::AnEarlierCall,
            stream: question.stream,
            form: Arc::clone(&question.form),
        }
    }

    /// Asks upstream: a pump of its own has the exchange, and this call is its first reader.
    fn ask(
        &self,
        question: &Question,
        asker: Asker,
        at: UnixMillis,
        answered_by: AnsweredBy,
    ) -> Answer {
        let call = CallId::new(Uuid::now_v7());
        let exchange = ExchangeId::new(Uuid::now_v7());
        let keep = answered_by != AnsweredBy::Bypass;
        let said = &question.said;
        let mut notes = said.notes().to_vec();
        let mut request = said.request();
        let known = request.as_ref().and_then(|request| self.learned.apply(request));
        let (body, chain) = match known {
            None => (said.body(), keep.then(|| said.chain().clone())),
            Some((changed, mut more)) => {
                notes.append(&mut more);
                let texts = Texts::of(&changed);
                request = Some(Arc::new(changed));
                (texts.body().into(), keep.then_some(texts.chain))
            }
        };
        let outgoing = said.spoken().outgoing(body, asker.key.clone());
        let servable = keep && said.is_storable();
        let opening = Opening {
            exchange,
            key: question.key,
            scope: question.scope.to_string(),
            model: said.model().to_owned(),
            opened_at: at,
            continues: None,
            breakpoints: request.as_ref().and_then(|request| json_of(&request.breakpoints)),
            chain: chain.map(Arc::new),
            collapse: None,
            call: facts(call, at, answered_by, question, asker),
        };
        let (writer, reader) = live::start();
        let exchange_to_have =
            Exchange { opening: Arc::new(opening), outgoing, request, notes, keep, servable };
        self.tasks.spawn(pump::run(self.clone(), exchange_to_have, writer));
        Answer {
            reader,
            call,
            at,
            exchange,
            answered_by,
            key: question.key,
            stored: servable,
            freshness: None,
            payer: Payer::ThisCall,
            stream: question.stream,
            form: Arc::clone(&question.form),
        }
    }
}

/// Where the prompt was to be cached, for the ledger.
fn json_of(breakpoints: &[anthropic::Breakpoint]) -> Option<String> {
    if breakpoints.is_empty() { None } else { serde_json::to_string(breakpoints).ok() }
}

/// The time, for the ledger.
pub fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
