//! A turn as text. Questions, tool results and tool calls have marks of their own in a column where answers have none, so
//! that they are told apart without colours, also in the middle of a long text.

use std::fmt;

use super::{Branch, ToolResult, Turn, shortened};
use crate::report::lines::paragraph;

/// Maximum length of the line of a background task and of the thinking, in characters.
const LONGEST_ASIDE: usize = 88;
/// Number of lines of a tool's result that are shown.
const RESULT_LINES: usize = 10;
/// Maximum length of a line of a tool's result, in characters.
const RESULT_LINE: usize = 400;

/// Writes a turn: what is new in the request, who answered, the answer.
pub(super) fn write(f: &mut fmt::Formatter<'_>, turn: &Turn) -> fmt::Result {
    let mut number = format!("{:>3}  ", turn.number);
    let mut number = || std::mem::replace(&mut number, " ".repeat(5));
    if let Some(task) = &turn.task {
        paragraph(f, &number(), &format!("{task} · {}", turn.bill()))?;
        let answer = turn.answer.clone().or_else(|| turn.absence_in_words()).unwrap_or_default();
        return paragraph(f, &format!("{}  ", number()), &shortened(&answer, LONGEST_ASIDE));
    }
    if let Some(branch) = turn.branch_in_words() {
        paragraph(f, &number(), &format!("({branch})"))?;
    }
    // A request that is repeated is not printed again.
    if !matches!(turn.branch, Some(Branch::Again(_))) {
        for result in &turn.results {
            write_result(f, &number(), result)?;
        }
        for line in turn.question_in_words().iter().flat_map(|question| question.lines()) {
            paragraph(f, &format!("{}> ", number()), line)?;
        }
    }
    paragraph(f, &number(), &turn.bill())?;
    let margin = number();
    if let Some(first) = turn.same_answer_as {
        return paragraph(f, &format!("{margin}  "), &format!("(the answer of {first})"));
    }
    if let Some(thinking) = &turn.thinking {
        paragraph(f, &format!("{margin}~ "), &shortened(thinking, LONGEST_ASIDE))?;
    }
    for line in turn.answer.iter().flat_map(|answer| answer.trim_end().lines()) {
        paragraph(f, &format!("{margin}  "), line)?;
    }
    for tool in &turn.tools {
        write_lines(f, &format!("{margin}→ "), &format!("{margin}  "), tool.lines())?;
    }
    match turn.absence_in_words() {
        Some(absence) => paragraph(f, &format!("{margin}  "), &absence),
        None => Ok(()),
    }
}

fn write_result(
    f: &mut fmt::Formatter<'_>,
    margin: &str,
    ToolResult { tool, content }: &ToolResult,
) -> fmt::Result {
    let named = format!("{}: {content}", tool.as_deref().unwrap_or("result"));
    let lines: Vec<&str> = named.lines().collect();
    let rest = " ".repeat(margin.len() + 2);
    let shown = lines.iter().take(RESULT_LINES).map(|line| shortened(line, RESULT_LINE));
    write_lines(f, &format!("{margin}← "), &rest, shown)?;
    match lines.len().saturating_sub(RESULT_LINES) {
        0 => Ok(()),
        more => paragraph(f, &rest, &format!("({more} more lines; --json has all)")),
    }
}

fn write_lines<T: AsRef<str>>(
    f: &mut fmt::Formatter<'_>,
    first: &str,
    rest: &str,
    lines: impl Iterator<Item = T>,
) -> fmt::Result {
    for (at, line) in lines.enumerate() {
        paragraph(f, if at == 0 { first } else { rest }, line.as_ref())?;
    }
    Ok(())
}
