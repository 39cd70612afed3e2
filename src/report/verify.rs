//! Report of `reprise fixtures verify`.

use std::fmt;

use serde::Serialize;

use crate::domain::cassette::ShapeChange;

/// Report on fixtures whose requests were sent again.
#[derive(Debug, Serialize)]
pub struct VerifyReport(pub Vec<Verification>);

/// Verification of one fixture.
#[derive(Debug, Serialize)]
pub struct Verification {
    /// Path of the fixture.
    pub file: String,
    /// Result.
    #[serde(flatten)]
    pub outcome: VerifyOutcome,
}

/// Result of verifying one fixture.
#[derive(Debug, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum VerifyOutcome {
    /// The same shape, apart from additions.
    Same {
        /// Additions.
        notes: Vec<ShapeChange>,
    },
    /// Something is missing or different.
    Changed {
        /// Differences.
        changes: Vec<ShapeChange>,
    },
    /// No answer.
    Unanswered {
        /// Reason.
        why: String,
    },
    /// No valid fixture.
    Broken {
        /// Mistakes, by file and line.
        findings: Vec<String>,
    },
    /// Not sent.
    NotAsked {
        /// Reason.
        why: &'static str,
    },
}

impl VerifyReport {
    /// True if an answer is different or missing, or a file is wrong.
    pub fn failed(&self) -> bool {
        self.0.iter().any(|fixture| {
            matches!(
                fixture.outcome,
                VerifyOutcome::Changed { .. }
                    | VerifyOutcome::Unanswered { .. }
                    | VerifyOutcome::Broken { .. }
            )
        })
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut same, mut failed, mut left) = (0, 0, 0);
        for Verification { file, outcome } in &self.0 {
            match outcome {
                VerifyOutcome::Same { notes } => {
                    same += 1;
                    writeln!(f, "same       {file}")?;
                    write_changes(f, notes)?;
                }
                VerifyOutcome::Changed { changes } => {
                    failed += 1;
                    writeln!(f, "changed    {file}")?;
                    write_changes(f, changes)?;
                }
                VerifyOutcome::Unanswered { why } => {
                    failed += 1;
                    writeln!(f, "no answer  {file}: {why}")?;
                }
                VerifyOutcome::Broken { findings } => {
                    failed += 1;
                    for finding in findings {
                        writeln!(f, "wrong      {finding}")?;
                    }
                }
                VerifyOutcome::NotAsked { why } => {
                    left += 1;
                    writeln!(f, "not sent   {file}: {why}")?;
                }
            }
        }
        writeln!(f, "{same} have the same shape, {failed} do not, {left} were not sent")
    }
}

fn write_changes(f: &mut fmt::Formatter<'_>, changes: &[ShapeChange]) -> fmt::Result {
    for ShapeChange { breaks, at, what } in changes {
        writeln!(f, "  {:9}{at} {what}", if *breaks { "" } else { "note" })?;
    }
    Ok(())
}
