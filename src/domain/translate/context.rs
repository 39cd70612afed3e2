//! Inputs of a translation besides the request's body.

use std::{collections::HashMap, sync::Arc};

use crate::domain::{alias::Aliases, anthropic, catalog::Catalog, exchange::AnswerRef};

/// Everything a translation depends on besides the request's body.
#[derive(Debug, Clone, Copy)]
pub struct TranslateContext<'a> {
    /// The capabilities of each model.
    pub catalog: &'a Catalog,
    /// The operator's aliases.
    pub aliases: &'a Aliases,
    /// The purpose of the request.
    pub occasion: Occasion,
    /// Recorded answers that the request's history refers to.
    pub originals: &'a Originals,
}

/// The purpose of a request, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// A person waits for the answer in Open WebUI.
    Chat,
    /// A background call of Open WebUI: a title, tags, follow-ups, …
    Task,
    /// Anything else.
    Plain,
}

/// Recorded answers, by the references that a client's history can contain.
pub type Originals = HashMap<AnswerRef, Arc<Original>>;

/// A recorded answer as Claude gave it.
#[derive(Debug)]
pub struct Original {
    /// The model that gave it.
    pub model: String,
    /// All content blocks, in order.
    pub blocks: Vec<anthropic::Block>,
}
