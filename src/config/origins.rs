//! Origins of web pages and apps.

use std::str::FromStr;

use super::parsers::Expected;

/// Origin of a page or an app, as browsers send it: `https://chat.example`, `app://obsidian.md`, `null`; or `*`, any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// True if `origin`, the value of a request's header, is this one.
    pub fn matches(&self, origin: &str) -> bool {
        self.is_any() || self.0.eq_ignore_ascii_case(origin)
    }

    /// True for `*`.
    pub fn is_any(&self) -> bool {
        self.0 == "*"
    }
}

impl FromStr for Origin {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let text = text.trim();
        let text = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
        let is_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let is_origin = text.split_once("://").is_some_and(|(scheme, authority)| {
            let ends =
                |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '@' | '*' | ',');
            let is_named = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
            is_named
                && scheme.chars().all(is_scheme)
                && !authority.is_empty()
                && !authority.contains(ends)
        });
        if is_origin || text == "null" || text == "*" {
            Ok(Self(text))
        } else {
            Err(Expected(
                "an origin such as https://chat.example or app://obsidian.md, without a path",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_a_scheme_and_no_path() {
        for (text, sent) in [
            ("https://chat.example", "https://chat.example"),
            ("https://Chat.example:8443/", "https://chat.example:8443"),
            ("app://obsidian.md", "app://obsidian.md"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
            ("null", "null"),
            (" * ", "https://any.example"),
        ] {
            assert!(text.parse::<Origin>().unwrap().matches(sent), "{text}");
        }
        let origin: Origin = "https://chat.example".parse().unwrap();
        for other in [
            "http://chat.example",
            "https://chat.example.evil",
            "https://chat.example:8443",
            "null",
        ] {
            assert!(!origin.matches(other), "{other}");
        }
        for wrong in [
            "",
            "chat.example",
            "https://",
            "https://a/b",
            "https://*.a",
            "https://a?b",
            "://a",
            "https://u@a",
        ] {
            assert!(wrong.parse::<Origin>().is_err(), "{wrong}");
        }
    }
}
