//! Selection of fixtures, their order, and misses.

use serde_json::json;

use super::{
    super::{MissReason, RecordedResponse, ResponseBody, WhenExhausted},
    *,
};
use crate::domain::anthropic::ApiHeaders;

fn request(text: &str) -> RecordedRequest {
    let body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]});
    RecordedRequest { headers: ApiHeaders::default(), body: body.to_string() }
}

fn fixture(file: &str, question: &str, answer: &str) -> LoadedFixture {
    let response = RecordedResponse {
        status: 200,
        headers: Vec::new(),
        delay: 0,
        body: ResponseBody::Message(json!({"content": answer}).to_string()),
        cut_after: None,
    };
    let cassette = Cassette {
        recorded: None,
        client: None,
        upstream: Some(request(question)),
        when_exhausted: None,
        response,
    };
    let scenario = file.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
    LoadedFixture { file: file.to_owned(), scenario, cassette, translated: None }
}

fn player(when_exhausted: WhenExhausted) -> Player {
    let fixtures = vec![
        fixture("a/01.json", "Hi", "one"),
        fixture("a/02.json", "Hi", "two"),
        fixture("b/01.json", "Hi", "three"),
        fixture("b/02.json", "What is the weather in Paris today?", "rain"),
    ];
    Player::new(fixtures, PlayerSettings { when_exhausted, ..PlayerSettings::default() })
}

fn files(player: &mut Player, question: &str, scenario: Option<&str>, times: usize) -> Vec<String> {
    let answer = |_| match player.answer(&request(question), scenario) {
        Ok(found) => format!("{} {}/{}", found.fixture.file, found.position, found.total),
        Err(miss) => miss.to_string(),
    };
    (0..times).map(answer).collect()
}

#[test]
fn equal_requests_take_their_answers_in_order_and_then_by_the_policy() {
    let given = files(&mut player(WhenExhausted::Last), "Hi", None, 4);
    assert_eq!(given, ["a/01.json 1/3", "a/02.json 2/3", "b/01.json 3/3", "b/01.json 3/3"]);
    let given = files(&mut player(WhenExhausted::Cycle), "Hi", Some("a"), 4);
    assert_eq!(given, ["a/01.json 1/2", "a/02.json 2/2", "a/01.json 1/2", "a/02.json 2/2"]);
    let given = files(&mut player(WhenExhausted::Error), "Hi", Some("a"), 3);
    assert_eq!(given[2], "all answers to this request were given: a/01.json, a/02.json");
}

#[test]
fn a_reset_begins_again_and_unused_fixtures_are_known() {
    let mut player = player(WhenExhausted::Last);
    files(&mut player, "Hi", None, 2);
    let status = player.status();
    let unused: Vec<&str> = status
        .fixtures
        .iter()
        .filter(|fixture| fixture.given == 0)
        .map(|fixture| fixture.file.as_str())
        .collect();
    assert_eq!(unused, ["b/01.json", "b/02.json"]);
    player.reset(Some("a"));
    assert_eq!(files(&mut player, "Hi", None, 1), ["a/01.json 1/3"]);
    assert_eq!(player.status().fixtures[0].given, 1);
}

#[test]
fn a_miss_tells_what_is_nearest_and_where_it_differs() {
    let mut player = player(WhenExhausted::Last);
    let miss = player.answer(&request("What is the weather in London today?"), None).unwrap_err();
    assert_eq!(
        miss.to_string(),
        "no fixture matches this request; the nearest (-) and the request (+) differ:\n\
         b/02.json (89 % alike)\n  messages[0].content[0].text: differs from character 23 on\n    \
         - \"What is the weather in Paris today?\"\n    + \"What is the weather in London today?\"\n"
            .trim_end()
    );
    let body = r#"{"model":"x","messages":[]}"#.to_owned();
    let other = RecordedRequest { body, headers: ApiHeaders::new("1", ["b"]) };
    assert_eq!(player.answer(&other, None).unwrap_err().reason, MissReason::NothingLike);
    assert_eq!(player.status().misses, 2);
}

#[test]
fn a_fixture_that_was_given_is_named_where_no_similar_one_is_left() {
    let mut player = player(WhenExhausted::Last);
    files(&mut player, "What is the weather in Paris today?", None, 1);
    let miss = player.answer(&request("What is the weather in London today?"), None).unwrap_err();
    assert!(miss.to_string().contains("b/02.json (89 % alike)"), "{miss}");
    files(&mut player, "Hi", None, 1);
    let miss = player.answer(&request("Hi!"), None).unwrap_err().to_string();
    assert!(miss.contains("a/02.json") && !miss.contains("a/01.json"), "{miss}");
}

