//! What one process spends, the others know within some seconds.

use http::StatusCode;

use super::Shared;
use crate::{
    proxy::budgets::{DAY, setup, ten_cents},
    support::{
        app::{CHAT, ask},
        script::Script,
        until,
        upstream::Upstream,
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_has_spent_of_a_budget_is_gone_for_the_others() {
    let Some(shared) = Shared::new() else { return };
    let upstream = Upstream::start().await;
    upstream.always(Script::sse(ten_cents()));
    let [first, second] = [
        shared.start_with(setup(&upstream, DAY)).await,
        shared.start_with(setup(&upstream, DAY)).await,
    ];

    for question in ["one", "two"] {
        first.binary.client().post(CHAT, &ask(question)).await.text().await;
    }
    let client = second.binary.client();
    until("the other to know", async || {
        let metrics = client.get("/metrics").await.text().await;
        let left = metrics.lines().find(|line| line.starts_with("reprise_budget_left_dollars{"));
        left.is_some_and(|line| line.ends_with("} 0") || line.ends_with("} 0.0"))
    })
    .await;
    let refused = client.post(CHAT, &ask("three")).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(upstream.requests().len(), 2);
}
