//! Sessions of the page, in memory: they end with the process, after a time, and with the key that began them.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use http::{HeaderMap, HeaderValue, header};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::{sync::Semaphore, time::Instant};

use crate::server::auth::KeyDigest;

/// Time after which a person signs in again.
const LIFETIME: Duration = Duration::from_hours(12);
/// Most sessions at the same time; one more ends the oldest.
const MOST_SESSIONS: usize = 256;
/// Most streams of events that a session has open at the same time: those of a few windows.
const MOST_STREAMS: usize = 8;
/// Wrong keys from one address within [`ATTEMPT_WINDOW`], after which no more are looked at.
const MOST_ATTEMPTS: u32 = 10;
const ATTEMPT_WINDOW: Duration = Duration::from_mins(1);
/// Most addresses whose wrong keys are counted.
const MOST_ADDRESSES: usize = 1024;

/// The open sessions.
#[derive(Debug)]
pub(super) struct Sessions {
    /// The name of the cookie. It has the port, because browsers send cookies to all ports of a host.
    cookie: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The oldest first.
    open: Vec<Session>,
    attempts: HashMap<IpAddr, Attempts>,
}

/// Somebody who looks at the page.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// The digest of the token, so that the time of a comparison reveals nothing of the token.
    token: [u8; 32],
    /// The key that the person signed in with; `None`: none was needed.
    pub key: Option<KeyDigest>,
    /// Permits for streams of events.
    pub streams: Arc<Semaphore>,
    ends: Instant,
}

/// Wrong keys from an address.
#[derive(Debug)]
struct Attempts {
    count: u32,
    since: Instant,
}

/// A session that has begun.
#[derive(Debug)]
pub(super) struct Opened<'a> {
    cookie: &'a str,
    token: String,
}

impl Sessions {
    /// For the server at `port`.
    pub(super) fn new(port: u16) -> Self {
        Self { cookie: format!("reprise_session_{port}"), state: Mutex::default() }
    }

    /// Begins a session.
    pub(super) fn open(&self, key: Option<KeyDigest>, now: Instant) -> Opened<'_> {
        let mut token = [0; 32];
        aws_lc_rs::rand::fill(&mut token).expect("the system has random bytes");
        let token = hex::encode(token);
        let mut state = self.state.lock();
        state.open.retain(|session| session.ends > now);
        if state.open.len() >= MOST_SESSIONS {
            state.open.remove(0);
        }
        let streams = Arc::new(Semaphore::new(MOST_STREAMS));
        state.open.push(Session { token: digest(&token), key, streams, ends: now + LIFETIME });
        Opened { cookie: &self.cookie, token }
    }

    /// The session of a request, if it has not ended.
    pub(super) fn get(&self, headers: &HeaderMap, now: Instant) -> Option<Session> {
        let tokens: Vec<_> = self.tokens(headers).map(digest).collect();
        let state = self.state.lock();
        let open = state.open.iter().filter(|session| session.ends > now);
        open.fold(None, |found, session| {
            let is_it = tokens.iter().fold(false, |is_it, token| is_it | session.is(token));
            if is_it { Some(session.clone()) } else { found }
        })
    }

    /// Ends the session of a request. Returns the cookie that removes its token from the browser.
    pub(super) fn close(&self, headers: &HeaderMap) -> HeaderValue {
        let tokens: Vec<_> = self.tokens(headers).map(digest).collect();
        let mut state = self.state.lock();
        state.open.retain(|session| !tokens.iter().any(|token| session.is(token)));
        cookie(&self.cookie, "", "; Max-Age=0")
    }

    /// Counts an attempt to sign in from this address; a right key takes it back. The error is the time until the next
    /// one is looked at.
    pub(super) fn attempt(&self, peer: SocketAddr, now: Instant) -> Result<(), Duration> {
        let mut state = self.state.lock();
        let attempts = &mut state.attempts;
        if attempts.len() >= MOST_ADDRESSES {
            attempts.retain(|_, attempts| now.duration_since(attempts.since) < ATTEMPT_WINDOW);
        }
        if attempts.len() >= MOST_ADDRESSES {
            // So many addresses are an attack.
            return Err(ATTEMPT_WINDOW);
        }
        let fresh = || Attempts { count: 0, since: now };
        let from_here = attempts.entry(peer.ip().to_canonical()).or_insert_with(fresh);
        let left = ATTEMPT_WINDOW.saturating_sub(now.duration_since(from_here.since));
        if left.is_zero() {
            *from_here = fresh();
        } else if from_here.count >= MOST_ATTEMPTS {
            return Err(left);
        }
        from_here.count += 1;
        Ok(())
    }

    /// Takes the attempts from this address back.
    pub(super) fn succeed(&self, peer: SocketAddr) {
        self.state.lock().attempts.remove(&peer.ip().to_canonical());
    }

    /// The tokens that a request carries: a page of another port can set a cookie of the same name.
    fn tokens<'a>(&'a self, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
        let cookies = headers.get_all(header::COOKIE).iter();
        let cookies = cookies.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(';'));
        cookies.filter_map(|pair| pair.trim().split_once('=')).filter_map(|(name, token)| {
            Some(token.trim()).filter(|token| name == self.cookie && !token.is_empty())
        })
    }
}

