//! Which of several answers a call gets in a scope that users share.

use std::time::Duration;

use reprise::domain::{
    cache::{CacheDirectives, Candidate, Facts, Requester, SharedCall},
    exchange::UnixMillis,
};

use super::{FIRST, HOUR, NOW, TITLE_AGAIN, facts, policy};
use crate::support::rows;

/// Who asked, and how many minutes ago the answer ended; in the order of the commits.
type Answers<'a> = &'a [(&'a str, u64)];

/// Of an answer whose call is gone, nobody knows who asked for it.
fn requester(name: &str) -> Option<Requester> {
    match name {
        "" => Some(Requester::Nobody),
        "?" => None,
        chat if chat.starts_with("chat") => Some(Requester::Chat(chat.to_owned())),
        user => Some(Requester::User(user.to_owned())),
    }
}

fn chosen(name: &str, control: &str, answers: Answers<'_>) -> Option<usize> {
    let directives = CacheDirectives::parse(control);
    chosen_by(name, Facts { directives, ..facts(FIRST) }, answers)
}

fn chosen_by(name: &str, facts: Facts<'_>, answers: Answers<'_>) -> Option<usize> {
    let policy = policy();
    let call = SharedCall { requester: requester(name).expect("a caller"), facts, policy: &policy };
    let candidate = |(position, &(name, minutes)): (usize, &(&str, u64))| Candidate {
        exchange: rows::exchange_id(position as u128),
        requester: requester(name),
        ended_at: NOW.before(Duration::from_mins(minutes)),
    };
    let answers: Vec<_> = answers.iter().enumerate().map(candidate).collect();
    let chosen = call.choose(&answers)?;
    answers.iter().position(|answer| answer == chosen)
}

#[test]
fn the_newest_of_ones_own_else_the_oldest_that_is_fresh() {
    let several: Answers<'_> = &[("ann", 50), ("bob", 40), ("ann", 30), ("cid", 20)];
    for (case, name, control, answers, expected) in [
        ("there is none", "ann", "", &[][..], None),
        ("the only one is anybody's", "bob", "", &[("ann", 5)], Some(0)),
        ("the newest of one's own", "ann", "", several, Some(2)),
        ("one's only one", "bob", "", several, Some(1)),
        ("else the oldest", "dan", "", several, Some(0)),
        (
            "one that is known to be too old",
            "dan",
            "",
            &[("ann", 60), ("bob", 59), ("cid", 1)],
            Some(1),
        ),
        ("one's own is too old", "ann", "", &[("ann", 60), ("bob", 59), ("cid", 1)], Some(1)),
        ("all are too old", "ann", "", &[("ann", 99), ("bob", 70), ("cid", 80)], Some(1)),
        ("max-age", "dan", "max-age=2400", several, Some(2)),
        ("max-age, one's own is older", "bob", "max-age=2400", several, Some(2)),
        ("max-age, all are older", "ann", "max-age=60", several, Some(3)),
        ("min-fresh", "dan", "min-fresh=1500", several, Some(2)),
        ("only-if-cached", "dan", "only-if-cached", several, Some(0)),
        ("a chat of nobody", "chat 1", "", &[("ann", 9), ("chat 1", 8), ("chat 2", 7)], Some(1)),
        ("another chat of nobody", "chat 3", "", &[("ann", 9), ("chat 1", 8)], Some(0)),
        ("who names neither", "", "", &[("ann", 9), ("", 8), ("", 7), ("bob", 6)], Some(2)),
        ("nobody's is not everybody's", "ann", "", &[("bob", 9), ("", 8)], Some(0)),
        ("asked by nobody knows whom", "ann", "", &[("?", 9), ("?", 8)], Some(0)),
        ("ended at once: committed first", "dan", "", &[("ann", 9), ("bob", 9)], Some(0)),
        ("ended at once: committed last", "ann", "", &[("ann", 9), ("ann", 9)], Some(1)),
        ("another order of commits", "dan", "", &[("ann", 7), ("bob", 9)], Some(1)),
    ] {
        assert_eq!(chosen(name, control, answers), expected, "{case}");
    }
}

#[test]
fn a_call_that_gets_none_sees_the_newest() {
    let several: Answers<'_> = &[("ann", 50), ("bob", 40)];
    let no_cache = CacheDirectives::parse("no-cache");
    for facts in [
        facts(TITLE_AGAIN),
        Facts { directives: no_cache, ..facts(FIRST) },
        Facts { temporary: true, ..facts(FIRST) },
    ] {
        assert_eq!(chosen_by("ann", facts, several), Some(1), "{facts:?}");
    }
}

/// Time passes and nobody asks anew: each answer in turn is the one that others get, until none is left.
#[test]
fn what_others_get_changes_only_when_it_is_too_old() {
    let policy = policy();
    let mut seen = Vec::new();
    for minute in 0..90 {
        let at = UnixMillis(NOW.0 + minute * 60_000);
        let several: Answers<'_> = &[("ann", 50), ("bob", 40), ("ann", 30)];
        let call = Facts { at, ..facts(FIRST) };
        let chosen = chosen_by("dan", call, several).expect("an answer");
        let ended_at = NOW.before(Duration::from_mins(several[chosen].1));
        let call = SharedCall { requester: Requester::Nobody, facts: call, policy: &policy };
        let is_fresh = call.accepts(ended_at);
        assert_eq!(is_fresh, at.since(ended_at) < HOUR);
        seen.push((minute, chosen, is_fresh));
    }
    seen.dedup_by_key(|&mut (_, chosen, is_fresh)| (chosen, is_fresh));
    assert_eq!(seen, [(0, 0, true), (10, 1, true), (20, 2, true), (30, 2, false)]);
}

#[test]
fn users_who_are_only_claimed_are_told_apart_by_chat() {
    assert_eq!(Requester::of(Some("unverified"), Some("c1")), Requester::Chat("c1".to_owned()));
    assert_eq!(Requester::of(Some("unverified"), None), Requester::Nobody);
    assert_eq!(Requester::of(Some("ann"), Some("c1")), Requester::User("ann".to_owned()));
}
