//! Who answers a call: the facts are gathered here, the verdict is the domain's ([`cache::decide`]).

use std::sync::atomic::Ordering::Relaxed;

use uuid::Uuid;

use super::{
    Answers,
    inflight::{self, CoalesceKey, Running, Ticket},
    live::Reader,
};
use crate::{
    domain::{
        anthropic,
        budget::{Notice, Priced, Refusal},
        cache::{self, CacheKey, CallKind, Facts, Freshness, PriorAsk, Reason, Verdict},
        catalog,
        exchange::{ExchangeId, UnixMillis},
        open_webui,
        prepare::{Caller, Chats, PreparedRequest},
    },
    store::{Stored, Turn},
};

/// How long Open WebUI may go on without ids before that is said again.
const A_DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Who answers.
#[derive(Debug)]
pub(super) enum Source {
    /// The ledger.
    Ledger(Stored, Freshness),
    /// An exchange that is running.
    Running(Reader, ExchangeId),
    /// Claude.
    Upstream(Ticket),
    /// Nobody: only the ledger may, and does not for this reason.
    Nobody(Reason),
    /// Nobody: only Claude could, and no budget allows it.
    NoMoney(Refusal),
}

impl Answers {
    /// Chooses who answers, and does at once what must not happen twice: claims the key for the chat, joins what is
    /// running, or lets others join what will be.
    pub(super) async fn choose(
        &self,
        question: &PreparedRequest,
        asker: &Caller,
        at: UnixMillis,
    ) -> Source {
        let policy = &self.settings.cache;
        let before = self.claim(question, asker);
        let facts = |before| question.facts(asker, at, before);
        let place = question.place(asker);
        // What is running already needs no look into the ledger.
        if let Some(place) = &place
            && cache::decide(&Facts { running: true, ..facts(before) }, policy) == Verdict::Join
            && let Some((reader, exchange)) = self.inflight.join(place)
        {
            return Source::Running(reader, exchange);
        }
        // What was asked in vain may have got its answer after all; the ledger knows.
        let hoped = if before == PriorAsk::Unanswered { PriorAsk::SameMessage } else { before };
        let looks = cache::depends_on_ledger(&facts(hoped), policy);
        let before = match question.turn(asker) {
            Some(turn) if looks => before.and_in_ledger(self.asked(&turn).await),
            _ => before,
        };
        let mut stored = if looks { self.look(&question.key).await } else { None };
        let exchange = ExchangeId::new(Uuid::now_v7());
        let admit = || self.admit(question, at);
        let decide = |running| {
            // What was running a moment ago may be whole by now.
            if looks && running == Running::No {
                stored = self.ledger.newest(&question.key).or_else(|| stored.take());
            }
            let stored = stored.as_ref().map(|stored| stored.ended_at);
            let running = running == Running::Yes;
            cache::decide(&Facts { running, stored, ..facts(before) }, policy)
        };
        let turn = self.inflight.take_turn(place, exchange, decide, admit);
        match (turn, stored) {
            (inflight::Turn::Joined(reader, exchange), _) => Source::Running(reader, exchange),
            (inflight::Turn::Hit(freshness), Some(stored)) if is_readable(&stored) => {
                if let Some(chat) = &asker.chat {
                    self.inflight.answered(question.key, chat);
                }
                Source::Ledger(stored, freshness)
            }
            (inflight::Turn::Hit(_), _) if asker.directives.only_if_cached => {
                Source::Nobody(Reason::Nothing)
            }
            (inflight::Turn::Hit(_), _) => match admit() {
                Ok(notice) => Source::Upstream(self.inflight.order_alone(exchange, notice)),
                Err(refusal) => Source::NoMoney(refusal),
            },
            (inflight::Turn::Nobody(reason), _) => Source::Nobody(reason),
            (inflight::Turn::NoMoney(refusal), _) => Source::NoMoney(refusal),
            (inflight::Turn::Asks(order), _) => {
                if order.reason == Reason::NoChatId {
                    self.warn_of_no_ids(at);
                }
                Source::Upstream(order)
            }
        }
    }

    /// Whether a budget lets Claude be asked.
    fn admit(&self, question: &PreparedRequest, at: UnixMillis) -> Result<Option<Notice>, Refusal> {
        let model = question.upstream.model();
        self.budget.admit(at, question.user.as_deref(), model, || {
            match self.catalog().price_on(model, catalog::day_of(at)) {
                Some(_) => Priced::Yes,
                None => Priced::No,
            }
        })
    }

