//! The report of `reprise fixtures list`: one line per fixture.

use std::fmt;

use serde::Serialize;

use super::{
    sessions::shortened,
    table::{Column, Table},
};
use crate::{domain::cassette::Cassette, fixture::Fixture};

/// Maximum length of a question or an answer, in characters.
const LONGEST_TEXT: usize = 60;

/// The report of `reprise fixtures list`.
#[derive(Debug, Serialize)]
pub struct FixtureList {
    /// The fixtures, in the order of their files.
    pub fixtures: Vec<FixtureRow>,
}

/// One fixture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FixtureRow {
    /// The path of the file.
    pub file: String,
    /// The requested model; empty if the file cannot be read.
    pub model: String,
    /// The task, or the last user message.
    pub asked: String,
    /// The summary of the answer.
    pub answered: Vec<String>,
    /// The number of findings of `reprise fixtures lint`.
    pub findings: usize,
}

impl FixtureList {
    /// Builds the list from parsed fixtures.
    pub fn of(fixtures: &[Fixture]) -> Self {
        let line = |fixture: &Fixture| {
            let cassette = fixture.cassette.as_ref();
            let client = cassette.and_then(|cassette| cassette.client.as_ref());
            let task = client.and_then(|client| client.task.clone());
            let asked = task.or_else(|| cassette?.last_user_text()).unwrap_or_default();
            FixtureRow {
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

impl fmt::Display for FixtureList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.fixtures.is_empty() {
            return writeln!(
                f,
                "There are no fixtures here; `reprise fixtures export --last 1` makes some."
            );
        }
        let parts = |line: &FixtureRow| {
            let (folder, name) = line.file.rsplit_once('/').unwrap_or((".", &line.file));
            (folder.to_owned(), name.to_owned())
        };
        let mut table = Table::new([
            Column::name(""),
            Column::text("").expendable(1),
            Column::text("").expendable(2),
        ]);
        let mut above = None;
        for line in &self.fixtures {
            let (folder, name) = parts(line);
            if above.as_ref() != Some(&folder) {
                table.caption(&folder);
                above = Some(folder);
            }
            let answered = match line.findings {
                0 => line.answered.first().cloned().unwrap_or_default(),
                _ => "see `reprise fixtures lint`".to_owned(),
            };
            let texts = [&line.asked, &answered].map(|text| shortened(text, LONGEST_TEXT));
            let [asked, answered] = texts;
            table.row([format!("  {name}"), asked, answered]);
        }
        table.fmt(f)
    }
}
