//! Names of users: kept beside the ids that Open WebUI states, shown to the operator, and to nobody else.

use std::{fs, process::Output};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::support::{
    app::{App, CHAT, MODEL, Setup, ask_whole},
    binary::{Binary, command},
    client::Client,
    script::Script,
    sse::Answer,
    upstream::Upstream,
};

const SECRET: &str = "the secret of FORWARD_USER_INFO_HEADER_JWT_SECRET";

async fn upstream() -> Upstream {
    let upstream = Upstream::start().await;
    upstream.always(Script::sse(Answer::of(MODEL).text(&["Hello"]).stop("end_turn")));
    upstream
}

async fn asks(client: Client, text: &str) {
    let reply = client.post(CHAT, &ask_whole(text)).await;
    assert_eq!(reply.status.as_u16(), 200, "{}", reply.text().await);
}

/// The rows of names, after the end of the server.
async fn names(app: App) -> Vec<(String, Option<String>, Option<String>)> {
    app.stop().await.rows("select id, name, email from user_name order by id").await
}

fn row(id: &str, name: &str, email: &str) -> (String, Option<String>, Option<String>) {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    (id.to_owned(), text(name), text(email))
}

fn token(claims: &Value) -> String {
    let mut all = json!({ "iss": "open-webui", "exp": 4_000_000_000_u32 });
    let more = claims.as_object().expect("an object").clone();
    all.as_object_mut().expect("an object").extend(more);
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &all, &key).expect("a token")
}

/// Runs a command on the ledger of a server that has ended.
async fn run(setup: &Setup, arguments: &[&str]) -> Output {
    let mut command = command(setup);
    command.args(arguments);
    tokio::task::spawn_blocking(move || command.output().expect("the program"))
        .await
        .expect("its output")
}

