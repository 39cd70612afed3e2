//! Translation of a request from OpenAI's dialect to Anthropic's (`reference/anthropic-api.md` §9.1). Pure and
//! deterministic: the same request always gives the same bytes, on which cache keys, the ledger and prompt caching rely.
//!
//! This file has the order of the steps; the steps have files of their own.

use std::{borrow::Cow, cell::RefCell, sync::Arc};

use serde_json::Value;

use super::{
    alias, caching,
    context::{Occasion, TranslateContext},
    fallbacks::{FALLBACK_BETA, fallbacks},
    form::{Calls, Form, Refusal},
    format,
    history::History,
    instructions, messages,
    note::{Error, Note, Notes},
    parameters,
    schema::Allowance,
    search, thinking, tools,
};
use crate::domain::{
    anthropic::{self, ApiHeaders, ContentBlock, ToolChoice, Version},
    catalog::Catalog,
    openai,
};

/// Maximum length of names in requests, logs and rows.
const LONGEST_NAME: usize = 256;
/// Maximum number of unknown fields that are named.
const MOST_UNKNOWN: usize = 20;

/// A translated request.
#[derive(Debug, Clone, PartialEq)]
pub struct Translated {
    /// The request body.
    pub request: Arc<anthropic::Request>,
    /// The headers that the request needs.
    pub headers: ApiHeaders,
    /// The form in which the client wants its answer.
    pub form: Form,
    /// Notes about everything that was dropped or changed.
    pub notes: Vec<Note>,
}

/// Translates a request, by the rules that the catalog has for its model.
pub fn request(
    request: &openai::Request,
    context: &TranslateContext<'_>,
) -> Result<Translated, Error> {
    let TranslateContext { catalog, aliases, occasion, originals, cancellation } = context;
    let mut notes = Notes::default();
    for openai::Change { field, what } in &request.changes {
        notes.add(field, *what);
    }
    let (request, instructions) = alias::apply(request, aliases, *occasion, &mut notes);
    let request = &*request;
    let model = model(&request.model, catalog, &mut notes)?;
    let rules = catalog.rules(&model);
    refuse_impossible(request)?;
    let limit = parameters::limit(request, catalog.get(&model), rules, &mut notes)?;
    let stops = parameters::stop_sequences(request.stop.as_ref(), &mut notes);
    let mut allowance = Allowance::default();
    let format::AnswerFormat { format, instruction: format_instruction, code_fence } =
        format::answer_format(request, &mut allowance, &mut notes)?;
    let tools::Definitions { mut tools, forms, .. } =
        tools::definitions(request, *cancellation, &mut allowance, &mut notes)?;
    tools.extend(search::requested(request, &tools, rules, &mut notes));
    let (mut tool_choice, instruction) = tools::choice(request, &tools, rules, &mut notes)?;
    let calls = if tools::is_old_form(request) { Calls::FunctionCall } else { Calls::ToolCalls };
    // Open WebUI shows no `refusal`.
    let refusal = if *occasion == Occasion::Chat { Refusal::Text } else { Refusal::Field };
    let form = Form { code_fence, tools: forms, calls, refusal, stops: stops.blank };
    let mut plan =
        thinking::plan(request, *occasion, limit, tool_choice.as_ref(), rules, &mut notes)?;
    let sampling = parameters::sampling(request, &plan, rules, &mut notes)?;
    let rendered = RefCell::default();
    let history = History { originals, form: &form, catalog, model: &model, plan: &plan, rendered };
    let messages::Conversation { mut system, messages, mut marks } = messages::conversation(
        &request.messages,
        &history,
        *cancellation,
        rules,
        format.as_ref(),
        &mut notes,
    )?;
    system.extend(format_instruction.map(ContentBlock::text));
    if let Some(instructions) = instructions {
        system.insert(0, ContentBlock::text(instructions));
        caching::move_on(&mut marks);
    }
    if tools.is_empty() {
        tools = tools::stubs(&messages, &mut notes);
        tool_choice = (!tools.is_empty()).then_some(ToolChoice::None);
    }
    let mut translated = anthropic::Request {
        model: model.into_owned(),
        system,
        messages,
        tools,
        tool_choice,
        stop_sequences: stops.sent,
        ..anthropic::Request::default()
    };
    // Before the instruction for this turn is appended: the next turn will not have it.
    translated.breakpoints =
        caching::breakpoints(request, &translated, marks, rules, *occasion, &mut notes);
    let mut betas = Vec::new();
    thinking::settle(&mut plan, &translated.messages, &mut betas, &mut notes);
    translated.fallbacks = fallbacks(
        request.extra.get("fallbacks"),
        &translated.model,
        |name| {
            Some(catalog.canonical_id(name).into_owned())
                .filter(|name| (1..=LONGEST_NAME).contains(&name.len()))
        },
        &mut notes,
    );
    betas.extend(translated.fallbacks.is_some().then_some(FALLBACK_BETA));
    translated.max_tokens = plan.max_tokens;
    translated.thinking = plan.thinking;
    translated.output_config = anthropic::OutputConfig { effort: plan.effort, format };
    if let Some(instruction) = instruction {
        instructions::append_to_last_user(&mut translated.messages, instruction);
    }
    translated.service_tier = parameters::service_tier(request.service_tier.as_deref(), &mut notes);
    translated.metadata = parameters::metadata(request, &mut notes);
    note_left_out(request, &mut notes);
    let parameters::Sampling { temperature, top_p, top_k } = sampling;
    let samples = temperature.is_some() || top_p.is_some() || top_k.is_some();
    let version = if samples { Version::V20230601 } else { Version::V20261021 };
    let request = Arc::new(anthropic::Request { temperature, top_p, top_k, ..translated });
    Ok(Translated {
        request,
        form,
        headers: ApiHeaders::new(version.as_str(), betas),
        notes: notes.into_vec(),
    })
}

/// The model's id as Anthropic writes it.
fn model<'a>(given: &'a str, catalog: &Catalog, notes: &mut Notes) -> Result<Cow<'a, str>, Error> {
    if given.len() > LONGEST_NAME {
        return Err(Error::OutOfRange { field: "model", range: "the id of a model" });
    }
    let model = catalog.canonical_id(given);
    if model.is_empty() {
        return Err(Error::NoModel);
    }
    if model != given {
        notes.add("model", format!("is sent as {model}"));
    }
    Ok(model)
}

/// Refuses parameters that Claude cannot honour. Dropping them would change what the client gets.
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

/// Notes what has no counterpart and does no harm. Takes the request apart with no `..`, so that a new field does not
/// compile until someone has said what becomes of it.
fn note_left_out(request: &openai::Request, notes: &mut Notes) {
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
        changes: _,
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
        notes.add(field, "is left out, because Claude has no counterpart");
    }
    // These are read above, out of the unknown ones.
    let known = ["top_k", "thinking", "reasoning", "output_config", "fallbacks"];
    let is_read = |field: &str, value: &Value| {
        known.contains(&field) || field == "text" && value.get("format").is_some()
    };
    let mut unknown =
        extra.iter().filter(|(field, value)| !value.is_null() && !is_read(field, value));
    for (field, _) in unknown.by_ref().take(MOST_UNKNOWN) {
        let name: String = field.chars().take(LONGEST_NAME).collect();
        notes.add(name, "is left out, because it is unknown");
    }
    if unknown.next().is_some() {
        notes.add("", "more unknown fields are left out");
    }
}
