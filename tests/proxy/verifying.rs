//! Fixtures are asked again, and what has another shape now is told.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::{
    app::{MODEL, Setup},
    binary::command,
    script::Script,
    sse::Answer,
    upstream::Upstream,
};

/// What the program says about these fixtures.
async fn verify(setup: &Setup, arguments: &'static [&'static str]) -> Output {
    let mut command = command(setup);
    command.current_dir(setup.folder()).args(["fixtures", "verify", "fixtures"]).args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output().expect("the program"));
    output.await.expect("its output")
}

fn write(setup: &Setup, name: &str, question: &str, response: &Value) {
    let fixture = json!({
        "schema": 1,
        "upstream": {"body": {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": question}]}},
        "response": response,
    });
    let folder = setup.folder().join("fixtures");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(name), fixture.to_string()).expect("a file");
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_text_is_the_same_and_another_shape_is_not() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    write(&setup, "1.json", "Hi", &json!({"message": {"content": "Hello"}}));
    write(
        &setup,
        "2.json",
        "Busy",
        &json!({"status": 529, "error": {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}}),
    );
    let refusal = |message| json!({"type": "error", "error": {"type": "invalid_request_error", "message": message}});
    write(&setup, "3.json", "Wrong", &json!({"status": 400, "error": refusal("this")}));
    let before = std::fs::read(setup.folder().join("fixtures/1.json")).expect("a file");
    let says = |stop: &str| {
        Script::sse(Answer::of(MODEL).text(&["Quite ", "another"]).stop(stop)).only_for("Hi")
    };
    let refuses = || Script::error(400, "invalid_request_error", "that").only_for("Wrong");

    upstream.push(says("end_turn"));
    upstream.push(refuses());
    let same = verify(&setup, &[]).await;
    let told = stdout(&same);
    assert!(same.status.success(), "{told}{}", String::from_utf8_lossy(&same.stderr));
    assert!(told.contains("same       fixtures/1.json\n"), "{told}");
    assert!(told.contains("not sent   fixtures/2.json: "), "{told}");
    assert!(told.ends_with("2 have the same shape, 0 do not, 1 were not sent\n"), "{told}");

    upstream.push(says("max_tokens"));
    upstream
        .push(Script::sse(Answer::of(MODEL).text(&["Right"]).stop("end_turn")).only_for("Wrong"));
    let changed = verify(&setup, &["--json"]).await;
    assert_eq!(changed.status.code(), Some(1));
    let lines: Value = serde_json::from_slice(&changed.stdout).expect("JSON");
    assert_eq!(lines[0]["verdict"], "changed");
    let stop = json!({"breaks": true, "at": "stop_reason", "what": "was end_turn, is max_tokens"});
    assert!(lines[0]["changes"].as_array().expect("changes").contains(&stop), "{lines}");
    assert_eq!(
        lines[2]["changes"],
        json!([{"breaks": true, "at": "status", "what": "was 400, is 200"}])
    );

    let after = std::fs::read(setup.folder().join("fixtures/1.json")).expect("a file");
    assert_eq!(before, after, "nothing is written");
    assert!(!setup.folder().join("fixtures/blobs").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_key_or_an_answer_it_fails() {
    let setup = Setup::at("http://127.0.0.1:9");
    write(&setup, "1.json", "Hi", &json!({"message": {"content": "Hello"}}));
    let keyless = verify(&setup.clone().unset("ANTHROPIC_API_KEY"), &[]).await;
    assert!(!keyless.status.success());
    let told = String::from_utf8_lossy(&keyless.stderr).into_owned();
    assert!(told.contains("ANTHROPIC_API_KEY"), "{told}");
    let unanswered = verify(&setup, &[]).await;
    assert_eq!(unanswered.status.code(), Some(1));
    assert!(
        stdout(&unanswered).starts_with("no answer  fixtures/1.json: cannot connect"),
        "{}",
        stdout(&unanswered)
    );
}
