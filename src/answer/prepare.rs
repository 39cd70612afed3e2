//! Preparation of a call: the earlier answers that it names are fetched between the two pure steps of
//! [`domain::prepare`](crate::domain::prepare).

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use memchr::memmem;
use secrecy::SecretString;

use super::{Answers, Error};
use crate::domain::{
    alias::Aliases,
    catalog::Catalog,
    prepare::{Caller, ClientRequest, ParsedRequest, PrepareContext, PreparedRequest},
    translate::Cancellation,
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

/// Sets a flag when the future that has it is dropped, because the client has left, or ends.
struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

impl Answers {
    /// Prepares a request: work without waiting, but long work for a large one.
    pub(super) async fn prepare(
        &self,
        request: ClientRequest,
        caller: &Caller,
    ) -> Result<PreparedRequest, Error> {
        let known = (self.catalog(), self.aliases());
        // A small file may hold a large picture.
        let is_large = request.body().len() > LARGE_REQUEST
            || memmem::find(request.body(), b"base64").is_some();
        let on_thread = || (self.clone(), caller.clone(), known.clone());
        // The thread holds it, too: a client that leaves ends no work that has begun.
        let permit = if is_large {
            Arc::clone(&self.preparing).acquire_owned().await.ok().map(Arc::new)
        } else {
            None
        };
        let parsed = if is_large {
            let (answers, caller, known) = on_thread();
            let held = permit.clone();
            let parse = move || {
                let _held = held;
                let context = answers.context(&known, Cancellation::NEVER);
                ParsedRequest::parse(request, &caller, &context)
            };
            self.tasks.spawn_blocking(parse).await??
        } else {
            ParsedRequest::parse(request, caller, &self.context(&known, Cancellation::NEVER))?
        };
        let originals = self.originals(parsed.refs(), &parsed.scope().to_string()).await;
        if !is_large {
            let context = self.context(&known, Cancellation::NEVER);
            return Ok(parsed.prepare(caller, &context, &originals)?);
        }
        let (answers, caller, known) = on_thread();
        let has_left = Arc::new(AtomicBool::new(false));
        let _guard = SetOnDrop(Arc::clone(&has_left));
        let prepare = move || {
            let _held = permit;
            let context = answers.context(&known, Cancellation::by(&has_left));
            parsed.prepare(&caller, &context, &originals)
        };
        Ok(self.tasks.spawn_blocking(prepare).await??)
    }

    fn context<'a>(
        &'a self,
        (catalog, aliases): &'a (Arc<Catalog>, Arc<Aliases>),
        cancellation: Cancellation<'a>,
    ) -> PrepareContext<'a> {
        PrepareContext {
            catalog,
            aliases,
            task_model: self.settings.task_model.as_deref(),
            policy: &self.settings.cache,
            upstream: self.upstream.base(),
            cancellation,
        }
    }
}
