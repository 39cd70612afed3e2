//! Events that a gateway lost, doubled or mixed: every client understands the same of them, and no such answer is served
//! again.

use proptest::prelude::*;
use reprise::domain::anthropic::{Seen, StreamSummary};
use serde_json::{Value, json};

use super::{agree, made_up, record};

/// The events as they are recorded: without what only repeats, and up to the end. `None`: the stream is refused.
fn recorded<'a>(events: &[&'a str]) -> Option<(Vec<&'a str>, StreamSummary)> {
    let mut summary = StreamSummary::default();
    let mut kept = Vec::new();
    for event in events {
        match summary.read(event.as_bytes()) {
            Ok(Seen::New) => kept.push(*event),
            Ok(Seen::Repeat) => {}
            Err(_) => return None,
        }
        if summary.ended() {
            break;
        }
    }
    Some((kept, summary))
}

/// Another way to say what order is: each block has its number, its start, deltas of its own kind and its stop, and then
/// comes the reason for the end.
fn is_in_order(events: &[&str]) -> bool {
    let events: Vec<Value> = events
        .iter()
        .map(|event| serde_json::from_str(event.split_once("data: ").unwrap().1.trim()).unwrap())
        .filter(|event: &Value| event["type"] != "ping" && event["type"] != "of_tomorrow")
        .collect();
    let [start, blocks @ .., end] = &*events else { return false };
    let mut open: Option<(u64, String)> = None;
    let (mut next, mut ends) = (0, false);
    for event in blocks {
        let index = event["index"].as_u64();
        let is_open = open.as_ref().map(|(index, _)| *index) == index;
        match event["type"].as_str().unwrap() {
            "message_delta" => ends |= !event["delta"]["stop_reason"].is_null(),
            "content_block_start" if open.is_none() && index == Some(next) && !ends => {
                open = Some((next, event["content_block"]["type"].to_string()));
                next += 1;
            }
            "content_block_delta" if is_open && !ends => {
                let kind = event["delta"]["type"].as_str().unwrap();
                let fits = match &*open.as_ref().unwrap().1 {
                    r#""text""# => ["text_delta", "citations_delta"].contains(&kind),
                    r#""thinking""# => ["thinking_delta", "signature_delta"].contains(&kind),
                    r#""tool_use""# => kind == "input_json_delta",
                    r#""redacted_thinking""# => false,
                    _ => true,
                };
                if !fits && kind != "clay_delta" {
                    return false;
                }
            }
            "content_block_stop" if is_open => open = None,
            _ => return false,
        }
    }
    start["type"] == "message_start" && end["type"] == "message_stop" && open.is_none()
}

/// Holds what has to hold of any events. Returns whether they would be served again.
fn check(events: &[&str]) -> bool {
    let (raw, _) = record(&[events.concat().as_bytes()]);
    agree(&raw, "as it came");
    let Some((kept, summary)) = recorded(events) else { return false };
    let (recording, _) = record(&[kept.concat().as_bytes()]);
    let heard = agree(&recording, "as it is recorded");
    assert_eq!(heard.is_some(), summary.ended(), "{events:?}");
    assert!(!summary.is_servable() || is_in_order(&kept), "{events:#?}");
    summary.is_servable()
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap())
}

/// An answer with a text, a call and another text.
fn answer() -> Vec<Value> {
    let start = |index: u32, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let delta = |index: u32, kind: &str, field: &str, text: &str| json!({"type": "content_block_delta", "index": index, "delta": {"type": kind, field: text}});
    let stop = |index: u32| json!({"type": "content_block_stop", "index": index});
    let tool = json!({"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}});
    let usage = json!({"input_tokens": 3, "output_tokens": 1});
    vec![
        json!({"type": "message_start", "message": {"id": "msg_1", "model": "m", "content": [], "usage": usage}}),
        start(0, json!({"type": "text", "text": ""})),
        delta(0, "text_delta", "text", "One"),
        stop(0),
        start(1, tool),
        delta(1, "input_json_delta", "partial_json", "{\"a\":"),
        delta(1, "input_json_delta", "partial_json", "1}"),
        stop(1),
        start(2, json!({"type": "text", "text": ""})),
        delta(2, "text_delta", "text", "Two"),
        stop(2),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}),
        json!({"type": "message_stop"}),
    ]
}

