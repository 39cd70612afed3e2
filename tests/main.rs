//! Every integration test, in one binary: each binary more would link the whole program once more.
//!
//! A module is one part of the program: `cargo it ledger::` runs the tests of `tests/ledger.rs`.
//! `support` is for the modules that run the whole proxy.

mod budgets;
mod cli;
mod corpus;
mod decisions;
mod fixtures;
mod fuzz;
mod guide;
mod house;
mod ledger;
mod money;
mod month;
#[cfg(target_os = "linux")]
mod outage;
mod page;
mod playback;
mod prices;
mod proxy;
mod prune;
mod replicas;
mod scale;
mod stats;
mod support;
#[cfg(target_os = "linux")]
mod torture;
mod translate;
