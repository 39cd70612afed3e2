//! The settings of a replay.

use std::time::Duration;

use clap::Args;

use super::{
    flags::heading,
    parsers::{Expected, duration, word},
};
use crate::domain::cassette::{IgnoredPart, WhenExhausted};

/// The settings of a replay.
#[derive(Debug, Clone, PartialEq, Args)]
#[command(next_help_heading = heading::REPLAY)]
pub struct ReplaySettings {
    /// Playback speed: 1 as recorded, 2 twice as fast, 0 as fast as the client reads
    #[arg(id = "speed", long, value_name = "N", default_value = "0", value_parser = speed)]
    pub speed: f64,
    /// Longest pause between two events; longer recorded pauses are cut to it
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub longest_gap: Duration,
    /// Answer to a request whose recorded answers have all been given: the last one again, an error, or all over again
    #[arg(
        long,
        value_name = "ANSWER",
        default_value = "last",
        value_parser = word::<WhenExhausted>()
    )]
    pub at_the_end: WhenExhausted,
    /// Parts of requests that need not be equal, as `tools,system`; fixtures that are equal in them too go first
    #[arg(
        long,
        value_name = "PARTS",
        value_delimiter = ',',
        hide_possible_values = true,
        value_parser = word::<IgnoredPart>()
    )]
    pub ignore: Vec<IgnoredPart>,
    /// Answer to a request without a fixture: an error, or Claude's, which is recorded into the first folder
    #[arg(long, value_name = "ACTION", default_value = "fail", value_parser = word::<OnMiss>())]
    pub on_miss: OnMiss,
    /// Exit with a failure if a fixture was not used, or a request found none
    #[arg(long)]
    pub strict: bool,
}

/// Answer to a request without a fixture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum OnMiss {
    /// An error.
    Fail,
    /// Claude's, which is recorded.
    Record,
}

impl ReplaySettings {
    /// Factor by which playback is faster than the recording; `None`: as fast as the client reads.
    pub fn speed(&self) -> Option<f64> {
        Some(self.speed).filter(|speed| *speed > 0.0)
    }
}

fn speed(text: &str) -> Result<f64, Expected> {
    let speed = text.trim().parse().ok().filter(|speed: &f64| speed.is_finite() && *speed >= 0.0);
    speed.ok_or(Expected("0, 1, or how much faster than recorded"))
}
