//! Prices that are found, learnt late and corrected: each cost in the ledger is the one that it would have if today's
//! prices of its day had been known at once, and all reports agree.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, too")]

mod ledger;

use std::time::Duration;

use jiff::civil::{Date, date};
use reprise::domain::{
    catalog::{Catalog, Terms},
    exchange::{Cost, NanoDollars, Tokens},
    price::{self, Bill, Omission, Price},
};

const TODAY: Date = date(2026, 11, 25);

fn tokens(input: u64, output: u64) -> Tokens {
    Tokens { input, output, ..Tokens::default() }
}

/// A price of this many dollars, and five times as much for the answer.
fn price(model: &str, since: Date, input: f64) -> Price {
    let text = format!(
        "[[price]]\nmodel = \"{model}\"\nsince = \"{since}\"\ninput = {input}\noutput = {}\n\
         cache_write_5m = {}\ncache_write_1h = {}\ncache_read = {}\n",
        input * 5.0,
        input * 1.25,
        input * 2.0,
        input / 10.0
    );
    price::own(&text).unwrap().prices.remove(0)
}

#[test]
fn a_snapshot_has_the_price_of_its_model_and_a_stranger_that_of_the_model_asked() {
    let catalog = Catalog::builtin();
    for (served, asked, priced_as) in [
        ("claude-sonnet-5-5", "claude-opus-5-5", Some(("claude-sonnet-5-5", false))),
        ("claude-haiku-4-5", "m", Some(("claude-haiku-4-5-20251001", false))),
        ("claude-sonnet-5-5-20260928", "claude-opus-5-5", Some(("claude-sonnet-5-5", true))),
        ("claude-sonnet-5-5@20260928", "m", Some(("claude-sonnet-5-5", true))),
        ("anthropic/claude-sonnet-5.5", "m", Some(("claude-sonnet-5-5", true))),
        ("anthropic/claude-sonnet-5.5-20260928", "m", Some(("claude-sonnet-5-5", true))),
        ("claude-haiku-4-5-20270101", "m", Some(("claude-haiku-4-5-20251001", true))),
        ("claude-of-tomorrow", "claude-opus-5-5", Some(("claude-opus-5-5", true))),
        ("claude-of-tomorrow", "claude-opus-5-5-20260922", Some(("claude-opus-5-5", true))),
        ("claude-of-tomorrow-20270101", "claude-of-tomorrow", None),
        ("claude-sonnet-5-5-2026092", "m", None),
        ("claude-sonnet-5-5-latest2", "m", None),
        ("20260928", "\u{e9}0260928", None),
        ("", "", None),
    ] {
        let found = catalog.price_for(served, asked, TODAY);
        let expected = priced_as
            .map(|(id, is_other)| (catalog.price_on(id, TODAY).unwrap(), is_other.then_some(id)));
        let found = found.map(|found| (found.dated, found.priced_as));
        assert_eq!(found, expected, "{served} for {asked}");
    }
    // A price of its own comes first, once it holds.
    let own = price("claude-sonnet-5-5-20260928", date(2026, 11, 20), 7.0);
    let catalog = catalog.with_prices(&[own], TODAY);
    let priced_as =
        |day| catalog.price_for("claude-sonnet-5-5-20260928", "m", day).unwrap().priced_as;
    assert_eq!(priced_as(date(2026, 11, 19)), Some("claude-sonnet-5-5"));
    assert_eq!(priced_as(date(2026, 11, 20)), None);
}

#[test]
fn budgets_take_nothing_for_free() {
    let catalog = Catalog::builtin();
    let million = tokens(1_000_000, 1_000_000);
    let bill = Bill::of("claude-of-tomorrow", million, Terms::default());
    let charge = catalog.charge(&bill, "claude-of-tomorrow", TODAY);
    assert_eq!(charge.cost, Cost::Unpriced, "the books have no estimates");
    // Fable 5.1: $10 and $50.
    assert_eq!(charge.pricing.estimate, Some(NanoDollars(60_000_000_000)));
    assert_eq!(charge.with_estimate(), Cost::AtLeast(NanoDollars(60_000_000_000)));
    let mut both = Bill::of("claude-opus-5-5", million, Terms::default());
    both.add(bill);
    let charge = catalog.charge(&both, "claude-of-tomorrow", TODAY);
    assert_eq!(charge.cost, Cost::AtLeast(NanoDollars(24_000_000_000)));
    assert_eq!(charge.with_estimate(), Cost::AtLeast(NanoDollars(84_000_000_000)));
    // Before all prices it counts with the first ones.
    let long_ago = catalog.charge(&both, "m", date(2020, 1, 1));
    assert!(long_ago.pricing.estimate.unwrap() > NanoDollars(84_000_000_000), "{long_ago:?}");
}

#[test]
fn the_day_of_a_price_that_began_while_the_server_ran_is_its_own() {
    let later = price("claude-opus-5-5", date(2026, 12, 1), 9.0);
    let catalog = Catalog::builtin().with_prices(&[later], TODAY);
    for day in [TODAY, date(2026, 12, 1), date(2026, 12, 2)] {
        let on = catalog.priced_on(day);
        let [cost, again] = [day, on]
            .map(|day| catalog.cost_on("claude-opus-5-5", &tokens(1, 1), Terms::default(), day));
        assert_eq!(cost, again, "{day} has the price of {on}");
    }
}

