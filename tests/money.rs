//! Golden money: every rule of prices, computed by hand and equal to the nano-dollar.
//!
//! The rules are Anthropic's price list as of 2026-11-23. One token at $1 per million costs 1,000 nano-dollars.

use jiff::civil::{Date, date};
use reprise::domain::{
    catalog::{Catalog, Terms, day_of},
    exchange::{Cost, NanoDollars, Tokens, UnixMillis},
    price,
};

const USUAL: Terms = Terms { fast: false, us_only: false, free: false };
const TODAY: Date = date(2026, 11, 25);

/// Seven counters that no two rules can mix up.
const TOKENS: Tokens = Tokens {
    input: 3,
    cache_write_5m: 7,
    cache_write_1h: 11,
    cache_read: 13,
    output: 17,
    thinking: 5,
    searches: 0,
};

fn cost(model: &str, tokens: &Tokens, terms: Terms, day: Date) -> i64 {
    match Catalog::builtin().cost_on(model, tokens, terms, day) {
        Cost::Exact(amount) => amount.0,
        other => panic!("{model} on {day}: {other:?}"),
    }
}

#[test]
fn each_kind_of_token_has_its_price() {
    let by_hand = [
        // In nano-dollars a token: input, written for 5 minutes, for an hour, read, output.
        ("claude-fable-5-2", 3 * 8_000 + 7 * 10_000 + 11 * 16_000 + 13 * 200 + 17 * 40_000),
        ("claude-mythos-5-2", 3 * 8_000 + 7 * 10_000 + 11 * 16_000 + 13 * 200 + 17 * 40_000),
        ("claude-fable-5-1", 3 * 10_000 + 7 * 12_500 + 11 * 20_000 + 13 * 250 + 17 * 50_000),
        ("claude-mythos-5-1", 3 * 10_000 + 7 * 12_500 + 11 * 20_000 + 13 * 250 + 17 * 50_000),
        ("claude-opus-5-5", 3 * 4_000 + 7 * 5_000 + 11 * 8_000 + 13 * 200 + 17 * 20_000),
        ("claude-sonnet-5-5", 3 * 2_000 + 7 * 2_500 + 11 * 4_000 + 13 * 100 + 17 * 10_000),
        ("claude-haiku-5-5", 3 * 100 + 7 * 125 + 11 * 200 + 13 * 10 + 17 * 500),
        ("claude-opus-5", 3 * 5_000 + 7 * 6_250 + 11 * 10_000 + 13 * 500 + 17 * 25_000),
        ("claude-sonnet-5", 3 * 2_000 + 7 * 2_500 + 11 * 4_000 + 13 * 200 + 17 * 10_000),
        ("claude-fable-5", 3 * 10_000 + 7 * 12_500 + 11 * 20_000 + 13 * 1_000 + 17 * 50_000),
        ("claude-mythos-5", 3 * 10_000 + 7 * 12_500 + 11 * 20_000 + 13 * 1_000 + 17 * 50_000),
        ("claude-opus-4-8", 3 * 5_000 + 7 * 6_250 + 11 * 10_000 + 13 * 500 + 17 * 25_000),
        ("claude-opus-4-7", 3 * 5_000 + 7 * 6_250 + 11 * 10_000 + 13 * 500 + 17 * 25_000),
        ("claude-opus-4-6", 3 * 5_000 + 7 * 6_250 + 11 * 10_000 + 13 * 500 + 17 * 25_000),
        ("claude-sonnet-4-6", 3 * 3_000 + 7 * 3_750 + 11 * 6_000 + 13 * 300 + 17 * 15_000),
        ("claude-opus-4-5", 3 * 5_000 + 7 * 6_250 + 11 * 10_000 + 13 * 500 + 17 * 25_000),
        ("claude-sonnet-4-5", 3 * 3_000 + 7 * 3_750 + 11 * 6_000 + 13 * 300 + 17 * 15_000),
        ("claude-haiku-4-5", 3 * 1_000 + 7 * 1_250 + 11 * 2_000 + 13 * 100 + 17 * 5_000),
    ];
    for (model, nanos) in by_hand {
        assert_eq!(cost(model, &TOKENS, USUAL, TODAY), nanos, "{model}");
    }
    assert_eq!(by_hand.len(), Catalog::builtin().models().len(), "every model is checked");
}