#[test]
fn a_changed_translation_answers_and_is_told() {
    let mut one = fixture("a/01.json", "Hi", "one");
    one.translated =
        Some(RecordedRequest { headers: ApiHeaders::new("2026-10-21", ["new"]), ..request("Hi") });
    let now = one.translated.clone().unwrap();
    let mut player = Player::new(vec![one], PlayerSettings::default());
    assert!(player.answer(&request("Hi"), None).unwrap().changed.is_none());
    let changed = player.answer(&now, None).unwrap().changed.unwrap().to_string();
    assert_eq!(changed, "anthropic-beta\n  + [\"new\"]\n");
    assert!(player.status().fixtures[0].translator_changed.is_some());
}

#[test]
fn a_recording_without_its_end_does_not_play() {
    let mut torn = fixture("a/01.json", "Hi", "one");
    torn.cassette.response.body = ResponseBody::Events(Vec::new());
    let mut player = Player::new(vec![torn], PlayerSettings::default());
    assert!(player.answer(&request("Hi"), None).is_err());
    assert!(!player.status().fixtures[0].plays);
}

/// Older versions found fewer secrets, and gave some another name; so does another environment.
#[test]
fn fixtures_that_were_scrubbed_otherwise_are_found() {
    let token = ["gl", "pat-", "q7Zt3XbP9kLm2RvW8nYd"].concat();
    let pair = ["bWU6c2stYW50LWFwaTAzLUFi", "Q2RFZjAxMjM0NTY3ODk="].concat();
    for (recorded, asked) in [
        (format!("Use {token}!"), format!("Use {token}!")),
        ("I used Basic [redacted:base64].".to_owned(), format!("I used Basic {pair}.")),
        (
            r#"{"password":"[redacted:DB_PASSWORD]"}"#.to_owned(),
            r#"{"password":"correct-horse/battery"}"#.to_owned(),
        ),
    ] {
        let fixture = fixture("01.json", &recorded, "one");
        let mut player = Player::new(vec![fixture], PlayerSettings::default());
        assert_eq!(files(&mut player, &asked, None, 1), ["01.json 1/1"], "{recorded}");
        let miss = player.answer(&request(&format!("{asked} Really?")), None).unwrap_err();
        assert!(!miss.to_string().contains("Q2RFZjAx"), "{miss}");
        assert!(!miss.to_string().contains("q7Zt3XbP"), "{miss}");
    }
}

fn pattern(file: &str, content: &Value, answer: &str) -> LoadedFixture {
    let mut fixture = fixture(file, "", answer);
    let body = json!({"model": {"$any": true}, "max_tokens": 9, "messages": [{"role": "user", "content": content}]});
    fixture.cassette.upstream.as_mut().unwrap().body = body.to_string();
    fixture
}

#[test]
fn the_same_request_goes_before_wildcards_and_they_go_in_the_order_of_their_files() {
    let like = json!([{"type": "text", "text": {"$like": "What is * + *?"}}]);
    let fixtures = vec![
        pattern("1.json", &like, "a sum"),
        pattern("2.json", &json!({"$any": true}), "anything"),
        pattern("3.json", &like, "another sum"),
        fixture("4.json", "What is 2 + 2?", "four"),
    ];
    let mut player = Player::new(fixtures, PlayerSettings::default());
    assert_eq!(files(&mut player, "What is 2 + 2?", None, 2), ["4.json 1/1", "4.json 1/1"]);
    let sums = files(&mut player, "What is 1 + 3?", None, 3);
    assert_eq!(sums, ["1.json 1/2", "3.json 2/2", "3.json 2/2"]);
    assert_eq!(files(&mut player, "Who?", None, 1), ["2.json 1/1"]);
    assert_eq!(player.status().misses, 0);
}

#[test]
fn a_miss_tells_which_wildcard_a_request_does_not_fit() {
    let content = json!([{"type": "text", "text": {"$like": "What is * + *?"}}]);
    let fixtures = vec![pattern("1.json", &content, "a sum")];
    let mut player = Player::new(fixtures, PlayerSettings::default());
    let miss = player.answer(&request("What is 2 - 2?"), None).unwrap_err().to_string();
    let told = "messages[0].content[0].text\n    - {\"$like\":\"What is * + *?\"}\n    + \"What is 2 - 2?\"";
    assert!(miss.contains("1.json (") && miss.contains(told), "{miss}");
    assert!(!miss.contains("model"), "{miss}");
}

#[test]
fn a_wildcard_in_a_recorded_request_is_none() {
    let mut recorded = pattern("1.json", &json!({"$any": true}), "anything");
    recorded.cassette.recorded = Some("2026-11-24".to_owned());
    recorded.cassette.response = RecordedResponse::error(529, "overloaded_error", "Busy");
    let mut player = Player::new(vec![recorded], PlayerSettings::default());
    assert!(player.answer(&request("Hi"), None).is_err());
}

/// A request with these top-level fields.
fn with(text: &str, fields: &[(&str, Value)]) -> RecordedRequest {
    let mut request = request(text);
    let mut body: Value = serde_json::from_str(&request.body).unwrap();
    for (name, value) in fields {
        body[name] = value.clone();
    }
    request.body = body.to_string();
    request
}

