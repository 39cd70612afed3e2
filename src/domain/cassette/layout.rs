//! A cassette as the text of its file: for a reviewer first, and always the same.
//!
//! Keys stand in one order, requests are indented, an event is a line, line ends are LF. What would bury the rest (a
//! picture, a prompt of many pages) is kept beside the file, under its hash: a picture as the picture it is, a text as
//! a text.

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use super::{
    Cassette, Client, Response, SCHEMA, Said,
    tree::{Node, Tree, encode},
};
use crate::domain::media_type;

/// Longer texts are kept beside the file, in bytes.
const LONG: usize = 2048;
/// What fits into so many columns is not broken into lines.
const WIDTH: usize = 100;
/// How the names of texts end that are kept beside the file.
const TEXT: &str = "txt";
/// What stands in the place of a text that is kept beside the file begins so.
const MARK: &str = "blob:";

/// The text of a file, and what is kept beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The file.
    pub text: String,
    /// Without doubles, in the order of their places.
    pub blobs: Vec<Blob>,
}

/// A text or a picture that is kept beside the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// The SHA-256 of its bytes, and what it is: `0a1b….png`.
    pub name: String,
    /// The content of its file.
    pub bytes: Vec<u8>,
}

impl Cassette {
    /// The text of the file.
    pub fn render(&self) -> Rendered {
        let Self { recorded, client, upstream, at_the_end, response } = self;
        let mut blobs = Vec::new();
        let mut file = Fields::new(0);
        file.put("schema", &SCHEMA.to_string());
        if let Some(day) = recorded {
            file.put("recorded", &encode(day));
        }
        if let Some(Client { door, program, task, body }) = client {
            let mut fields = Fields::new(2);
            fields.put("door", &encode(door.into_str()));
            if let Some(program) = program {
                fields.put("program", &encode(program));
            }
            if let Some(task) = task {
                fields.put("task", &encode(task));
            }
            fields.put("body", &document(body, 4, &mut blobs));
            file.put("client", &fields.end());
        }
        if let Some(asked) = upstream {
            let mut fields = Fields::new(2);
            fields.put("version", &encode(asked.headers.version()));
            let betas = asked.headers.betas();
            let betas: Vec<String> = betas.into_iter().map(encode).collect();
            if !betas.is_empty() {
                fields.put("betas", &format!("[{}]", betas.join(", ")));
            }
            fields.put("body", &document(&asked.body, 4, &mut blobs));
            file.put("upstream", &fields.end());
        }
        if let Some(policy) = at_the_end {
            file.put("at_the_end", &encode(policy.name()));
        }
        file.put("response", &render_response(response, &mut blobs));
        Rendered { text: file.end() + "\n", blobs }
    }
}

fn render_response(response: &Response, blobs: &mut Vec<Blob>) -> String {
    let Response { status, headers, delay, said, cut_after } = response;
    let mut fields = Fields::new(2);
    fields.put("status", &status.to_string());
    if !headers.is_empty() {
        let mut lines = Fields::new(4);
        for (name, value) in headers {
            lines.put(name, &encode(value));
        }
        fields.put("headers", &lines.end());
    }
    if *delay > 0 {
        fields.put("delay", &delay.to_string());
    }
    let lines = response.summary().into_iter().map(|line| encode(&line));
    fields.put("summary", &list(lines, 4));
    match said {
        Said::Events(events) => {
            fields.put("events", &list(events.iter().map(super::Event::line), 4));
        }
        Said::Message(message) => fields.put("message", &document(message, 4, blobs)),
        // As it was written: its bytes are what the client gets.
        Said::Error(error) => fields.put("error", error),
    }
    if let Some(events) = cut_after {
        fields.put("cut_after", &events.to_string());
    }
    if let Said::Events(_) = said {
        fields.put("complete", &response.is_complete().to_string());
    }
    fields.end()
}

/// A list with an item a line.
fn list(items: impl Iterator<Item = String>, indent: usize) -> String {
    let items: Vec<String> = items.map(|item| format!("{:indent$}  {item}", "")).collect();
    if items.is_empty() {
        return "[]".to_owned();
    }
    format!("[\n{}\n{:indent$}]", items.join(",\n"), "")
}

/// The fields of an object, a line each, while they are written.
struct Fields {
    indent: usize,
    text: String,
}

impl Fields {
    /// Of an object whose closing brace stands `indent` columns from the left.
    fn new(indent: usize) -> Self {
        Self { indent, text: "{".to_owned() }
    }

    fn put(&mut self, name: &str, value: &str) {
        let comma = if self.text.len() > 1 { "," } else { "" };
        let indent = " ".repeat(self.indent + 2);
        self.text.extend([comma, "\n", &indent, &encode(name), ": ", value]);
    }

    fn end(self) -> String {
        let Self { indent, text } = self;
        format!("{text}\n{:indent$}}}", "")
    }
}

