//! The parts of an exchange and of a call: ids, times, money, tokens, outcomes.
//!
//! Units are types, so that no bare `i64` crosses a module border.

mod money;

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, FromRepr, IntoStaticStr};
use uuid::Uuid;

pub use self::money::{Cost, NanoDollars, thousands};
use super::chain::Hash;

/// Defines an id: a UUIDv7, so that ids sort by the time they were made.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// An id from a UUID of the caller's (ids and clocks enter as arguments).
            pub const fn new(id: Uuid) -> Self {
                Self(id)
            }

            /// The UUID.
            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// The 32 hexadecimal digits without hyphens.
            pub fn simple(self) -> impl fmt::Display {
                self.0.simple()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

id! {
    /// One request that went upstream, retries included, and its recording.
    ExchangeId
}
id! {
    /// One request of a client, and how it was answered.
    CallId
}
id! {
    /// One running process that writes to a ledger.
    OwnerId
}

/// A moment: milliseconds since the Unix epoch, UTC.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// An hour in milliseconds.
    pub const HOUR: i64 = 3_600_000;

    /// Whole seconds since the Unix epoch, as OpenAI's `created` wants them.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Whole hours since the Unix epoch.
    pub const fn hour(self) -> i64 {
        self.0.div_euclid(Self::HOUR)
    }

    /// The moment that lies so long before this one.
    #[must_use]
    pub fn before(self, time: Duration) -> Self {
        let time = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(time))
    }

    /// The time from `earlier` until this moment; zero if the clock went backwards.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }
}

/// A duration in microseconds.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Micros(pub i64);

impl Micros {
    /// The duration in seconds.
    #[expect(clippy::cast_precision_loss, reason = "exact up to 285 years")]
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl From<Duration> for Micros {
    fn from(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
    }
}

/// Tokens as Anthropic counts them, raw (`reference/anthropic-api.md` §2 `usage`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tokens {
    /// After the last cache breakpoint only.
    pub input: u64,
    /// Written to the prompt cache for five minutes.
    pub cache_write_5m: u64,
    /// Written to the prompt cache for an hour.
    pub cache_write_1h: u64,
    /// Read from the prompt cache.
    pub cache_read: u64,
    /// Everything generated, thinking included.
    pub output: u64,
    /// The part of `output` that was thinking.
    pub thinking: u64,
    /// Web searches, billed by the piece.
    pub searches: u64,
}

impl Tokens {
    /// All tokens of the prompt, however they were billed: OpenAI's `prompt_tokens`.
    pub const fn prompt(&self) -> u64 {
        let written = self.cache_write_5m.saturating_add(self.cache_write_1h);
        self.input.saturating_add(written).saturating_add(self.cache_read)
    }
}

impl std::ops::AddAssign for Tokens {
    fn add_assign(&mut self, more: Self) {
        let Self { input, cache_write_5m, cache_write_1h, cache_read, output, thinking, searches } =
            more;
        for (sum, more) in [
            (&mut self.input, input),
            (&mut self.cache_write_5m, cache_write_5m),
            (&mut self.cache_write_1h, cache_write_1h),
            (&mut self.cache_read, cache_read),
            (&mut self.output, output),
            (&mut self.thinking, thinking),
            (&mut self.searches, searches),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

/// Longest id of a tool call that names its answer as it is, in bytes.
const LONGEST_CALL_ID: usize = 512;

/// A name by which a later turn refers to an answer, so that the answer is found again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AnswerRef(String);

impl AnswerRef {
    /// A tool call, by its id, or by a hash of one that is longer than an index takes.
    pub fn call(id: &str) -> Self {
        if id.len() <= LONGEST_CALL_ID {
            return Self(format!("call {id}"));
        }
        Self(format!("long call {}", Hash::of("call", &[id.as_bytes()])))
    }

    /// Thinking, by its signature, or redacted thinking by itself: a hash, since both are long.
    pub fn signature(signature: &str) -> Self {
        let mut digits = Hash::of("signature", &[signature.as_bytes()]).to_string();
        digits.truncate(32);
        Self(format!("signature {digits}"))
    }

    /// The text that the ledger stores.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The end of an exchange.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Outcome {
    /// `message_stop` arrived.
    Complete,
    /// Upstream refused, or sent an error in mid-stream.
    Failed,
    /// The stream ended without `message_stop`.
    Cut,
    /// The last reader left, or Reprise was shut down.
    Stopped,
    /// The process that sent the request died.
    Lost,
    /// Reprise refused the call: it went nowhere.
    Refused,
}

/// The source of the answer to a call, in the words of HTTP caching (RFC 9111, RFC 9211).
///
/// Roll-ups store the discriminant, so a new variant goes to the end.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    FromRepr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
#[repr(u8)]
pub enum AnsweredBy {
    /// From the ledger.
    Hit,
    /// By Claude: the ledger had no answer.
    Miss,
    /// By joining a running exchange.
    Collapsed,
    /// By Claude, although the ledger may have had an answer.
    Refresh,
    /// By Claude, without a lookup: the ledger may not answer such calls, or may keep nothing of them.
    Bypass,
    /// From a fixture.
    Replay,
    /// By nobody: Reprise refused the call.
    Refused,
}

impl AnsweredBy {
    /// Returns whether the call went upstream, so that its tokens were paid for.
    pub const fn asks(self) -> bool {
        matches!(self, Self::Miss | Self::Refresh | Self::Bypass)
    }

    /// Returns whether the call reuses the answer to an earlier call, so that it costs nothing.
    pub const fn is_reuse(self) -> bool {
        matches!(self, Self::Hit | Self::Collapsed)
    }
}

/// The dialect that a client speaks.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Api {
    /// OpenAI chat completions.
    Chat,
    /// Anthropic Messages.
    Messages,
}
