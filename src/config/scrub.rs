//! The operator's own rules of what is taken out of fixtures: `[[scrub]]` in the settings file.
//!
//! An error names the line and never shows what stands there: it may be the very secret that is to be taken out.

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::{Error, layers::located};
use crate::domain::cassette::{Rule, RuleError};

/// One rule, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// A regular expression.
    find: Spanned<String>,
    /// What takes its place; `$1` is its first group.
    replace: String,
}

/// The `[[scrub]]`s of the file, in their order.
pub(super) fn scrub(path: &Path, text: &str) -> Result<Vec<Rule>, Error> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        scrub: Vec<Written>,
    }

    let wrong = |line, why| Error::Scrub { path: path.to_owned(), line, why };
    let File { scrub } = toml::from_str(text).map_err(|error| {
        let (line, why) = located(&error, text);
        // Such a message shows the value.
        let shows = why.starts_with("invalid ");
        let shape = "each rule begins with [[scrub]] and has find and replace, which are texts";
        wrong(line, if shows { shape.to_owned() } else { why })
    })?;
    let rule = |Written { find, replace }: Written| {
        let before = text.get(..find.span().start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Rule::new(find.get_ref(), &replace).map_err(|error| wrong(line, why(&error)))
    };
    scrub.into_iter().map(rule).collect()
}

fn why(error: &RuleError) -> String {
    match error {
        RuleError::Pattern { source, .. } => {
            // The other lines of this message show the pattern.
            let told = source.to_string();
            let last = told.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("find is no regular expression: {last}")
        }
        RuleError::Endless { .. } => {
            "find matches what replace puts in its place, so it would be replaced again and again"
                .to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cassette::Scrubber;

    fn told(text: &str) -> String {
        scrub(Path::new("reprise.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn rules_are_applied_in_their_order() {
        let text = r#"
            port = 1
            [[scrub]]
            find = 'customer (\d+)'
            replace = "customer N"
            [[scrub]]
            find = "ACME"
            replace = "the company"
        "#;
        let scrubber = Scrubber::new(Vec::new(), scrub(Path::new("x"), text).unwrap());
        let clean = scrubber.text("customer 4711 of ACME").unwrap();
        assert_eq!(clean, "customer N of the company");
        assert_eq!(scrubber.text(&clean), None);
    }

    #[test]
    fn an_error_names_the_line_and_does_not_show_it() {
        let rule = |find: &str, rest: &str| format!("\n[[scrub]]\nfind = '{find}'\n{rest}\n");
        for (text, line, why) in [
            (rule("hidden(", "replace = 'x'"), 3, "is no regular expression: unclosed group"),
            (rule("hid", "replace = 'hidden'"), 3, "would be replaced again"),
            (rule("hidden", ""), 2, "missing field `replace`"),
            (rule("hidden", "replace = 'x'\nwith = 'y'"), 5, "unknown field `with`"),
            ("[[scrub]]\nfind = ['hidden']\nreplace = 'x'".to_owned(), 2, "which are texts"),
            ("scrub = 'hidden'".to_owned(), 1, "begins with [[scrub]]"),
        ] {
            let told = told(&text);
            assert!(told.contains(&format!("reprise.toml: line {line}: ")), "{told}");
            assert!(told.contains(why) && !told.contains("hid"), "{told}");
        }
    }
}
