//! Who may answer a call: every row of the design's table (§5), each pair of rows that could contradict, and what must
//! hold whatever the facts.

mod model;
mod shared;
mod spec;
mod steps;

use std::{collections::BTreeMap, time::Duration};

use reprise::domain::{
    cache::{
        CacheDirectives, CallKind, Facts, Freshness, Keep, Policy, PriorAsk, Reason, Reuse,
        Sharing, Verdict, decide, depends_on_ledger,
    },
    exchange::UnixMillis,
};

const NOW: UnixMillis = UnixMillis(1_000_000_000);
const HOUR: Duration = Duration::from_hours(1);
const TITLE: CallKind<'_> = CallKind::Task { name: "title_generation", again: false };
const TITLE_AGAIN: CallKind<'_> = CallKind::Task { name: "title_generation", again: true };
const TAGS: CallKind<'_> = CallKind::Task { name: "tags_generation", again: false };
const TAGS_AGAIN: CallKind<'_> = CallKind::Task { name: "tags_generation", again: true };
const FIRST: CallKind<'_> = CallKind::Chat(PriorAsk::Never);
const RETRIED: CallKind<'_> = CallKind::Chat(PriorAsk::SameMessage);
const CONTINUED: CallKind<'_> = CallKind::Chat(PriorAsk::Unanswered);
const REGENERATED: CallKind<'_> = CallKind::Chat(PriorAsk::OtherMessage);
const CALLERS: [CallKind<'_>; 10] = [
    CallKind::Plain,
    CallKind::Nameless,
    TITLE,
    TITLE_AGAIN,
    TAGS,
    TAGS_AGAIN,
    FIRST,
    RETRIED,
    CONTINUED,
    REGENERATED,
];

/// An answer that was whole ten minutes ago.
const STORED: Option<UnixMillis> = Some(UnixMillis(NOW.0 - 600_000));

fn policy() -> Policy {
    Policy {
        reuse: Reuse::All,
        sharing: Sharing::User,
        ttl: HOUR,
        task_ttl: BTreeMap::new(),
        web_ttl: None,
        no_store_users: ["ann".to_owned()].into(),
    }
}

