//! What is spent, in memory: asked before Claude is, told when an exchange has ended. What runs meanwhile is not
//! counted yet, so calls that run at once may spend more than there is.

use std::sync::{Mutex, PoisonError};

use crate::domain::{
    budget::{Notice, Priced, Refusal, Spending},
    exchange::{Cost, UnixMillis},
};

/// The books, shared by all who answer.
#[derive(Debug, Default)]
pub(super) struct BudgetTracker(Mutex<Spending>);

impl BudgetTracker {
    pub(super) fn new(books: Spending) -> Self {
        Self(Mutex::new(books))
    }

    /// Whether Claude may be asked; if it is to be told, how much is spent.
    pub(super) fn admit(
        &self,
        at: UnixMillis,
        user: Option<&str>,
        model: &str,
        priced: impl FnOnce() -> Priced,
    ) -> Result<Option<Notice>, Refusal> {
        let mut books = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if books.since().is_none() {
            return Ok(None);
        }
        books.admit(at, user, model, priced())
    }

    /// Counts what an exchange cost whose call came in `at` this moment.
    pub(super) fn pay(&self, at: UnixMillis, user: Option<&str>, cost: Cost) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pay(at, user, cost.into());
    }
}
