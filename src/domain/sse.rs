//! Server-sent events as bytes: where an event ends, and what it says.
//!
//! Knows bytes only, never sockets: live streams, stored recordings and tests are read alike, wherever the
//! bytes were cut. Line ends are LF or CRLF; the lone CR that the specification also allows is sent by nobody.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter};

/// Offsets at which events end in `bytes`, after their blank lines, from `from` on. A blank line at the beginning is an
/// event of nothing, as one more behind an event is: no cut of the network makes a difference.
pub fn event_ends(bytes: &[u8], from: usize) -> impl Iterator<Item = usize> + '_ {
    memchr_iter(b'\n', &bytes[from..]).filter_map(move |at| {
        let at = from + at;
        let before = match bytes[..at].last() {
            Some(b'\r') => &bytes[..at - 1],
            _ => &bytes[..at],
        };
        matches!(before.last(), None | Some(b'\n')).then_some(at + 1)
    })
}

/// One event, as it stands in the stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The `event:` field; empty when there is none.
    pub name: &'a [u8],
    /// The `data:` lines, joined by line feeds; empty when there are none.
    pub data: Cow<'a, [u8]>,
}

/// Parses the lines of one event. Comments and unknown fields are ignored, as the specification requires.
pub fn parse(event: &[u8]) -> Event<'_> {
    let mut name: &[u8] = b"";
    let mut data: Option<Cow<'_, [u8]>> = None;
    for line in lines(event) {
        if let Some(value) = field(line, b"data") {
            match &mut data {
                None => data = Some(Cow::Borrowed(value)),
                Some(data) => {
                    let data = data.to_mut();
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            }
        } else if let Some(value) = field(line, b"event") {
            name = value;
        }
    }
    Event { name, data: data.unwrap_or_default() }
}

fn lines(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let (line, rest) = match memchr(b'\n', bytes) {
            Some(end) => (&bytes[..end], &bytes[end + 1..]),
            None => (bytes, &bytes[bytes.len()..]),
        };
        bytes = rest;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    })
}

fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = line.strip_prefix(name)?.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_ends_with_its_blank_line_in_both_line_ends() {
        let stream = b"event: a\ndata: 1\n\nevent: b\r\ndata: 2\r\n\r\ndata: 3\n";
        let ends: Vec<_> = event_ends(stream, 0).collect();
        assert_eq!(ends, [18, 39]);
        assert_eq!(parse(&stream[18..39]), Event { name: b"b", data: Cow::Borrowed(b"2") });
    }

    #[test]
    fn a_blank_line_ends_an_event_also_where_none_began() {
        let stream = b"\r\n\ndata: 1\n\n\n";
        let ends: Vec<_> = event_ends(stream, 0).collect();
        assert_eq!(ends, [2, 3, 12, 13]);
        assert_eq!(event_ends(b"\n", 0).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn data_lines_are_joined_and_comments_ignored() {
        let event = parse(b": hello\ndata: {\"a\":\ndata:1}\nid: 7\n\n");
        assert_eq!(event, Event { name: b"", data: Cow::Borrowed(b"{\"a\":\n1}") });
    }
}
