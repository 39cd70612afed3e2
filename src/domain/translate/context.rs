//! Inputs of a translation besides the request's body.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::note::Error;
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
    /// The client's word that it wants no answer any more.
    pub cancellation: Cancellation<'a>,
}

/// A flag that ends a translation whose client has left. A long one looks at it now and then.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cancellation<'a>(Option<&'a AtomicBool>);

impl<'a> Cancellation<'a> {
    /// A translation that is never cancelled.
    pub const NEVER: Self = Self(None);

    /// A translation that is cancelled once the flag is set.
    pub const fn by(flag: &'a AtomicBool) -> Self {
        Self(Some(flag))
    }

    /// An error once the translation is cancelled.
    pub(super) fn check(self) -> Result<(), Error> {
        match self.0 {
            Some(flag) if flag.load(Ordering::Relaxed) => Err(Error::Cancelled),
            _ => Ok(()),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{openai, translate};

    #[test]
    fn a_translation_ends_once_it_is_cancelled() {
        let body = br#"{"model":"claude-haiku-4-5","messages":[{"role":"user","content":"Hi"}]}"#;
        let request = openai::Request::parse(body).unwrap();
        let (catalog, aliases, originals) =
            (Catalog::builtin(), Aliases::default(), Originals::new());
        let flag = AtomicBool::new(false);
        let context = TranslateContext {
            catalog: &catalog,
            aliases: &aliases,
            occasion: Occasion::Plain,
            originals: &originals,
            cancellation: Cancellation::by(&flag),
        };
        assert!(translate::request(&request, &context).is_ok());
        flag.store(true, Ordering::Relaxed);
        assert_eq!(translate::request(&request, &context).unwrap_err(), Error::Cancelled);
    }
}
