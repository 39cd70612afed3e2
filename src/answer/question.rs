//! A call as it comes in: who asks, and what the question is once it is read.

use std::sync::Arc;

use bytes::Bytes;
use secrecy::SecretString;

use super::{
    Error,
    ask::{ApiHeaders, Ask, UpstreamRequest},
};
use crate::domain::{
    alias::Aliases,
    anthropic::{CanonicalRequest, Native},
    cache::{self, CacheKey, Directives, KeyHolder, Policy, Scope, Vouched},
    catalog::Catalog,
    chain::Chain,
    exchange::AnswerRef,
    openai, task,
    translate::{self, Context, Form, Occasion, Originals, WithUsage},
};

/// Who asks, as the door understood it.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Anthropic's key to ask with: the operator's, or the client's own.
    pub key: SecretString,
    /// Whose client key the call came under.
    pub holder: KeyHolder,
    /// The program that asks.
    pub client: Option<String>,
    /// Whether that is Open WebUI, which shows usage whether or not it asked for it.
    pub open_webui: bool,
    /// The user, as the client states it.
    pub user: Option<String>,
    /// Whether somebody vouches for that.
    pub vouched: Vouched,
    /// The chat.
    pub chat: Option<String>,
    /// Whether that is one of which nothing is kept.
    pub temporary: bool,
    /// The message that is answered into.
    pub message: Option<String>,
    /// The user's message that is answered.
    pub user_message: Option<String>,
    /// Open WebUI's word for a background call.
    pub task: Option<String>,
    /// `Cache-Control` of the request.
    pub directives: Directives,
    /// Which fixtures may answer, in a replay; `None`: all of them.
    pub scenario: Option<String>,
}

impl Caller {
    /// Whether anything that is said may be kept.
    pub(super) fn is_kept(&self) -> bool {
        !self.directives.no_store && !self.temporary
    }
}

/// Whether a client tells its chats apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chats {
    /// It says which one a call belongs to.
    Named,
    /// It has chats, and does not say.
    Nameless,
    /// It has none.
    None,
}

/// A call, read and understood.
pub(super) struct PreparedRequest {
    pub(super) said: UpstreamRequest,
    pub(super) key: CacheKey,
    pub(super) scope: Scope,
    pub(super) chats: Chats,
    /// Who asks, as the headers say, or else the body.
    pub(super) user: Option<String>,
    /// Whether nothing that this user says may be kept.
    pub(super) forgotten_user: bool,
    /// Open WebUI's word for a background call, as it says it or as the request looks.
    pub(super) task: Option<String>,
    /// What the client really sent.
    pub(super) client_chain: Option<Arc<Chain>>,
    pub(super) stream: Option<WithUsage>,
    /// Whether it goes on after calls of tools.
    pub(super) follows_tools: bool,
    /// How the client wants its answer.
    pub(super) form: Arc<Form>,
}

impl PreparedRequest {
    /// Whether anything that is said may be kept.
    pub(super) fn is_kept(&self, asker: &Caller) -> bool {
        asker.is_kept() && !self.forgotten_user
    }
}

/// What a call is understood with. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct PrepareContext {
    /// What each model accepts.
    pub catalog: Arc<Catalog>,
    /// What the operator named.
    pub aliases: Arc<Aliases>,
    /// What background calls are asked of.
    pub task_model: Option<Arc<str>>,
    /// Whom Claude is asked of.
    pub upstream: Arc<str>,
}

/// A call, read but not understood yet: it may name earlier answers, which have to be recalled first.
pub(super) struct Parsed {
    what: What,
    /// Among whom answers are shared.
    pub(super) scope: Scope,
    user: Option<String>,
    forgotten_user: bool,
}

enum What {
    Chat { request: Box<openai::Request>, body: Bytes },
    Messages { native: Box<Native>, body: Bytes, spoken: ApiHeaders },
}

