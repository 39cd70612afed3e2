//! Text in lines that fit the terminal, whose width the formatter states (`{:80}`). Without a width, as in a pipe, nothing
//! is cut or wrapped.

use std::fmt;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Width below which nothing is laid out any narrower.
const NARROWEST: usize = 20;
/// Maximum width of a table with bars, and of paragraphs.
pub const COMFORTABLE: usize = 100;

/// The width of the lines; `None`: no limit.
pub(super) fn limit(f: &fmt::Formatter<'_>) -> Option<usize> {
    f.width().map(|width| width.max(NARROWEST))
}

/// `text`, shortened at its end to `most` columns.
pub fn elided(text: &str, most: usize) -> String {
    if text.width() <= most {
        return text.to_owned();
    }
    let mut taken = 0;
    let fits = |(_, c): &(usize, char)| {
        taken += c.width().unwrap_or(0);
        taken < most
    };
    let end = text.char_indices().take_while(fits).last().map_or(0, |(at, c)| at + c.len_utf8());
    let mut short = text[..end].trim_end().to_owned();
    // A sequence may be wider than its characters.
    while short.width() + 1 > most && short.pop().is_some() {}
    short + "…"
}

/// `text` in lines of `most` columns, broken at spaces. A longer word, such as a path, stays whole.
pub fn wrapped(text: &str, most: usize) -> Vec<String> {
    if text.width() <= most {
        return vec![text.to_owned()];
    }
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut taken = 0;
    for word in text.split_inclusive(' ') {
        let (whole, bare) = (word.width(), word.trim_end().width());
        if taken > 0 && taken + bare > most {
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
            taken = 0;
        }
        line.push_str(word);
        taken += whole;
    }
    lines.push(line.trim_end().to_owned());
    lines
}

/// `parts` in lines, which break between parts. A line that is continued ends with the separator.
pub(super) fn flowed(parts: Vec<String>, separator: &str, most: Option<usize>) -> Vec<String> {
    let end = separator.trim_end();
    let mut lines: Vec<String> = Vec::new();
    let mut parts = parts.into_iter().peekable();
    while let Some(part) = parts.next() {
        let after = if parts.peek().is_some() { end.width() } else { 0 };
        let fits = |line: &str| {
            let width = line.width() + separator.width() + part.width() + after;
            most.is_none_or(|most| width <= most)
        };
        match lines.last_mut() {
            Some(line) if fits(line) => line.extend([separator, &part]),
            Some(line) => {
                line.push_str(end);
                lines.push(part);
            }
            None => lines.push(part),
        }
    }
    lines
}

/// Writes a text that wraps between words, after a name in a column of its own.
pub fn paragraph(f: &mut fmt::Formatter<'_>, name: &str, text: &str) -> fmt::Result {
    let indent = name.width();
    let lines = match limit(f) {
        Some(limit) => wrapped(text, limit.min(COMFORTABLE).saturating_sub(indent).max(1)),
        None => vec![text.to_owned()],
    };
    for (at, line) in lines.iter().enumerate() {
        let name = if at == 0 { name } else { "" };
        writeln!(f, "{}", format!("{name:indent$}{line}").trim_end())?;
    }
    Ok(())
}

/// Writes a list with commas that wraps between its parts, after a name in a column of its own.
pub fn list(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    parts: impl IntoIterator<Item = String>,
) -> fmt::Result {
    let most = limit(f).map(|limit| limit.min(COMFORTABLE).saturating_sub(name.width()));
    let lines = flowed(parts.into_iter().collect(), ", ", most).into_iter();
    let lines = lines.flat_map(|line| wrapped(&line, most.unwrap_or(usize::MAX)));
    for (at, line) in lines.enumerate() {
        f.write_str(if at == 0 { name } else { "" })?;
        if at > 0 {
            write!(f, "{:1$}", "", name.width())?;
        }
        writeln!(f, "{line}")?;
    }
    Ok(())
}
