//! What an exchange and a call are made of: ids, times, money, tokens, outcomes.
//!
//! Units are types here, so that no bare `i64` crosses a module border.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::chain::Hash;

/// Defines an id: a UUIDv7, so that ids sort by the time they were made.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID that the caller made (ids and clocks come in as arguments).
            pub const fn new(id: Uuid) -> Self {
                Self(id)
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
    /// Whole seconds since the Unix epoch, as OpenAI's `created` wants them.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
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

impl From<Duration> for Micros {
    fn from(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
    }
}

/// Money: billionths of a US dollar.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct NanoDollars(pub i64);

impl NanoDollars {
    /// US dollars, for JSON that clients add up; the ledger keeps the integer.
    #[expect(clippy::cast_precision_loss, reason = "exact up to nine million dollars")]
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

/// What an exchange cost. A sum of costs is only exact when every part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cost {
    /// All that was billed is known and priced.
    Exact(NanoDollars),
    /// The exchange ended early: Anthropic billed this much or more.
    AtLeast(NanoDollars),
    /// The catalog has no price for the model.
    Unpriced,
}

impl Cost {
    /// The known amount, if there is one.
    pub const fn amount(self) -> Option<NanoDollars> {
        match self {
            Self::Exact(amount) | Self::AtLeast(amount) => Some(amount),
            Self::Unpriced => None,
        }
    }

    /// Both together. What is unpriced makes the sum a lower bound, unless nothing is known of either.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let sum = |a: NanoDollars, b: NanoDollars| NanoDollars(a.0.saturating_add(b.0));
        match (self, other) {
            (Self::Exact(a), Self::Exact(b)) => Self::Exact(sum(a, b)),
            (Self::Exact(a) | Self::AtLeast(a), Self::Exact(b) | Self::AtLeast(b)) => {
                Self::AtLeast(sum(a, b))
            }
            (Self::Unpriced, Self::Unpriced) => Self::Unpriced,
            (known, Self::Unpriced) | (Self::Unpriced, known) => known.at_least(),
        }
    }

    /// The same amount as a lower bound: what is known of an exchange that was stopped, cut or lost.
    #[must_use]
    pub const fn at_least(self) -> Self {
        match self {
            Self::Exact(amount) | Self::AtLeast(amount) => Self::AtLeast(amount),
            Self::Unpriced => Self::Unpriced,
        }
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

/// What a later turn may name of an answer, so that the answer is found again (design §8).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnswerRef(String);

impl AnswerRef {
    /// The id of a call of a tool.
    pub fn call(id: &str) -> Self {
        Self(format!("call {id}"))
    }

    /// The signature of thinking, or redacted thinking itself: long, so its hash stands for it.
    pub fn signature(signature: &str) -> Self {
        let mut digits = Hash::of("signature", &[signature.as_bytes()]).to_string();
        digits.truncate(32);
        Self(format!("signature {digits}"))
    }

    /// The text in the ledger.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Defines an enum of words that stand in the ledger and in reports.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// The word in the ledger, in logs and in reports.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// All there are, in the order in which they are told.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Reads the word back.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == word)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// How an exchange ended.
    Outcome {
        /// `message_stop` arrived.
        Complete = "complete",
        /// Upstream refused, or sent an error in mid-stream.
        Failed = "failed",
        /// The stream ended without `message_stop`.
        Cut = "cut",
        /// The last reader left, or Reprise was shut down.
        Stopped = "stopped",
        /// The process that asked died.
        Lost = "lost",
    }
}

words! {
    /// How a call was answered, in the words of HTTP caching (RFC 9111, RFC 9211).
    AnsweredBy {
        /// From the ledger.
        Hit = "hit",
        /// By Claude: the ledger had no answer.
        Miss = "miss",
        /// By joining a running exchange.
        Collapsed = "collapsed",
        /// By Claude, although the ledger may have had an answer.
        Refresh = "refresh",
        /// By Claude, without a look at what the ledger has: it may not answer such calls, or may keep nothing of them.
        Bypass = "bypass",
        /// From a fixture.
        Replay = "replay",
    }
}

impl AnsweredBy {
    /// Whether Claude was asked for this call, so that its tokens were paid for.
    pub const fn asks(self) -> bool {
        matches!(self, Self::Miss | Self::Refresh | Self::Bypass)
    }

    /// Whether the call reuses the answer to an earlier call, so that it costs nothing.
    pub const fn is_reuse(self) -> bool {
        matches!(self, Self::Hit | Self::Collapsed)
    }
}

words! {
    /// The dialect a client spoke.
    Api {
        /// OpenAI chat completions.
        Chat = "chat",
        /// Anthropic Messages.
        Messages = "messages",
    }
}
