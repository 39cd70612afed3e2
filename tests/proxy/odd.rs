//! Odd upstreams: packed, redirected and foreign responses, events out of order, and counts that cannot be right.

use std::io::Write as _;

use flate2::{Compression, write};
use serde_json::{Value, json};

use crate::{
    proxy::early::{MESSAGES, question, text_of, ways},
    support::{
        app::{App, CHAT, MODEL, OPERATORS_KEY, ask, ask_whole},
        script::{Gate, Script},
        sse::{self, Answer},
        upstream::Upstream,
    },
};

fn hello() -> Vec<String> {
    Answer::of(MODEL).text(&["Hel", "lo"]).stop("end_turn")
}

/// The answer without the events at these positions, of: start, block, "Hel", "lo", stop, reason, end.
fn without(lost: &[usize]) -> Vec<String> {
    let events = hello().into_iter().enumerate();
    events.filter(|(at, _)| !lost.contains(at)).map(|(_, event)| event).collect()
}

#[tokio::test]
async fn events_out_of_order_are_understood_alike_and_the_answer_is_not_served_again() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let mut swapped = hello();
    swapped.swap(3, 4);
    let renumbered: Vec<String> =
        hello().iter().map(|event| event.replace("\"index\":0", "\"index\":3")).collect();
    let cases = [without(&[1]), without(&[1, 4]), without(&[4]), swapped, renumbered];
    for (number, events) in cases.iter().enumerate() {
        for (path, streams) in ways() {
            let text = format!("{number} {path} {streams}");
            for _ in 0..2 {
                upstream.push(Script::sse(events.clone()));
                let reply = app.client().post(path, &question(&text, streams)).await;
                assert_eq!(reply.status.as_u16(), 200, "{text}");
                if (path, streams) == (MESSAGES, true) {
                    assert_eq!(reply.text().await, events.concat(), "its client gets all of it");
                } else if path == MESSAGES {
                    let content = reply.json().await["content"].clone();
                    let blocks = content.as_array().expect("blocks").iter();
                    let told: String = blocks.filter_map(|block| block["text"].as_str()).collect();
                    assert_eq!(told, "Hello", "{text}");
                } else {
                    assert_eq!(text_of(path, streams, reply).await, "Hello", "{text}");
                }
            }
        }
    }
    let ledger = app.stop().await;
    let exchanges = ledger.exchanges().await;
    assert_eq!(exchanges.len(), 2 * cases.len() * ways().len());
    assert!(exchanges.iter().all(|it| it.outcome == "complete" && !it.servable));
}

