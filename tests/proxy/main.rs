//! The whole proxy over loopback: real server, real ledger, scripted upstream.

mod broken;
mod cache;
mod harness;
mod healing;
mod history;
mod killed;
mod leaving;
mod models;
mod paused;
mod refusals;
mod requests;
mod sealing;
mod shutdown;
mod streaming;
mod support;
mod translating;
