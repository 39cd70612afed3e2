//! The whole proxy over loopback: real server, real ledger, scripted upstream.

mod harness;
mod leaving;
mod sealing;
mod streaming;
mod support;
mod translating;
