//! Removal of secrets from fixtures.
//!
//! The writer of files and the matcher of requests use the same function, so that a request with a secret still finds its
//! fixture. A placeholder names the kind of secret and nothing of its value, and scrubbing is idempotent. A secret that
//! cannot be removed without breaking its surroundings (in an image or a signature) is reported, and the fixture is not
//! written.

mod deltas;

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use regex::Regex;

use super::{
    Cassette, ResponseBody,
    event::{frame, framed},
    patterns::PATTERNS,
    tree::{Tree, encode},
};
use crate::domain::anthropic::{self, BlockKind};

/// Length below which a value is likely to be an ordinary word.
const SHORTEST: usize = 8;
/// Length up to which base64 is replaced as a whole, as in a header; longer base64 is content.
const SHORT_BASE64: usize = 1024;
/// Length from which a run of characters is decoded as base64.
const LEAST_BASE64: usize = 24;
/// Maximum number of passes, for operators' rules that never settle.
const MOST_PASSES: usize = 8;
/// Fields that only Anthropic can produce: a change makes them invalid.
const SEALED: [&str; 3] = ["signature", "encrypted_content", "encrypted_index"];

/// The value of an environment variable with a secret's name.
#[derive(Debug, Clone)]
pub struct Secret {
    placeholder: String,
    /// All encodings in which it may occur in a text, longest first.
    forms: Vec<String>,
}

/// An operator's rule: matches of the pattern are replaced.
#[derive(Debug, Clone)]
pub struct Rule {
    pattern: Regex,
    replacement: String,
}

/// The reason that a rule cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// The pattern does not compile.
    #[error("{pattern:?} is not a regular expression")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The syntax error.
        source: Box<regex::Error>,
    },
    /// The pattern matches its own replacement.
    #[error(
        "the pattern {pattern:?} matches its own replacement {replacement:?}: scrubbing twice would change the file"
    )]
    Endless {
        /// The pattern.
        pattern: String,
        /// The replacement.
        replacement: String,
    },
}

/// Replaces secrets by placeholders.
#[derive(Debug, Clone, Default)]
pub struct Scrubber {
    secrets: Vec<Secret>,
    rules: Vec<Rule>,
}

/// A secret that cannot be removed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RemainingSecret {
    /// Its path, such as `upstream.body.messages[0].content[1].source.data`.
    pub path: String,
    /// The kind of secret, never its value.
    pub what: String,
}

impl Secret {
    /// The value of the variable `name`; `None` if it is too short to tell from an ordinary word.
    pub fn new(name: &str, value: &str) -> Option<Self> {
        let value = value.trim();
        let placeholder = format!("[redacted:{name}]");
        if value.len() < SHORTEST || placeholder.contains(value) {
            return None;
        }
        let quoted = encode(value);
        let mut forms = vec![
            value.to_owned(),
            quoted[1..quoted.len() - 1].to_owned(),
            percent_encode(value, false),
            percent_encode(value, true),
        ];
        for offset in 0..3 {
            forms.push(base64_core(value, offset));
            forms.push(base64_core(value, offset).replace('+', "-").replace('/', "_"));
        }
        forms.retain(|form| form.len() >= SHORTEST);
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        forms.dedup();
        Some(Self { placeholder, forms })
    }
}

/// A value as encoded in a URL.
fn percent_encode(value: &str, plus: bool) -> String {
    let mut out = String::new();
    for byte in value.bytes() {
        match byte {
            b' ' if plus => out.push('+'),
            b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => out.extend(["%", &hex::encode_upper([byte])]),
        }
    }
    out
}

/// The part of the base64 of a text that depends only on the value, which begins `offset` bytes after a multiple of
/// three.
fn base64_core(value: &str, offset: usize) -> String {
    let mut bytes = vec![0; offset];
    bytes.extend_from_slice(value.as_bytes());
    let coded = STANDARD.encode(&bytes);
    // Characters that share bits with a neighbour are left out.
    let begin = (offset * 8).div_ceil(6);
    let end = bytes.len() * 8 / 6;
    coded.get(begin..end).unwrap_or_default().to_owned()
}

