#![no_main]

#[path = "../edit.rs"]
mod edit;
#[expect(dead_code, reason = "other targets use more of it")]
#[path = "../input.rs"]
mod input;
#[path = "../request.rs"]
mod request;

libfuzzer_sys::fuzz_target!(|data: &[u8]| request::check(data));
