//! Secrets that are removed, texts that are left alone, and secrets that cannot be removed.

mod files;
mod kinds;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use proptest::prelude::*;

use super::*;
use crate::domain::cassette::{Event, RecordedCall, RecordedRequest, RecordedResponse};
use crate::domain::{anthropic::ApiHeaders, exchange::Api};

const KEY: &str = "sk-ant-api03-AbCdEf0123456789-xyzXYZ";

fn scrubber() -> Scrubber {
    let secret = Secret::new("DB_PASSWORD", "h\"unter 2/3é").unwrap();
    Scrubber::new(vec![secret], Vec::new())
}

#[test]
fn every_form_of_key_is_taken_out() {
    let scrubber = scrubber();
    for (text, left) in [
        (format!("use {KEY}, please"), "use [redacted:anthropic-key], please"),
        ("sk-proj-0123456789abcdefXYZ_".to_owned(), "[redacted:openai-key]"),
        ("ghp_0123456789abcdefghijABCDEFGHIJ012345".to_owned(), "[redacted:github-token]"),
        ("AKIAIOSFODNN7EXAMPLE".to_owned(), "[redacted:aws-key]"),
        ("AIzaSyA0123456789abcdefghijklmnopqrstuv".to_owned(), "[redacted:google-key]"),
        ("xoxb-0123456789-abcdef".to_owned(), "[redacted:slack-token]"),
        (
            "Authorization: Bearer abcdefgh12345678.x".to_owned(),
            "Authorization: Bearer [redacted:bearer-token]",
        ),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdefghijk".to_owned(), "[redacted:jwt]"),
        (
            "limit of your organization (01234567-89ab-cdef-0123-456789abcdef)".to_owned(),
            "limit of your organization ([redacted:organization])",
        ),
        ("password=h\"unter 2/3é!".to_owned(), "password=[redacted:DB_PASSWORD]!"),
        (r#"{"p":"h\"unter 2/3é"}"#.to_owned(), r#"{"p":"[redacted:DB_PASSWORD]"}"#),
        ("?p=h%22unter%202%2F3%C3%A9&".to_owned(), "?p=[redacted:DB_PASSWORD]&"),
        (format!("Basic {}", STANDARD.encode(format!("me:{KEY}"))), "Basic [redacted:basic-auth]"),
        (format!("x {}", URL_SAFE_NO_PAD.encode(format!("{KEY}??>>"))), "x [redacted:base64]"),
    ] {
        assert_eq!(scrubber.text(&text).as_deref(), Some(left), "{text}");
        assert_eq!(scrubber.text(left), None, "what is scrubbed stays as it is");
    }
}

#[test]
fn what_only_looks_a_little_like_a_secret_stays() {
    for text in [
        "sk-fading-circle-container",
        "task-0123456789012345678901234",
        "the bearer of bad news",
        "organization 12345678",
        "01234567-89ab-cdef-0123-456789abcdef",
        "hunter",
        "https://example.com/a/very/long/path/with/many/parts",
        "toolu_01A09q90qw90lq917835lq9",
    ] {
        assert_eq!(scrubber().text(text), None, "{text}");
    }
}

#[test]
fn the_operators_rules_come_last_and_do_not_eat_themselves() {
    let rule = Rule::new(r"(?i)ann@(\w+)\.org", "someone@$1.org").unwrap();
    let scrubber = Scrubber::new(Vec::new(), vec![rule]);
    assert_eq!(scrubber.text("to Ann@site.org").unwrap(), "to someone@site.org");
    assert!(matches!(Rule::new("(", ""), Err(RuleError::Pattern { .. })));
    assert!(matches!(Rule::new("a", "aa"), Err(RuleError::Endless { .. })));
}

fn cassette(upstream: &str, events: &[&str]) -> Cassette {
    let events = events.iter().map(|data| {
        let kind = Tree::parse(data).unwrap().get("type").unwrap().text().unwrap().into_owned();
        Event { at: 0, bytes: frame(&kind, data) }
    });
    Cassette {
        recorded: None,
        client: Some(RecordedCall {
            api: Api::Chat,
            program: None,
            task: None,
            body: upstream.to_owned(),
        }),
        upstream: Some(RecordedRequest {
            headers: ApiHeaders::default(),
            body: upstream.to_owned(),
        }),
        when_exhausted: None,
        response: RecordedResponse {
            status: 200,
            headers: vec![("request-id".to_owned(), format!("req {KEY}"))],
            delay: 0,
            body: ResponseBody::Events(events.collect()),
            cut_after: None,
        },
    }
}

#[test]
fn a_cassette_has_no_secret_left_anywhere() {
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"t","content":"{KEY}"}}]}}]}}"#
    );
    let text = format!(
        r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{KEY}"}}}}"#
    );
    let mut scrubbed = cassette(&body, &[&text, r#"{"type":  "ping"}"#]);
    assert_eq!(scrubber().cassette(&mut scrubbed), []);
    let rendered = scrubbed.render().text;
    assert!(!rendered.contains("AbCdEf"), "{rendered}");
    assert!(rendered.contains(r#"{"type":  "ping"}"#), "the rest stays as it came: {rendered}");
    let key = |cassette: &Cassette| cassette.upstream.as_ref().unwrap().key(&scrubber());
    assert_eq!(key(&cassette(&body, &[])), key(&scrubbed), "both sides are scrubbed");
}

#[test]
fn what_cannot_be_taken_out_is_named_by_its_place() {
    let picture = STANDARD.encode(format!("{}{KEY}", "pixels ".repeat(400)));
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":[{{"type":"image","source":{{"type":"base64","data":"{picture}"}}}}]}}]}}"#
    );
    let start = r#"{"type":"message_start","message":{"model":"m","content":[],"usage":{}}}"#;
    let block =
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
    let piece = |text: &str| {
        format!(
            r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{text}"}}}}"#
        )
    };
    let sealed = format!(
        r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"signature_delta","signature":"{KEY}"}}}}"#
    );
    let stop = r#"{"type":"message_stop"}"#;
    let events = [start, block, &piece("Hm"), &sealed, stop];
    let remaining = scrubber().cassette(&mut cassette(&body, &events));
    let reported: Vec<String> =
        remaining.iter().map(|secret| format!("{}: {}", secret.path, secret.what)).collect();
    assert_eq!(
        reported,
        [
            "client.body.messages[0].content[0].source.data: an anthropic key, in base64",
            "upstream.body.messages[0].content[0].source.data: an anthropic key, in base64",
            "response.events[3].delta.signature: an anthropic key",
        ]
    );
}

