//! The pure core: no IO, no clock, no randomness, no tokio, no sqlx, no tracing. Everything enters as an argument.

pub mod alias;
pub mod anthropic;
pub mod budget;
pub mod cache;
pub mod cassette;
pub mod catalog;
pub mod chain;
pub mod diff;
pub mod encoding;
pub mod exchange;
pub mod histogram;
pub mod json;
pub mod media_type;
pub mod open_webui;
pub mod openai;
pub mod prepare;
pub mod price;
pub mod recording;
pub mod spelling;
pub mod sse;
pub mod tags;
pub mod task;
pub mod totals;
pub mod translate;
pub mod user_name;
pub mod varint;
