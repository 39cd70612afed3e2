//! A request of OpenAI's dialect as one of Anthropic's (`reference/anthropic-api.md` §9.1). Pure and deterministic:
//! the same request always gives the same bytes, which the cache, the ledger and prompt caching upstream live on.
//!
//! Here are the parameters; the conversation is in `messages`, its pictures and files in `media`, tools in `tools`,
//! web search in `search`, prompt caching in `caching`.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use serde_json::Value;

use super::{
    alias, caching,
    form::{Calls, Form},
    format,
    history::History,
    messages,
    note::{Error, Note, Notes},
    schema::Allowance,
    search,
    thinking::{self, Limit, Plan},
    tools,
};
use crate::domain::{
    alias::Aliases,
    anthropic::{self, ContentBlock, Metadata, ToolChoice, Version},
    catalog::{Catalog, Model},
    exchange::AnswerRef,
    openai,
};

/// Longer names are nobody's, and would fill logs and rows.
const LONGEST_NAME: usize = 256;
/// So many unknown fields are named.
const MOST_UNKNOWN: usize = 20;

/// What goes upstream, and what had to be changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Translated {
    /// The body.
    pub request: Arc<anthropic::Request>,
    /// The `anthropic-version` header.
    pub version: Version,
    /// The `anthropic-beta` header's values.
    pub betas: Vec<&'static str>,
    /// How the client wants its answer.
    pub form: Form,
    /// Everything that was dropped or changed.
    pub notes: Vec<Note>,
}

/// What is known of a request besides its body.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What each model accepts.
    pub catalog: &'a Catalog,
    /// What the operator named.
    pub aliases: &'a Aliases,
    /// What it is asked for.
    pub occasion: Occasion,
    /// The answers that its history names, as they were.
    pub originals: &'a Originals,
}

/// What a request is for, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// A person waits, in Open WebUI.
    Chat,
    /// Open WebUI asks by itself: a title, tags, follow-ups, …
    Task,
    /// Anything else.
    Plain,
}

/// Earlier answers, by what a history may name of them.
pub type Originals = HashMap<AnswerRef, Arc<Original>>;

/// An earlier answer as Claude gave it.
#[derive(Debug)]
pub struct Original {
    /// The model that gave it.
    pub model: String,
    /// All of it, in order.
    pub blocks: Vec<anthropic::Block>,
}

