//! Answers on their way to OpenAI's clients and to Anthropic's own: whatever upstream sends, the chunks are chunks, and
//! all who read the same recording understand the same.

use std::sync::{Arc, LazyLock};

use reprise::domain::{
    alias::Aliases,
    anthropic::{StreamError, StreamSummary, assemble, fold, merge},
    catalog::Catalog,
    exchange::{Cost, Micros, NanoDollars, Tokens},
    openai,
    recording::{Recorder, Recording},
    translate::{
        Bill, Cancellation, Chunks, Form, Occasion, Originals, TranslateContext, WithUsage,
        completion, request,
    },
};
use serde_json::{Value, json};

use super::{CREATED, ID, client::Heard, input::Input};

const BILL: Bill = Bill::paid(Cost::Exact(NanoDollars(1_234_500)));

/// Read once: it is larger than most inputs.
static CATALOG: LazyLock<Catalog> = LazyLock::new(Catalog::builtin);

/// The first byte chooses the form, the second whether the rest is a stream or choices of which one is made.
pub(super) fn check(data: &[u8]) {
    let mut input = Input(data);
    let form = form(input.byte());
    match input.byte() % 3 {
        0 => {
            let recording = record(input.0);
            survive(&form, &recording);
        }
        1 => {
            let events: Vec<String> = disorder(&mut input);
            survive(&form, &record(events.concat().as_bytes()));
        }
        _ => {
            let cut = input.byte();
            let events = answer(&mut input);
            let recording = record(events.concat().as_bytes());
            let whole = agree(&form, &recording);
            native(&recording);
            // What was streamed of a part of it is the beginning of what is streamed of all of it.
            let part = &events[..usize::from(cut) % events.len()];
            let (chunks, _) = stream(&form, &record(part.concat().as_bytes()));
            let part = hear(&chunks);
            assert!(part.begins(&whole), "{part:?} does not begin {whole:?}");
        }
    }
}

/// What both kinds of clients hear, which is the same.
fn agree(form: &Arc<Form>, recording: &Recording) -> Heard {
    let (chunks, error) = stream(form, recording);
    assert!(error.is_none(), "an orderly answer is streamed: {error:?}");
    let streamed = hear(&chunks);
    let merged = merge(recording).expect("an orderly answer is merged");
    let (chunks, error) = stream(form, &merged);
    assert!(error.is_none(), "a merged answer is streamed: {error:?}");
    assert_eq!(hear(&chunks), streamed, "merged, and as it came");
    let message = fold(recording).expect("an orderly answer is folded");
    let body = completion(message, BILL, ID.to_owned(), CREATED, form);
    let whole = hear_whole(&body);
    assert_eq!(streamed, whole, "streamed, and whole");
    let mut summary = StreamSummary::default();
    let mut ended = false;
    for event in recording.events() {
        if summary.ended() && summary.stop_reason() == Some("pause_turn") {
            summary = StreamSummary::default();
        }
        summary.read(event).expect("an orderly answer is summed up");
        ended = summary.ended();
    }
    assert!(ended, "the ledger and the client agree on the end");
    whole
}

/// The message for Anthropic's own clients is what was folded.
fn native(recording: &Recording) {
    let message = fold(recording).expect("it was folded before");
    let native = assemble(recording).expect("what folds can be put together");
    let native: Value = serde_json::from_slice(&native).expect("the message is JSON");
    // Its clients go on after a pause themselves.
    if message.earlier == Tokens::default() {
        let content = serde_json::to_value(&message.content).expect("blocks are JSON");
        assert_eq!(native["content"], content);
        assert_eq!(native["stop_reason"].as_str(), message.stop.stop_reason.as_deref());
    }
}

/// What the chunks of an orderly answer say.
fn hear(chunks: &[u8]) -> Heard {
    read_strictly(chunks);
    Heard::of_chunks(chunks)
}

