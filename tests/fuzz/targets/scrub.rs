#![no_main]

#[path = "../input.rs"]
mod input;
#[path = "../scrub.rs"]
mod scrub;

libfuzzer_sys::fuzz_target!(|data: &[u8]| scrub::check(data));
