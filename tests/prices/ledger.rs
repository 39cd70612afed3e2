//! Costs in a ledger whose prices change: a generator of exchanges and of changes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{civil::Date, tz::TimeZone};
use reprise::{
    domain::{
        budget::{Budget, Budgets},
        catalog::{Catalog, Terms, day_of},
        exchange::{AnsweredBy, Cost, NanoDollars, Outcome, Tokens, UnixMillis},
        price::{Bill, Charge, DatedPrice, PicoDollars, Price, Pricing},
    },
    report::{
        self, Stats,
        stats::{GroupBy, NewPrices, Period, Repriced},
    },
    store::{
        self, CallRecord, Durable, Ledger, Occasion, Options, Reader, Sealing,
        prices::{self, PriceChange},
    },
};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use super::{TODAY, price, tokens};
use crate::support::backend::{self, Outside};
use crate::support::rows;

const NOW: UnixMillis = UnixMillis(1_795_608_000_000);
const DAY: i64 = 86_400_000;
const HOUR: i64 = 3_600_000;
/// Times at which the prompt cache has more or less of a prompt.
const MINUTES: [i64; 2] = [240_000, 360_000];
const PATIENCE: Duration = Duration::from_mins(1);

/// An exchange, as it was recorded, and the calls that it answered.
struct Recorded {
    ended_at: UnixMillis,
    served: String,
    asked: String,
    bill: Bill,
    user: Option<&'static str>,
    /// The exchange before in the same answer.
    continues: bool,
    /// `false`: another one continues the answer.
    is_last: bool,
    outcome: Outcome,
    /// The age of the answer, in milliseconds, at each of its repeats.
    hits: Vec<i64>,
}

impl Recorded {
    fn charge(&self, catalog: &Catalog) -> Charge {
        catalog.charge(&self.bill, &self.asked, day_of(self.ended_at))
    }
}

struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[usize::try_from(self.below(list.len() as u64)).unwrap()]
    }
}

const MODELS: [&str; 6] = [
    "claude-opus-5-5",
    "claude-sonnet-5-5-20260928",
    "claude-haiku-5-5",
    "claude-of-tomorrow",
    "claude-of-tomorrow-20261101",
    "a stranger",
];

struct Books {
    folder: TempDir,
    catalog: Catalog,
    recorded: Vec<Recorded>,
    /// Sum of the costs of all exchanges when they were recorded.
    then: i64,
}

impl Books {
    fn url(&self) -> String {
        backend::url(&self.folder.path().join("ledger.db"))
    }

    async fn open(&self) -> Ledger {
        let options = Options { wait: PATIENCE, ..Options::new(self.url()) };
        Ledger::open(&options, rows::owner(1), NOW, &TaskTracker::new()).await.unwrap()
    }

