//! The caller of a request, read from its headers: the API, the client program, the user, the chat.

use std::{
    convert::Infallible,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use axum::extract::FromRequestParts;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header, request::Parts};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{App, auth::Credentials, error::Rejection};
use crate::{
    answer::Access,
    config::IdHeaders,
    domain::{
        cache::{CacheDirectives, IdentityProof},
        exchange::Api,
        prepare::{Caller, InvalidId, check_id},
        tags::Tags,
        user_name::{self, UserName},
    },
};

/// The header of Open WebUI's signed user (`reference/open-webui.md` §3).
const USER_JWT: &str = "x-openwebui-user-jwt";
/// The fixtures that may answer, in a replay.
pub(super) const SCENARIO: &str = "x-reprise-scenario";
/// The client of Open WebUI's calls that belong to no chat: those of its API keys and of its playground.
const OUTSIDE_CHATS: &str = "open-webui-api";
/// The header with labels of a call.
const TAG: &str = "x-reprise-tag";
/// Largest accepted difference between Open WebUI's clock and ours, in seconds.
const CLOCK_LEEWAY: u64 = 60;

/// Longest name of a client program, in characters.
const LONGEST_AGENT: usize = 256;

/// Reads callers from the headers of requests.
pub(super) struct CallerReader {
    headers: IdHeaders,
    /// Verifies signed users; `None`: users are not signed.
    jwt: Option<(DecodingKey, Validation)>,
    /// True if a user must be signed.
    requires_signature: bool,
    /// True if names of users are kept.
    keeps_names: bool,
    /// Set once the log has a warning about signed users that cannot be verified.
    warned_of_signatures: AtomicBool,
    /// Set once the log has a warning about a template that was not filled in.
    warned_of_templates: AtomicBool,
}

/// The user of a call.
struct User {
    id: Option<String>,
    name: Option<UserName>,
    proof: IdentityProof,
}

impl User {
    const fn verified(id: Option<String>, name: Option<UserName>) -> Self {
        Self { id, name, proof: IdentityProof::Verified }
    }
}

impl fmt::Debug for CallerReader {
    /// Leaves out the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerReader").field("headers", &self.headers).finish_non_exhaustive()
    }
}