fn facts(kind: CallKind<'_>) -> Facts<'_> {
    Facts {
        at: NOW,
        directives: CacheDirectives::default(),
        kind,
        temporary: false,
        no_store_user: false,
        external_data: false,
        running: false,
        stored: None,
    }
}

fn says(control: &str, facts: Facts<'static>) -> Facts<'static> {
    Facts { directives: CacheDirectives::parse(control), ..facts }
}

fn stored(caller: CallKind<'static>) -> Facts<'static> {
    Facts { stored: STORED, ..facts(caller) }
}

fn running(facts: Facts<'static>) -> Facts<'static> {
    Facts { running: true, ..facts }
}

fn temporary(facts: Facts<'static>) -> Facts<'static> {
    Facts { temporary: true, ..facts }
}

fn forgotten(facts: Facts<'static>) -> Facts<'static> {
    Facts { no_store_user: true, ..facts }
}

const HIT: Verdict =
    Verdict::Hit(Freshness { age: Duration::from_mins(10), ttl: Duration::from_mins(50) });

const fn ask(reason: Reason) -> Verdict {
    Verdict::Ask { reason, keep: Keep::Answer }
}

const fn pass(reason: Reason) -> Verdict {
    Verdict::Ask { reason, keep: Keep::Totals }
}

fn check(policy: &Policy, table: &[(&str, Facts<'static>, Verdict)]) {
    for (case, facts, verdict) in table {
        assert_eq!(decide(facts, policy), *verdict, "{case}");
    }
}

#[test]
fn a_user_is_forgotten_by_the_operators_list() {
    let policy = policy();
    assert_eq!(
        [Some("ann"), Some("anna"), None].map(|user| policy.is_no_store_user(user)),
        [true, false, false]
    );
}

#[test]
fn each_row_of_the_table() {
    check(
        &policy(),
        &[
            ("no-store", says("no-store", stored(CallKind::Plain)), pass(Reason::NoStore)),
            ("a forgotten user", forgotten(stored(FIRST)), pass(Reason::UserNoStore)),
            ("a temporary chat", temporary(stored(FIRST)), pass(Reason::Temporary)),
            ("no-cache", says("no-cache", stored(CallKind::Plain)), ask(Reason::NoCache)),
            ("only-if-cached, and it is", says("only-if-cached", stored(CallKind::Plain)), HIT),
            (
                "only-if-cached, and it is not",
                says("only-if-cached", facts(CallKind::Plain)),
                Verdict::Refuse(Reason::Nothing),
            ),
            ("regenerated, with an answer", stored(REGENERATED), ask(Reason::AskedBefore)),
            ("regenerated, without one", facts(REGENERATED), ask(Reason::AskedBefore)),
            ("stopped and continued, with an answer", stored(CONTINUED), ask(Reason::AskedBefore)),
            ("another title", stored(TITLE_AGAIN), ask(Reason::AskedBefore)),
            ("a title again, after none came", facts(TITLE_AGAIN), ask(Reason::Nothing)),
            ("a task that is running", running(facts(TAGS)), Verdict::Join),
            ("a request that is running", running(facts(CallKind::Plain)), Verdict::Join),
            ("a chat's first, with an answer", stored(FIRST), HIT),
            ("a chat's first, without one", facts(FIRST), ask(Reason::Nothing)),
            ("a task, with an answer", stored(TAGS), HIT),
            ("a task again, with an answer", stored(TAGS_AGAIN), HIT),
            ("a task, without one", facts(TAGS), ask(Reason::Nothing)),
            ("a title for the first time", stored(TITLE), HIT),
            ("a chat without ids", stored(CallKind::Nameless), ask(Reason::NoChatId)),
            ("any other client, with an answer", stored(CallKind::Plain), HIT),
            ("any other client, without one", facts(CallKind::Plain), ask(Reason::Nothing)),
        ],
    );
}

#[test]
fn rows_that_could_contradict() {
    let strict = "only-if-cached";
    check(
        &policy(),
        &[
            // What must not be kept is not answered from what was, whatever else is asked.
            (
                "no-store, no-cache",
                says("no-store, no-cache", stored(FIRST)),
                pass(Reason::NoStore),
            ),
            (
                "no-store, only-if-cached",
                says("no-store, only-if-cached", stored(CallKind::Plain)),
                Verdict::Refuse(Reason::NoStore),
            ),
            ("no-store, running", says("no-store", running(facts(TAGS))), pass(Reason::NoStore)),
            ("no-store, regenerated", says("no-store", stored(REGENERATED)), pass(Reason::NoStore)),
            ("forgotten, running", forgotten(running(facts(TAGS))), pass(Reason::UserNoStore)),
            ("forgotten, regenerated", forgotten(stored(REGENERATED)), pass(Reason::UserNoStore)),
            (
                "forgotten, no-cache",
                says("no-cache", forgotten(facts(FIRST))),
                pass(Reason::UserNoStore),
            ),
            (
                "forgotten, only-if-cached",
                says("only-if-cached", forgotten(stored(FIRST))),
                Verdict::Refuse(Reason::UserNoStore),
            ),
            ("forgotten, temporary", forgotten(temporary(facts(FIRST))), pass(Reason::Temporary)),
            ("temporary, running", temporary(running(facts(TAGS))), pass(Reason::Temporary)),
            ("temporary, regenerated", temporary(stored(REGENERATED)), pass(Reason::Temporary)),
            ("temporary, a task", temporary(stored(TAGS)), pass(Reason::Temporary)),
            (
                "temporary, no-cache",
                says("no-cache", temporary(facts(FIRST))),
                pass(Reason::Temporary),
            ),
            (
                "temporary, only-if-cached",
                says(strict, temporary(stored(FIRST))),
                Verdict::Refuse(Reason::Temporary),
            ),
            // Who asks for a new answer does not get one that began before.
            ("no-cache, running", says("no-cache", running(facts(TAGS))), ask(Reason::NoCache)),
            ("no-cache, regenerated", says("no-cache", stored(REGENERATED)), ask(Reason::NoCache)),
            (
                "no-cache, only-if-cached",
                says("no-cache, only-if-cached", stored(CallKind::Plain)),
                Verdict::Refuse(Reason::NoCache),
            ),
            // Who wants nothing asked gets what there is, also where others would be answered anew.
            ("only-if-cached, regenerated", says(strict, stored(REGENERATED)), HIT),
            ("only-if-cached, another title", says(strict, stored(TITLE_AGAIN)), HIT),
            ("only-if-cached, no ids", says(strict, stored(CallKind::Nameless)), HIT),
            (
                "only-if-cached, running",
                says(strict, running(facts(TAGS))),
                Verdict::Refuse(Reason::Nothing),
            ),
            ("only-if-cached, running, an answer", says(strict, running(stored(TAGS))), HIT),
            // A Regenerate is never a repeat, nor is it what is running for another column.
            ("regenerated, running", running(stored(REGENERATED)), ask(Reason::AskedBefore)),
            ("no ids, running", running(stored(CallKind::Nameless)), ask(Reason::NoChatId)),
            // What is running is newer than what is stored.
            ("a task, running and stored", running(stored(TAGS)), Verdict::Join),
            ("another title, running", running(stored(TITLE_AGAIN)), Verdict::Join),
            ("the same message again, running", running(stored(RETRIED)), Verdict::Join),
            ("the same message again, stored", stored(RETRIED), HIT),
            ("stopped and continued, and running again", running(stored(CONTINUED)), Verdict::Join),
            ("stopped and continued, only-if-cached", says(strict, stored(CONTINUED)), HIT),
            (
                "any other client, running and stored",
                running(stored(CallKind::Plain)),
                Verdict::Join,
            ),
        ],
    );
}

#[test]
fn age_applies_on_top() {
    let aged = |caller, age: Duration| {
        let millis = i64::try_from(age.as_millis()).expect("a short age");
        Facts { stored: Some(UnixMillis(NOW.0 - millis)), ..facts(caller) }
    };
    let hit = |age: Duration, ttl: Duration| Verdict::Hit(Freshness { age, ttl });
    let policy = Policy {
        task_ttl: BTreeMap::from([("title_generation", Some(HOUR * 2)), ("tags_generation", None)]),
        web_ttl: Some(HOUR / 2),
        ..policy()
    };
    let web = |facts| Facts { external_data: true, ..facts };
    check(
        &policy,
        &[
            (
                "just fresh",
                aged(FIRST, Duration::from_mins(59)),
                hit(Duration::from_mins(59), HOUR / 60),
            ),
            ("just stale", aged(FIRST, HOUR), ask(Reason::Stale)),
            (
                "from the future",
                Facts { stored: Some(UnixMillis(NOW.0 + 5)), ..facts(FIRST) },
                hit(Duration::ZERO, HOUR),
            ),
            ("a title keeps longer", aged(TITLE, HOUR), hit(HOUR, HOUR)),
            ("tags never do", stored(TAGS), ask(Reason::NoTtl)),
            ("tags that are running do", running(stored(TAGS)), Verdict::Join),
            ("the web, fresh", web(aged(FIRST, HOUR / 4)), hit(HOUR / 4, HOUR / 4)),
            ("the web, stale", web(aged(FIRST, HOUR / 2)), ask(Reason::Stale)),
            ("max-age=0", says("max-age=0", aged(FIRST, Duration::ZERO)), ask(Reason::MaxAge)),
            ("max-age, younger", says("max-age=601", stored(FIRST)), HIT),
            ("max-age, as old", says("max-age=600", stored(FIRST)), ask(Reason::MaxAge)),
            (
                "max-age does not lengthen",
                says("max-age=9999", aged(FIRST, HOUR)),
                ask(Reason::Stale),
            ),
            ("min-fresh, long enough", says("min-fresh=3000", stored(FIRST)), HIT),
            ("min-fresh, too short", says("min-fresh=3001", stored(FIRST)), ask(Reason::MinFresh)),
            (
                "stale, and only-if-cached",
                says("only-if-cached", aged(FIRST, HOUR)),
                Verdict::Refuse(Reason::Stale),
            ),
        ],
    );
    let unset = Policy { web_ttl: None, ..policy };
    let kept = Verdict::Ask { reason: Reason::NoTtl, keep: Keep::Recording };
    assert_eq!(decide(&web(stored(FIRST)), &unset), kept, "the web, with no time set for it");
}

#[test]
fn the_operator_says_what_the_ledger_answers() {
    let off = Policy { reuse: Reuse::Off, ..policy() };
    let tasks = Policy { reuse: Reuse::Tasks, ..policy() };
    for caller in CALLERS {
        assert_eq!(decide(&stored(caller), &off), ask(Reason::Off), "{caller:?}");
        assert_eq!(decide(&running(stored(caller)), &off), ask(Reason::Off), "{caller:?}");
        let is_task = matches!(caller, CallKind::Task { .. });
        let as_usual = decide(&stored(caller), &policy());
        let expected = if is_task { as_usual } else { ask(Reason::Off) };
        assert_eq!(decide(&stored(caller), &tasks), expected, "{caller:?}");
    }
    let strict = says("only-if-cached", stored(CallKind::Plain));
    assert_eq!(decide(&strict, &off), Verdict::Refuse(Reason::Off));
}

/// Every combination of facts.
fn all() -> impl Iterator<Item = Facts<'static>> {
    let controls = ["", "no-store", "no-cache", "only-if-cached", "max-age=1", "max-age=9999"];
    let both = || [false, true];
    controls.into_iter().flat_map(move |control| {
        CALLERS.into_iter().flat_map(move |caller| {
            both().into_iter().flat_map(move |temporary| {
                both().into_iter().flat_map(move |external_data| {
                    both().into_iter().flat_map(move |running| {
                        [None, STORED].into_iter().map(move |stored| Facts {
                            at: NOW,
                            directives: CacheDirectives::parse(control),
                            kind: caller,
                            temporary,
                            no_store_user: false,
                            external_data,
                            running,
                            stored,
                        })
                    })
                })
            })
        })
    })
}

#[test]
fn what_holds_whatever_the_facts() {
    let policies = [Reuse::All, Reuse::Tasks, Reuse::Off]
        .into_iter()
        .flat_map(|reuse| [None, Some(HOUR)].map(|web_ttl| Policy { reuse, web_ttl, ..policy() }));
    for policy in policies {
        let both = |facts| [facts, Facts { no_store_user: true, ..facts }];
        for facts in all().flat_map(both) {
            let verdict = decide(&facts, &policy);
            let Facts {
                directives, kind: caller, temporary, no_store_user, running, stored, ..
            } = facts;
            let nothing_kept = directives.no_store || temporary || no_store_user;
            match verdict {
                Verdict::Hit(_) => {
                    assert!(stored.is_some() && !nothing_kept && !directives.no_cache, "{facts:?}");
                    let anew = matches!(
                        caller,
                        REGENERATED | CONTINUED | CallKind::Nameless | TITLE_AGAIN
                    );
                    assert!(
                        !anew || directives.only_if_cached,
                        "a Regenerate is no repeat: {facts:?}"
                    );
                    assert_ne!(policy.reuse, Reuse::Off, "{facts:?}");
                }
                Verdict::Join => {
                    assert!(running && !nothing_kept && !directives.no_cache, "{facts:?}");
                    assert!(!matches!(caller, REGENERATED | CallKind::Nameless), "{facts:?}");
                    assert!(!directives.only_if_cached, "{facts:?}");
                }
                Verdict::Ask { keep, .. } => {
                    assert!(!directives.only_if_cached, "{facts:?}");
                    assert_eq!(keep == Keep::Totals, nothing_kept, "{facts:?}");
                }
                Verdict::Refuse(_) => assert!(directives.only_if_cached, "{facts:?}"),
            }
            let idle = Facts { running: false, ..facts };
            if !depends_on_ledger(&idle, &policy) {
                let with = |stored| decide(&Facts { stored, ..idle }, &policy);
                assert_eq!(with(None), with(STORED), "the ledger need not be asked: {facts:?}");
            }
        }
    }
}

#[test]
fn a_chat_has_asked_before_if_it_did_for_any_other_message() {
    let of = |now: Option<&str>, earlier: &[(Option<&str>, bool)]| {
        PriorAsk::of(now, earlier.iter().copied())
    };
    let (whole, stopped) = (true, false);
    assert_eq!(of(Some("a"), &[]), PriorAsk::Never);
    assert_eq!(of(Some("a"), &[(Some("a"), whole)]), PriorAsk::SameMessage);
    assert_eq!(of(Some("a"), &[(Some("a"), stopped)]), PriorAsk::Unanswered);
    assert_eq!(of(Some("a"), &[(Some("a"), whole), (Some("a"), stopped)]), PriorAsk::SameMessage);
    assert_eq!(of(Some("a"), &[(Some("a"), whole), (Some("b"), whole)]), PriorAsk::OtherMessage);
    assert_eq!(of(Some("a"), &[(Some("b"), stopped), (Some("a"), whole)]), PriorAsk::OtherMessage);
    assert_eq!(
        of(Some("a"), &[(None, whole)]),
        PriorAsk::OtherMessage,
        "which it was is not known"
    );
    assert_eq!(of(None, &[(Some("a"), whole)]), PriorAsk::OtherMessage);
    assert_eq!(of(None, &[(None, whole)]), PriorAsk::OtherMessage);
}

#[test]
fn the_ledger_knows_what_came_of_it() {
    use PriorAsk::{Never, OtherMessage, SameMessage, Unanswered};

    assert_eq!(Unanswered.with_ledger(SameMessage), SameMessage);
    assert_eq!(Unanswered.with_ledger(Never), Unanswered, "its row is not committed yet");
    assert_eq!(Never.with_ledger(Unanswered), Unanswered);
    assert_eq!(OtherMessage.with_ledger(SameMessage), OtherMessage);
    assert_eq!(Unanswered.with_ledger(OtherMessage), OtherMessage);
    assert_eq!(Never.with_ledger(Never), Never);
}