/// JSON laid out for reading, its long texts kept beside it.
fn document(json: &str, indent: usize, blobs: &mut Vec<Blob>) -> String {
    // What was read or translated is JSON; a text that is none would be found when the file is read.
    let Ok(mut tree) = Tree::parse(json) else { return json.to_owned() };
    tree.map(&mut String::new(), &mut |_, text| move_out(text, blobs));
    let mut out = String::new();
    lay_out(&tree, indent, 0, &mut out);
    out
}

/// `used` columns of the line are taken by the name before.
fn lay_out(tree: &Tree<'_>, indent: usize, used: usize, out: &mut String) {
    let mut line = String::new();
    tree.write(&mut line, " ", " ");
    let breaks = indent + used + line.len() > WIDTH;
    match &tree.node {
        Node::List(items) if breaks && !items.is_empty() => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                begin_line(at, indent, out);
                lay_out(item, indent + 2, 0, out);
            }
            end_lines(indent, ']', out);
        }
        Node::Object(fields) if breaks && !fields.is_empty() => {
            out.push('{');
            for (at, (name, value)) in fields.iter().enumerate() {
                begin_line(at, indent, out);
                out.extend([name, ": "]);
                lay_out(value, indent + 2, name.len() + 2, out);
            }
            end_lines(indent, '}', out);
        }
        _ => *out += &line,
    }
}

fn begin_line(at: usize, indent: usize, out: &mut String) {
    out.push_str(if at > 0 { ",\n" } else { "\n" });
    out.extend(std::iter::repeat_n(' ', indent + 2));
}

fn end_lines(indent: usize, bracket: char, out: &mut String) {
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', indent));
    out.push(bracket);
}

/// What stands in the place of a text that is kept beside the file; `None`: it stays. A text that looks as if it were
/// kept elsewhere is, so that none is mistaken.
fn move_out(text: &str, blobs: &mut Vec<Blob>) -> Option<String> {
    let (head, body) = match text.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"))
    {
        Some((kind, body)) => (format!("data:{kind};base64,"), body),
        None => (String::new(), text),
    };
    if text.len() <= LONG && blob_name(body).is_none() {
        return None;
    }
    // A picture is kept as one, if its base64 is as everybody writes it.
    let decoded = if body.len() > LONG { STANDARD.decode(body).ok() } else { None };
    let (head, blob) = match decoded {
        Some(bytes) => (head, blob(bytes, None)),
        None => (String::new(), blob(text.as_bytes().to_vec(), Some(TEXT))),
    };
    let reference = format!("{head}{MARK}{} {} bytes", blob.name, blob.bytes.len());
    if !blobs.contains(&blob) {
        blobs.push(blob);
    }
    Some(reference)
}

fn blob(bytes: Vec<u8>, kind: Option<&'static str>) -> Blob {
    let kind = kind.unwrap_or_else(|| sniffed(&bytes));
    Blob { name: format!("{}.{kind}", hex::encode(Sha256::digest(&bytes))), bytes }
}

/// The extension for a file, by its first bytes.
fn sniffed(bytes: &[u8]) -> &'static str {
    match media_type::sniff(bytes) {
        Some("image/jpeg") => "jpg",
        Some(media_type) => media_type.rsplit('/').next().unwrap_or(media_type),
        None => "bin",
    }
}

/// The name of the blob that a text stands for, if it stands for one.
pub fn blob_name(text: &str) -> Option<&str> {
    let name = text.strip_prefix(MARK)?.split(' ').next()?;
    let (hash, kind) = name.split_once('.')?;
    let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_hash && kind.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(name)
}

/// The text that was moved out, from what stands in its place; `None`: it is itself. `Err`: the blob that is missing,
/// or is not what its name says.
pub(super) fn move_in(
    text: &str,
    blobs: &dyn Fn(&str) -> Option<Vec<u8>>,
) -> Option<Result<String, String>> {
    let (head, reference) =
        match text.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
            Some((kind, reference)) => (format!("data:{kind};base64,"), reference),
            None => (String::new(), text),
        };
    let name = blob_name(reference)?;
    let fits = |bytes: &[u8]| name.starts_with(&hex::encode(Sha256::digest(bytes)));
    let Some(mut bytes) = blobs(name) else {
        return Some(Err(format!(
            "the blob {name} is missing: it belongs into the folder blobs beside the file"
        )));
    };
    if !fits(&bytes) {
        // A checkout that writes CRLF.
        bytes = String::from_utf8(bytes).unwrap_or_default().replace("\r\n", "\n").into_bytes();
    }
    if !fits(&bytes) {
        return Some(Err(format!("the blob {name} was changed: its name is its SHA-256")));
    }
    Some(if name.split('.').next_back() == Some(TEXT) {
        String::from_utf8(bytes).map_err(|_| format!("the blob {name} is no text"))
    } else {
        Ok(head + &STANDARD.encode(bytes))
    })
}

#[cfg(test)]
mod tests;
