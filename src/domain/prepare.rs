//! A client's request made ready to be answered: parsed, routed, translated, scoped and keyed. The one place where that
//! is done, for serving, explaining, importing, linting and replaying alike.
//!
//! There are two steps, because a request may name earlier answers, which are fetched in between: [`ParsedRequest::parse`]
//! reads it, [`ParsedRequest::refs`] says which answers it names, [`ParsedRequest::prepare`] does the rest.

mod caller;
mod error;
mod file_ids;
mod upstream;

use std::sync::Arc;

use bytes::Bytes;

pub use self::{
    caller::{Caller, Chats, InvalidId, check_id},
    error::PrepareError,
    file_ids::FileIds,
    upstream::UpstreamRequest,
};
use super::{
    alias::Aliases,
    anthropic::{ApiHeaders, CanonicalRequest, Native},
    cache::{self, CacheKey, Policy, Scope},
    catalog::Catalog,
    chain::Chain,
    exchange::{AnswerRef, Api},
    json, openai,
    tags::Tags,
    task,
    translate::{self, Cancellation, Form, Note, Occasion, Originals, WithUsage},
};

/// A client's request as it came in, in one of the two dialects.
#[derive(Debug, Clone)]
pub enum ClientRequest {
    /// The body of a chat completion of OpenAI's.
    Chat(Bytes),
    /// The body and the headers of a message of Anthropic's.
    Messages(Bytes, ApiHeaders),
}

/// The settings that requests are prepared with.
#[derive(Debug, Clone, Copy)]
pub struct PrepareContext<'a> {
    /// The models, and what each accepts.
    pub catalog: &'a Catalog,
    /// The operator's aliases.
    pub aliases: &'a Aliases,
    /// The model for background tasks; `None`: the one that each names.
    pub task_model: Option<&'a str>,
    /// The cache policy, for the scope and for users of whom nothing is kept.
    pub policy: &'a Policy,
    /// The address of upstream, a part of every key.
    pub upstream: &'a str,
    /// The client's word that it wants no answer any more.
    pub cancellation: Cancellation<'a>,
}

/// A request that was read, and whose scope is known.
#[derive(Debug)]
pub struct ParsedRequest {
    parsed: Parsed,
    scope: Scope,
    user: Option<String>,
    no_store_user: bool,
}

#[derive(Debug)]
enum Parsed {
    /// `mended`: a note of what was changed so that the body can be read.
    Chat {
        request: Box<openai::Request>,
        body: Bytes,
        mended: Option<Note>,
    },
    Messages {
        native: Box<Native>,
        body: Bytes,
        headers: ApiHeaders,
    },
}

/// A request that is ready to be answered.
#[derive(Debug)]
pub struct PreparedRequest {
    /// The request that is hashed, kept and sent.
    pub upstream: UpstreamRequest,
    /// The key of its answer.
    pub key: CacheKey,
    /// The treatment of the ids of files that Open WebUI wrote into the prompt.
    pub file_ids: FileIds,
    /// The callers who share its answer.
    pub scope: Scope,
    /// The client's way to tell its chats apart.
    pub chats: Chats,
    /// The user in the books, from the caller's headers or else from the body.
    pub user: Option<String>,
    /// True for a user of whom the operator wants nothing kept.
    pub no_store_user: bool,
    /// Open WebUI's word for the background task, stated or recognised; empty if it is neither.
    pub task: Option<String>,
    /// The labels of the call: those of the headers, and the request's `metadata` where it may be kept.
    pub tags: Tags,
    /// The client's own request; `None` where it must not be kept.
    pub client_chain: Option<Arc<Chain>>,
    /// The kind of stream that the client wants; `None`: it wants the answer whole.
    pub stream: Option<WithUsage>,
    /// True if the request goes on after tool calls.
    pub follows_tools: bool,
    /// True if the request ends with an answer that is to be continued, as after Open WebUI's *Continue*.
    pub continues_answer: bool,
    /// The form in which the client wants its answer.
    pub form: Arc<Form>,
}

impl ClientRequest {
    /// The body.
    pub const fn body(&self) -> &Bytes {
        match self {
            Self::Chat(body) | Self::Messages(body, _) => body,
        }
    }