/// Translates a request, by the rules that the catalog has for its model.
pub fn request(request: &openai::Request, context: &Context<'_>) -> Result<Translated, Error> {
    let Context { catalog, aliases, occasion, originals } = context;
    let mut notes = Notes::default();
    let alias::Applied { request, system: instructions } =
        alias::apply(request, aliases, *occasion, &mut notes);
    let request = &*request;
    let model = model(&request.model, &mut notes)?;
    let rules = catalog.rules(&model);
    refuse_impossible(request)?;
    let limit = limit(request, catalog.get(&model), rules, &mut notes)?;
    let stop_sequences = stop_sequences(request.stop.as_ref(), &mut notes);
    let mut allowance = Allowance::default();
    let format::Shape { format, instruction: shape, text } =
        format::shape(request, &mut allowance, &mut notes)?;
    let tools::Definitions { mut tools, forms } =
        tools::definitions(request, &mut allowance, &mut notes)?;
    tools.extend(search::asked(request, &tools, rules, &mut notes));
    let tools::Choice { choice: mut tool_choice, instruction } =
        tools::choice(request, &tools, rules, &mut notes)?;
    let calls = if tools::is_old_form(request) { Calls::FunctionCall } else { Calls::ToolCalls };
    let form = Form { text, tools: forms, calls, ..Form::default() };
    let mut plan =
        thinking::plan(request, *occasion, limit, tool_choice.as_ref(), rules, &mut notes)?;
    let sampling = sampling(request, &plan, rules, &mut notes)?;
    let history = History { originals, form: &form, catalog, model: &model, plan: &plan };
    let messages::Prompt { mut system, mut messages, mut marks } =
        messages::prompt(&request.messages, &history, rules, format.as_ref(), &mut notes)?;
    system.extend(shape.map(ContentBlock::text));
    if let Some(instructions) = instructions {
        system.insert(0, ContentBlock::text(instructions));
        caching::move_on(&mut marks);
    }
    if tools.is_empty() {
        tools = tools::stubs(&messages, &mut notes);
        tool_choice = (!tools.is_empty()).then_some(ToolChoice::None);
    }
    // Before anything is appended for this one turn: it will not be there in the next.
    let breakpoints = caching::breakpoints(
        request,
        &caching::Prompt { tools: &tools, system: &system, messages: &messages, marks },
        rules,
        *occasion,
        &mut notes,
    );
    let mut betas = Vec::new();
    thinking::settle(&mut plan, &messages, &mut betas, &mut notes);
    if let Some(instruction) = instruction {
        messages::append_to_last_user(&mut messages, instruction);
    }
    let service_tier = service_tier(request.service_tier.as_deref(), &mut notes);
    let metadata = metadata(request, &mut notes);
    leave_out(request, &mut notes);
    let Sampling { temperature, top_p, top_k } = sampling;
    let samples = temperature.is_some() || top_p.is_some() || top_k.is_some();
    Ok(Translated {
        request: Arc::new(anthropic::Request {
            model: model.into_owned(),
            max_tokens: plan.max_tokens,
            thinking: plan.thinking,
            output_config: anthropic::OutputConfig { effort: plan.effort, format },
            system,
            messages,
            tools,
            tool_choice,
            stop_sequences,
            temperature,
            top_p,
            top_k,
            service_tier,
            metadata,
            breakpoints,
        }),
        form,
        version: if samples { Version::V20230601 } else { Version::V20261021 },
        betas,
        notes: notes.into_vec(),
    })
}

/// The model's id as Anthropic writes it: `anthropic/claude-opus-5.5` is how OpenRouter does.
fn model<'a>(given: &'a str, notes: &mut Notes) -> Result<Cow<'a, str>, Error> {
    let trimmed = given.trim();
    let bare = trimmed.strip_prefix("anthropic/").unwrap_or(trimmed);
    if bare.is_empty() {
        return Err(Error::NoModel);
    }
    if bare.len() > LONGEST_NAME {
        return Err(Error::OutOfRange { field: "model", range: "the id of a model" });
    }
    let model = if bare.starts_with("claude-") && bare.contains('.') {
        Cow::Owned(bare.replace('.', "-"))
    } else {
        Cow::Borrowed(bare)
    };
    if model != given {
        notes.add("model", format!("is sent as {model}"));
    }
    Ok(model)
}

/// What Claude cannot do at all. Dropping it would give the client something else than it asked for.
fn refuse_impossible(request: &openai::Request) -> Result<(), Error> {
    let audio = || request.modalities.iter().flatten().any(|modality| modality != "text");
    let impossible = [
        (request.n.is_some_and(|n| n != 1), "n", "Claude gives one answer; leave it out or send 1"),
        (
            request.logprobs == Some(true),
            "logprobs",
            "Claude does not tell probabilities; leave it out",
        ),
        (
            request.top_logprobs.is_some_and(|count| count != 0.0),
            "top_logprobs",
            "Claude does not tell probabilities; leave it out",
        ),
        (audio(), "modalities", "Claude answers in text, not in audio; send [\"text\"]"),
        (request.audio.is_some(), "audio", "Claude answers in text, not in audio; leave it out"),
    ];
    match impossible.into_iter().find(|(asked, ..)| *asked) {
        Some((_, field, reason)) => Err(Error::Impossible { field: field.to_owned(), reason }),
        None => Ok(()),
    }
}

