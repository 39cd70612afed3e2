//! Requests as bytes, to the whole server in a replay: whatever stands in the head, there is an answer, no fault of ours,
//! and its own head is clean.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use reprise::{
    config::{Config, Flags},
    domain::cassette::Scrubber,
    server::Server,
};
use tokio::runtime::{Builder, Runtime};

use super::input::Input;

const METHODS: [&str; 6] = ["GET", "POST", "OPTIONS", "HEAD", "DELETE", "PUT"];
const PATHS: [&str; 16] = [
    "/v1/chat/completions",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/models",
    "/v1/models/claude-haiku-4-5",
    "/v1/models/%00%ff",
    "/v1",
    "/health",
    "/ready",
    "/metrics",
    "/",
    "/replay",
    "/cache/clear",
    "/prune",
    "/v1//v1/chat/completions/?a=%",
    "/v1/responses",
];
/// Every header that is read, and some that are not.
const NAMES: [&str; 44] = [
    "host",
    "origin",
    "authorization",
    "x-api-key",
    "api-key",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "accept-encoding",
    "accept",
    "expect",
    "connection",
    "user-agent",
    "cache-control",
    "anthropic-version",
    "anthropic-beta",
    "x-owui-task",
    "x-owui-chat",
    "x-owui-message",
    "x-owui-user-message",
    "x-owui-user-name",
    "x-owui-user-email",
    "x-openwebui-user-name",
    "x-openwebui-user-email",
    "x-owui-user",
    "x-openwebui-user-id",
    "x-openwebui-chat-id",
    "x-openwebui-message-id",
    "x-openwebui-user-jwt",
    "x-reprise-scenario",
    "forwarded",
    "x-forwarded-for",
    "x-real-ip",
    "via",
    "access-control-request-method",
    "access-control-request-headers",
    "access-control-request-private-network",
    "sec-fetch-site",
    "range",
    "if-none-match",
    "traceparent",
    "x-stainless-retry-count",
    "upgrade",
    "content-length",
];
/// Values that mean something to one header or another.
const VALUES: [&str; 37] = [
    "",
    "127.0.0.1",
    "localhost:1",
    "[::1]:80",
    "http://localhost",
    "https://evil.example",
    "null",
    "Bearer sk-1",
    "bearer  ",
    "Basic Og==",
    "application/json",
    "gzip",
    "gzip, br",
    "deflate",
    "zstd",
    "identity;q=0, *",
    "br, br, br",
    "no-cache",
    "no-store",
    "only-if-cached, max-age=99999999999999999999",
    "max-age=\"5\", min-fresh=x",
    "2023-06-01",
    "a, b,,a",
    "title_generation",
    "{{CHAT_ID}}",
    "temporary:1",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdefghijk",
    "aiohttp/3.9",
    "100-continue",
    "for=\"[::1]\"",
    "chunked",
    "POST",
    "Bearer sk-2",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1IiwiaXNzIjoib3Blbi13ZWJ1aSIsImV4cCI6NDEwMjQ0NDgwMH0.Vt0QtqMmNimVMbjrTzCvjBPTWW4gV7fplLxKpaemxlk",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIgIiwiaXNzIjoib3Blbi13ZWJ1aSIsImV4cCI6NDEwMjQ0NDgwMH0.CcbhMl9eE5I_tlXT_Y4k5W0eHLZwLbI9mGjuIly5zl0",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1IiwiaXNzIjoib3Blbi13ZWJ1aSIsImV4cCI6MX0.S6lYrtApFMf-w_khNd97QnQjl60h9LazZl2WeNxRzeU",
    "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJ1IiwiaXNzIjoib3Blbi13ZWJ1aSIsImV4cCI6NDEwMjQ0NDgwMH0.s6pIhqJ-5FPUbT2CykS1lI1McQqC03gaJ-GYpYi7boY",
];
const HELLO: &str =
    r#"{"model":"claude-haiku-4-5","messages":[{"role":"user","content":"Hello!"}]}"#;

/// The key that users are signed with.
const SECRET: &str = "a secret of the fuzzer's own, long enough";

thread_local! {
    /// Servers for all inputs of a thread: to start one takes longer than to ask it.
    static SERVERS: (Runtime, [SocketAddr; 2]) = start();
}

