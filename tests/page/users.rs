//! Users by their names: the filter of the list of sessions takes an id, a mail or a name.

use reprise::domain::{exchange::UnixMillis, user_name::UserName};
use serde_json::{Value, json};

use super::{
    browser::sound,
    data::{get, told},
    guard::page,
    sessions::{says, user},
    setup,
};
use crate::{
    fixtures::recorded::{asks, record},
    stats::books::Books,
    support::{
        app::{App, Setup},
        browser::Browser,
    },
};

/// A server over sessions of three users, two of whom have the same name.
async fn named() -> (Setup, App) {
    let books = Books::open().await;
    for (id, name, mail) in [
        ("u1", "Ann Lee", "ann@example.com"),
        ("u2", "Bob", "b2@example.com"),
        ("u3", "bob", "b3@example.com"),
    ] {
        let name = UserName::of(Some(name), Some(mail)).expect("a name");
        books.ledger.name_user(id, &name, UnixMillis(1));
    }
    let setup = setup(books.close().await);
    let asked =
        |text: &str, user_id: &'static str| asks(json!([user(text)]), says("Yes.")).user(user_id);
    let calls = [asked("One", "u1"), asked("Two", "u2"), asked("Three", "u3"), asked("Four", "u1")];
    record(&setup.ledger().url(), &calls).await;
    let app = setup.start().await;
    (setup, app)
}

fn titles(list: &Value) -> Vec<&str> {
    let sessions = list["sessions"].as_array().expect("sessions");
    sessions.iter().map(|session| session["title"].as_str().expect("a title")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_a_mail_or_a_name_selects_the_sessions_of_a_user() {
    let (setup, app) = named().await;
    for (given, expected) in [
        ("u1", &["Four", "One"][..]),
        ("ann%20lee", &["Four", "One"]),
        ("ANN@example.com", &["Four", "One"]),
        ("b3@example.com", &["Three"]),
        ("u2", &["Two"]),
        ("nobody", &[]),
    ] {
        let list = get(&app, &format!("/page/sessions?user={given}")).await;
        assert_eq!(titles(&list), expected, "{given}");
    }
    let by_command = told(&setup, &["sessions", "list", "--user", "Ann Lee", "--json"]).await;
    assert_eq!(get(&app, "/page/sessions?user=Ann+Lee").await, by_command);
    let ambiguous = page(&app).get("/page/sessions?user=bob").await;
    assert_eq!(ambiguous.status, 400);
    let error = ambiguous.json().await["error"].clone();
    assert_eq!(error["code"], "ambiguous_user");
    assert_eq!(error["message"], "2 users have this name; give the id of one: u2, u3");
    let users = get(&app, "/page/users?named=bob").await;
    let ids: Vec<_> =
        users["users"].as_array().expect("users").iter().map(|one| &one["user"]).collect();
    assert_eq!(ids, ["u2", "u3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_types_a_name_and_chooses_among_namesakes() {
    let Some(mut browser) = Browser::start().await else { return };
    let (_, app) = named().await;
    browser.look(1280, "light").await;
    browser.open(&format!("{}/#/sessions?since=", app.url())).await;
    browser.eval("document.querySelector('.search [name=user]').focus()").await;
    browser.write("Bob").await;
    browser.click(".search button").await;
    browser.until("location.hash === '#/sessions?since=&user=Bob'").await;
    browser.settled().await;
    browser.until("document.querySelectorAll('.notice a').length === 2").await;
    sound(&mut browser, "namesakes").await;
    let complaints = browser.complaints().into_iter().filter(|told| !told.contains("400"));
    assert_eq!(complaints.collect::<Vec<_>>(), Vec::<String>::new());
    browser.click(".notice a").await;
    browser.until("location.hash === '#/sessions?since=&user=u2'").await;
    browser.settled().await;
    assert_eq!(browser.eval("document.querySelectorAll('tbody tr').length").await, json!(1));
    assert_eq!(
        browser.eval("document.querySelector('.chips li').textContent").await,
        json!("User: Bob ×")
    );
}
