//! Secrets in the text of a file, by line.

use super::*;

fn found(text: &str) -> Vec<String> {
    let blob = |_: &str| None;
    let line = |it: FoundSecret| format!("{} {}: {}", it.line, it.path, it.what);
    scrubber().find(text, &blob).into_iter().map(line).collect()
}

#[test]
fn each_secret_has_its_line_and_its_kind() {
    let text = format!(
        r#"{{
  "client": {{
    "body": {{"messages": [
      {{"role": "user", "content": "{KEY} and h\"unter 2/3é"}},
      {{"role": "user", "content": "nothing"}}
    ],
    "password":
      "correcthorse",
    "{KEY}": {{"token": 12}}}}
  }},
  "response": {{"message": {{"content": "Basic YW5uOm1lIQ=="}}}}
}}"#
    );
    for text in [&text, &["\u{feff}", &text].concat(), &text.replace('\n', "\r\n")] {
        assert_eq!(
            found(text),
            [
                "4 client.body.messages[0].content: an anthropic key",
                "4 client.body.messages[0].content: the value of DB_PASSWORD",
                "8 client.body.password: a password",
                "9 client.body: an anthropic key",
                "11 response.message.content: a user with a password",
            ]
        );
    }
    assert_eq!(found("{}"), [""; 0]);
    // Of a file that is no JSON, the lines.
    assert_eq!(found(&format!("{{\n\n oh {KEY}\n")), ["3 : an anthropic key"]);
}

#[test]
fn a_path_does_not_show_a_secret() {
    let text = format!(r#"{{"{KEY}": "{KEY}"}}"#);
    assert!(found(&text).iter().all(|line| !line.contains("AbCdEf")), "{:?}", found(&text));
    assert_eq!(found(&text).len(), 2);
}

#[test]
fn a_secret_in_several_events_is_found_in_the_first() {
    let (head, tail) = KEY.split_at(12);
    let event = |text: &str| format!("[0, \"content_block_delta\", {}]", delta(text));
    let lines = [event("Hi "), event(KEY), event(&format!(", {head}")), event(tail), event(".")];
    let file =
        |lines: &[String]| format!("{{\"response\": {{\"events\": [\n{}\n]}}}}", lines.join(",\n"));
    assert_eq!(
        found(&file(&lines)),
        [
            "3 response.events[1][2].delta.text: an anthropic key",
            "4 response.events[2]: an anthropic key, spread over several events",
        ]
    );
    assert_eq!(found(&file(&lines[..2])).len(), 1);
}

#[test]
fn secrets_in_blobs_and_images_are_found_where_the_file_names_them() {
    let long = format!("{}{KEY}", "words ".repeat(400));
    let picture = STANDARD.encode(format!("{}{KEY}", "pixels ".repeat(400)));
    let body = format!(
        r#"{{"messages":[{{"content":[{{"text":"{long}"}},{{"source":{{"data":"{picture}"}}}}]}}]}}"#
    );
    let rendered = cassette(&body, &[r#"{"type":"message_stop"}"#]).render();
    let blob = |name: &str| {
        rendered.blobs.iter().find(|blob| blob.name == name).map(|blob| blob.bytes.clone())
    };
    let found = scrubber().find(&rendered.text, &blob);
    let kinds: Vec<&str> = found
        .iter()
        .filter(|it| it.path.contains(".body."))
        .map(|it| {
            let line = rendered.text.lines().nth(it.line - 1).unwrap();
            assert!(line.contains("blob:"), "{line}");
            &*it.what
        })
        .collect();
    let twice = ["an anthropic key", "an anthropic key, in base64"].repeat(2);
    assert_eq!(kinds, twice, "in both requests");
}

/// The search and the scrubber agree.
#[test]
fn nothing_is_found_in_a_file_that_was_scrubbed() {
    let body = format!(r#"{{"messages":[{{"content":"{KEY}"}}],"token":"abc123def456"}}"#);
    let pieces = [delta("the pass"), delta("word=hun"), delta("ter22 is")];
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let mut dirty = cassette(&body, &pieces);
    assert_ne!(found(&dirty.render().text), [""; 0]);
    assert_eq!(scrubber().cassette(&mut dirty), []);
    assert_eq!(found(&dirty.render().text), [""; 0]);
}