/// Starts a server that is open to all on this machine, and one with keys and signed users.
fn start() -> (Runtime, [SocketAddr; 2]) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut folders = folders.map(|folder| folder.join("fixtures/demo"));
    let fixtures = [folders.find(|folder| folder.is_dir()).expect("our fixtures")];
    let addresses = [false, true].map(|has_keys| {
        let flags = Flags::default().with("port", "0");
        let env = |name: &str| match name {
            _ if !has_keys => None,
            "REPRISE_CLIENT_KEY" => Some("sk-1".to_owned()),
            "REPRISE_ADMIN_KEY" => Some("sk-2".to_owned()),
            "REPRISE_USER_JWT_SECRET" => Some(SECRET.to_owned()),
            _ => None,
        };
        let config = Config::load_replay(&fixtures, &flags, &env).expect("settings");
        let server = runtime.block_on(Server::start_replay(config, Scrubber::default()));
        let server = server.expect("a server");
        let address = server.address().expect("an address");
        runtime.spawn(server.run(std::future::pending(), std::future::pending()));
        address
    });
    (runtime, addresses)
}

/// The first byte chooses the server, and between a request as it is, and choices of which one is made.
pub(super) fn check(data: &[u8]) {
    let mut input = Input(data);
    let choice = input.byte();
    let request = if choice % 4 < 2 { input.0.to_vec() } else { request(&mut input) };
    let answer = SERVERS.with(|(_, servers)| ask(servers[usize::from(choice % 2)], &request));
    check_answer(&answer);
}

fn request(input: &mut Input<'_>) -> Vec<u8> {
    let (method, path) = (input.pick(&METHODS), input.pick(&PATHS));
    let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n").into_bytes();
    for _ in 0..input.below(10) {
        let name = input.pick(&NAMES);
        let value = match input.byte() {
            byte @ ..200 => VALUES[usize::from(byte) % VALUES.len()].as_bytes().to_vec(),
            _ => input.bytes(60).to_vec(),
        };
        let is_text = |byte: &u8| !b"\r\n\0".contains(byte);
        head.extend([name.as_bytes(), b": "].concat());
        head.extend(value.into_iter().filter(is_text));
        head.extend(b"\r\n");
    }
    let body = if input.byte().is_multiple_of(2) { HELLO.as_bytes() } else { input.0 };
    if input.below(8) > 0 {
        head.extend(format!("host: 127.0.0.1\r\ncontent-length: {}\r\n", body.len()).into_bytes());
    }
    head.extend(b"\r\n");
    head.extend(body);
    head
}

fn ask(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut connection = TcpStream::connect(address).expect("the server is there");
    connection.set_read_timeout(Some(Duration::from_secs(9))).expect("a timeout");
    // The server may have answered and closed before it has read everything.
    let _ = connection.write_all(request).and_then(|()| connection.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    let read = connection.read_to_end(&mut answer);
    let is_stuck = read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
    assert!(!is_stuck, "no end after {:?}", String::from_utf8_lossy(&answer));
    answer
}

/// Every answer has a status that is no fault of ours, and a head without control characters.
fn check_answer(answer: &[u8]) {
    let mut answer = answer;
    while let Some(at) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
        // Names of headers that a browser asks for are mirrored, and need not be UTF-8.
        let head = String::from_utf8_lossy(&answer[..at]);
        let mut lines = head.split("\r\n");
        let Some(status) = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")) else {
            return;
        };
        let status: u16 = status[..3].parse().expect("a status");
        assert!(![500, 501, 502].contains(&status), "{head}");
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
            assert!(!name.is_empty() && !value.contains(|c: char| c.is_ascii_control()), "{head}");
        }
        answer = &answer[at + 4..];
        if status >= 200 {
            if head.contains("content-type: application/json")
                && !answer.is_empty()
                && !head.contains("chunked")
            {
                let end =
                    answer.windows(9).position(|nine| nine == b"HTTP/1.1 ").unwrap_or(answer.len());
                let body = serde_json::from_slice::<serde_json::Value>(&answer[..end]);
                assert!(body.is_ok(), "{head}\n{}", String::from_utf8_lossy(answer));
            }
            return;
        }
    }
}
