//! Calls one by one: lines of `reprise calls export`, and in `details` the report of `reprise calls show`.

mod bill;
mod details;
mod live;
mod page;
mod prompt_cache;
pub(super) mod why;

use csv::{Terminator, WriterBuilder};
use serde::{Serialize, Serializer, ser::SerializeMap};

pub use self::{
    details::{Bodies, CallDetails},
    live::LiveCall,
    page::CallPage,
    prompt_cache::{CacheMiss, PromptCache},
};
use super::{moment::rfc3339, money::Money, numbers::in_full, stats::layout::disarmed};
use crate::{
    domain::{
        exchange::{Cost, Micros},
        tags::Tags,
    },
    store::{CallRow, cost_word},
};

/// A call as a line of an export: a JSON object, or a record of CSV (RFC 4180). It has no content of messages.
#[derive(Debug, Clone)]
pub struct CallLine(pub CallRow);

/// A value of a column.
#[derive(Debug, Clone)]
enum Value {
    Text(String),
    Count(i64),
    Flag(bool),
    Millis(f64),
    Money(Cost),
    Tags(Tags),
    Unknown,
}

/// A column: its name and its value.
type Column = (&'static str, fn(&CallRow) -> Value);

const COLUMNS: &[Column] = &[
    ("id", |call| Value::text(&call.id)),
    ("at", |call| Value::Text(rfc3339(call.at))),
    ("user", |call| Value::maybe(call.user.as_ref())),
    ("chat", |call| Value::maybe(call.chat.as_ref())),
    ("message", |call| Value::maybe(call.message.as_ref())),
    ("user_message", |call| Value::maybe(call.user_message.as_ref())),
    ("task", |call| Value::maybe(call.task.as_ref())),
    ("client", |call| Value::maybe(call.client.as_ref())),
    ("key", |call| Value::maybe(call.key.as_ref())),
    ("tags", |call| Value::Tags(call.tags())),
    ("api", |call| Value::text(&call.api)),
    ("stream", |call| Value::Flag(call.stream)),
    ("model", |call| Value::text(&call.model)),
    ("answered_by", |call| Value::text(&call.answered_by)),
    ("reason", |call| Value::maybe(call.reason.as_ref())),
    ("outcome", |call| Value::text(&call.outcome)),
    ("status", |call| call.status().map_or(Value::Unknown, |status| Value::Count(status.into()))),
    ("error", |call| Value::maybe(call.error_kind.as_ref())),
    ("exchange", |call| Value::maybe(call.exchange.as_ref())),
    ("upstream_request", |call| Value::maybe(call.upstream_request.as_ref())),
    ("tries", |call| Value::Count(call.tries.into())),
    ("input", |call| Value::count(call.tokens.input)),
    ("cache_write_5m", |call| Value::count(call.tokens.cache_write_5m)),
    ("cache_write_1h", |call| Value::count(call.tokens.cache_write_1h)),
    ("cache_read", |call| Value::count(call.tokens.cache_read)),
    ("output", |call| Value::count(call.tokens.output)),
    ("thinking", |call| Value::count(call.tokens.thinking)),
    ("searches", |call| Value::count(call.tokens.searches)),
    ("cost", |call| Value::Money(call.cost)),
    ("cost_is", |call| Value::text(cost_word(call.cost))),
    ("saved", |call| Value::Money(call.saved().map_or(Cost::Unpriced, Cost::Exact))),
    ("ttft_ms", |call| Value::millis(call.ttft_us)),
    ("total_ms", |call| Value::millis(call.total_us)),
    ("user_name", |call| Value::maybe(call.user_name.as_ref())),
    ("user_email", |call| Value::maybe(call.user_email.as_ref())),
];

impl Value {
    fn text(text: &(impl ToString + ?Sized)) -> Self {
        Self::Text(text.to_string())
    }

    fn maybe(text: Option<&(impl ToString + ?Sized)>) -> Self {
        text.map_or(Self::Unknown, Self::text)
    }

    fn count(tokens: u64) -> Self {
        Self::Count(i64::try_from(tokens).unwrap_or(i64::MAX))
    }

    fn millis(time: Option<Micros>) -> Self {
        time.map_or(Self::Unknown, |time| Self::Millis(millis(time)))
    }

    /// The value as a cell of CSV.
    fn cell(&self) -> String {
        match self {
            Self::Text(text) => disarmed(text).into_owned(),
            Self::Count(count) => count.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Millis(millis) => format!("{millis:.3}"),
            Self::Money(cost) => cost.amount().map(in_full).unwrap_or_default(),
            // A tag may have commas in it.
            Self::Tags(tags) => tags.json().unwrap_or_default(),
            Self::Unknown => String::new(),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Count(count) => serializer.serialize_i64(*count),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Millis(millis) => serializer.serialize_f64(*millis),
            Self::Money(cost) => Money::from(*cost).serialize(serializer),
            Self::Tags(tags) => tags.serialize(serializer),
            Self::Unknown => serializer.serialize_none(),
        }
    }
}

impl Serialize for CallLine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_map(Some(COLUMNS.len()))?;
        for (name, value) in COLUMNS {
            line.serialize_entry(name, &value(&self.0))?;
        }
        line.end()
    }
}

impl CallLine {
    /// The names of the columns, as a record of CSV.
    pub fn csv_header() -> Result<Vec<u8>, csv::Error> {
        record(COLUMNS.iter().map(|(name, _)| (*name).to_owned()))
    }

    /// The call as a record of CSV.
    pub fn csv(&self) -> Result<Vec<u8>, csv::Error> {
        record(COLUMNS.iter().map(|(_, value)| value(&self.0).cell()))
    }
}

fn record(cells: impl Iterator<Item = String>) -> Result<Vec<u8>, csv::Error> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(cells)?;
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// JSON of the ledger; what is none stays a text.
pub(super) fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|_| serde_json::Value::String(text.to_owned()))
}

/// Milliseconds, for other programs.
#[expect(clippy::cast_precision_loss, reason = "exact up to 285 years")]
pub(super) fn millis(time: Micros) -> f64 {
    time.0 as f64 / 1e3
}
