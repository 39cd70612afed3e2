//! Deleting what was said: by whom, what goes, and what a person does for it.

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    browser::sound,
    data::{get, told},
    guard::{cookie, log_in, nothing, page},
    sessions::{chats, recorded, says, user},
    setup,
};
use crate::{
    fixtures::recorded::{Call, asks, record},
    support::{
        app::{App, Setup},
        binary::Binary,
        browser::Browser,
    },
};

const DELETION: &str = "/page/deletion";

fn of_session(id: &str, totals: bool, dry_run: bool) -> Value {
    json!({ "of": { "session": id }, "totals": totals, "dry_run": dry_run })
}

async fn deleted(app: &App, deletion: &Value) -> Value {
    let reply = page(app).post(DELETION, deletion).await;
    assert_eq!(reply.status, StatusCode::OK, "{deletion}");
    reply.json().await
}

async fn ids(app: &App) -> Vec<String> {
    let list = get(app, "/page/sessions").await;
    let sessions = list["sessions"].as_array().expect("sessions");
    sessions.iter().map(|one| one["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_loses_what_was_said_and_keeps_its_costs_or_goes_whole() {
    let (setup, app) = recorded(&chats()).await;
    let before = get(&app, "/page/stats").await["total"].clone();
    let preview = deleted(&app, &of_session("chat/1", false, true)).await;
    let by_command = told(&setup, &["prune", "--chat", "chat/1", "--dry-run", "--json"]).await;
    assert_eq!(preview["bodies"], by_command["bodies"]);
    assert_eq!((&preview["dry_run"], &preview["kept"]), (&json!(true), &by_command["kept"]));
    assert_eq!(preview["requests"], json!(6));
    let session = get(&app, "/page/sessions/chat%2F1").await;
    assert_eq!(session["turns"][0]["request_is_kept"], true, "a dry run deletes nothing");

    let report = deleted(&app, &of_session("chat/1", false, false)).await;
    assert_eq!((&report["dry_run"], &report["bodies"]), (&json!(false), &preview["bodies"]));
    let session = get(&app, "/page/sessions/chat%2F1").await;
    for turn in session["turns"].as_array().expect("turns") {
        assert_eq!((&turn["question"], &turn["answer"]), (&json!(null), &json!(null)));
    }
    assert_eq!(get(&app, "/page/stats").await["total"]["cost"], before["cost"]);
    let other = get(&app, "/page/sessions/chat%202").await;
    assert_eq!(other["turns"][0]["answer"], "A zebra.");

    let preview = deleted(&app, &of_session("chat/1", true, true)).await;
    assert_eq!((&preview["calls"], &preview["exchanges"]), (&json!(6), &json!(6)));
    deleted(&app, &of_session("chat/1", true, false)).await;
    assert_eq!(ids(&app).await, ["chat 2"]);
    assert_eq!(get(&app, "/page/stats").await["total"]["calls"], json!(1));
    let gone = page(&app).post(DELETION, &of_session("chat/1", true, false)).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_without_a_chat_is_deleted_alone() {
    let question = |text: &str| asks(json!([user(text)]), says("Yes."));
    let answered = json!({"role": "assistant", "content": "Yes."});
    let goes_on = asks(json!([user("One"), answered, user("More")]), says("No."));
    let calls: Vec<Call> = vec![question("One"), question("Two"), goes_on];
    let (_, app) = recorded(&calls).await;
    let list = ids(&app).await;
    let [one, two] = &*list else { panic!("two sessions: {list:?}") };
    let session = get(&app, &format!("/page/sessions/{one}")).await;
    assert_eq!(session["turns"].as_array().map(Vec::len), Some(2));
    let report = deleted(&app, &of_session(one, true, false)).await;
    assert_eq!((&report["calls"], &report["kept"]["calls"]), (&json!(2), &json!(0)));
    assert_eq!(ids(&app).await, std::slice::from_ref(two));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_is_deleted_and_no_other() {
    let (setup, app) = recorded(&chats()).await;
    let of = |dry_run: bool| json!({ "of": { "user": "u1" }, "totals": true, "dry_run": dry_run });
    let preview = deleted(&app, &of(true)).await;
    let arguments = ["prune", "--user", "u1", "--keep-totals", "0", "--dry-run", "--json"];
    let by_command = told(&setup, &arguments).await;
    assert_eq!(preview["calls"], by_command["calls"]);
    let report = deleted(&app, &of(false)).await;
    assert_eq!((&report["calls"], &report["exchanges"]), (&json!(6), &json!(6)));
    assert_eq!(ids(&app).await, ["chat 2"]);
    let odd = page(&app).post(DELETION, &json!({ "of": { "user": "u2" }, "totals": true })).await;
    assert_eq!(odd.status, StatusCode::BAD_REQUEST, "it must say whether it is a dry run");
    assert_eq!(ids(&app).await, ["chat 2"]);
}

#[tokio::test]
async fn who_may_not_prune_deletes_nothing_and_counts_nothing() {
    let keyed = |variables: &[(&'static str, &str)]| {
        let setup = setup(tempfile::tempdir().expect("a folder"));
        variables.iter().fold(setup, |setup, (name, value)| setup.set(name, value))
    };
    let app = keyed(&[("REPRISE_API_KEY", "key-of-clients")]).start().await;
    let session =
        page(&app).header("cookie", &cookie(&log_in(&page(&app), "key-of-clients").await));
    assert_eq!(session.get("/page/stats").await.status, StatusCode::OK);
    assert_eq!(session.get("/page/setup").await.json().await["may_delete"], false);
    let owner = page(&app).bearer("key-of-clients").header("x-reprise-owner", "another");
    for (client, code) in [
        (&session, "not_an_operator"),
        (&page(&app).bearer("key-of-clients"), "not_an_operator"),
        (&page(&app), "not_signed_in"),
        (&owner, "another_ledger"),
    ] {
        for dry_run in [true, false] {
            let reply = client.post(DELETION, &of_session("x", true, dry_run)).await;
            assert_eq!(reply.json().await["error"]["code"], code, "{dry_run}");
        }
    }
    let setup =
        keyed(&[("REPRISE_API_KEY", "key-of-clients"), ("REPRISE_ADMIN_KEY", "key-of-admins")]);
    let app = setup.start().await;
    let session = page(&app).header("cookie", &cookie(&log_in(&page(&app), "key-of-admins").await));
    assert_eq!(session.get("/page/setup").await.json().await["may_delete"], true);
    let reply = session.post(DELETION, &nothing()).await;
    assert_eq!(reply.json().await["error"]["code"], "unknown_session");
    let by_client = page(&app).bearer("key-of-clients").post(DELETION, &nothing()).await;
    assert_eq!(by_client.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_says_who_deleted_what_by_its_id() {
    let setup: Setup = setup(tempfile::tempdir().expect("a folder"));
    let ledger = setup.start().await.stop().await;
    record(&ledger.url(), &chats()).await;
    let mut program = Binary::start(&setup).await;
    let client = program.client().header("sec-fetch-site", "same-origin");
    assert_eq!(client.post(DELETION, &of_session("chat 2", false, true)).await.status, 200);
    assert_eq!(client.post(DELETION, &of_session("chat 2", false, false)).await.status, 200);
    program.signal("TERM");
    assert!(program.ended().await.success());
    let log = std::fs::read_to_string(setup.folder().join("log")).expect("a log");
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("by the page")).collect();
    assert_eq!(lines.len(), 2, "{log}");
    let [before, after] = [lines[0], lines[1]];
    for part in ["chat 2", "an operator", "127.0.0.1"] {
        assert!(before.contains(part), "{before}");
    }
    assert!(after.contains("\"bodies\":1"), "{after}");
    assert!(!log.contains("zebra") && !log.contains("Something else"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_types_a_word_before_anything_is_deleted() {
    const FORM: &str = "!!document.querySelector('.deletion')";
    const COUNTED: &str = "document.querySelector('.deletion [role=status]').textContent.includes('This would delete')";
    const SURE: &str = "document.querySelector('.deletion .danger').disabled";
    let Some(mut browser) = Browser::start().await else { return };
    let (_, app) = recorded(&chats()).await;
    for (name, hash) in
        [("delete-session", "#/sessions/chat%2F1"), ("delete-user", "#/sessions?since=&user=u1")]
    {
        browser.open(&format!("{}/{hash}", app.url())).await;
        browser.eval("[...document.querySelectorAll('summary')].find((one) => one.textContent.startsWith('Delete')).click()").await;
        browser.until(FORM).await;
        browser.until(COUNTED).await;
        sound(&mut browser, name).await;
    }
    browser.open(&format!("{}/#/sessions/chat%2F1", app.url())).await;
    browser.eval("[...document.querySelectorAll('summary')].find((one) => one.textContent === 'Delete this session').click()").await;
    browser.until(FORM).await;
    browser.until(COUNTED).await;
    assert_eq!(browser.eval(SURE).await, json!(true));
    browser.eval("document.querySelectorAll('.deletion [type=radio]')[1].click()").await;
    browser.until("document.querySelector('.deletion [role=status]').textContent.includes('with their costs')").await;
    browser.eval("document.querySelector('.deletion [type=text]').focus()").await;
    browser.write("del").await;
    assert_eq!(browser.eval(SURE).await, json!(true), "the word is not whole");
    browser.write("ete").await;
    assert_eq!(browser.eval(SURE).await, json!(false));
    assert_eq!(ids(&app).await.len(), 2);
    browser.click(".deletion .danger").await;
    browser.until("!document.querySelector('.deletion')").await;
    browser.until("document.activeElement.textContent.startsWith('Deleted')").await;
    sound(&mut browser, "deleted-session").await;
    assert_eq!(ids(&app).await, ["chat 2"]);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
