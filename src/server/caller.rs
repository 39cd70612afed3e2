//! Who asks, read from the headers of a request.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{auth::Credentials, error::Rejection};
use crate::{
    answer::Access,
    config::IdHeaders,
    domain::{
        cache::{Directives, Vouched, bounded},
        prepare::Caller,
    },
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
    told_of_signatures: AtomicBool,
    /// Whether it was said that a template was not filled in.
    told_of_templates: AtomicBool,
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
            validation.validate_nbf = true;
            validation.leeway = LEEWAY;
            (DecodingKey::from_secret(secret.expose_secret().as_bytes()), validation)
        });
        Self {
            headers,
            signed,
            told_of_signatures: AtomicBool::new(false),
            told_of_templates: AtomicBool::new(false),
        }
    }

    /// Reads who asks. The ids are those of the connection's header box (Open WebUI fills in `{{CHAT_ID}}` and the
    /// like, `reference/open-webui.md` §3) and of its user-info setting; ids that it could not fill in arrive empty.
    pub(super) fn asker(
        &self,
        headers: &HeaderMap,
        credentials: Credentials,
    ) -> Result<(Caller, Access), Rejection> {
        let Credentials { holder, anthropic } = credentials;
        let key = anthropic.ok_or(Rejection::NoAnthropicKey)?;
        let IdHeaders { task, chat, message, user_message, user: _ } = &self.headers;
        let (user, vouched) = self.user(headers)?;
        let agent = self.id(headers, &[header::USER_AGENT]);
        let open_webui = self.names_open_webui(headers)
            || agent.as_deref().is_some_and(|agent| agent.contains("aiohttp/"));
        let in_chat = self.raw(headers, chat);
        let temporary = in_chat.as_deref().is_some_and(|chat| chat.starts_with("temporary:"));
        let scenario = self.id(headers, &[HeaderName::from_static(SCENARIO)]);
        let caller = Caller {
            holder,
            client: if open_webui { Some("open-webui".to_owned()) } else { agent },
            open_webui,
            user,
            vouched,
            chat: in_chat.as_deref().map(bounded),
            temporary,
            message: self.id(headers, message),
            user_message: self.id(headers, user_message),
            task: self.id(headers, task),
            directives: directives(headers),
        };
        Ok((caller, Access { key, scenario }))
    }

    /// The user, and whether somebody vouches for the name: a signature, where the operator asks for signatures.
    fn user(&self, headers: &HeaderMap) -> Result<(Option<String>, Vouched), Rejection> {
        let stated = self.id(headers, &self.headers.user);
        let Some((secret, validation)) = &self.signed else {
            if stated.is_none()
                && headers.contains_key(USER_JWT)
                && !self.told_of_signatures.swap(true, Relaxed)
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
        let user = claims.map_err(|_| Rejection::UserNotSigned)?.claims.sub;
        let user = Some(user).filter(|user| !user.trim().is_empty());
        Ok((Some(bounded(&user.ok_or(Rejection::UserNotSigned)?)), Vouched::Yes))
    }

    /// A header that only Open WebUI has, or that tells chats apart. A user alone may be anybody's.
    fn names_open_webui(&self, headers: &HeaderMap) -> bool {
        let IdHeaders { task, chat, message, user_message, user: _ } = &self.headers;
        let mut named = [task, chat, message, user_message].into_iter().flatten();
        named.any(|name| headers.contains_key(name))
            || headers.keys().any(|name| name.as_str().starts_with("x-openwebui-"))
    }

    /// The first of the headers that says something.
    fn id(&self, headers: &HeaderMap, names: &[HeaderName]) -> Option<String> {
        self.raw(headers, names).map(|id| bounded(&id))
    }

    /// The same, however long. A template that was not filled in says nothing: taken for an id, it would be everybody's.
    fn raw(&self, headers: &HeaderMap, names: &[HeaderName]) -> Option<String> {
        names.iter().find_map(|name| {
            let value = text(headers.get(name)?);
            if value.contains("{{") {
                if !self.told_of_templates.swap(true, Relaxed) {
                    tracing::warn!(
                        header = %name,
                        value,
                        "Open WebUI did not fill in a template: check the headers of its connection"
                    );
                }
                return None;
            }
            Some(value).filter(|value| !value.is_empty())
        })
    }
}

/// A header's value. Ids need not be plain text: each byte that is no UTF-8 is a character of its own (latin-1), so that
/// no two ids become one.
fn text(value: &HeaderValue) -> String {
    let bytes = value.as_bytes();
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    text.trim().to_owned()
}

fn directives(headers: &HeaderMap) -> Directives {
    let values =
        headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    Directives::parse(&values.collect::<Vec<_>>().join(","))
}
