//! Texts that the name of their field announces as secrets. Numbers and truth values stay.

use std::borrow::Cow;

use crate::domain::cassette::{
    patterns::{Announced, placeholder},
    tree::{JsonNode, Tree, decode, encode},
};

/// The names that an object gives to its values.
pub(super) struct Names {
    /// By another field: `{"name": "Authorization", "value": "…"}`.
    stated: Option<Announced>,
    /// By the name of the object.
    inherited: Option<Announced>,
}

impl Names {
    /// The names in an object whose own name announces `outer`.
    pub(super) fn of(fields: &[(Cow<'_, str>, Tree<'_>)], outer: Option<Announced>) -> Self {
        let is_name = |name: &str| {
            ["name", "key", "header"].iter().any(|known| known.eq_ignore_ascii_case(name))
        };
        let stated = fields.iter().find(|(name, _)| is_name(&decode(name)));
        let inherited = outer.filter(|outer| *outer == Announced::Cookie);
        Self {
            stated: stated.and_then(|(_, value)| Announced::by(&value.text()?)),
            inherited: inherited.map(|_| Announced::CookieValue),
        }
    }

    /// The kind that the name of a field announces.
    pub(super) fn announced(&self, name: &str) -> Option<Announced> {
        let stated = self.stated.filter(|_| name.eq_ignore_ascii_case("value"));
        stated.or_else(|| Announced::by(name)).or(self.inherited)
    }
}

/// Replaces the announced secrets in a value whose name announces `announced`, which holds for lists, too. Returns whether
/// there are any.
pub(super) fn scrub(tree: &mut Tree<'_>, announced: Option<Announced>) -> bool {
    match &mut tree.node {
        JsonNode::Scalar(_) => false,
        JsonNode::Text(literal) => {
            let kind = announced.and_then(|announced| announced.secret(&decode(literal)));
            if let Some(kind) = kind {
                *literal = encode(&placeholder(kind)).into();
            }
            kind.is_some()
        }
        JsonNode::List(items) => {
            items.iter_mut().fold(false, |changed, item| scrub(item, announced) | changed)
        }
        JsonNode::Object(fields) => {
            let names = Names::of(fields, announced);
            fields.iter_mut().fold(false, |changed, (name, value)| {
                scrub(value, names.announced(&decode(name))) | changed
            })
        }
    }
}