fn delta(text: &str) -> String {
    let text = encode(text);
    format!(
        r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":{text}}}}}"#
    )
}

fn delta_texts(cassette: &Cassette) -> Vec<String> {
    let events = cassette.response.events("").into_iter();
    let text = |bytes: &[u8]| {
        let tree = Tree::parse(framed(bytes)?.1).ok()?;
        Some(tree.get("delta")?.get("text")?.text()?.into_owned())
    };
    events.filter_map(|event| text(&event.bytes)).collect()
}

#[test]
fn a_secret_in_pieces_is_taken_out_of_each() {
    let (head, tail) = KEY.split_at(10);
    let pieces =
        ["It ", &format!("is {head}"), &tail[..4], &format!("{} and", &tail[4..]), " so on"];
    let deltas = pieces.map(delta);
    let deltas: Vec<&str> = deltas.iter().map(String::as_str).collect();
    let mut scrubbed = cassette("{}", &deltas);
    assert_eq!(scrubber().cassette(&mut scrubbed), []);
    assert_eq!(
        delta_texts(&scrubbed),
        ["It ", "is [redacted:anthropic-key]", "", " and", " so on"]
    );
}

#[test]
fn a_key_is_found_behind_an_escape_as_behind_a_space() {
    for before in [
        r"\n",
        r"\\n",
        r"\t",
        r"\u0022",
        r"\x20",
        "_",
        "%22",
        "%0A",
        "=3D",
        "\u{1b}[1;31m",
        "KEY_",
        "x",
        "é",
        "密钥",
    ] {
        let text = format!("a{before}{KEY}");
        assert_eq!(
            scrubber().text(&text).as_deref(),
            Some(&*format!("a{before}[redacted:anthropic-key]")),
            "{text}"
        );
        if before != "x" {
            let text = format!("a{before}xoxb-0123456789-abcdef");
            let left = format!("a{before}[redacted:slack-token]");
            assert_eq!(scrubber().text(&text), Some(left), "{text}");
        }
    }
    assert_eq!(
        scrubber().text("%20sk-fading-circle-container"),
        None,
        "an escape's digits are no secret's"
    );
}

proptest! {
    #[test]
    fn however_an_answer_is_cut_nothing_is_left_of_a_secret(cuts in prop::collection::vec(0_usize..90, 0..9)) {
        let whole = format!("One: {KEY}, two: Bearer abcdefgh12345678é, and h\"unter 2/3é.");
        let mut cuts = cuts;
        cuts.extend([0, whole.len()]);
        cuts.sort_unstable();
        let cuts: Vec<usize> = cuts.iter().map(|at| whole.floor_char_boundary(*at)).collect();
        let deltas: Vec<String> = cuts.windows(2).map(|pair| delta(&whole[pair[0]..pair[1]])).collect();
        let deltas: Vec<&str> = deltas.iter().map(String::as_str).collect();
        let mut scrubbed = cassette("{}", &deltas);
        prop_assert_eq!(scrubber().cassette(&mut scrubbed), []);
        prop_assert_eq!(delta_texts(&scrubbed).concat(), scrubber().text(&whole).unwrap());
        prop_assert_eq!(delta_texts(&scrubbed).len(), deltas.len());
    }

    #[test]
    fn scrubbing_twice_is_scrubbing_once(
        parts in prop::collection::vec(prop_oneof![
            "\\PC{0,12}",
            Just(KEY.to_owned()),
            Just("h\"unter 2/3é".to_owned()),
            Just(STANDARD.encode(KEY)),
            Just("Bearer ".to_owned()),
            "[A-Za-z0-9+/_.-]{0,40}",
        ], 0..8),
    ) {
        let text = parts.concat();
        let once = scrubber().text(&text).unwrap_or_else(|| text.clone());
        prop_assert_eq!(scrubber().text(&once), None, "{}", once);
    }
}
