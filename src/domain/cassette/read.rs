//! Parsing of a fixture file: its cassette, and findings with their lines.

use std::collections::HashSet;

use super::{
    Cassette, Event, RecordedCall, RecordedRequest, RecordedResponse, ResponseBody, SCHEMA, event,
    hand_written::{self, Mistake, noun, unknown},
    is_recorded_header,
    layout::resolve_blob,
    tree::{JsonNode, Tree, decode, encode, line_at},
    wildcard,
};
use crate::domain::{
    anthropic::{self, ApiHeaders, Version},
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
    let newlines = memchr::memchr_iter(b'\n', text.as_bytes()).collect();
    let mut parser =
        FileParser { text, newlines, blobs, is_hand_written: false, findings: Vec::new() };
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
    let mut findings = parser.findings;
    findings.sort_by_key(|finding| finding.line);
    let fatal = findings.iter().any(|finding| !finding.harmless);
    (cassette.filter(|_| !fatal), findings)
}

/// The one-based line of the value at a path of fields; of the innermost one that is there.
pub fn line_of(text: &str, path: &[&str]) -> usize {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Ok(tree) = Tree::parse(text) else { return 1 };
    let mut value = &tree;
    for name in path {
        match value.get(name) {
            Some(inner) => value = inner,
            None => break,
        }
    }
    line_at(text, value.at)
}

struct FileParser<'a> {
    text: &'a str,
    /// Offsets of the ends of its lines.
    newlines: Vec<usize>,
    blobs: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    /// True if unknown words are mistakes.
    is_hand_written: bool,
    findings: Vec<FileFinding>,
}