#[test]
fn searches_cost_a_cent_each() {
    let tokens = Tokens { searches: 3, ..TOKENS };
    let without = cost("claude-opus-5-5", &TOKENS, USUAL, TODAY);
    assert_eq!(cost("claude-opus-5-5", &tokens, USUAL, TODAY), without + 30_000_000);
}

#[test]
fn a_long_prompt_of_haiku_5_5_costs_its_band_answer_included() {
    // The cached tokens count towards the 100,000 as well.
    let tokens = |input| Tokens { input, cache_read: 50_000, output: 10, ..Tokens::default() };
    let cost = |input| cost("claude-haiku-5-5", &tokens(input), USUAL, TODAY);
    assert_eq!(cost(50_000), 50_000 * 100 + 50_000 * 10 + 10 * 500);
    assert_eq!(cost(50_001), 50_001 * 500 + 50_000 * 50 + 10 * 2_500);
    let written = Tokens { cache_write_5m: 60_000, cache_write_1h: 60_000, ..Tokens::default() };
    let all = self::cost("claude-haiku-5-5", &written, USUAL, TODAY);
    assert_eq!(all, 60_000 * 625 + 60_000 * 1_000);
}

#[test]
fn only_haiku_5_5_has_a_band_today() {
    let long = Tokens { input: 900_000, ..Tokens::default() };
    for model in Catalog::builtin().models().iter().filter(|model| model.id != "claude-haiku-5-5") {
        let one = Tokens { input: 1, ..Tokens::default() };
        let [long, one] = [long, one].map(|tokens| cost(&model.id, &tokens, USUAL, TODAY));
        assert_eq!(long, 900_000 * one, "{}", model.id);
    }
}

#[test]
fn terms_multiply_the_tokens_and_not_the_searches() {
    let tokens = Tokens { searches: 1, ..TOKENS };
    let opus = 3 * 5_000 + 7 * 6_250 + 11 * 10_000 + 13 * 500 + 17 * 25_000;
    let on =
        |fast, us_only, free| cost("claude-opus-5", &tokens, Terms { fast, us_only, free }, TODAY);
    assert_eq!(on(false, true, false), opus * 11 / 10 + 10_000_000);
    assert_eq!(on(true, false, false), opus * 2 + 10_000_000);
    assert_eq!(on(true, true, false), opus * 22 / 10 + 10_000_000);
    // A refusal without an answer shows tokens, and is not billed.
    assert_eq!(on(false, false, true), 0);
    assert_eq!(on(true, true, true), 0);
    assert_eq!(Terms::all().count(), 8);
    assert_eq!(Terms::all().next(), Some(USUAL));
}

#[test]
fn a_fraction_of_a_nano_dollar_is_rounded_once() {
    let odd = |n| Tokens { cache_write_5m: n, ..Tokens::default() };
    let us = Terms { us_only: true, ..USUAL };
    // 0.125 × 1.1 dollars per million: 137.5 nano-dollars a token.
    assert_eq!(cost("claude-haiku-5-5", &odd(1), us, TODAY), 138);
    assert_eq!(cost("claude-haiku-5-5", &odd(2), us, TODAY), 275);
    assert_eq!(cost("claude-haiku-5-5", &odd(3), us, TODAY), 413);
}

