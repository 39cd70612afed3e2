//! Budgets, as pure decisions and as books that are kept.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use jiff::{Timestamp, tz::TimeZone};
use reprise::{
    domain::{
        budget::{Admission, Budget, BudgetRefusal, Budgets, Estimate, Spender, Spending, Spent},
        exchange::{Cost, NanoDollars, UnixMillis},
        user_name::UserNames,
    },
    report::BudgetList,
};

fn budget(toml: &str) -> Budget {
    toml::from_str(toml).unwrap()
}

fn at(text: &str) -> UnixMillis {
    UnixMillis(text.parse::<Timestamp>().unwrap().as_millisecond())
}

fn books(zone: &str, now: &str, budgets: &[&str]) -> Spending {
    let list = budgets.iter().copied().map(budget).collect();
    Spending::new(Budgets { list, zone: TimeZone::get(zone).unwrap() }, at(now))
}

fn by(user: Option<&str>) -> Spender<'_> {
    Spender { user, key: None, model: "m" }
}

fn cents(cents: i64) -> Spent {
    Cost::Exact(NanoDollars(cents * 10_000_000)).into()
}

/// What a user is told at this moment, who asks a model with a price.
fn told(books: &mut Spending, now: &str, user: Option<&str>) -> String {
    match books
        .admit(at(now), by(user), Some(Estimate::of(NanoDollars(0))))
        .map(|admitted| admitted.notice)
    {
        Ok(None) => "fine".to_owned(),
        Ok(Some(notice)) => format!("warned: {notice}"),
        Err(refusal) => refusal.to_string(),
    }
}

const NOON: &str = "2026-11-25T12:00:00Z";

#[test]
fn a_budget_warns_and_then_is_spent() {
    let mut books = books("Europe/Berlin", NOON, &["limit = 5\nper = \"day\""]);
    let cases = [
        (0, "fine"),
        (399, "fine"),
        (1, "warned: the budget of $5.00 a day"),
        (99, "warned: the budget of $5.00 a day"),
        (
            2,
            "the budget of $5.00 a day is spent ($5.01): no request goes to Claude before 2026-11-26 00:00 \
             (Europe/Berlin); answers in the ledger are still served",
        ),
    ];
    for (more, says) in cases {
        books.record(at(NOON), by(None), cents(more));
        assert_eq!(told(&mut books, NOON, Some("ann")), says, "{more} cents more");
    }
}

#[test]
fn it_begins_again_at_midnight_where_the_operator_says() {
    let day = "limit = 1\nper = \"day\"";
    for (zone, before, after) in [
        ("UTC", "2026-11-25T23:59:59.999Z", "2026-11-26T00:00:00Z"),
        ("Asia/Kolkata", "2026-11-25T18:29:59.999Z", "2026-11-25T18:30:00Z"),
        ("America/New_York", "2026-11-26T04:59:59.999Z", "2026-11-26T05:00:00Z"),
    ] {
        let mut books = books(zone, NOON, &[day, "limit = 100\nper = \"month\""]);
        books.record(at(NOON), by(None), cents(100));
        assert!(told(&mut books, before, None).contains("is spent"), "{zone}");
        // One that came in yesterday and ends today is yesterday's, as in all reports.
        assert_eq!(told(&mut books, after, None), "fine", "{zone}");
        books.record(at(before), by(None), cents(100));
        assert_eq!(told(&mut books, after, None), "fine", "{zone}");
        let month: Vec<_> = books.statuses().map(|standing| standing.spent).collect();
        assert_eq!(month, [cents(0), cents(200)], "{zone}");
    }
    let mut books = books("UTC", NOON, &["limit = 1\nper = \"month\""]);
    books.record(at(NOON), by(None), cents(100));
    assert!(told(&mut books, "2026-11-30T23:59:59Z", None).contains("2026-12-01 00:00 (UTC)"));
    assert_eq!(told(&mut books, "2026-12-01T00:00:00Z", None), "fine");
}

