//! A rendered file reads back as the same cassette, and mistakes made by hand are found by their line.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::{
    anthropic::ApiHeaders,
    cassette::{Event, FileFinding, RecordedRequest, WhenExhausted, read},
    exchange::Api,
};

const STREAM: [&str; 6] = [
    r#"{"type":"message_start","message":{"model":"claude-haiku-4-5","content":[],"usage":{"input_tokens":8,"output_tokens":1}}}"#,
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}    }"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"It is 14 °C\nin Paris."}}"#,
    r#"{"type":"content_block_stop","index":0}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}"#,
    r#"{"type":"message_stop"}"#,
];

fn cassette() -> Cassette {
    let system = "Be kind. ".repeat(300);
    let picture = STANDARD.encode([b"\x89PNG\r\n\x1a\n", vec![7; 3000].as_slice()].concat());
    let client = json!({"model": "claude-haiku-4-5", "stream": true, "messages": [
        {"role": "system", "content": system},
        {"role": "user", "content": [
            {"type": "text", "text": "How warm is it in Paris, and what is in this picture, if anything?"},
            {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{picture}")}},
        ]},
    ]});
    let upstream = json!({"model": "claude-haiku-4-5", "max_tokens": 1024, "temperature": 0.50,
        "system": [{"type": "text", "text": system}],
        "messages": [{"role": "user", "content": [
            {"type": "text", "text": "blob:0000000000000000000000000000000000000000000000000000000000000000.txt"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": picture}},
        ]}],
    });
    let mut events: Vec<Event> = STREAM
        .iter()
        .map(|data| {
            let name = data.split('"').nth(3).unwrap();
            Event { at: 0, bytes: format!("event: {name}\ndata: {data}\n\n").into_bytes() }
        })
        .collect();
    events.insert(1, Event { at: 12, bytes: b": odd\r\n\r\n".to_vec() });
    Cassette {
        recorded: Some("2026-11-25".to_owned()),
        client: Some(RecordedCall {
            api: Api::Chat,
            program: Some("open-webui".to_owned()),
            task: None,
            body: client.to_string(),
        }),
        upstream: Some(RecordedRequest {
            headers: ApiHeaders::new("2026-10-21", ["a", "b"]),
            body: upstream.to_string(),
        }),
        when_exhausted: Some(WhenExhausted::Cycle),
        response: RecordedResponse {
            status: 200,
            headers: vec![("request-id".to_owned(), "req_1".to_owned())],
            delay: 0,
            body: ResponseBody::Events(events),
            cut_after: None,
        },
    }
}

fn read_back(text: &str, blobs: &[Blob]) -> (Option<Cassette>, Vec<FileFinding>) {
    let blobs: HashMap<&str, &[u8]> =
        blobs.iter().map(|blob| (blob.name.as_str(), blob.bytes.as_slice())).collect();
    read(text, &|name| blobs.get(name).map(|bytes| bytes.to_vec()))
}

#[test]
fn a_file_is_laid_out_for_its_reader_and_reads_back_as_it_was() {
    let cassette = cassette();
    let Rendered { text, blobs } = cassette.render();
    insta::assert_snapshot!(text);
    let kinds: Vec<&str> = blobs.iter().map(|blob| blob.name.rsplit('.').next().unwrap()).collect();
    assert_eq!(kinds, ["txt", "png", "txt"], "the picture and the prompt are kept once");
    let (again, findings) = read_back(&text, &blobs);
    assert_eq!(findings, []);
    assert_eq!(again.as_ref(), Some(&cassette));
    assert_eq!(again.unwrap().render().text, text);
}

#[test]
fn a_checkout_with_other_line_ends_means_the_same() {
    let Rendered { text, mut blobs } = cassette().render();
    for blob in &mut blobs {
        if blob.name.contains(".txt") {
            blob.bytes =
                String::from_utf8(blob.bytes.clone()).unwrap().replace('\n', "\r\n").into();
        }
    }
    let crlf = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    assert_eq!(read_back(&crlf, &blobs).0, Some(cassette()));
}

fn findings(change: impl Fn(&str) -> String) -> Vec<String> {
    let Rendered { text, blobs } = cassette().render();
    let changed = change(&text);
    assert_ne!(text, changed);
    let shown = |FileFinding { line, what, harmless }: FileFinding| {
        let at = changed.lines().nth(line - 1).unwrap().trim();
        let at: String = at.chars().take(40).collect();
        format!("{} {what}\n  at: {at}", if harmless { "odd:" } else { "wrong:" })
    };
    read_back(&changed, &blobs).1.into_iter().map(shown).collect()
}

#[test]
fn what_a_hand_breaks_is_found_by_its_line() {
    let all = [
        findings(|text| text.replace("14 °C\\nin Paris.\"}", "15 °C\\nin Paris.\"}")),
        findings(|text| text.replace("[12,", "[12.5,")),
        findings(|text| text.replace("\"message_stop\"}]", "\"message_stop\"]")),
        findings(|text| {
            text.replace(",\n      [0, \"message_stop\", {\"type\":\"message_stop\"}]", "")
        }),
        findings(|text| text.replace("\"max_tokens\": 1024", "\"max_tokens\" 1024")),
        findings(|text| text.replace("\"door\": \"chat\"", "\"door\": \"window\"")),
        findings(|text| text.replace("\"recorded\"", "\"recordde\"")),
        findings(|text| text.replace("\"schema\": 1", "\"schema\": 2")),
        findings(|text| text.replace("\"status\": 200", "\"status\": 404")),
        findings(|text| text.replace(".png", ".gif")),
        findings(|text| text.replace("\"request-id\"", "\"set-cookie\"")),
        findings(|text| {
            text.replace(
                "\"content_block_start\",\"index\":0",
                "\"content_block_start\",\"index\":\"x\"",
            )
        }),
    ];
    insta::assert_snapshot!(all.concat().join("\n"));
}

#[test]
fn an_answer_is_written_by_hand_in_a_few_lines() {
    let text = r#"{
        "schema": 1,
        "client": {"body": {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "Hi"}]}},
        "response": {"message": {"content": "Hello yourself."}}
    }"#;
    let (cassette, findings) = read_back(text, &[]);
    assert_eq!(findings, []);
    let cassette = cassette.unwrap();
    assert_eq!(
        cassette.response.summary(),
        ["text \"Hello yourself.\"", "stop end_turn", "in 0 / out 0"]
    );
    assert_eq!(cassette.recording().events().count(), 6);
    let formatted = cassette.render().text;
    assert_eq!(read_back(&formatted, &[]).0, Some(cassette));
    insta::assert_snapshot!(formatted);
}