fn tools(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"name": name, "input_schema": {"type": "object"}})).collect()
}

#[test]
fn ignored_parts_need_not_be_equal_and_equal_fixtures_go_first() {
    use IgnoredPart::{MaxTokens, Model, System, Tools};

    let of_admin = [("tools", tools(&["a", "b"])), ("tool_choice", json!({"type": "auto"}))];
    let of_user = [("tools", tools(&["a"]))];
    for (ignored, asked, found) in [
        (vec![], with("Hi", &of_user), None),
        (vec![System], with("Hi", &of_user), None),
        (vec![Tools], with("Hi", &of_user), Some("admin.json")),
        (vec![Tools], with("Hi", &[]), Some("admin.json")),
        (vec![Tools], with("Hi", &of_admin), Some("admin.json")),
        (vec![Tools], with("Hi!", &of_admin), None),
        (vec![Tools], with("Who?", &of_user), Some("user.json")),
        (vec![Tools], with("Who?", &of_admin), Some("admin-who.json")),
        (vec![Tools], with("Hi", &[("system", json!("Be brief"))]), None),
        (vec![Tools, System], with("Hi", &[("system", json!("Be brief"))]), Some("admin.json")),
        (vec![Tools, Model], with("Hi", &[("model", json!("n"))]), Some("admin.json")),
        (vec![Tools], with("Hi", &[("model", json!("n"))]), None),
        (vec![MaxTokens], with("2 + 2?", &[("max_tokens", json!(5))]), Some("sum.json")),
        (vec![Tools], with("2 + 2?", &of_user), Some("sum.json")),
        (vec![], with("2 + 2?", &of_user), None),
    ] {
        let asks = |file, text, fields: &[_]| {
            let mut fixture = fixture(file, text, file);
            fixture.cassette.upstream = Some(with(text, fields));
            fixture
        };
        let fixtures = vec![
            asks("admin.json", "Hi", &of_admin),
            asks("admin-who.json", "Who?", &of_admin),
            asks("user.json", "Who?", &of_user),
            pattern("sum.json", &json!([{"type": "text", "text": {"$like": "* + *?"}}]), "a sum"),
        ];
        let settings = PlayerSettings { ignored: ignored.clone(), ..PlayerSettings::default() };
        let mut player = Player::new(fixtures, settings);
        let file = player.answer(&asked, None).ok().map(|found| found.fixture.file.clone());
        assert_eq!(file.as_deref(), found, "{ignored:?} {}", asked.body);
    }
}

#[test]
fn the_nearest_is_the_one_with_the_same_messages_and_tools_are_told_by_name() {
    let names: Vec<String> = (0..36).map(|number| format!("tool_{number}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let asks = |file, text, fields: &[_]| {
        let mut fixture = fixture(file, text, file);
        fixture.cassette.upstream = Some(with(text, fields));
        fixture
    };
    let mut described = tools(&all[..30]);
    described[3]["description"] = json!("Another");
    let fixtures = vec![
        asks("other.json", "Good evening to all of you", &[("tools", tools(&all))]),
        asks("same.json", "Hello!", &[("max_tokens", json!(7))]),
        asks("fewer.json", "Who are you?", &[("tools", described)]),
    ];
    let mut player = Player::new(fixtures, PlayerSettings::default());
    let mut told = |text, fields: &[_]| {
        let miss = player.answer(&with(text, fields), None).unwrap_err();
        (miss.to_string(), miss.without_content())
    };
    let (whole, line) = told("Hello!", &[("tools", tools(&all))]);
    assert_eq!(
        whole,
        "no fixture matches this request; the nearest (-) and the request (+) differ:\n\
         same.json (77 % alike)\n  max_tokens\n    - 7\n    + 9\n  tools\n    \
         + [\"tool_0\",\"tool_1\",\"tool_2\",\"tool_3\",\"tool_4\"] and 31 more\n  \
         --ignore max_tokens,tools would find it"
    );
    assert_eq!(
        line,
        "no fixture matches this request; nearest are same.json (77 % alike; different in max_tokens, tools; \
         --ignore max_tokens,tools would find it)"
    );
    let (whole, _) = told("Who are they?", &[("tools", tools(&all[2..])), ("system", json!("x"))]);
    let places: Vec<&str> =
        whole.lines().skip(2).filter(|line| !line.starts_with("    ")).map(str::trim).collect();
    assert_eq!(
        places,
        [
            "messages[0].content[0].text: differs from character 8 on",
            "system",
            "tools.tool_3.description",
            "tools",
            "tools"
        ],
        "{whole}"
    );
    let (whole, _) = told("Who are you?", &[("tools", tools(&["tool_1", "tool_0"]))]);
    assert!(whole.contains("tools\n    - [\"tool_2\""), "{whole}");
}
