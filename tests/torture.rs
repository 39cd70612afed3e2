//! The promises under attack: the process is killed at any operation, the power fails, the disk fills and breaks,
//! upstream and clients do their worst. After every round the books must be right: see `invariant`.
//!
//! Each test does some rounds and ends; `tests/torture/run` gives each a share of its minutes instead. All chance comes
//! from one seed, which a failure prints, and the folder with ledger and log stays where it failed.
//!
//! - `rounds`: a test's rounds, its seed and its tally.
//! - `world`: upstream, a ledger and the program, with three recognizable keys.
//! - `traffic`: the requests of clients, and what they saw of the answers.
//! - `invariant`: what must hold after every round.
//! - `disk`: what is between the program and its disk.

mod clients;
mod clock;
mod disk;
mod faults;
mod invariant;
mod killed;
mod power;
mod pruning;
mod resets;
mod rounds;
mod signals;
mod soak;
mod starting;
mod traffic;
mod world;
