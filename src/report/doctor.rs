//! What was found in an examination, and what to do about it.

use std::fmt;

use serde::Serialize;

use super::columns::columns;

/// The report of `reprise doctor`.
#[derive(Debug, Default, Serialize)]
pub struct Examination {
    /// In the order in which things were looked at.
    pub findings: Vec<Finding>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// How it is.
    pub state: Health,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub advice: Option<String>,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Well.
    Ok,
    /// It works, and could be better.
    Note,
    /// It does not work, or is dangerous.
    Wrong,
}

impl Examination {
    /// Something is well.
    pub fn ok(&mut self, what: &'static str, found: impl Into<String>) {
        self.add(what, Health::Ok, found.into(), None);
    }

    /// Something could be better.
    pub fn note(
        &mut self,
        what: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.add(what, Health::Note, found.into(), Some(advice.into()));
    }

    /// Something is wrong.
    pub fn wrong(
        &mut self,
        what: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.add(what, Health::Wrong, found.into(), Some(advice.into()));
    }

    /// Whether nothing is wrong.
    pub fn is_well(&self) -> bool {
        self.findings.iter().all(|finding| finding.state != Health::Wrong)
    }

    fn add(&mut self, what: &'static str, state: Health, found: String, advice: Option<String>) {
        self.findings.push(Finding { what, state, found, advice });
    }
}

impl fmt::Display for Examination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        for Finding { what, state, found, advice } in &self.findings {
            let word = match state {
                Health::Ok => "ok",
                Health::Note => "note",
                Health::Wrong => "WRONG",
            };
            lines.push([(*what).to_owned(), word.to_owned(), found.clone()]);
            lines.extend(
                advice.iter().map(|advice| [String::new(), String::new(), format!("→ {advice}")]),
            );
        }
        columns(f, &lines)?;
        let count = |health| self.findings.iter().filter(|found| found.state == health).count();
        match (count(Health::Wrong), count(Health::Note)) {
            (0, 0) => writeln!(f, "\nAll is well."),
            (0, notes) => writeln!(f, "\nNothing is wrong; {notes} could be better."),
            (wrong, _) => writeln!(f, "\n{wrong} wrong."),
        }
    }
}
