//! Remedies that requests needed since this process started, so that each refusal costs one request and not every one.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::domain::{
    anthropic,
    translate::{self, Note, Quirk, Subject},
};

/// The quirks of each model, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Quirks(Mutex<VecDeque<(String, Quirk)>>);

/// Limit on remembered quirks: models, tools and formats come from clients. The oldest are forgotten.
const MAX_QUIRKS: usize = 1024;

impl Quirks {
    /// Remembers what made a model accept a request, if other requests can have it too.
    pub(super) fn remember(&self, model: &str, quirks: impl IntoIterator<Item = Quirk>) {
        let mut known = self.0.lock();
        for quirk in quirks {
            let is_known = known.iter().any(|(name, old)| *old == quirk && name == model);
            if quirk.subject == Subject::Request || is_known {
                continue;
            }
            if known.len() == MAX_QUIRKS {
                known.pop_front();
            }
            known.push_back((model.to_owned(), quirk));
        }
    }

    /// Applies the quirks of the request's model. Returns the changed request and its notes, or `None` if nothing
    /// changed.
    pub(super) fn apply(
        &self,
        request: &anthropic::Request,
    ) -> Option<(anthropic::Request, Vec<Note>)> {
        // A copy, so that the lock is not held while a long request is changed.
        let quirks: Vec<Quirk> = {
            let known = self.0.lock();
            let of_model = known.iter().filter(|(name, _)| *name == request.model);
            of_model.map(|(_, quirk)| *quirk).collect()
        };
        if quirks.is_empty() { None } else { translate::apply_quirks(request, &quirks) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{anthropic::Request, translate::Remedy};

    #[test]
    fn the_oldest_quirks_are_forgotten() {
        let quirks = Quirks::default();
        let quirk = |remedy| Quirk { remedy, subject: Subject::Model };
        quirks.remember("m", [quirk(Remedy::Temperature)]);
        for limit in 1..u32::try_from(MAX_QUIRKS).unwrap() {
            let limit = quirk(Remedy::MaxTokens(limit));
            quirks.remember("other", [limit, limit]);
        }
        let request = Request { model: "m".into(), temperature: Some(1.0), ..Request::default() };
        assert_eq!(quirks.apply(&request).unwrap().0.temperature, None);
        let once = Quirk { remedy: Remedy::TopP, subject: Subject::Request };
        quirks.remember("m", [once, quirk(Remedy::TopK)]);
        assert_eq!(quirks.apply(&request), None);
        assert_eq!(quirks.0.lock().len(), MAX_QUIRKS);
    }
}