/// The limit that the client set, or the model's. A large one costs nothing, since the answer is always streamed.
fn limit(
    request: &openai::Request,
    known: Option<&Model>,
    rules: &Model,
    notes: &mut Notes,
) -> Result<Limit, Error> {
    let (field, given) = match (request.max_completion_tokens, request.max_tokens) {
        (None, None) => return Ok(Limit::Model(rules.max_output)),
        (None, Some(given)) => ("max_tokens", given),
        (Some(given), other) => {
            if other.is_some() && other != Some(given) {
                notes
                    .add("max_tokens", "is left out, because max_completion_tokens says otherwise");
            }
            ("max_completion_tokens", given)
        }
    };
    if given < 1.0 || given.fract() != 0.0 {
        return Err(Error::OutOfRange { field, range: "a whole number of at least 1" });
    }
    // A model that the catalog does not know may do more than is known of it.
    let most = known.map_or(u32::MAX, |model| model.max_output);
    if given > f64::from(most) {
        notes.add(field, format!("is lowered to {most}, the most that the model can do"));
        return Ok(Limit::Given(most));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "just checked")]
    Ok(Limit::Given(given as u32))
}

struct Sampling {
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<u64>,
}

/// `temperature`, `top_p` and `top_k`, where the model takes them (§1.1 "Sampling parameters"). The defaults are left
/// out, so that saying them makes no difference, neither to the cache key nor to the version.
fn sampling(
    request: &openai::Request,
    plan: &Plan,
    rules: &Model,
    notes: &mut Notes,
) -> Result<Sampling, Error> {
    for (field, value, most, range) in [
        ("temperature", request.temperature, 2.0, "a number from 0 to 2"),
        ("top_p", request.top_p, 1.0, "a number from 0 to 1"),
    ] {
        if value.is_some_and(|value| !(0.0..=most).contains(&value)) {
            return Err(Error::OutOfRange { field, range });
        }
    }
    let mut temperature = request.temperature.filter(|value| value.total_cmp(&1.0).is_ne());
    let mut top_p = request.top_p.filter(|&value| value < 1.0);
    let mut top_k = top_k(request.extra.get("top_k"), notes)?;
    if !rules.sampling {
        for (field, given) in [
            ("temperature", temperature.take().is_some()),
            ("top_p", top_p.take().is_some()),
            ("top_k", top_k.take().is_some()),
        ] {
            if given {
                notes.add(field, "is left out, because this model does not take it");
            }
        }
    }
    if plan.is_on() {
        // §1.1: a model that thinks takes only a `top_p` near 1.
        let odd_top_p = top_p.is_some_and(|value| value < 0.95);
        for (field, given) in [
            ("temperature", temperature.take().is_some()),
            ("top_p", odd_top_p && top_p.take().is_some()),
            ("top_k", top_k.take().is_some()),
        ] {
            if given {
                notes.add(field, "is left out, because the model thinks");
            }
        }
    }
    if temperature.is_some_and(|value| value > 1.0) {
        notes.add("temperature", "is lowered to 1, the highest of Claude's, which is the default");
        temperature = None;
    }
    if temperature.is_some() && top_p.take().is_some() {
        notes.add("top_p", "is left out, because Claude takes only one of temperature and top_p");
    }
    // Minus zero would be another cache key.
    let positive = |value: f64| value.abs();
    Ok(Sampling { temperature: temperature.map(positive), top_p: top_p.map(positive), top_k })
}

/// Open WebUI sends it among the unknown fields. 0 and -1 mean "off" in other engines.
fn top_k(given: Option<&Value>, notes: &mut Notes) -> Result<Option<u64>, Error> {
    let number = match given {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value.as_f64().filter(|number| number.fract() == 0.0),
    };
    match number {
        None => Err(Error::OutOfRange { field: "top_k", range: "a whole number" }),
        Some(off) if off < 1.0 => {
            notes.add("top_k", "is left out, because it limits nothing");
            Ok(None)
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        Some(number) => Ok(Some(number as u64)),
    }
}

/// Anthropic refuses blank ones.
fn stop_sequences(given: Option<&openai::Stop>, notes: &mut Notes) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for text in given.iter().flat_map(|stop| &stop.0) {
        if messages::is_blank(text) {
            notes.once(|| "stop".to_owned(), "a blank stop sequence is left out");
        } else if !kept.contains(text) {
            kept.push(text.clone());
        }
    }
    kept
}