    /// Makes and writes exchanges with the prices as they are known now.
    async fn record(&mut self, ledger: &Ledger, chance: &mut Chance, count: usize) {
        let mut continues = false;
        for _ in 0..count {
            let part = |chance: &mut Chance| {
                let model = chance.of(&MODELS);
                let tokens = Tokens {
                    cache_write_5m: chance.below(900),
                    cache_write_1h: chance.below(2) * chance.below(900),
                    cache_read: chance.below(2) * chance.below(150_000),
                    searches: chance.below(2),
                    ..tokens(chance.below(5_000), chance.below(3_000) + 1)
                };
                let terms = chance.of(&Terms::all().take(4).collect::<Vec<_>>());
                (model, tokens, terms)
            };
            let (served, mut all, terms) = part(chance);
            let mut bill = Bill::of(served, all, terms);
            // A record of before the bills has one part.
            let legacy = chance.below(3) == 0;
            if !legacy && chance.below(4) == 0 {
                let (model, tokens, terms) = part(chance);
                bill.add(Bill::of(model, tokens, terms));
                all += tokens;
            }
            let outcome = chance.of(&[Outcome::Complete, Outcome::Complete, Outcome::Stopped]);
            if outcome != Outcome::Complete {
                bill = bill.at_least();
            }
            let is_last = outcome != Outcome::Complete || chance.below(5) > 0;
            let ended_at = UnixMillis(NOW.0 - i64::try_from(chance.below(55)).unwrap() * DAY);
            let asked = if legacy { served } else { chance.of(&MODELS) };
            let user = chance.of(&[None, Some("ann"), Some("bob")]);
            let recorded =
                Recorded {
                    ended_at,
                    served: served.to_owned(),
                    asked: asked.to_owned(),
                    bill,
                    user,
                    continues,
                    is_last,
                    outcome,
                    // A record of before the bills has one once its cost changes.
                    hits: (0..chance.below(3))
                        .map(|_| {
                            if legacy {
                                HOUR
                            } else {
                                chance.of(&[0, MINUTES[0], MINUTES[1], HOUR])
                            }
                        })
                        .collect(),
                };
            let charge = recorded.charge(&self.catalog);
            // Such a record has no terms where it has no price.
            let bill = (!legacy || charge.cost == Cost::Unpriced)
                .then(|| recorded.bill.encode(served, &all));
            self.recorded.push(recorded);
            self.then += charge.cost.amount().unwrap_or_default().0;
            self.write(ledger, all, charge, bill).await;
            continues = !is_last;
        }
        while ledger.state().queued > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Writes the newest exchange and its calls.
    async fn write(&self, ledger: &Ledger, tokens: Tokens, charge: Charge, bill: Option<String>) {
        let n = self.recorded.len() as u128;
        let recorded = self.recorded.last().unwrap();
        let (cost, pricing) = self.answer(self.recorded.len() - 1, &self.catalog);
        let at = recorded.ended_at;
        let call = CallRecord {
            user: recorded.user.map(str::to_owned),
            ..rows::call(n * 10, at, AnsweredBy::Miss, &recorded.asked)
        };
        let mut opening = rows::opening(n, call);
        opening.continues = recorded.continues.then(|| rows::exchange_id(n - 1));
        let opening = Arc::new(opening);
        let sealing = Sealing {
            outcome: recorded.outcome,
            model_served: Some(recorded.served.clone()),
            bill,
            pricing: charge.pricing,
            priced_on: Some(self.catalog.priced_on(day_of(at)).to_string()),
            ..rows::sealing(at, tokens, charge.cost)
        };
        let sealing = if recorded.is_last {
            let sealing = sealing.with_call_of(&opening);
            let call = sealing.call.clone().map(|call| CallRecord { cost, pricing, ..call });
            Sealing { call, ..sealing }
        } else {
            sealing
        };
        assert_eq!(ledger.commit_seal(&opening, sealing).await, Durable::Committed);
        if recorded.is_last {
            for (hit, &age) in (n * 10 + 1..).zip(&recorded.hits) {
                let at = UnixMillis(at.0 + age);
                ledger.record(CallRecord {
                    exchange: Some(opening.exchange),
                    outcome: recorded.outcome,
                    cost: Cost::Exact(NanoDollars(0)),
                    saved: saved(recorded, cost, age, &self.catalog),
                    ..rows::call(hit, at, AnsweredBy::Hit, &recorded.served)
                });
            }
        }
    }

    /// The cost of the answer that ends with this exchange.
    fn answer(&self, at: usize, catalog: &Catalog) -> (Cost, Pricing) {
        let last = self.recorded[at].charge(catalog);
        if !self.recorded[at].continues {
            return (last.cost, last.pricing);
        }
        let (cost, mut pricing) = self.answer(at - 1, catalog);
        pricing.add(&last.pricing);
        // Which of several names is told is nobody's business here.
        (cost.plus(last.cost), pricing)
    }

    async fn change(&mut self, prices: Option<Vec<Price>>, imported: &mut Vec<Price>) {
        let before = self.catalog.clone();
        match &prices {
            Some(news) => {
                imported.retain(|old| {
                    !news
                        .iter()
                        .any(|new| (&new.model, new.dated.since) == (&old.model, old.dated.since))
                });
                imported.extend(news.clone());
            }
            None => imported.clear(),
        }
        let after = Catalog::builtin().with_prices(imported, TODAY);
        let change =
            PriceChange { prices: prices.as_deref(), before: &before, after: &after, from: None };
        let occasion = Occasion { at: NOW, cause: "a test", operator: "ann" };
        let run = prices::change(&self.url(), rows::owner(7), change, occasion).await.unwrap();
        assert_eq!(run.unexplained, 0);
        self.catalog = after;
        let reader = Reader::open(&self.url()).await.unwrap();
        let found = Catalog::builtin().with_prices(&reader.prices().await.unwrap(), TODAY);
        assert_eq!(found.fingerprint(), self.catalog.fingerprint());
    }

    /// Everything that can be asked for says the same, to the nano-dollar.
    async fn check(&self, when: &str) {
        let reader = Reader::open(&self.url()).await.unwrap();
        let ends = (0..self.recorded.len()).filter(|&at| self.recorded[at].is_last);
        let (mut cost, mut at_least, mut unpriced, mut estimates) = (0, 0, 0, 0);
        let (mut saved_sum, mut users) = (0, BTreeMap::<Option<&str>, i64>::new());
        for at in ends {
            let (known, pricing) = self.answer(at, &self.catalog);
            let recorded = &self.recorded[at];
            let amount = known.amount().unwrap_or_default().0;
            let estimate = pricing.estimate.unwrap_or_default().0;
            cost += amount;
            estimates += estimate;
            at_least += u64::from(matches!(known, Cost::AtLeast(_)));
            unpriced += u64::from(known == Cost::Unpriced);
            for &age in &recorded.hits {
                let saved = saved(recorded, known, age, &self.catalog);
                saved_sum += saved.amount().unwrap_or_default().0;
            }
            *users.entry(recorded.user).or_default() += amount + estimate;
        }
        let period = Period::ever(TimeZone::UTC);
        for _ in 0..2 {
            let stats =
                Stats::of(&reader, &self.catalog, &period, &[GroupBy::Model]).await.unwrap();
            let money = stats.total.cost;
            assert_eq!(
                (money.nano_dollars.unwrap_or(0), money.at_least, money.unpriced),
                (cost, at_least, unpriced),
                "{when}"
            );
            assert_eq!(stats.total.saved.ledger.nano_dollars.unwrap_or(0), saved_sum, "{when}");
            let alone = Stats::of(&reader, &self.catalog, &period, &[]).await.unwrap();
            assert_eq!(alone.total, stats.total);
            // Again, from sums.
            store::roll_up(&self.url(), &self.catalog, 1).await.unwrap();
        }
        let each: Budget =
            toml::from_str("limit = 1000000\nper = \"month\"\nuser = \"*\"").unwrap();
        let all: Budget = toml::from_str("limit = 1000000\nper = \"month\"").unwrap();
        let budgets = Budgets { list: vec![all, each], zone: TimeZone::UTC };
        let now = UnixMillis(NOW.0);
        let spending = report::spending(&reader, budgets, &self.catalog, now).await.unwrap();
        let november = |at: usize| self.recorded[at].ended_at.0 >= NOW.0 - 24 * DAY;
        let expected: i64 = (0..self.recorded.len())
            .filter(|&at| self.recorded[at].is_last && november(at))
            .map(|at| {
                let (known, pricing) = self.answer(at, &self.catalog);
                known.amount().unwrap_or_default().0 + pricing.estimate.unwrap_or_default().0
            })
            .sum();
        let told: Vec<i64> = spending.statuses().map(|status| status.spent.amount.0).collect();
        assert_eq!(told[0], expected, "{when}");
        assert_eq!(told[1..].iter().sum::<i64>(), expected, "{when}: of each user");
        assert_eq!(users.values().sum::<i64>(), cost + estimates);
        // Today's prices: every recorded cost can be explained.
        let repriced = Repriced::of(&reader, &self.catalog, &period, &[], (NewPrices::Own, TODAY))
            .await
            .unwrap();
        assert_eq!(repriced.total.unexplained, 0, "{when}");
        assert_eq!(repriced.total.cost.nano_dollars.unwrap_or(0), cost, "{when}");
    }
}

fn saved(recorded: &Recorded, cost: Cost, age: i64, catalog: &Catalog) -> Cost {
    let Recorded { bill, asked, ended_at, continues, .. } = recorded;
    let age = Duration::from_millis(age.unsigned_abs());
    // Nobody repeats an answer of several exchanges.
    let again = |cost| catalog.cost_again(cost, bill, asked, day_of(*ended_at), age);
    let cost = if *continues { cost } else { again(cost) };
    match cost {
        _ if recorded.outcome != Outcome::Complete => Cost::Exact(NanoDollars(0)),
        Cost::Unpriced => Cost::Unpriced,
        Cost::Exact(amount) | Cost::AtLeast(amount) => Cost::Exact(amount),
    }
}

#[tokio::test]
async fn costs_follow_every_change_of_prices() {
    for seed in 1..=5 {
        let mut chance = Chance(seed * 0x9E37_79B9);
        let folder = TempDir::new().unwrap();
        let mut books =
            Books { folder, catalog: Catalog::builtin(), recorded: Vec::new(), then: 0 };
        let mut imported = Vec::new();
        let ledger = books.open().await;
        books.record(&ledger, &mut chance, 60).await;
        books.check("before any change").await;
        for step in 0..5 {
            let news: Vec<Price> = (0..=chance.below(2))
                .map(|_| {
                    let model = chance.of(&[
                        "claude-opus-5-5",
                        "claude-of-tomorrow",
                        "claude-sonnet-5-5",
                        "claude-haiku-5-5",
                    ]);
                    let since =
                        day_of(UnixMillis(NOW.0 - i64::try_from(chance.below(60)).unwrap() * DAY));
                    let mut price = price(model, since, chance.of(&[0.5, 1.0, 2.0, 4.0, 7.7]));
                    // Some change only what a repeat saves.
                    price.dated.prices.cache_read = PicoDollars::new(chance.of(&[50_000, 70_000]));
                    price
                })
                .collect();
            let news = unique(news);
            books.change((chance.below(5) > 0).then_some(news), &mut imported).await;
            books.check(&format!("seed {seed}, change {step}")).await;
            books.record(&ledger, &mut chance, 5).await;
            books.check(&format!("seed {seed}, more after change {step}")).await;
        }
        ledger.close(PATIENCE).await;
        books.change(None, &mut imported).await;
        books.check(&format!("seed {seed}, at last")).await;
        // The audit has each change, so that it can be added up.
        let reader = Reader::open(&books.url()).await.unwrap();
        let changed: i64 = reader
            .repricings()
            .await
            .unwrap()
            .iter()
            .map(|line| line.after.0 - line.before.0)
            .sum();
        assert_eq!(total(&books).await, books.then + changed, "seed {seed}");
    }
}

fn unique(prices: Vec<Price>) -> Vec<Price> {
    let mut by_day: BTreeMap<(String, Date), DatedPrice> = BTreeMap::new();
    for Price { model, dated } in prices {
        by_day.insert((model, dated.since), dated);
    }
    by_day.into_iter().map(|((model, _), dated)| Price { model, dated }).collect()
}

/// Sum of the known costs of the exchanges.
async fn total(books: &Books) -> i64 {
    const SQL: &str = "select cast(coalesce(sum(cost), 0) as bigint) from exchange";
    let mut outside = Outside::connect(&books.folder.path().join("ledger.db")).await;
    let sum = outside.count(SQL).await;
    outside.close().await;
    sum
}
