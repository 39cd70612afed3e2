//! The whole proxy over loopback: real server, real ledger, scripted upstream.

mod aliases;
mod broken;
mod budgets;
mod cache;
mod chats;
mod collapsing;
mod corpus;
mod harness;
mod healing;
mod history;
mod killed;
mod leaving;
mod models;
mod native;
mod operating;
mod paused;
mod refusals;
mod replaying;
mod requests;
mod sealing;
mod shutdown;
mod signed;
mod streaming;
mod support;
mod translating;
