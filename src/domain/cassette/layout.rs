//! Rendering of a cassette as the text of its file: made for reviewers, and deterministic.
//!
//! Keys have a fixed order, requests are indented, each event is one line, lines end with LF. Long content (an image, a
//! prompt of many pages) is stored in a blob beside the file, named by its hash.

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use super::{
    Cassette, RecordedCall, RecordedResponse, ResponseBody, SCHEMA,
    tree::{JsonNode, Tree, encode},
};
use crate::domain::media_type;

/// Length in bytes above which a text is stored in a blob.
const LONG: usize = 2048;
/// Number of columns that a value may take on one line.
const WIDTH: usize = 100;
/// File extension of text blobs.
const TEXT: &str = "txt";
/// Prefix of a reference to a blob.
const MARK: &str = "blob:";

/// The text of a file, and its blobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// The blobs, each once, in the order of their references.
    pub blobs: Vec<Blob>,
}

/// Long content that is stored beside the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its file name, the SHA-256 of its bytes with an extension: `0a1b….png`.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Cassette {
    /// Renders the file.
    pub fn render(&self) -> Rendered {
        let Self { recorded, client, upstream, when_exhausted, response } = self;
        let mut blobs = Vec::new();
        let mut file = ObjectWriter::new(0);
        file.put("schema", &SCHEMA.to_string());
        if let Some(day) = recorded {
            file.put("recorded", &encode(day));
        }
        if let Some(RecordedCall { api, program, task, body }) = client {
            let mut fields = ObjectWriter::new(2);
            fields.put("door", &encode(api.into_str()));
            if let Some(program) = program {
                fields.put("program", &encode(program));
            }
            if let Some(task) = task {
                fields.put("task", &encode(task));
            }
            fields.put("body", &format_json(body, 4, &mut blobs));
            file.put("client", &fields.end());
        }
        if let Some(request) = upstream {
            let mut fields = ObjectWriter::new(2);
            fields.put("version", &encode(request.headers.version()));
            let betas = request.headers.betas();
            let betas: Vec<String> = betas.into_iter().map(encode).collect();
            if !betas.is_empty() {
                fields.put("betas", &format!("[{}]", betas.join(", ")));
            }
            fields.put("body", &format_json(&request.body, 4, &mut blobs));
            file.put("upstream", &fields.end());
        }
        if let Some(policy) = when_exhausted {
            file.put("at_the_end", &encode(policy.into_str()));
        }
        file.put("response", &render_response(response, &mut blobs));
        Rendered { text: file.end() + "\n", blobs }
    }
}

fn render_response(response: &RecordedResponse, blobs: &mut Vec<Blob>) -> String {
    let RecordedResponse { status, headers, delay, body, cut_after } = response;
    let mut fields = ObjectWriter::new(2);
    fields.put("status", &status.to_string());
    if !headers.is_empty() {
        let mut lines = ObjectWriter::new(4);
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
    match body {
        ResponseBody::Events(events) => {
            fields.put("events", &list(events.iter().map(super::Event::line), 4));
        }
        ResponseBody::Message(message) => fields.put("message", &format_json(message, 4, blobs)),
        // Verbatim: the client gets these bytes.
        ResponseBody::Error(error) => fields.put("error", error),
    }
    if let Some(events) = cut_after {
        fields.put("cut_after", &events.to_string());
    }
    if let ResponseBody::Events(_) = body {
        fields.put("complete", &response.is_complete().to_string());
    }
    fields.end()
}

/// A list with one item on each line.
fn list(items: impl Iterator<Item = String>, indent: usize) -> String {
    let items: Vec<String> = items.map(|item| format!("{:indent$}  {item}", "")).collect();
    if items.is_empty() {
        return "[]".to_owned();
    }
    format!("[\n{}\n{:indent$}]", items.join(",\n"), "")
}

/// Writer of an object with one field on each line.
struct ObjectWriter {
    indent: usize,
    text: String,
}

impl ObjectWriter {
    /// A writer of an object whose closing brace is indented by `indent` columns.
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

/// Formats JSON for reading, and moves its long texts to blobs.
fn format_json(json: &str, indent: usize, blobs: &mut Vec<Blob>) -> String {
    // Text that is not JSON is reported when the file is read.
    let Ok(mut tree) = Tree::parse(json) else { return json.to_owned() };
    tree.map(&mut String::new(), &mut |_, text| extract_blob(text, blobs));
    let mut out = String::new();
    lay_out(&tree, indent, 0, &mut out);
    out
}

/// Writes a value; the field's name takes `used` columns of the line.
fn lay_out(tree: &Tree<'_>, indent: usize, used: usize, out: &mut String) {
    let mut line = String::new();
    tree.write(&mut line, " ", " ");
    let breaks = indent + used + line.len() > WIDTH;
    match &tree.node {
        JsonNode::List(items) if breaks && !items.is_empty() => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                begin_line(at, indent, out);
                lay_out(item, indent + 2, 0, out);
            }
            end_lines(indent, ']', out);
        }
        JsonNode::Object(fields) if breaks && !fields.is_empty() => {
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

/// Moves a long text to a blob and returns the reference to it; `None` if the text stays. A text that looks like a
/// reference is moved too, so that it is not mistaken for one.
fn extract_blob(text: &str, blobs: &mut Vec<Blob>) -> Option<String> {
    let (head, body) = match text.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"))
    {
        Some((kind, body)) => (format!("data:{kind};base64,"), body),
        None => (String::new(), text),
    };
    if text.len() <= LONG && blob_name(body).is_none() {
        return None;
    }
    // Base64 is stored decoded if encoding it gives the same text again.
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
    let kind = kind.unwrap_or_else(|| extension(&bytes));
    Blob { name: format!("{}.{kind}", hex::encode(Sha256::digest(&bytes))), bytes }
}

/// The extension for a file, by its first bytes.
fn extension(bytes: &[u8]) -> &'static str {
    match media_type::sniff(bytes) {
        Some("image/jpeg") => "jpg",
        Some(media_type) => media_type.rsplit('/').next().unwrap_or(media_type),
        None => "bin",
    }
}

/// The name of the blob that a text refers to, if it is a reference.
pub fn blob_name(text: &str) -> Option<&str> {
    let name = text.strip_prefix(MARK)?.split(' ').next()?;
    let (hash, kind) = name.split_once('.')?;
    let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_hash && kind.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(name)
}

/// The text that a reference stands for; `None` if it is no reference. Fails if the blob is missing or was changed.
pub(super) fn resolve_blob(
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
            "the blob {name} is missing: it belongs in the folder blobs beside the file"
        )));
    };
    if !fits(&bytes) {
        // A checkout may have converted line ends to CRLF.
        bytes = String::from_utf8(bytes).unwrap_or_default().replace("\r\n", "\n").into_bytes();
    }
    if !fits(&bytes) {
        return Some(Err(format!(
            "the blob {name} was changed: its name is no longer its SHA-256"
        )));
    }
    Some(if name.split('.').next_back() == Some(TEXT) {
        String::from_utf8(bytes).map_err(|_| format!("the blob {name} is not UTF-8 text"))
    } else {
        Ok(head + &STANDARD.encode(bytes))
    })
}

#[cfg(test)]
mod tests;
