//! The cost of a session with another model: that of the commands, and its place in the address.

use serde_json::json;

use super::{
    browser::sound,
    data::{get, told},
    guard::page,
    sessions::{chats, recorded, says, user},
};
use crate::{fixtures::recorded::asks, support::browser::Browser};

const OPUS: &str = "claude-opus-5-5";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cost_with_another_model_is_that_of_the_commands() {
    let calls = [
        asks(json!([user("Hi")]), says("Hello")).chat("whole"),
        asks(json!([user("A long story")]), says("Once upon a time")).chat("cut").cut(3),
    ];
    let (setup, app) = recorded(&calls).await;
    let stats = told(&setup, &["stats", "--what-if", OPUS, "--by", "chat", "--json"]).await;
    let groups = stats["groups"].as_array().expect("groups");
    for (chat, at_least) in [("whole", 0), ("cut", 1)] {
        let path = format!("/page/sessions/{chat}/what-if?model={OPUS}");
        let what_if = get(&app, &path).await;
        let group = groups.iter().find(|group| group["of"]["chat"] == chat).expect("a group");
        for field in ["calls", "cost", "repriced", "difference", "unexplained"] {
            assert_eq!(what_if[field], group[field], "{chat} {field}");
        }
        assert_eq!(what_if["repriced"]["at_least"], json!(at_least), "{what_if}");
        assert!(what_if["difference"]["nano_dollars"] != json!(0), "{what_if}");
        assert_eq!(what_if["is_estimate"], true);
        let shown = told(&setup, &["sessions", "show", chat, "--what-if", OPUS, "--json"]).await;
        assert_eq!(what_if, shown["what_if"]);
    }
    let unknown = page(&app).get("/page/sessions/whole/what-if?model=claude-opsu-5-5").await;
    assert_eq!(unknown.status, 400);
    let message = unknown.json().await["error"]["message"].clone();
    assert_eq!(message, "no price is known for claude-opsu-5-5; did you mean claude-opus-5-5?");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_chooses_a_model_and_the_address_has_it() {
    const COST: &str =
        "document.querySelector('.what-if-cost')?.textContent.includes('instead of')";
    let Some(mut browser) = Browser::start().await else { return };
    let (_, app) = recorded(&chats()).await;
    browser.look(1280, "light").await;
    browser.open(&format!("{}/#/sessions/chat%2F1?turn=2", app.url())).await;
    let choose = format!(
        "{{ const menu = document.querySelector('.what-if select'); menu.value = '{OPUS}'; \
         menu.dispatchEvent(new Event('change')); }}"
    );
    browser.eval(&choose).await;
    browser.until(COST).await;
    let address = format!("#/sessions/chat%2F1?turn=2&what_if={OPUS}");
    assert_eq!(browser.eval("location.hash").await, json!(address));
    // A branch goes into the same address.
    browser.click("[data-turn='1'] .branch button:not([disabled])").await;
    let address = format!("#/sessions/chat%2F1?turn=3&what_if={OPUS}");
    assert_eq!(browser.eval("location.hash").await, json!(address));
    browser.open(&format!("{}/{address}", app.url())).await;
    browser.until(COST).await;
    sound(&mut browser, "what-if").await;
    browser.open(&format!("{}/#/sessions/chat%2F1?what_if=claude-none", app.url())).await;
    browser.until("document.querySelector('.what-if .problem')?.textContent.startsWith('no price is known')").await;
}
