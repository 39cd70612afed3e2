//! Patterns of secrets: keys and tokens with a prefix of their service (`services`), and values that a name announces
//! (`named`).
//!
//! A pattern that could match ordinary words has a condition on the value. One pass over a text finds the hints that it
//! has: most texts have none, and only the patterns with a hint in a text are searched for.

mod named;
mod services;

use std::{
    ops::Range,
    sync::{LazyLock, OnceLock},
};

use regex::{Captures, Regex, RegexSet};

pub(super) use self::named::Announced;
use self::services::OTHERS;
pub(super) use self::services::SERVICES;

/// The beginning of a word: the edge of one in ASCII, as there are scripts without spaces, or an underscore or an escape,
/// which end in characters of words: `\n` and `\u0022` of JSON in a text, `%22` of a URL, `=3D` of a mail, a terminal's
/// colour.
const WORD: &str = r"(?P<before>(?-u:\b)|_|\\(?:[abefnrtv0]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})|[%=][0-9A-Fa-f]{2}|\x1b\[[0-9;]*m)";
/// Names of passwords.
const PASSWORD: &str = r"(?:pass(?:word|wd|phrase|code)|pwd)";
/// Names of other secrets.
const SECRET: &str = r"(?:secrets?|token|credentials?|authorization|(?:api|access|secret|private|auth|account|encryption|signing|master|shared)[_-]?(?:access[_-]?)?key(?:[_-]?base)?)";
/// The sign of an assignment and the beginning of a string, then the string up to its end. Strings in JSON in a text have
/// backslashes before their quotes, and end at the first quote or backslash.
const QUOTED: &str = r#"\\*["'`]?[ \t\r\n]*(?::=|=>|[:=])[ \t\r\n]*[bru]?(?:"(?P<secret>(?:[^"\\\r\n]|\\[^\r\n])+)|'(?P<single>(?:[^'\\\r\n]|\\[^\r\n])+)|(?:\\+["'`]|`)(?P<escaped>[^"'`\\\r\n]+))"#;
/// Groups that have the secret of a match. Without one of them it is all that follows the groups `before` and `keep`.
const GROUPS: [&str; 3] = ["secret", "single", "escaped"];
/// Length up to which a value that is no secret is searched for another name.
const LONGEST_AGAIN: usize = 1024;

/// The pattern of one kind of secret.
struct Pattern {
    /// The kind, as named in the placeholder.
    kind: &'static str,
    /// A part of every match that is fast to find.
    hint: &'static str,
    source: String,
    /// Compiled on the first hint.
    form: OnceLock<Regex>,
    /// Additional condition on a secret.
    fits: fn(&str) -> bool,
}

/// All patterns, and one automaton that finds their hints.
struct Patterns {
    hints: RegexSet,
    patterns: Vec<Pattern>,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let patterns: Vec<Pattern> = keys().chain(services()).chain(announced()).collect();
    let hints = RegexSet::new(patterns.iter().map(|pattern| pattern.hint));
    Patterns { hints: hints.expect("hints of ours"), patterns }
});

/// Replaces all secrets by placeholders, and adds their kinds to `kinds`; `None` if there are none. A replacement can
/// reveal another secret.
pub(super) fn replace(text: &str, kinds: &mut Vec<&'static str>) -> Option<String> {
    let Patterns { hints, patterns } = &*PATTERNS;
    // Faster than to ask at once which.
    if !hints.is_match(text) {
        return None;
    }
    let mut scrubbed = None;
    for at in hints.matches(text) {
        let pattern = &patterns[at];
        if let Some(changed) = pattern.replace(scrubbed.as_deref().unwrap_or(text)) {
            kinds.push(pattern.kind);
            scrubbed = Some(changed);
        }
    }
    scrubbed
}

/// The placeholder of a kind of secret.
pub(super) fn placeholder(kind: &str) -> String {
    format!("[redacted:{kind}]")
}

