//! Steps of a sequence of calls, drawn at random. There are few ids and texts, so that calls often meet.

use proptest::{
    prelude::{Just, Strategy},
    prop_oneof,
    sample::select,
};

use super::spec::{Call, Kind, Settings};

#[derive(Debug, Clone)]
pub(super) enum Step {
    /// A call, and what upstream does if it is asked.
    Call(Call, Fate),
    /// An exchange that runs goes on to its end.
    Finish(usize),
    /// A client that waits or reads goes away.
    Leave(usize),
    Clear,
    Restart,
}

/// What upstream does with a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fate {
    Answers,
    /// Answers up to `max_tokens`.
    Truncates,
    Refuses,
    /// Breaks off in the middle, if the client streams; else as `Refuses`.
    Cuts,
    /// Says nothing, until the exchange is to finish.
    Waits,
    /// The same in the middle of the answer.
    Pauses,
}

fn ids(from: &'static [&'static str]) -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![1 => Just(None), 5 => select(from).prop_map(Some)]
}

fn call() -> impl Strategy<Value = Call> {
    let kind = prop_oneof![
        6 => Just(Kind::Chat),
        2 => Just(Kind::Title),
        1 => Just(Kind::Tags),
        1 => Just(Kind::Nameless),
        2 => Just(Kind::Plain),
    ];
    let control = prop_oneof![
        12 => Just(""),
        4 => select(&[
            "no-store", "no-cache", "only-if-cached", "max-age=0", "max-age=99999", "min-fresh=1",
            "min-fresh=99999999", "no-cache, only-if-cached", "no-store, only-if-cached",
            "max-age=0, only-if-cached",
        ][..]),
    ];
    let chat = prop_oneof![8 => select(&["c1", "c2"][..]), 1 => Just("temporary:c3")];
    let user = prop_oneof![3 => Just(Some("ann")), 1 => ids(&["bob", "eve"])];
    let texts = (ids(&["m1", "m2"]), ids(&["u1", "u2"]), select(&["one", "two"][..]));
    let strategy = (kind, user, chat, texts, control, proptest::bool::ANY);
    strategy.prop_map(|(kind, user, chat, (message, user_message, prompt), control, streams)| {
        let is_task = matches!(kind, Kind::Title | Kind::Tags);
        let is_chat = kind == Kind::Chat;
        let is_temporary = chat.starts_with("temporary:");
        Call {
            kind,
            user,
            chat: (is_task || is_chat).then_some(chat),
            message: message.filter(|_| is_chat),
            user_message: user_message.filter(|_| is_chat && !is_temporary),
            prompt,
            control,
            streams,
        }
    })
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![
        6 => Just(Fate::Answers),
        1 => Just(Fate::Truncates),
        1 => Just(Fate::Refuses),
        1 => Just(Fate::Cuts),
        2 => Just(Fate::Waits),
        3 => Just(Fate::Pauses),
    ];
    prop_oneof![
        20 => (call(), fate).prop_map(|(call, fate)| Step::Call(call, fate)),
        6 => (0..4_usize).prop_map(Step::Finish),
        3 => (0..4_usize).prop_map(Step::Leave),
        1 => Just(Step::Clear),
        1 => Just(Step::Restart),
    ]
}

pub(super) fn settings() -> impl Strategy<Value = Settings> {
    let cache = prop_oneof![8 => Just("all"), 1 => Just("tasks"), 1 => Just("off")];
    let scope = prop_oneof![2 => Just("user"), 1 => Just("shared")];
    (cache, scope).prop_map(|(cache, scope)| Settings { cache, scope })
}
