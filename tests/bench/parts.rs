//! Times of the parts of a request: `cargo bench --bench parts`, or `-- WORD` for the lines with this word.
//! The benchmark prints its figures and asserts nothing of time.
//!
//! What they come to in a running server is measured by `tests/perf/run`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for people")]

mod answers;
mod ledger;
mod measure;
mod requests;
#[path = "../support/rows.rs"]
#[expect(dead_code, reason = "the rows of tests, of which a benchmark needs a few")]
mod rows;

fn main() {
    answers::run();
    requests::run();
    ledger::run();
}