/// Reads chunks as a strict client does: each is JSON, and of the choices there is one finish at most.
fn read_strictly(chunks: &[u8]) {
    let text = std::str::from_utf8(chunks).expect("chunks are text");
    assert!(text.is_empty() || text.ends_with("\n\n"), "a chunk is torn");
    let mut finishes = 0;
    for data in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        if data != "[DONE]" {
            let chunk: Value =
                serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"));
            assert_eq!(
                (&chunk["id"], &chunk["object"]),
                (&json!(ID), &json!("chat.completion.chunk"))
            );
            finishes += usize::from(chunk["choices"][0]["finish_reason"].is_string());
        }
    }
    assert!(finishes <= 1, "{finishes} finishes");
}

/// A completion that a strict client reads.
fn hear_whole(body: &impl serde::Serialize) -> Heard {
    let json = serde_json::to_vec(body).expect("our own type");
    serde_json::from_slice::<Value>(&json).expect("a completion is JSON");
    Heard::of_completion(&json)
}

/// Puts any recording through everything that reads one.
fn survive(form: &Arc<Form>, recording: &Recording) {
    let (chunks, error) = stream(form, recording);
    read_strictly(&chunks);
    assert_eq!(chunks.ends_with(b"data: [DONE]\n\n"), error.is_none());
    if let Ok(merged) = merge(recording) {
        assert_eq!(fold(&merged).is_ok(), fold(recording).is_ok(), "merged, and as it came");
        read_strictly(&stream(form, &merged).0);
    }
    match fold(recording) {
        Ok(message) => {
            let body = completion(message, BILL, ID.to_owned(), CREATED, form);
            hear_whole(&body);
            let native = assemble(recording).expect("what folds can be put together");
            serde_json::from_slice::<Value>(&native).expect("the message is JSON");
            let is_disorder = matches!(error, None | Some(StreamError::OutOfOrder));
            assert!(is_disorder, "folds, but does not stream: {error:?}");
        }
        Err(error_of_fold) => {
            assert!(assemble(recording).is_err());
            assert!(error.is_some(), "streams, but does not fold: {error_of_fold}");
        }
    }
    let mut summary = StreamSummary::default();
    for event in recording.events() {
        let _ = summary.read(event);
    }
    let _ = (summary.tokens(), summary.terms(), summary.is_servable(), summary.take_refs());
}

fn record(bytes: &[u8]) -> Recording {
    let (mut recorder, mut recording) = (Recorder::default(), Recording::default());
    recorder.push(bytes);
    if let Some(segment) = recorder.cut(Micros(0)) {
        recording.append(Arc::new(segment));
    }
    recording
}

fn stream(form: &Arc<Form>, recording: &Recording) -> (Vec<u8>, Option<StreamError>) {
    let mut chunks = Chunks::new(ID.to_owned(), CREATED, WithUsage::Yes, Arc::clone(form));
    let mut out = Vec::new();
    let mut events = recording.events();
    let failed = events.find_map(|event| chunks.translate(event, &mut out).err());
    let error = failed.or_else(|| chunks.finish(BILL, &mut out).err());
    (out, error)
}

