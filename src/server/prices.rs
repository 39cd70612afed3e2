//! Prices that are imported while the server runs: it takes them, and computes the costs of what it recorded meanwhile.

use std::time::Duration;

use crate::{
    answer::{self, Answers},
    domain::catalog::{self, Catalog},
    store::{self, Ledger, PriceState},
};

/// Interval between looks for changed prices.
const INTERVAL: Duration = Duration::from_secs(2);

/// The built-in catalog with the prices of this ledger, and their state.
pub(super) async fn catalog_of(ledger: &Ledger) -> Result<(Catalog, PriceState), store::Error> {
    let state = ledger.reader().price_state().await?;
    let today = catalog::day_of(answer::now());
    Ok((ledger.reader().catalog(today).await?, state))
}

/// Lets the costs of past calls follow the prices. If they cannot, the next look or the next start does it.
pub(super) async fn apply(ledger: &Ledger, catalog: &Catalog, state: PriceState) {
    let builtin = Catalog::builtin().fingerprint();
    if let Err(error) = ledger.apply_prices(state, catalog, &builtin, answer::now()).await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "the costs of past calls do not follow the prices yet");
    }
}

/// Takes changed prices, for ever.
pub(super) async fn follow(answers: Answers) {
    let ledger = answers.ledger();
    loop {
        tokio::time::sleep(INTERVAL).await;
        // A ledger that cannot be read is reported elsewhere.
        if ledger.reader().price_state().await.map_or(true, |state| state.is_applied()) {
            continue;
        }
        if let Ok((catalog, state)) = catalog_of(ledger).await {
            // New calls have the new prices before the old ones are looked at.
            answers.set_prices(&catalog);
            apply(ledger, &catalog, state).await;
            tracing::info!("took the changed prices of the ledger");
        }
    }
}
