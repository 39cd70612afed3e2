//! The text of a file as a cassette, and everything that is wrong with it, by its line.

use super::{
    AtTheEnd, Cassette, Client, Event, RecordedRequest, Response, SCHEMA, Said, keeps_header,
    layout::move_in,
    tree::{Tree, encode, line_at},
};
use crate::domain::{
    anthropic::{ApiHeaders, Version},
    exchange::Api,
};

/// What a file was read as.
#[derive(Debug, Clone)]
pub struct Reading {
    /// `None`: it can not be played.
    pub cassette: Option<Cassette>,
    /// What is wrong, in the order in which it was found.
    pub findings: Vec<Finding>,
}

/// Something wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// Counted from one.
    pub line: usize,
    /// What is wrong, and what to do.
    pub what: String,
    /// Whether the file can be played all the same.
    pub harmless: bool,
}

/// Reads a file. `blobs` has what is kept beside it.
pub fn read(text: &str, blobs: &dyn Fn(&str) -> Option<Vec<u8>>) -> Reading {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut file = File { text, blobs, findings: Vec::new() };
    let cassette = match Tree::parse(text) {
        Ok(tree) => file.cassette(&tree),
        Err(error) => {
            file.findings.push(Finding { line: error.line, what: error.why, harmless: false });
            None
        }
    };
    let fatal = file.findings.iter().any(|finding| !finding.harmless);
    Reading { cassette: cassette.filter(|_| !fatal), findings: file.findings }
}

struct File<'a> {
    text: &'a str,
    blobs: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    findings: Vec<Finding>,
}

