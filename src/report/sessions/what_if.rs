//! The cost that a session would have had with another model, computed as `reprise stats --what-if` does.

use std::fmt;

use jiff::civil::Date;
use serde::Serialize;

use crate::{
    domain::{catalog::Catalog, exchange::CallId},
    report::{
        money::Money,
        stats::{
            Comparison,
            reprice::{signed, write_estimate},
        },
    },
    store::{self, Reader, SessionRow},
};

/// The cost of a session with another model, which is an estimate.
#[derive(Debug, Clone, Serialize)]
pub struct WhatIf {
    /// The model.
    pub model: String,
    /// True: another model counts and answers in other numbers of tokens.
    pub is_estimate: bool,
    /// The date of its prices.
    pub prices_as_of: String,
    /// The recorded cost and the other one, of the calls that went upstream.
    #[serde(flatten)]
    pub comparison: Comparison,
}

impl WhatIf {
    /// Computes the cost of a session with `model`, a priced one, at its prices of `today`.
    pub async fn of(
        ledger: &Reader,
        catalog: &Catalog,
        row: &SessionRow,
        (model, today): (&str, Date),
    ) -> Result<Self, store::Error> {
        let calls: Vec<CallId> = row.calls.iter().map(|call| call.id).collect();
        Ok(Self {
            model: model.to_owned(),
            is_estimate: true,
            prices_as_of: catalog.priced_on(today).to_string(),
            comparison: Comparison::what_if(ledger, catalog, &calls, (model, today)).await?,
        })
    }
}

impl fmt::Display for WhatIf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, prices_as_of, comparison, .. } = self;
        if comparison.calls == 0 {
            return writeln!(f, "Nothing was paid, so there is nothing to compute again.");
        }
        let Comparison { cost, repriced, difference, .. } = comparison;
        let in_words = Money::in_words;
        let (cost, what_if) = (in_words(cost), in_words(repriced));
        writeln!(f, "{cost}, what if {what_if} ({})\n", signed(difference))?;
        write_estimate(f, model, prices_as_of)?;
        comparison.write_marks(f)
    }
}
