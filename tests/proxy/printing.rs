//! Text from clients and from upstream on a terminal: shown, never obeyed.

use serde_json::{Value, json};

use crate::support::{
    app::{CHAT, MODEL, Setup, ask_whole, with},
    binary::command,
    script::Script,
    sse::{self, Answer},
    upstream::Upstream,
};

/// Colour, title, bell, a control sequence of C1, a reversal, a return and a delete.
const HOSTILE: &str = "x\u{1b}[31m\u{1b}]0;y\u{7}\u{9b}2J\u{202e}\r\u{7f}z";

#[tokio::test]
async fn no_report_commands_a_terminal() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let app = setup.start().await;
    let client = app.client().header("x-owui-chat", "chat").header("x-owui-user", "x\u{202e}z");
    let delta = |text: &str| sse::text_delta(0, text);
    let block = sse::content_block_start(0, r#"{"type":"text","text":""}"#);
    for task in [None, Some("title_generation")] {
        let answer = json!({ "title": HOSTILE }).to_string();
        let answer = if task.is_some() { &*answer } else { HOSTILE };
        let events = Answer::of(HOSTILE).event(block.clone()).event(delta(answer));
        upstream.push(Script::sse(events.stop("end_turn")));
        let client =
            task.map_or_else(|| client.clone(), |task| client.clone().header("x-owui-task", task));
        let reply = client.post(CHAT, &with(ask_whole(HOSTILE), "model", json!(MODEL))).await;
        assert_eq!(reply.status.as_u16(), 200);
        reply.json().await;
    }
    let refused = with(ask_whole("no"), "model", json!(HOSTILE));
    upstream.push(Script::error(404, "not_found_error", HOSTILE));
    assert_eq!(app.client().post(CHAT, &refused).await.status.as_u16(), 404);
    app.stop().await;

    let session = told(&setup, &["sessions", "list", "--json"]);
    let session: Value = serde_json::from_str(&session).expect("JSON");
    let id = session["sessions"][0]["id"].as_str().expect("a session");
    let reports: [&[&str]; 9] = [
        &["sessions", "list"],
        &["sessions", "show", id],
        &["sessions", "show", id, "--markdown"],
        &["sessions", "show", id, "--json"],
        &["stats", "--by", "model"],
        &["stats", "--by", "user", "--csv"],
        &["stats", "--by", "model", "--markdown"],
        &["stats", "--by", "model", "--json"],
        &["sessions", "show", "x\u{1b}[31m"],
    ];
    let mut hostile = 0;
    for report in reports {
        let text = told(&setup, report);
        let obeyed = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(obeyed), "{report:?}: {text:?}");
        hostile += usize::from(text.contains("{9b}") || text.contains("\\u009b"));
    }
    assert!(hostile >= 6, "{hostile}");
}

/// Both outputs of a command.
fn told(setup: &Setup, arguments: &[&str]) -> String {
    let output = command(setup).args(arguments).output().expect("the program");
    [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("UTF-8")).concat()
}
