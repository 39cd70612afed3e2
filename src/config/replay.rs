//! The settings of a replay.

use std::{path::PathBuf, time::Duration};

use super::{Error, layers::Layers};
use crate::domain::cassette::WhenExhausted;

/// A pause in a recording is not played longer, unless the operator says otherwise.
const LONGEST_GAP: Duration = Duration::from_secs(5);
/// Where fixtures are, unless the operator says otherwise.
const FOLDER: &str = "fixtures";

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Claude, and the ledger.
    Live,
    /// Fixtures.
    Replay,
}

/// What is replayed, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// Files, and folders with all that is in them.
    pub fixtures: Vec<PathBuf>,
    /// How much faster than it was recorded; `None`: as fast as it is read.
    pub speed: Option<f64>,
    /// No pause between two events is longer.
    pub longest_gap: Duration,
    /// What happens when all answers to a request have been given.
    pub at_the_end: WhenExhausted,
    /// Whether fixtures that nobody asked for, and requests that found none, are a failure.
    pub strict: bool,
}

pub(super) fn mode(layers: &Layers) -> Result<Mode, Error> {
    let mode = layers.read_as("mode", "`live` or `replay`", |word| match word {
        "live" => Some(Mode::Live),
        "replay" => Some(Mode::Replay),
        _ => None,
    })?;
    Ok(mode.unwrap_or(Mode::Live))
}

pub(super) fn replay(layers: &Layers) -> Result<Replay, Error> {
    let speed = layers.read_as("speed", "0, 1, or how much faster than recorded", |speed| {
        speed.parse().ok().filter(|speed: &f64| speed.is_finite() && *speed >= 0.0)
    })?;
    let at_the_end =
        layers.read_as("at_the_end", "`last`, `error` or `cycle`", |word| word.parse().ok())?;
    let fixtures = layers.text("fixtures").map_or(FOLDER, |setting| &setting.value);
    Ok(Replay {
        fixtures: fixtures.split(':').filter(|path| !path.is_empty()).map(PathBuf::from).collect(),
        speed: speed.filter(|speed| *speed > 0.0),
        longest_gap: layers.time("longest_gap")?.unwrap_or(LONGEST_GAP),
        at_the_end: at_the_end.unwrap_or_default(),
        strict: layers.switch("strict")?,
    })
}
