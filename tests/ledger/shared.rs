//! Several answers to one key in a scope that users share: from memory and from the file, whoever asked, whatever the
//! clock said.

use std::{collections::BTreeMap, time::Duration};

use reprise::{
    domain::cache::{
        CacheDirectives, CallKind, Facts, Policy, PriorAsk, Requester, Reuse, SharedCall, Sharing,
    },
    store::Stored,
};

use super::*;

const HOUR: i64 = 3_600_000;

fn policy() -> Policy {
    Policy {
        reuse: Reuse::All,
        sharing: Sharing::Shared,
        ttl: Duration::from_hours(100),
        task_ttl: BTreeMap::new(),
        web_ttl: None,
        no_store_users: [].into(),
    }
}

fn requester(name: &str) -> Requester {
    match name {
        "" => Requester::Nobody,
        chat if chat.starts_with("chat") => Requester::Chat(chat.to_owned()),
        user => Requester::User(user.to_owned()),
    }
}

fn call<'a>(name: &str, at: UnixMillis, policy: &'a Policy) -> SharedCall<'a> {
    let facts = Facts {
        at,
        directives: CacheDirectives::default(),
        kind: CallKind::Chat(PriorAsk::Never),
        temporary: false,
        no_store_user: false,
        external_data: false,
        running: false,
        stored: None,
    };
    SharedCall { requester: requester(name), facts, policy }
}

/// Seals the answer `n` to key 1, which this requester asked for and which ended so many hours from now.
async fn answer(ledger: &Ledger, n: u128, name: &str, hours: i64) {
    let at = UnixMillis(NOW.0 + hours * HOUR);
    let (user, chat) = match requester(name) {
        Requester::User(user) => (Some(user), Some(format!("chat of {n}"))),
        Requester::Chat(chat) => (None, Some(chat)),
        Requester::Nobody => (None, None),
    };
    let call = CallRecord { at, user, chat, key: key(1), ..facts(n) };
    exchange(ledger, rows::opening(n, call), sealing("an answer", at.0)).await;
}

/// The answer that the requester gets so many hours from now, by its number; from memory and from the file it is the same.
async fn found(ledger: &Ledger, name: &str, hours: i64) -> Option<u128> {
    let (policy, now) = (policy(), UnixMillis(NOW.0 + hours * HOUR));
    let call = call(name, now, &policy);
    let number = |found: Option<Stored>| found.map(|found| found.exchange.uuid().as_u128());
    let first = number(ledger.find_among(&key(1), now, Some(&call)).await.unwrap());
    let again = number(ledger.find_among(&key(1), now, Some(&call)).await.unwrap());
    assert_eq!(first, again, "{name} after {hours} hours");
    first
}

#[tokio::test]
async fn an_answer_asked_anew_is_for_those_who_asked() {
    let bench = Bench::new();
    let mut ledger = bench.open().await;
    for round in ["from memory, too", "from the file"] {
        for (n, name, hours) in
            [(1, "ann", -90), (2, "bob", -50), (3, "bob", -40), (4, "chat 1", -30), (5, "", -20)]
        {
            if round == "from memory, too" {
                assert_eq!(found(&ledger, "cid", 0).await, (n > 1).then_some(1), "before {n}");
                answer(&ledger, n, name, hours).await;
                assert_eq!(found(&ledger, name, 0).await, Some(n), "{name}'s own");
                assert_eq!(found(&ledger, "cid", 0).await, Some(1), "after {n}");
            }
        }
        for (name, hours, expected) in [
            ("ann", 0, 1),
            ("bob", 0, 3),
            ("cid", 0, 1),
            ("chat 1", 0, 4),
            ("chat 2", 0, 1),
            ("", 0, 5),
            // The first is too old by now.
            ("ann", 11, 2),
            ("cid", 11, 2),
            ("cid", 51, 3),
            ("bob", 61, 4),
            // All are: the newest tells it.
            ("cid", 99, 5),
        ] {
            assert_eq!(
                found(&ledger, name, hours).await,
                Some(expected),
                "{name}, {hours}, {round}"
            );
        }
        ledger.close(GRACE).await;
        ledger = bench.open().await;
    }
    ledger.clear(store::Clearing::default()).await;
    assert_eq!(found(&ledger, "ann", 0).await, None);
}

/// Of an answer whose time is ahead, calls that were committed later prove an age; else it is older than any limit.
#[tokio::test]
async fn a_clock_that_was_ahead_lets_others_repeat_what_is_known() {
    let bench = Bench::new();
    let ledger = bench.open().await;
    answer(&ledger, 1, "ann", -5).await;
    answer(&ledger, 2, "bob", 1_000).await;
    // Only what is not ahead is known to be fresh.
    for name in ["ann", "bob", "cid"] {
        assert_eq!(found(&ledger, name, 0).await, Some(1), "{name}");
    }
    let later = CallRecord { at: UnixMillis(NOW.0 - HOUR), key: key(9), ..hit(3, AnsweredBy::Hit) };
    ledger.record(CallRecord { client_chain: None, ..later });
    settled(&ledger).await;
    for (name, expected) in [("ann", 1), ("bob", 2), ("cid", 1)] {
        assert_eq!(found(&ledger, name, 0).await, Some(expected), "{name}");
    }
    assert_eq!(found(&ledger, "bob", 98).await, Some(2), "as old as that call");
    ledger.close(GRACE).await;
}

/// An answer that is not committed yet is the only one there is.
#[tokio::test]
async fn an_answer_that_waits_for_its_commit_is_for_all() {
    let bench = Bench::new();
    let ledger =
        bench.open_with(&Options { wait: Duration::ZERO, ..bench.options() }).await.unwrap();
    let outside = bench.hold().await;
    let call = CallRecord { key: key(1), ..facts(1) };
    let opening = Arc::new(rows::opening(1, call));
    assert_eq!(ledger.open_exchange(&opening).await, Durable::Late);
    assert_eq!(seal(&ledger, &opening, sealing("an answer", NOW.0)).await, Durable::Late);
    for name in ["ann", "bob", "chat 1"] {
        assert_eq!(found(&ledger, name, 1).await, Some(1), "{name}");
    }
    outside.close().await;
    settled(&ledger).await;
    assert_eq!(found(&ledger, "bob", 1).await, Some(1));
    ledger.close(GRACE).await;
}
