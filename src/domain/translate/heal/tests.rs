//! Each refusal, with what a request may have that it speaks of.

use serde_json::json;

use super::*;
use crate::domain::anthropic::{
    BlockBinding, ClientTool, ContentBlock, Display, Format, PrefixMismatch, RequestMessage, Role,
    Thinking, ToolChoice,
};

/// The remedies of the first treatment that changes the request.
fn remedies(request: &Request, refusal: &str) -> Vec<Remedy> {
    let healed = heal(request, request, refusal);
    healed.into_iter().flat_map(|healed| healed.quirks).map(|quirk| quirk.remedy).collect()
}

#[test]
fn refusals_of_the_api_are_understood() {
    let binding = BlockBinding { prefix_mismatch_behavior: PrefixMismatch::DropBlock };
    let thought = ContentBlock::Thinking { thinking: "a".into(), signature: "b".into() };
    let request = Request {
        temperature: Some(0.5),
        top_p: Some(0.5),
        top_k: Some(5),
        thinking: Some(Thinking::Adaptive {
            display: Display::Summarized,
            block_binding: Some(binding),
        }),
        tool_choice: Some(ToolChoice::Any { disable_parallel_tool_use: false }),
        messages: vec![
            RequestMessage { role: Role::User, content: vec![ContentBlock::text("q")] },
            RequestMessage {
                role: Role::Assistant,
                content: vec![thought, ContentBlock::text("r")],
            },
        ],
        service_tier: Some("standard_only"),
        ..Request::default()
    };
    for (refusal, expected) in [
        ("temperature: Extra inputs are not permitted", Remedy::Temperature),
        ("`temperature` is deprecated for this model.", Remedy::Temperature),
        ("`top_p` is deprecated for this model.", Remedy::TopP),
        ("\"thinking.type.adaptive\" is not supported for this model.", Remedy::Thinking),
        ("adaptive thinking is not supported on this model", Remedy::Thinking),
        ("block_binding: Extra inputs are not permitted", Remedy::BlockBinding),
        (
            "tool_choice: type \"tool\" and \"any\" are not supported for this model.",
            Remedy::ToolChoice,
        ),
        (
            "This model does not support assistant message prefill. The conversation must end with a user message.",
            Remedy::Prefill,
        ),
        ("messages.1.content.0: Invalid `signature` in `thinking` block", Remedy::EarlierThinking),
        ("service_tier: Extra inputs are not permitted", Remedy::ServiceTier),
    ] {
        assert_eq!(remedies(&request, refusal), [expected], "{refusal}");
    }
    for refusal in ["prompt is too long: 5 tokens > 4 maximum", "effort: not for you", ""] {
        assert_eq!(remedies(&request, refusal), [], "{refusal}");
    }
}

#[test]
fn a_model_that_takes_no_budget_thinks_without_and_what_is_wrong_with_one_request_does_not_last() {
    let enabled = Thinking::Enabled {
        budget_tokens: 2048,
        display: Display::Summarized,
        block_binding: None,
    };
    let mut request = Request { thinking: Some(enabled), ..Request::default() };
    request.output_config.effort = Some(crate::domain::anthropic::Effort::Low);
    let refusal = "\"thinking.type.enabled\" is not supported for this model. Use \"thinking.type.adaptive\" and \"output_config.effort\" to control thinking behavior.";
    let healed = heal(&request, &request, refusal).unwrap();
    let of_the_model = Quirk { remedy: Remedy::Adaptive, subject: Subject::Model };
    assert_eq!(healed.quirks, [of_the_model]);
    assert_eq!(healed.request.output_config.effort, request.output_config.effort);
    let refusal = "`max_tokens` must be greater than `thinking.budget_tokens`.";
    let healed = heal(&request, &request, refusal).unwrap();
    assert_eq!(healed.quirks[0].subject, Subject::Request);
}

#[test]
fn what_is_wrong_with_a_conversation_mends_it() {
    let thought = ContentBlock::RedactedThinking { data: "x".into() };
    let said = vec![thought, ContentBlock::text("r")];
    let request = Request {
        thinking: Some(Thinking::Enabled {
            budget_tokens: 1024,
            display: Display::Summarized,
            block_binding: None,
        }),
        messages: vec![RequestMessage { role: Role::Assistant, content: said }],
        ..Request::default()
    };
    let refusal = "Invalid `data` in `redacted_thinking` block";
    let healed = heal(&request, &request, refusal).unwrap();
    assert_eq!(healed.request.thinking, None);
    assert_eq!(healed.request.messages[0].content, [ContentBlock::text("r")]);
    assert_eq!(healed.quirks[0].subject, Subject::Request);
}

/// A tool with a schema that has something to be left out.
fn tool(name: &str, strict: bool) -> Tool {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}},
        "required": ["a"], "additionalProperties": false});
    Tool::Client(ClientTool {
        name: name.to_owned(),
        description: None,
        input_schema: schema,
        strict,
    })
}

