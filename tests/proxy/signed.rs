//! Users that Open WebUI signs: nobody is served another user's answer for a name in a header.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use crate::{
    proxy::chats::status,
    support::{
        app::{App, CHAT, MODEL, Setup, ask},
        client::Client,
        script::Script,
        sse::Answer,
        upstream::Upstream,
    },
};

const SECRET: &str = "the secret of FORWARD_USER_INFO_HEADER_JWT_SECRET";

async fn start(upstream: &Upstream) -> App {
    upstream.always(Script::sse(Answer::of(MODEL).text(&["Hello"]).stop("end_turn")));
    Setup::of(upstream).set("REPRISE_USER_JWT_SECRET", SECRET).start().await
}

/// As Open WebUI mints it (`open_webui/utils/headers.py`).
fn token(user: &str, secret: &str, expires_in: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time since 1970").as_secs();
    let now = i64::try_from(now).expect("a time before the end of the sun");
    let claims = json!({
        "sub": user, "email": "a@example.com", "name": "Ann", "role": "user",
        "iss": "open-webui", "iat": now, "exp": now + expires_in,
    });
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).expect("a token")
}

async fn how(client: Client) -> String {
    let reply = client.post(CHAT, &ask("hi")).await;
    let how = status(&reply);
    reply.text().await;
    how
}

#[tokio::test]
async fn the_signed_user_counts_and_a_name_alone_is_nobody_else() {
    let upstream = Upstream::start().await;
    let app = start(&upstream).await;
    let signed = |user: &str, chat: &str| {
        let token = token(user, SECRET, 300);
        app.client().header("x-openwebui-user-jwt", &token).header("x-openwebui-chat-id", chat)
    };
    let unsigned = |user: &str, chat: &str| {
        app.client().header("x-owui-user", user).header("x-openwebui-chat-id", chat)
    };
    assert_eq!(how(signed("ann", "c1")).await, "fwd=miss; stored");
    assert_eq!(how(signed("ann", "c2").header("x-owui-user", "bob")).await, "hit");
    assert_eq!(how(signed("bob", "c3")).await, "fwd=miss; stored");
    assert_eq!(
        how(unsigned("ann", "c4")).await,
        "fwd=miss; stored",
        "who only says that she is Ann"
    );
    assert_eq!(how(unsigned("ann", "c5")).await, "hit", "has answers of her own");
}

#[tokio::test]
async fn a_user_that_is_only_claimed_has_no_share_in_the_books_of_the_user() {
    let upstream = Upstream::start().await;
    upstream.always(Script::sse(Answer::of(MODEL).text(&["Hello"]).stop("end_turn")));
    let setup = Setup::of(&upstream).set("REPRISE_USER_JWT_SECRET", SECRET);
    let file = setup.folder().join("reprise.toml");
    let budget = "[[budget]]\nuser = \"ann\"\nlimit = 0.00001\nper = \"day\"\n";
    std::fs::write(&file, budget).expect("a file");
    let setup = setup.set("REPRISE_CONFIG", file.to_str().expect("a path"));
    let app = setup.start().await;
    let claims = || app.client().header("x-owui-user", "ann");
    for chat in ["c1", "c2"] {
        let reply = claims().header("x-openwebui-chat-id", chat).post(CHAT, &ask(chat)).await;
        assert_eq!(reply.status.as_u16(), 200, "Ann's budget is not hers who says that she is Ann");
        reply.text().await;
    }
    let named = json!({ "model": MODEL, "user": "ann", "messages": [{ "role": "user", "content": "body" }] });
    assert_eq!(app.client().post(CHAT, &named).await.status.as_u16(), 200);
    let signed = token("ann", SECRET, 300);
    let signed = app.client().header("x-openwebui-user-jwt", &signed).header("x-owui-chat", "c3");
    assert_eq!(signed.post(CHAT, &ask("c3")).await.status.as_u16(), 429, "it has no room");
    let ledger = app.stop().await;
    let users =
        ledger.rows::<(String,)>("select coalesce(user_id, '') from call order by seq").await;
    let users: Vec<String> = users.into_iter().map(|(user,)| user).collect();
    assert_eq!(users, ["unverified", "unverified", "unverified", "ann"]);

    let app = setup.set("REPRISE_REQUIRE_SIGNED_USERS", "true").start().await;
    let reply = app.client().header("x-owui-user", "ann").post(CHAT, &ask("hi")).await;
    assert_eq!(reply.status.as_u16(), 401);
    let error = reply.json().await["error"].clone();
    assert_eq!(error["code"], "invalid_user_signature");
    assert!(error["message"].as_str().is_some_and(|it| it.contains("--require-signed-users")));
}

#[tokio::test]
async fn a_signature_that_is_wrong_or_old_is_told() {
    let upstream = Upstream::start().await;
    let app = start(&upstream).await;
    for wrong in [
        token("ann", "another secret", 300),
        token("ann", SECRET, -300),
        token("ann", SECRET, 300).replacen('.', ".x", 1),
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.".to_owned(),
        "nonsense".to_owned(),
    ] {
        let reply =
            app.client().header("x-openwebui-user-jwt", &wrong).post(CHAT, &ask("hi")).await;
        assert_eq!(reply.status.as_u16(), 401, "{wrong}");
        let error = reply.json().await["error"].clone();
        assert_eq!(error["code"], "invalid_user_signature");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("--user-jwt-secret") && !message.contains(SECRET), "{message}");
    }
    assert_eq!(upstream.requests().len(), 0);
}
