//! Prices from elsewhere: each file is read, or its fault is said with the line; what was read is written so that it reads
//! as the same; and no sum overflows.

use std::sync::LazyLock;

use jiff::civil::{Date, date};
use reprise::{
    domain::{
        catalog::Catalog,
        exchange::{Cost, NanoDollars, Tokens},
        price::{ImportError, Imported, Price, Terms, litellm, own},
    },
    report::{PriceList, prices::PriceFilter},
};
use serde_json::Value;

use super::{edit::edit, input::Input};

/// Read once: it is larger than most inputs.
static CATALOG: LazyLock<Catalog> = LazyLock::new(Catalog::builtin);

const DAY: Date = date(2026, 11, 25);

/// Eight bytes choose numbers of tokens. Then comes a file; after a zero, changes to its structure.
pub(super) fn check(data: &[u8]) {
    let (numbers, data) = data.split_at(data.len().min(8));
    let split = data.iter().position(|byte| *byte == 0);
    let (text, edits) = split.map_or((data, &[][..]), |at| (&data[..at], &data[at + 1..]));
    let Ok(text) = std::str::from_utf8(text) else { return };
    let lines = text.lines().count() + 1;
    match own(text) {
        Ok(imported) => check_prices(&imported, numbers),
        Err(ImportError::Toml { line, why }) => {
            assert!(
                (1..=lines).contains(&line) && !why.is_empty(),
                "line {line} of {lines}: {why}"
            );
        }
        Err(ImportError::Json(_) | ImportError::Empty) => {}
    }
    let Ok(mut value) = serde_json::from_str::<Value>(text) else {
        return assert!(litellm(text, DAY).is_err(), "it is no JSON");
    };
    edit(&mut value, edits);
    if let Ok(imported) = litellm(&value.to_string(), DAY) {
        check_prices(&imported, numbers);
    }
}

fn check_prices(imported: &Imported, numbers: &[u8]) {
    let Imported { prices, left_out, .. } = imported;
    assert!(!prices.is_empty() || !left_out.is_empty());
    assert!(left_out.iter().all(|left_out| !left_out.reason.to_string().is_empty()));
    let Imported { prices: news, left_out: all, .. } = imported.clone().unknown_to(&CATALOG);
    assert_eq!(
        news.len() + all.len(),
        prices.len() + left_out.len(),
        "each entry is accounted for"
    );
    if prices.is_empty() {
        return;
    }
    for price in prices {
        let json = serde_json::to_string(price).expect("a price can be written");
        assert_eq!(&serde_json::from_str::<Price>(&json).expect("and read"), price, "{json}");
    }
    let written: Vec<Value> =
        prices.iter().map(|price| serde_json::to_value(price).expect("it was written")).collect();
    let toml = toml::to_string(&serde_json::json!({"price": written})).expect("it is our format");
    assert_eq!(own(&toml).expect("our own file").prices, *prices, "{toml}");
    let catalog = CATALOG.with_prices(prices, DAY);
    let list = PriceList::of(&catalog, prices, PriceFilter::All, DAY);
    assert!(!list.to_string().is_empty());
    serde_json::to_string(&list).expect("a report is JSON");
    let tokens = tokens(numbers);
    for Price { model, dated } in prices {
        for terms in Terms::all() {
            let cost = dated.cost(&tokens, terms, catalog.search_price());
            assert!(cost >= NanoDollars(0), "{cost} for {tokens:?}");
            assert!(!terms.free || cost == NanoDollars(0));
            let more = Tokens { output: tokens.output.saturating_add(1_000), ..tokens };
            assert!(dated.cost(&more, terms, catalog.search_price()) >= cost, "more costs less");
            let (sum, sums) = (Cost::Exact(cost), Cost::AtLeast(cost));
            let _ = (sum.plus(sums).to_string(), format!("{sums:#}"), cost.floor(), cost.dollars());
            let _ = catalog.cost_on(model, &tokens, terms, dated.since).plus(sum);
        }
        let saving = dated.cache_saving(&tokens);
        let band = dated.band(tokens.prompt());
        let costs_more = [band.cache_write_5m, band.cache_write_1h, band.cache_read]
            .iter()
            .all(|price| price.picos() > band.input.picos());
        assert!(!costs_more || saving <= NanoDollars(0), "{saving} is saved at a loss");
    }
}

/// Numbers of tokens between none and all there can be.
fn tokens(numbers: &[u8]) -> Tokens {
    let mut input = Input(numbers);
    let mut number = || match input.byte() {
        byte @ ..64 => u64::from(byte),
        byte @ ..128 => u64::from(byte) * 10_007,
        byte => u64::MAX >> (byte % 64),
    };
    Tokens {
        input: number(),
        cache_write_5m: number(),
        cache_write_1h: number(),
        cache_read: number(),
        output: number(),
        thinking: number(),
        searches: number(),
    }
}
