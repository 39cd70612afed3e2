#![no_main]

#[expect(dead_code, reason = "other tests ask for more")]
#[path = "../../playback/client.rs"]
mod client;
#[path = "../input.rs"]
mod input;
#[path = "../stream.rs"]
mod stream;

const ID: &str = "chatcmpl-1";
const CREATED: i64 = 1_700_000_000;

libfuzzer_sys::fuzz_target!(|data: &[u8]| stream::check(data));
