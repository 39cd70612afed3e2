//! Bodies of requests that are packed, or begin with a byte order mark.

use std::io::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use flate2::{Compression, write};
use serde_json::{Value, json};

use crate::support::{
    app::{App, CHAT, MODEL, Setup, ask_whole},
    client::{Client, Reply},
    script::Script,
    sse::Answer,
    upstream::Upstream,
};

fn hello() -> Script {
    Script::sse(Answer::of(MODEL).text(&["Hello"]).stop("end_turn"))
}

/// Writes `data` into an encoder.
macro_rules! packed {
    ($encoder:expr, $data:expr) => {{
        let mut encoder = $encoder;
        encoder.write_all($data).expect("memory");
        encoder.finish().expect("memory")
    }};
}

fn gzip(data: &[u8]) -> Vec<u8> {
    packed!(write::GzEncoder::new(Vec::new(), Compression::default()), data)
}

fn zlib(data: &[u8]) -> Vec<u8> {
    packed!(write::ZlibEncoder::new(Vec::new(), Compression::default()), data)
}

fn deflate(data: &[u8]) -> Vec<u8> {
    packed!(write::DeflateEncoder::new(Vec::new(), Compression::default()), data)
}

fn zstandard(data: &[u8]) -> Vec<u8> {
    zstd::encode_all(data, 3).expect("memory")
}

/// `{"model":"claude-haiku-4-5","messages":[{"role":"user","content":"packed"}]}`, as Node packs it.
const BROTLI: &str =
    "G0sAqIzTFfOihHWPIG+pX/9GS9IPG6NKWoelqy845ETg9i2QMDCoS6iWCx840W++MWPlPi9KVImW9oWFGqHiZ+bwHQ==";

async fn post(client: Client, path: &str, encoding: &str, body: &[u8]) -> Reply {
    let client = client.header("content-type", "application/json");
    client.header("content-encoding", encoding).send("POST", path, body).await
}

#[tokio::test]
async fn a_packed_body_is_unpacked_on_both_doors() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let question = json!({
        "model": MODEL, "max_tokens": 64, "messages": [{ "role": "user", "content": "packed" }],
    });
    let plain = question.to_string().into_bytes();
    let brotli = BASE64_STANDARD.decode(BROTLI).expect("base64");
    let bodies = [
        ("gzip", gzip(&plain)),
        ("GZIP", gzip(&plain)),
        ("x-gzip", gzip(&plain)),
        ("gzip", [gzip(&plain[..9]), gzip(&plain[9..])].concat()),
        ("deflate", zlib(&plain)),
        ("deflate", deflate(&plain)),
        ("zstd", zstandard(&plain)),
        ("br", brotli),
        ("gzip, zstd", zstandard(&gzip(&plain))),
        ("identity", plain.clone()),
        ("", plain.clone()),
        ("identity", ["\u{feff}".as_bytes(), &plain].concat()),
        ("gzip", gzip(&["\u{feff}".as_bytes(), &plain].concat())),
    ];
    upstream.always(hello());
    for (encoding, body) in &bodies {
        for path in [CHAT, "/v1/messages"] {
            if path == "/v1/messages" && *encoding == "br" {
                continue; // It has no `max_tokens`.
            }
            let client = app.client().header("cache-control", "no-cache");
            let reply = post(client, path, encoding, body).await;
            assert_eq!(reply.status.as_u16(), 200, "{encoding} {path}");
            reply.json().await;
            let sent = upstream.requests().pop().expect("a request").json();
            assert_eq!(sent["messages"][0]["role"], "user", "{encoding} {path}");
            assert!(sent.to_string().contains("packed"), "{encoding} {path}");
        }
    }
}

#[tokio::test]
async fn the_limit_holds_for_what_is_unpacked() {
    let upstream = Upstream::start().await;
    let app = Setup::of(&upstream).set("REPRISE_MAX_BODY", "100KiB").start().await;
    let large = ask_whole(&" ".repeat(10 << 20)).to_string().into_bytes();
    for (encoding, body) in [
        ("gzip", gzip(&large)),
        ("deflate", zlib(&large)),
        ("zstd", zstandard(&large)),
        ("gzip, gzip", gzip(&gzip(&large))),
    ] {
        assert!(body.len() < 100 << 10);
        let reply = post(app.client(), CHAT, encoding, &body).await;
        assert_eq!(reply.status.as_u16(), 413, "{encoding}");
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn an_encoding_that_is_not_known_or_not_true_is_named() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let plain = ask_whole("hello").to_string().into_bytes();
    let short = &gzip(&plain)[..40];
    for (encoding, body, word) in [
        ("compress", &*plain, "compress"),
        ("gzip, gzip, gzip", &plain, "more than two"),
        ("gzip", &plain, "gzip"),
        ("gzip", short, "gzip"),
        ("deflate", b"\xff\xff\xff", "deflate"),
        ("zstd", &plain, "zstd"),
        ("br", &plain, "br"),
    ] {
        let reply = post(app.client(), CHAT, encoding, body).await;
        let (code, accepted) =
            (reply.status.as_u16(), reply.header("accept-encoding").map(str::to_owned));
        let error: Value = reply.json().await;
        assert_eq!(code, 415, "{encoding}: {error}");
        assert!(error["error"]["message"].as_str().expect("a message").contains(word), "{error}");
        assert!(accepted.is_some());
    }
    assert_eq!(upstream.requests().len(), 0);
}