/// The API by the path, where only one API has it; else by the header that every Anthropic client sends.
/// The API that a request speaks.
pub(super) fn api_of(uri: &Uri, headers: &HeaderMap) -> Api {
    match uri.path() {
        path if path.starts_with("/v1/messages") => Api::Messages,
        path if path.starts_with("/v1/chat") => Api::Chat,
        _ if headers.contains_key("anthropic-version") => Api::Messages,
        _ => Api::Chat,
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Api {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(api_of(&parts.uri, &parts.headers))
    }
}

/// The caller of a request, with its access to upstream.
pub(super) struct Authenticated(pub Caller, pub Access);

impl FromRequestParts<Arc<App>> for Authenticated {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Rejection> {
        let credentials = Credentials::from_request_parts(parts, app).await?;
        app.callers.read(&parts.headers, credentials)
    }
}

impl CallerReader {
    /// Reads ids from `headers`; `secret` is the one that Open WebUI signs its users with.
    pub(super) fn new(
        headers: IdHeaders,
        secret: Option<&SecretString>,
        requires_signature: bool,
        keeps_names: bool,
    ) -> Self {
        let jwt = secret.map(|secret| {
            let mut validation = Validation::new(Algorithm::HS256);
            validation.set_issuer(&["open-webui"]);
            validation.set_required_spec_claims(&["exp", "iss", "sub"]);
            validation.validate_nbf = true;
            validation.leeway = CLOCK_LEEWAY;
            (DecodingKey::from_secret(secret.expose_secret().as_bytes()), validation)
        });
        let (warned_of_signatures, warned_of_templates) = Default::default();
        Self {
            headers,
            jwt,
            requires_signature,
            keeps_names,
            warned_of_signatures,
            warned_of_templates,
        }
    }

    /// Reads the caller. The ids are those of the connection's header box (Open WebUI fills in `{{CHAT_ID}}` and the
    /// like, `reference/open-webui.md` §3) and of its user-info setting; ids that it could not fill in arrive empty.
    fn read(
        &self,
        headers: &HeaderMap,
        credentials: Credentials,
    ) -> Result<Authenticated, Rejection> {
        let Credentials { holder, key_name, key_user, anthropic } = credentials;
        let key = anthropic.ok_or(Rejection::NoAnthropicKey)?;
        let IdHeaders { task, chat, message, user_message, .. } = &self.headers;
        let User { id: user, name: user_name, proof: vouched } = match key_user {
            // The operator says whose key it is.
            Some(user) => User::verified(Some(user), None),
            None => self.user(headers)?,
        };
        let agent = user_agent(headers);
        let task = self.id(headers, task)?;
        let open_webui = self.has_open_webui_headers(headers)
            || agent.as_deref().is_some_and(|agent| agent.contains("aiohttp/"));
        // Open WebUI fills in nothing for a call by an API key or from the playground.
        let says_no_chat = chat.iter().any(|name| headers.get(name).is_some_and(is_blank));
        let chat = self.id(headers, chat)?;
        let outside_chats = says_no_chat && chat.is_none();
        let temporary = chat.as_deref().is_some_and(|chat| chat.starts_with("temporary:"));
        let caller = Caller {
            holder,
            key_name,
            client: match (open_webui, outside_chats && task.is_none()) {
                (true, true) => Some(OUTSIDE_CHATS.to_owned()),
                (true, false) => Some("open-webui".to_owned()),
                (false, _) => agent,
            },
            open_webui,
            user,
            user_name: user_name.filter(|_| self.keeps_names),
            vouched,
            outside_chats,
            chat,
            temporary,
            message: self.id(headers, message)?,
            user_message: self.id(headers, user_message)?,
            task,
            tags: tags(headers)?,
            directives: directives(headers),
        };
        let scenario = self.id(headers, &[HeaderName::from_static(SCENARIO)])?;
        Ok(Authenticated(caller, Access { key, scenario }))
    }

    /// The user. A signature vouches for it, where the operator requires signatures, and for its name.
    fn user(&self, headers: &HeaderMap) -> Result<User, Rejection> {
        #[derive(Deserialize)]
        struct Claims {
            sub: String,
            // Nobody is refused for a name.
            #[serde(default)]
            name: serde_json::Value,
            #[serde(default)]
            email: serde_json::Value,
        }
        let stated = self.id(headers, &self.headers.user)?;
        let Some((secret, validation)) = &self.jwt else {
            if stated.is_none()
                && headers.contains_key(USER_JWT)
                && !self.warned_of_signatures.swap(true, Relaxed)
            {
                tracing::warn!(
                    "Open WebUI signs its users, and Reprise cannot verify them: without users no answer is repeated \
                     in another chat; give Open WebUI's FORWARD_USER_INFO_HEADER_JWT_SECRET as --user-jwt-secret or \
                     REPRISE_USER_JWT_SECRET"
                );
            }
            let name = stated.as_ref().and_then(|_| self.stated_name(headers));
            return Ok(User::verified(stated, name));
        };
        let Some(token) = headers.get(USER_JWT) else {
            if self.requires_signature {
                return Err(Rejection::UserWithoutSignature);
            }
            return Ok(User { id: stated, name: None, proof: IdentityProof::Unverified });
        };
        let claims = jsonwebtoken::decode::<Claims>(token.as_bytes(), secret, validation);
        let Claims { sub: user, name, email } =
            claims.map_err(|_| Rejection::UserNotSigned)?.claims;
        if user.is_empty() {
            return Err(Rejection::UserNotSigned);
        }
        let header = HeaderName::from_static(USER_JWT);
        check_id(&user).map_err(|invalid| Rejection::InvalidId { header, invalid })?;
        Ok(User::verified(Some(user), UserName::of(name.as_str(), email.as_str())))
    }

    /// The name and the mail that the headers state. What cannot be read is left out: a name costs nobody an answer.
    fn stated_name(&self, headers: &HeaderMap) -> Option<UserName> {
        let text = |names: &[HeaderName]| {
            let values = names.iter().filter_map(|name| headers.get(name)).map(without_padding);
            let mut texts = values.filter_map(user_name::unescaped);
            texts.find(|text| !text.is_empty() && !is_template(text))
        };
        let IdHeaders { user_name, user_email, .. } = &self.headers;
        UserName::of(text(user_name).as_deref(), text(user_email).as_deref())
    }

    /// Finds a header that only Open WebUI sends, or an id of a chat. The id of a user may come from any client.
    fn has_open_webui_headers(&self, headers: &HeaderMap) -> bool {
        let IdHeaders { task, chat, message, user_message, .. } = &self.headers;
        let mut names = [task, chat, message, user_message].into_iter().flatten();
        names.any(|name| headers.contains_key(name))
            || headers.keys().any(|name| name.as_str().starts_with("x-openwebui-"))
    }

    /// The id in the first of these headers that has one.
    fn id(&self, headers: &HeaderMap, names: &[HeaderName]) -> Result<Option<String>, Rejection> {
        for name in names {
            let refused = |invalid| Rejection::InvalidId { header: name.clone(), invalid };
            let mut values = headers.get_all(name).iter().map(without_padding);
            let Some(value) = values.next() else { continue };
            // Which of them is meant nobody knows.
            if values.any(|other| other != value) {
                return Err(Rejection::SeveralIds { header: name.clone() });
            }
            let id = str::from_utf8(value).map_err(|_| refused(InvalidId::NotText))?;
            if id.is_empty() {
                continue;
            }
            if is_template(id) {
                if !self.warned_of_templates.swap(true, Relaxed) {
                    tracing::warn!(
                        header = %name,
                        value = id,
                        "Open WebUI did not fill in a template: check the headers of its connection"
                    );
                }
                continue;
            }
            check_id(id).map_err(refused)?;
            return Ok(Some(id.to_owned()));
        }
        Ok(None)
    }
}

/// The value of a header without the white space that HTTP allows around it (RFC 9110 §5.5), and no other.
fn without_padding(value: &HeaderValue) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let bytes = value.as_bytes();
    let start = bytes.iter().position(|byte| !is_blank(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// True for a value that has nothing in it.
fn is_blank(value: &HeaderValue) -> bool {
    without_padding(value).is_empty()
}

/// True for a template that was not filled in: as an id it would be everybody's.
fn is_template(id: &str) -> bool {
    let name = id.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    name.is_some_and(|name| !name.contains(['{', '}']))
}

/// The client program, shortened. It names nobody.
fn user_agent(headers: &HeaderMap) -> Option<String> {
    let agent = String::from_utf8_lossy(headers.get(header::USER_AGENT)?.as_bytes());
    let agent: String = agent.trim().chars().take(LONGEST_AGENT).collect();
    Some(agent).filter(|agent| !agent.is_empty())
}

/// The labels that the headers give the call.
fn tags(headers: &HeaderMap) -> Result<Tags, Rejection> {
    let values = headers.get_all(TAG).iter().map(HeaderValue::as_bytes);
    Tags::of_header(values).map_err(Rejection::InvalidTags)
}

fn directives(headers: &HeaderMap) -> CacheDirectives {
    let values =
        headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    CacheDirectives::parse(&values.collect::<Vec<_>>().join(","))
}