/// A form that a request asks for.
fn form(choice: u8) -> Arc<Form> {
    let properties = json!({"type": "object", "properties": {"$top": {}, "a b": {}, "": {}}});
    let mut body =
        json!({"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "Hi"}]});
    let more = match choice % 7 {
        0 => json!({}),
        1 => json!({"tools": [{"type": "custom", "custom": {"name": "f"}}]}),
        2 => json!({"functions": [{"name": "f", "parameters": properties}]}),
        3 => json!({"tools": [{"name": "f", "parameters": properties}]}),
        4 => json!({"stop": ["\n\n", " "], "tools": [{"name": "f"}]}),
        5 => json!({"response_format": {"type": "json_object"}, "stop": "\n"}),
        _ => json!({"response_format": {"type": "json_object"}}),
    };
    for (name, value) in more.as_object().expect("it is written here") {
        body[name] = value.clone();
    }
    let given = openai::Request::parse(body.to_string().as_bytes()).expect("it is written here");
    let occasion = if choice >= 128 { Occasion::Chat } else { Occasion::Plain };
    let (aliases, originals) = (Aliases::default(), Originals::new());
    let context = TranslateContext {
        catalog: &CATALOG,
        aliases: &aliases,
        occasion,
        originals: &originals,
        cancellation: Cancellation::NEVER,
    };
    Arc::new(request(&given, &context).expect("it is written here").form)
}

/// Pieces of text within a JSON string, with what is hard about each kind of text.
const PIECES: [&str; 32] = [
    "",
    "a",
    " ",
    r"\n",
    r"\n\n",
    "```json",
    r"```json\n",
    "```",
    "é",
    "👍",
    r"\ud83d",
    r"\udc4d",
    r"\uD83D",
    r"\\",
    r#"\""#,
    r"\u0000",
    r"\u00e9",
    "{",
    "}",
    r#"{\"input\":\""#,
    r#"\"}"#,
    r#"{\"$top\":1}"#,
    r#"\"_top\":"#,
    r#"{\"a_b\":["#,
    "]",
    ":",
    ",",
    "1",
    r"\/",
    r"\t",
    "x",
    "null",
];
const REASONS: [&str; 9] = [
    "end_turn",
    "max_tokens",
    "tool_use",
    "stop_sequence",
    "refusal",
    "pause_turn",
    "new_reason",
    "",
    "model_context_window_exceeded",
];
const USAGES: [&str; 6] = [
    "{}",
    r#"{"input_tokens":3,"output_tokens":1}"#,
    r#"{"input_tokens":3,"cache_creation_input_tokens":5,"cache_read_input_tokens":7,"output_tokens":11,"cache_creation":{"ephemeral_5m_input_tokens":2,"ephemeral_1h_input_tokens":3}}"#,
    r#"{"output_tokens":18446744073709551615,"input_tokens":18446744073709551615}"#,
    r#"{"output_tokens":5,"server_tool_use":{"web_search_requests":2},"service_tier":"priority"}"#,
    r#"{"output_tokens":null,"output_tokens_details":{"thinking_tokens":4}}"#,
];
/// Blocks, and the deltas that continue each.
const BLOCKS: [(&str, &[(&str, &str)]); 12] = [
    (r#"{"type":"text","text":""}"#, &[("text_delta", "text")]),
    (r#"{"type":"text","text":"ab"}"#, &[("text_delta", "text")]),
    (
        r#"{"type":"thinking","thinking":"","signature":""}"#,
        &[("thinking_delta", "thinking"), ("signature_delta", "signature")],
    ),
    (
        r#"{"type":"thinking","thinking":"hm","signature":"s"}"#,
        &[("thinking_delta", "thinking"), ("signature_delta", "signature")],
    ),
    (r#"{"type":"redacted_thinking","data":"EmwKAhgB"}"#, &[]),
    (
        r#"{"type":"tool_use","id":"toolu_1","name":"f","input":{}}"#,
        &[("input_json_delta", "partial_json")],
    ),
    (
        r#"{"type":"tool_use","id":"toolu_2","name":"other","input":{}}"#,
        &[("input_json_delta", "partial_json")],
    ),
    (r#"{"type":"tool_use","id":"toolu_3","name":"f","input":{"input":"x","_top":1}}"#, &[]),
    (
        r#"{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}"#,
        &[("input_json_delta", "partial_json")],
    ),
    (r#"{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[]}"#, &[]),
    (r#"{"type":"fallback","from":{"model":"claude"},"to":{"model":"claude-opus-4-8"}}"#, &[]),
    (r#"{"type":"later","x":"y"}"#, &[("later_delta", "x")]),
];

fn event(name: &str, more: &str) -> String {
    format!("event: {name}\ndata: {{\"type\":\"{name}\"{more}}}\n\n")
}

fn start(input: &mut Input<'_>) -> String {
    let content = ["[]", r#"[{"type":"tool_use","id":"t","name":"f","input":{"input":"x"}}]"#];
    let (content, usage) = (input.pick(&content), input.pick(&USAGES));
    let message = format!(
        r#","message":{{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":{content},"stop_reason":null,"usage":{usage}}}"#
    );
    event("message_start", &message)
}

/// A text within a JSON string: a few pieces, or bytes of the fuzzer.
fn piece(input: &mut Input<'_>) -> String {
    match input.byte() {
        255 => {
            let text = serde_json::to_string(&input.text(40)).expect("a text is JSON");
            text[1..text.len() - 1].to_owned()
        }
        first => {
            let count = usize::from(first) / 32 % 4;
            let mut text = PIECES[usize::from(first) % 32].to_owned();
            (0..count).for_each(|_| text += input.pick(&PIECES));
            text
        }
    }
}

fn delta(index: usize, kind: &str, field: &str, piece: &str) -> String {
    let more = format!(r#","index":{index},"delta":{{"type":"{kind}","{field}":"{piece}"}}"#);
    event("content_block_delta", &more)
}

fn last(input: &mut Input<'_>, reason: &str) -> String {
    let (reason, usage) = (format!("\"{reason}\""), input.pick(&USAGES));
    let details = [
        "null",
        r#"{"type":"refusal","category":"cyber","explanation":"No."}"#,
        r#"{"explanation":null}"#,
    ];
    let more = format!(
        r#","delta":{{"stop_reason":{reason},"stop_sequence":null,"stop_details":{}}},"usage":{usage}"#,
        input.pick(&details)
    );
    event("message_delta", &more)
}

/// An answer as Claude gives it, one block after the other, whole; perhaps with pauses.
fn answer(input: &mut Input<'_>) -> Vec<String> {
    let mut events = Vec::new();
    loop {
        events.push(start(input));
        for index in 0..input.below(6) {
            let (block, deltas) = input.pick(&BLOCKS);
            events.push(event(
                "content_block_start",
                &format!(r#","index":{index},"content_block":{block}"#),
            ));
            // A block's fields come one after the other.
            for (kind, field) in deltas {
                for _ in 0..input.below(6) {
                    events.push(delta(index, kind, field, &piece(input)));
                    if input.byte() == 1 {
                        events.push(event("ping", ""));
                    }
                }
            }
            if block.contains(r#""type":"text""#) && input.below(4) == 1 {
                let citation = r#""citation":{"type":"web_search_result_location","url":"https://a.example/","title":"A","cited_text":"a"}"#;
                let more =
                    format!(r#","index":{index},"delta":{{"type":"citations_delta",{citation}}}"#);
                events.push(event("content_block_delta", &more));
            }
            events.push(event("content_block_stop", &format!(r#","index":{index}"#)));
        }
        let reason = input.pick(&REASONS);
        events.push(last(input, reason));
        events.push(event("message_stop", ""));
        if reason != "pause_turn" || input.is_over() {
            return events;
        }
    }
}

/// Events in any order.
fn disorder(input: &mut Input<'_>) -> Vec<String> {
    let mut events = Vec::new();
    while !input.is_over() && events.len() < 200 {
        let index = input.below(4);
        events.push(match input.below(10) {
            0 => start(input),
            1 | 2 => {
                let (block, _) = input.pick(&BLOCKS);
                event(
                    "content_block_start",
                    &format!(r#","index":{index},"content_block":{block}"#),
                )
            }
            3..=5 => {
                let (_, deltas) = input.pick(&BLOCKS);
                let (kind, field) = deltas.first().copied().unwrap_or(("text_delta", "text"));
                delta(index, kind, field, &piece(input))
            }
            6 => event("content_block_stop", &format!(r#","index":{index}"#)),
            7 => {
                let reason = input.pick(&REASONS);
                last(input, reason)
            }
            8 => event("message_stop", ""),
            _ => match input.below(5) {
                0 => event("ping", ""),
                1 => {
                    event("error", r#","error":{"type":"overloaded_error","message":"Overloaded"}"#)
                }
                2 => event("later", ""),
                3 => ": comment\n\n".to_owned(),
                _ => {
                    format!("event: message_delta\ndata: {}\n\n", input.text(40).replace('\n', " "))
                }
            },
        });
    }
    events
}
