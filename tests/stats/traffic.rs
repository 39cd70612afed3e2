//! Traffic as an office makes it, out of a seed: chats with their background tasks, a script, failures, repeats. The
//! same seed is the same traffic.

use reprise::domain::{
    catalog::{Catalog, Terms, day_of},
    exchange::{AnsweredBy, Cost, NanoDollars, Outcome, Tokens, UnixMillis},
};

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) at: UnixMillis,
    pub(crate) user: Option<String>,
    pub(crate) chat: Option<String>,
    pub(crate) task: Option<&'static str>,
    pub(crate) client: &'static str,
    pub(crate) model: &'static str,
    pub(crate) answered_by: AnsweredBy,
    pub(crate) outcome: Outcome,
    pub(crate) status: Option<u16>,
    pub(crate) error: Option<&'static str>,
    pub(crate) tokens: Tokens,
    pub(crate) cost: Cost,
    pub(crate) saved: i64,
    pub(crate) ttft_us: i64,
    pub(crate) total_us: i64,
}

/// Makes traffic.
pub(crate) struct Traffic {
    catalog: Catalog,
    chance: u64,
    users: u64,
    chats: u64,
}

/// Haiku 5.5 came out on the seventh of October 2026.
fn haiku(at: UnixMillis) -> &'static str {
    if at.0 < 1_791_331_200_000 { "claude-haiku-4-5" } else { "claude-haiku-5-5" }
}
const TASKS: [&str; 3] = ["title_generation", "tags_generation", "follow_up_generation"];

impl Traffic {
    pub(crate) fn new(seed: u64, users: u64) -> Self {
        Self { catalog: Catalog::builtin(), chance: seed | 1, users, chats: 0 }
    }

    /// The calls of a chat, or of a script, that begins at `at`.
    pub(crate) fn chat(&mut self, at: UnixMillis) -> Vec<Event> {
        if self.below(8) == 0 {
            return self.script(at);
        }
        self.chats += 1;
        let user = Some(format!("user-{:03}", self.below(self.users)));
        let salt = self.below(1 << 16);
        let chat = Some(format!("{:08x}-{salt:04x}", self.chats));
        let model =
            ["claude-sonnet-5-5", "claude-sonnet-5-5", "claude-opus-5-5", haiku(at)][self.pick(4)];
        let is_repeat = self.below(12) == 0;
        let mut events = Vec::new();
        let (mut at, mut history) = (at, 400 + self.below(3_000));
        for turn in 0..=self.below(6) {
            let fresh = 20 + self.below(600);
            let output = 80 + self.below(900);
            let thinking = if model == haiku(at) { 0 } else { output / 3 };
            let cached = if turn > 0 { history } else { 0 };
            let tokens = Tokens {
                input: fresh,
                cache_write_5m: if turn == 0 { history } else { fresh / 2 },
                cache_read: cached,
                output,
                thinking,
                ..Tokens::default()
            };
            history += fresh + output;
            let answered_by = match self.below(20) {
                _ if is_repeat && turn == 0 => AnsweredBy::Hit,
                0 => AnsweredBy::Refresh,
                _ => AnsweredBy::Miss,
            };
            let asked = Event { user: user.clone(), chat: chat.clone(), ..Self::event(at, model) };
            let asked = self.answer(asked, answered_by, tokens);
            let failed = asked.outcome != Outcome::Complete;
            at = UnixMillis(at.0 + asked.total_us / 1_000 + 50);
            events.push(asked);
            if turn == 0 && !failed {
                for task in TASKS {
                    let tokens = Tokens {
                        input: 300 + fresh + output,
                        output: 8 + self.below(30),
                        ..Tokens::default()
                    };
                    let (user, chat) = (user.clone(), chat.clone());
                    let asked = Self::event(at, haiku(at));
                    let asked = Event { user, chat, task: Some(task), ..asked };
                    let answered_by = match self.below(30) {
                        _ if is_repeat => AnsweredBy::Hit,
                        0 => AnsweredBy::Collapsed,
                        _ => AnsweredBy::Miss,
                    };
                    let asked = self.answer(asked, answered_by, tokens);
                    events.push(asked);
                    at = UnixMillis(at.0 + 5);
                }
            }
            at = UnixMillis(at.0 + 5_000 + i64::try_from(self.below(180_000)).unwrap());
        }
        events
    }