    /// The API.
    pub const fn api(&self) -> Api {
        match self {
            Self::Chat(_) => Api::Chat,
            Self::Messages(..) => Api::Messages,
        }
    }
}

impl ParsedRequest {
    /// Parses a request and finds its user and its scope.
    pub fn parse(
        request: ClientRequest,
        caller: &Caller,
        context: &PrepareContext<'_>,
    ) -> Result<Self, PrepareError> {
        let (parsed, named) = match request {
            ClientRequest::Chat(body) => {
                let (body, mended) = readable(body);
                let request = Box::new(openai::Request::parse(&body)?);
                let named = request.end_user().map(|(field, user)| (field, user.to_owned()));
                (Parsed::Chat { request, body, mended }, named)
            }
            ClientRequest::Messages(body, headers) => {
                let (body, _) = readable(body);
                let native = Box::new(Native::parse(&body)?);
                let named = native.user.clone().map(|user| ("metadata.user_id", user));
                (Parsed::Messages { native, body, headers }, named)
            }
        };
        if let Some((field, user)) = &named {
            let checked = check_id(user);
            checked.map_err(|invalid| PrepareError::User { field, invalid })?;
        }
        let user = caller.user.clone().or(named.map(|(_, user)| user));
        let vouched = user.as_deref().map(|user| (user, caller.vouched));
        let PrepareContext { policy, .. } = context;
        let (holder, chat) = (caller.holder.clone(), caller.chat.as_deref());
        let scope = Scope::of(policy.sharing, holder, vouched, chat);
        let no_store_user = policy.is_no_store_user(user.as_deref());
        let user = caller.user_in_books(user);
        Ok(Self { parsed, scope, user, no_store_user })
    }

    /// The scope in which its answer is shared, and earlier answers are found.
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The earlier answers that it names. Native requests name none: they have their history in full.
    pub fn refs(&self) -> Vec<AnswerRef> {
        match &self.parsed {
            Parsed::Chat { request, .. } => translate::refs(request),
            Parsed::Messages { .. } => Vec::new(),
        }
    }

    /// Routes and translates a chat completion, and keys either kind of request. `originals` are the answers that
    /// [`Self::refs`] names, as far as they are known.
    pub fn prepare(
        self,
        caller: &Caller,
        context: &PrepareContext<'_>,
        originals: &Originals,
    ) -> Result<PreparedRequest, PrepareError> {
        let Self { parsed, scope, user, no_store_user } = self;
        let PrepareContext {
            catalog,
            aliases,
            task_model,
            policy: _,
            upstream: address,
            cancellation,
        } = *context;
        let is_kept = caller.is_kept() && !no_store_user;
        let client_chain =
            |body: &Bytes| is_kept.then(|| openai::chain(body).map(Arc::new)).flatten();
        let mut task = caller.task.clone();
        let mut tags = caller.tags.clone();
        let mut last_role = None;
        let (upstream, stream, client_chain, form) = match parsed {
            Parsed::Chat { mut request, body, mended } => {
                task = background_task(caller, &request);
                let route = |task: &String| translate::route(&mut request, task, task_model);
                let routed = task.as_ref().and_then(route);
                last_role = request.messages.last().map(|last| last.role);
                let occasion = occasion(caller, task.as_deref());
                let context = translate::TranslateContext {
                    catalog,
                    aliases,
                    occasion,
                    originals,
                    cancellation,
                };
                let mut translated = translate::request(&request, &context)?;
                let unlabelled = if is_kept {
                    let (labels, left_out) = Tags::of_metadata(request.metadata.as_ref());
                    tags = tags.and(labels);
                    unlabelled(left_out)
                } else {
                    None
                };
                translated.notes.extend(routed.into_iter().chain(mended).chain(unlabelled));
                let canonical = CanonicalRequest::of(&translated.request);
                let form = Arc::new(translated.form.clone());
                let stream = stream(&request, caller);
                let upstream =
                    UpstreamRequest::Chat { translated: Box::new(translated), canonical };
                (upstream, stream, client_chain(&body), form)
            }
            Parsed::Messages { native, body, headers } => {
                let stream = native.stream.then_some(WithUsage::Yes);
                let upstream = UpstreamRequest::Messages { native, headers };
                (upstream, stream, client_chain(&body), Arc::default())
            }
        };
        let without_ids = upstream.request().filter(|_| caller.open_webui);
        let without_ids = without_ids.and_then(|request| file_ids::digest_without(&request));
        let digest = without_ids.as_ref().unwrap_or(upstream.digest());
        let key = cache::key(&scope, address, upstream.headers(), digest);
        Ok(PreparedRequest {
            upstream,
            file_ids: without_ids.map_or(FileIds::InKey, |_| FileIds::LeftOut),
            key,
            scope,
            chats: caller.chats(),
            user,
            no_store_user,
            task,
            tags,
            client_chain,
            stream,
            follows_tools: last_role == Some(openai::Role::Tool),
            continues_answer: last_role == Some(openai::Role::Assistant),
            form,
        })
    }
}

