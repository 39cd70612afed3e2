//! No secret leaves the ledger in a fixture.
//!
//! The same function serves the writer of a file and the matcher, so that a request with a secret in it still finds its
//! fixture. Placeholders say what was there and nothing of it, and scrubbing what is scrubbed changes nothing. What
//! cannot be taken out without breaking what is around it (in a picture, a signature, a text that comes in pieces) is
//! named, and then nothing is written.

mod pieces;

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use regex::Regex;

use super::{
    Cassette, Said,
    event::{frame, framed},
    patterns::PATTERNS,
    tree::{Tree, encode},
};
use crate::domain::anthropic::{self, BlockKind};

/// A shorter value is too likely to be a word.
const SHORTEST: usize = 8;
/// Base64 that is shorter may be taken out whole: a header, a field. What is longer is content.
const SHORT_BASE64: usize = 1024;
/// Base64 is looked for in runs of at least so many characters.
const LEAST_BASE64: usize = 24;
/// A rule of the operator's that never comes to rest is not followed further.
const MOST_PASSES: usize = 8;
/// What only Anthropic can make: changed, it is worth nothing.
const SEALED: [&str; 3] = ["signature", "encrypted_content", "encrypted_index"];

/// The value of a variable whose name says that it is secret.
#[derive(Debug, Clone)]
pub struct Secret {
    placeholder: String,
    /// In all the forms in which it may stand in a text, the longest first.
    forms: Vec<String>,
}

/// A rule of the operator's: what is found is replaced.
#[derive(Debug, Clone)]
pub struct Rule {
    pattern: Regex,
    with: String,
}

/// Why a rule cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// Its pattern is none.
    #[error("{pattern:?} is no regular expression")]
    Pattern {
        /// As it was written.
        pattern: String,
        /// Why not.
        source: Box<regex::Error>,
    },
    /// What it puts in would be replaced again.
    #[error(
        "the pattern {pattern:?} finds its own replacement {with:?}: scrubbing twice would change the file"
    )]
    Endless {
        /// As it was written.
        pattern: String,
        /// As it was written.
        with: String,
    },
}

/// Takes secrets out.
#[derive(Debug, Clone, Default)]
pub struct Scrubber {
    secrets: Vec<Secret>,
    rules: Vec<Rule>,
}

/// A secret that cannot be taken out.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Place {
    /// As `upstream.body.messages[0].content[1].source.data`.
    pub path: String,
    /// What it is, never what it says.
    pub what: String,
}

impl Secret {
    /// The value of the variable `name`; `None` where it is too short to be told from a word.
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
            percent(value, false),
            percent(value, true),
        ];
        for offset in 0..3 {
            forms.push(in_base64(value, offset));
            forms.push(in_base64(value, offset).replace('+', "-").replace('/', "_"));
        }
        forms.retain(|form| form.len() >= SHORTEST);
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        forms.dedup();
        Some(Self { placeholder, forms })
    }
}

