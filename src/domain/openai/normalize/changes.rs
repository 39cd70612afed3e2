//! The changes of one request.

use crate::domain::openai::request::Change;

/// Changes, each once, at its first place: a long history has many.
#[derive(Debug, Default)]
pub(super) struct Changes(Vec<Change>);

impl Changes {
    /// Adds a change, unless it was made elsewhere, too.
    pub(super) fn add(&mut self, field: impl Into<String>, what: &'static str) {
        if !self.0.iter().any(|change| change.what == what) {
            self.0.push(Change { field: field.into(), what });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_vec(self) -> Vec<Change> {
        self.0
    }
}
