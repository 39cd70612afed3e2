//! Removal of secrets from fixtures.
//!
//! The writer of files and the matcher of requests use the same function, so that a request with a secret still finds its
//! fixture. A placeholder names the kind of secret and nothing of its value, and scrubbing is idempotent. A secret that
//! cannot be removed without breaking its surroundings (in an image or a signature) is reported, and the fixture is not
//! written.

mod deltas;
mod encoded;
mod fields;
mod find;

use std::collections::HashSet;

use regex::Regex;

use self::encoded::{base64_runs, forms};
pub use self::find::FoundSecret;
use super::{
    Cassette, ResponseBody,
    event::{frame, framed},
    patterns::{self, placeholder},
    tree::{Tree, encode},
};
use crate::domain::anthropic::{self, BlockKind};

/// Length below which a value is likely to be an ordinary word.
const SHORTEST: usize = 8;
/// Placeholder of base64 with a secret in it.
const IN_BASE64: &str = "[redacted:base64]";
/// Length up to which base64 is replaced as a whole, as in a header; longer base64 is content.
const SHORT_BASE64: usize = 1024;
/// Maximum number of passes, for operators' rules that never settle.
const MOST_PASSES: usize = 8;
/// Fields that only Anthropic can produce: a change makes them invalid.
const SEALED: [&str; 3] = ["signature", "encrypted_content", "encrypted_index"];

/// The value of an environment variable with a secret's name.
#[derive(Debug, Clone)]
pub struct Secret {
    placeholder: String,
    description: String,
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
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub struct RemainingSecret {
    /// Its path, such as `upstream.body.messages[0].content[1].source.data`.
    pub path: String,
    /// The kind of secret, never its value.
    pub what: String,
}

impl Secret {
    fn is_in(&self, text: &str) -> bool {
        self.forms.iter().any(|form| text.contains(form.as_str()))
    }

    /// The value of the variable `name`; `None` if it is too short to tell from an ordinary word.
    pub fn new(name: &str, value: &str) -> Option<Self> {
        let value = value.trim();
        let placeholder = placeholder(name);
        if value.len() < SHORTEST || placeholder.contains(value) {
            return None;
        }
        let mut forms = forms(value);
        forms.retain(|form| form.len() >= SHORTEST);
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        forms.dedup();
        Some(Self { placeholder, description: format!("the value of {name}"), forms })
    }
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
        self.scrubbed(text, &mut Vec::new())
    }

    /// The text without its secrets, whose kinds are added to `kinds`; `None` if there are none.
    fn scrubbed(&self, text: &str, kinds: &mut Vec<String>) -> Option<String> {
        let mut scrubbed: Option<String> = None;
        // A replacement can reveal another match.
        for _ in 0..MOST_PASSES {
            let before = scrubbed.as_deref().unwrap_or(text);
            let plain = self.replace_plain(before, kinds);
            let decoded = self.replace_base64(plain.as_deref().unwrap_or(before), kinds);
            let Some(changed) = decoded.or(plain) else { break };
            scrubbed = Some(changed);
        }
        scrubbed.filter(|scrubbed| scrubbed != text)
    }

    /// JSON without secrets in its texts, in one line; `None` if it is not JSON.
    pub fn json(&self, json: &str) -> Option<String> {
        let mut tree = Tree::parse(json).ok()?;
        self.tree(&mut tree);
        Some(tree.compact())
    }

    /// JSON without secrets, in which all placeholders are alike: fixtures are found by it. An older version or another
    /// environment may have given a secret another name.
    pub(super) fn match_json(&self, json: &str) -> Option<String> {
        let mut tree = Tree::parse(json).ok()?;
        self.tree(&mut tree);
        tree.map(&mut String::new(), &mut |_, text| patterns::unnamed(text));
        Some(tree.compact())
    }

    /// Removes the secrets from a cassette, and returns those that it cannot remove.
    pub fn cassette(&self, cassette: &mut Cassette) -> Vec<RemainingSecret> {
        let Cassette { recorded: _, client, upstream, when_exhausted: _, response } = cassette;
        let mut remaining = Vec::new();
        // A client states them in headers.
        let stated = client.iter_mut().flat_map(|client| [&mut client.program, &mut client.task]);
        for text in stated.flatten() {
            if let Some(scrubbed) = self.text(text) {
                *text = scrubbed;
            }
        }
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
        let mut seen = HashSet::new();
        remaining.retain(|secret| seen.insert(secret.clone()));
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
        changed | fields::scrub(tree, None)
    }

    /// Reports the secrets that are left.
    fn report(&self, tree: &mut Tree<'_>, root: &str, remaining: &mut Vec<RemainingSecret>) {
        tree.map(&mut String::new(), &mut |path, text| {
            if let Some(what) = self.find_plain(text).or_else(|| self.find_in_base64(text)) {
                let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
                remaining.push(RemainingSecret { path: format!("{root}{dot}{path}"), what });
            }
            None
        });
    }

    fn find_in_base64(&self, text: &str) -> Option<String> {
        base64_runs(text).find_map(|(_, decoded)| {
            self.find_plain(&decoded).map(|what| format!("{what}, in base64"))
        })
    }

    /// The kind of secret that a text has in plain form, if any.
    fn find_plain(&self, text: &str) -> Option<String> {
        let secret = self.secrets.iter().find(|secret| secret.is_in(text));
        if let Some(secret) = secret {
            return Some(secret.description.clone());
        }
        let mut kinds = Vec::new();
        patterns::replace(text, &mut kinds);
        kinds.first().map(|kind| described(kind))
    }

    fn replace_plain(&self, text: &str, kinds: &mut Vec<String>) -> Option<String> {
        let mut scrubbed = None;
        for Secret { placeholder, description, forms } in &self.secrets {
            for form in forms {
                let before = scrubbed.as_deref().unwrap_or(text);
                if before.contains(form.as_str()) {
                    kinds.push(description.clone());
                    scrubbed = Some(before.replace(form.as_str(), placeholder));
                }
            }
        }
        let mut found = Vec::new();
        scrubbed = patterns::replace(scrubbed.as_deref().unwrap_or(text), &mut found).or(scrubbed);
        kinds.extend(found.into_iter().map(described));
        for Rule { pattern, replacement } in &self.rules {
            let before = scrubbed.as_deref().unwrap_or(text);
            let after = pattern.replace_all(before, replacement.as_str());
            if after != before {
                kinds.push("a match of a rule in the settings".to_owned());
                scrubbed = Some(after.into_owned());
            }
        }
        scrubbed
    }

    /// Replaces short base64 with a secret in it.
    fn replace_base64(&self, text: &str, kinds: &mut Vec<String>) -> Option<String> {
        let mut scrubbed = String::new();
        let mut done = 0;
        for (place, decoded) in base64_runs(text) {
            if place.len() <= SHORT_BASE64
                && let Some(what) = self.find_plain(&decoded)
            {
                kinds.push(format!("{what}, in base64"));
                scrubbed.extend([&text[done..place.start], IN_BASE64]);
                done = place.end;
            }
        }
        (done > 0).then(|| scrubbed + &text[done..])
    }
}

/// A kind of secret as a part of a sentence.
fn described(kind: &'static str) -> String {
    if kind == "basic-auth" {
        return "a user with a password".to_owned();
    }
    let vowel = kind.starts_with(['a', 'e', 'i', 'o']) || ["npm-token", "xai-key"].contains(&kind);
    format!("{} {}", if vowel { "an" } else { "a" }, kind.replace('-', " "))
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

#[cfg(test)]
mod tests;