#[test]
fn each_kind_of_disorder_is_understood_alike_and_never_served_again() {
    type Change = fn(&mut Vec<Value>);
    let changes: [(&str, Change, &str); 14] = [
        ("a delta without its start", |it| drop(it.remove(1)), "OneTwo"),
        ("a call without its start", |it| drop(it.remove(4)), "OneTwo"),
        ("a stop without its start", |it| drop(it.drain(1..3)), "Two"),
        ("no stop", |it| drop(it.remove(3)), "OneTwo"),
        ("no stop of the last", |it| drop(it.remove(10)), "OneTwo"),
        ("a start twice", |it| it.insert(3, it[1].clone()), "OneTwo"),
        ("an index that jumps", |it| (8..=10).for_each(|at| it[at]["index"] = json!(7)), "OneTwo"),
        ("an index of another block", |it| it[9]["index"] = json!(0), "OneTwo"),
        ("a text in a call", |it| it[9]["index"] = json!(1), "OneTwo"),
        ("an input in a text", |it| it[6]["index"] = json!(0), "OneTwo"),
        ("a delta after its stop", |it| it.swap(9, 10), "OneTwo"),
        ("two blocks mixed", |it| it.swap(3, 4), "OneTwo"),
        ("blocks after the reason for the end", |it| it[8..12].rotate_right(1), "OneTwo"),
        ("a lost block", |it| drop(it.drain(4..8)), "OneTwo"),
    ];
    let text = |events: &[Value]| {
        let events: Vec<String> = events.iter().map(event).collect();
        let events: Vec<&str> = events.iter().map(String::as_str).collect();
        let (recording, _) = record(&[events.concat().as_bytes()]);
        (check(&events), agree(&recording, "").unwrap().content().clone())
    };
    assert_eq!(text(&answer()), (true, "OneTwo".to_owned()));
    for (name, change, expected) in changes {
        let mut events = answer();
        change(&mut events);
        assert_eq!(text(&events), (false, expected.to_owned()), "{name}");
    }
    // Neither of these means anything.
    for at in 1..12 {
        let mut events = answer();
        events.insert(at, json!({"type": "ping"}));
        events.insert(at, json!({"type": "of_tomorrow", "index": 0}));
        assert_eq!(text(&events), (true, "OneTwo".to_owned()), "{at}");
    }
}

#[test]
fn inputs_of_calls_that_come_at_once_stay_apart() {
    let mut events = answer();
    let second: Vec<Value> = events[4..8]
        .iter()
        .map(|event| {
            let text = event.to_string().replace("\"index\":1", "\"index\":2");
            serde_json::from_str(&text.replace("toolu_1", "toolu_2").replace("1}", "2}")).unwrap()
        })
        .collect();
    events.splice(8..11, second);
    let order = [0, 1, 2, 3, 4, 8, 5, 9, 10, 6, 7, 11, 12, 13];
    let events: Vec<String> = order.iter().map(|at| event(&events[*at])).collect();
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    assert!(!check(&events));
    let (recording, _) = record(&[events.concat().as_bytes()]);
    assert_eq!(agree(&recording, "").unwrap().arguments(), [json!({"a": 1}), json!({"a": 2})]);
}

/// Something that happens to a list of events.
#[derive(Debug, Clone)]
enum Accident {
    Lost(prop::sample::Index),
    Doubled(prop::sample::Index, prop::sample::Index),
    Moved(prop::sample::Index, prop::sample::Index),
    Renumbered(prop::sample::Index, usize),
}

fn accident() -> impl Strategy<Value = Accident> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        at().prop_map(Accident::Lost),
        (at(), at()).prop_map(|(from, to)| Accident::Doubled(from, to)),
        (at(), at()).prop_map(|(from, to)| Accident::Moved(from, to)),
        (at(), 0_usize..4).prop_map(|(at, index)| Accident::Renumbered(at, index)),
    ]
}

fn happen(accident: &Accident, events: &mut Vec<String>) {
    if events.is_empty() {
        return;
    }
    match accident {
        Accident::Lost(at) => drop(events.remove(at.index(events.len()))),
        Accident::Doubled(from, to) => {
            let event = events[from.index(events.len())].clone();
            events.insert(to.index(events.len() + 1), event);
        }
        Accident::Moved(from, to) => {
            let event = events.remove(from.index(events.len()));
            events.insert(to.index(events.len() + 1), event);
        }
        Accident::Renumbered(at, index) => {
            let at = at.index(events.len());
            let (before, after) = events[at].split_once("\"index\":").unwrap_or((&events[at], ""));
            let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
            if !rest.is_empty() {
                events[at] = format!("{before}\"index\":{index}{rest}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_to_events_all_clients_understand_the_same(
        answer in made_up::answer(),
        accidents in prop::collection::vec(accident(), 0..6),
    ) {
        let sse = answer.sse();
        let mut events: Vec<String> = sse.split_inclusive("\n\n").map(str::to_owned).collect();
        for accident in &accidents {
            happen(accident, &mut events);
        }
        check(&events.iter().map(String::as_str).collect::<Vec<_>>());
    }

    #[test]
    fn events_in_any_order_are_understood_alike(
        answer in made_up::answer(),
        keys in prop::collection::vec(any::<u32>(), 60),
    ) {
        let sse = answer.sse();
        let mut events: Vec<(u32, &str)> = keys.into_iter().cycle().zip(sse.split_inclusive("\n\n")).collect();
        // The beginning stands first, or all is refused at once.
        events[1..].sort_unstable();
        check(&events.into_iter().map(|(_, event)| event).collect::<Vec<_>>());
    }
}