async fn told(setup: &Setup, arguments: &[&str]) -> String {
    let output = run(setup, arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test]
async fn names_are_those_that_the_headers_state_last() {
    let upstream = upstream().await;
    let app = App::start(&upstream).await;
    let user = |id: &str| app.client().header("x-owui-user", id);
    // Open WebUI's own headers, and those of the header box.
    let jorg = user("u1").header("x-openwebui-user-name", "J%C3%B6rg");
    asks(jorg.header("x-openwebui-user-email", "joerg@example.com"), "1").await;
    let box_of = user("u2").header("x-owui-user-name", "Ann Lee");
    asks(box_of.header("x-owui-user-email", "ann@example.com"), "2").await;
    // She marries; a call that does not state the mail changes nothing about it.
    asks(user("u2").header("x-owui-user-name", "Ann Ray").header("x-owui-user-email", ""), "3")
        .await;
    asks(user("u3").header("x-owui-user-name", "{{USER_NAME}}"), "4").await;
    asks(
        user("u4").header("x-owui-user-name", "%0A%1B[31m%FF").header("x-owui-user-email", " "),
        "5",
    )
    .await;
    asks(user("u5").header("x-owui-user-name", "%0AEve%1B[31m"), "6").await;
    asks(app.client().header("x-owui-user-name", "No Id"), "7").await;
    let expected = [
        row("u1", "Jörg", "joerg@example.com"),
        row("u2", "Ann Ray", "ann@example.com"),
        row("u5", "Eve[31m", ""),
    ];
    assert_eq!(names(app).await, expected);
}

#[tokio::test]
async fn only_a_signature_names_a_user_where_users_are_signed() {
    let upstream = upstream().await;
    let setup = Setup::of(&upstream).set("REPRISE_USER_JWT_SECRET", SECRET);
    let app = setup.start().await;
    let signed = |claims: &Value| app.client().header("x-openwebui-user-jwt", &token(claims));
    let ann = json!({ "sub": "ann", "name": "Ann", "email": "ann@example.com" });
    asks(signed(&ann).header("x-owui-user-name", "Somebody else"), "1").await;
    // A claim of another type is no name, and no reason to refuse.
    asks(signed(&json!({ "sub": "bob", "name": 7, "email": null })), "2").await;
    asks(signed(&json!({ "sub": "eve" })), "3").await;
    let claimed = app.client().header("x-owui-user", "ann").header("x-owui-user-name", "Mallory");
    asks(claimed, "4").await;
    assert_eq!(names(app).await, [row("ann", "Ann", "ann@example.com")]);
}

#[tokio::test]
async fn no_name_is_kept_of_whom_the_operator_wants_none() {
    let upstream = upstream().await;
    let call = |app: &App, user: &str| {
        app.client().header("x-owui-user", user).header("x-owui-user-name", "Ann")
    };
    let setup = Setup::of(&upstream).set("REPRISE_NO_STORE_USERS", "u2");
    let app = setup.start().await;
    asks(call(&app, "u1"), "1").await;
    asks(call(&app, "u2"), "1").await;
    assert_eq!(names(app).await, [row("u1", "Ann", "")]);
    let app = setup.set("REPRISE_NO_USER_NAMES", "true").start().await;
    asks(call(&app, "u3"), "1").await;
    assert_eq!(names(app).await, [row("u1", "Ann", "")], "what is there stays");
}

#[tokio::test]
async fn reports_show_the_name_and_commands_take_it() {
    let upstream = upstream().await;
    let setup = Setup::of(&upstream);
    let file = setup.folder().join("reprise.toml");
    let budget = "[[budget]]\nuser = \"*\"\nlimit = 1\nper = \"month\"\n";
    fs::write(&file, budget).expect("a file");
    let setup = setup.set("REPRISE_CONFIG", file.to_str().expect("a path"));
    let app = setup.start().await;
    let users = [
        ("id-of-ann", "Ann", "ann@example.com"),
        ("id-of-bob", "Bob", "bob@example.com"),
        ("id-of-bob-2", "Bob", "bob@example.org"),
        // Who takes another's mail or id for a name is not found by it.
        ("id-of-eve", "ann@example.com", "eve@example.com"),
        ("id-of-mallory", "id-of-ann", "mallory@example.com"),
    ];
    for (id, name, email) in users {
        let client = app.client().header("x-owui-user", id).header("x-owui-user-name", name);
        asks(client.header("x-owui-user-email", email).header("x-owui-chat", id), id).await;
    }
    asks(app.client().header("x-owui-user", "unnamed"), "unnamed").await;
    app.stop().await;

    for report in [
        &["stats", "--by", "user"][..],
        &["stats", "--by", "user", "--markdown"],
        &["stats", "--by", "user", "--reprice"],
        &["budgets"],
        &["sessions", "list"],
    ] {
        let table = told(&setup, report).await;
        for shown in ["Ann", "Bob (bob@example.com)", "Bob (bob@example.org)", "unnamed"] {
            assert!(table.contains(shown), "{report:?} {shown}\n{table}");
        }
    }
    for (report, list, user) in [
        (&["stats", "--by", "user", "--json"][..], "groups", "/of/user"),
        (&["stats", "--by", "user", "--reprice", "--json"], "groups", "/of/user"),
        (&["budgets", "--json"], "budgets", "/user"),
        (&["sessions", "list", "--json"], "sessions", "/user"),
    ] {
        let json: Value = serde_json::from_str(&told(&setup, report).await).expect("JSON");
        let entries = json[list].as_array().expect("a list");
        let of = |id: &str| {
            entries.iter().find(|it| it.pointer(user) == Some(&json!(id))).expect("the user")
        };
        let beside = |id: &str, end: &str| of(id).pointer(&format!("{user}_{end}")).cloned();
        assert_eq!(beside("id-of-ann", "name"), Some(json!("Ann")), "{report:?}");
        assert_eq!(beside("id-of-ann", "email"), Some(json!("ann@example.com")), "{report:?}");
        assert_eq!(beside("unnamed", "name"), Some(Value::Null), "{report:?}");
    }
    let csv = told(&setup, &["stats", "--by", "user", "--csv"]).await;
    assert!(csv.starts_with("user,calls,") && csv.contains(",user_name,user_email\n"), "{csv}");
    assert!(
        csv.lines().any(|it| it.starts_with("id-of-ann,") && it.ends_with(",Ann,ann@example.com"))
    );

    for (user, id) in [
        ("id-of-ann", Some("id-of-ann")),
        ("ANN", Some("id-of-ann")),
        ("ann@example.com", Some("id-of-ann")),
        ("Bob@Example.Org", Some("id-of-bob-2")),
        ("unnamed", Some("unnamed")),
        ("nobody", None),
    ] {
        let lines = told(&setup, &["calls", "export", "--user", user]).await;
        let calls: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let users: Vec<_> = calls.iter().map(|call| call["user"].as_str()).collect();
        assert_eq!(users, id.map(Some).into_iter().collect::<Vec<_>>(), "{user}");
    }
    let shown = told(&setup, &["calls", "export", "--user", "Ann"]).await;
    assert!(shown.contains(r#""user_name":"Ann","user_email":"ann@example.com""#), "{shown}");
    for command in [&["calls", "export", "--user", "bob"][..], &["prune", "--user", "bob"]] {
        let refused = run(&setup, command).await;
        assert_eq!(refused.status.code(), Some(1), "{command:?}");
        let error = String::from_utf8_lossy(&refused.stderr);
        assert!(error.contains("id-of-bob, id-of-bob-2"), "{error}");
    }
}

#[tokio::test]
async fn a_name_goes_with_the_last_call_of_its_user() {
    let upstream = upstream().await;
    let setup = Setup::of(&upstream);
    let app = setup.start().await;
    let call = |app: &App, user: &str| {
        app.client()
            .header("x-owui-user", user)
            .header("x-owui-user-name", &format!("Name of {user}"))
    };
    for user in ["u1", "u2"] {
        asks(call(&app, user), user).await;
    }
    app.stop().await;
    let kept = || async {
        setup.ledger().column("select id from user_name").await.into_iter().collect::<Vec<_>>()
    };
    told(&setup, &["prune", "--user", "name of u1"]).await;
    assert_eq!(kept().await, ["u1", "u2"], "the totals stay, and the name with them");
    let all = ["prune", "--user", "Name of u1", "--keep-totals", "0", "--json"];
    let preview = told(&setup, &[&all[..], &["--dry-run"]].concat()).await;
    assert!(preview.contains("\"user_names\": 1"), "{preview}");
    assert_eq!(kept().await, ["u1", "u2"]);
    // The same by a server, which writes the name again with the next call.
    let app = setup.start().await;
    asks(call(&app, "u1"), "again").await;
    let port = app.url().rsplit(':').next().expect("a port").to_owned();
    let there = setup.clone().set("REPRISE_PORT", &port);
    let pruned = told(&there, &all).await;
    assert!(pruned.contains("\"user_names\": 1"), "{pruned}");
    assert_eq!(kept().await, ["u2"]);
    let bytes = setup.ledger().bytes().await;
    assert!(memchr::memmem::find(&bytes, b"Name of u1").is_none(), "it is overwritten");
    asks(call(&app, "u1"), "once more").await;
    app.stop().await;
    assert_eq!(kept().await, ["u1", "u2"]);
    told(&setup, &["prune", "--user", "u2", "--keep-totals", "0"]).await;
    assert_eq!(kept().await, ["u1"]);
}

#[tokio::test]
async fn no_name_stands_in_the_log_or_in_a_fixture() {
    let upstream = upstream().await;
    let setup = Setup::of(&upstream);
    let mut program = Binary::start(&setup).await;
    let client = program.client().header("x-owui-user", "u1").header("x-owui-chat", "c1");
    let client = client.header("x-owui-user-name", "Zebedee%20Quux");
    asks(client.header("x-owui-user-email", "zebedee@example.com"), "hi").await;
    program.signal("TERM");
    assert!(program.ended().await.success());
    let log = fs::read_to_string(setup.folder().join("log")).expect("a log");
    let into = setup.folder().join("exported");
    told(&setup, &["fixtures", "export", "--last", "1", "--into", into.to_str().expect("a path")])
        .await;
    let mut texts = vec![log];
    let mut folders = vec![into];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                texts.push(fs::read_to_string(path).expect("text"));
            }
        }
    }
    assert!(texts.len() > 1, "there is a fixture");
    for text in texts {
        let text = text.to_lowercase();
        assert!(!text.contains("zebedee") && !text.contains("quux"), "{text}");
    }
}
