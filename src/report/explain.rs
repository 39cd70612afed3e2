//! A request explained: its translation, key and estimated cost, without anything being sent.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::{lines::paragraph, money::Money, numbers::thousands};
use crate::domain::{
    cache::{Scope, Sharing},
    catalog::{Catalog, Terms},
    exchange::{NanoDollars, Tokens},
    prepare::{
        Caller, ClientRequest, ParsedRequest, PrepareContext, PrepareError, PreparedRequest,
    },
    translate::{Note, Originals},
};

/// The length from which strings are shortened in the text report, in characters.
const LONGEST: usize = 200;
/// The shown part of a shortened string, in characters.
const SHOWN: usize = 80;
/// The rough size of a token in bytes of English or JSON.
const BYTES_PER_TOKEN: usize = 4;
/// The rough most tokens of a picture: upstream scales larger ones down.
const PICTURE_TOKENS: usize = 1_600;

/// The report of `reprise explain`.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// Open WebUI's word for the background task, if the request is recognised as one.
    pub task: Option<String>,
    /// Where it would be sent. The cache key depends on it.
    pub url: String,
    /// The `anthropic-version` header.
    pub version: String,
    /// The values of the `anthropic-beta` header.
    pub betas: Vec<String>,
    /// The body of `POST /v1/messages`.
    pub upstream: Value,
    /// Notes of everything that was dropped or changed.
    pub notes: Vec<Note>,
    /// The cache key.
    pub key: String,
    /// The scope, as the ledger writes it.
    pub scope: String,
    /// The estimated cost.
    pub estimate: Estimate,
    #[serde(skip)]
    audience: Audience,
}

/// Tokens and cost before the fact, without prompt caching.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// The tokens of the prompt, from its bytes.
    pub prompt_tokens: u64,
    /// The number of documents, and of pictures outside the request, which `prompt_tokens` does not count.
    pub uncounted: usize,
    /// The cost of the prompt.
    pub prompt_cost: Money,
    /// The most tokens that the answer may have.
    pub most_output_tokens: u64,
    /// The cost of so long an answer.
    pub most_output_cost: Money,
    /// The cost of each search, if the model may search.
    pub search_cost: Option<Money>,
    /// The day of the prices, `YYYY-MM-DD`.
    pub prices_as_of: String,
}

/// The callers who share an answer, for people.
#[derive(Debug, Clone, Copy)]
enum Audience {
    /// All who show the client key, by the operator's choice.
    Everyone,
    /// All who show the client key and state neither user nor chat.
    Anonymous,
    /// One user.
    User,
    /// One chat.
    Chat,
}

impl Explanation {
    /// Prepares a chat completion as a server does, with an empty ledger.
    pub fn of(
        body: Vec<u8>,
        caller: &Caller,
        context: &PrepareContext<'_>,
    ) -> Result<Self, PrepareError> {
        let parsed = ParsedRequest::parse(ClientRequest::Chat(body.into()), caller, context)?;
        let prepared = parsed.prepare(caller, context, &Originals::new())?;
        let PreparedRequest { upstream: request, key, scope, task, .. } = prepared;
        let audience = match (&scope, context.policy.sharing) {
            (Scope::Client(_), Sharing::Shared) => Audience::Everyone,
            (Scope::Client(_), Sharing::User) => Audience::Anonymous,
            (Scope::User(..) | Scope::Unsigned(..), _) => Audience::User,
            (Scope::Chat(..), _) => Audience::Chat,
        };
        let headers = request.headers();
        let upstream = serde_json::from_slice(&request.body()).unwrap_or_default();
        Ok(Self {
            task: task.filter(|task| !task.is_empty()),
            url: format!("{}/v1/messages", context.upstream),
            version: headers.version().to_owned(),
            betas: headers.betas().into_iter().map(str::to_owned).collect(),
            notes: request.notes().to_vec(),
            key: key.to_string(),
            scope: scope.to_string(),
            estimate: estimate(&upstream, request.model(), context.catalog),
            upstream,
            audience,
        })
    }
}

