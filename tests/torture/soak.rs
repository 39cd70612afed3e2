//! Mixed traffic at a moderate rate, as long as `tests/torture/run --soak` says. The books of the program are those that
//! the test keeps by its own scripts; memory and descriptors stay flat.

use std::{
    env,
    fmt::Write,
    future::pending,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    clients::{descriptors, memory, threads},
    invariant,
    rounds::{Chance, Rounds},
    traffic::{self, Order, Ticks},
    world::World,
};
use crate::support::{
    app::MODEL,
    script::Script,
    sse::{Answer, Tokens},
};

/// Time between two looks at the process.
const LOOK: Duration = Duration::from_secs(10);
/// Requests at once, and the time from one such group to the next.
const CLIENTS: usize = 8;
const PACE: Duration = Duration::from_millis(200);

/// Nano-dollars a token, of the model that is asked.
const INPUT: u64 = 1_000;
const OUTPUT: u64 = 5_000;
const CACHE_WRITE: u64 = 1_250;
const CACHE_READ: u64 = 100;

/// What the scripts of a test amount to.
#[derive(Debug, Default)]
struct Books {
    calls: u64,
    input: u64,
    output: u64,
    cache_write: u64,
    cache_read: u64,
    nano_dollars: u64,
}

impl Books {
    /// A new question, and its answer with tokens by chance.
    fn order(&mut self, chance: &mut Chance) -> Order {
        let mut up_to = |end: usize| chance.below(end) as u64;
        let tokens = Tokens {
            input: 1 + up_to(3_000),
            cache_write_5m: up_to(2_000),
            cache_read: up_to(50_000),
            output: 1 + up_to(900),
            ..Tokens::default()
        };
        self.calls += 1;
        self.input += tokens.input;
        self.output += tokens.output;
        self.cache_write += tokens.cache_write_5m;
        self.cache_read += tokens.cache_read;
        self.nano_dollars += tokens.input * INPUT
            + tokens.output * OUTPUT
            + tokens.cache_write_5m * CACHE_WRITE
            + tokens.cache_read * CACHE_READ;
        let order = traffic::plain(chance);
        let words: Vec<String> = (0..chance.below(40)).map(|_| chance.word()).collect();
        let parts = [order.marker.as_str()].into_iter().chain(words.iter().map(String::as_str));
        let parts: Vec<&str> = parts.collect();
        let whole = Script::sse(Answer::counting(MODEL, tokens).text(&parts).stop("end_turn"));
        let overloaded = Script::error(529, "overloaded_error", "too much");
        let overloaded = overloaded.header("retry-after-ms", "0");
        if chance.one_in(10) { order.by([overloaded, whole]) } else { order.by([whole]) }
    }

    /// They are those of `reprise stats`.
    fn compare(&self, stats: &Value, upstream: u64) {
        let total = &stats["total"];
        let told = (
            &total["tokens"]["input"],
            &total["tokens"]["output"],
            &total["tokens"]["cache_write_5m"],
            &total["tokens"]["cache_read"],
        );
        let ours = (
            &Value::from(self.input),
            &Value::from(self.output),
            &Value::from(self.cache_write),
            &Value::from(self.cache_read),
        );
        assert_eq!(told, ours, "tokens");
        assert_eq!(total["cost"]["nano_dollars"], self.nano_dollars, "{}", total["cost"]);
        assert_eq!(total["cost"]["at_least"], 0);
        assert_eq!(total["answered_by"]["miss"], self.calls);
        assert_eq!(total["upstream_requests"], upstream);
    }
}

/// The process at one moment.
#[derive(Debug, Clone, Copy)]
struct Look {
    memory: usize,
    descriptors: usize,
    threads: usize,
}

#[tokio::test]
async fn the_books_are_equal_and_memory_stays_flat() {
    let minutes = env::var("REPRISE_TORTURE_SOAK").ok().and_then(|text| text.parse::<f64>().ok());
    let time = minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0));
    let mut rounds = Rounds::new("soak", 1);
    let chance = &mut rounds.chance.clone();
    rounds.next();
    let mut world = World::new(chance).await;
    let binary = world.start().await;
    let url = binary.url().to_owned();
    let (mut books, mut repeats, mut looks) = (Books::default(), 0, Vec::new());
    let (began, mut groups) = (Instant::now(), 0);
    let mut pace = tokio::time::interval(PACE);
    let goes_on = |groups: usize| match time {
        Some(time) => began.elapsed() < time,
        None => groups < 10,
    };
    while goes_on(groups) {
        if time.is_some() {
            pace.tick().await;
        }
        let mut orders: Vec<Order> = (0..CLIENTS).map(|_| books.order(chance)).collect();
        // What was asked lately is asked again.
        let asked = world.seen.iter().rev().take(200).filter(|seen| seen.is_kept());
        let asked: Vec<&Order> = asked.map(|seen| &seen.order).collect();
        if !asked.is_empty() {
            let again = (0..CLIENTS / 4).map(|_| (*chance.pick(&asked)).clone());
            orders.extend(again.collect::<Vec<_>>());
        }
        repeats += orders.len() - CLIENTS;
        let count = orders.len();
        let seen = world.traffic(&url, orders, &Ticks::default(), pending()).await;
        assert_eq!(seen, count, "answers are missing");
        groups += 1;
        if time.is_some() && began.elapsed() >= LOOK * u32::try_from(looks.len()).expect("few") {
            looks.push(Look {
                memory: memory(&binary),
                descriptors: descriptors(&binary),
                threads: threads(&binary),
            });
        }
    }
    world.until_ready(&binary).await;
    let output = world.run(Some(&url), &["stats", "--json"]).await;
    let stats: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    books.compare(&stats, world.upstream.messages() as u64);
    assert_eq!(stats["total"]["answered_by"]["hit"], repeats);
    world.stop(binary).await;
    invariant::check(&mut world, &mut rounds.tally).await;
    rounds.tally.more = format!("{} calls, {repeats} repeats", books.calls);
    if looks.len() >= 6 {
        rounds.tally.more += &flat(&looks);
    }
}

/// Memory of the last third is that of the middle third, within a tenth; descriptors and threads too.
fn flat(looks: &[Look]) -> String {
    let third = looks.len() / 3;
    let (middle, last) = (&looks[third..2 * third], &looks[2 * third..]);
    let mean =
        |looks: &[Look], of: fn(&Look) -> usize| looks.iter().map(of).sum::<usize>() / looks.len();
    let mut told = String::new();
    for (name, of, slack) in [
        ("memory KiB", (|look| look.memory) as fn(&Look) -> usize, 0),
        ("descriptors", |look| look.descriptors, 4),
        ("threads", |look| look.threads, 2),
    ] {
        let (before, after) = (mean(middle, of), mean(last, of));
        assert!(after <= before + before / 10 + slack, "{name}: {before}, then {after}: {looks:?}");
        let _ = write!(told, "; {name} {before}, then {after}");
    }
    told
}
