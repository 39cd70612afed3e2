//! Answers on their way from Anthropic's dialect to OpenAI's.
//!
//! Each file in `playback/` is one stream as it stands on the wire. The snapshot beside it says what a client that
//! streams gets, what one that does not gets, and what the ledger notes. The properties hold for all of them and for
//! made-up ones: both clients understand the same, and nothing that upstream sends makes us panic.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

pub(crate) mod client;
mod forms;
mod made_up;
mod odd;
mod pairs;

use std::{fmt::Write, fs, path::Path, sync::Arc};

use client::Heard;
use proptest::prelude::*;
use reprise::domain::{
    anthropic::{self, StreamError, StreamSummary, assemble, fold},
    catalog::Catalog,
    exchange::{Cost, Micros, NanoDollars, Tokens},
    recording::{Recorder, Recording},
    translate::{Bill, Chunks, Form, WithUsage, completion},
};

pub(crate) const ID: &str = "chatcmpl-1";
pub(crate) const CREATED: i64 = 1_700_000_000;
const BILL: Bill = Bill::paid(Cost::Exact(NanoDollars(1_234_500)));

#[test]
fn streams_become_what_the_snapshots_say() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("playback/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _bound = settings.bind_to_scope();
    insta::glob!("playback/*.sse", |path| {
        let (recording, rest) = record(&[&fs::read(path).unwrap()]);
        let mut told = String::from("== stream\n");
        let (chunks, error) = stream(&recording, WithUsage::Yes, BILL);
        told += std::str::from_utf8(&chunks).unwrap();
        if let Some(error) = error {
            writeln!(told, "error: {error}").unwrap();
        }
        told += "\n== completion\n";
        match whole(&recording, BILL) {
            Ok(body) => {
                let body: Box<serde_json::value::RawValue> = serde_json::from_slice(&body).unwrap();
                writeln!(told, "{body}").unwrap();
            }
            Err(error) => writeln!(told, "error: {error}").unwrap(),
        }
        told += "\n== ledger\n";
        match tally(&recording) {
            Ok(tally) => {
                writeln!(told, "model: {:?}", tally.model()).unwrap();
                writeln!(told, "stop_reason: {:?}", tally.stop_reason()).unwrap();
                writeln!(told, "ended: {}", tally.ended()).unwrap();
                writeln!(told, "servable: {}", tally.is_servable()).unwrap();
                writeln!(told, "tokens: {}", serde_json::to_string(&tally.tokens()).unwrap())
                    .unwrap();
                writeln!(told, "terms: {:?}", tally.terms()).unwrap();
                if let Some(error) = tally.error() {
                    writeln!(told, "error: {}: {}", error.error.kind, error.error.message).unwrap();
                }
            }
            Err(error) => writeln!(told, "error: {error}").unwrap(),
        }
        if !rest.is_empty() {
            writeln!(told, "torn: {:?}", String::from_utf8_lossy(&rest)).unwrap();
        }
        insta::assert_snapshot!("playback", told);
    });
}

