//! What the tests of the whole proxy stand on: the real server with a ledger of its own, an upstream that plays
//! Anthropic from a script, and a client that sees every piece of an answer as it comes. The two ends speak raw HTTP/1.1
//! on loopback, since the tests are about what an HTTP library hides: where bytes are cut, when they arrive, and how a
//! connection ends.
//!
//! Nothing here sleeps. A test waits for a condition, and [`PATIENCE`] bounds the wait, so that a condition which never
//! comes is a failure with a name and not a test run that hangs.

pub(crate) mod app;
pub(crate) mod backend;
pub(crate) mod binary;
pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod generated;
pub(crate) mod ledger;
#[cfg(target_os = "linux")]
pub(crate) mod postgres;
pub(crate) mod rows;
pub(crate) mod script;
pub(crate) mod sse;
pub(crate) mod upstream;
mod wire;

use std::time::Duration;

/// How long a condition may take before a test fails. Long, since it is only ever waited out by a failing test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Awaits what must come soon; panics, naming it, when it does not.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(PATIENCE, future).await else {
        panic!("waited {} s for {what}", PATIENCE.as_secs());
    };
    value
}

/// Asks again and again until the answer is yes; panics, naming the condition, when that takes too long. For what only
/// a question can tell: rows in a file, the word on `/ready`.
pub(crate) async fn until(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let asked = async {
        while !ask().await {
            tokio::task::yield_now().await;
        }
    };
    soon(what, asked).await;
}