    /// Claims the key for the chat, where it matters who asked before; and the answer to the user's message, because a
    /// Regenerate is one also where the request has changed since.
    fn claim(&self, question: &PreparedRequest, asker: &Caller) -> PriorAsk {
        let Some(turn) = question.turn(asker) else { return PriorAsk::Never };
        let before = self.inflight.claim(*turn.key, turn.chat, turn.message);
        let Some(user_message) = turn.user_message else { return before };
        let of_message = CacheKey::of_message(user_message, turn.model);
        match self.inflight.claim(of_message, turn.chat, turn.message) {
            PriorAsk::OtherMessage => PriorAsk::OtherMessage,
            PriorAsk::Never | PriorAsk::SameMessage | PriorAsk::Unanswered => before,
        }
    }

    /// Whether the ledger knows that the chat has asked before. One that cannot be read may know that it has.
    async fn asked(&self, turn: &Turn<'_>) -> PriorAsk {
        self.ledger.reader().asked(turn).await.unwrap_or_else(|error| {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "cannot look into the ledger; asking upstream");
            PriorAsk::OtherMessage
        })
    }

    /// Looks for an answer. A ledger that cannot be read is no reason not to ask.
    async fn look(&self, key: &CacheKey) -> Option<Stored> {
        self.ledger.find(key).await.unwrap_or_else(|error| {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "cannot look into the ledger; asking upstream");
            None
        })
    }

    /// Says once a day what the operator has to do so that chats can be answered from the ledger.
    fn warn_of_no_ids(&self, at: UnixMillis) {
        let before = self.warned_at.load(Relaxed);
        if at.0 - before >= A_DAY_MS
            && self.warned_at.compare_exchange(before, at.0, Relaxed, Relaxed).is_ok()
        {
            tracing::warn!(
                headers = %open_webui::HEADER_BOX,
                "Open WebUI does not say which chat and message it asks for, so a Regenerate cannot be told from a \
                 repeat and every chat is asked anew; paste the line into the headers of its connection"
            );
        }
    }
}

/// Whether the deltas of an answer can be read: that was not looked at when it was sealed.
fn is_readable(stored: &Stored) -> bool {
    if stored.was_read.load(Relaxed) {
        return true;
    }
    match anthropic::fold(&stored.recording) {
        Ok(_) => {
            stored.was_read.store(true, Relaxed);
            true
        }
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(exchange = %stored.exchange, error, "a recording cannot be read; asking upstream");
            false
        }
    }
}

impl PreparedRequest {
    /// What kind of call it is, given whether its chat has asked for the same before.
    fn caller(&self, before: PriorAsk) -> CallKind<'_> {
        match (&self.task, self.chats) {
            (Some(name), _) => CallKind::Task { name, again: before != PriorAsk::Never },
            (None, Chats::Named) => CallKind::Chat(before),
            (None, Chats::Nameless) => CallKind::Nameless,
            (None, Chats::None) => CallKind::Plain,
        }
    }

    fn facts(&self, asker: &Caller, at: UnixMillis, before: PriorAsk) -> Facts<'_> {
        Facts {
            at,
            directives: asker.directives,
            caller: self.caller(before),
            temporary: asker.temporary,
            forgotten_user: self.forgotten_user,
            reaches_out: self.upstream.reaches_out(),
            running: false,
            stored: None,
        }
    }

    /// What a chat asks for, where it matters whether it has asked before.
    fn turn<'a>(&'a self, asker: &'a Caller) -> Option<Turn<'a>> {
        let user_message = match self.caller(PriorAsk::Never) {
            CallKind::Chat(_) => asker.user_message.as_deref(),
            CallKind::Task { name: cache::TITLE, .. } => None,
            CallKind::Task { .. } | CallKind::Plain | CallKind::Nameless => return None,
        };
        let chat = asker.chat.as_deref().filter(|_| !asker.temporary)?;
        let message = asker.message.as_deref();
        let (key, model) = (&self.key, self.upstream.model());
        Some(Turn { key, chat, message, user_message, model })
    }

    /// Where others find it who want the same; `None` where nobody may.
    fn place(&self, asker: &Caller) -> Option<CoalesceKey> {
        let message = match (self.caller(PriorAsk::Never), &asker.chat, &asker.message) {
            (CallKind::Plain | CallKind::Task { .. }, ..) => None,
            (CallKind::Chat(_), Some(chat), Some(message)) => Some((chat.clone(), message.clone())),
            (CallKind::Chat(_) | CallKind::Nameless, ..) => return None,
        };
        self.is_kept(asker).then(|| CoalesceKey {
            key: self.key,
            door: self.upstream.api(),
            message,
        })
    }
}
