//! Who may ask, look, and delete.

use http::{HeaderName, HeaderValue};

use super::*;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn check(auth: &Auth, headers: &[(&'static str, &'static str)]) -> Option<Credentials> {
    let headers = headers
        .iter()
        .map(|&(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .collect::<HeaderMap>();
    auth.check(&headers).ok()
}

#[test]
fn the_client_key_is_taken_from_either_header() {
    let auth = Auth::new(Some("k".into()), Some("sk-ant-op".into()), None, Vec::new(), HERE);
    assert!(check(&auth, &[("authorization", "Bearer k")]).is_some());
    assert!(check(&auth, &[("x-api-key", "k")]).is_some());
    assert!(check(&auth, &[("api-key", "k")]).is_some());
    for wrong in ["Bearer kk", "Bearer", "Basic k", "k", ""] {
        assert!(check(&auth, &[("authorization", wrong)]).is_none(), "{wrong:?}");
    }
    assert!(check(&auth, &[]).is_none());
}

#[test]
fn without_an_operators_key_clients_bring_their_own_and_share_with_nobody_else() {
    let auth = Auth::new(None, None, None, Vec::new(), HERE);
    let a = check(&auth, &[("authorization", "Bearer sk-ant-a")]).unwrap();
    let b = check(&auth, &[("x-api-key", "sk-ant-b")]).unwrap();
    assert_eq!(a.anthropic.unwrap().expose_secret(), "sk-ant-a");
    assert_ne!(a.holder, b.holder);
    assert!(check(&auth, &[("authorization", "Bearer other")]).unwrap().anthropic.is_none());
}

#[test]
fn without_a_client_key_only_pages_of_this_machine_and_listed_ones_may_ask() {
    let open = Auth::new(None, Some("sk-ant-op".into()), None, Vec::new(), HERE);
    for local in ["http://localhost:3000", "http://127.0.0.1:8080", "http://[::1]"] {
        assert!(check(&open, &[("origin", local)]).is_some(), "{local}");
    }
    for foreign in ["https://evil.example", "http://localhost.evil.example", "null"] {
        assert!(check(&open, &[("origin", foreign)]).is_none(), "{foreign}");
    }
    let listed = ["app://obsidian.md".parse().unwrap(), "https://a.example".parse().unwrap()];
    let listed = Auth::new(None, Some("sk-ant-op".into()), None, listed.into(), HERE);
    for origin in ["app://obsidian.md", "https://a.example", "http://localhost:3000"] {
        assert!(check(&listed, &[("origin", origin)]).is_some(), "{origin}");
    }
    assert!(check(&listed, &[("origin", "https://b.example")]).is_none());
    let keyed = Auth::new(Some("k".into()), None, None, Vec::new(), HERE);
    let page = [("origin", "https://chat.example"), ("authorization", "Bearer k")];
    assert!(check(&keyed, &page).is_some());
}

#[test]
fn operators_show_their_key_or_are_on_this_machine() {
    let headers = |headers: &[(&'static str, &'static str)]| {
        let named = |&(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        headers.iter().map(named).collect::<HeaderMap>()
    };
    let (here, away) = ("127.0.0.1:9".parse().unwrap(), "192.0.2.1:9".parse().unwrap());
    let open = Auth::new(None, None, None, Vec::new(), HERE);
    let local = ("host", "localhost:8000");
    assert!(open.check_operator(&headers(&[local]), here).is_ok());
    let client = Auth::new(Some("k".into()), None, None, Vec::new(), HERE);
    let shown = ("authorization", "Bearer k");
    assert!(client.check_operator(&headers(&[local, shown]), here).is_ok());
    assert!(client.check_operator(&headers(&[local]), here).is_err());
    assert!(client.check_operator(&headers(&[local, shown]), away).is_err());
    assert!(
        open.check_operator(&headers(&[local]), "[::ffff:127.0.0.1]:9".parse().unwrap()).is_ok()
    );
    assert!(open.check_operator(&headers(&[local, ("authorization", "Bearer k")]), away).is_err());
    for foreign in [
        &[("host", "evil.example")][..],
        &[local, ("origin", "https://evil.example")],
        &[local, ("x-forwarded-for", "192.0.2.1")],
        &[],
    ] {
        assert!(open.check_operator(&headers(foreign), here).is_err(), "{foreign:?}");
    }
    let keyed = Auth::new(Some("k".into()), None, Some("admin".into()), Vec::new(), HERE);
    assert!(keyed.check_operator(&headers(&[("authorization", "Bearer admin")]), away).is_ok());
    assert!(keyed.check_operator(&headers(&[local]), here).is_err());
    assert!(keyed.check_operator(&headers(&[local, ("x-api-key", "k")]), here).is_err());
}

#[test]
fn who_may_delete_can_read_the_ledger_or_has_the_admin_key() {
    let owner = OwnerId::new(uuid::Uuid::from_u128(7));
    let id = owner.to_string();
    let (here, away) = ("127.0.0.1:9".parse().unwrap(), "192.0.2.1:9".parse().unwrap());
    let allowed = |auth: &Auth, headers: &[(&'static str, &str)], peer| {
        let named = |&(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        let headers = headers.iter().map(named).collect::<HeaderMap>();
        auth.check_ledger_operator(&headers, peer, owner).map_err(|error| match error {
            Rejection::AnotherLedger => "another",
            _ => "no",
        })
    };
    let auth = |client: Option<&str>, admin: Option<&str>| {
        Auth::new(client.map(Into::into), None, admin.map(Into::into), Vec::new(), HERE)
    };
    let (open, client) = (auth(None, None), auth(Some("k"), None));
    let admin = auth(Some("k"), Some("a"));
    let local = ("host", "localhost:8000");
    let (k, a) = (("authorization", "Bearer k"), ("authorization", "Bearer a"));
    let (own, other) = (("x-reprise-owner", &*id), ("x-reprise-owner", "another"));
    for (auth, headers, peer, expected) in [
        (&open, &[local][..], here, Ok(())),
        (&open, &[local, own], here, Ok(())),
        (&open, &[local, other], here, Err("another")),
        (&open, &[local, own], away, Err("no")),
        (&client, &[local, k], here, Err("no")),
        (&client, &[local, k, own], here, Ok(())),
        (&client, &[local, own], here, Ok(())),
        (&client, &[local, k, other], here, Err("another")),
        (&client, &[local, k, own], away, Err("no")),
        (&client, &[("host", "evil.example"), k, own], here, Err("no")),
        (&client, &[local, own, ("via", "1.1 proxy")], here, Err("no")),
        (&admin, &[local, k], here, Err("no")),
        (&admin, &[local, own], here, Ok(())),
        (&admin, &[local, own], away, Err("no")),
        (&admin, &[a], away, Ok(())),
        (&admin, &[a, other], away, Err("another")),
    ] {
        assert_eq!(allowed(auth, headers, peer), expected, "{headers:?} {peer}");
    }
}

#[test]
fn both_keys_can_come_at_once() {
    let auth = Auth::new(Some("k".into()), None, None, Vec::new(), HERE);
    let both = check(&auth, &[("authorization", "Bearer k"), ("x-api-key", "sk-ant-a")]).unwrap();
    assert_eq!(both.anthropic.unwrap().expose_secret(), "sk-ant-a");
    assert_eq!(both.holder, KeyHolder::of("sk-ant-a"));
    assert!(check(&auth, &[("x-api-key", "sk-ant-a")]).is_none());
}

#[test]
fn a_key_of_the_page_tells_the_role() {
    let named = |name: &str, key: &str| ClientKey {
        name: name.to_owned(),
        key: key.into(),
        user: None,
        file: None,
    };
    let digest = |key: &str| -> KeyDigest { Sha256::digest(key).into() };
    let auth = |client: Option<&str>, admin: Option<&str>, keys: Vec<ClientKey>| {
        Auth::new(client.map(Into::into), None, admin.map(Into::into), Vec::new(), HERE)
            .named_by(Holders::default(), keys)
    };
    let open = auth(None, None, Vec::new());
    assert_eq!(open.page_role(None), Some(Role::Operator));
    assert_eq!(open.page_role(Some(&digest(""))), None);
    let keys = vec![named("a", "key-a"), named("b", "key-b")];
    let client = auth(Some("k"), None, keys);
    assert_eq!(client.page_role(None), None, "a session from before there were keys");
    assert_eq!(client.page_role(Some(&digest("k"))), Some(Role::Client(None)));
    assert_eq!(client.page_role(Some(&digest("key-b"))), Some(Role::Client(Some("b".to_owned()))));
    assert_eq!(client.page_role(Some(&digest("key-c"))), None);
    let admin = auth(Some("k"), Some("adm"), Vec::new());
    assert_eq!(admin.page_role(Some(&digest("adm"))), Some(Role::Operator));
    assert_eq!(admin.page_role(Some(&digest("k"))), None);
    assert_eq!(admin.page_role(None), None);
}