/// A value as it stands in a URL.
fn percent(value: &str, plus: bool) -> String {
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

/// What of the base64 of a text is the same whatever stands around the value, which begins `offset` bytes after a
/// multiple of three.
fn in_base64(value: &str, offset: usize) -> String {
    let mut bytes = vec![0; offset];
    bytes.extend_from_slice(value.as_bytes());
    let coded = STANDARD.encode(&bytes);
    // Characters that also hold bits of a neighbour are left out.
    let begin = (offset * 8).div_ceil(6);
    let end = bytes.len() * 8 / 6;
    coded.get(begin..end).unwrap_or_default().to_owned()
}

impl Rule {
    /// A rule; `with` may name groups of the pattern, as `$1`.
    pub fn new(pattern: &str, with: &str) -> Result<Self, RuleError> {
        let compiled = Regex::new(pattern).map_err(|error| RuleError::Pattern {
            pattern: pattern.to_owned(),
            source: Box::new(error),
        })?;
        if !with.contains('$') && compiled.replace_all(with, with) != with {
            let (pattern, with) = (pattern.to_owned(), with.to_owned());
            return Err(RuleError::Endless { pattern, with });
        }
        Ok(Self { pattern: compiled, with: with.to_owned() })
    }
}

impl Scrubber {
    /// For these secrets, and by the operator's rules besides our own.
    pub fn new(secrets: Vec<Secret>, rules: Vec<Rule>) -> Self {
        Self { secrets, rules }
    }

    /// A text without secrets; `None` if it has none.
    pub fn text(&self, text: &str) -> Option<String> {
        let mut scrubbed = text.to_owned();
        // What is taken out may uncover what its neighbour is.
        for _ in 0..MOST_PASSES {
            let before = scrubbed;
            scrubbed = self.plain(&before);
            for (run, decoded) in base64_runs(&scrubbed.clone()) {
                if run.len() <= SHORT_BASE64 && self.finds(&decoded).is_some() {
                    scrubbed = scrubbed.replace(run, "[redacted:base64]");
                }
            }
            if scrubbed == before {
                break;
            }
        }
        (scrubbed != text).then_some(scrubbed)
    }

    /// JSON without secrets in its texts, in one line; `None` if it is no JSON.
    pub fn json(&self, json: &str) -> Option<String> {
        let mut tree = Tree::parse(json).ok()?;
        self.tree(&mut tree);
        Some(tree.compact())
    }

    /// Takes the secrets out of a cassette, and names those that it cannot take out.
    pub fn cassette(&self, cassette: &mut Cassette) -> Vec<Place> {
        let Cassette { recorded: _, client, upstream, at_the_end: _, response } = cassette;
        let mut places = Vec::new();
        let bodies = [
            ("client.body", client.as_mut().map(|client| &mut client.body)),
            ("upstream.body", upstream.as_mut().map(|asked| &mut asked.body)),
        ];
        let (said, key) = match &mut response.said {
            Said::Events(_) => (None, "response.events"),
            Said::Message(body) => (Some(body), "response.message"),
            Said::Error(body) => (Some(body), "response.error"),
        };
        for (path, body) in bodies.into_iter().chain([(key, said)]) {
            let Some(body) = body else { continue };
            let Ok(mut tree) = Tree::parse(body) else { continue };
            let changed = self.tree(&mut tree).then(|| tree.compact());
            self.left(&mut tree, path, &mut places);
            if let Some(changed) = changed {
                *body = changed;
            }
        }
        for (_, value) in &mut response.headers {
            if let Some(scrubbed) = self.text(value) {
                *value = scrubbed;
            }
        }
        if let Said::Events(events) = &mut response.said {
            self.join_pieces(events);
            for (at, event) in events.iter_mut().enumerate() {
                self.event(at, &mut event.bytes, &mut places);
            }
            self.pieces(cassette, &mut places);
        }
        places
    }

    fn event(&self, at: usize, bytes: &mut Vec<u8>, places: &mut Vec<Place>) {
        let path = format!("response.events[{at}]");
        let Some((name, data)) = framed(bytes) else {
            let text = String::from_utf8_lossy(bytes);
            if let Some(what) = self.finds(&text) {
                places.push(Place { path, what });
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
        self.left(&mut tree.clone(), &path, places);
    }

    /// Names secrets that are only there when the pieces of a block are put together.
    fn pieces(&self, cassette: &Cassette, places: &mut Vec<Place>) {
        let Ok(message) = anthropic::fold(&cassette.recording()) else { return };
        for (at, block) in message.content.iter().enumerate() {
            let said = match &block.kind {
                BlockKind::Text { text, .. } => text,
                BlockKind::Thinking { thinking, .. } => thinking,
                BlockKind::ToolUse { arguments: input, .. } | BlockKind::Other { input } => input,
                BlockKind::RedactedThinking { .. } => continue,
            };
            if let Some(what) = said.decode().and_then(|text| self.finds(&text)) {
                let what = format!("{what}, in pieces that several events bring");
                places.push(Place { path: format!("response.events: block {at}"), what });
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

    /// Names what is still there.
    fn left(&self, tree: &mut Tree<'_>, root: &str, places: &mut Vec<Place>) {
        tree.map(&mut String::new(), &mut |path, text| {
            let deep = || {
                base64_runs(text).into_iter().find_map(|(_, decoded)| {
                    self.finds(&decoded).map(|what| format!("{what}, in base64"))
                })
            };
            if let Some(what) = self.finds(text).or_else(deep) {
                let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
                let place = Place { path: format!("{root}{dot}{path}"), what };
                if !places.contains(&place) {
                    places.push(place);
                }
            }
            None
        });
    }

    /// What secret is in a text that is not coded.
    fn finds(&self, text: &str) -> Option<String> {
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

    fn plain(&self, text: &str) -> String {
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
        for Rule { pattern, with } in &self.rules {
            scrubbed = pattern.replace_all(&scrubbed, with.as_str()).into_owned();
        }
        scrubbed
    }
}

/// Whether a text must stay what it is: a signature, or the bytes of a picture.
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

/// Runs of characters that are base64, with what they say if it is text.
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
        // A last character alone holds no byte.
        let coded = &coded[..coded.len() - usize::from(coded.len() % 4 == 1)];
        let decoded = GeneralPurpose::new(alphabet, LENIENT).decode(coded).ok()?;
        Some((run, String::from_utf8_lossy(&decoded).into_owned()))
    })
    .collect()
}

#[cfg(test)]
mod tests;