impl Session {
    fn is(&self, token: &[u8; 32]) -> bool {
        self.token.ct_eq(token).into()
    }
}

impl Opened<'_> {
    /// The cookie with the token. Over HTTPS it is never sent otherwise.
    pub(super) fn cookie(&self, is_https: bool) -> HeaderValue {
        cookie(self.cookie, &self.token, if is_https { "; Secure" } else { "" })
    }
}

/// A cookie that scripts cannot read, and that requests of other sites do not have (RFC 6265bis §5.6.7).
fn cookie(name: &str, token: &str, more: &str) -> HeaderValue {
    let cookie = format!("{name}={token}; Path=/; HttpOnly; SameSite=Strict{more}");
    HeaderValue::try_from(cookie).expect("digits and letters")
}

fn digest(token: impl AsRef<[u8]>) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_cookie(cookie: &HeaderValue) -> HeaderMap {
        let pair = cookie.to_str().unwrap().split(';').next().unwrap();
        let pair = format!("other=1; {pair}");
        HeaderMap::from_iter([(header::COOKIE, pair.parse().unwrap())])
    }

    #[test]
    fn a_session_ends_by_time_by_number_and_by_hand() {
        let sessions = Sessions::new(8000);
        let now = Instant::now();
        let open = |at| with_cookie(&sessions.open(Some([7; 32]), at).cookie(false));
        let headers = open(now);
        let last = now + LIFETIME.checked_sub(Duration::from_secs(1)).unwrap();
        assert_eq!(sessions.get(&headers, last).unwrap().key, Some([7; 32]));
        assert!(sessions.get(&headers, now + LIFETIME).is_none());
        let other = Sessions::new(8001);
        assert!(other.get(&headers, now).is_none());
        let removal = sessions.close(&headers);
        assert!(removal.to_str().unwrap().contains("Max-Age=0"));
        assert!(sessions.get(&headers, now).is_none());
        let first = open(now);
        for _ in 1..MOST_SESSIONS {
            open(now);
        }
        assert!(sessions.get(&first, now).is_some());
        open(now);
        assert!(sessions.get(&first, now).is_none());
        assert_eq!(sessions.state.lock().open.len(), MOST_SESSIONS);
    }

    #[test]
    fn wrong_keys_from_an_address_are_limited() {
        let sessions = Sessions::new(8000);
        let now = Instant::now();
        let [here, there]: [SocketAddr; 2] =
            ["192.0.2.1:1", "192.0.2.2:1"].map(|at| at.parse().unwrap());
        for _ in 0..MOST_ATTEMPTS {
            assert!(sessions.attempt(here, now).is_ok());
        }
        assert_eq!(sessions.attempt(here, now), Err(ATTEMPT_WINDOW));
        assert!(sessions.attempt(there, now).is_ok());
        assert!(sessions.attempt(here, now + ATTEMPT_WINDOW).is_ok());
        for (third, fourth) in (0..8).flat_map(|third| (0..=255).map(move |n| (third, n))) {
            let _ = sessions.attempt(SocketAddr::from(([10, 0, third, fourth], 1)), now);
        }
        assert!(sessions.state.lock().attempts.len() <= MOST_ADDRESSES);
    }
}
