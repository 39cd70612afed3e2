//! Budget tracking in memory: a call reserves its estimated cost before Claude is asked, and the reservation is settled
//! when its answer ends.

use std::{mem, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::domain::{
    budget::{
        BudgetLevel, BudgetNotice, BudgetRefusal, Budgets, Crossing, Estimate, MeanOutputs,
        OwnedSpender, ReservationId, Spender, Spending, Spent,
    },
    exchange::{NanoDollars, UnixMillis},
    open_webui::DearQuestion,
};

/// Spending of this process and before it, shared by all calls.
#[derive(Debug, Default)]
pub(super) struct BudgetTracker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    spending: Spending,
    /// Receiver of the thresholds that spending crosses.
    crossings: Option<mpsc::UnboundedSender<Crossing>>,
    /// Costs that came while the spending of other budgets is read from the ledger.
    meanwhile: Option<Vec<Settled>>,
}

/// A cost that was counted.
#[derive(Debug)]
struct Settled {
    at: UnixMillis,
    spender: OwnedSpender,
    spent: Spent,
}

/// A call that may go upstream.
#[derive(Debug, Default)]
pub(super) struct Admitted {
    /// A budget that is nearly spent, or that is always shown.
    pub notice: Option<BudgetNotice>,
    /// The estimate, if it is above the operator's limit for warnings.
    pub dear: Option<DearQuestion>,
    pub reservation: Reservation,
}

/// The estimated cost of a running call, reserved until it is settled or dropped: a call that fails, stops or panics
/// reserves nothing any more.
#[derive(Debug, Default)]
pub(super) struct Reservation {
    held: Option<(Arc<BudgetTracker>, ReservationId)>,
    pub amount: NanoDollars,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some((tracker, id)) = self.held.take() {
            tracker.0.lock().spending.release(id);
        }
    }
}

impl BudgetTracker {
    pub(super) fn new(spending: Spending, crossings: mpsc::UnboundedSender<Crossing>) -> Self {
        Self(Mutex::new(State { spending, crossings: Some(crossings), meanwhile: None }))
    }

    /// False without budgets: then any call is admitted.
    pub(super) fn is_limited(&self) -> bool {
        self.0.lock().spending.since().is_some()
    }

    /// Admits a call if all budgets have room for its estimated cost; `None`: it has no price.
    pub(super) fn admit(
        self: &Arc<Self>,
        at: UnixMillis,
        spender: Spender<'_>,
        estimate: impl FnOnce(&MeanOutputs) -> Option<Estimate>,
    ) -> Result<Admitted, BudgetRefusal> {
        let mut state = self.0.lock();
        let estimate = estimate(state.spending.outputs());
        let admission = state.spending.admit(at, spender, estimate)?;
        let held = admission.reservation.map(|id| (Arc::clone(self), id));
        let reservation = Reservation { held, amount: admission.reserved };
        Ok(Admitted { notice: admission.notice, dear: None, reservation })
    }

    /// Adds the cost of an exchange whose call came in `at` this time, and takes its reservation back in the same step
    /// unless the call goes on. `output`: the tokens of the answer.
    pub(super) fn settle(
        &self,
        at: UnixMillis,
        spender: Spender<'_>,
        spent: Spent,
        output: u64,
        ended: Option<&mut Reservation>,
    ) {
        let mut state = self.0.lock();
        if let Some((_, id)) = ended.and_then(|reservation| reservation.held.take()) {
            state.spending.release(id);
        }
        if output > 0 {
            state.spending.add_outputs(spender.model, 1, output);
        }
        let crossings = state.spending.record(at, spender, spent);
        if let Some(settled) = &mut state.meanwhile {
            settled.push(Settled { at, spender: spender.into(), spent });
        }
        for crossing in crossings {
            tracing::warn!(
                budget = crossing.budget,
                user = crossing.user,
                spent = crossing.spent,
                threshold = ?crossing.threshold,
                "a budget has reached a threshold"
            );
            // Nobody receives it once the server has stopped.
            let _ = state.crossings.as_ref().map(|receiver| receiver.send(crossing));
        }
    }

    /// Notes costs from now on, because the spending of other budgets is being read.
    pub(super) fn begin_replacing(&self) {
        self.0.lock().meanwhile = Some(Vec::new());
    }

    /// Returns whether a cost has come since [`Self::begin_replacing`].
    pub(super) fn has_changed(&self) -> bool {
        self.0.lock().meanwhile.as_ref().is_some_and(|settled| !settled.is_empty())
    }

    /// The budgets as they are now.
    pub(super) fn budgets(&self) -> Budgets {
        self.0.lock().spending.budgets()
    }

    /// The levels of the budgets at this time.
    pub(super) fn levels(&self, now: UnixMillis) -> Vec<BudgetLevel> {
        self.0.lock().spending.levels(now)
    }

    /// Puts `spending` in the place of what was counted. A cost that came while it was read may count twice until the next
    /// start; none is left out. With `keep_same`, budgets that have not changed keep what they have counted.
    pub(super) fn replace(&self, mut spending: Spending, keep_same: bool) {
        let mut state = self.0.lock();
        for Settled { at, spender, spent } in state.meanwhile.take().into_iter().flatten() {
            spending.record(at, spender.get(), spent);
        }
        let before = mem::take(&mut state.spending);
        if keep_same {
            spending.take_over(&before);
        }
        spending.replace(before);
        state.spending = spending;
    }

    /// Goes on with the budgets as they are.
    pub(super) fn keep(&self) {
        self.0.lock().meanwhile = None;
    }
}
