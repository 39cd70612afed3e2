//! Access to the page: with which key, from where, and from which origin.

use http::StatusCode;
use serde_json::{Value, json};
use tempfile::tempdir;

use super::setup;
use crate::support::{
    app::App,
    binary::Binary,
    client::{Client, Reply},
};

const DATA: [&str; 16] = [
    "/page/setup",
    "/page/stats",
    "/page/budgets",
    "/page/calls",
    "/page/live",
    "/page/live/x",
    "/page/sessions",
    "/page/calls/x",
    "/page/calls/x/requests",
    "/page/calls/x/attachments/x",
    "/page/sessions/x",
    "/page/sessions/x/what-if?model=claude-haiku-4-5",
    "/page/sessions/x/export",
    "/page/sessions/x/fixtures",
    "/page/users?named=ann",
    "/page/playback/x",
];

/// True for the paths of `DATA` that name something that is not there.
fn is_nowhere(path: &str) -> bool {
    path.contains("/x")
}

/// Endpoints that change something.
const STOP: &str = "/page/live/x/stop";
const DELETION: &str = "/page/deletion";

/// A deletion of what is not there.
pub(super) fn nothing() -> Value {
    json!({ "of": { "session": "x" }, "totals": true, "dry_run": false })
}

/// A browser that shows the page of this server.
pub(super) fn page(app: &App) -> Client {
    app.client().header("sec-fetch-site", "same-origin")
}

pub(super) async fn log_in(client: &Client, key: &str) -> Reply {
    client.post("/page/login", &json!({ "key": key })).await
}

/// The cookie of a session, as the browser sends it back.
pub(super) fn cookie(reply: &Reply) -> String {
    let cookie = reply.header("set-cookie").expect("a cookie");
    cookie.split(';').next().expect("a pair").to_owned()
}

async fn started(variables: &[(&'static str, &str)]) -> App {
    let setup = setup(tempdir().expect("a folder"));
    variables.iter().fold(setup, |setup, (name, value)| setup.set(name, value)).start().await
}

#[tokio::test]
async fn all_responses_of_the_page_are_locked_down() {
    let app = started(&[]).await;
    let document = app.client().get("/").await.text().await;
    let script = document.split("src=\"").nth(1).and_then(|rest| rest.split('"').next());
    let script = script.expect("a script").to_owned();
    for (path, status, caching) in [
        ("/", 200, "no-cache"),
        (&*script, 200, "public, max-age=31536000, immutable"),
        ("/page/assets/0000000000000000/app.js", 404, "no-store"),
        ("/page/session", 200, "no-store"),
        ("/page/stats", 200, "no-store"),
        ("/page/stats?since=soon", 400, "no-store"),
        ("/page/stats?by=colour", 400, "no-store"),
        ("/page/stats?unknown=1", 400, "no-store"),
        ("/page/calls?outcome=odd", 400, "no-store"),
        ("/page/calls/x", 404, "no-store"),
        ("/page/sessions?since=soon", 400, "no-store"),
        ("/page/sessions?after=odd", 400, "no-store"),
        ("/page/sessions/x", 404, "no-store"),
        ("/page/playback/x", 404, "no-store"),
        ("/page/calls/x/requests", 404, "no-store"),
        ("/page/calls/x/attachments/x", 404, "no-store"),
        ("/page/login", 405, "no-store"),
        ("/page/nothing", 404, "no-store"),
    ] {
        let reply = app.client().header("origin", app.url()).get(path).await;
        assert_eq!(reply.status, status, "{path}");
        let header = |name| reply.header(name).unwrap_or_else(|| panic!("{path} has no {name}"));
        assert_eq!(header("cache-control"), caching, "{path}");
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"));
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(header(name), value, "{path}");
        }
        assert_eq!(reply.header("access-control-allow-origin"), None, "{path}");
    }
}

#[tokio::test]
async fn files_are_packed_and_kept() {
    let app = started(&[]).await;
    let plain = app.client().get("/").await;
    let tag = plain.header("etag").expect("a tag").to_owned();
    assert_eq!(plain.header("content-encoding"), None);
    let text = plain.text().await;
    let packed = app.client().header("accept-encoding", "br, gzip").get("/").await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(packed.header("vary"), Some("accept-encoding"));
    let (body, _) = { packed }.rest().await;
    let mut unpacked = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*body), &mut unpacked)
        .expect("gzip");
    assert_eq!(unpacked, text);
    for (asked, status) in
        [(&*tag, 304), ("\"other\", *", 304), (&*format!("W/{tag}"), 304), ("\"other\"", 200)]
    {
        let reply = app.client().header("if-none-match", asked).get("/").await;
        assert_eq!(reply.status, status, "{asked}");
    }
}

