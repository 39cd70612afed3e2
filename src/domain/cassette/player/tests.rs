//! Who answers, in which order, and why nobody does.

use serde_json::json;

use super::{
    super::{AtTheEnd, Response, Said, Why},
    *,
};
use crate::domain::anthropic::ApiHeaders;

fn asked(text: &str) -> RecordedRequest {
    let body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]});
    RecordedRequest { headers: ApiHeaders::default(), body: body.to_string() }
}

fn entry(file: &str, question: &str, answer: &str) -> Entry {
    let response = Response {
        status: 200,
        headers: Vec::new(),
        delay: 0,
        said: Said::Message(json!({"content": answer}).to_string()),
        cut_after: None,
    };
    let cassette = Cassette {
        recorded: None,
        client: None,
        upstream: Some(asked(question)),
        at_the_end: None,
        response,
    };
    let scenario = file.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
    Entry { file: file.to_owned(), scenario, cassette, now: None }
}

fn stage(at_the_end: AtTheEnd) -> Player {
    let entries = vec![
        entry("a/01.json", "Hi", "one"),
        entry("a/02.json", "Hi", "two"),
        entry("b/01.json", "Hi", "three"),
        entry("b/02.json", "What is the weather in Paris today?", "rain"),
    ];
    Player::new(entries, Scrubber::default(), at_the_end)
}

fn files(stage: &mut Player, question: &str, scenario: Option<&str>, times: usize) -> Vec<String> {
    let answer = |_| match stage.answer(&asked(question), scenario) {
        Ok(cue) => format!("{} {}/{}", cue.entry.file, cue.number, cue.of),
        Err(miss) => miss.to_string(),
    };
    (0..times).map(answer).collect()
}

#[test]
fn equal_requests_take_their_answers_in_order_and_then_by_the_policy() {
    let given = files(&mut stage(AtTheEnd::Last), "Hi", None, 4);
    assert_eq!(given, ["a/01.json 1/3", "a/02.json 2/3", "b/01.json 3/3", "b/01.json 3/3"]);
    let given = files(&mut stage(AtTheEnd::Cycle), "Hi", Some("a"), 4);
    assert_eq!(given, ["a/01.json 1/2", "a/02.json 2/2", "a/01.json 1/2", "a/02.json 2/2"]);
    let given = files(&mut stage(AtTheEnd::Error), "Hi", Some("a"), 3);
    assert_eq!(given[2], "all answers to this request were given: a/01.json, a/02.json");
}

#[test]
fn a_reset_begins_again_and_unused_fixtures_are_known() {
    let mut stage = stage(AtTheEnd::Last);
    files(&mut stage, "Hi", None, 2);
    let unused: Vec<&str> = stage.unused().map(|entry| entry.file.as_str()).collect();
    assert_eq!(unused, ["b/01.json", "b/02.json"]);
    stage.reset(Some("a"));
    assert_eq!(files(&mut stage, "Hi", None, 1), ["a/01.json 1/3"]);
    assert_eq!(stage.status().fixtures[0].given, 1);
}

#[test]
fn a_miss_tells_what_is_nearest_and_where_it_differs() {
    let mut stage = stage(AtTheEnd::Last);
    let miss = stage.answer(&asked("What is the weather in London today?"), None).unwrap_err();
    assert_eq!(
        miss.to_string(),
        "no fixture is the same as this request; the nearest (-) and the request (+) differ:\n\
         b/02.json (91 % alike)\n  messages[0].content[0].text: differs from character 23 on\n    \
         - \"What is the weather in Paris today?\"\n    + \"What is the weather in London today?\"\n"
            .trim_end()
    );
    let body = r#"{"model":"x","messages":[]}"#.to_owned();
    let other = RecordedRequest { body, headers: ApiHeaders::new("1", ["b"]) };
    assert_eq!(stage.answer(&other, None).unwrap_err().why, Why::NothingLike);
    assert_eq!(stage.status().misses, 2);
}

#[test]
fn a_changed_translation_answers_and_is_told() {
    let mut one = entry("a/01.json", "Hi", "one");
    one.now =
        Some(RecordedRequest { headers: ApiHeaders::new("2026-10-21", ["new"]), ..asked("Hi") });
    let now = one.now.clone().unwrap();
    let mut stage = Player::new(vec![one], Scrubber::default(), AtTheEnd::Last);
    assert!(stage.answer(&asked("Hi"), None).unwrap().changed.is_none());
    let changed = stage.answer(&now, None).unwrap().changed.unwrap().to_string();
    assert_eq!(changed, "anthropic-beta\n  + [\"new\"]\n");
    assert!(stage.status().fixtures[0].translator_changed.is_some());
}

#[test]
fn a_recording_without_its_end_does_not_play() {
    let mut torn = entry("a/01.json", "Hi", "one");
    torn.cassette.response.said = Said::Events(Vec::new());
    let mut stage = Player::new(vec![torn], Scrubber::default(), AtTheEnd::Last);
    assert!(stage.answer(&asked("Hi"), None).is_err());
    assert!(!stage.status().fixtures[0].plays);
}
