#![no_main]

#[expect(dead_code, reason = "other targets use more of it")]
#[path = "../input.rs"]
mod input;
#[path = "../scrub.rs"]
mod scrub;

libfuzzer_sys::fuzz_target!(|data: &[u8]| scrub::check(data));
