//! Calls one by one: exported in pages, found by filters and tags; and refused ones, which count apart.

use reprise::store::{
    CallFilter,
    prune::{self, Limits, Whose},
};

use super::*;

fn everything() -> CallFilter {
    CallFilter {
        span: UnixMillis(0)..UnixMillis(i64::MAX),
        user: None,
        chat: None,
        model: None,
        task: None,
        outcome: None,
        answered_by: None,
        tags: Vec::new(),
        conditions: Vec::new(),
    }
}

fn tags(list: &str) -> Tags {
    Tags::of_header([list.as_bytes()].into_iter()).unwrap()
}

/// The numbers of the calls that an export has, in its order.
async fn exported(ledger: &Ledger, filter: &CallFilter, last: Option<u32>) -> Vec<u128> {
    let reader = ledger.reader();
    let (mut after, newest) = reader.call_bounds(filter, last).await.unwrap();
    let mut numbers = Vec::new();
    loop {
        let page = reader.call_page(filter, after, newest).await.unwrap();
        numbers.extend(page.iter().map(|call| call.id.uuid().as_u128()));
        match page.last() {
            Some(last) => after = last.seq,
            None => return numbers,
        }
    }
}

fn refused(n: u128, reason: &str, user: &str) -> CallRecord {
    CallRecord {
        user: Some(user.to_owned()),
        answered_by: AnsweredBy::Refused,
        outcome: Outcome::Refused,
        error_kind: Some(reason.to_owned()),
        status: Some(400),
        cost: Cost::Exact(NanoDollars(0)),
        ..rows::call(n, NOW, AnsweredBy::Refused, "claude")
    }
}

#[tokio::test]
async fn calls_are_exported_in_pages_each_once_and_by_filters() {
    let bench = Bench::new();
    let ledger = bench.open().await;
    let of_ann = |n: u128| n.is_multiple_of(700);
    for n in 1..=2500 {
        let user = Some(if of_ann(n) { "ann" } else { "bob" }.to_owned());
        let at = UnixMillis(NOW.0 + i64::try_from(n).unwrap());
        ledger.record(CallRecord { user, at, ..hit(n, AnsweredBy::Hit) });
    }
    settled(&ledger).await;
    let all: Vec<u128> = (1..=2500).collect();
    assert_eq!(exported(&ledger, &everything(), None).await, all);
    assert_eq!(exported(&ledger, &everything(), Some(1200)).await, all[1300..]);
    let ann = CallFilter { user: Some("ann".to_owned()), ..everything() };
    assert_eq!(exported(&ledger, &ann, None).await, [700, 1400, 2100]);
    assert_eq!(exported(&ledger, &ann, Some(2)).await, [1400, 2100]);
    let span = UnixMillis(NOW.0 + 1000)..UnixMillis(NOW.0 + 2000);
    assert_eq!(exported(&ledger, &CallFilter { span, ..ann }, None).await, [1400]);
    let others = [
        CallFilter { chat: Some("chat 2".to_owned()), ..everything() },
        CallFilter { model: Some("claude".to_owned()), ..everything() },
        CallFilter { task: Some("tags_generation".to_owned()), ..everything() },
        CallFilter { outcome: Some(Outcome::Failed), ..everything() },
        CallFilter { answered_by: Some(AnsweredBy::Miss), ..everything() },
        CallFilter { tags: vec!["a".to_owned()], ..everything() },
    ];
    for filter in others {
        assert_eq!(exported(&ledger, &filter, None).await, [0; 0], "{filter:?}");
    }
}

