//! The whole proxy over loopback: real server, real ledger, scripted upstream.

mod aliases;
mod broken;
mod cache;
mod harness;
mod killed;
mod leaving;
mod models;
mod refusals;
mod requests;
mod sealing;
mod shutdown;
mod streaming;
mod support;
mod translating;
