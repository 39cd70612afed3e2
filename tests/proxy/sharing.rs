//! Answers that users share (`--cache-scope shared`): what one of them asks for anew stays with that one.

use crate::{
    proxy::chats::{answered, of, says, told},
    support::{
        app::{App, Setup, ask},
        upstream::Upstream,
    },
};

const ANEW: &str = "fwd=request; stored; detail=asked-before";

#[tokio::test]
async fn a_regenerate_replaces_nothing_that_others_repeat() {
    let upstream = Upstream::start().await;
    for text in ["one", "two", "three"] {
        upstream.push(says(text));
    }
    let setup = Setup::of(&upstream).set("REPRISE_CACHE_SCOPE", "shared");
    let app = setup.start().await;
    let chat = async |app: &App, user: &str, chat: &str, message: &str| {
        told(of(app, user, chat, message), &ask("hi")).await
    };
    let hit = |text| answered("hit", text);
    assert_eq!(chat(&app, "ann", "c1", "m1").await, answered("fwd=miss; stored", "one"));
    assert_eq!(chat(&app, "bob", "c2", "m2").await, hit("one"));
    assert_eq!(chat(&app, "bob", "c2", "m3").await, answered(ANEW, "two"));
    assert_eq!(chat(&app, "bob", "c3", "m4").await, hit("two"));
    assert_eq!(chat(&app, "ann", "c4", "m5").await, hit("one"));
    assert_eq!(chat(&app, "cid", "c5", "m6").await, hit("one"));
    let refreshing = || app.client().header("cache-control", "no-cache");
    let no_cache = answered("fwd=request; stored; detail=no-cache", "three");
    assert_eq!(told(refreshing(), &ask("hi")).await, no_cache);
    assert_eq!(told(app.client(), &ask("hi")).await, hit("three"), "who names nobody");
    app.stop().await;

    let app = setup.start().await;
    for (round, expected) in
        [("ann", "one"), ("bob", "two"), ("cid", "one")].into_iter().cycle().take(6).enumerate()
    {
        let (user, text) = expected;
        let (in_chat, message) = (format!("d{round}"), format!("n{round}"));
        assert_eq!(chat(&app, user, &in_chat, &message).await, hit(text), "{user}");
    }
    assert_eq!(told(app.client(), &ask("hi")).await, hit("three"));
    assert_eq!(upstream.requests().len(), 3);
    let ledger = app.stop().await;

    // The first is 31 days old: the next one serves, and nobody asks anew.
    ledger
        .run(
            "update exchange set ended_at = ended_at - 2678400000 \
             where id = (select min(id) from exchange)",
        )
        .await;
    let app = setup.start().await;
    for (round, user) in ["ann", "bob", "cid", "ann"].into_iter().enumerate() {
        let (in_chat, message) = (format!("e{round}"), format!("o{round}"));
        assert_eq!(chat(&app, user, &in_chat, &message).await, hit("two"), "{user}");
    }
    assert_eq!(upstream.requests().len(), 3);
}