impl File<'_> {
    fn wrong(&mut self, at: &Tree<'_>, what: impl Into<String>) {
        let line = line_at(self.text, at.at);
        self.findings.push(Finding { line, what: what.into(), harmless: false });
    }

    fn odd(&mut self, at: &Tree<'_>, what: impl Into<String>) {
        let line = line_at(self.text, at.at);
        self.findings.push(Finding { line, what: what.into(), harmless: true });
    }

    /// Names that are not known are misspelt ones.
    fn known(&mut self, object: &Tree<'_>, place: &str, names: &[&str]) {
        for (name, value) in object.fields() {
            let name = super::tree::decode(name);
            if !names.contains(&&*name) {
                let what = format!("{place} has no field {name:?}; it has {}", names.join(", "));
                self.wrong(value, what);
            }
        }
    }

    fn cassette(&mut self, tree: &Tree<'_>) -> Option<Cassette> {
        match tree.get("schema").map(|schema| (schema, schema.number())) {
            Some((_, Some(SCHEMA))) => {}
            Some((at, found)) => {
                let newer = found.is_some_and(|found| found > SCHEMA);
                let what = if newer { "is of a newer version of reprise" } else { "is not known" };
                self.wrong(at, format!("the schema {what}; this one reads {SCHEMA}"));
                return None;
            }
            None => {
                self.wrong(tree, format!("this is no fixture: it has no \"schema\": {SCHEMA}"));
                return None;
            }
        }
        self.known(
            tree,
            "a fixture",
            &["schema", "recorded", "client", "upstream", "at_the_end", "response"],
        );
        let client = tree.get("client").and_then(|client| self.client(client));
        let upstream = tree.get("upstream").and_then(|asked| self.asked(asked));
        if tree.get("client").is_none() && tree.get("upstream").is_none() {
            self.wrong(
                tree,
                "there must be a client or an upstream request, or nothing is answered",
            );
        }
        let Some(response) = tree.get("response") else {
            self.wrong(tree, "there must be a response");
            return None;
        };
        let response = self.response(response)?;
        let recorded = self.word(tree, "recorded");
        let at_the_end = match self.word(tree, "at_the_end") {
            None => None,
            Some(word) => {
                let policy = AtTheEnd::of(&word);
                if policy.is_none() {
                    let at = tree.get("at_the_end").unwrap_or(tree);
                    self.wrong(at, "at_the_end is \"last\", \"error\" or \"cycle\"");
                }
                policy
            }
        };
        Some(Cassette { recorded, client, upstream, at_the_end, response })
    }

    /// A field that is a text, if it is there.
    fn word(&mut self, tree: &Tree<'_>, name: &str) -> Option<String> {
        let value = tree.get(name)?;
        let text = value.text().map(std::borrow::Cow::into_owned);
        if text.is_none() {
            self.wrong(value, format!("{name} is a text"));
        }
        text
    }

    fn client(&mut self, tree: &Tree<'_>) -> Option<Client> {
        self.known(tree, "client", &["door", "program", "task", "body"]);
        let door = match self.word(tree, "door").as_deref() {
            None | Some("chat") => Api::Chat,
            Some("messages") => Api::Messages,
            Some(_) => {
                self.wrong(tree.get("door")?, "the door is \"chat\" or \"messages\"");
                return None;
            }
        };
        let (program, task) = (self.word(tree, "program"), self.word(tree, "task"));
        Some(Client { door, program, task, body: self.body(tree, "client")? })
    }

    fn asked(&mut self, tree: &Tree<'_>) -> Option<RecordedRequest> {
        self.known(tree, "upstream", &["version", "betas", "body"]);
        let version = self.word(tree, "version");
        let version = version.unwrap_or_else(|| Version::default().as_str().to_owned());
        let mut betas = Vec::new();
        for beta in tree.get("betas").and_then(Tree::items).unwrap_or_default() {
            match beta.text() {
                Some(beta) => betas.push(beta.into_owned()),
                None => self.wrong(beta, "a beta is a text"),
            }
        }
        let headers = ApiHeaders::new(version, betas).normalized();
        Some(RecordedRequest { headers, body: self.body(tree, "upstream")? })
    }

    /// The object `body`, with what is kept beside the file put in.
    fn body(&mut self, tree: &Tree<'_>, place: &str) -> Option<String> {
        let Some(body) = tree.get("body") else {
            self.wrong(tree, format!("{place} has no body"));
            return None;
        };
        if body.get("messages").and_then(Tree::items).is_none() {
            self.wrong(body, format!("the body of {place} is an object with a list of messages"));
            return None;
        }
        self.whole(body)
    }

    fn whole(&mut self, tree: &Tree<'_>) -> Option<String> {
        let mut missing = None;
        let mut filled = tree.clone();
        filled.map(&mut String::new(), &mut |_, text| match move_in(text, self.blobs)? {
            Ok(text) => Some(text),
            Err(what) => {
                missing.get_or_insert(what);
                None
            }
        });
        if let Some(what) = missing {
            self.wrong(tree, what);
            return None;
        }
        Some(filled.compact())
    }

    fn response(&mut self, tree: &Tree<'_>) -> Option<Response> {
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
        self.known(tree, "response", &NAMES);
        let said = self.said(tree)?;
        let number = |file: &mut Self, name: &str| {
            let value = tree.get(name)?;
            let number = value.number();
            if number.is_none() {
                file.wrong(value, format!("{name} is a whole number"));
            }
            number
        };
        let mut headers = Vec::new();
        for (name, value) in tree.get("headers").map(Tree::fields).unwrap_or_default() {
            let name = super::tree::decode(name).to_ascii_lowercase();
            match value.text() {
                Some(text) if keeps_header(&name) => headers.push((name, text.into_owned())),
                Some(_) => {
                    self.odd(value, format!("no client reads the header {name}; it is left out"));
                }
                None => self.wrong(value, "a header is a text"),
            }
        }
        headers.sort();
        let status = match (number(self, "status"), &said) {
            (None, Said::Events(_) | Said::Message(_)) => Some(OK),
            (None, Said::Error(_)) => None,
            (Some(status), said) => {
                let fits = if matches!(said, Said::Error(_)) {
                    status >= ERRORS
                } else {
                    status == u64::from(OK)
                };
                if fits { u16::try_from(status).ok() } else { None }
            }
        };
        let Some(status) = status else {
            let at = tree.get("status").unwrap_or(tree);
            self.wrong(at, "a stream or a message has the status of success, an error has its own");
            return None;
        };
        let response = Response {
            status,
            headers,
            delay: number(self, "delay").unwrap_or(0),
            said,
            cut_after: number(self, "cut_after").and_then(|count| usize::try_from(count).ok()),
        };
        self.check(tree, &response);
        Some(response)
    }

    fn said(&mut self, tree: &Tree<'_>) -> Option<Said> {
        match (tree.get("events"), tree.get("message"), tree.get("error")) {
            (Some(events), None, None) => {
                let Some(items) = events.items() else {
                    self.wrong(events, "events is a list");
                    return None;
                };
                let mut said = Vec::new();
                for item in items {
                    match Event::read(item, self.text) {
                        Ok(event) => said.push(event),
                        Err(what) => self.wrong(item, what),
                    }
                }
                Some(Said::Events(said))
            }
            (None, Some(message), None) => {
                if message.get("content").is_none() {
                    self.wrong(message, "a message has content: a text, or a list of blocks");
                    return None;
                }
                self.whole(message).map(Said::Message)
            }
            (None, None, Some(error)) => {
                Some(Said::Error(self.text[error.at..error.end].replace(['\n', '\r'], " ")))
            }
            _ => {
                self.wrong(tree, "a response has either events, or a message, or an error");
                None
            }
        }
    }

    /// What stands in the file for its reader must be true, and what is played must be readable.
    fn check(&mut self, tree: &Tree<'_>, response: &Response) {
        let summary = response.summary();
        let unreadable = summary.iter().find(|line| line.starts_with("unreadable: "));
        let is_unreadable = unreadable.is_some();
        if let Some(line) = unreadable {
            let at = tree.get("events").or(tree.get("message")).unwrap_or(tree);
            self.wrong(at, format!("the answer is {line}"));
        }
        if let Some(written) = tree.get("summary").filter(|_| !is_unreadable) {
            let lines = written.items().unwrap_or_default();
            let is_true = |(line, derived): &(&Tree<'_>, &String)| {
                line.text().is_some_and(|line| line == derived.as_str())
            };
            let same = lines.iter().zip(&summary).take_while(is_true).count();
            if same < lines.len().max(summary.len()) {
                let says = summary.get(same).map_or("nothing more".to_owned(), |line| encode(line));
                let what = format!(
                    "the summary is not what the answer says, which is: {says}. One of the two was edited: \
                     `reprise fixtures fmt` makes the summary anew; to change the answer, put a \"message\" in the \
                     place of its events"
                );
                self.odd(lines.get(same).unwrap_or(written), what);
            }
        }
        if let Some(complete) = tree.get("complete")
            && complete.truth() != Some(response.is_complete())
        {
            let is = if response.is_complete() { "has an end" } else { "has no message_stop" };
            self.odd(complete, format!("the answer {is}: `reprise fixtures fmt` says so"));
        }
    }
}

/// The status of a response that has begun to answer.
const OK: u16 = 200;
/// Errors have at least this status.
const ERRORS: u64 = 400;
