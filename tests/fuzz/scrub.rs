//! Secrets in texts: none is left, wherever it stands, and nothing is changed twice.

use reprise::domain::cassette::{Scrubber, Secret};
// Numbers may be of any size.
use serde::de::IgnoredAny;

use super::input::Input;

const SECRETS: [&str; 11] = [
    "sk-ant-api03-AbCdEf0123456789-xyzXYZ",
    "sk-ant-oat01-0123456789abcdefABCDEF",
    "sk-proj-0123456789abcdefXYZ_",
    "sk-0123456789abcdefghijKLMN",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "AIzaSyA0123456789abcdefghijklmnopqrstuv",
    "xoxb-0123456789-abcdef",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdefghijk",
    "Bearer abcdefgh12345678.x",
    "hunter2/3é \"x\"",
    "correct horse battery",
];
/// What may stand right before a secret: white space, signs, and escapes of JSON and URLs, once and twice.
const BEFORE: [&str; 24] = [
    "",
    " ",
    "\n",
    "\"",
    "'",
    "=",
    ":",
    "/",
    "(",
    ">",
    "_",
    "\\n",
    "\\t",
    "\\\"",
    "\\\\n",
    "\\u0022",
    "\\u000a",
    "%20",
    "%22",
    "%0A",
    "%3D",
    "é",
    "key=",
    "Authorization: ",
];
/// What may stand right after one.
const AFTER: [&str; 10] = ["", " ", "\n", "\"", "\\n", "\\\"", "%22", "&", ",", "é"];

/// Choices, then the text around the secret: before it, a zero, and after it.
pub(super) fn check(data: &[u8]) {
    let mut input = Input(data);
    let (secret, before, after, form) =
        (input.pick(&SECRETS), input.pick(&BEFORE), input.pick(&AFTER), input.below(3));
    let text = String::from_utf8_lossy(input.0);
    let (head, tail) = text.split_once('\0').unwrap_or((&text, ""));
    let secrets = [("PASSWORD", SECRETS[9]), ("PASSPHRASE", SECRETS[10])];
    let secrets = secrets.iter().filter_map(|(name, value)| Secret::new(name, value)).collect();
    let scrubber = Scrubber::new(secrets, Vec::new());
    settles(&scrubber, &text);
    // Without a sign between, a word goes on: `task-ant-…` is no key.
    let head = if before.is_empty() { "" } else { head };
    // The text may have the secret as a part of a word, too, where it is none.
    let tail = tail.replace(secret, "");
    let head = head.replace(secret, "");
    let planted = match form {
        0 => format!("{head}{before}{secret}{after}{tail}"),
        // In the string of a document, and in that of a document in a string.
        1 => json(&format!("{head}{before}{secret}{after}{tail}")),
        _ => json(&json(&format!("{head}{before}{secret}{after}{tail}"))),
    };
    let clean = settles(&scrubber, &planted);
    let written = json(secret);
    let written = &written[1..written.len() - 1];
    for form in [secret, written] {
        assert!(!clean.contains(form), "{secret} is left in {clean:?}");
    }
    // Content that a change would break is not changed: it is reported, and the fixture is not written.
    if planted.starts_with("data:") && planted.contains(";base64,") {
        return;
    }
    let document = format!("{{\"model\":\"m\",\"a\":[{}]}}", json(&planted));
    let clean = scrubber.json(&document).expect("it is JSON");
    serde_json::from_str::<IgnoredAny>(&clean).expect("it stays JSON");
    assert!(!clean.contains(written), "{secret} is left in {clean}");
    assert_eq!(scrubber.json(&clean).as_deref(), Some(&*clean), "scrubbed twice");
    if let Some(clean) = scrubber.json(&text) {
        serde_json::from_str::<IgnoredAny>(&clean).expect("it stays JSON");
        assert_eq!(scrubber.json(&clean).as_deref(), Some(&*clean), "scrubbed twice");
    }
}

/// The text without secrets, if that is the end of it.
fn settles(scrubber: &Scrubber, text: &str) -> String {
    let clean = scrubber.text(text).unwrap_or_else(|| text.to_owned());
    assert_eq!(scrubber.text(&clean), None, "{clean:?} is changed again");
    clean
}

fn json(text: &str) -> String {
    serde_json::to_string(text).expect("a text is JSON")
}
