//! The whole proxy over loopback: real server, real ledger, scripted upstream.

mod broken;
mod harness;
mod leaving;
mod refusals;
mod requests;
mod sealing;
mod streaming;
mod support;
mod translating;