    /// A program that asks the same thing again and again, now and then a model without a price.
    fn script(&mut self, at: UnixMillis) -> Vec<Event> {
        let model = if self.below(40) == 0 { "claude-experimental" } else { haiku(at) };
        let tokens = Tokens { input: 900 + self.below(9), output: 40, ..Tokens::default() };
        let repeats = 1 + self.below(4);
        (0..repeats)
            .map(|n| {
                let at = UnixMillis(at.0 + i64::try_from(n).unwrap() * 700);
                let asked = Event { client: "python-openai", ..Self::event(at, model) };
                let answered_by = if n == 0 { AnsweredBy::Miss } else { AnsweredBy::Hit };
                self.answer(asked, answered_by, tokens)
            })
            .collect()
    }

    fn event(at: UnixMillis, model: &'static str) -> Event {
        Event {
            at,
            user: None,
            chat: None,
            task: None,
            client: "open-webui",
            model,
            answered_by: AnsweredBy::Miss,
            outcome: Outcome::Complete,
            status: Some(200),
            error: None,
            tokens: Tokens::default(),
            cost: Cost::Exact(NanoDollars(0)),
            saved: 0,
            ttft_us: 0,
            total_us: 0,
        }
    }

    fn answer(&mut self, event: Event, answered_by: AnsweredBy, tokens: Tokens) -> Event {
        let price = self.catalog.cost_on(event.model, &tokens, Terms::default(), day_of(event.at));
        let mut event = Event { answered_by, tokens, cost: price, ..event };
        if !answered_by.asks() {
            event.cost = Cost::Exact(NanoDollars(0));
            event.saved = price.amount().unwrap_or_default().0;
            event.ttft_us = 150 + i64::try_from(self.below(400)).unwrap();
            event.total_us = event.ttft_us * 2;
            return event;
        }
        event.ttft_us = 350_000 + i64::try_from(self.below(900) * self.below(2_000)).unwrap();
        event.total_us =
            event.ttft_us + i64::try_from(tokens.output * (9_000 + self.below(6_000))).unwrap();
        match self.below(150) {
            0 => {
                event.outcome = Outcome::Failed;
                event.status = Some(529);
                event.error = Some("overloaded_error");
                event.tokens = Tokens::default();
                event.cost = Cost::Exact(NanoDollars(0));
            }
            1 => {
                event.outcome = Outcome::Failed;
                event.status = Some(429);
                event.error = Some("rate_limit_error");
                event.tokens = Tokens::default();
                event.cost = Cost::Exact(NanoDollars(0));
            }
            2 => {
                event.outcome = Outcome::Stopped;
                event.tokens.output /= 2;
                event.cost = self
                    .catalog
                    .cost_on(event.model, &event.tokens, Terms::default(), day_of(event.at))
                    .at_least();
            }
            _ => {}
        }
        event
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        // xorshift64*, which is good enough for an office.
        self.chance ^= self.chance >> 12;
        self.chance ^= self.chance << 25;
        self.chance ^= self.chance >> 27;
        (self.chance.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }

    fn pick(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }
}

/// The calls of `days` days from `first` (midnight in UTC) on, about `chats` chats on a working day.
pub(crate) fn days(traffic: &mut Traffic, first: UnixMillis, days: i64, chats: u64) -> Vec<Event> {
    const DAY: i64 = 86_400_000;
    let mut events = Vec::new();
    for day in 0..days {
        let today = first.0 + day * DAY;
        // The first of January 1970 was a Thursday.
        let is_weekend = (today / DAY + 3) % 7 > 4;
        let chats = if is_weekend { chats / 6 + 1 } else { chats };
        for _ in 0..chats {
            let hours = [7, 8, 8, 9, 9, 10, 11, 12, 13, 13, 14, 15, 16, 20];
            let hour = hours[traffic.pick(hours.len())];
            let at = today + hour * 3_600_000 + i64::try_from(traffic.below(3_600_000)).unwrap();
            events.extend(traffic.chat(UnixMillis(at)));
        }
    }
    events.sort_by_key(|event| event.at);
    events
}