#[test]
fn faults_are_written_by_hand_too() {
    let file = |response: &str| {
        let text = format!(
            r#"{{"schema": 1, "upstream": {{"body": {{"model": "m", "messages": []}}}}, "response": {response}}}"#
        );
        let (cassette, findings) = read_back(&text, &[]);
        assert_eq!(findings, []);
        cassette.unwrap()
    };
    let busy = file(
        r#"{"status": 529, "delay": 30, "headers": {"Retry-After": "2"}, "error": {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}}"#,
    );
    assert_eq!(busy.response.summary(), ["error 529 overloaded_error: Overloaded"]);
    assert_eq!(busy.response.headers, [("retry-after".to_owned(), "2".to_owned())]);
    let cut = file(r#"{"message": {"content": "Hello"}, "cut_after": 3}"#);
    assert!(cut.response.is_complete());
    assert_eq!(cut.recording().events().count(), 3);
    assert_eq!(cut.response.summary().last().unwrap(), "cut after 3 events");
    let failing = file(
        r#"{"events": [[0, "ping", {"type": "ping"}], [40, "error", {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}]]}"#,
    );
    assert!(failing.response.is_complete());
    assert_eq!(failing.response.summary(), ["1 event, then error overloaded_error: Overloaded"]);
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,30}",
        "[a-z\\n\"\\\\ ]{0,30}",
        "[a-z ]{2040,2060}",
        prop::collection::vec(any::<u8>(), 1530..1550).prop_map(|bytes| STANDARD.encode(bytes)),
        "blob:[0-9a-f]{64}\\.[a-z]{3}( 3 bytes)?",
        "data:image/png;base64,(blob:[0-9a-f]{64}\\.png)?",
    ]
}

fn any_body() -> impl Strategy<Value = Value> {
    prop::collection::vec((any_text(), any_text(), any::<f64>()), 0..4).prop_map(|messages| {
        let messages: Vec<Value> = messages
            .into_iter()
            .map(
                |(name, text, number)| json!({"role": "user", "content": text, name: [number, {}]}),
            )
            .collect();
        json!({"model": "m", "messages": messages})
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_cassette_reads_back_as_it_was(
        body in any_body(), client in any_body(), data in prop::collection::vec("\\PC{0,20}", 0..4), delay in 0_u64..3,
    ) {
        let mut cassette = cassette();
        cassette.client.as_mut().unwrap().body = client.to_string();
        cassette.upstream.as_mut().unwrap().body = body.to_string();
        cassette.response.delay = delay;
        if let ResponseBody::Events(events) = &mut cassette.response.body {
            let odd = |data: &String| Event { at: 3, bytes: format!(": {data}\r\n\r\n").into_bytes() };
            events.extend(data.iter().map(odd));
        }
        let Rendered { text, blobs } = cassette.render();
        let (again, findings) = read_back(&text, &blobs);
        prop_assert_eq!(findings, []);
        prop_assert_eq!(again.as_ref(), Some(&cassette));
        prop_assert_eq!(again.unwrap().render(), Rendered { text, blobs });
    }
}

#[test]
fn a_request_reads_back_however_deep_it_is_up_to_the_limit_of_files() {
    for depth in 1..=300_usize {
        let deep = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        let body = format!(r#"{{"model":"claude-haiku-4-5","messages":[],"x":{deep}}}"#);
        let mut cassette = cassette();
        cassette.client = None;
        let headers = ApiHeaders::new("2026-10-21", [""; 0]);
        cassette.upstream = Some(RecordedRequest { headers, body: body.clone() });
        let rendered = cassette.render();
        let blob = |name: &str| {
            rendered.blobs.iter().find(|blob| blob.name == name).map(|blob| blob.bytes.clone())
        };
        let (again, findings) = read(&rendered.text, &blob);
        // The file and the request's place in it are three levels.
        if depth <= 253 {
            assert_eq!(again.and_then(|it| it.upstream).map(|it| it.body), Some(body), "{depth}");
            assert_eq!(findings, [], "{depth}");
        } else {
            assert!(again.is_none() && findings[0].what.contains("256 levels"), "{depth}");
        }
    }
}