#[test]
fn history_keeps_the_price_of_its_day() {
    let read = Tokens { cache_read: 1_000, ..Tokens::default() };
    let sonnet = |day| cost("claude-sonnet-5-5", &read, USUAL, day);
    assert_eq!(sonnet(date(2026, 9, 28)), 200_000);
    assert_eq!(sonnet(date(2026, 10, 6)), 200_000);
    assert_eq!(sonnet(date(2026, 10, 7)), 100_000);
    let long = Tokens { input: 200_001, output: 2, ..Tokens::default() };
    let opus = |day| cost("claude-opus-4-6", &long, USUAL, day);
    assert_eq!(opus(date(2026, 3, 12)), 200_001 * 10_000 + 2 * 37_500);
    assert_eq!(opus(date(2026, 3, 13)), 200_001 * 5_000 + 2 * 25_000);
    let catalog = Catalog::builtin();
    let before = catalog.cost_on("claude-sonnet-5-5", &read, USUAL, date(2026, 9, 27));
    assert_eq!(before, Cost::Unpriced, "nobody knows what it would have cost");
    assert_eq!(catalog.priced_on(date(2027, 1, 1)).to_string(), catalog.prices_as_of());
    assert_eq!(catalog.priced_on(date(2026, 10, 1)), date(2026, 10, 1));
}

#[test]
fn a_day_begins_at_midnight_in_utc() {
    let day = |at| day_of(UnixMillis(at));
    assert_eq!(day(1_791_331_199_999), date(2026, 10, 6));
    assert_eq!(day(1_791_331_200_000), date(2026, 10, 7));
    assert_eq!(day(-1), date(1969, 12, 31));
}

#[test]
fn imported_prices_lie_over_the_builtin_ones() {
    let text = "
        [[price]]
        model = \"claude-sonnet-5-5\"
        since = \"2026-11-24\"
        input = 1
        output = 5
        cache_write_5m = 1.25
        cache_write_1h = 2
        cache_read = 0.05

        [[price]]
        model = \"claude-of-tomorrow\"
        since = \"2026-12-01\"
        input = 7
        output = 35
        cache_write_5m = 8.75
        cache_write_1h = 14
        cache_read = 0.35
    ";
    let prices = price::own(text).unwrap_or_else(|error| panic!("{error}")).prices;
    let catalog = Catalog::builtin().with_prices(&prices, TODAY);
    let one = Tokens { input: 1_000, ..Tokens::default() };
    let on = |model: &str, day| catalog.cost_on(model, &one, USUAL, day);
    assert_eq!(on("claude-sonnet-5-5", date(2026, 11, 23)), Cost::Exact(NanoDollars(2_000_000)));
    assert_eq!(on("claude-sonnet-5-5", date(2026, 11, 24)), Cost::Exact(NanoDollars(1_000_000)));
    assert_eq!(on("claude-of-tomorrow", TODAY), Cost::Unpriced);
    assert_eq!(on("claude-of-tomorrow", date(2026, 12, 1)), Cost::Exact(NanoDollars(7_000_000)));
    assert_eq!(catalog.prices_as_of(), "2026-11-24", "what is to come does not hold yet");
    assert_eq!(catalog.cost("claude-sonnet-5-5", &one, USUAL), Cost::Exact(NanoDollars(1_000_000)));
    assert!(!catalog.rules("claude-of-tomorrow").sampling, "it has the strictest rules");
}

#[test]
fn the_prompt_cache_saves_what_reads_spare_less_what_writes_cost_more() {
    let catalog = Catalog::builtin();
    let saved = |tokens: Tokens| catalog.cache_saving_on("claude-opus-5-5", &tokens, TODAY);
    // $4 input, $5 and $8 writes, $0.20 reads.
    let written = Tokens { cache_write_5m: 1_000, cache_write_1h: 1_000, ..Tokens::default() };
    assert_eq!(saved(written), Some(NanoDollars(-1_000 * 1_000 - 1_000 * 4_000)));
    let read = Tokens { cache_read: 1_000, ..Tokens::default() };
    assert_eq!(saved(read), Some(NanoDollars(1_000 * 3_800)));
    assert_eq!(saved(Tokens { input: 9, output: 9, ..Tokens::default() }), Some(NanoDollars(0)));
    assert_eq!(catalog.cache_saving_on("claude-of-tomorrow", &read, TODAY), None);
}