fn request(format: bool, strict: bool) -> Request {
    let mut request = Request { max_tokens: 200_000, ..Request::default() };
    request.tools = vec![tool("f", strict), tool("g", strict)];
    let schema = json!({"type": "object"});
    request.output_config.format = format.then_some(Format::JsonSchema { schema });
    request
}

/// The remedies of one request after the other, while upstream refuses all of them with the same words. Also checks
/// that what is learnt makes the next request the last of these.
fn until_accepted(translated: &Request, refusal: &str) -> Vec<Vec<Remedy>> {
    let (mut request, mut quirks, mut told) = (translated.clone(), Vec::new(), Vec::new());
    while let Some(healed) = heal(&request, translated, refusal) {
        assert_ne!(healed.request, request, "{refusal}");
        assert_eq!(healed.quirks.len(), healed.notes.len());
        told.push(healed.quirks.iter().map(|quirk| quirk.remedy).collect());
        quirks.extend(healed.quirks);
        request = healed.request;
        assert!(told.len() < 9, "no end: {told:?}");
    }
    if quirks.iter().all(|quirk| quirk.subject != Subject::Request) {
        let next = apply_quirks(translated, &quirks).map(|(next, _)| next);
        assert_eq!(next.unwrap_or_else(|| translated.clone()), request, "{refusal}");
    }
    told
}

#[test]
fn refusals_of_structured_output_relax_what_there_is_of_it() {
    use Remedy::{Format, Strict};
    let tools_first = [vec![vec![Strict], vec![Format]], vec![vec![Format]], vec![vec![Strict]]];
    let format_first = [vec![vec![Format], vec![Strict]], vec![vec![Format]], vec![vec![Strict]]];
    for (refusal, expected) in [
        (
            "The compiled grammar is too large, which would cause performance issues. Simplify your tool schemas or reduce the number of strict tools.",
            &tools_first,
        ),
        ("Grammar compilation timed out.", &tools_first),
        (
            "Schema is too complex for compilation. Try reducing the number of tools or simplifying tool schemas.",
            &tools_first,
        ),
        ("Schema is too complex.", &tools_first),
        (
            "Schemas contains too many optional parameters (87), which would make grammar compilation inefficient. Reduce the number of optional parameters in your tool schemas (limit: 24).",
            &tools_first,
        ),
        (
            "Schemas contains too many parameters with union types (17 parameters with type arrays or anyOf; limit: 16).",
            &tools_first,
        ),
        (
            "Too many strict tools (49). The maximum number of strict tools supported is 20.",
            &tools_first,
        ),
        ("For 'integer' type, properties maximum, minimum are not supported", &tools_first),
        ("For 'object' type, 'additionalProperties' must be explicitly set to false", &tools_first),
        ("`additionalProperties` must be false", &tools_first),
        ("Schema type 'oneOf' is not supported", &tools_first),
        ("output_format: This model does not support structured outputs", &format_first),
        (
            "output_config.format.schema: For 'integer' type, property 'minimum' is not supported",
            &format_first,
        ),
        ("output_config.format.schema: Invalid schema: Enum value is null", &format_first),
        ("Invalid schema: recursive", &format_first),
    ] {
        for (at, (format, strict)) in
            [(true, true), (true, false), (false, true)].iter().enumerate()
        {
            let request = request(*format, *strict);
            let found = until_accepted(&request, refusal);
            assert_eq!(found, expected[at], "{refusal} (format {format}, strict {strict})");
        }
        assert_eq!(until_accepted(&request(false, false), refusal), [[]; 0], "{refusal}");
    }
}

#[test]
fn a_refused_tool_is_simplified_and_then_opened_and_the_others_are_untouched() {
    use Remedy::{OpenTool, SimplifiedTool, Strict};
    let weaker = vec![vec![SimplifiedTool], vec![OpenTool]];
    let strict = [vec![vec![Strict]], weaker.clone()].concat();
    for (refusal, if_strict) in [
        (
            "tools.1.custom.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12 (https://json-schema.org/draft/2020-12). Learn more about tool use at https://docs.claude.com/en/docs/tool-use.",
            &weaker,
        ),
        ("tools.1.custom.input_schema.type: Field required", &weaker),
        ("tools.1.input_schema.type: Input should be 'object'", &weaker),
        (
            "tools.1.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level",
            &weaker,
        ),
        (
            "tools.1.custom.input_schema.properties: Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'",
            &weaker,
        ),
        (
            "tools.1.custom: For 'integer' type, properties maximum, minimum are not supported",
            &strict,
        ),
        (
            "tools.1.custom.input_schema: For 'object' type, 'additionalProperties' must be explicitly set to false",
            &strict,
        ),
    ] {
        for (is_strict, expected) in [(false, &weaker), (true, if_strict)] {
            for format in [false, true] {
                let mut request = request(format, is_strict);
                request.tools.push(tool("h", is_strict));
                if !format {
                    assert_eq!(until_accepted(&request, refusal), *expected, "{refusal}");
                }
                let healed = heal(&request, &request, refusal).unwrap().request;
                if !is_strict {
                    assert_eq!(
                        (&healed.tools[0], &healed.tools[2]),
                        (&request.tools[0], &request.tools[2])
                    );
                }
                assert_eq!(healed.output_config, request.output_config);
            }
        }
    }
    let both = "tools.0.custom.input_schema: a; tools.1.custom.input_schema: b";
    let both = until_accepted(&request(false, false), both);
    assert_eq!(both, [[SimplifiedTool; 2], [OpenTool; 2]]);
    for nothing in
        ["tools.7.custom.input_schema: x", "tools.1.custom.name: String should match pattern"]
    {
        assert_eq!(remedies(&request(false, false), nothing), [], "{nothing}");
    }
}

