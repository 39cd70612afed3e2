//! Values that a name announces as secrets: `"password": "…"`, `?token=…`, `Cookie: …`. The conditions here tell them from
//! ordinary words: types in code, labels of forms, examples in manuals.

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// Length below which a password is an example.
const SHORTEST_PASSWORD: usize = 4;
/// Maximum number of words of a password: more are a sentence.
const MOST_WORDS: usize = 3;
/// Length below which another value is an ordinary word.
const SHORTEST_SECRET: usize = 8;
/// Length from which a value of letters in both cases is a secret.
const LONG: usize = 16;
/// Length from which a value of letters in one case is no word.
const LONGEST_WORD: usize = 20;
/// Length from which a value of a name such as `key`, which may be that of a list, can be random.
const SHORTEST_RANDOM: usize = 16;
/// Length below which a parameter of a URL is an example.
const SHORTEST_PARAMETER: usize = 6;

/// Endings of names, without hyphens and underscores.
const PASSWORDS: [&str; 5] = ["password", "passwd", "passphrase", "passcode", "pwd"];
const SECRETS: [&str; 17] = [
    "secret",
    "secrets",
    "token",
    "credential",
    "credentials",
    "authorization",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "authkey",
    "accountkey",
    "encryptionkey",
    "signingkey",
    "masterkey",
    "sharedkey",
    "keybase",
];
/// Names with such an ending whose values are no secrets: positions in a list, and words of a vocabulary.
const HARMLESS: [&str; 9] = [
    "pagetoken",
    "nexttoken",
    "continuationtoken",
    "synctoken",
    "stoptoken",
    "eostoken",
    "bostoken",
    "padtoken",
    "unktoken",
];
/// Words that stand for a value: types, labels and examples.
const WORDS: [&str; 49] = [
    "basic",
    "bearer",
    "boolean",
    "bytes",
    "changeme",
    "current-password",
    "default",
    "disabled",
    "empty",
    "enabled",
    "enter",
    "example",
    "false",
    "hidden",
    "incorrect",
    "input",
    "integer",
    "invalid",
    "keyword",
    "missing",
    "new-password",
    "none",
    "null",
    "number",
    "object",
    "optional",
    "pass",
    "passphrase",
    "passwd",
    "password",
    "placeholder",
    "private",
    "public",
    "redacted",
    "required",
    "secret",
    "self",
    "str",
    "string",
    "text",
    "token",
    "true",
    "type",
    "undefined",
    "unknown",
    "user",
    "username",
    "value",
    "wrong",
];
/// Parts of a value that is read from elsewhere: a variable, a template, a call.
const READ: [&str; 13] = [
    "${",
    "$(",
    "{{",
    "}}",
    "{}",
    "<",
    ">",
    "os.environ",
    "process.env",
    "getenv",
    "[redacted",
    "...",
    "…",
];
/// Attributes of a cookie, which are no cookies.
const ATTRIBUTES: [&str; 5] = ["expires", "max-age", "path", "domain", "samesite"];
/// Parts of names of cookies that are secrets, however short.
const SESSIONS: [&str; 6] = ["sess", "sid", "token", "auth", "csrf", "jwt"];

/// The kind of value that a name announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::domain::cassette) enum Announced {
    Password,
    Secret,
    /// The text of a header.
    Cookie,
    /// The value of one cookie.
    CookieValue,
    /// A user and a password in base64, as in files of Docker and npm.
    Auth,
}

impl Announced {
    /// The kind that a name announces, if any.
    pub(in crate::domain::cassette) fn by(name: &str) -> Option<Self> {
        let plain: String =
            name.chars().filter(|c| !"-_ ".contains(*c)).map(|c| c.to_ascii_lowercase()).collect();
        let is_one = |endings: &[&str]| endings.iter().any(|ending| plain.ends_with(ending));
        if is_one(&PASSWORDS) {
            Some(Self::Password)
        } else if is_one(&SECRETS) && !is_one(&HARMLESS) {
            Some(Self::Secret)
        } else if plain.ends_with("cookie") || plain == "cookies" {
            Some(Self::Cookie)
        } else if plain == "auth" {
            Some(Self::Auth)
        } else {
            None
        }
    }

    /// The kind of secret that a text is under this name; `None` for an ordinary text.
    pub(in crate::domain::cassette) fn secret(self, text: &str) -> Option<&'static str> {
        let text = text.trim();
        if text.contains(['\n', '\r']) {
            return None;
        }
        let (is_secret, kind): (fn(&str) -> bool, _) = match self {
            Self::Password => (is_password, "password"),
            Self::Secret => (is_secret, "secret"),
            Self::Cookie => (is_cookie, "cookie"),
            Self::CookieValue => (is_secret, "cookie"),
            Self::Auth => (is_basic_auth, "basic-auth"),
        };
        is_secret(text).then_some(kind)
    }
}