/// The text with placeholders that name no kind; `None` if it has none.
pub(super) fn unnamed(text: &str) -> Option<String> {
    const OPEN: &str = "[redacted";
    let (head, rest) = text.split_once(OPEN)?;
    let mut plain = head.to_owned();
    for part in rest.split(OPEN) {
        plain += OPEN;
        let named = part.strip_prefix(':').and_then(|named| named.split_once(']'));
        let is_name = |name: &str| {
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        match named.filter(|(name, _)| is_name(name)) {
            Some((_, after)) => plain.extend(["]", after]),
            None => plain += part,
        }
    }
    Some(plain)
}

impl Pattern {
    fn new(
        kind: &'static str,
        hint: &'static str,
        source: impl Into<String>,
        fits: fn(&str) -> bool,
    ) -> Self {
        Self { kind, hint, source: source.into(), form: OnceLock::new(), fits }
    }

    fn replace(&self, text: &str) -> Option<String> {
        let form = self.form.get_or_init(|| Regex::new(&self.source).expect("a pattern of ours"));
        let mut scrubbed = String::new();
        let (mut done, mut at) = (0, 0);
        while let Some(found) = form.captures_at(text, at) {
            let secret = secret(&found);
            at = found.get_match().end();
            if (self.fits)(&text[secret.clone()]) {
                scrubbed.extend([&text[done..secret.start], &placeholder(self.kind)]);
                done = secret.end;
            } else if found.name("keep").is_some() && secret.len() <= LONGEST_AGAIN {
                // The value may be no value, and have a name in it.
                at = secret.start;
            }
        }
        (done > 0).then(|| scrubbed + &text[done..])
    }
}

/// Place of the secret in a match.
fn secret(found: &Captures<'_>) -> Range<usize> {
    if let Some(secret) = GROUPS.iter().find_map(|name| found.name(name)) {
        return secret.range();
    }
    let kept = found.name("keep").or_else(|| found.name("before"));
    let whole = found.get_match();
    kept.map_or(whole.start(), |kept| kept.end())..whole.end()
}

fn always(_: &str) -> bool {
    true
}

/// Private keys, and Anthropic's.
fn keys() -> impl Iterator<Item = Pattern> {
    const BEGIN: &str = "-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----";
    const END: &str = "-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----";
    const HINT: &str = "PRIVATE KEY";
    let whole = format!("{BEGIN}(?:[^-]|-{{1,4}}[^-])*{END}");
    // One without its end: the lines of base64.
    let cut = format!(r"{BEGIN}(?:(?:[ \t\r\n]|\\+[nr])*[A-Za-z0-9+/]{{16,}}={{0,2}})+");
    // The whole beginning of one is no part of any word.
    let anthropic = format!(
        r"{WORD}sk-ant-[A-Za-z0-9_-]{{8,}}|sk-ant-[a-z]{{2,8}}[0-9]{{2}}-[A-Za-z0-9_-]{{8,}}"
    );
    [
        Pattern::new("private-key", HINT, whole, always),
        Pattern::new("private-key", HINT, cut, always),
        Pattern::new("anthropic-key", "sk-ant-", anthropic, always),
    ]
    .into_iter()
}

/// Tokens of services.
fn services() -> impl Iterator<Item = Pattern> {
    let service = |(kind, prefix, rest): &(&'static str, &'static str, &str)| {
        Pattern::new(kind, prefix, format!("{WORD}{prefix}{rest}"), always)
    };
    let other = |(kind, hint, form): &(&'static str, &'static str, &str)| {
        Pattern::new(kind, hint, format!("{WORD}{form}"), always)
    };
    let key = format!("{WORD}sk-[A-Za-z0-9_-]{{20,}}");
    let organization = format!("{WORD}(?:org-[A-Za-z0-9]{{20,}}|org_[A-Za-z0-9]{{16,}})");
    // Error texts name an organization by a UUID next to the word.
    let named_organization = format!(
        r"(?i){WORD}(?P<keep>(?:organi[sz]ation|org|workspace)[a-z_ -]{{0,12}}[^0-9A-Za-z]{{0,8}})[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}(?-u:\b)"
    );
    let conditional = [
        Pattern::new("key", "sk-", key, named::has_digit),
        Pattern::new("organization", "org[-_]", organization, named::has_digit),
        Pattern::new("organization", "(?i-u:org|workspace)", named_organization, always),
    ];
    SERVICES.iter().map(service).chain(OTHERS.iter().map(other)).chain(conditional)
}

/// Values that their surroundings tell to be secrets. They come last, so that a placeholder says more.
fn announced() -> impl Iterator<Item = Pattern> {
    const PASSWORD_HINT: &str = "(?i-u:pass|pwd)";
    const SECRET_HINT: &str = "(?i-u:secret|token|credential|authorization|key)";
    let jwt = format!(r"{WORD}eyJ[A-Za-z0-9_-]{{8,}}\.eyJ[A-Za-z0-9_-]{{8,}}\.[A-Za-z0-9_-]{{8,}}");
    let bearer =
        format!(r"{WORD}(?P<keep>(?i-u:bearer)(?:[ \t\r\n]|%20|\+)+)[A-Za-z0-9._~+/=-]{{16,}}");
    let basic =
        format!(r"{WORD}(?P<keep>(?i-u:basic)(?:[ \t\r\n]|%20|\+)+)[A-Za-z0-9+/_-]{{6,}}={{0,2}}");
    let auth = r#"(?P<keep>"_?auth\\*"[ \t]*:[ \t]*\\*")(?P<secret>[A-Za-z0-9+/]{8,}={0,2})"#;
    let authorization = r#"(?P<keep>(?i-u:authorization)\\*["']?[ \t]*[:=][ \t]*\\*["']?[A-Za-z][A-Za-z-]*[ \t]+)(?P<secret>[A-Za-z0-9._~+/=-]{16,})"#;
    let userinfo = r#"(?P<keep>[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#:@"'`<>\\\[\]]*:)(?P<secret>[^\s/?#"'`<>\\\[\]{}]+)@"#;
    let cookie = r#"(?P<keep>(?i-u:cookie2?)\\*["']?[ \t]*[:=][ \t]*\\*["']?)(?P<secret>[A-Za-z0-9!#$%&*+.^_|~-]+=[^\s;,"'\\]+(?:;[ \t]?[A-Za-z0-9!#$%&*+.^_|~-]+(?:=[^\s;,"'\\]*)?)*)"#;
    let parameter = r#"(?P<keep>[?&;#](?i-u:[a-z0-9_.-]*(?:api[_-]?key|access[_-]?key|token|secret|password|passwd|pwd|signature|credential)|sig|auth|authkey)=)(?P<secret>[^&;\s"'`<>#\\\[\]{}]+)"#;
    let random_parameter =
        r"(?P<keep>[?&;#](?i-u:key|code|session|sid)=)(?P<secret>[A-Za-z0-9._~%+/-]{20,})";
    let curl = r#"(?P<keep>(?-u:\b)curl [^\r\n|;]*?[ \t](?:-u|--user|-U|--proxy-user)[ \t=]?\\*["']?[^\s:"'\\]+:)(?P<secret>[^\s"'\\]+)"#;
    let netrc = r#"(?P<keep>(?-u:\b)login[ \t\r\n]+[^\s"'\\]+[ \t\r\n]+password[ \t\r\n]+)(?P<secret>[^\s"'\\]+)"#;
    let quoted = |names: &str| format!("(?P<keep>(?i-u:{names})){QUOTED}");
    // In files and commands.
    let variable = |names: &str| {
        format!(
            r#"(?P<keep>(?-u:\b)(?:[A-Z][A-Z0-9_]*)?(?:{names})=\\*["']?)(?P<secret>[^\s"'`\\;&|]+)"#
        )
    };
    let passwords = variable("PASSWORD|PASSWD|PASSPHRASE|PASSCODE|PWD|PASS");
    let secrets = variable(
        "SECRETS?|TOKEN|CREDENTIALS?|(?:API|ACCESS|SECRET|PRIVATE|AUTH|ACCOUNT|ENCRYPTION|SIGNING|MASTER)_?KEY(?:_BASE)?",
    );
    // In settings and headers, without quotes.
    let password =
        format!(r#"(?P<keep>(?i-u:{PASSWORD})(?:=|:[ \t]+))(?P<secret>[^\s"'`\\,;<>{{}}]{{6,}})"#);
    let secret = format!(
        r"(?P<keep>(?i-u:{SECRET})[ \t]*[:=][ \t]*)(?P<secret>[A-Za-z0-9._~+/=!@#$%^&*-]{{16,}})"
    );
    [
        Pattern::new("jwt", "eyJ", jwt, always),
        Pattern::new("bearer-token", "(?i-u:bearer)", bearer, always),
        Pattern::new("basic-auth", "(?i-u:basic)", basic, named::is_basic_auth),
        Pattern::new("basic-auth", "auth", auth, named::is_basic_auth),
        Pattern::new("authorization", "(?i-u:authorization)", authorization, named::is_random),
        Pattern::new("url-password", "://", userinfo, named::is_password),
        Pattern::new("cookie", "(?i-u:cookie)", cookie, named::is_cookie),
        Pattern::new("parameter", "[?&;#][A-Za-z0-9_.-]+=", parameter, named::is_parameter),
        Pattern::new("parameter", "[?&;#][A-Za-z]+=", random_parameter, named::is_random),
        Pattern::new("password", "curl ", curl, named::is_password),
        Pattern::new("password", "login", netrc, named::is_password),
        Pattern::new("password", PASSWORD_HINT, quoted(PASSWORD), named::is_password),
        Pattern::new("secret", SECRET_HINT, quoted(SECRET), named::is_secret),
        Pattern::new("password", "P(?:ASS|WD)", passwords, named::is_variable_password),
        Pattern::new("secret", "[A-Z]=", secrets, named::is_variable_secret),
        Pattern::new("password", PASSWORD_HINT, password, named::is_unquoted_password),
        Pattern::new("secret", SECRET_HINT, secret, named::is_random),
    ]
    .into_iter()
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
