//! Output for a terminal: text and JSON in which nothing commands it.

use std::io::{self, Write};

use crate::report::escape::{escape, in_braces};

/// Indented JSON with the commands in its strings escaped as JSON has it.
pub(super) fn json(report: &impl serde::Serialize) -> serde_json::Result<String> {
    printable_json(&serde_json::to_string_pretty(report)?)
}

/// The same in one line.
pub(super) fn json_line(report: &impl serde::Serialize) -> serde_json::Result<String> {
    printable_json(&serde_json::to_string(report)?)
}

fn printable_json(json: &str) -> serde_json::Result<String> {
    use std::fmt::Write as _;

    let mut printable = String::with_capacity(json.len());
    let escaped =
        escape(&mut printable, json, &['\n'], |to, c| write!(to, "\\u{:04x}", u32::from(c)));
    escaped.map_err(|_| serde::ser::Error::custom("the report cannot be written"))?;
    Ok(printable)
}

/// Writer that shows commands as escapes, but for line ends (LF and CR LF) and tabs.
#[derive(Debug)]
pub struct Printable<W> {
    to: W,
    /// Beginning of a character or a line end whose rest has not been written yet.
    begun: Vec<u8>,
}

impl<W> Printable<W> {
    /// Writes to `to`.
    pub const fn new(to: W) -> Self {
        Self { to, begun: Vec::new() }
    }
}

impl<W: Write> Write for Printable<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begun.extend_from_slice(bytes);
        let mut text = String::with_capacity(self.begun.len());
        let mut chunks = self.begun.utf8_chunks().peekable();
        let mut rest = 0;
        while let Some(chunk) = chunks.next() {
            let invalid = chunk.invalid();
            let is_last = chunks.peek().is_none();
            let mut valid = chunk.valid();
            if is_last && invalid.is_empty() && valid.ends_with('\r') {
                valid = &valid[..valid.len() - 1];
                rest = 1;
            }
            for line in valid.split_inclusive("\r\n") {
                let (line, end) = match line.strip_suffix("\r\n") {
                    Some(line) => (line, "\r\n"),
                    None => (line, ""),
                };
                let _ = escape(&mut text, line, &['\n', '\t'], in_braces);
                text.push_str(end);
            }
            if is_last && is_beginning(invalid) {
                rest = invalid.len();
            } else if !invalid.is_empty() {
                text.push('\u{fffd}');
            }
        }
        self.begun.drain(..self.begun.len() - rest);
        self.to.write_all(text.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Tells whether more bytes could make a character of these.
fn is_beginning(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::escape::is_command;

    const HOSTILE: &str = "a\u{1b}]0;title\u{7}\u{9b}31m\u{202e}b\u{7f}\r\u{2066}é\u{1f600}\tc\n";

    #[test]
    fn commands_are_shown_however_the_text_is_cut() {
        let expected =
            "a\\u{1b}]0;title\\u{7}\\u{9b}31m\\u{202e}b\\u{7f}\\u{d}\\u{2066}é\u{1f600}\tc\n";
        for size in 1..HOSTILE.len() {
            let mut printed = Vec::new();
            let mut printable = Printable::new(&mut printed);
            for piece in HOSTILE.as_bytes().chunks(size) {
                printable.write_all(piece).unwrap();
            }
            assert_eq!(String::from_utf8(printed).unwrap(), expected, "{size}");
        }
        let mut printed = Vec::new();
        Printable::new(&mut printed).write_all(b"a\xff\xc3(").unwrap();
        assert_eq!(String::from_utf8(printed).unwrap(), "a\u{fffd}\u{fffd}(");
    }

    #[test]
    fn json_stays_json() {
        let json = json(&[HOSTILE]).unwrap();
        assert!(!json.chars().any(|c| is_command(c) && c != '\n'), "{json:?}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [HOSTILE]);
    }
}
