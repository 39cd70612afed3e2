use proptest::prelude::*;

use super::*;
use crate::domain::{
    budget::{Period, Spender},
    exchange::Cost,
};

const HOUR: i64 = 3_600_000;

/// A step of some callers: one asks, or the call of one ends.
#[derive(Debug, Clone)]
enum Step {
    Ask {
        user: Option<&'static str>,
        model: &'static str,
        estimate: i64,
        most: i64,
    },
    /// The oldest, newest or another running call ends, at a cost of up to its estimate.
    End {
        which: usize,
        percent: i64,
    },
    /// It fails, stops or panics.
    Drop {
        which: usize,
    },
    /// Time goes on.
    Pass(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let user = prop::sample::select(vec![None, Some("ann"), Some("bob")]);
    let model = prop::sample::select(vec!["opus", "haiku-20260928"]);
    prop_oneof![
        4 => (user, model, 0_i64..60, 0_i64..400)
            .prop_map(|(user, model, estimate, most)| Step::Ask { user, model, estimate, most }),
        2 => (any::<usize>(), 0_i64..=100).prop_map(|(which, percent)| Step::End { which, percent }),
        1 => any::<usize>().prop_map(|which| Step::Drop { which }),
        1 => (0..30 * HOUR).prop_map(Step::Pass),
    ]
}

fn budgets() -> Budgets {
    let budget = |limit, per, owner, model: Option<&str>| Budget {
        limit: NanoDollars(limit),
        per,
        owner,
        key: None,
        model: model.map(str::to_owned),
        warn_from: NanoDollars(limit * 4 / 5),
        show: false,
    };
    let group = BudgetOwner::Group(vec!["ann".to_owned(), "bob".to_owned()]);
    let list = vec![
        budget(300, Period::Month(15), BudgetOwner::Everyone, None),
        budget(100, Period::Day, BudgetOwner::EachUser, None),
        budget(150, Period::Week(7), group, None),
        budget(70, Period::Day, BudgetOwner::User("ann".to_owned()), Some("haiku")),
    ];
    Budgets { list, zone: TimeZone::UTC }
}

proptest! {
    #[test]
    fn never_more_is_admitted_than_fits_and_all_is_released_at_the_end(
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let mut now = UnixMillis(0);
        let mut spending = Spending::new(budgets(), now);
        let mut running = Vec::new();
        for step in steps {
            match step {
                Step::Ask { user, model, estimate, most } => {
                    let spender = Spender { user, key: None, model };
                    let [likely, reserve] = [estimate, estimate.max(most)].map(NanoDollars);
                    let estimated = Some(Estimate { likely, reserve });
                    let admitted = spending.admit(now, spender, estimated);
                    if let Ok(Admission { reservation: Some(id), .. }) = admitted {
                        running.push((id, now, spender, estimate));
                    }
                }
                Step::End { which, percent } if !running.is_empty() => {
                    let (id, at, spender, estimate) = running.remove(which % running.len());
                    spending.release(id);
                    let cost = Cost::Exact(NanoDollars(estimate * percent / 100));
                    spending.record(at, spender, cost.into());
                }
                Step::Drop { which } if !running.is_empty() => {
                    let (id, ..) = running.remove(which % running.len());
                    spending.release(id);
                    spending.release(id);
                }
                Step::Pass(time) => now.0 += time,
                Step::End { .. } | Step::Drop { .. } => {}
            }
            for status in spending.statuses() {
                let taken = status.spent.amount.0 + status.reserved.0;
                prop_assert!(taken <= status.budget.limit.0, "{status:?}");
                prop_assert!(status.reserved.0 >= 0);
            }
        }
        for (id, ..) in running {
            spending.release(id);
        }
        prop_assert!(spending.statuses().all(|status| status.reserved == NanoDollars(0)));
        prop_assert!(spending.usages.iter().all(|usage| usage.reserved.is_empty()));
        prop_assert!(spending.reservations.is_empty());
    }
}

#[test]
fn a_threshold_is_crossed_once_and_what_was_above_it_crosses_nothing() {
    let mut spending = Spending::new(budgets(), UnixMillis(0));
    let ann = Spender { user: Some("ann"), key: None, model: "opus" };
    let mut pay = |amount, at| {
        let crossings =
            spending.record(UnixMillis(at), ann, Cost::Exact(NanoDollars(amount)).into());
        let told = |it: &Crossing| (it.limit, it.user.clone(), it.threshold);
        crossings.iter().map(told).collect::<Vec<_>>()
    };
    let ann = || Some("ann".to_owned());
    assert_eq!(pay(79, 0), []);
    assert_eq!(pay(2, 0), [(1e-7, ann(), Threshold::Warn)]);
    assert_eq!(pay(50, 0), [(1e-7, ann(), Threshold::Limit), (1.5e-7, None, Threshold::Warn)]);
    assert_eq!(pay(5, 0), []);
    assert_eq!(
        pay(105, 24 * HOUR),
        [
            (3e-7, None, Threshold::Warn),
            (1e-7, ann(), Threshold::Warn),
            (1e-7, ann(), Threshold::Limit),
            (1.5e-7, None, Threshold::Limit),
        ]
    );
}

#[test]
fn budgets_that_are_replaced_keep_what_is_the_same_and_what_is_reserved() {
    let mut spending = Spending::new(budgets(), UnixMillis(0));
    let ann = Spender { user: Some("ann"), key: None, model: "opus" };
    spending.record(UnixMillis(0), ann, Cost::Exact(NanoDollars(10)).into());
    let admitted = spending.admit(UnixMillis(0), ann, Some(Estimate::of(NanoDollars(20)))).unwrap();
    let mut changed = budgets();
    changed.list[0].limit = NanoDollars(1_000);
    let mut next = Spending::new(changed, UnixMillis(0));
    // As the ledger has it, which is late.
    next.record(UnixMillis(0), ann, Cost::Exact(NanoDollars(7)).into());
    next.take_over(&spending);
    next.replace(spending);
    let states: Vec<_> = next.statuses().map(|it| (it.spent.amount.0, it.reserved.0)).collect();
    assert_eq!(states, [(7, 20), (10, 20), (10, 20), (0, 0)]);
    next.release(admitted.reservation.unwrap());
    assert!(next.statuses().all(|status| status.reserved.0 == 0));
}

#[test]
fn a_level_is_that_of_the_user_with_the_least_left_until_the_period_is_over() {
    let mut spending = Spending::new(budgets(), UnixMillis(0));
    for (user, spent) in [("ann", 30), ("bob", 40), ("ann", 5)] {
        let spender = Spender { user: Some(user), key: None, model: "opus" };
        spending.record(UnixMillis(HOUR), spender, Cost::Exact(NanoDollars(spent)).into());
    }
    let left = |now| -> Vec<i64> {
        spending.levels(UnixMillis(now)).iter().map(|level| level.left.0).collect()
    };
    assert_eq!(left(2 * HOUR), [225, 60, 75, 70]);
    assert_eq!(left(24 * HOUR), [225, 100, 75, 70], "of the next day nothing is spent");
    assert_eq!(left(60 * 24 * HOUR), [300, 100, 150, 70]);
}
