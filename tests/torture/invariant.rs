//! What must hold after every round, whatever was done to the program.

use std::collections::{HashMap, HashSet};

use memchr::memmem;

use super::{rounds::Tally, traffic::text_of, world::World};
use crate::support::ledger::Ledger;

/// An answer with an event that cannot be read, and then its end, is an error to its client and complete in the ledger,
/// from where it is served again. To be false as soon as it is not.
const UNREADABLE_IS_COMPLETE: bool = true;

/// Most requests of one exchange: the first, and two more.
const MOST_TRIES: i64 = 3;

/// An exchange, as far as this is about it.
type Exchange = (String, String, i64, Option<Vec<u8>>);

/// Checks all of it: the books, what clients saw, the file, the keys. Nothing may be under way.
pub(super) async fn check(world: &mut World, tally: &mut Tally) {
    let ledger = world.ledger();
    for problem in ["pragma integrity_check", "select \"table\" from pragma_foreign_key_check"] {
        let found: Vec<(String,)> = ledger.rows(problem).await;
        let is_sound = found.is_empty() || (found.len() == 1 && found[0].0 == "ok");
        assert!(is_sound, "{problem}: {found:?}");
    }
    let lost = books_are_equal(world).await;
    seen_is_kept(world).await;
    no_key_is_told(world).await;

    let counted = (world.seen.len(), lost, world.upstream.messages());
    let before = std::mem::replace(&mut world.counted, counted);
    tally.seen += counted.0 - before.0;
    tally.lost += counted.1 - before.1;
    tally.tries += counted.2 - before.2;
    tally.checks += 1;
}

/// Upstream's own count of requests is that of the ledger. Returns the number of lost exchanges.
async fn books_are_equal(world: &World) -> usize {
    const ENDED: &str =
        "select count(*), coalesce(sum(tries), 0) from exchange where outcome <> 'lost'";
    const LOST: &str =
        "select count(*), coalesce(sum(tries), 0) from exchange where outcome = 'lost'";
    const LEFT: &str = "select count(*), coalesce(sum(tries), 0) from exchange \
         where outcome = 'stopped' and status is null and tries > 0";
    let ledger = world.ledger();
    let (_, ended): (i64, i64) = ledger.rows(ENDED).await[0];
    let (lost, of_lost): (i64, i64) = ledger.rows(LOST).await[0];
    let (left, _): (i64, i64) = ledger.rows(LEFT).await[0];
    let begun = ledger.begun().await.len();
    let journaled = uncommitted(&ledger).await.len();
    let seen = i64::try_from(world.upstream.messages()).expect("a count");
    let books = format!(
        "upstream {seen}, ended {ended}, lost {lost} ({of_lost}), left {left}, begun {begun}, journaled {journaled}"
    );
    if world.is_killed() {
        // How often they were sent stands in the journal until the next start.
        let open = lost + i64::try_from(begun + journaled).expect("a count");
        assert!(ended <= seen + left && seen <= ended + MOST_TRIES * open, "{books}");
    } else {
        // Each try was written down before it was made, so the last may never have arrived: of a lost exchange, and of
        // one whose client left before upstream responded.
        assert_eq!((begun, journaled), (0, 0), "{books}");
        let counted = ended + of_lost;
        assert!(seen <= counted && counted <= seen + lost + left, "{books}");
    }
    usize::try_from(lost).expect("a count")
}

/// Exchanges that have ended and stand in the journal only.
async fn uncommitted(ledger: &Ledger) -> HashSet<String> {
    let mut journaled: HashSet<String> = ledger.journaled("sealing").into_iter().collect();
    let committed = ledger.column("select id from exchange").await;
    journaled.retain(|exchange| !committed.contains(exchange));
    journaled
}

/// Each answer whose end a client saw is in the ledger, as the client saw it; and so is its call.
async fn seen_is_kept(world: &World) {
    let ledger = world.ledger();
    let exchanges: Vec<Exchange> =
        ledger.rows("select id, outcome, tries, recording from exchange").await;
    let exchanges: HashMap<&str, &Exchange> =
        exchanges.iter().map(|exchange| (exchange.0.as_str(), exchange)).collect();
    let calls: Vec<(String, Option<String>, String)> =
        ledger.rows("select id, exchange, answered_by from call").await;
    let mut left: HashMap<(&str, &str), usize> = HashMap::new();
    let mut ids = HashSet::new();
    for (id, exchange, how) in &calls {
        assert!(ids.insert(id.replace('-', "")), "two calls are {id}");
        *left.entry((exchange.as_deref().unwrap_or_default(), how)).or_default() += 1;
    }
    let uncommitted = uncommitted(&ledger).await;
    // Errors do not say how they were answered: theirs are the calls that are left by all others.
    let (unsaid, said): (Vec<_>, Vec<_>) = world.seen.iter().partition(|seen| seen.how.is_empty());
    for seen in said.into_iter().chain(unsaid) {
        let marker = &seen.order.marker;
        // Until the next start, of which all of this must hold.
        if world.is_killed() && uncommitted.contains(&seen.exchange) {
            continue;
        }
        let Some((_, outcome, tries, recording)) = exchanges.get(&*seen.exchange) else {
            panic!("the exchange of {marker} is not in the ledger: {seen:?}");
        };
        assert!(*tries >= 1, "{marker} was never sent");
        match &seen.text {
            None if UNREADABLE_IS_COMPLETE && seen.order.accepts_any_text() => {}
            // The server was told to end, and told the client so.
            None => {
                assert!(matches!(&**outcome, "failed" | "cut" | "stopped"), "{outcome}: {seen:?}");
            }
            Some(text) => {
                assert_eq!(outcome, "complete", "{seen:?}");
                match recording {
                    Some(recording) => assert_eq!(text_of(&unpack(recording)), *text, "{marker}"),
                    None => assert!(!seen.is_kept(), "nothing is kept of {marker}"),
                }
            }
        }
        // Calls that reuse an answer stand in the journal until the next start.
        if world.is_killed() && seen.how != "miss" {
            continue;
        }
        if let Some(id) = &seen.call {
            assert!(ids.contains(id), "the call of {marker} is missing: {seen:?}");
        }
        let is_its = |(exchange, how): (&str, &str)| {
            exchange == seen.exchange && (seen.how.is_empty() || how == seen.how)
        };
        let left = left.iter_mut().find(|(call, left)| is_its(**call) && **left > 0);
        let (_, left) = left.unwrap_or_else(|| panic!("a call of {marker} is missing: {seen:?}"));
        *left -= 1;
    }
}

/// None of the keys stands in the folder of the ledger, in a body, or in what was told to anyone.
pub(super) async fn no_key_is_told(world: &World) {
    let ledger = world.ledger();
    let bodies = ledger.bodies().await;
    let keys = [&world.keys.client, &world.keys.operator, &world.keys.anthropic];
    for (place, bytes) in
        [("the folder", &ledger.bytes().await), ("a body", &bodies), ("an answer", &world.told)]
    {
        for key in keys {
            let found = memmem::find(bytes, key.as_bytes());
            assert!(found.is_none(), "{key} stands in {place}");
        }
    }
}

fn unpack(packed: &[u8]) -> Vec<u8> {
    match packed {
        [0x28, 0xB5, 0x2F, 0xFD, ..] => zstd::decode_all(packed).expect("zstd"),
        plain => plain.to_vec(),
    }
}
