//! Pairs of surrogates that upstream splits over two deltas.

use serde_json::Value;

use super::{BILL, WithUsage, agree, record, stream};

/// A pair, text that only looks like one, and halves without the other half, cut into units that a delta may end with.
const UNITS: [&str; 9] =
    [r"\ud83d", r"\uDE00", "a", r"\\ud83d", r"\uD83D", r"\\", r"\ude00", r"\ud83d", "é"];
const MEANT: &str = "😀a\\ud83d\u{fffd}\\\u{fffd}\u{fffd}é";

/// The fields that deltas continue: the type of the block, the type of the delta, its field.
const FIELDS: [(&str, &str, &str); 3] = [
    (r#"{"type":"text","text":""}"#, "text_delta", "text"),
    (r#"{"type":"thinking","thinking":"","signature":""}"#, "thinking_delta", "thinking"),
    (
        r#"{"type":"tool_use","id":"toolu_1","name":"f","input":{}}"#,
        "input_json_delta",
        "partial_json",
    ),
];

fn event(name: &str, more: &str) -> String {
    format!("event: {name}\ndata: {{\"type\":\"{name}\"{more}}}\n\n")
}

/// An answer of one block, with a delta of each of `pieces` and `between` each two.
fn answer((block, kind, field): (&str, &str, &str), pieces: &[String], between: &str) -> String {
    let start = r#","message":{"id":"m","model":"claude","content":[],"usage":{}}"#;
    let mut sse = event("message_start", start);
    sse += &event("content_block_start", &format!(r#","index":0,"content_block":{block}"#));
    let deltas: Vec<String> = pieces
        .iter()
        .map(|piece| {
            let delta = format!(r#","index":0,"delta":{{"type":"{kind}","{field}":"{piece}"}}"#);
            event("content_block_delta", &delta)
        })
        .collect();
    sse += &deltas.join(between);
    sse += &event("content_block_stop", r#","index":0"#);
    sse += &event("message_delta", r#","delta":{"stop_reason":"end_turn"},"usage":{}"#);
    sse + &event("message_stop", "")
}

/// What the chunks say in this field, each read as the text that it must be.
fn said(sse: &str, field: &str) -> String {
    let chunks = sse.split("\n\n").filter_map(|chunk| chunk.strip_prefix("data: "));
    chunks
        .filter(|data| *data != "[DONE]")
        .filter_map(|data| {
            let chunk: Value = serde_json::from_str(data).expect("a chunk that can be read");
            let delta = &chunk["choices"][0]["delta"];
            let text = match field {
                "text" => &delta["content"],
                "thinking" => &delta["reasoning_content"],
                _ => &delta["tool_calls"][0]["function"]["arguments"],
            };
            text.as_str().map(str::to_owned)
        })
        .collect()
}

#[test]
fn pairs_go_out_whole_wherever_the_deltas_are_cut() {
    let ping = event("ping", "");
    let of_tomorrow =
        event("content_block_delta", r#","index":0,"delta":{"type":"of_tomorrow","x":1}"#);
    for field in FIELDS {
        for cuts in 0..1_u32 << (UNITS.len() - 1) {
            let mut pieces = vec![String::new()];
            for (at, unit) in UNITS.iter().enumerate() {
                pieces.last_mut().unwrap().push_str(unit);
                if cuts & (1 << at) != 0 {
                    pieces.push(String::new());
                }
            }
            for between in ["", &ping, &of_tomorrow] {
                let sse = answer(field, &pieces, between);
                let (recording, _) = record(&[sse.as_bytes()]);
                agree(&recording, &sse).unwrap();
                let (chunks, _) = stream(&recording, WithUsage::No, BILL);
                let chunks = std::str::from_utf8(&chunks).unwrap();
                assert_eq!(said(chunks, field.2), MEANT, "{pieces:?}");
            }
        }
    }
}

#[test]
fn events_with_lone_halves_can_be_read() {
    let text = r#"{"type":"text","text":"cut \ud83d","citations":[{"url":"http://x/\ude00","title":"\ud83d"}]}"#;
    let cited = r#","index":0,"delta":{"type":"citations_delta","citation":{"url":"http://y","title":"\ud83d"}}"#;
    let sse = answer((text, "text_delta", "text"), &["a".to_owned()], "")
        .replace(
            "event: content_block_stop",
            &format!("{}event: content_block_stop", event("content_block_delta", cited)),
        )
        .replace(
            r#"{"stop_reason":"end_turn"}"#,
            r#"{"stop_reason":"refusal","stop_details":{"explanation":"no \ud83d"}}"#,
        );
    let (recording, _) = record(&[sse.as_bytes()]);
    agree(&recording, &sse).unwrap();
    let (chunks, error) = stream(&recording, WithUsage::No, BILL);
    let chunks = std::str::from_utf8(&chunks).unwrap();
    assert!(error.is_none());
    assert_eq!(said(chunks, "text"), "cut \u{fffd}a");
    assert!(chunks.contains("http://x/\u{fffd}") && chunks.contains("no \u{fffd}"), "{chunks}");
}
