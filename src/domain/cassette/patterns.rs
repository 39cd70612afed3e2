//! Patterns of well-known secrets.

use std::sync::LazyLock;

use regex::{Captures, Regex};

macro_rules! pattern {
    ($name:literal, $form:literal) => {
        pattern!($name, $form, |_| true)
    };
    ($name:literal, $form:literal, $fits:expr) => {
        Pattern {
            name: $name,
            form: LazyLock::new(|| Regex::new($form).expect("a pattern of ours")),
            fits: $fits,
        }
    };
}
/// The pattern of one kind of secret.
pub(super) struct Pattern {
    /// The kind, as named in the placeholder.
    pub(super) name: &'static str,
    form: LazyLock<Regex>,
    /// Additional condition on a match.
    fits: fn(&str) -> bool,
}

/// All patterns, each compiled on first use.
pub(super) static PATTERNS: [Pattern; 13] = [
    pattern!(
        "private-key",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----"
    ),
    pattern!("anthropic-key", r"\bsk-ant-[A-Za-z0-9_-]{8,}"),
    pattern!("openai-key", r"\bsk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{16,}"),
    pattern!("key", r"\bsk-[A-Za-z0-9_-]{20,}", has_digit),
    pattern!("github-token", r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{40,})"),
    pattern!("aws-key", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    pattern!(
        "google-key",
        r"\b(?:AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,})"
    ),
    pattern!("slack-token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    pattern!("jwt", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    pattern!("bearer-token", r"(?i)\b(?P<keep>bearer(?:\s|%20|\+)+)[A-Za-z0-9._~+/=-]{16,}"),
    pattern!("organization", r"\b(?:org-[A-Za-z0-9]{20,}|org_[A-Za-z0-9]{16,})", has_digit),
    pattern!("workspace", r"\bwrkspc_[A-Za-z0-9]{8,}"),
    // Error texts name an organization by a UUID next to the word.
    pattern!(
        "organization",
        r"(?i)(?P<keep>\b(?:organi[sz]ation|org|workspace)[a-z_ -]{0,12}[^0-9A-Za-z]{0,8})[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
    ),
];

impl Pattern {
    /// Returns whether a text has a match.
    pub(super) fn is_in(&self, text: &str) -> bool {
        self.form.find_iter(text).any(|found| (self.fits)(found.as_str()))
    }

    /// Replaces all matches by a placeholder.
    pub(super) fn replace(&self, text: &str, placeholder: &str) -> String {
        let replaced = self.form.replace_all(text, |found: &Captures<'_>| {
            if (self.fits)(&found[0]) {
                let keep = found.name("keep").map_or("", |keep| keep.as_str());
                format!("{keep}{placeholder}")
            } else {
                found[0].to_owned()
            }
        });
        replaced.into_owned()
    }
}

/// Returns whether a match has a digit, which hyphenated words do not.
fn has_digit(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
}

/// Returns whether the name of a variable suggests that its value is a secret.
pub fn is_secret_name(name: &str) -> bool {
    const SECRET_WORDS: [&str; 8] =
        ["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "PRIVATE"];
    const HARMLESS_SUFFIXES: [&str; 6] = ["_PATH", "_FILE", "_DIR", "_URL", "_NAME", "_ID"];
    let name = name.to_ascii_uppercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
        && !HARMLESS_SUFFIXES.iter().any(|end| name.ends_with(end))
}
