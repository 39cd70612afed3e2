//! Text for a terminal. Titles, models, users and errors come from clients and from upstream: none of them may move the
//! cursor, change colours, or reverse the order of what follows.

use std::fmt::{self, Write as _};

/// Tells whether a terminal obeys a character instead of showing it: control characters of C0 and C1 (ECMA-48), marks
/// of direction and line separators (Unicode §23.2, §5.8).
pub fn is_command(c: char) -> bool {
    let marks = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2066}'..='\u{2069}');
    c.is_control() || marks || matches!(c, '\u{2028}'..='\u{202e}')
}

/// Writes `text` with `escape` in place of the commands in it, but for those that are `kept`.
pub fn escape<W: fmt::Write>(
    to: &mut W,
    text: &str,
    kept: &[char],
    escape: impl Fn(&mut W, char) -> fmt::Result,
) -> fmt::Result {
    let mut written = 0;
    for (at, c) in text.char_indices() {
        if is_command(c) && !kept.contains(&c) {
            to.write_str(&text[written..at])?;
            escape(to, c)?;
            written = at + c.len_utf8();
        }
    }
    to.write_str(&text[written..])
}

/// `\u{1b}`, as Rust writes it.
pub fn in_braces(to: &mut impl fmt::Write, c: char) -> fmt::Result {
    write!(to, "{}", c.escape_unicode())
}

/// `text` in one line, without commands: line ends as `\n`.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    let escaped = escape(&mut line, text, &[], |to, c| match c {
        '\n' => to.write_str("\\n"),
        c => in_braces(to, c),
    });
    // A string takes everything.
    debug_assert!(escaped.is_ok());
    line
}