#[test]
fn an_import_says_why_it_leaves_an_entry_out() {
    let catalog = Catalog::builtin();
    let reasons = |imported: price::Imported| {
        let Omission { model, reason } = imported.left_out.into_iter().next().unwrap();
        (model, reason.to_string())
    };
    let entry = |model: &str, since: &str, input: &str| {
        format!(
            "[[price]]\nmodel = \"{model}\"\nsince = \"{since}\"\ninput = {input}\noutput = 10\n\
             cache_write_5m = 2.5\ncache_write_1h = 4\ncache_read = 0.1\n"
        )
    };
    let own = |text: &str| price::own(text).unwrap().unknown_to(&catalog);
    let dearer = entry("claude-sonnet-5-5", "2026-12-01", "3");
    let same = entry("claude-sonnet-5.5", "2026-12-02", "2");
    assert_eq!(
        reasons(own(&same)),
        ("claude-sonnet-5.5".to_owned(), "the same price is known for 2026-12-02".to_owned())
    );
    // After another price, the price of today is news; the order of the file is not that of the days.
    let back = own(&format!("{same}{dearer}"));
    let names: Vec<_> =
        back.prices.iter().map(|price| (&*price.model, price.dated.since)).collect();
    let sonnet = "claude-sonnet-5-5";
    assert_eq!(names, [(sonnet, date(2026, 12, 2)), (sonnet, date(2026, 12, 1))]);
    assert_eq!(back.left_out, []);
    let twice = own(&format!("{}{dearer}", entry("claude-sonnet-5.5", "2026-12-01", "4")));
    assert_eq!(twice.prices.len(), 1);
    assert_eq!(twice.prices[0].dated.prices.input.picos(), 3_000_000);
    assert_eq!(reasons(twice).1, "a later entry has another price from 2026-12-01 on");
    assert_eq!(reasons(own(&entry(" ", "2026-12-01", "3"))).1, "no model is named");

    let litellm = |fields: &str| {
        let text = format!("{{\"m\": {{\"litellm_provider\": \"anthropic\"{fields}}}}}");
        price::litellm(&text, TODAY).unwrap()
    };
    let prices =
        ["input_cost_per_token", "output_cost_per_token", "cache_creation_input_token_cost"];
    for (fields, why) in [
        (String::new(), "no input_cost_per_token"),
        (format!(", \"{}\": null", prices[0]), "no input_cost_per_token"),
        (format!(", \"{}\": \"1e-6\"", prices[0]), "input_cost_per_token is not a price"),
        (format!(", \"{}\": -1e-6", prices[0]), "input_cost_per_token is not a price"),
        (
            format!(", \"{}\": 1e-6, \"{}\": 3", prices[0], prices[1]),
            "output_cost_per_token is not a price",
        ),
        (
            format!(", \"{}\": 1e-6, \"{}\": 5e-6", prices[0], prices[1]),
            "no cache_creation_input_token_cost",
        ),
    ] {
        assert_eq!(reasons(litellm(&fields)).1, why);
    }
}

/// Savings of a repeat, by hand: Opus 5.5 has $4 input, $5 and $8 writes, $0.20 reads, $20 answers.
#[test]
fn a_repeat_saves_what_asking_again_would_cost() {
    let [none, w5, w1h, read] = [[0, 0, 0], [1_000, 0, 0], [0, 1_000, 0], [0, 0, 1_000]];
    let mixed = [100, 200, 300];
    let usual = Terms::default();
    let fast = Terms { fast: true, ..usual };
    let answer = 10 * 4_000 + 2 * 20_000;
    let minutes = |minutes| Duration::from_mins(minutes);
    for (case, [cache_write_5m, cache_write_1h, cache_read], terms, age, cached) in [
        ("nothing cached", none, usual, minutes(0), 0),
        ("written for 5 minutes, at once", w5, usual, minutes(0), 1_000 * 200),
        (
            "written for 5 minutes, just before",
            w5,
            usual,
            Duration::from_millis(299_999),
            1_000 * 200,
        ),
        ("written for 5 minutes, after", w5, usual, minutes(5), 1_000 * 5_000),
        ("written for an hour, within", w1h, usual, minutes(59), 1_000 * 200),
        ("written for an hour, after", w1h, usual, minutes(60), 1_000 * 8_000),
        ("read, at once", read, usual, minutes(0), 1_000 * 200),
        ("read, much later", read, usual, minutes(6_000), 1_000 * 200),
        ("mixed, within 5 minutes", mixed, usual, minutes(1), 600 * 200),
        ("mixed, within the hour", mixed, usual, minutes(6), 100 * 5_000 + 500 * 200),
        ("mixed, after", mixed, usual, minutes(60), 100 * 5_000 + 200 * 8_000 + 300 * 200),
        ("on other terms", w5, fast, minutes(1), answer + 2 * 1_000 * 200),
    ] {
        let catalog = Catalog::builtin();
        let tokens = Tokens { cache_write_5m, cache_write_1h, cache_read, ..tokens(10, 2) };
        let bill = Bill::of("claude-opus-5-5", tokens, terms);
        let again = |bill: &Bill| {
            let cost = catalog.charge(bill, "m", TODAY).cost;
            catalog.cost_again(cost, bill, "m", TODAY, age)
        };
        let expected = NanoDollars(answer + cached);
        assert_eq!(again(&bill), Cost::Exact(expected), "{case}");
        assert_eq!(again(&bill.clone().at_least()), Cost::AtLeast(expected), "{case}, at least");
        let twice = Bill { parts: [&bill.parts[..]; 2].concat(), ..bill };
        assert_eq!(again(&twice), Cost::Exact(NanoDollars(2 * expected.0)), "{case}, two parts");
        let unpriced = Bill::of("a stranger", tokens, terms);
        assert_eq!(again(&unpriced), Cost::Unpriced, "{case}, unpriced");
        let unbilled = Bill { parts: Vec::new(), is_bound: false };
        assert_eq!(again(&unbilled), Cost::Exact(NanoDollars(0)), "{case}, never billed");
    }
}
