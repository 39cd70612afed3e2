//! A call as it comes in: who asks, and what the question is once it is read.

use std::sync::Arc;

use bytes::Bytes;
use secrecy::SecretString;

use super::Error;
use crate::{
    domain::{
        anthropic::Texts,
        cache::{self, CacheKey, Client, Directives, KeyHolder, Scope, Source},
        catalog::Catalog,
        chain::{Chain, Hash},
        exchange::{AnsweredBy, CallId, Door, UnixMillis},
        openai,
        translate::{self, Context, Form, Occasion, Originals, Translated, WithUsage},
    },
    store::CallFacts,
};

/// Longer ids are kept as their hash.
const LONGEST_ID: usize = 256;

/// Who asks, as the door understood it.
#[derive(Debug, Clone)]
pub struct Asker {
    /// Anthropic's key to ask with: the operator's, or the client's own.
    pub key: SecretString,
    /// Whose client key the call came under.
    pub holder: KeyHolder,
    /// The program that asks.
    pub client: Option<String>,
    /// Whether that is Open WebUI, which shows usage whether or not it asked for it.
    pub open_webui: bool,
    /// The user, chat and messages, as the client states them.
    pub user: Option<String>,
    /// The chat.
    pub chat: Option<String>,
    /// The message that is answered into.
    pub message: Option<String>,
    /// The user's message that is answered.
    pub user_message: Option<String>,
    /// Open WebUI's word for a background call.
    pub task: Option<String>,
    /// `Cache-Control` of the request.
    pub directives: Directives,
}

/// A call, read and understood.
pub(super) struct Question {
    pub(super) translated: Translated,
    pub(super) texts: Texts,
    pub(super) key: CacheKey,
    pub(super) scope: Scope,
    pub(super) source: Source,
    /// Who asks, as the headers say, or else the body.
    pub(super) user: Option<String>,
    /// What the client really sent.
    pub(super) client_chain: Option<Arc<Chain>>,
    pub(super) stream: Option<WithUsage>,
    /// How the client wants its answer.
    pub(super) form: Arc<Form>,
}

/// A call, read but not understood yet: it may name earlier answers, which have to be recalled first.
pub(super) struct Parsed {
    pub(super) request: openai::Request,
    pub(super) scope: Scope,
    user: Option<String>,
}

impl Parsed {
    /// Reads a body.
    pub(super) fn of(body: &Bytes, asker: &Asker) -> Result<Self, Error> {
        let request = openai::Request::parse(body)?;
        let stated = request.end_user().map(|(_, user)| bounded(user));
        let user = asker.user.clone().or(stated);
        let scope = scope(asker, user.as_ref());
        Ok(Self { request, scope, user })
    }

    /// Translates and keys it.
    pub(super) fn understand(
        self,
        body: &Bytes,
        asker: &Asker,
        catalog: &Catalog,
        originals: &Originals,
    ) -> Result<Question, Error> {
        let Self { request, scope, user } = self;
        let context = Context { catalog, occasion: occasion(asker), originals };
        let translated = translate::request(&request, &context)?;
        let texts = Texts::of(&translated.request);
        let betas = translated.betas.join(",");
        let key = cache::key(&scope, translated.version.as_str(), &betas, &texts.digest);
        let source = cache::source(asker.directives, client(asker));
        let client_chain =
            (source != Source::Bypass).then(|| openai::chain(body).map(Arc::new)).flatten();
        let wants_usage = asker.open_webui
            || request
                .stream_options
                .as_ref()
                .is_some_and(|options| options.include_usage == Some(true));
        let stream = request.stream.unwrap_or(false).then_some(if wants_usage {
            WithUsage::Yes
        } else {
            WithUsage::No
        });
        let form = Arc::new(translated.form.clone());
        Ok(Question { form, translated, texts, key, scope, source, user, client_chain, stream })
    }
}

/// An id as it is kept. One that is too long is kept as its hash: it still tells its user from others.
pub fn bounded(id: &str) -> String {
    if id.len() <= LONGEST_ID {
        id.to_owned()
    } else {
        Hash::of("long id", &[id.as_bytes()]).to_string()
    }
}

fn scope(asker: &Asker, user: Option<&String>) -> Scope {
    let holder = asker.holder.clone();
    match (user, &asker.chat) {
        (Some(user), _) => Scope::User(holder, user.clone()),
        (None, Some(chat)) => Scope::Chat(holder, chat.clone()),
        (None, None) => Scope::Client(holder),
    }
}

fn occasion(asker: &Asker) -> Occasion {
    if asker.task.is_some() {
        Occasion::Task
    } else if asker.open_webui {
        Occasion::Chat
    } else {
        Occasion::Plain
    }
}

fn client(asker: &Asker) -> Client {
    match &asker.chat {
        Some(chat) if chat.starts_with("temporary:") => Client::Temporary,
        Some(_) => Client::Chats,
        None if asker.open_webui || asker.message.is_some() || asker.task.is_some() => {
            Client::Chats
        }
        None => Client::Plain,
    }
}

/// What the ledger is told of the call.
pub(super) fn facts(
    id: CallId,
    at: UnixMillis,
    answered_by: AnsweredBy,
    question: &Question,
    asker: Asker,
) -> CallFacts {
    let notes = &question.translated.notes;
    CallFacts {
        id,
        at,
        answered_by,
        door: Door::Chat,
        stream: question.stream.is_some(),
        user: question.user.clone(),
        chat: asker.chat,
        message: asker.message,
        user_message: asker.user_message,
        task: asker.task,
        client: asker.client,
        notes: if notes.is_empty() { None } else { serde_json::to_string(notes).ok() },
        client_chain: question.client_chain.clone(),
    }
}