fn estimate(body: &Value, model: &str, catalog: &Catalog) -> Estimate {
    let mut media = Media::default();
    let fields = ["system", "tools", "messages"].into_iter().filter_map(|name| body.get(name));
    let bytes: usize = fields.map(|field| media.bytes(field)).sum();
    let whole = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let prompt_tokens = whole(bytes.div_ceil(BYTES_PER_TOKEN) + media.pictures * PICTURE_TOKENS);
    let most_output_tokens = body["max_tokens"].as_u64().unwrap_or_default();
    let price = |tokens: &Tokens| catalog.cost(model, tokens, Terms::default()).amount();
    let prompt = Tokens { input: prompt_tokens, ..Tokens::default() };
    let prompt_cost = price(&prompt);
    // Together with the prompt, because a long prompt raises the price of the answer too.
    let both = price(&Tokens { output: most_output_tokens, ..prompt });
    let most_output_cost =
        both.zip(prompt_cost).map(|(both, prompt)| NanoDollars(both.0.saturating_sub(prompt.0)));
    let is_search =
        |tool: &Value| tool["type"].as_str().is_some_and(|kind| kind.starts_with("web_search"));
    let searches = body["tools"].as_array().is_some_and(|tools| tools.iter().any(is_search));
    let search_cost =
        if searches { price(&Tokens { searches: 1, ..Tokens::default() }) } else { None };
    Estimate {
        prompt_tokens,
        uncounted: media.uncounted,
        prompt_cost: prompt_cost.into(),
        most_output_tokens,
        most_output_cost: most_output_cost.into(),
        search_cost: search_cost.map(Money::exact),
        prices_as_of: catalog.prices_as_of().to_owned(),
    }
}

/// The parts of a prompt that are no text.
#[derive(Debug, Default)]
struct Media {
    pictures: usize,
    uncounted: usize,
}

impl Media {
    /// Counts the bytes of text in `value`. The keywords of the dialect do not count: upstream has tokens of its own for
    /// them.
    fn bytes(&mut self, value: &Value) -> usize {
        let fields = match value {
            Value::Object(fields) => fields,
            Value::Array(items) => return items.iter().map(|item| self.bytes(item)).sum(),
            Value::String(text) => return text.len(),
            Value::Null | Value::Bool(_) | Value::Number(_) => return 0,
        };
        let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("type") {
            "base64" if text("media_type").starts_with("image/") => {
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

/// The value with its long strings shortened.
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
        let Self { task, url, version, betas, upstream, notes, key, scope: _, estimate, audience } =
            self;
        writeln!(f, "POST {url}")?;
        writeln!(f, "anthropic-version: {version}")?;
        if !betas.is_empty() {
            writeln!(f, "anthropic-beta: {}", betas.join(","))?;
        }
        writeln!(f, "\n{:#}\n", shortened(upstream))?;
        if let Some(task) = task {
            writeln!(f, "task    {task}, recognised by its prompt")?;
        }
        if notes.is_empty() {
            writeln!(f, "notes   none: nothing is dropped or changed")?;
        }
        for (at, Note { field, what }) in notes.iter().enumerate() {
            let heading = if at == 0 { "notes" } else { "" };
            let colon = if field.is_empty() { "" } else { ": " };
            paragraph(f, &format!("{heading:7} "), &format!("{field}{colon}{what}"))?;
        }
        writeln!(f, "key     {key}")?;
        let audience = match audience {
            Audience::Everyone => {
                "all calls under the same client key; of several answers,\n        a repeat gets the newest that the \
                 same user asked for, else the oldest"
            }
            Audience::Anonymous => {
                "all calls under the same client key that name no user and no chat"
            }
            Audience::User => "the calls of that user",
            Audience::Chat => "the calls of that chat, because no user is stated",
        };
        writeln!(f, "        shared by {audience}")?;
        estimate.fmt(f)
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (prompt, most) = (thousands(self.prompt_tokens), thousands(self.most_output_tokens));
        writeln!(f, "prompt  about {prompt} tokens, {}", self.prompt_cost.in_words())?;
        match self.uncounted {
            0 => {}
            1 => writeln!(f, "        not counting a document, or a picture behind a URL")?,
            count => {
                writeln!(f, "        not counting {count} documents, or pictures behind URLs")?;
            }
        }
        writeln!(f, "answer  at most {most} tokens, {}", self.most_output_cost.in_words())?;
        if let Some(cost) = self.search_cost {
            writeln!(f, "        and {} a search, and what it finds", cost.in_words())?;
        }
        if self.prompt_cost.nano_dollars.is_some() {
            writeln!(f, "prices  of {}, before prompt caching", self.prices_as_of)?;
        }
        Ok(())
    }
}