#[tokio::test]
async fn without_a_key_only_this_machine_sees_the_page() {
    let app = started(&[]).await;
    let here = app.client();
    for path in DATA {
        let expected = if is_nowhere(path) { 404 } else { 200 };
        assert_eq!(page(&app).get(path).await.status, expected, "{path}");
        assert_eq!(here.get(path).await.status, expected, "{path}");
    }
    let proxied = here.clone().header("x-forwarded-for", "192.0.2.1");
    let refused = proxied.get("/").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(refused.text().await.contains("REPRISE_ADMIN_KEY"));
    for path in DATA.iter().chain(&["/page/session"]) {
        assert_eq!(proxied.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    let from_page = |client: &Client| client.clone().header("sec-fetch-site", "same-origin");
    assert_eq!(from_page(&here).post(STOP, &json!({})).await.status, 404);
    assert_eq!(from_page(&proxied).post(STOP, &json!({})).await.status, StatusCode::FORBIDDEN);
    assert_eq!(from_page(&here).post(DELETION, &nothing()).await.status, 404);
    assert_eq!(from_page(&proxied).post(DELETION, &nothing()).await.status, StatusCode::FORBIDDEN);
    // A page of another site whose name leads here.
    let request = "GET /page/stats HTTP/1.1\r\nhost: evil.example\r\n\r\n";
    assert_eq!(here.send_raw(request.as_bytes()).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn no_other_origin_reads_or_triggers_anything() {
    for variables in [&[][..], &[("REPRISE_ADMIN_KEY", "a")], &[("REPRISE_API_KEY", "k")]] {
        let app = started(variables).await;
        let signed_in = log_in(&page(&app), variables.first().map_or("", |(_, key)| key)).await;
        let session = match signed_in.status {
            StatusCode::NO_CONTENT => cookie(&signed_in),
            _ => "none=1".to_owned(),
        };
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.example"),
            // Another port of this machine has the same cookies.
            ("origin", "http://127.0.0.1:3000"),
            ("origin", "http://localhost:5173"),
            ("origin", "null"),
        ] {
            let foreign = app.client().header(name, value).header("cookie", &session);
            for path in DATA.iter().chain(&["/page/session"]) {
                let reply = foreign.get(path).await;
                assert_eq!(reply.status, StatusCode::FORBIDDEN, "{path} {value}");
                assert_eq!(reply.header("access-control-allow-origin"), None);
                assert_eq!(reply.json().await["error"]["code"], "foreign_page");
            }
            for path in ["/page/login", "/page/logout", STOP, DELETION] {
                let reply = foreign.post(path, &json!({ "key": "a" })).await;
                assert_eq!(reply.status, StatusCode::FORBIDDEN, "{path} {value}");
                assert_eq!(reply.header("set-cookie"), None);
            }
            let preflight = foreign.header("access-control-request-method", "GET");
            let reply = preflight.send("OPTIONS", "/page/stats", b"").await;
            assert_eq!(reply.header("access-control-allow-origin"), None);
        }
        // A request that does not say where it comes from changes nothing.
        let silent = app.client().header("cookie", &session);
        for path in ["/page/logout", STOP, DELETION] {
            let reply = silent.post(path, &nothing()).await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{path}");
        }
    }
}

#[tokio::test]
async fn with_an_admin_key_people_sign_in_from_anywhere() {
    let app = started(&[("REPRISE_ADMIN_KEY", "adm"), ("REPRISE_API_KEY", "k")]).await;
    let away = page(&app).header("x-forwarded-for", "192.0.2.1");
    // The document has no data.
    let document = away.get("/").await;
    assert_eq!(document.status, StatusCode::OK);
    assert_eq!(document.header("set-cookie"), None);
    let state = away.get("/page/session").await.json().await;
    assert_eq!((&state["signed_in"], &state["key"]), (&json!(false), &json!("admin")));
    for path in DATA {
        for client in [away.clone(), away.clone().bearer("k"), away.clone().bearer("adm2")] {
            let client = client.header("cookie", "reprise_session_1=; reprise_session_2=0");
            let reply = client.get(path).await;
            assert_eq!(reply.status, 401, "{path}");
            assert_eq!(client.post(STOP, &json!({})).await.status, 401);
            assert_eq!(client.post(DELETION, &nothing()).await.status, 401);
        }
    }
    for wrong in ["", "k", "admin", "ad"] {
        let reply = log_in(&away, wrong).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{wrong:?}");
        assert_eq!(reply.header("set-cookie"), None);
    }
    let reply = log_in(&away, "adm").await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT);
    let set = reply.header("set-cookie").expect("a cookie").to_owned();
    assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{set}");
    let by_https = app.client().header("origin", &app.url().replace("http", "https"));
    let set_by_https = log_in(&by_https, "adm").await;
    assert!(set_by_https.header("set-cookie").expect("a cookie").ends_with("; Secure"));
    let session = away.header("cookie", &format!("a=b; {}", cookie(&reply)));
    assert_eq!(session.get("/page/session").await.json().await["signed_in"], true);
    assert_eq!(session.get("/page/stats").await.status, StatusCode::OK);
    // Programs may send the key with each request.
    assert_eq!(app.client().bearer("adm").get("/page/stats").await.status, StatusCode::OK);
    let left = session.post("/page/logout", &json!({})).await;
    assert!(left.header("set-cookie").expect("a cookie").contains("Max-Age=0"));
    assert_eq!(session.get("/page/stats").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(session.get("/page/session").await.json().await["signed_in"], false);
}

#[tokio::test]
async fn with_client_keys_only_their_holders_on_this_machine_sign_in() {
    let app = started(&[("REPRISE_API_KEY", "k")]).await;
    let here = page(&app);
    assert_eq!(here.get("/page/stats").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(here.get("/page/session").await.json().await["key"], "client");
    let away = here.clone().header("x-forwarded-for", "192.0.2.1");
    assert_eq!(log_in(&away, "k").await.status, StatusCode::FORBIDDEN);
    let reply = log_in(&here, "k").await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT);
    let session = cookie(&reply);
    assert_eq!(here.header("cookie", &session).get("/page/stats").await.status, StatusCode::OK);
    let stolen = away.header("cookie", &session);
    assert_eq!(stolen.get("/page/stats").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn wrong_keys_are_limited_and_then_the_right_one_is_not_looked_at_either() {
    let app = started(&[("REPRISE_ADMIN_KEY", "adm")]).await;
    let mut refused = 0;
    let last = loop {
        let reply = log_in(&page(&app), "guess").await;
        if reply.status != StatusCode::UNAUTHORIZED {
            break reply;
        }
        refused += 1;
    };
    assert_eq!((refused, last.status), (10, StatusCode::TOO_MANY_REQUESTS));
    let seconds: u64 = last.header("retry-after").expect("a time").parse().expect("seconds");
    assert!((1..=60).contains(&seconds));
    assert_eq!(log_in(&page(&app), "adm").await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_session_ends_with_its_key_and_the_log_says_who_looked() {
    let folder = tempdir().expect("a folder");
    let file = folder.path().join("reprise.toml");
    std::fs::write(&file, "admin_key = \"one\"\n").expect("a settings file");
    let setup = setup(folder).set("REPRISE_CONFIG", file.to_str().expect("a path"));
    let mut program = Binary::start(&setup).await;
    let client = program.client().header("sec-fetch-site", "same-origin");
    log_in(&client, "wrong-key").await;
    let session = client.clone().header("cookie", &cookie(&log_in(&client, "one").await));
    for _ in 0..3 {
        assert_eq!(session.get("/page/stats").await.status, StatusCode::OK);
    }
    std::fs::write(&file, "admin_key = \"two\"\n").expect("a settings file");
    let reloaded = client.clone().bearer("one").post("/reload", &json!({})).await;
    assert_eq!(reloaded.status, StatusCode::OK);
    assert_eq!(session.get("/page/stats").await.status, StatusCode::UNAUTHORIZED);
    program.signal("TERM");
    assert!(program.ended().await.success());
    let log = std::fs::read_to_string(setup.folder().join("log")).expect("a log");
    let told = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!(told("somebody signed in to the page"), 1, "{log}");
    assert_eq!(told("somebody tried to sign in to the page with a wrong key"), 1, "{log}");
    assert!(!log.contains("wrong-key"), "{log}");
}

#[tokio::test]
async fn a_page_that_is_open_to_this_machine_is_told_once() {
    let folder = tempdir().expect("a folder");
    let setup = setup(folder);
    let mut program = Binary::start(&setup).await;
    let first = program.client().get("/").await;
    let again = program.client().header("cookie", &cookie(&first));
    assert_eq!(again.get("/").await.header("set-cookie"), None);
    again.get("/page/stats").await;
    program.signal("TERM");
    assert!(program.ended().await.success());
    let log = std::fs::read_to_string(setup.folder().join("log")).expect("a log");
    assert_eq!(log.matches("the page was opened").count(), 1, "{log}");
}