impl Rule {
    /// A rule; the replacement may refer to groups of the pattern, as in `$1`.
    pub fn new(pattern: &str, replacement: &str) -> Result<Self, RuleError> {
        let compiled = Regex::new(pattern).map_err(|error| RuleError::Pattern {
            pattern: pattern.to_owned(),
            source: Box::new(error),
        })?;
        if !replacement.contains('$')
            && compiled.replace_all(replacement, replacement) != replacement
        {
            let (pattern, replacement) = (pattern.to_owned(), replacement.to_owned());
            return Err(RuleError::Endless { pattern, replacement });
        }
        Ok(Self { pattern: compiled, replacement: replacement.to_owned() })
    }
}

impl Scrubber {
    /// A scrubber of these secrets, with the operator's rules in addition to the built-in patterns.
    pub fn new(secrets: Vec<Secret>, rules: Vec<Rule>) -> Self {
        Self { secrets, rules }
    }

    /// The text without its secrets; `None` if there are none.
    pub fn text(&self, text: &str) -> Option<String> {
        let mut scrubbed = text.to_owned();
        // A replacement can reveal another match.
        for _ in 0..MOST_PASSES {
            let before = scrubbed;
            scrubbed = self.replace_plain(&before);
            for (run, decoded) in base64_runs(&scrubbed.clone()) {
                if run.len() <= SHORT_BASE64 && self.find_plain(&decoded).is_some() {
                    scrubbed = scrubbed.replace(run, "[redacted:base64]");
                }
            }
            if scrubbed == before {
                break;
            }
        }
        (scrubbed != text).then_some(scrubbed)
    }

    /// JSON without secrets in its texts, in one line; `None` if it is not JSON.
    pub fn json(&self, json: &str) -> Option<String> {
        let mut tree = Tree::parse(json).ok()?;
        self.tree(&mut tree);
        Some(tree.compact())
    }

    /// Removes the secrets from a cassette, and returns those that it cannot remove.
    pub fn cassette(&self, cassette: &mut Cassette) -> Vec<RemainingSecret> {
        let Cassette { recorded: _, client, upstream, when_exhausted: _, response } = cassette;
        let mut remaining = Vec::new();
        let bodies = [
            ("client.body", client.as_mut().map(|client| &mut client.body)),
            ("upstream.body", upstream.as_mut().map(|request| &mut request.body)),
        ];
        let (response_body, key) = match &mut response.body {
            ResponseBody::Events(_) => (None, "response.events"),
            ResponseBody::Message(body) => (Some(body), "response.message"),
            ResponseBody::Error(body) => (Some(body), "response.error"),
        };
        for (path, body) in bodies.into_iter().chain([(key, response_body)]) {
            let Some(body) = body else { continue };
            let Ok(mut tree) = Tree::parse(body) else { continue };
            let changed = self.tree(&mut tree).then(|| tree.compact());
            self.report(&mut tree, path, &mut remaining);
            if let Some(changed) = changed {
                *body = changed;
            }
        }
        for (_, value) in &mut response.headers {
            if let Some(scrubbed) = self.text(value) {
                *value = scrubbed;
            }
        }
        if let ResponseBody::Events(events) = &mut response.body {
            self.scrub_deltas(events);
            for (at, event) in events.iter_mut().enumerate() {
                self.event(at, &mut event.bytes, &mut remaining);
            }
            self.report_blocks(cassette, &mut remaining);
        }
        remaining
    }

    fn event(&self, at: usize, bytes: &mut Vec<u8>, remaining: &mut Vec<RemainingSecret>) {
        let path = format!("response.events[{at}]");
        let Some((name, data)) = framed(bytes) else {
            let text = String::from_utf8_lossy(bytes);
            if let Some(what) = self.find_plain(&text) {
                remaining.push(RemainingSecret { path, what });
            }
            return;
        };
        let Ok(mut tree) = Tree::parse(data) else { return };
        if self.tree(&mut tree) {
            *bytes = frame(name, &tree.compact());
            tree = match framed(bytes).and_then(|(_, data)| Tree::parse(data).ok()) {
                Some(tree) => tree,
                None => return,
            };
        }
        self.report(&mut tree, &path, remaining);
    }

