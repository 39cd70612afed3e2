//! Parsing of a fixture file: its cassette, and findings with their lines.

use super::{
    Cassette, Event, RecordedCall, RecordedRequest, RecordedResponse, ResponseBody, SCHEMA,
    is_recorded_header,
    layout::resolve_blob,
    tree::{Tree, encode, line_at},
};
use crate::domain::{
    anthropic::{ApiHeaders, Version},
    exchange::Api,
};

/// A problem in a fixture file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FileFinding {
    /// One-based line.
    pub line: usize,
    /// The problem and its remedy.
    pub what: String,
    /// `true` if the file can be played in spite of it.
    pub harmless: bool,
}

/// Parses a file; `blobs` reads a blob by its name. There is no cassette if a finding is not harmless.
pub fn read(
    text: &str,
    blobs: &dyn Fn(&str) -> Option<Vec<u8>>,
) -> (Option<Cassette>, Vec<FileFinding>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = FileParser { text, blobs, findings: Vec::new() };
    let cassette = match Tree::parse(text) {
        Ok(tree) => parser.cassette(&tree),
        Err(error) => {
            parser.findings.push(FileFinding {
                line: error.line,
                what: error.reason,
                harmless: false,
            });
            None
        }
    };
    let fatal = parser.findings.iter().any(|finding| !finding.harmless);
    (cassette.filter(|_| !fatal), parser.findings)
}

struct FileParser<'a> {
    text: &'a str,
    blobs: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    findings: Vec<FileFinding>,
}

