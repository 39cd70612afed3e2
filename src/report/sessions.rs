//! The ledger read as chats: what was asked, what was answered, where a chat branched, what it cost.

mod markdown;
mod turn;

use std::fmt;

use comfy_table::{
    Cell, CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle,
};
use serde::Serialize;

pub use self::turn::{Branch, Turn};
use super::numbers::{dollars, thousands};
use crate::{
    domain::exchange::{AnsweredBy, Cost, NanoDollars, UnixMillis},
    store::{self, CallLine, Reader, SessionRow},
};

/// Columns of a terminal that a table may take.
const WIDTH: u16 = 100;
/// Longer titles are shortened, in characters.
const LONGEST_TITLE: usize = 60;
/// Open WebUI's word for the call whose answer is the title.
const TITLE: &str = "title_generation";

/// The report of `reprise sessions list`, the newest first.
#[derive(Debug, Serialize)]
pub struct Sessions {
    /// As many as were asked for.
    pub sessions: Vec<Heading>,
    /// How many there are besides.
    pub more: usize,
}

/// What a session is, in a line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Heading {
    /// What it is called by in commands.
    pub id: String,
    /// As the client's title task had it, else the first question.
    pub title: String,
    /// When it began, UTC.
    pub began: String,
    /// All calls, background calls included.
    pub calls: usize,
    /// Those that Claude was asked for.
    pub paid: usize,
    /// US dollars, as far as they are known; `None` where nothing is.
    pub cost: Option<f64>,
    /// Calls of which only a lower bound of the cost is known.
    pub at_least: usize,
    /// Calls without a known price.
    pub unpriced: usize,
}

/// The report of `reprise sessions show`.
#[derive(Debug, Serialize)]
pub struct Session {
    /// What it is.
    #[serde(flatten)]
    pub heading: Heading,
    /// In the order in which they were asked.
    pub turns: Vec<Turn>,
}

impl Sessions {
    /// The newest `most` of these sessions.
    pub async fn of(
        ledger: &Reader,
        rows: &[SessionRow],
        most: usize,
    ) -> Result<Self, store::Error> {
        let mut sessions = Vec::new();
        for row in rows.iter().rev().take(most) {
            sessions.push(Heading::of(ledger, row).await?);
        }
        let more = rows.len() - sessions.len();
        Ok(Self { sessions, more })
    }
}

impl Heading {
    /// Of a session.
    pub async fn of(ledger: &Reader, row: &SessionRow) -> Result<Self, store::Error> {
        let is_paid = |call: &&CallLine| {
            matches!(call.answered_by, AnsweredBy::Miss | AnsweredBy::Refresh | AnsweredBy::Bypass)
        };
        let paid = row.calls.iter().filter(is_paid).count();
        let costs = || row.calls.iter().map(|call| call.cost);
        let known: i64 = costs().filter_map(Cost::amount).map(|amount| amount.0).sum();
        let unpriced = costs().filter(|cost| matches!(cost, Cost::Unpriced)).count();
        Ok(Self {
            id: row.id.clone(),
            title: shortened(&title(ledger, row).await?, LONGEST_TITLE),
            began: when(row.calls.first().map_or_else(UnixMillis::default, |call| call.at)),
            calls: row.calls.len(),
            paid,
            cost: (unpriced == 0 || unpriced < row.calls.len())
                .then(|| NanoDollars(known).dollars()),
            at_least: costs().filter(|cost| matches!(cost, Cost::AtLeast(_))).count(),
            unpriced,
        })
    }

    fn cost_in_words(&self) -> String {
        let Some(cost) = self.cost else { return "unpriced".to_owned() };
        let at_least = if self.at_least > 0 { "≥ " } else { "" };
        let unpriced = if self.unpriced > 0 { " +?" } else { "" };
        format!("{at_least}{}{unpriced}", dollars(cost))
    }
}