impl Parsed {
    /// Reads a body in the dialect that it is in.
    pub(super) fn of(ask: Ask, asker: &Caller, policy: &Policy) -> Result<Self, Error> {
        let (what, stated) = match ask {
            Ask::Chat(body) => {
                let request = Box::new(openai::Request::parse(&body)?);
                let stated = request.end_user().map(|(_, user)| cache::bounded(user));
                (What::Chat { request, body }, stated)
            }
            Ask::Messages(body, spoken) => {
                let native = Box::new(Native::parse(&body)?);
                let stated = native.user.as_deref().map(cache::bounded);
                (What::Messages { native, body, spoken }, stated)
            }
        };
        let user = asker.user.clone().or(stated);
        let stated = user.as_deref().map(|user| (user, asker.vouched));
        let scope = Scope::of(policy.sharing, asker.holder.clone(), stated, asker.chat.as_deref());
        let forgotten_user = policy.forgets(user.as_deref());
        Ok(Self { what, scope, user, forgotten_user })
    }

    /// The earlier answers that it names. A client that speaks for itself has its history.
    pub(super) fn refs(&self) -> Vec<AnswerRef> {
        match &self.what {
            What::Chat { request, .. } => translate::refs(request),
            What::Messages { .. } => Vec::new(),
        }
    }

    /// Translates what has to be translated, and keys it.
    pub(super) fn understand(
        self,
        asker: &Caller,
        house: &PrepareContext,
        originals: &Originals,
    ) -> Result<PreparedRequest, Error> {
        let Self { what, scope, user, forgotten_user } = self;
        let PrepareContext { catalog, aliases, task_model, upstream } = house;
        let client_chain = |body: &Bytes| {
            (asker.is_kept() && !forgotten_user)
                .then(|| openai::chain(body).map(Arc::new))
                .flatten()
        };
        let mut task = asker.task.clone();
        let mut follows_tools = false;
        let (said, digest, stream, client_chain, form) = match what {
            What::Chat { mut request, body } => {
                task = background(asker, &request);
                let route =
                    |task: &String| translate::route(&mut request, task, task_model.as_deref());
                let routed = task.as_ref().and_then(route);
                follows_tools =
                    request.messages.last().is_some_and(|last| last.role == openai::Role::Tool);
                let occasion = occasion(asker, task.as_ref());
                let context = Context { catalog, aliases, occasion, originals };
                let mut translated = translate::request(&request, &context)?;
                translated.notes.extend(routed);
                let texts = CanonicalRequest::of(&translated.request);
                let form = Arc::new(translated.form.clone());
                let stream = stream(&request, asker);
                let digest = texts.digest;
                let said = UpstreamRequest::Chat { translated: Box::new(translated), texts };
                (said, digest, stream, client_chain(&body), form)
            }
            What::Messages { native, body, spoken } => {
                let (digest, stream) = (native.digest, native.stream.then_some(WithUsage::Yes));
                let said = UpstreamRequest::Messages { native, spoken };
                (said, digest, stream, client_chain(&body), Arc::default())
            }
        };
        let (version, betas) = said.key_headers();
        let key = cache::key(&scope, upstream, &version, &betas, &digest);
        let chats = chats(asker);
        Ok(PreparedRequest {
            said,
            key,
            scope,
            chats,
            user,
            forgotten_user,
            task,
            client_chain,
            stream,
            follows_tools,
            form,
        })
    }
}

/// Whether the client wants a stream, and of what kind.
fn stream(request: &openai::Request, asker: &Caller) -> Option<WithUsage> {
    let asks = request.stream_options.as_ref().and_then(|options| options.include_usage);
    let usage = if asker.open_webui || asks == Some(true) { WithUsage::Yes } else { WithUsage::No };
    (request.stream == Some(true)).then_some(usage)
}

/// Which background call this is. Open WebUI says so if its header box is filled in; a message id means a chat.
fn background(asker: &Caller, request: &openai::Request) -> Option<String> {
    let looks = || task::recognise(request).map(str::to_owned);
    let unsaid = asker.open_webui && asker.message.is_none();
    asker.task.clone().or_else(|| if unsaid { looks() } else { None })
}

fn occasion(asker: &Caller, task: Option<&String>) -> Occasion {
    if task.is_some() {
        Occasion::Task
    } else if asker.open_webui {
        Occasion::Chat
    } else {
        Occasion::Plain
    }
}

fn chats(asker: &Caller) -> Chats {
    match &asker.chat {
        Some(_) => Chats::Named,
        None if asker.open_webui => Chats::Nameless,
        None => Chats::None,
    }
}
