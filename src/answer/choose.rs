//! Who answers a call: the facts are gathered here, the verdict is the domain's ([`cache::decide`]).

use std::sync::atomic::Ordering::Relaxed;

use uuid::Uuid;

use super::{
    Answers,
    desk::{Order, Place, Running, Turn},
    live::Reader,
    question::{Asker, Chats, Question},
};
use crate::{
    domain::{
        anthropic,
        budget::{Notice, Priced, Refusal},
        cache::{self, Asked, Caller, Facts, Freshness, Reason, Verdict},
        catalog,
        exchange::{ExchangeId, UnixMillis},
        open_webui,
    },
    store::{Found, Stored},
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
    Upstream(Order),
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
        question: &Question,
        asker: &Asker,
        at: UnixMillis,
    ) -> Source {
        let policy = &self.settings.cache;
        let before = self.claim(question, asker);
        let facts = |before| question.facts(asker, at, before);
        let place = question.place(asker);
        // What is running already needs no look into the ledger.
        if let Some(place) = &place
            && cache::decide(&Facts { running: true, ..facts(before) }, policy) == Verdict::Join
            && let Some((reader, exchange)) = self.desk.join(place)
        {
            return Source::Running(reader, exchange);
        }
        let looks = cache::depends_on_ledger(&facts(before), policy);
        let found = if looks { self.look(question, asker).await } else { Found::default() };
        let before = before.max(found.asked);
        let mut stored = found.stored;
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
        let turn = self.desk.take_turn(place, exchange, decide, admit);
        match (turn, stored) {
            (Turn::Joined(reader, exchange), _) => Source::Running(reader, exchange),
            (Turn::Hit(freshness), Some(stored)) if is_readable(&stored) => {
                Source::Ledger(stored, freshness)
            }
            (Turn::Hit(_), _) if asker.directives.only_if_cached => Source::Nobody(Reason::Nothing),
            (Turn::Hit(_), _) => match admit() {
                Ok(notice) => Source::Upstream(self.desk.order_alone(exchange, notice)),
                Err(refusal) => Source::NoMoney(refusal),
            },
            (Turn::Nobody(reason), _) => Source::Nobody(reason),
            (Turn::NoMoney(refusal), _) => Source::NoMoney(refusal),
            (Turn::Asks(order), _) => {
                if order.reason == Reason::NoChatId {
                    self.warn_of_no_ids(at);
                }
                Source::Upstream(order)
            }
        }
    }

    /// Whether a budget lets Claude be asked.
    fn admit(&self, question: &Question, at: UnixMillis) -> Result<Option<Notice>, Refusal> {
        let model = question.said.model();
        self.purse.admit(at, question.user.as_deref(), model, || {
            match self.catalog().price_on(model, catalog::day_of(at)) {
                Some(_) => Priced::Yes,
                None => Priced::No,
            }
        })
    }

    /// Claims the key for the chat, where it matters who asked before.
    fn claim(&self, question: &Question, asker: &Asker) -> Asked {
        let matters = !matches!(question.caller(Asked::Never), Caller::Plain | Caller::Nameless);
        match &asker.chat {
            Some(chat) if matters && !asker.is_temporary() => {
                self.desk.claim(question.key, chat, asker.message.as_deref())
            }
            _ => Asked::Never,
        }
    }

    /// Looks into the ledger. One that cannot be read is no reason not to ask.
    async fn look(&self, question: &Question, asker: &Asker) -> Found {
        let chat = asker.chat.as_deref().map(|chat| (chat, asker.message.as_deref()));
        match self.ledger.find(&question.key, chat).await {
            Ok(found) => found,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "cannot look into the ledger; asking upstream");
                Found::default()
            }
        }
    }

    /// Says once a day what the operator has to do so that chats can be answered from the ledger.
    fn warn_of_no_ids(&self, at: UnixMillis) {
        let before = self.warned_at.load(Relaxed);
        if at.0 - before >= A_DAY_MS
            && self.warned_at.compare_exchange(before, at.0, Relaxed, Relaxed).is_ok()
        {
            tracing::warn!(
                headers = open_webui::HEADER_BOX,
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

impl Question {
    /// What kind of call it is, given whether its chat has asked for the same before.
    fn caller(&self, before: Asked) -> Caller<'_> {
        match (&self.task, self.chats) {
            (Some(name), _) => Caller::Task { name, again: before != Asked::Never },
            (None, Chats::Named) => Caller::Chat(before),
            (None, Chats::Nameless) => Caller::Nameless,
            (None, Chats::None) => Caller::Plain,
        }
    }

    fn facts(&self, asker: &Asker, at: UnixMillis, before: Asked) -> Facts<'_> {
        Facts {
            at,
            directives: asker.directives,
            caller: self.caller(before),
            temporary: asker.is_temporary(),
            forgotten_user: self.forgotten_user,
            reaches_out: self.said.reaches_out(),
            running: false,
            stored: None,
        }
    }

    /// Where others find it who want the same; `None` where nobody may.
    fn place(&self, asker: &Asker) -> Option<Place> {
        let message = match (self.caller(Asked::Never), &asker.chat, &asker.message) {
            (Caller::Plain | Caller::Task { .. }, ..) => None,
            (Caller::Chat(_), Some(chat), Some(message)) => Some((chat.clone(), message.clone())),
            (Caller::Chat(_) | Caller::Nameless, ..) => return None,
        };
        self.is_kept(asker).then(|| Place { key: self.key, door: self.said.door(), message })
    }
}
