//! Aliases: models with settings of their own, which the operator defines and clients choose like models.
//!
//! This file defines and validates them; `translate` applies them to requests.

use std::num::NonZeroU32;

use serde::Deserialize;

use super::catalog::Catalog;

/// OpenAI's words for how hard to think (`reference/anthropic-api.md` §9.2).
const EFFORTS: &[&str] = &["none", "minimal", "low", "medium", "high", "xhigh", "max"];

/// A model with settings of its own, as the settings file has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alias {
    /// The id that clients use.
    pub id: String,
    /// The display name.
    #[serde(default)]
    pub name: Option<String>,
    /// The model behind it.
    pub model: String,
    /// Default effort: a value of OpenAI's `reasoning_effort`.
    #[serde(default)]
    pub effort: Option<String>,
    /// Maximum number of output tokens, which is also the default.
    #[serde(default)]
    pub max_tokens: Option<NonZeroU32>,
    /// Instructions that precede those of the client.
    #[serde(default)]
    pub system: Option<String>,
    /// `true` if it may search the web even if a request does not enable that.
    #[serde(default)]
    pub web_search: bool,
}

impl Alias {
    /// The name shown to people.
    pub fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }
}

/// All aliases, in the operator's order. None names another's id, or a model's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aliases(Vec<Alias>);

/// The reason that aliases cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A text is blank.
    #[error("the {field} of the alias number {number} is blank: {remedy}")]
    Blank {
        /// Which text.
        field: &'static str,
        /// Which alias, counted from one.
        number: usize,
        /// The remedy.
        remedy: &'static str,
    },
    /// Two aliases have the same id.
    #[error("two aliases are named {id:?}: rename one")]
    Twice {
        /// The id.
        id: String,
    },
    /// An alias has the id of a model.
    #[error("the alias {id:?} has the name of a Claude model and would hide it: rename it")]
    Model {
        /// The id.
        id: String,
    },
    /// An alias refers to another alias.
    #[error("the alias {id:?} stands for the alias {behind:?}: name the model behind that one")]
    Chain {
        /// The id.
        id: String,
        /// The other's.
        behind: String,
    },
    /// An effort is unknown.
    #[error(
        "the effort of the alias {id:?} must be none, minimal, low, medium, high, xhigh or max"
    )]
    Effort {
        /// The id.
        id: String,
    },
}

impl Aliases {
    /// The aliases, if they can be told from each other and from the models of `catalog`.
    pub fn new(mut list: Vec<Alias>, catalog: &Catalog) -> Result<Self, Error> {
        for (at, alias) in list.iter_mut().enumerate() {
            // As requests are read.
            alias.id = alias.id.trim().to_owned();
            alias.model = alias.model.trim().to_owned();
            let texts = [
                ("id", Some(&alias.id), "name it"),
                ("name", alias.name.as_ref(), "leave it out, or give it one"),
                ("model", Some(&alias.model), "name the model that it stands for"),
                ("system prompt", alias.system.as_ref(), "leave it out, or write one"),
            ];
            let blank = texts
                .into_iter()
                .find(|(_, text, _)| text.is_some_and(|text| text.trim().is_empty()));
            if let Some((field, _, remedy)) = blank {
                return Err(Error::Blank { field, number: at + 1, remedy });
            }
        }
        for (at, alias) in list.iter().enumerate() {
            let id = || alias.id.clone();
            if list[..at].iter().any(|earlier| earlier.id == alias.id) {
                return Err(Error::Twice { id: id() });
            }
            if catalog.get(&alias.id).is_some() {
                return Err(Error::Model { id: id() });
            }
            if list.iter().any(|other| other.id == alias.model) {
                return Err(Error::Chain { id: id(), behind: alias.model.clone() });
            }
            if alias.effort.as_deref().is_some_and(|effort| !EFFORTS.contains(&effort)) {
                return Err(Error::Effort { id: id() });
            }
        }
        Ok(Self(list))
    }

    /// The alias with this id.
    pub fn get(&self, id: &str) -> Option<&Alias> {
        let id = id.trim();
        self.iter().find(|alias| alias.id == id)
    }

    /// All of them, in the operator's order.
    pub fn iter(&self) -> std::slice::Iter<'_, Alias> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Aliases {
    type Item = &'a Alias;
    type IntoIter = std::slice::Iter<'a, Alias>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(id: &str, model: &str) -> Alias {
        Alias {
            id: id.to_owned(),
            name: None,
            model: model.to_owned(),
            effort: None,
            max_tokens: None,
            system: None,
            web_search: false,
        }
    }

    fn refused(list: &[Alias]) -> String {
        Aliases::new(list.to_vec(), &Catalog::builtin()).unwrap_err().to_string()
    }

    #[test]
    fn aliases_are_found_by_their_ids_however_they_are_spaced() {
        let list = vec![alias("quick ", " claude-haiku-5-5"), alias("next", "claude-of-tomorrow")];
        let aliases = Aliases::new(list, &Catalog::builtin()).unwrap();
        assert_eq!(aliases.get(" quick").unwrap().model, "claude-haiku-5-5");
        assert_eq!(aliases.get("next").unwrap().title(), "next");
        assert!(aliases.get("claude-haiku-5-5").is_none());
    }

    #[test]
    fn aliases_that_could_be_taken_for_another_are_refused() {
        let model = "claude-haiku-5-5";
        assert!(refused(&[alias("a", model), alias("a", model)]).starts_with("two aliases"));
        assert!(refused(&[alias(model, model)]).contains("has the name of a Claude model"));
        // The dated id and the short one are the same model.
        assert!(
            refused(&[alias("claude-haiku-4-5", model)]).contains("has the name of a Claude model")
        );
        assert!(refused(&[alias("a", "b"), alias("b", model)]).contains("stands for the alias"));
        assert!(refused(&[alias("a", "a")]).contains("stands for the alias"));
    }

    #[test]
    fn aliases_that_say_nothing_or_nonsense_are_refused() {
        let model = "claude-haiku-5-5";
        assert_eq!(refused(&[alias(" ", model)]), "the id of the alias number 1 is blank: name it");
        assert!(refused(&[alias("b", "")]).starts_with("the model of the alias number 1"));
        let system = Alias { system: Some("\n".to_owned()), ..alias("a", model) };
        assert!(refused(&[system]).starts_with("the system prompt of"));
        let effort = Alias { effort: Some("enormous".to_owned()), ..alias("a", model) };
        assert!(refused(&[effort]).starts_with("the effort of the alias \"a\" must be"));
    }
}