#[test]
fn each_user_has_an_own_one_and_who_says_no_name_shares() {
    let each = "limit = 1\nper = \"day\"\nuser = \"*\"\nwarn_at = 1";
    let ann = "limit = 2\nper = \"day\"\nuser = \"ann\"\nwarn_at = 0.5";
    let mut two = books("UTC", NOON, &[ann]);
    two.record(at(NOON), by(Some("bob")), cents(500));
    two.record(at(NOON), by(None), cents(500));
    assert_eq!(told(&mut two, NOON, Some("ann")), "fine");
    two.record(at(NOON), by(Some("ann")), cents(100));
    assert_eq!(told(&mut two, NOON, Some("ann")), "warned: your budget of $2.00 a day");
    assert_eq!(told(&mut two, NOON, Some("bob")), "fine");

    let mut books = books("UTC", NOON, &[each]);
    books.record(at(NOON), by(Some("ann")), cents(100));
    books.record(at(NOON), by(None), cents(50));
    let spent = "your budget of $1.00 a day is spent ($1.00)";
    assert!(told(&mut books, NOON, Some("ann")).starts_with(spent));
    assert_eq!(told(&mut books, NOON, Some("bob")), "fine");
    assert_eq!(told(&mut books, NOON, None), "fine");
    books.record(at(NOON), by(None), cents(50));
    assert!(told(&mut books, NOON, None).starts_with(spent));
    let users: Vec<_> = books.statuses().map(|standing| standing.user.map(str::to_owned)).collect();
    assert_eq!(users, [None, Some("ann".to_owned())]);
}

#[test]
fn weeks_and_months_begin_on_the_day_that_the_operator_says() {
    for (more, before, after) in [
        ("per = \"week\"", "2026-11-29T23:59:59Z", "2026-11-30T00:00:00Z"),
        ("per = \"week\"\nresets_on = \"Sunday\"", "2026-11-28T23:59:59Z", "2026-11-29T00:00:00Z"),
        (
            "per = \"week\"\nresets_on = \"wednesday\"",
            "2026-12-01T23:59:59Z",
            "2026-12-02T00:00:00Z",
        ),
        ("per = \"month\"\nresets_on = 15", "2026-12-14T23:59:59Z", "2026-12-15T00:00:00Z"),
        ("per = \"month\"\nresets_on = 26", "2026-11-25T23:59:59Z", "2026-11-26T00:00:00Z"),
        ("per = \"month\"\nresets_on = 25", "2026-12-24T23:59:59Z", "2026-12-25T00:00:00Z"),
    ] {
        let mut books = books("UTC", NOON, &[&format!("limit = 1\n{more}")]);
        books.record(at(NOON), by(None), cents(100));
        assert!(told(&mut books, before, None).contains("is spent"), "{more}");
        assert_eq!(told(&mut books, after, None), "fine", "{more}");
    }
}

#[test]
fn a_budget_limits_a_group_a_key_or_a_model() {
    let spender = |user, key, model| Spender { user, key, model };
    let ann = spender(Some("ann"), Some("team-a"), "claude-opus-5-5");
    for (limits, applies, does_not) in [
        (
            "users = [\"ann\", \"bob\"]",
            Spender { user: Some("bob"), ..ann },
            Spender { user: Some("eve"), ..ann },
        ),
        ("users = [\"ann\", \"bob\"]", ann, Spender { user: None, ..ann }),
        ("key = \"team-a\"", ann, Spender { key: Some("team-b"), ..ann }),
        ("key = \"team-a\"", Spender { user: None, ..ann }, Spender { key: None, ..ann }),
        ("model = \"claude-opus-5-5\"", ann, Spender { model: "claude-opus-5", ..ann }),
        (
            "model = \"claude-opus-5-5\"",
            Spender { model: "claude-opus-5-5-20260928", ..ann },
            Spender { model: "claude-opus-5-5-fast", ..ann },
        ),
        ("model = \"claude-opus-*\"", ann, Spender { model: "claude-sonnet-5-5", ..ann }),
        ("user = \"ann\"\nkey = \"team-a\"", ann, Spender { key: Some("team-b"), ..ann }),
    ] {
        let mut books = books("UTC", NOON, &[&format!("limit = 1\nper = \"day\"\n{limits}")]);
        books.record(at(NOON), does_not, cents(100));
        let mut admits =
            |spender| books.admit(at(NOON), spender, Some(Estimate::of(NanoDollars(1)))).is_ok();
        assert!(admits(applies), "{limits}");
        books.record(at(NOON), applies, cents(100));
        let mut admits =
            |spender| books.admit(at(NOON), spender, Some(Estimate::of(NanoDollars(1)))).is_ok();
        assert!(!admits(applies) && admits(does_not), "{limits}");
    }
    let group = budget(
        "limit = 5\nper = \"week\"\nusers = [\"ann\", \"bob\"]\nkey = \"a\"\nmodel = \"m*\"",
    );
    assert_eq!(group.to_string(), "$5.00 a week for ann, bob with the key a on m*");
}

