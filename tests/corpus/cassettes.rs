//! Recorded exchanges as fixtures: each file reads back as what it was, byte for byte, and hides no secret.

use reprise::domain::cassette::{
    Cassette, RecordedCall, RecordedRequest, RecordedResponse, ResponseBody, Scrubber, blob_name,
    is_recorded_header, read,
};
use reprise::domain::{anthropic::ApiHeaders, exchange::Api, recording::Recording};
use serde_json::Value;

use super::{lines, say, streams::record};

fn cassette(exchange: &Value) -> Option<Cassette> {
    let body = exchange["request"]
        .as_object()?
        .contains_key("messages")
        .then(|| exchange["request"].to_string())?;
    let status = u16::try_from(exchange["status"].as_u64()?).ok()?;
    let response = match exchange["response_sse"].as_str() {
        Some(sse) => RecordedResponse::of(&record(&[sse.as_bytes()]), status),
        None if exchange["response_json"]["type"] == "message" => RecordedResponse {
            body: ResponseBody::Message(exchange["response_json"].to_string()),
            ..RecordedResponse::of(&Recording::default(), status)
        },
        None => RecordedResponse {
            body: ResponseBody::Error(exchange["response_json"].to_string()),
            ..RecordedResponse::of(&Recording::default(), status)
        },
    };
    let mut headers: Vec<(String, String)> = exchange["response_headers"]
        .as_object()?
        .iter()
        .filter(|(name, _)| is_recorded_header(name))
        .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect();
    headers.sort();
    let client = RecordedCall { api: Api::Messages, program: None, task: None, body: body.clone() };
    let asked = RecordedRequest { headers: ApiHeaders::new("2023-06-01", [""; 0]), body };
    Some(Cassette {
        recorded: Some("2026-11-25".to_owned()),
        client: Some(client),
        upstream: Some(asked),
        when_exhausted: None,
        response: RecordedResponse { headers, ..response },
    })
}

#[test]
fn a_recorded_exchange_is_a_file_and_the_same_exchange_again() {
    let mut files = 0;
    for exchange in lines("anthropic-exchanges.jsonl") {
        let name = exchange["id"].as_str().unwrap();
        let Some(mut cassette) = cassette(&exchange) else { continue };
        let remaining = Scrubber::default().cassette(&mut cassette);
        assert_eq!(remaining, [], "{name}");
        let rendered = cassette.render();
        let blob = |wanted: &str| {
            rendered.blobs.iter().find(|blob| blob.name == wanted).map(|blob| blob.bytes.clone())
        };
        let (again, findings) = read(&rendered.text, &blob);
        assert_eq!(findings, [], "{name}");
        let again = again.unwrap();
        assert_eq!(again, cassette, "{name}");
        assert_eq!(again.render(), rendered, "{name}");
        assert!(
            rendered.blobs.iter().all(|blob| blob_name(&format!("blob:{}", blob.name)).is_some())
        );
        if let Some(sse) = exchange["response_sse"].as_str() {
            let (before, after) = (record(&[sse.as_bytes()]), again.recording());
            assert!(before.events().eq(after.events()), "{name}: bytes");
        }
        files += 1;
    }
    say(&format!("{files} exchanges became files"));
}

/// Whatever people ask and models answer stays: of all of the corpus, only the id of an organization is a secret.
#[test]
fn scrubbing_leaves_the_corpus_as_it_is() {
    let mut scrubbed = 0;
    let files = [
        "anthropic-exchanges.jsonl",
        "openai-requests.jsonl",
        "pairs.jsonl",
        "open-webui-requests.jsonl",
    ];
    for file in files {
        for (at, line) in lines(file).iter().enumerate() {
            let json = line.to_string();
            let clean = Scrubber::default().json(&json).unwrap();
            let kinds: Vec<&str> = clean.split("[redacted:").skip(1).collect();
            assert!(
                kinds.iter().all(|rest| rest.starts_with("organization]")),
                "{file}:{}: {:?}",
                at + 1,
                kinds.iter().map(|rest| &rest[..rest.floor_char_boundary(40)]).collect::<Vec<_>>()
            );
            scrubbed += usize::from(!kinds.is_empty());
            let value = |json: &str| serde_json::from_str::<Value>(json).unwrap();
            assert_eq!(value(&clean) == *line, kinds.is_empty(), "{file}:{}", at + 1);
        }
    }
    assert!(scrubbed <= 1, "{scrubbed} lines");
}

#[test]
fn scrubbing_leaves_the_manuals_as_they_are() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = crate::house::documents().into_iter().chain([root.join("src/lib.rs")]);
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        assert_eq!(Scrubber::default().text(&text), None, "{}", page.display());
    }
}
