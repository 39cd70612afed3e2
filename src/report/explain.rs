//! What would become of a request: its translation, without anything being sent.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::numbers::{dollars, thousands};
use crate::domain::{
    alias::Aliases,
    anthropic::{self, CanonicalRequest},
    cache::{self, KeyHolder, Scope, Sharing, Vouched},
    catalog::{Catalog, Terms},
    exchange::{NanoDollars, Tokens},
    openai, task,
    translate::{self, Context, Note, Occasion, Originals, Translated},
};

/// Longer strings are shortened for the eye, in characters.
const LONGEST: usize = 200;
/// So much of them is shown, in characters.
const SHOWN: usize = 80;
/// A token is about so many bytes of English or JSON.
const BYTES_PER_TOKEN: usize = 4;
/// A picture is at most about so many tokens: upstream makes larger ones smaller.
const PICTURE_TOKENS: usize = 1_600;

/// The report of `reprise explain`.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// Open WebUI's word for the background call that it is, if it is one and says which.
    pub task: Option<&'static str>,
    /// The `anthropic-version` header.
    pub version: &'static str,
    /// The values of the `anthropic-beta` header.
    pub betas: Vec<&'static str>,
    /// The body of `POST /v1/messages`.
    pub upstream: Value,
    /// Everything that was dropped or changed.
    pub notes: Vec<Note>,
    /// Under which key its answer is found again.
    pub key: String,
    /// Among whom, as the ledger writes it.
    pub scope: String,
    /// What it may cost.
    pub estimate: Estimate,
    #[serde(skip)]
    shared: Shared,
}

/// Tokens and money before the fact, without prompt caching.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Tokens of the prompt, by its bytes.
    pub prompt_tokens: u64,
    /// Documents, and pictures that are not in the request: not in `prompt_tokens`.
    pub uncounted: usize,
    /// US dollars; `None`: unpriced.
    pub prompt_cost: Option<f64>,
    /// The most tokens that the answer may have.
    pub most_output_tokens: u64,
    /// US dollars for as many; `None`: unpriced.
    pub most_output_cost: Option<f64>,
    /// US dollars for each search, if the model may search.
    pub search_cost: Option<f64>,
    /// The day whose prices these are, `YYYY-MM-DD`.
    pub prices_as_of: String,
}

/// Among whom an answer is shared, in words.
#[derive(Debug, Clone, Copy)]
enum Shared {
    /// All that show a key, as the operator said.
    All,
    /// All that show a key and name nobody.
    Client,
    /// One user.
    User,
    /// One chat.
    Chat,
}

/// Whose request it is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Any client.
    Any,
    /// Open WebUI, in a chat, or in a background call if it looks like one.
    OpenWebUi,
    /// Open WebUI, in a background call.
    Task,
}

/// What is known of a request besides its body.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What each model accepts and costs.
    pub catalog: &'a Catalog,
    /// What the operator named.
    pub aliases: &'a Aliases,
    /// Whose client key it comes under.
    pub holder: &'a KeyHolder,
    /// Who asks.
    pub caller: Caller,
    /// Whom it is asked of.
    pub upstream: &'a str,
    /// What background calls are asked of; `None`: what each asks for.
    pub task_model: Option<&'a str>,
    /// Among whom answers are shared.
    pub sharing: Sharing,
    /// Whether a user is vouched for.
    pub vouched: Vouched,
    /// The user whom the headers of the call state; else the one whom the request names.
    pub user: Option<&'a str>,
    /// The chat that they state.
    pub chat: Option<&'a str>,
}