impl FileParser<'_> {
    fn error(&mut self, at: &Tree<'_>, what: impl Into<String>) {
        let line = line_at(self.text, at.at);
        self.findings.push(FileFinding { line, what: what.into(), harmless: false });
    }

    fn warn(&mut self, at: &Tree<'_>, what: impl Into<String>) {
        let line = line_at(self.text, at.at);
        self.findings.push(FileFinding { line, what: what.into(), harmless: true });
    }

    /// Reports fields with unknown names, which are mostly misspelt.
    fn check_names(&mut self, object: &Tree<'_>, place: &str, names: &[&str]) {
        for (name, value) in object.fields() {
            let name = super::tree::decode(name);
            if !names.contains(&&*name) {
                let what = format!("{place} has no field {name:?}; it has {}", names.join(", "));
                self.error(value, what);
            }
        }
    }

    fn cassette(&mut self, tree: &Tree<'_>) -> Option<Cassette> {
        match tree.get("schema").map(|schema| (schema, schema.number())) {
            Some((_, Some(SCHEMA))) => {}
            Some((at, found)) => {
                let newer = found.is_some_and(|found| found > SCHEMA);
                let what = if newer { "belongs to a newer version" } else { "is unknown" };
                self.error(at, format!("the schema {what}; this version reads {SCHEMA}"));
                return None;
            }
            None => {
                self.error(tree, format!("this is not a fixture: it has no \"schema\": {SCHEMA}"));
                return None;
            }
        }
        self.check_names(
            tree,
            "a fixture",
            &["schema", "recorded", "client", "upstream", "at_the_end", "response"],
        );
        let client = tree.get("client").and_then(|client| self.client(client));
        let upstream = tree.get("upstream").and_then(|request| self.upstream(request));
        if tree.get("client").is_none() && tree.get("upstream").is_none() {
            self.error(
                tree,
                "a fixture needs a client or an upstream request, or it answers nothing",
            );
        }
        let Some(response) = tree.get("response") else {
            self.error(tree, "a fixture needs a response");
            return None;
        };
        let response = self.response(response)?;
        let recorded = self.text(tree, "recorded");
        let policy = self.text(tree, "at_the_end").map(|word| word.parse());
        if let (Some(Err(_)), Some(at)) = (&policy, tree.get("at_the_end")) {
            self.error(at, "at_the_end must be \"last\", \"error\" or \"cycle\"");
        }
        let when_exhausted = policy.and_then(Result::ok);
        Some(Cassette { recorded, client, upstream, when_exhausted, response })
    }

    /// The value of a text field, if it is present.
    fn text(&mut self, tree: &Tree<'_>, name: &str) -> Option<String> {
        let value = tree.get(name)?;
        let text = value.text().map(std::borrow::Cow::into_owned);
        if text.is_none() {
            self.error(value, format!("{name} must be a text"));
        }
        text
    }

    fn client(&mut self, tree: &Tree<'_>) -> Option<RecordedCall> {
        self.check_names(tree, "client", &["door", "program", "task", "body"]);
        let Ok(api) = self.text(tree, "door").map_or(Ok(Api::Chat), |word| word.parse()) else {
            self.error(tree.get("door")?, "the door must be \"chat\" or \"messages\"");
            return None;
        };
        let (program, task) = (self.text(tree, "program"), self.text(tree, "task"));
        Some(RecordedCall { api, program, task, body: self.body(tree, "client")? })
    }

    fn upstream(&mut self, tree: &Tree<'_>) -> Option<RecordedRequest> {
        self.check_names(tree, "upstream", &["version", "betas", "body"]);
        let version = self.text(tree, "version");
        let version = version.unwrap_or_else(|| Version::default().as_str().to_owned());
        let mut betas = Vec::new();
        for beta in tree.get("betas").and_then(Tree::items).unwrap_or_default() {
            match beta.text() {
                Some(beta) => betas.push(beta.into_owned()),
                None => self.error(beta, "a beta must be a text"),
            }
        }
        let headers = ApiHeaders::new(version, betas).normalized();
        Some(RecordedRequest { headers, body: self.body(tree, "upstream")? })
    }

    /// The object `body`, with its blobs inserted.
    fn body(&mut self, tree: &Tree<'_>, place: &str) -> Option<String> {
        let Some(body) = tree.get("body") else {
            self.error(tree, format!("{place} has no body"));
            return None;
        };
        if body.get("messages").and_then(Tree::items).is_none() {
            self.error(
                body,
                format!("the body of {place} must be an object with a list of messages"),
            );
            return None;
        }
        self.insert_blobs(body)
    }

    fn insert_blobs(&mut self, tree: &Tree<'_>) -> Option<String> {
        let mut missing = None;
        let mut filled = tree.clone();
        filled.map(&mut String::new(), &mut |_, text| match resolve_blob(text, self.blobs)? {
            Ok(text) => Some(text),
            Err(what) => {
                missing.get_or_insert(what);
                None
            }
        });
        if let Some(what) = missing {
            self.error(tree, what);
            return None;
        }
        Some(filled.compact())
    }

    fn response(&mut self, tree: &Tree<'_>) -> Option<RecordedResponse> {
        const NAMES: [&str; 9] = [
            "status",
            "headers",
            "delay",
            "summary",
            "events",
            "message",
            "error",
            "cut_after",
            "complete",
        ];
        self.check_names(tree, "response", &NAMES);
        let body = self.response_body(tree)?;
        let number = |parser: &mut Self, name: &str| {
            let value = tree.get(name)?;
            let number = value.number();
            if number.is_none() {
                parser.error(value, format!("{name} must be a whole number"));
            }
            number
        };
        let mut headers = Vec::new();
        for (name, value) in tree.get("headers").map(Tree::fields).unwrap_or_default() {
            let name = super::tree::decode(name).to_ascii_lowercase();
            match value.text() {
                Some(text) if is_recorded_header(&name) => headers.push((name, text.into_owned())),
                Some(_) => {
                    self.warn(value, format!("no client reads the header {name}; it is ignored"));
                }
                None => self.error(value, "a header must be a text"),
            }
        }
        headers.sort();
        let status = match (number(self, "status"), &body) {
            (None, ResponseBody::Events(_) | ResponseBody::Message(_)) => Some(OK),
            (None, ResponseBody::Error(_)) => None,
            (Some(status), body) => {
                let is_error = matches!(body, ResponseBody::Error(_));
                let fits = if is_error { status >= ERRORS } else { status == u64::from(OK) };
                if fits { u16::try_from(status).ok() } else { None }
            }
        };
        let Some(status) = status else {
            let at = tree.get("status").unwrap_or(tree);
            self.error(
                at,
                "a stream or a message needs the status of success, an error one of its own",
            );
            return None;
        };
        let response = RecordedResponse {
            status,
            headers,
            delay: number(self, "delay").unwrap_or(0),
            body,
            cut_after: number(self, "cut_after").and_then(|count| usize::try_from(count).ok()),
        };
        self.check(tree, &response);
        Some(response)
    }

    fn response_body(&mut self, tree: &Tree<'_>) -> Option<ResponseBody> {
        match (tree.get("events"), tree.get("message"), tree.get("error")) {
            (Some(events), None, None) => {
                let Some(items) = events.items() else {
                    self.error(events, "events must be a list");
                    return None;
                };
                let mut events = Vec::new();
                for item in items {
                    match Event::read(item, self.text) {
                        Ok(event) => events.push(event),
                        Err(what) => self.error(item, what),
                    }
                }
                Some(ResponseBody::Events(events))
            }
            (None, Some(message), None) => {
                if message.get("content").is_none() {
                    self.error(message, "a message needs content: a text, or a list of blocks");
                    return None;
                }
                self.insert_blobs(message).map(ResponseBody::Message)
            }
            (None, None, Some(error)) => {
                Some(ResponseBody::Error(self.text[error.at..error.end].replace(['\n', '\r'], " ")))
            }
            _ => {
                self.error(tree, "a response needs exactly one of events, message and error");
                None
            }
        }
    }

    /// Checks that the response can be played, and that its derived fields are right.
    fn check(&mut self, tree: &Tree<'_>, response: &RecordedResponse) {
        let summary = response.summary();
        let unreadable = summary.iter().find(|line| line.starts_with("unreadable: "));
        let is_unreadable = unreadable.is_some();
        if let Some(line) = unreadable {
            let at = tree.get("events").or(tree.get("message")).unwrap_or(tree);
            self.error(at, format!("the answer is {line}"));
        }
        if let Some(summary_field) = tree.get("summary").filter(|_| !is_unreadable) {
            let lines = summary_field.items().unwrap_or_default();
            let is_true = |(line, derived): &(&Tree<'_>, &String)| {
                line.text().is_some_and(|line| line == derived.as_str())
            };
            let same = lines.iter().zip(&summary).take_while(is_true).count();
            if same < lines.len().max(summary.len()) {
                let derived =
                    summary.get(same).map_or("nothing more".to_owned(), |line| encode(line));
                let what = format!(
                    "the summary differs from the answer, which says: {derived}. One of the two was edited: \
                     `reprise fixtures fmt` derives the summary again; to change the answer, replace its events by a \
                     \"message\""
                );
                self.warn(lines.get(same).unwrap_or(summary_field), what);
            }
        }
        if let Some(complete) = tree.get("complete")
            && complete.bool() != Some(response.is_complete())
        {
            let is = if response.is_complete() { "has an end" } else { "has no message_stop" };
            self.warn(
                complete,
                format!("the answer {is}: `reprise fixtures fmt` corrects this field"),
            );
        }
    }
}

/// Status of a stream or a message.
const OK: u16 = 200;
/// Lowest status of an error.
const ERRORS: u64 = 400;