#[tokio::test]
async fn tags_survive_the_process_and_group_calls() {
    let bench = Bench::new();
    let ledger = bench.open().await;
    let tagged = |n, list| CallRecord { tags: tags(list), ..hit(n, AnsweredBy::Hit) };
    ledger.record(tagged(1, "team=blue,nightly"));
    ledger.record(tagged(2, "team=blue"));
    ledger.record(tagged(3, "team=bluest,teams"));
    ledger.record(hit(4, AnsweredBy::Hit));
    let lost = Opening { call: CallRecord { tags: tags("lost"), ..facts(5) }, ..opening(5, None) };
    assert_eq!(ledger.open_exchange(&Arc::new(lost)).await, Durable::Committed);
    // In the journal only: the writer never gets it.
    ledger.journal(&tagged(6, "journaled")).await;
    settled(&ledger).await;
    drop(ledger);
    bench.ended().await;
    let ledger = bench.open().await;

    let of = |tag: &str| CallFilter { tags: vec![tag.to_owned()], ..everything() };
    for (tag, expected) in [
        ("team=blue", &[1, 2][..]),
        ("team", &[1, 2, 3]),
        ("nightly", &[1]),
        ("teams", &[3]),
        ("tea", &[]),
        ("lost", &[5]),
        ("journaled", &[6]),
    ] {
        assert_eq!(exported(&ledger, &of(tag), None).await, expected, "{tag}");
    }
    let both = CallFilter { tags: vec!["team".to_owned(), "nightly".to_owned()], ..everything() };
    assert_eq!(exported(&ledger, &both, None).await, [1]);

    let (catalog, period) = (Catalog::builtin(), Period::ever(TimeZone::UTC));
    let groups = async |by: &str, tags: &[String]| {
        let by: Vec<GroupBy> = by.split(',').map(|name| GroupBy::named(name).unwrap()).collect();
        let stats = Stats::of_tagged(ledger.reader(), &catalog, &period, &by, tags).await.unwrap();
        let mut groups: Vec<(Option<String>, u64)> = stats
            .groups
            .iter()
            .map(|group| (group.of[by[0].as_str()].clone(), group.numbers.calls))
            .collect();
        groups.sort();
        (groups, stats.total.calls)
    };
    let named = |groups: &[(&str, u64)]| -> Vec<(Option<String>, u64)> {
        groups.iter().map(|(name, calls)| (Some((*name).to_owned()), *calls)).collect()
    };
    let expected = named(&[
        ("journaled", 1),
        ("lost", 1),
        ("nightly", 1),
        ("team=blue", 2),
        ("team=bluest", 1),
        ("teams", 1),
    ]);
    for _ in 0..2 {
        assert_eq!(groups("tag", &[]).await, (expected.clone(), 6));
        assert_eq!(groups("tag:team", &[]).await, (named(&[("blue", 2), ("bluest", 1)]), 6));
        let blue = ["team=blue".to_owned()];
        assert_eq!(groups("user", &blue).await, (named(&[("ann", 2)]), 2));
        let nightly = groups("tag", &["nightly".to_owned()]).await;
        assert_eq!(nightly, (named(&[("nightly", 1), ("team=blue", 1)]), 1));
        // Sums have no tags, and change none of this.
        store::roll_up(&bench.options().url, &catalog, 1).await.unwrap();
    }
    for name in ["tag:", "tags", "", "TAG"] {
        assert!(GroupBy::named(name).is_none(), "{name}");
    }
}

#[tokio::test]
async fn refused_calls_are_in_no_number_but_their_own() {
    let bench = Bench::new();
    let ledger = bench.open().await;
    ledger.record(hit(1, AnsweredBy::Hit));
    for n in 2..=4 {
        ledger.record(refused(n, "insufficient_quota", "ann"));
    }
    ledger.record(refused(5, "missing_required_parameter", "bob"));
    settled(&ledger).await;
    let counted =
        || vec![("insufficient_quota".to_owned(), 3), ("missing_required_parameter".to_owned(), 1)];
    for _ in 0..2 {
        let total = stats(&ledger).await.total;
        assert_eq!((total.calls, total.hit_rate.to_bits()), (1, 1_f64.to_bits()));
        assert_eq!(total.refused, counted().into_iter().collect());
        assert_eq!((total.errors.len(), total.answered_by.len()), (0, 1));
        assert_eq!(total.cost.nano_dollars, Some(0));
        store::roll_up(&bench.options().url, &Catalog::builtin(), 1).await.unwrap();
    }
    let of_refused = CallFilter { outcome: Some(Outcome::Refused), ..everything() };
    assert_eq!(exported(&ledger, &of_refused, None).await, [2, 3, 4, 5]);
    let sessions = ledger.reader().sessions(UnixMillis(0)).await.unwrap();
    assert_eq!(sessions.iter().map(|session| session.calls.len()).sum::<usize>(), 1);
}

#[tokio::test]
async fn counts_of_refusals_take_a_row_an_hour_whoever_holds_the_ledger() {
    let bench = Bench::new();
    let ledger = bench.open().await;
    let hour = 3_600_000;
    for n in 0..500 {
        // Another program holds the ledger: the counts wait and are written once.
        let held = if n == 250 { Some(bench.hold().await) } else { None };
        ledger.count_refusal(UnixMillis(NOW.0 - NOW.0 % hour + n % 2 * hour), "invalid_api_key");
        ledger.count_refusal(NOW, "bodies_full");
        if let Some(held) = held {
            held.close().await;
        }
    }
    settled(&ledger).await;
    assert_eq!(bench.count("select count(*) from refusal").await, 3);
    assert_eq!(bench.count("select cast(sum(count) as bigint) from refusal").await, 1000);
    let total = stats(&ledger).await.total;
    let expected = [("bodies_full".to_owned(), 500), ("invalid_api_key".to_owned(), 500)];
    assert_eq!((total.calls, total.refused), (0, expected.into()));
    let first_hour = UnixMillis(NOW.0 - NOW.0 % hour)..UnixMillis(NOW.0 + 1);
    let counts = ledger.reader().refusals(first_hour).await.unwrap();
    assert_eq!(counts, [("bodies_full".to_owned(), 500), ("invalid_api_key".to_owned(), 250)]);
    ledger.close(GRACE).await;

    // They go with the totals of their hour.
    let limits = Limits {
        whose: Whose::Everyone,
        keep_bodies: None,
        keep_totals: Some(Duration::from_hours(1)),
        max_bytes: None,
    };
    let later = UnixMillis(NOW.0 - NOW.0 % hour + 2 * hour);
    let mut watch = |_| std::ops::ControlFlow::Continue(());
    prune::run(&bench.options().url, rows::owner(99), &limits, later, &mut watch).await.unwrap();
    assert_eq!(bench.count("select cast(sum(count) as bigint) from refusal").await, 250);
}
