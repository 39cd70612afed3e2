//! The lists of the settings file: `[[alias]]`, `[[budget]]`, `[[key]]` and `[[scrub]]`.
//!
//! Errors name the line. Those of `[[scrub]]` never show it: it may hold the secret that is to be removed.

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::{
    ClientKey, Error, keys,
    line::{line_at, located},
};
use crate::domain::{
    alias::{Alias, Aliases},
    budget::Budget,
    cassette::{Rule, RuleError},
    catalog::Catalog,
};

/// The settings that only the file can have.
#[derive(Debug, Default, Clone)]
pub(super) struct Lists {
    pub(super) aliases: Aliases,
    pub(super) budgets: Vec<Budget>,
    pub(super) keys: Vec<ClientKey>,
    pub(super) scrub: Vec<Rule>,
}

impl Lists {
    /// Names in the file, and what errors call their content.
    pub(super) const NAMES: [(&'static str, &'static str); 4] = [
        ("alias", "aliases"),
        ("budget", "budgets"),
        ("key", "client keys"),
        ("scrub", "rules for scrubbing"),
    ];

    /// Reads the lists from the text of the file, whose lines an error can name.
    pub(super) fn read(path: &Path, text: &str) -> Result<Self, Error> {
        let keys = keys::read(path, text)?;
        Ok(Self {
            aliases: aliases(path, text)?,
            budgets: budgets(path, text, &keys)?,
            keys,
            scrub: scrub(path, text)?,
        })
    }
}

fn aliases(path: &Path, text: &str) -> Result<Aliases, Error> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        alias: Vec<Alias>,
    }

    let File { alias } = toml::from_str(text).map_err(|error| {
        let (line, why) = located(&error, text);
        let why = why.replace("a nonzero u32", "a whole number of at least 1");
        Error::List { list: "aliases", path: path.to_owned(), line, why }
    })?;
    Aliases::new(alias, &Catalog::builtin())
        .map_err(|source| Error::Aliases { path: path.to_owned(), source })
}

fn budgets(path: &Path, text: &str, keys: &[ClientKey]) -> Result<Vec<Budget>, Error> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        budget: Vec<Spanned<Budget>>,
    }

    let invalid = |line, why| Error::List { list: "budgets", path: path.to_owned(), line, why };
    let File { budget } = toml::from_str(text).map_err(|error| {
        let (line, why) = located(&error, text);
        invalid(line, why)
    })?;
    let known = |budget: Spanned<Budget>| {
        let line = line_at(text, budget.span().start);
        let budget = budget.into_inner();
        match &budget.key {
            Some(name) if !keys.iter().any(|key| key.name == *name) => {
                Err(invalid(line, format!("there is no [[key]] with the name {name}")))
            }
            _ => Ok(budget),
        }
    };
    budget.into_iter().map(known).collect()
}

/// A rule as written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    /// A regular expression.
    find: Spanned<String>,
    /// Replacement; `$1` is the first group.
    replace: String,
}

fn scrub(path: &Path, text: &str) -> Result<Vec<Rule>, Error> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        scrub: Vec<RawRule>,
    }

    let invalid = |line, why| Error::Scrub { path: path.to_owned(), line, why };
    let File { scrub } = toml::from_str(text).map_err(|error| {
        let (line, why) = located(&error, text);
        // Such a message shows the value.
        let shows = why.starts_with("invalid ");
        let shape = "each rule begins with [[scrub]] and has find and replace, which are texts";
        invalid(line, if shows { shape.to_owned() } else { why })
    })?;
    let rule = |RawRule { find, replace }: RawRule| {
        let line = line_at(text, find.span().start);
        Rule::new(find.get_ref(), &replace).map_err(|error| invalid(line, reason(&error)))
    };
    scrub.into_iter().map(rule).collect()
}

fn reason(error: &RuleError) -> String {
    match error {
        RuleError::Pattern { source, .. } => {
            // The other lines of this message show the pattern.
            let message = source.to_string();
            let last = message.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("find is no regular expression: {last}")
        }
        RuleError::Endless { .. } => {
            "find matches its own replacement, so it would be replaced again and again".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cassette::Scrubber;

    fn refused(text: &str) -> String {
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
            let error = refused(&text);
            assert!(error.contains(&format!("reprise.toml: line {line}: ")), "{error}");
            assert!(error.contains(why) && !error.contains("hid"), "{error}");
        }
    }
}