/// Returns whether a value stands for another one.
fn is_example(text: &str) -> bool {
    let word = text.trim().to_ascii_lowercase();
    let first = word.bytes().next();
    WORDS.contains(&&*word)
        || READ.iter().any(|part| word.contains(part))
        // The name of a field or a method: `mysql_native_password`.
        || ["_password", "-password", ":password", " password"].iter().any(|end| word.ends_with(end))
        || (word.starts_with('{') && word.ends_with('}'))
        || word
            .bytes()
            .all(|byte| Some(byte) == first || !byte.is_ascii_alphanumeric() && byte.is_ascii())
        || (word.starts_with(['$', '%']) && !has_digit(&word))
        || ["your", "my_", "my-", "xxx"].iter().any(|begin| word.starts_with(begin))
}

/// Returns whether a value is a password: nearly anything of one word; of a few, if it has a digit.
pub(super) fn is_password(text: &str) -> bool {
    let words = text.split_whitespace().count();
    text.len() >= SHORTEST_PASSWORD
        && text.trim() == text
        && !is_example(text)
        && (words == 1 || (words <= MOST_WORDS && has_digit(text)))
        // The rest of a program: `input("password: ") + "…"`.
        && !text.starts_with([',', ')', ';', '+', '"', '\''])
        && !text.ends_with(['?', ':', ','])
}

/// Returns whether a value is no ordinary word: it has a digit and a letter, or is long and of letters only.
pub(super) fn is_secret(text: &str) -> bool {
    // `Token …` and the like of an Authorization header.
    let value = match text.split_once(' ') {
        Some((scheme, value)) if scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) => value,
        _ => text,
    };
    let is_word = || value.bytes().all(|byte| byte.is_ascii_alphabetic());
    !value.contains(char::is_whitespace)
        && value.len() >= SHORTEST_SECRET
        && !is_example(value)
        && !value.contains(['(', ')'])
        && (is_mixed(value)
            || (is_word()
                && (value.len() >= LONGEST_WORD || (value.len() >= LONG && has_both_cases(value)))))
}

/// Returns whether the value of a parameter is one.
pub(super) fn is_parameter(text: &str) -> bool {
    text.len() >= SHORTEST_PARAMETER && !text.contains(['(', ')', ',']) && !is_example(text)
}

/// Returns whether a value is random, and no name or path: its letters and digits change all the time.
pub(super) fn is_random(text: &str) -> bool {
    let class = |byte: u8| match byte {
        b'0'..=b'9' => Some(0),
        b'A'..=b'Z' => Some(1),
        b'a'..=b'z' => Some(2),
        _ => None,
    };
    let changes = |pair: &&[u8]| match (class(pair[0]), class(pair[1])) {
        // The beginning of a word in a name.
        (Some(1), Some(2)) | (None, _) | (_, None) => false,
        (before, after) => before != after,
    };
    let changes = text.as_bytes().windows(2).filter(changes).count();
    text.len() >= SHORTEST_RANDOM
        && is_mixed(text)
        && changes * 5 >= text.len()
        && !is_example(text)
}

/// Returns whether a value without quotes is a password, and no part of a program.
pub(super) fn is_unquoted_password(text: &str) -> bool {
    is_mixed(text) && is_password(text) && !text.contains(['(', '[', '.', ';'])
}

/// Returns whether the value of a variable in a file or a command is a password.
pub(super) fn is_variable_password(text: &str) -> bool {
    is_password(text) && !text.contains(['(', '[']) && !text.starts_with('/')
}

/// Returns whether the value of a variable in a file or a command is a secret.
pub(super) fn is_variable_secret(text: &str) -> bool {
    is_secret(text) && !text.contains('[') && !text.starts_with('/')
}

/// Returns whether text is the base64 of a user and a password.
pub(super) fn is_basic_auth(text: &str) -> bool {
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let coded = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
    let decoded = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT).decode(coded);
    decoded.is_ok_and(|bytes| {
        String::from_utf8(bytes)
            .is_ok_and(|pair| pair.contains(':') && !pair.contains(char::is_control))
    })
}

/// Returns whether the text of a header has a cookie that is a secret, by its name or its value.
pub(super) fn is_cookie(text: &str) -> bool {
    text.split(';').filter_map(|cookie| cookie.split_once('=')).any(|(name, value)| {
        let name = name.trim().to_ascii_lowercase();
        let is_session = SESSIONS.iter().any(|part| name.contains(part));
        !ATTRIBUTES.contains(&&*name)
            && !name.contains(char::is_whitespace)
            && !is_example(value)
            && (is_secret(value) || (is_session && value.len() >= SHORTEST_PARAMETER))
    })
}

fn is_mixed(text: &str) -> bool {
    has_digit(text) && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Returns whether a text has a digit, which hyphenated words do not.
pub(super) fn has_digit(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
}

fn has_both_cases(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_lowercase())
        && text.bytes().any(|byte| byte.is_ascii_uppercase())
}