/// What a session is called: by the title task of its client, else by its first question.
pub async fn title(ledger: &Reader, row: &SessionRow) -> Result<String, store::Error> {
    let task = |call: &&CallLine| call.task.as_deref() == Some(TITLE);
    // The newest title counts, as it does in the client.
    for call in row.calls.iter().rev().filter(task) {
        let answer = turn::answer(ledger, call).await?;
        if let Some(title) = answer.and_then(|answer| named(&answer.text)) {
            return Ok(title);
        }
    }
    for call in row.calls.iter().filter(|call| call.task.is_none()) {
        if let Some(question) = turn::question(ledger, call).await? {
            return Ok(question);
        }
    }
    Ok("(nothing kept)".to_owned())
}

/// The title in the answer of a title task: `{"title": "…"}`, with or without words around it.
fn named(answer: &str) -> Option<String> {
    let json = answer.get(answer.find('{')?..=answer.rfind('}')?)?;
    let value: serde_json::Value = serde_json::from_str(json).ok()?;
    value["title"].as_str().map(str::trim).filter(|title| !title.is_empty()).map(str::to_owned)
}

impl Session {
    /// Reads a session with all that was said.
    pub async fn of(ledger: &Reader, row: &SessionRow) -> Result<Self, store::Error> {
        let heading = Heading::of(ledger, row).await?;
        let turns = turn::turns(ledger, row).await?;
        Ok(Self { heading, turns })
    }

    /// Whether somebody says this in it, in whatever case. `text` is in lower case.
    pub fn says(&self, text: &str) -> bool {
        let mut said = self.turns.iter().flat_map(|turn| {
            [turn.question.as_deref(), turn.answer.as_deref()].into_iter().flatten()
        });
        self.heading.title.to_lowercase().contains(text)
            || said.any(|said| said.to_lowercase().contains(text))
    }

    /// For a document.
    pub fn markdown(&self) -> String {
        markdown::of(self)
    }
}

impl fmt::Display for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.sessions.is_empty() {
            return writeln!(f, "There are no such sessions in the ledger.");
        }
        let mut table = Table::new();
        table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─')));
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        table.set_header([
            Cell::new("session"),
            Cell::new("began (UTC)"),
            right("calls".to_owned()),
            right("cost".to_owned()),
            Cell::new("title"),
        ]);
        for heading in &self.sessions {
            table.add_row([
                Cell::new(&heading.id),
                Cell::new(&heading.began),
                right(thousands(u64::try_from(heading.calls).unwrap_or(u64::MAX))),
                right(heading.cost_in_words()),
                Cell::new(&heading.title),
            ]);
        }
        for (at, column) in table.column_iter_mut().enumerate() {
            column.set_padding((if at == 0 { 0 } else { 2 }, 0));
            if at != 0 && at != 4 {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        for line in table.lines() {
            writeln!(f, "{}", line.trim_end())?;
        }
        match self.more {
            0 => Ok(()),
            1 => writeln!(f, "and one older session; --last 0 shows all"),
            more => writeln!(f, "and {more} older sessions; --last 0 shows all"),
        }
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { heading, turns } = self;
        writeln!(f, "{}", heading.title)?;
        let calls = if heading.calls == 1 { "call" } else { "calls" };
        writeln!(
            f,
            "{} · {} UTC · {} {calls} · {}",
            heading.id,
            heading.began,
            heading.calls,
            heading.cost_in_words()
        )?;
        for turn in turns {
            writeln!(f, "\n{turn}")?;
        }
        Ok(())
    }
}

/// The first line of a text, not longer than so many characters.
pub(super) fn shortened(text: &str, most: usize) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines.next().unwrap_or_default();
    if line.chars().count() <= most && lines.next().is_none() {
        return line.to_owned();
    }
    let kept: String = line.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// A moment to the minute, UTC.
pub(super) fn when(at: UnixMillis) -> String {
    let moment = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    moment.strftime("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_found_in_what_the_task_answered() {
        assert_eq!(named(r#"{"title": "Weather"}"#).as_deref(), Some("Weather"));
        assert_eq!(named("```json\n{ \"title\": \" W \" }\n```").as_deref(), Some("W"));
        assert_eq!(named(r#"{"title": ""}"#), None);
        assert_eq!(named("Weather"), None);
    }

    #[test]
    fn a_long_text_is_shortened_to_one_line() {
        assert_eq!(shortened("\n one\n", 10), "one");
        assert_eq!(shortened("one\ntwo", 10), "one…");
        assert_eq!(shortened("one two three", 8), "one two…");
    }
}
