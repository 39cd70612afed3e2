//! What others write into the ledger while the server runs: imported prices, which it takes, and by which it computes the
//! costs of what it recorded meanwhile; and what other servers have spent of its budgets.

use std::time::Duration;

use crate::{
    answer::{self, Answers},
    domain::{
        budget::{Budgets, Spending},
        catalog::{self, Catalog},
    },
    report,
    store::{self, Ledger, PriceState},
};

/// Interval between looks for changed prices.
const INTERVAL: Duration = Duration::from_secs(2);
/// Number of looks after which a server that shares its ledger reads what all have spent.
const LOOKS_FOR_SPENDING: u32 = 2;
/// Number of times that budgets are read again where a cost has come meanwhile.
const READINGS: u32 = 5;

/// The built-in catalog with the prices of this ledger, and their state.
pub(super) async fn catalog_of(ledger: &Ledger) -> Result<(Catalog, PriceState), store::Error> {
    let state = ledger.reader().price_state().await?;
    let today = catalog::day_of(answer::now());
    Ok((ledger.reader().catalog(today).await?, state))
}

/// Lets the costs of past calls follow the prices. If they cannot, the next look or the next start does it. Returns whether
/// the prices in the ledger have changed.
pub(super) async fn apply(ledger: &Ledger, catalog: &Catalog, state: PriceState) -> bool {
    let has_changed = !state.is_applied();
    let builtin = Catalog::builtin().fingerprint();
    if let Err(error) = ledger.apply_prices(state, catalog, &builtin, answer::now()).await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "the costs of past calls do not follow the prices yet");
    }
    has_changed
}

/// Spending of `budgets`, read from the ledger. Where a cost comes meanwhile, it is read again a few times, so that
/// the cost counts once.
pub(super) async fn spending(
    answers: &Answers,
    budgets: Budgets,
    catalog: &Catalog,
) -> Result<Spending, store::Error> {
    let ledger = answers.ledger();
    let mut tries = 0..READINGS;
    loop {
        answers.begin_replacing_budgets();
        ledger.flush().await;
        let read = report::spending(ledger.reader(), budgets.clone(), catalog, answer::now()).await;
        match read {
            Err(error) => {
                answers.keep_budgets();
                return Err(error);
            }
            Ok(_) if answers.have_budgets_changed() && tries.next().is_some() => {}
            Ok(spending) => return Ok(spending),
        }
    }
}

/// Takes changed prices and what other servers spend, for ever.
pub(super) async fn follow(answers: Answers) {
    let ledger = answers.ledger();
    for look in (0..LOOKS_FOR_SPENDING).cycle() {
        tokio::time::sleep(INTERVAL).await;
        if look == 0 && ledger.is_shared() {
            follow_spending(&answers).await;
        }
        // A ledger that cannot be read is reported elsewhere.
        if ledger.reader().price_state().await.map_or(true, |state| state.is_applied()) {
            continue;
        }
        if let Ok((catalog, state)) = catalog_of(ledger).await {
            // New calls have the new prices before the old ones are looked at.
            answers.set_prices(&catalog);
            apply(ledger, &catalog, state).await;
            match spending(&answers, answers.budgets(), &catalog).await {
                Ok(spending) => answers.replace_budgets(spending, false),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(
                        error,
                        "the budgets do not follow the prices before the next start"
                    );
                }
            }
            tracing::info!("took the changed prices of the ledger");
        }
    }
}

/// Takes what all servers have spent of the budgets.
async fn follow_spending(answers: &Answers) {
    let budgets = answers.budgets();
    if budgets.list.is_empty() {
        return;
    }
    match spending(answers, budgets, &answers.catalog()).await {
        Ok(spending) => answers.set_spending(spending),
        // The next look does it.
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "what other servers have spent cannot be read");
        }
    }
}
