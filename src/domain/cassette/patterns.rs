//! Patterns of well-known secrets.

use std::sync::LazyLock;

use regex::{Captures, Regex};

macro_rules! pattern {
    ($name:literal, $form:expr) => {
        pattern!($name, $form, |_| true)
    };
    ($name:literal, $form:expr, $fits:expr) => {
        Pattern {
            name: $name,
            form: LazyLock::new(|| Regex::new($form).expect("a pattern of ours")),
            fits: $fits,
        }
    };
}

/// A pattern that begins as a word does: at the edge of one in ASCII, as there are scripts without spaces, or behind an
/// underscore or an escape, which end in characters of words: `\n` and `\u0022` of JSON in a text, `%22` of a URL, `=3D`
/// of a mail, a terminal's colour.
macro_rules! word {
    ($form:literal) => {
        concat!(
            r"(?P<before>(?-u:\b)|_|\\(?:[abefnrtv0]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})|[%=][0-9A-Fa-f]{2}|\x1b\[[0-9;]*m)",
            $form
        )
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
    pattern!(
        "anthropic-key",
        // The whole beginning of one is no part of any word.
        concat!(
            word!(r"sk-ant-[A-Za-z0-9_-]{8,}"),
            r"|sk-ant-[a-z]{2,8}[0-9]{2}-[A-Za-z0-9_-]{8,}"
        )
    ),
    pattern!("openai-key", word!(r"sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{16,}")),
    pattern!("key", word!(r"sk-[A-Za-z0-9_-]{20,}"), has_digit),
    pattern!("github-token", word!(r"(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{40,})")),
    pattern!("aws-key", word!(r"(?:AKIA|ASIA)[A-Z0-9]{16}(?-u:\b)")),
    pattern!(
        "google-key",
        word!(r"(?:AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,})")
    ),
    pattern!("slack-token", word!(r"xox[abeoprs]-[A-Za-z0-9-]{10,}")),
    pattern!("jwt", word!(r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}")),
    pattern!("bearer-token", word!(r"(?i)(?P<keep>bearer(?:\s|%20|\+)+)[A-Za-z0-9._~+/=-]{16,}")),
    pattern!("organization", word!(r"(?:org-[A-Za-z0-9]{20,}|org_[A-Za-z0-9]{16,})"), has_digit),
    pattern!("workspace", word!(r"wrkspc_[A-Za-z0-9]{8,}")),
    // Error texts name an organization by a UUID next to the word.
    pattern!(
        "organization",
        word!(
            r"(?i)(?P<keep>(?:organi[sz]ation|org|workspace)[a-z_ -]{0,12}[^0-9A-Za-z]{0,8})[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
        )
    ),
];

impl Pattern {
    /// Returns whether a text has a match.
    pub(super) fn is_in(&self, text: &str) -> bool {
        self.form.is_match(text)
            && self.form.captures_iter(text).any(|found| (self.fits)(secret(&found).1))
    }

    /// Replaces all matches by a placeholder.
    pub(super) fn replace(&self, text: &str, placeholder: &str) -> String {
        let replaced = self.form.replace_all(text, |found: &Captures<'_>| match secret(found) {
            (before, secret) if (self.fits)(secret) => format!("{before}{placeholder}"),
            _ => found[0].to_owned(),
        });
        replaced.into_owned()
    }
}

/// A match in two parts: what stays, and the secret.
fn secret<'a>(found: &Captures<'a>) -> (&'a str, &'a str) {
    let kept = found.name("keep").or_else(|| found.name("before"));
    let whole = found.get_match();
    let kept = kept.map_or(0, |kept| kept.end() - whole.start());
    whole.as_str().split_at(kept)
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
