//! The report of `reprise doctor`: the checks, their results and advice.

use std::fmt;

use serde::Serialize;

use super::table::{Column, Table};

/// The report of `reprise doctor`.
#[derive(Debug, Default, Serialize)]
pub struct Diagnosis {
    /// The checks, in the order in which they ran.
    #[serde(rename = "findings")]
    pub checks: Vec<Check>,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The subject of the check.
    pub what: &'static str,
    /// The status.
    pub state: CheckStatus,
    /// The observation.
    pub found: String,
    /// The recommended action.
    pub advice: Option<String>,
}

/// The status of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// In order.
    Ok,
    /// Working, with room for improvement.
    Note,
    /// Broken or dangerous.
    Wrong,
}

impl Diagnosis {
    /// Adds a check that passed.
    pub fn ok(&mut self, what: &'static str, found: impl Into<String>) {
        self.add(what, CheckStatus::Ok, found.into(), None);
    }

    /// Adds a check with a recommendation.
    pub fn note(
        &mut self,
        what: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.add(what, CheckStatus::Note, found.into(), Some(advice.into()));
    }

    /// Adds a check that failed.
    pub fn wrong(
        &mut self,
        what: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.add(what, CheckStatus::Wrong, found.into(), Some(advice.into()));
    }

    /// Returns true if no check failed.
    pub fn is_well(&self) -> bool {
        self.checks.iter().all(|finding| finding.state != CheckStatus::Wrong)
    }

    fn add(
        &mut self,
        what: &'static str,
        state: CheckStatus,
        found: String,
        advice: Option<String>,
    ) {
        self.checks.push(Check { what, state, found, advice });
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new([Column::name(""), Column::name(""), Column::prose("")]);
        for Check { what, state, found, advice } in &self.checks {
            let word = match state {
                CheckStatus::Ok => "ok",
                CheckStatus::Note => "note",
                CheckStatus::Wrong => "WRONG",
            };
            table.row([what, word, found]);
            if let Some(advice) = advice {
                table.row(["", "", &format!("→ {advice}")]);
            }
        }
        table.fmt(f)?;
        let count = |health| self.checks.iter().filter(|found| found.state == health).count();
        match (count(CheckStatus::Wrong), count(CheckStatus::Note)) {
            (0, 0) => writeln!(f, "\nAll is well."),
            (0, notes) => writeln!(f, "\nNothing is wrong; {notes} could be better."),
            (wrong, _) => writeln!(f, "\n{wrong} wrong."),
        }
    }
}