/// `auto` is the default on both sides.
fn service_tier(given: Option<&str>, notes: &mut Notes) -> Option<&'static str> {
    match given {
        None | Some("auto") => None,
        Some("default") => Some("standard_only"),
        Some(_) => {
            notes.add("service_tier", "is left out, because Anthropic has no such tier");
            None
        }
    }
}

/// Who asks, unless it tells who that is in person (§1.1 `metadata`).
fn metadata(request: &openai::Request, notes: &mut Notes) -> Option<Metadata> {
    let (field, user_id) = request.end_user()?;
    if field != "user" && request.user.as_deref().is_some_and(|user| user != user_id) {
        notes.add("user", "is left out, because safety_identifier says otherwise");
    }
    let user_id = user_id.to_owned();
    if user_id.chars().count() > 256 {
        notes.add(field, "is left out, because it is longer than 256 characters");
        return None;
    }
    if is_email(&user_id) || is_phone(&user_id) {
        notes.add(field, "is left out, because it looks like an e-mail address or a phone number");
        return None;
    }
    Some(Metadata { user_id })
}

fn is_email(id: &str) -> bool {
    id.split_once('@').is_some_and(|(who, host)| !who.is_empty() && host.contains('.'))
}

fn is_phone(id: &str) -> bool {
    let digits = id.bytes().filter(u8::is_ascii_digit).count();
    (7..=15).contains(&digits)
        && id.bytes().all(|byte| byte.is_ascii_digit() || b"+-(). /".contains(&byte))
}

/// Notes what has no counterpart and does no harm. Takes the request apart with no `..`, so that a new field does not
/// compile until someone has said what becomes of it.
fn leave_out(request: &openai::Request, notes: &mut Notes) {
    let openai::Request {
        model: _,
        messages: _,
        stream: _,
        stream_options: _,
        max_tokens: _,
        max_completion_tokens: _,
        temperature: _,
        top_p: _,
        stop: _,
        n: _,
        tools: _,
        tool_choice: _,
        parallel_tool_calls: _,
        response_format: _,
        reasoning_effort: _,
        service_tier: _,
        user: _,
        safety_identifier: _,
        modalities: _,
        audio: _,
        logprobs: _,
        top_logprobs: _,
        web_search_options: _,
        functions: _,
        function_call: _,
        frequency_penalty,
        presence_penalty,
        logit_bias,
        seed,
        store,
        metadata,
        prediction,
        verbosity,
        prompt_cache_key,
        prompt_cache_options: _,
        prompt_cache_retention: _,
        moderation,
        extra,
    } = request;
    let says_something = |value: &Option<Value>| match value {
        None | Some(Value::Bool(false)) => false,
        Some(Value::Object(object)) => !object.is_empty(),
        Some(_) => true,
    };
    let harmless = [
        ("frequency_penalty", frequency_penalty.is_some_and(|value| value != 0.0)),
        ("presence_penalty", presence_penalty.is_some_and(|value| value != 0.0)),
        ("logit_bias", says_something(logit_bias)),
        ("seed", says_something(seed)),
        ("store", says_something(store)),
        ("metadata", says_something(metadata)),
        ("prediction", says_something(prediction)),
        ("verbosity", verbosity.as_ref().is_some_and(|value| value != "medium")),
        ("prompt_cache_key", says_something(prompt_cache_key)),
        ("moderation", says_something(moderation)),
    ];
    for (field, _) in harmless.into_iter().filter(|(_, given)| *given) {
        notes.add(field, "is left out, because Claude has nothing like it");
    }
    // These are read above, out of the unknown ones.
    let known = ["top_k", "thinking", "reasoning", "output_config"];
    let mut unknown =
        extra.iter().filter(|(field, value)| !value.is_null() && !known.contains(&&***field));
    for (field, _) in unknown.by_ref().take(MOST_UNKNOWN) {
        let name: String = field.chars().take(LONGEST_NAME).collect();
        notes.add(name, "is left out, because it is not known");
    }
    if unknown.next().is_some() {
        notes.add("", "more unknown fields are left out");
    }
}
