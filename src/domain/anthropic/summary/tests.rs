use super::*;

const THINKING: &str = r#"{"type":"thinking","thinking":"","signature":""}"#;
const TEXT: &str = r#"{"type":"text","text":""}"#;

/// An answer of these blocks, each with its deltas.
fn summary(blocks: &[(&str, &[&str])]) -> StreamSummary {
    let event = |name: &str, data: &str| format!("event: {name}\ndata: {data}\n\n");
    let mut events = vec![event(
        "message_start",
        r#"{"type":"message_start","message":{"model":"m","usage":{}}}"#,
    )];
    for (index, (block, deltas)) in blocks.iter().enumerate() {
        let start =
            format!(r#"{{"type":"content_block_start","index":{index},"content_block":{block}}}"#);
        events.push(event("content_block_start", &start));
        for delta in *deltas {
            let delta =
                format!(r#"{{"type":"content_block_delta","index":{index},"delta":{delta}}}"#);
            events.push(event("content_block_delta", &delta));
        }
        let stop = format!(r#"{{"type":"content_block_stop","index":{index}}}"#);
        events.push(event("content_block_stop", &stop));
    }
    let stop = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{}}"#;
    events.push(event("message_delta", stop));
    events.push(event("message_stop", r#"{"type":"message_stop"}"#));
    let mut summary = StreamSummary::default();
    for event in events {
        summary.read(event.as_bytes()).unwrap();
    }
    summary
}

#[test]
fn only_what_was_said_to_somebody_is_served_again() {
    let thought = r#"{"type":"thinking_delta","thinking":"Hm"}"#;
    let redacted = r#"{"type":"redacted_thinking","data":"x"}"#;
    let blank = r#"{"type":"text_delta","text":" \n"}"#;
    let answer = r#"{"type":"text_delta","text":"Yes"}"#;
    for (servable, blocks) in [
        (false, vec![(THINKING, &[thought][..])]),
        (false, vec![(redacted, &[][..])]),
        (false, vec![(THINKING, &[thought][..]), (TEXT, &[blank, blank][..])]),
        (true, vec![(THINKING, &[thought][..]), (TEXT, &[blank, answer, blank][..])]),
        (true, vec![(r#"{"type":"tool_use","id":"t","name":"f"}"#, &[][..])]),
    ] {
        let summary = summary(&blocks);
        assert_eq!(summary.is_servable(), servable, "{blocks:?}");
        assert!(summary.content > ContentSeen::Nothing, "all of it is billed: {blocks:?}");
    }
}

#[test]
fn a_signature_is_named_as_clients_give_it_back() {
    let thought = r#"{"type":"thinking_delta","thinking":"Hm"}"#;
    let pieces = [
        thought,
        r#"{"type":"signature_delta","signature":"Eq\/"}"#,
        r#"{"signature":"QB\u003d","type":"signature_delta"}"#,
    ];
    let whole = r#"{"type":"thinking","thinking":"","signature":"whole"}"#;
    let mut summary = summary(&[(THINKING, &pieces), (THINKING, &[thought]), (whole, &[])]);
    let named = ["Eq/QB=", "whole"].map(AnswerRef::signature);
    assert_eq!(summary.take_refs(), named);
}

#[test]
fn what_only_begins_tells_nothing() {
    let start = r#"{"type":"message_start","message":{"id":"a","model":"m"}}"#;
    let block = |block: &str| {
        format!(r#"{{"type":"content_block_start","index":0,"content_block":{block}}}"#)
    };
    let delta =
        |delta: &str| format!(r#"{{"type":"content_block_delta","index":0,"delta":{delta}}}"#);
    let tool = r#"{"type":"tool_use","id":"t","name":"f","input":{}}"#;
    let server_tool = r#"{"type":"server_tool_use","id":"t","name":"f","input":{}}"#;
    let ping = r#"{"type":"ping"}"#.to_owned();
    let empty = delta(r#"{"type":"input_json_delta","partial_json":""}"#);
    for (told, events) in [
        (Told::Nothing, vec![]),
        (Told::Nothing, vec![ping.clone(), r#"{"type":"of_tomorrow"}"#.to_owned()]),
        (Told::Block, vec![block(TEXT), ping]),
        (Told::Block, vec![block(THINKING)]),
        (Told::Block, vec![block(tool), empty.clone()]),
        (Told::Block, vec![block(server_tool), empty]),
        (Told::Content, vec![block(r#"{"type":"text","text":"a"}"#)]),
        (Told::Content, vec![block(r#"{"type":"tool_use","id":"t","name":"f","input":{"a":1}}"#)]),
        (Told::Content, vec![block(r#"{"type":"redacted_thinking","data":"x"}"#)]),
        (Told::Content, vec![block(r#"{"type":"web_search_tool_result","content":[]}"#)]),
        (Told::Content, vec![block(r#"{"type":"fallback"}"#)]),
        (Told::Content, vec![block(TEXT), delta(r#"{"type":"text_delta","text":" "}"#)]),
        (
            Told::Content,
            vec![block(tool), delta(r#"{"type":"input_json_delta","partial_json":"{"}"#)],
        ),
        (
            Told::Content,
            vec![block(THINKING), delta(r#"{"type":"signature_delta","signature":"a"}"#)],
        ),
        (Told::Content, vec![r#"{"type":"message_delta","delta":{},"usage":{}}"#.to_owned()]),
    ] {
        let mut summary = StreamSummary::default();
        summary.read(format!("data: {start}\n\n").as_bytes()).unwrap();
        for event in &events {
            summary.read(format!("data: {event}\n\n").as_bytes()).unwrap();
        }
        assert_eq!(summary.told(), told, "{events:?}");
    }
}

#[test]
fn what_a_gateway_says_twice_is_a_repeat_and_nothing_else_is() {
    let read = |events: &[&str]| -> Vec<Result<Seen, ()>> {
        let mut summary = StreamSummary::default();
        let event = |data: &&str| summary.read(format!("data: {data}\n\n").as_bytes());
        events.iter().map(event).map(|seen| seen.map_err(drop)).collect()
    };
    let start = r#"{"type":"message_start","message":{"id":"a","model":"m"}}"#;
    let other = r#"{"type":"message_start","message":{"id":"b","model":"m"}}"#;
    let nameless = r#"{"type":"message_start","message":{"model":"m"}}"#;
    let block =
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
    let delta =
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"ha"}}"#;
    let ping = r#"{"type":"ping"}"#;
    let (new, repeat) = (Ok(Seen::New), Ok(Seen::Repeat));
    assert_eq!(read(&[start, start, block, start]), [new, repeat, new, repeat]);
    assert_eq!(read(&[start, other]), [new, Err(())]);
    assert_eq!(read(&[nameless, nameless]), [new, Err(())]);
    assert_eq!(read(&[start, block, ping, block, block]), [new, new, new, repeat, repeat]);
    assert_eq!(read(&[start, block, delta, delta, block]), [new; 5]);
}
