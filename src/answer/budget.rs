//! Budget tracking in memory: checked before Claude is asked, updated when an exchange ends. Running exchanges do not
//! count yet, so concurrent calls may overrun a budget.

use parking_lot::Mutex;

use crate::domain::{
    budget::{BudgetNotice, BudgetRefusal, Spending, Spent},
    exchange::UnixMillis,
};

/// Spending of this process and before it, shared by all calls.
#[derive(Debug, Default)]
pub(super) struct BudgetTracker(Mutex<Spending>);

impl BudgetTracker {
    pub(super) fn new(spending: Spending) -> Self {
        Self(Mutex::new(spending))
    }

    /// Checks whether the budgets allow a request; returns a notice if one of them is nearly spent.
    pub(super) fn check(
        &self,
        at: UnixMillis,
        user: Option<&str>,
        model: &str,
        has_price: impl FnOnce() -> bool,
    ) -> Result<Option<BudgetNotice>, BudgetRefusal> {
        let mut spending = self.0.lock();
        if spending.since().is_none() {
            return Ok(None);
        }
        spending.check(at, user, model, has_price())
    }

    /// Records the cost of an exchange whose call came in `at` this time.
    pub(super) fn record(&self, at: UnixMillis, user: Option<&str>, spent: Spent) {
        self.0.lock().record(at, user, spent);
    }
}
