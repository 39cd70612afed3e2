//! Report of `reprise fixtures verify --older-than`.

use std::fmt;

use jiff::civil::Date;
use serde::Serialize;

use super::counted;

/// Report on the age of fixtures.
#[derive(Debug, Serialize)]
pub struct AgeReport {
    /// The first day that is recent.
    pub since: Date,
    /// The fixtures, in the order of their files.
    pub fixtures: Vec<FixtureAge>,
}

/// Age of one fixture.
#[derive(Debug, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum FixtureAge {
    /// Recorded before the first recent day.
    Old {
        /// Path.
        file: String,
        /// Day of the recording.
        recorded: Date,
        /// Age in days.
        days: i32,
    },
    /// Recorded since.
    Recent {
        /// Path.
        file: String,
        /// Day of the recording.
        recorded: Date,
        /// Age in days.
        days: i32,
    },
    /// The day is still to come.
    Future {
        /// Path.
        file: String,
        /// Stated day.
        recorded: Date,
    },
    /// The day is not known.
    Undated {
        /// Path.
        file: String,
        /// The text that should be a date, if there is one.
        stated: Option<String>,
        /// True if a hand wrote it.
        hand_written: bool,
    },
    /// The file is no valid fixture.
    Broken {
        /// Path.
        file: String,
        /// Mistakes, by file and line.
        findings: Vec<String>,
    },
}

impl AgeReport {
    /// True if a fixture is old, or has a date or a mistake that makes its age unknown.
    pub fn failed(&self) -> bool {
        self.fixtures.iter().any(|fixture| match fixture {
            FixtureAge::Recent { .. } => false,
            FixtureAge::Undated { stated, hand_written, .. } => stated.is_some() || !hand_written,
            FixtureAge::Old { .. } | FixtureAge::Future { .. } | FixtureAge::Broken { .. } => true,
        })
    }
}

impl fmt::Display for AgeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { since, fixtures } = self;
        let (mut old, mut recent, mut unknown) = (0, 0, 0);
        for fixture in fixtures {
            match fixture {
                FixtureAge::Recent { .. } => recent += 1,
                FixtureAge::Old { file, recorded, days } => {
                    old += 1;
                    let days = counted(usize::try_from(*days).unwrap_or(0), "day");
                    writeln!(f, "old      {file}: recorded on {recorded}, {days} ago")?;
                }
                FixtureAge::Future { file, recorded } => {
                    unknown += 1;
                    writeln!(f, "wrong    {file}: recorded on {recorded}, which is in the future")?;
                }
                FixtureAge::Undated { file, stated: Some(stated), .. } => {
                    unknown += 1;
                    writeln!(f, "wrong    {file}: recorded is no date: {stated:?}")?;
                }
                FixtureAge::Undated { file, stated: None, hand_written } => {
                    unknown += 1;
                    let hand = if *hand_written { "written by hand, " } else { "" };
                    writeln!(f, "no date  {file}: {hand}without \"recorded\"")?;
                }
                FixtureAge::Broken { findings, .. } => {
                    unknown += 1;
                    for finding in findings {
                        writeln!(f, "wrong    {finding}")?;
                    }
                }
            }
        }
        writeln!(f, "{old} recorded before {since}, {recent} since, {unknown} of unknown age")
    }
}