/// Why a client would be refused.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The request cannot be read.
    #[error(transparent)]
    Unreadable(#[from] openai::ParseError),
    /// The request cannot be translated.
    #[error(transparent)]
    Untranslatable(#[from] translate::Error),
}

impl Refused {
    /// What the client would be told.
    pub fn body(&self) -> openai::ErrorBody {
        let (param, code) = match self {
            Self::Unreadable(cause) => (cause.param(), None),
            Self::Untranslatable(cause) => (Some(cause.param()), Some(cause.code())),
        };
        openai::ErrorBody {
            error: openai::Error {
                message: self.to_string(),
                kind: "invalid_request_error",
                param: param.map(str::to_owned),
                code: code.map(str::to_owned),
            },
        }
    }
}

impl Explanation {
    /// Translates and keys a request as a server does, with an empty ledger.
    pub fn of(body: &[u8], asked: &Asked<'_>) -> Result<Self, Refused> {
        let Asked {
            catalog,
            aliases,
            holder,
            caller,
            upstream: base,
            task_model,
            sharing,
            vouched,
            user,
            chat,
        } = *asked;
        let mut request = openai::Request::parse(body)?;
        let task = (caller != Caller::Any).then(|| task::recognise(&request)).flatten();
        let occasion = match caller {
            Caller::Any => Occasion::Plain,
            Caller::OpenWebUi if task.is_none() => Occasion::Chat,
            Caller::OpenWebUi | Caller::Task => Occasion::Task,
        };
        let routed = match (occasion, task_model) {
            (Occasion::Task, Some(_)) => {
                translate::route(&mut request, task.unwrap_or_default(), task_model)
            }
            _ => None,
        };
        let originals = Originals::new();
        let context = Context { catalog, aliases, occasion, originals: &originals };
        let Translated { request: translated, version, betas, mut notes, .. } =
            translate::request(&request, &context)?;
        notes.extend(routed);
        let user = user.or(request.end_user().map(|(_, user)| user)).map(cache::bounded);
        let chat = chat.map(cache::bounded);
        let user = user.as_deref().map(|user| (user, vouched));
        let scope = Scope::of(sharing, holder.clone(), user, chat.as_deref());
        let shared = match (&scope, sharing) {
            (Scope::Client(_), Sharing::Shared) => Shared::All,
            (Scope::Client(_), Sharing::User) => Shared::Client,
            (Scope::User(..) | Scope::Unsigned(..), _) => Shared::User,
            (Scope::Chat(..), _) => Shared::Chat,
        };
        let texts = CanonicalRequest::of(&translated);
        let version = version.as_str();
        let key = cache::key(&scope, base, version, &betas.join(","), &texts.digest);
        let upstream = serde_json::from_slice(&texts.body()).unwrap_or_default();
        Ok(Self {
            task,
            version,
            betas,
            notes,
            key: key.to_string(),
            scope: scope.to_string(),
            estimate: estimate(&upstream, &translated, catalog),
            upstream,
            shared,
        })
    }
}

fn estimate(body: &Value, request: &anthropic::Request, catalog: &Catalog) -> Estimate {
    let mut media = Media::default();
    let fields = ["system", "tools", "messages"].into_iter().filter_map(|name| body.get(name));
    let bytes: usize = fields.map(|field| media.bytes(field)).sum();
    let whole = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let prompt_tokens = whole(bytes.div_ceil(BYTES_PER_TOKEN) + media.pictures * PICTURE_TOKENS);
    let most_output_tokens = u64::from(request.max_tokens);
    let price = |tokens: &Tokens| catalog.cost(&request.model, tokens, Terms::default()).amount();
    let prompt = Tokens { input: prompt_tokens, ..Tokens::default() };
    let prompt_cost = price(&prompt);
    // Together with the prompt, because a long one makes the answer dearer, too.
    let both = price(&Tokens { output: most_output_tokens, ..prompt });
    let most_output_cost =
        both.zip(prompt_cost).map(|(both, prompt)| NanoDollars(both.0.saturating_sub(prompt.0)));
    let searches = request.tools.iter().any(|tool| matches!(tool, anthropic::Tool::WebSearch(_)));
    let search_cost =
        if searches { price(&Tokens { searches: 1, ..Tokens::default() }) } else { None };
    Estimate {
        prompt_tokens,
        uncounted: media.uncounted,
        prompt_cost: prompt_cost.map(NanoDollars::dollars),
        most_output_tokens,
        most_output_cost: most_output_cost.map(NanoDollars::dollars),
        search_cost: search_cost.map(NanoDollars::dollars),
        prices_as_of: catalog.prices_as_of().to_owned(),
    }
}

/// What is in a prompt besides text.
#[derive(Debug, Default)]
struct Media {
    pictures: usize,
    uncounted: usize,
}

impl Media {
    /// How many bytes of text are in `value`. The words of the dialect are not: upstream has tokens of its own for them.
    fn bytes(&mut self, value: &Value) -> usize {
        let fields = match value {
            Value::Object(fields) => fields,
            Value::Array(items) => return items.iter().map(|item| self.bytes(item)).sum(),
            Value::String(text) => return text.len(),
            Value::Null | Value::Bool(_) | Value::Number(_) => return 0,
        };
        let says = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
        match says("type") {
            "base64" if says("media_type").starts_with("image/") => {
                self.pictures += 1;
                0
            }
            "base64" | "file" | "url" => {
                self.uncounted += 1;
                0
            }
            _ => fields
                .iter()
                .map(|(name, value)| match &**name {
                    "type" | "role" | "cache_control" => 0,
                    // JSON that the model reads and writes as such.
                    "input" | "input_schema" => value.to_string().len(),
                    _ => self.bytes(value),
                })
                .sum(),
        }
    }
}

/// The same with its long strings shortened, for the eye.
fn shortened(value: &Value) -> Value {
    match value {
        Value::String(text) => {
            let length = text.chars().count();
            if length <= LONGEST {
                return value.clone();
            }
            let shown: String = text.chars().take(SHOWN).collect();
            let more = thousands(u64::try_from(length - SHOWN).unwrap_or(u64::MAX));
            Value::String(format!("{shown}… ({more} more characters)"))
        }
        Value::Array(items) => items.iter().map(shortened).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), shortened(value))).collect()
        }
        other => other.clone(),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, version, betas, upstream, notes, key, scope: _, estimate, shared } = self;
        writeln!(f, "POST /v1/messages")?;
        writeln!(f, "anthropic-version: {version}")?;
        if !betas.is_empty() {
            writeln!(f, "anthropic-beta: {}", betas.join(","))?;
        }
        writeln!(f, "\n{:#}\n", shortened(upstream))?;
        if let Some(task) = task {
            writeln!(f, "task    {task}, by the look of it")?;
        }
        if notes.is_empty() {
            writeln!(f, "notes   none: nothing is dropped or changed")?;
        }
        for (at, Note { field, what }) in notes.iter().enumerate() {
            let heading = if at == 0 { "notes" } else { "" };
            let colon = if field.is_empty() { "" } else { ": " };
            writeln!(f, "{heading:7} {field}{colon}{what}")?;
        }
        writeln!(f, "key     {key}")?;
        let shared = match shared {
            Shared::All => "all calls under the same client key",
            Shared::Client => "all calls under the same client key that name no user and no chat",
            Shared::User => "the calls of that user",
            Shared::Chat => "the calls of that chat, because no user is stated",
        };
        writeln!(f, "        shared by {shared}")?;
        write!(f, "{estimate}")
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let money = |cost: Option<f64>| cost.map_or_else(|| "unpriced".to_owned(), dollars);
        let (prompt, most) = (thousands(self.prompt_tokens), thousands(self.most_output_tokens));
        writeln!(f, "prompt  about {prompt} tokens, {}", money(self.prompt_cost))?;
        match self.uncounted {
            0 => {}
            1 => writeln!(f, "        not counting a document, or a picture behind a URL")?,
            count => {
                writeln!(f, "        not counting {count} documents, or pictures behind URLs")?;
            }
        }
        writeln!(f, "answer  at most {most} tokens, {}", money(self.most_output_cost))?;
        if let Some(cost) = self.search_cost {
            writeln!(f, "        and {} a search, and what it finds", dollars(cost))?;
        }
        if self.prompt_cost.is_some() {
            writeln!(f, "prices  of {}, before prompt caching", self.prices_as_of)?;
        }
        Ok(())
    }
}