#[test]
fn a_tool_whose_schema_is_simple_is_opened_at_once() {
    let mut request = request(false, false);
    if let Tool::Client(tool) = &mut request.tools[0] {
        tool.input_schema = json!({"type": "object", "properties": {}});
    }
    assert_eq!(remedies(&request, "tools.0.custom.input_schema: x"), [Remedy::OpenTool]);
}

#[test]
fn a_request_with_many_refused_tools_is_healed_although_they_are_named_one_at_a_time() {
    let mut request = request(false, false);
    request.tools.extend(["h", "i", "j"].map(|name| tool(name, false)));
    let translated = request.clone();
    for (named, changed) in [(3, 1), (1, 1), (4, 3)] {
        let refusal = format!("tools.{named}.custom.input_schema: JSON schema is invalid.");
        let healed = heal(&request, &translated, &refusal).unwrap();
        assert_eq!(healed.quirks.len(), changed);
        request = healed.request;
    }
    assert!(request.tools.iter().zip(&translated.tools).all(|(now, before)| now != before));
}

#[test]
fn a_tool_is_known_in_another_list_and_a_list_or_a_format_is_not() {
    let before = request(true, true);
    let learn = |refusal| heal(&before, &before, refusal).unwrap().quirks;
    let mut other = before.clone();
    other.tools.insert(0, tool("h", true));
    let tool_quirk = learn("tools.1.custom.input_schema: JSON schema is invalid.");
    let (healed, notes) = apply_quirks(&other, &tool_quirk).unwrap();
    let is_changed: Vec<bool> =
        healed.tools.iter().zip(&other.tools).map(|(now, before)| now != before).collect();
    assert_eq!(is_changed, [false, false, true]);
    assert!(notes[0].what.contains("`g`"), "{notes:?}");
    assert_eq!(apply_quirks(&other, &learn("compiled grammar is too large")), None);
    let format = learn("output_config.format: x");
    assert!(apply_quirks(&other, &format).is_some(), "the same format with other tools");
    other.output_config.format = Some(Format::JsonSchema { schema: json!({"type": "array"}) });
    assert_eq!(apply_quirks(&other, &format), None);
}

#[test]
fn the_limit_on_the_answer_is_that_of_the_model_or_what_the_context_leaves() {
    let of_the_model =
        "max_tokens: 200000 > 64000, which is the maximum allowed number of output tokens for m";
    let of_the_context = "input length and `max_tokens` exceed context limit: 198000 + 200000 > 200000, decrease input length or `max_tokens` and try again";
    for (refusal, limit, subject, budget) in [
        (of_the_model, 64_000, Subject::Model, Some(32_000)),
        (of_the_context, 2_000, Subject::Request, None),
    ] {
        let mut request = request(false, false);
        request.thinking = Some(Thinking::Enabled {
            budget_tokens: 100_000,
            display: Display::Summarized,
            block_binding: None,
        });
        let healed = heal(&request, &request, refusal).unwrap();
        assert_eq!(healed.quirks, [Quirk { remedy: Remedy::MaxTokens(limit), subject }]);
        assert_eq!(healed.request.max_tokens, limit);
        let thinks = match healed.request.thinking {
            Some(Thinking::Enabled { budget_tokens, .. }) => Some(budget_tokens),
            _ => None,
        };
        assert_eq!(thinks, budget);
        assert_eq!(heal(&healed.request, &request, refusal).map(|again| again.quirks), None);
    }
}

#[test]
fn other_fields_that_may_be_refused_are_left_out() {
    let mut request = Request { fallbacks: Some(json!("default")), ..Request::default() };
    request.output_config.effort = Some(crate::domain::anthropic::Effort::Low);
    let refusal = "fallbacks: Extra inputs are not permitted";
    assert_eq!(remedies(&request, refusal), [Remedy::Fallbacks]);
    let refusal = "output_config: Extra inputs are not permitted";
    assert_eq!(remedies(&request, refusal), [Remedy::Effort]);
}
