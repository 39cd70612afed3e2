#![no_main]

#[path = "../headers.rs"]
mod headers;
#[expect(dead_code, reason = "other targets use more of it")]
#[path = "../input.rs"]
mod input;

libfuzzer_sys::fuzz_target!(|data: &[u8]| headers::check(data));
