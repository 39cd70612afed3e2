//! The README's example for Rust: a replay inside the process that tests. Those for pytest and Node are in `tests/guide`,
//! and `.ci/run` runs them.

#[tokio::test]
async fn a_greeting_is_answered() -> Result<(), Box<dyn std::error::Error>> {
    let replay = reprise::testing::Replay::start("fixtures/demo").await?;
    let question =
        r#"{"model":"claude-haiku-5-5","messages":[{"role":"user","content":"Hello!"}]}"#;
    let url = format!("{}/chat/completions", replay.url());
    let request = reqwest::Client::builder().no_proxy().build()?.post(url).body(question);
    let answer = request.header("content-type", "application/json").send().await?.text().await?;
    assert!(answer.contains("I am a recording"), "{answer}");
    replay.finish().await?; // fails if a request found no fixture
    Ok(())
}