    /// Reports secrets that span several events of a block.
    fn report_blocks(&self, cassette: &Cassette, remaining: &mut Vec<RemainingSecret>) {
        let Ok(message) = anthropic::fold(&cassette.recording()) else { return };
        for (at, block) in message.content.iter().enumerate() {
            let text = match &block.kind {
                BlockKind::Text { text, .. } => text,
                BlockKind::Thinking { thinking, .. } => thinking,
                BlockKind::ToolUse { arguments: input, .. } | BlockKind::Other { input } => input,
                BlockKind::RedactedThinking { .. } | BlockKind::Fallback => continue,
            };
            if let Some(what) = self.find_plain(&text.decode()) {
                let what = format!("{what}, spread over several events");
                let path = format!("response.events: block {at}");
                remaining.push(RemainingSecret { path, what });
            }
        }
    }

    fn tree(&self, tree: &mut Tree<'_>) -> bool {
        let mut changed = false;
        tree.map(&mut String::new(), &mut |path, text| {
            let scrubbed = if is_sealed(path, text) { None } else { self.text(text) };
            changed |= scrubbed.is_some();
            scrubbed
        });
        changed
    }

    /// Reports the secrets that are left.
    fn report(&self, tree: &mut Tree<'_>, root: &str, remaining: &mut Vec<RemainingSecret>) {
        tree.map(&mut String::new(), &mut |path, text| {
            let in_base64 = || {
                base64_runs(text).into_iter().find_map(|(_, decoded)| {
                    self.find_plain(&decoded).map(|what| format!("{what}, in base64"))
                })
            };
            if let Some(what) = self.find_plain(text).or_else(in_base64) {
                let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
                let secret = RemainingSecret { path: format!("{root}{dot}{path}"), what };
                if !remaining.contains(&secret) {
                    remaining.push(secret);
                }
            }
            None
        });
    }

    /// The kind of secret that a text has in plain form, if any.
    fn find_plain(&self, text: &str) -> Option<String> {
        let secret = self
            .secrets
            .iter()
            .find(|secret| secret.forms.iter().any(|form| text.contains(form.as_str())));
        if let Some(secret) = secret {
            return Some(
                secret.placeholder.trim_matches(['[', ']']).replace("redacted:", "the value of "),
            );
        }
        PATTERNS.iter().find(|pattern| pattern.is_in(text)).map(|pattern| {
            let article = if pattern.name.starts_with(['a', 'o']) { "an" } else { "a" };
            format!("{article} {}", pattern.name.replace('-', " "))
        })
    }

    fn replace_plain(&self, text: &str) -> String {
        let mut scrubbed = text.to_owned();
        for Secret { placeholder, forms } in &self.secrets {
            for form in forms.iter().filter(|form| text.contains(form.as_str())) {
                scrubbed = scrubbed.replace(form.as_str(), placeholder);
            }
        }
        for pattern in &PATTERNS {
            if pattern.is_in(&scrubbed) {
                scrubbed = pattern.replace(&scrubbed, &format!("[redacted:{}]", pattern.name));
            }
        }
        for Rule { pattern, replacement } in &self.rules {
            scrubbed = pattern.replace_all(&scrubbed, replacement.as_str()).into_owned();
        }
        scrubbed
    }
}

/// Returns whether a text must not change: a signature, or the bytes of an image.
fn is_sealed(path: &str, text: &str) -> bool {
    let name = path.rsplit(['.', ']']).next().unwrap_or(path);
    let is_base64 = |text: &str| {
        text.len() > 64
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
    };
    SEALED.contains(&name)
        || (name == "data" && is_base64(text))
        || (text.starts_with("data:") && text.contains(";base64,"))
}

/// Runs of base64 characters, with what they decode to.
fn base64_runs(text: &str) -> Vec<(&str, String)> {
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/-_=".contains(c);
    let runs = text.split(|c| !is_base64(c)).filter(|run| run.len() >= LEAST_BASE64);
    runs.filter_map(|run| {
        let coded = run.trim_end_matches('=');
        let alphabet = if coded.contains(['-', '_']) {
            &base64::alphabet::URL_SAFE
        } else {
            &base64::alphabet::STANDARD
        };
        // A single last character encodes no byte.
        let coded = &coded[..coded.len() - usize::from(coded.len() % 4 == 1)];
        let decoded = GeneralPurpose::new(alphabet, LENIENT).decode(coded).ok()?;
        Some((run, String::from_utf8_lossy(&decoded).into_owned()))
    })
    .collect()
}

#[cfg(test)]
mod tests;
