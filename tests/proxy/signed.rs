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
