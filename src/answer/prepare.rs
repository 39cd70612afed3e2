//! Preparation of a call: the earlier answers that it names are fetched between the two pure steps of
//! [`domain::prepare`](crate::domain::prepare).

use std::sync::Arc;

use memchr::memmem;
use secrecy::SecretString;

use super::{Answers, Error};
use crate::domain::{
    catalog::Catalog,
    prepare::{Caller, ClientRequest, ParsedRequest, PrepareContext, PreparedRequest},
};

/// Larger requests are prepared on a thread that may block.
const LARGE_REQUEST: usize = 1 << 20;
/// Maximum number of such requests that are prepared at once: a parsed request and a decoded picture take many times
/// the memory of the body.
pub(super) const AT_ONCE: usize = 2;

/// The access that a call has to upstream.
#[derive(Debug, Clone)]
pub struct Access {
    /// Anthropic's key: the operator's, or the client's own.
    pub key: SecretString,
    /// The scenario whose fixtures may answer, in a replay; `None`: all of them.
    pub scenario: Option<String>,
}

impl Answers {
    /// Prepares a request: work without waiting, but long work for a large one.
    pub(super) async fn prepare(
        &self,
        request: ClientRequest,
        caller: &Caller,
    ) -> Result<PreparedRequest, Error> {
        let catalog = self.catalog();
        // A small file may hold a large picture.
        let is_large = request.body().len() > LARGE_REQUEST
            || memmem::find(request.body(), b"base64").is_some();
        let on_thread = || (self.clone(), caller.clone(), catalog.clone());
        // The thread holds it, too: a client that leaves ends no work that has begun.
        let permit = if is_large {
            Arc::clone(&self.preparing).acquire_owned().await.ok().map(Arc::new)
        } else {
            None
        };
        let parsed = if is_large {
            let (answers, caller, catalog) = on_thread();
            let held = permit.clone();
            let parse = move || {
                let _held = held;
                ParsedRequest::parse(request, &caller, &answers.context(&catalog))
            };
            self.tasks.spawn_blocking(parse).await??
        } else {
            ParsedRequest::parse(request, caller, &self.context(&catalog))?
        };
        let originals = self.originals(parsed.refs(), &parsed.scope().to_string()).await;
        if !is_large {
            return Ok(parsed.prepare(caller, &self.context(&catalog), &originals)?);
        }
        let (answers, caller, catalog) = on_thread();
        let prepare = move || {
            let _held = permit;
            parsed.prepare(&caller, &answers.context(&catalog), &originals)
        };
        Ok(self.tasks.spawn_blocking(prepare).await??)
    }

    fn context<'a>(&'a self, catalog: &'a Catalog) -> PrepareContext<'a> {
        PrepareContext {
            catalog,
            aliases: &self.settings.aliases,
            task_model: self.settings.task_model.as_deref(),
            policy: &self.settings.cache,
            upstream: self.upstream.base(),
        }
    }
}
