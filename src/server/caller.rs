//! Who asks, read from the headers of a request.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use http::{HeaderMap, HeaderName, header};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{auth::Credentials, error::Rejection};
use crate::{
    answer::Asker,
    config::IdHeaders,
    domain::cache::{Directives, Vouched, bounded},
};

/// Where Open WebUI puts the user that it signs (`reference/open-webui.md` §3).
const USER_JWT: &str = "x-openwebui-user-jwt";
/// Which fixtures may answer, in a replay.
pub(super) const SCENARIO: &str = "x-reprise-scenario";
/// How far Open WebUI's clock may be off, in seconds.
const LEEWAY: u64 = 60;

/// How callers say who they are.
pub(super) struct Callers {
    headers: IdHeaders,
    /// What users are signed with; `None`: they are not.
    signed: Option<(DecodingKey, Validation)>,
    /// Whether it was said that they are signed all the same.
    told: AtomicBool,
}

impl std::fmt::Debug for Callers {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callers").field("headers", &self.headers).finish_non_exhaustive()
    }
}

/// What is asked of Open WebUI's token.
#[derive(Deserialize)]
struct Claims {
    sub: String,
}

impl Callers {
    /// They say it in these headers; `secret` is what Open WebUI signs its users with.
    pub(super) fn new(headers: IdHeaders, secret: Option<&SecretString>) -> Self {
        let signed = secret.map(|secret| {
            let mut validation = Validation::new(Algorithm::HS256);
            validation.set_issuer(&["open-webui"]);
            validation.set_required_spec_claims(&["exp", "iss", "sub"]);
            validation.leeway = LEEWAY;
            (DecodingKey::from_secret(secret.expose_secret().as_bytes()), validation)
        });
        Self { headers, signed, told: AtomicBool::new(false) }
    }

    /// Reads who asks. The ids are those of the connection's header box (Open WebUI fills in `{{CHAT_ID}}` and the
    /// like, `reference/open-webui.md` §3) and of its user-info setting; ids that it could not fill in arrive empty.
    pub(super) fn asker(
        &self,
        headers: &HeaderMap,
        credentials: Credentials,
    ) -> Result<Asker, Rejection> {
        let Credentials { holder, anthropic } = credentials;
        let key = anthropic.ok_or(Rejection::NoAnthropicKey)?;
        let IdHeaders { task, chat, message, user_message, user: _ } = &self.headers;
        let (user, vouched) = self.user(headers)?;
        let agent = id(headers, &[header::USER_AGENT]);
        let open_webui = self.names_open_webui(headers)
            || agent.as_deref().is_some_and(|agent| agent.contains("aiohttp/"));
        Ok(Asker {
            key,
            holder,
            client: if open_webui { Some("open-webui".to_owned()) } else { agent },
            open_webui,
            user,
            vouched,
            chat: id(headers, chat),
            message: id(headers, message),
            user_message: id(headers, user_message),
            task: id(headers, task),
            directives: directives(headers),
            scenario: id(headers, &[HeaderName::from_static(SCENARIO)]),
        })
    }

    /// The user, and whether somebody vouches for the name: a signature, where the operator asks for signatures.
    fn user(&self, headers: &HeaderMap) -> Result<(Option<String>, Vouched), Rejection> {
        let stated = id(headers, &self.headers.user);
        let Some((secret, validation)) = &self.signed else {
            if stated.is_none() && headers.contains_key(USER_JWT) && !self.told.swap(true, Relaxed)
            {
                tracing::warn!(
                    "Open WebUI signs its users, and Reprise cannot read that: without users no answer is repeated in \
                     another chat; give its FORWARD_USER_INFO_HEADER_JWT_SECRET as --user-jwt-secret or \
                     REPRISE_USER_JWT_SECRET"
                );
            }
            return Ok((stated, Vouched::Yes));
        };
        let Some(token) = headers.get(USER_JWT) else { return Ok((stated, Vouched::No)) };
        let claims = jsonwebtoken::decode::<Claims>(token.as_bytes(), secret, validation);
        let claims = claims.map_err(|_| Rejection::UserNotSigned)?.claims;
        Ok((Some(bounded(&claims.sub)), Vouched::Yes))
    }

    fn names_open_webui(&self, headers: &HeaderMap) -> bool {
        let IdHeaders { task, chat, message, user_message, user } = &self.headers;
        let mut named = [task, chat, message, user_message, user].into_iter().flatten();
        named.any(|name| headers.contains_key(name))
            || headers.keys().any(|name| name.as_str().starts_with("x-openwebui-"))
    }
}

fn directives(headers: &HeaderMap) -> Directives {
    let values =
        headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    Directives::parse(&values.collect::<Vec<_>>().join(","))
}

/// The first of the headers that says something.
fn id(headers: &HeaderMap, names: &[HeaderName]) -> Option<String> {
    let values = names.iter().filter_map(|name| headers.get(name));
    // Ids need not be plain text: dropping one would put its user among those who state none.
    let texts = values.map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned());
    texts.map(|text| bounded(&text)).find(|text| !text.is_empty())
}