#[test]
fn what_running_calls_may_cost_is_reserved_and_told_to_those_who_must_wait() {
    let mut books = books("UTC", NOON, &["limit = 1\nper = \"day\""]);
    let ask = |books: &mut Spending| {
        books.admit(at(NOON), by(None), Some(Estimate::of(NanoDollars(600_000_000))))
    };
    let first = ask(&mut books).unwrap().reservation.unwrap();
    let refusal = ask(&mut books).unwrap_err().to_string();
    assert_eq!(
        refusal,
        "this request may cost $0.60, which the budget of $1.00 a day does not have any more ($0.00 is spent, $0.60 \
         reserved by running calls): ask for a shorter answer, another model, or again when they have ended, or after \
         2026-11-26 00:00 (UTC); answers in the ledger are still served"
    );
    books.release(first);
    assert!(ask(&mut books).is_ok());
}

#[test]
fn the_one_that_lasts_longest_is_named() {
    let both =
        ["limit = 1\nper = \"day\"", "limit = 1\nper = \"month\"", "limit = 2\nper = \"day\""];
    let mut books = books("UTC", NOON, &both);
    books.record(at(NOON), by(None), cents(100));
    assert!(told(&mut books, NOON, None).starts_with("the budget of $1.00 a month is spent"));
}

#[test]
fn a_model_without_a_price_is_refused_where_there_is_a_budget() {
    let ann = "limit = 1\nper = \"day\"\nuser = \"ann\"";
    let mut books = books("UTC", NOON, &[ann]);
    let next = |user| Spender { user: Some(user), key: None, model: "claude-next" };
    let unpriced = books.admit(at(NOON), next("ann"), None).unwrap_err();
    assert_eq!(unpriced, BudgetRefusal::Unpriced { model: "claude-next".to_owned() });
    assert_eq!(books.admit(at(NOON), next("bob"), None), Ok(Admission::default()));
}

#[test]
fn what_is_not_known_exactly_is_counted_apart() {
    let mut books = books("UTC", NOON, &["limit = 1\nper = \"day\""]);
    books.record(at(NOON), by(None), Cost::AtLeast(NanoDollars(7)).into());
    books.record(at(NOON), by(None), Cost::Unpriced.into());
    let spent = books.statuses().next().unwrap().spent;
    assert_eq!(spent, Spent { amount: NanoDollars(7), at_least: 1, unpriced: 1 });
}

#[test]
fn what_is_no_budget_is_refused() {
    for wrong in [
        "limit = 0\nper = \"day\"",
        "limit = -1\nper = \"day\"",
        "limit = nan\nper = \"day\"",
        "limit = 1\nper = \"year\"",
        "limit = 1\nper = \"day\"\nresets_on = 1",
        "limit = 1\nper = \"week\"\nresets_on = 1",
        "limit = 1\nper = \"week\"\nresets_on = \"someday\"",
        "limit = 1\nper = \"month\"\nresets_on = \"sunday\"",
        "limit = 1\nper = \"month\"\nresets_on = 0",
        "limit = 1\nper = \"month\"\nresets_on = 29",
        "limit = 1\nper = \"month\"\nresets_on = true",
        "limit = 1\nper = \"day\"\nusers = []",
        "limit = 1\nper = \"day\"\nusers = [\" \"]",
        "limit = 1\nper = \"day\"\nusers = [\"*\"]",
        "limit = 1\nper = \"day\"\nusers = [\"ann\"]\nuser = \"ann\"",
        "limit = 1\nper = \"day\"\nkey = \" \"",
        "limit = 1\nper = \"day\"\nmodel = \"\"",
        "limit = 1\nper = \"day\"\nmodel = \"*-opus\"",
        "limit = 1",
        "per = \"day\"",
        "limit = 1\nper = \"day\"\nuser = \" \"",
        "limit = 1\nper = \"day\"\nwarn_at = 80",
        "limit = 1\nper = \"day\"\nuse = \"ann\"",
    ] {
        assert!(toml::from_str::<Budget>(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_documentation_shows_budgets_as_they_are_told() {
    let page = include_str!("../.github/docs/costs.md");
    // Its own settings file, too.
    let block = page.split("```toml\n").find(|block| block.starts_with("timezone")).unwrap();
    let file: toml::Table = block.split("```").next().unwrap().parse().unwrap();
    let list =
        file["budget"].as_array().unwrap().iter().map(|budget| budget.clone().try_into().unwrap());
    let zone = TimeZone::get(file["timezone"].as_str().unwrap()).unwrap();
    let mut books = Spending::new(Budgets { list: list.collect(), zone }, at(NOON));
    let paid = |nano| Cost::Exact(NanoDollars(nano)).into();
    books.record(at("2026-11-20T12:00:00Z"), by(Some("bob")), paid(12_886_700_000));
    books.record(at(NOON), by(Some("ann")), paid(2_031_200_000));
    let told = BudgetList::of(&books, &UserNames::default()).to_string();
    assert!(page.contains(&format!("$ reprise budgets\n{told}```")), "{told}");
}
