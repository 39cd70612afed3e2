//! Fixtures, a line each.

use std::fmt;

use serde::Serialize;

use super::sessions::shortened;
use crate::{domain::cassette::Cassette, fixture::Fixture};

/// Columns of a terminal that a line may take.
const WIDTH: usize = 100;
/// A longer name takes more than its column.
const LONGEST_NAME: usize = 50;

/// The report of `reprise fixtures list`.
#[derive(Debug, Serialize)]
pub struct Listing {
    /// In the order of their files.
    pub fixtures: Vec<Line>,
}

/// One fixture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Where it is.
    pub file: String,
    /// The model that is asked; empty where it cannot be read.
    pub model: String,
    /// What is asked last, or the task.
    pub asked: String,
    /// What is answered, by the summary.
    pub answered: Vec<String>,
    /// What is wrong with it.
    pub findings: usize,
}

impl Listing {
    /// Of fixtures that were read.
    pub fn of(fixtures: &[Fixture]) -> Self {
        let line = |fixture: &Fixture| {
            let cassette = fixture.cassette.as_ref();
            let client = cassette.and_then(|cassette| cassette.client.as_ref());
            let task = client.and_then(|client| client.task.clone());
            let asked = task.or_else(|| cassette?.last_user_text()).unwrap_or_default();
            Line {
                file: fixture.path.display().to_string(),
                model: cassette.map(Cassette::model).unwrap_or_default(),
                asked,
                answered: cassette.map(|cassette| cassette.response.summary()).unwrap_or_default(),
                findings: fixture.findings.len(),
            }
        };
        Self { fixtures: fixtures.iter().map(line).collect() }
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.fixtures.is_empty() {
            return writeln!(
                f,
                "There are no fixtures here; `reprise fixtures export --last 1` makes some."
            );
        }
        let parts = |line: &Line| {
            let (folder, name) = line.file.rsplit_once('/').unwrap_or((".", &line.file));
            (folder.to_owned(), name.to_owned())
        };
        let names = self.fixtures.iter().map(|line| parts(line).1.chars().count());
        let width = names.max().unwrap_or(0).min(LONGEST_NAME);
        let rest = WIDTH.saturating_sub(width + 6);
        let mut above = None;
        for line in &self.fixtures {
            let (folder, name) = parts(line);
            if above.as_ref() != Some(&folder) {
                writeln!(f, "{folder}")?;
                above = Some(folder);
            }
            let answered = match line.findings {
                0 => line.answered.first().cloned().unwrap_or_default(),
                _ => "see `reprise fixtures lint`".to_owned(),
            };
            let (asked, answered) =
                (shortened(&line.asked, rest / 2), shortened(&answered, rest / 2));
            let told = format!("  {name:width$}  {asked:half$}  {answered}", half = rest / 2);
            writeln!(f, "{}", told.trim_end())?;
        }
        Ok(())
    }
}
