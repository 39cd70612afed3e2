//! The whole proxy over loopback: real server, real ledger, scripted upstream.

mod harness;
mod streaming;
mod support;