#[tokio::test]
async fn a_cost_without_a_count_that_can_be_right_is_a_lower_bound() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let counted = |usage: &str| {
        let data = format!(
            r#"{{"type":"message_delta","delta":{{"stop_reason":"end_turn"}},"usage":{usage}}}"#
        );
        let mut events = hello();
        events[5] = sse::event("message_delta", &data);
        events
    };
    let mut exact = 0;
    for (is_exact, events) in [
        (true, hello()),
        (true, counted(r#"{"output_tokens":9}"#)),
        (true, counted(r#"{"output_tokens":9.0}"#)),
        // No reason for the end, or one without a count.
        (false, without(&[5])),
        (false, counted("{}")),
        (false, counted("null")),
        (false, counted(r#"{"output_tokens":-9}"#)),
        (false, counted(r#"{"output_tokens":9.5}"#)),
        (false, counted(r#"{"output_tokens":"9"}"#)),
        (false, counted(r#"{"output_tokens":0}"#)),
        (false, counted(r#"{"output_tokens":900000000}"#)),
        (false, counted(r#"{"output_tokens":9223372036854775807}"#)),
        (
            false,
            counted(
                r#"{"output_tokens":18446744073709551615,"input_tokens":18446744073709551615}"#,
            ),
        ),
        (false, counted(r#"{"output_tokens":9,"cache_read_input_tokens":1e300}"#)),
        (false, counted(r#"{"output_tokens":9,"input_tokens":1}"#)),
        (false, counted("[1]")),
    ] {
        upstream.push(Script::sse(events));
        let client = app.client().header("cache-control", "no-cache");
        let body = client.post(CHAT, &ask_whole("hi")).await.json().await;
        assert_eq!(body["choices"][0]["message"]["content"], "Hello");
        assert!(body["usage"]["cost"].as_f64().is_some_and(|cost| (0.0..0.01).contains(&cost)));
        exact += usize::from(is_exact);
    }
    let ledger = app.stop().await;
    let exchanges = ledger.exchanges().await;
    let told: Vec<&str> = exchanges.iter().map(|exchange| exchange.cost_is.as_str()).collect();
    assert_eq!(told[..exact], ["exact"; 3]);
    assert!(told[exact..].iter().all(|is| *is == "at_least"), "{told:?}");
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = write::GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).expect("memory");
    encoder.finish().expect("memory")
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = write::ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).expect("memory");
    encoder.finish().expect("memory")
}

fn deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = write::DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).expect("memory");
    encoder.finish().expect("memory")
}

fn stream(encoding: &str, pieces: Vec<Vec<u8>>) -> Script {
    Script::sse(pieces).header("content-encoding", encoding)
}

/// Brotli with nothing compressed (RFC 7932 §9.2): blocks of up to 64 kB as they are, and an empty last one.
fn brotli(data: &[u8]) -> Vec<u8> {
    // The window of 64 kB is one bit, 0; a block that is not the last: 0; four nibbles of length: 00; the length less
    // one, 16 bits; not compressed: 1.
    assert!(!data.is_empty() && data.len() <= 1 << 16);
    let header = (u32::try_from(data.len() - 1).expect("a short text") << 4) | 1 << 20;
    let mut packed = header.to_le_bytes()[..3].to_vec();
    packed.extend_from_slice(data);
    // The last block, which is empty: 11.
    packed.push(3);
    packed
}

#[tokio::test]
async fn a_stream_is_read_however_it_is_packed_and_however_it_is_cut() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let plain = hello().concat().into_bytes();
    let zstandard = zstd::encode_all(&*plain, 3).expect("memory");
    for (encoding, packed) in [
        ("gzip", gzip(&plain)),
        ("X-GZIP", gzip(&plain)),
        ("gzip", [gzip(&plain[..90]), gzip(&plain[90..])].concat()),
        ("deflate", zlib(&plain)),
        ("deflate", deflate(&plain)),
        ("br", brotli(&plain)),
        ("zstd", zstandard.clone()),
        ("gzip, zstd", zstd::encode_all(&*gzip(&plain), 3).expect("memory")),
        ("identity", plain.clone()),
        ("", plain.clone()),
    ] {
        for size in [1, 7, packed.len()] {
            for (path, streams) in ways() {
                let pieces = packed.chunks(size).map(<[u8]>::to_vec).collect();
                upstream.push(stream(encoding, pieces));
                let client = app.client().header("cache-control", "no-cache");
                let reply = client.post(path, &question("hi", streams)).await;
                assert_eq!(reply.status.as_u16(), 200, "{encoding} {size}");
                assert_eq!(text_of(path, streams, reply).await, "Hello", "{encoding} {size}");
            }
        }
    }
    assert_eq!(upstream.requests()[0].header("accept-encoding"), Some("identity"));
    let ledger = app.stop().await;
    let exchanges = ledger.exchanges().await;
    assert!(exchanges.iter().all(|it| it.outcome == "complete" && it.servable));
}

#[tokio::test]
async fn a_packed_stream_comes_as_it_is_written() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let (gate, events) = (Gate::new(), hello());
    let mut encoder = write::GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(events[..3].concat().as_bytes()).expect("memory");
    encoder.flush().expect("memory");
    let first = std::mem::take(encoder.get_mut());
    encoder.write_all(events[3..].concat().as_bytes()).expect("memory");
    let rest = encoder.finish().expect("memory");
    upstream.push(stream("gzip", vec![first]).wait(&gate).pieces([rest]));
    let mut reply = app.client().post(CHAT, &ask("hi")).await;
    reply.read_until("Hel").await;
    gate.open();
    assert!(reply.text().await.contains("[DONE]"));
}

#[tokio::test]
async fn what_is_not_a_stream_is_named() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let key = format!("/v1/messages?key={OPERATORS_KEY}");
    let elsewhere = format!("https://u:{OPERATORS_KEY}@api.example/claude{key}#{OPERATORS_KEY}");
    let in_the_path = format!("/{OPERATORS_KEY}/v1/messages");
    let redirect = |status: u16, to: &str| Script::respond(status).header("location", to);
    let html = || Script::respond(200).header("content-type", "Text/HTML; charset=utf-8");
    let plain = || hello().concat().into_bytes();
    for (script, expected) in [
        (redirect(301, &elsewhere), "--anthropic-base-url https://api.example/claude (ANTHROPIC"),
        (redirect(302, &key), "redirects (status 302) to http://127.0.0.1:"),
        (redirect(307, "//api.example/v1/messages"), "--anthropic-base-url http://api.example ("),
        (redirect(308, &elsewhere), "to https://api.example/claude/v1/messages; if"),
        (redirect(308, &in_the_path), "redirects (status 308)"),
        (redirect(308, "http://["), "redirects (status 308)"),
        (Script::respond(302), "redirects (status 302)"),
        (html().body("<html>Log in</html>"), "status 200 and Text/HTML"),
        (Script::json(200, &json!({"type": "message"})), "status 200 and application/json"),
        (Script::respond(204), "status 204 and no content type"),
        (stream("compress", vec![plain()]), "not known: compress"),
        (stream("gzip, gzip, gzip", vec![plain()]), "more than two"),
        (stream("gzip", vec![plain()]), "is not gzip"),
        (stream("zstd", vec![plain()]), "is not zstd"),
        (stream("br", vec![plain()]), "is not br"),
        (stream("deflate", vec![b"\xff\xff\xff".to_vec()]), "is not deflate"),
    ] {
        for path in [CHAT, MESSAGES] {
            upstream.push(script.clone());
            let reply = app.client().post(path, &question("hi", true)).await;
            assert_eq!(reply.status.as_u16(), 502, "{expected}");
            let message = reply.json().await["error"]["message"].as_str().unwrap().to_owned();
            assert!(message.contains(expected), "{message:?} has no {expected:?}");
            assert!(!message.contains(OPERATORS_KEY), "{message}");
        }
    }
    assert_eq!(upstream.requests().len(), 32, "nothing of it is asked again");
    let ledger = app.stop().await;
    for exchange in ledger.exchanges().await {
        assert!(exchange.outcome != "complete" && !exchange.servable);
        let is_redirect = exchange.error_kind.as_deref() == Some("redirected");
        assert_eq!(exchange.cost_is, if is_redirect { "exact" } else { "at_least" });
    }
}

#[tokio::test]
async fn a_content_type_may_be_written_in_any_way() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    for written in
        ["TEXT/EVENT-STREAM", "Text/Event-Stream;charset=UTF-8", "text/event-stream ; x=\"y\""]
    {
        upstream.push(Script::sse(hello()).header("content-type", written));
        let client = app.client().header("cache-control", "no-cache");
        let reply = client.post(CHAT, &ask("hi")).await;
        assert_eq!(text_of(CHAT, true, reply).await, "Hello", "{written}");
    }
    for other in ["text/event-streams", "application/json", ""] {
        upstream.push(Script::sse(hello()).header("content-type", other));
        let client = app.client().header("cache-control", "no-cache");
        assert_eq!(client.post(CHAT, &ask("hi")).await.status.as_u16(), 502, "{other}");
    }
}

#[tokio::test]
async fn errors_and_counts_are_unpacked_too_and_a_strange_error_is_one_all_the_same() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let error = json!({"type": "error", "error": {"type": "invalid_request_error", "message": "no such thing"}});
    let packed = gzip(error.to_string().as_bytes());
    upstream.push(Script::respond(400).header("content-encoding", "gzip").body(packed));
    let told = app.client().post(CHAT, &ask("hi")).await.json().await;
    assert_eq!(told["error"]["message"], "Anthropic refused the request: no such thing");
    for (body, encoding) in [
        (&b"<html>Bad</html>"[..], ""),
        (b"", ""),
        (b"\xff\xfe", ""),
        (b"[]", ""),
        (b"{\"error\":\"text\"}", ""),
        (b"not packed", "gzip"),
        (b"not packed", "compress"),
    ] {
        let script = Script::respond(400).header("retry-after", "1e999");
        upstream.push(script.header("content-encoding", encoding).body(body));
        let reply = app.client().post(CHAT, &ask("hi")).await;
        assert_eq!(reply.status.as_u16(), 400);
        let told: Value = reply.json().await;
        assert!(told["error"]["message"].as_str().unwrap().contains("status 400"), "{told}");
    }
    let count = json!({"input_tokens": 5}).to_string();
    upstream.push(
        Script::respond(200)
            .header("content-type", "application/json")
            .header("content-encoding", "deflate")
            .body(zlib(count.as_bytes())),
    );
    let counted = app.client().post("/v1/messages/count_tokens", &question("hi", false)).await;
    assert_eq!(counted.json().await, json!({"input_tokens": 5}));
}