impl FileParser<'_> {
    fn error(&mut self, at: &Tree<'_>, what: impl Into<String>) {
        self.add([Mistake { at: at.at, what: what.into(), harmless: false }]);
    }

    fn warn(&mut self, at: &Tree<'_>, what: impl Into<String>) {
        self.add([Mistake { at: at.at, what: what.into(), harmless: true }]);
    }

    fn add(&mut self, mistakes: impl IntoIterator<Item = Mistake>) {
        for Mistake { at, what, harmless } in mistakes {
            let line = self.newlines.partition_point(|end| *end < at) + 1;
            self.findings.push(FileFinding { line, what, harmless });
        }
    }

    /// Reports fields with unknown names, which are mostly misspelt, and fields that are given twice.
    fn check_names(&mut self, object: &Tree<'_>, place: &str, names: &[&str]) {
        if !matches!(object.node, JsonNode::Object(_)) {
            self.error(object, format!("{place} must be an object, not {}", noun(object)));
        }
        let mut seen = HashSet::new();
        for (name, value) in object.fields() {
            let name = decode(name);
            if !names.contains(&&*name) {
                self.error(value, unknown(&format!("{place} has no field"), &name, names));
            } else if !seen.insert(name.clone().into_owned()) {
                self.error(value, format!("{place} has {name:?} twice"));
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
                // Of another file of JSON, every field would be wrong.
                tree.get("response")?;
            }
        }
        self.check_names(
            tree,
            "a fixture",
            &["schema", "recorded", "client", "upstream", "at_the_end", "response"],
        );
        let has_message = tree.get("response").is_some_and(|it| it.get("message").is_some());
        self.is_hand_written =
            has_message || tree.get("upstream").is_none() || tree.get("recorded").is_none();
        let client = tree.get("client").and_then(|client| self.client(client));
        let upstream = tree.get("upstream").and_then(|request| self.upstream(request));
        if tree.get("client").is_none() && tree.get("upstream").is_none() {
            self.error(
                tree,
                "a fixture needs a client or an upstream request, or it answers nothing",
            );
        }
        let response = tree.get("response").and_then(|response| self.response(response));
        if tree.get("response").is_none() {
            self.error(tree, "a fixture needs a response");
        }
        let recorded = self.text(tree, "recorded");
        if let (Some(day), Some(at)) = (&recorded, tree.get("recorded"))
            && super::day(day).is_none()
        {
            self.warn(at, format!("recorded must be a date such as 2026-11-24, not {day:?}"));
        }
        let policy = self.text(tree, "at_the_end").map(|word| word.parse());
        if let (Some(Err(_)), Some(at)) = (&policy, tree.get("at_the_end")) {
            self.error(at, "at_the_end must be \"last\", \"error\" or \"cycle\"");
        }
        let when_exhausted = policy.and_then(Result::ok);
        Some(Cassette { recorded, client, upstream, when_exhausted, response: response? })
    }

    /// The value of a text field, if it is present.
    fn text(&mut self, tree: &Tree<'_>, name: &str) -> Option<String> {
        let value = tree.get(name)?;
        let text = value.text().map(std::borrow::Cow::into_owned);
        if text.is_none() {
            self.error(value, format!("{name} must be a text, not {}", noun(value)));
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
        if let Some(list) = tree.get("betas").filter(|list| list.items().is_none()) {
            self.error(list, format!("betas must be a list, not {}", noun(list)));
        }
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
        let messages = body.get("messages");
        let is_pattern = |it: &Tree<'_>| place == "upstream" && self.is_wildcard(it);
        if !messages.is_some_and(|it| it.items().is_some() || is_pattern(it)) {
            self.error(
                messages.unwrap_or(body),
                format!("the body of {place} must be an object with a list of messages"),
            );
            return None;
        }
        if self.is_hand_written {
            self.add(wildcard::mistakes(body));
            if let Some(model) =
                body.get("model").filter(|it| place == "client" && self.is_wildcard(it))
            {
                let what = "the translation depends on the model: a wildcard for it belongs into an \"upstream\" request";
                self.error(model, what);
            }
        } else if let Some(found) = wildcard::first(body) {
            let what = "this is no wildcard in a recorded request: to write the request by hand, take out \"recorded\"";
            self.warn(found, what);
        }
        self.insert_blobs(body)
    }

    fn is_wildcard(&self, tree: &Tree<'_>) -> bool {
        self.is_hand_written && wildcard::first(tree).is_some_and(|found| found.at == tree.at)
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
        let body = self.response_body(tree);
        let [status, delay, cut_after] = ["status", "delay", "cut_after"].map(|name| {
            let value = tree.get(name)?;
            let number = value.number();
            if number.is_none() {
                let what = format!("{name} must be a whole number, not {}", noun(value));
                self.error(value, what);
            }
            Some((value, number?))
        });
        let headers = self.headers(tree);
        let (mut body, is_error) = (body?, tree.get("error").is_some());
        if let ResponseBody::Error(written) = &mut body
            && let Some(error) = tree.get("error")
        {
            if self.is_hand_written {
                self.add(hand_written::check_error(error, status));
            }
            *written = error_body(error, written);
        }
        let status = match status {
            None => default_status(&body),
            Some((at, status)) => {
                let what = match status {
                    _ if is_error && !(ERRORS..=LAST_ERROR).contains(&status) => Some(format!(
                        "an error needs a status from {ERRORS} to {LAST_ERROR}, not {status}"
                    )),
                    _ if !is_error && status != u64::from(OK) => Some(format!(
                        "a stream or a message needs the status {OK}, not {status}; to fail, write an \"error\""
                    )),
                    _ => None,
                };
                if let Some(what) = what {
                    self.error(at, what);
                }
                u16::try_from(status).unwrap_or_default()
            }
        };
        let response = RecordedResponse {
            status,
            headers,
            delay: delay.map_or(0, |(_, delay)| delay),
            body,
            cut_after: None,
        };
        let cut_after = cut_after.map(|(at, count)| {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            self.check_cut(at, count, &response);
            count
        });
        let response = RecordedResponse { cut_after, ..response };
        self.check(tree, &response);
        Some(response)
    }

    fn headers(&mut self, tree: &Tree<'_>) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        let Some(object) = tree.get("headers") else { return headers };
        if !matches!(object.node, JsonNode::Object(_)) {
            self.error(object, format!("headers must be an object, not {}", noun(object)));
        }
        for (name, value) in object.fields() {
            let name = decode(name).to_ascii_lowercase();
            match value.text() {
                Some(text) if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) => {
                    self.error(value, "a header must be of printable ASCII characters");
                }
                Some(text) if is_recorded_header(&name) => headers.push((name, text.into_owned())),
                Some(_) => {
                    self.warn(value, format!("no client reads the header {name}; it is ignored"));
                }
                None => {
                    self.error(value, format!("a header must be a text, not {}", noun(value)));
                }
            }
        }
        headers.sort();
        headers
    }

    /// Checks that a cut is within the answer.
    fn check_cut(&mut self, at: &Tree<'_>, count: usize, response: &RecordedResponse) {
        if let ResponseBody::Error(_) = response.body {
            return self.error(at, "an error has no events, so cut_after cannot cut it");
        }
        let events = response.events("");
        let has = events.len();
        if count > has || (count == has && event::has_end(&events)) {
            let events = if has == 1 { "1 event" } else { &format!("{has} events") };
            self.error(at, format!("cut_after {count} cuts nothing: the answer has {events}"));
        }
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
                self.add(hand_written::check_message(message));
                self.insert_blobs(message).map(ResponseBody::Message)
            }
            (None, None, Some(error)) if !matches!(error.node, JsonNode::Object(_)) => {
                let what = "an error must be an object with type and message";
                self.error(error, format!("{what}, not {}", noun(error)));
                None
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
        // Of a message with mistakes nothing else can be expected.
        let is_known = self.findings.iter().any(|finding| !finding.harmless);
        let unreadable = summary.iter().find(|line| line.starts_with("unreadable: "));
        let is_unreadable = unreadable.is_some();
        if let Some(line) = unreadable.filter(|_| !is_known) {
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
/// Highest status of an error.
const LAST_ERROR: u64 = 599;

/// The body of an error response: the error is wrapped as Anthropic does, where only that is written.
fn error_body(error: &Tree<'_>, written: &str) -> String {
    match (error.get("error"), error.get("type")) {
        (Some(_), Some(_)) => written.to_owned(),
        (Some(_), None) => format!("{{\"type\":\"error\",{}", &written[1..]),
        (None, _) => format!("{{\"type\":\"error\",\"error\":{written}}}"),
    }
}

/// The status of a response that states none.
fn default_status(body: &ResponseBody) -> u16 {
    match body {
        ResponseBody::Events(_) | ResponseBody::Message(_) => OK,
        ResponseBody::Error(body) => {
            let body = serde_json::from_str::<anthropic::ErrorBody>(body).unwrap_or_default();
            anthropic::status_of(&body.error.kind)
        }
    }
}

#[cfg(test)]
mod tests;