impl PreparedRequest {
    /// Checks that neither the caller nor the operator forbids keeping the request and its answer.
    pub fn is_kept(&self, caller: &Caller) -> bool {
        caller.is_kept() && !self.no_store_user
    }

    /// Checks that the request has all ids that an answer names, which must be so if the key leaves them out. `answer` is any
    /// text with the answer in it.
    pub fn has_ids_of(&self, answer: &str) -> bool {
        file_ids::has_ids_of(self.upstream.chain(), answer)
    }
}

/// A body that can be read, and a note if it had to be changed: what is no text in it becomes U+FFFD, which is JSON's
/// only way (RFC 8259 §8.1, §8.2).
pub fn readable(body: Bytes) -> (Bytes, Option<Note>) {
    let utf8 = str::from_utf8(&body).is_err().then(|| String::from_utf8_lossy(&body).into_owned());
    let written = utf8.as_deref().map_or(&*body, str::as_bytes);
    let mended = json::without_lone_surrogates(written).or(utf8.map(String::into_bytes));
    match mended {
        None => (body, None),
        Some(mended) => {
            let what = "what is no text in it is sent as U+FFFD: bytes that are not UTF-8, and halves of surrogate \
                        pairs without the other half";
            (mended.into(), Some(Note { field: String::new(), what: what.to_owned() }))
        }
    }
}

/// The model that a request names, as far as the body can be read. Long ones are cut.
pub fn model_named(body: &[u8]) -> Option<String> {
    /// Longest body that is read again only for this, in bytes.
    const LONGEST_BODY: usize = 1 << 20;
    /// Longest name, in characters.
    const LONGEST_NAME: usize = 128;
    #[derive(serde::Deserialize)]
    struct Named {
        model: Option<String>,
    }

    let read = (body.len() <= LONGEST_BODY).then(|| serde_json::from_slice::<Named>(body).ok());
    Some(read??.model?.chars().take(LONGEST_NAME).collect())
}

/// The note of pairs in `metadata` that are no tags.
fn unlabelled(pairs: usize) -> Option<Note> {
    let what = "has pairs that are not kept as tags of the call: OpenAI allows 16, with names of 64 characters and \
                values of 512";
    (pairs > 0).then(|| Note { field: "metadata".to_owned(), what: what.to_owned() })
}

fn stream(request: &openai::Request, caller: &Caller) -> Option<WithUsage> {
    let wanted = request.stream_options.as_ref().and_then(|options| options.include_usage);
    let usage =
        if caller.open_webui || wanted == Some(true) { WithUsage::Yes } else { WithUsage::No };
    (request.stream == Some(true)).then_some(usage)
}

/// Open WebUI's word for the background task. It states it if its header box is filled in; without the box, the task is
/// recognised by its prompt, except where a message id shows a chat.
fn background_task(caller: &Caller, request: &openai::Request) -> Option<String> {
    let recognised = || task::recognise(request).map(str::to_owned);
    match caller.task.as_deref() {
        Some("") => Some(recognised().unwrap_or_default()),
        Some(stated) => Some(stated.to_owned()),
        None if caller.open_webui && caller.message.is_none() => recognised(),
        None => None,
    }
}

fn occasion(caller: &Caller, task: Option<&str>) -> Occasion {
    match task {
        Some(_) => Occasion::Task,
        None if caller.open_webui => Occasion::Chat,
        None => Occasion::Plain,
    }
}