/// The models of the chunks, each once, and the cost.
#[test]
fn a_fallback_answers_in_its_own_name_and_each_attempt_has_its_own_price() {
    let catalog = Catalog::builtin();
    let (fable, opus, sonnet) = ("claude-fable-5", "claude-opus-4-8", "claude-sonnet-5");
    let exact = |amount| Cost::Exact(NanoDollars(amount));
    for (name, models, expected) in [
        ("at_once", &[fable, opus][..], exact(8_660_000)),
        ("midway", &[fable, opus], exact(11_000_000 + 6_750_000)),
        ("twice", &[fable, opus, sonnet], exact(600_000 + 300_000)),
        ("without_a_mark", &[fable, opus], exact(8_660_000)),
        ("without_iterations", &[fable, opus], exact(8_660_000)),
        ("midway_without_iterations", &[fable, opus], exact(6_750_000).at_least()),
        ("refused", &[fable, opus], exact(0)),
    ] {
        let file = folder().join(format!("fallback_{name}.sse"));
        let (recording, _) = record(&[&fs::read(file).unwrap()]);
        let (chunks, _) = stream(&recording, WithUsage::Yes, BILL);
        let mut named: Vec<String> = std::str::from_utf8(&chunks)
            .unwrap()
            .split("\n\n")
            .filter_map(|line| line.split_once(r#""model":""#)?.1.split('"').next())
            .map(str::to_owned)
            .collect();
        named.dedup();
        assert_eq!(named, models, "{name}");
        let last = models.last().copied();
        let native: serde_json::Value =
            serde_json::from_slice(&assemble(&recording).unwrap()).unwrap();
        assert_eq!(
            (Some(&*fold(&recording).unwrap().model), native["model"].as_str()),
            (last, last)
        );
        let tally = tally(&recording).unwrap();
        assert_eq!(tally.model(), last);
        let day = catalog.prices_as_of().parse().unwrap();
        let charge = catalog.charge(&tally.bill(fable, &catalog), fable, day);
        assert_eq!(charge.cost, expected, "{name}");
    }
}

#[test]
fn without_usage_the_stream_is_the_same_but_for_usage() {
    for (name, bytes) in streams() {
        let (recording, _) = record(&[&bytes]);
        let (with, _) = stream(&recording, WithUsage::Yes, BILL);
        let (without, _) = stream(&recording, WithUsage::No, BILL);
        let expected: String = std::str::from_utf8(&with)
            .unwrap()
            .split_inclusive("\n\n")
            .filter(|line| !line.contains(r#""choices":[],"usage":{"#))
            .map(|line| line.replace(r#","usage":null}"#, "}"))
            .collect();
        assert_eq!(std::str::from_utf8(&without).unwrap(), expected, "{name}");
        assert!(!expected.contains("usage"), "{name}");
    }
}

#[test]
fn a_client_that_streams_understands_the_same_as_one_that_does_not() {
    for (name, bytes) in streams() {
        let (recording, _) = record(&[&bytes]);
        agree(&recording, &name);
    }
}

#[test]
fn the_native_message_is_what_was_folded() {
    for (name, bytes) in streams() {
        let (recording, _) = record(&[&bytes]);
        let (Ok(message), Ok(native)) = (fold(&recording), assemble(&recording)) else {
            assert!(fold(&recording).is_err() && assemble(&recording).is_err(), "{name}");
            continue;
        };
        // The native door goes on with no answer: its clients do so themselves.
        if message.earlier != Tokens::default() {
            continue;
        }
        let native: serde_json::Value = serde_json::from_slice(&native).unwrap();
        let content = serde_json::to_value(&message.content).unwrap();
        assert_eq!(native["content"], content, "{name}");
        assert_eq!(native["stop_reason"].as_str(), message.stop.stop_reason.as_deref(), "{name}");
        let usage = native.get("usage").cloned().unwrap_or_default();
        let usage: Option<anthropic::Usage> = serde_json::from_value(usage).unwrap();
        assert_eq!(usage.unwrap_or_default().tokens(), message.usage.tokens(), "{name}");
    }
}

#[test]
fn only_a_whole_stream_ends_in_done() {
    for (name, bytes) in streams() {
        let (recording, _) = record(&[&bytes]);
        let (chunks, error) = stream(&recording, WithUsage::Yes, BILL);
        assert_eq!(chunks.ends_with(b"data: [DONE]\n\n"), error.is_none(), "{name}");
        let ended = tally(&recording).is_ok_and(|tally| tally.ended());
        assert!(
            ended || error.is_some(),
            "{name}: the ledger and the client must agree on the end"
        );
    }
}

#[test]
fn the_bill_stands_in_the_usage() {
    let (recording, _) = record(&[&fs::read(folder().join("text.sse")).unwrap()]);
    let billed = |bill| {
        let heard = Heard::of_completion(&whole(&recording, bill).unwrap());
        (heard.usage["cost"].as_f64(), heard.usage["saved"].as_f64())
    };
    let cent = NanoDollars(10_000_000);
    assert_eq!(billed(Bill::paid(Cost::Exact(cent))), (Some(0.01), None));
    assert_eq!(billed(Bill::paid(Cost::AtLeast(cent))), (Some(0.01), None));
    assert_eq!(billed(Bill::paid(Cost::Unpriced)), (None, None));
    assert_eq!(billed(Bill::free(Cost::Exact(cent))), (Some(0.0), Some(0.01)));
    assert_eq!(billed(Bill::free(Cost::Unpriced)), (Some(0.0), None));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_network_may_cut_anywhere(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..24)) {
        for (name, bytes) in streams() {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            let ((cut, rest), (uncut, torn)) = (record(&pieces), record(&[&bytes]));
            prop_assert_eq!(rest, torn, "{}", &name);
            prop_assert_eq!(stream(&cut, WithUsage::Yes, BILL).0, stream(&uncut, WithUsage::Yes, BILL).0, "{}", &name);
            prop_assert_eq!(whole(&cut, BILL).ok(), whole(&uncut, BILL).ok(), "{}", &name);
        }
    }

    #[test]
    fn made_up_answers_are_understood_alike(answer in made_up::answer()) {
        let (recording, _) = record(&[answer.sse().as_bytes()]);
        let heard = agree(&recording, "made up").unwrap();
        prop_assert_eq!(heard.content(), answer.text());
        prop_assert_eq!(heard.reasoning(), answer.thinking());
        prop_assert_eq!(heard.details(), answer.thinking());
        prop_assert_eq!(heard.arguments(), answer.arguments());
    }

    #[test]
    fn no_bytes_make_us_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        survive(&bytes);
    }

    #[test]
    fn no_disorder_makes_us_panic(picks in prop::collection::vec(any::<prop::sample::Index>(), 0..30)) {
        let all = streams();
        let events: Vec<&[u8]> = all.iter().flat_map(|(_, bytes)| bytes.split_inclusive(|&b| b == b'\n')).collect();
        let lines: Vec<&[u8]> = picks.iter().map(|pick| events[pick.index(events.len())]).collect();
        survive(&lines.concat());
        // The same with each line an event of its own.
        survive(&lines.join(&b"\n"[..]));
    }

    #[test]
    fn no_damage_makes_us_panic(
        which in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let all = streams();
        let mut bytes = all[which.index(all.len())].1.clone();
        for (at, byte) in damage {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        survive(&bytes);
    }
}

/// What a client that streams hears, if it is the same as what another one hears; `None` if neither hears the end.
fn agree(recording: &Recording, name: &str) -> Option<Heard> {
    agree_in(&Arc::default(), recording, name)
}

/// The same of clients that want this form.
fn agree_in(form: &Arc<Form>, recording: &Recording, name: &str) -> Option<Heard> {
    let (chunks, error) = stream_in(form, recording, WithUsage::Yes, BILL);
    let streamed = Heard::of_chunks(&chunks);
    match (error, whole_in(form, recording, BILL)) {
        (None, Ok(body)) => {
            let whole = Heard::of_completion(&body);
            assert_eq!(streamed, whole, "{name}");
            Some(whole)
        }
        (Some(_), Err(_)) => None,
        (None, Err(error)) => panic!("{name}: streams, but does not fold: {error}"),
        (Some(error), Ok(_)) => panic!("{name}: folds, but does not stream: {error}"),
    }
}

/// Puts bytes through everything that reads what upstream sends.
fn survive(bytes: &[u8]) {
    let (recording, _) = record(&[bytes]);
    let (chunks, error) = stream(&recording, WithUsage::Yes, BILL);
    assert!(std::str::from_utf8(&chunks).is_ok());
    assert_eq!(
        whole(&recording, BILL).is_ok(),
        error.is_none(),
        "what streams folds, and nothing else"
    );
    let _ = tally(&recording).map(|tally| (tally.tokens(), tally.terms(), tally.is_servable()));
}

/// Every stream in the folder, by name.
fn streams() -> Vec<(String, Vec<u8>)> {
    let mut streams: Vec<(String, Vec<u8>)> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sse"))
        .map(|path| {
            (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap())
        })
        .collect();
    streams.sort();
    streams
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/playback")
}

/// What comes in these pieces, and what is left over.
fn record(pieces: &[&[u8]]) -> (Recording, Vec<u8>) {
    let (mut recorder, mut recording) = (Recorder::default(), Recording::default());
    for (at, piece) in (0..).zip(pieces) {
        recorder.push(piece);
        if let Some(segment) = recorder.cut(Micros(at)) {
            recording.append(Arc::new(segment));
        }
    }
    if anthropic::is_whole_end(recorder.rest()) {
        recorder.complete();
        recording.append(Arc::new(recorder.cut(Micros(0)).unwrap()));
    }
    (recording, recorder.rest().to_vec())
}

fn stream(recording: &Recording, usage: WithUsage, bill: Bill) -> (Vec<u8>, Option<StreamError>) {
    stream_in(&Arc::default(), recording, usage, bill)
}

fn stream_in(
    form: &Arc<Form>,
    recording: &Recording,
    usage: WithUsage,
    bill: Bill,
) -> (Vec<u8>, Option<StreamError>) {
    let mut chunks = Chunks::new(ID.to_owned(), CREATED, usage, Arc::clone(form));
    let mut out = Vec::new();
    let mut events = recording.events();
    let failed = events.find_map(|event| chunks.translate(event, &mut out).err());
    let error = failed.or_else(|| chunks.finish(bill, &mut out).err());
    (out, error)
}

fn whole(recording: &Recording, bill: Bill) -> Result<Vec<u8>, StreamError> {
    whole_in(&Form::default(), recording, bill)
}

fn whole_in(form: &Form, recording: &Recording, bill: Bill) -> Result<Vec<u8>, StreamError> {
    let message = fold(recording)?;
    Ok(serde_json::to_vec(&completion(message, bill, ID.to_owned(), CREATED, form)).unwrap())
}

fn tally(recording: &Recording) -> Result<StreamSummary, StreamError> {
    let mut tally = StreamSummary::default();
    for event in recording.events() {
        // What goes on after a pause is another exchange, and counted by itself.
        let goes_on = event.starts_with(b"event: message_start");
        if goes_on && tally.ended() && tally.stop_reason() == Some("pause_turn") {
            tally = StreamSummary::default();
        }
        tally.read(event)?;
    }
    Ok(tally)
}
