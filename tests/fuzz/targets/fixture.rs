#![no_main]

#[expect(dead_code, reason = "other targets use more of it")]
#[path = "../edit.rs"]
mod edit;
#[path = "../fixture.rs"]
mod fixture;
#[path = "../input.rs"]
mod input;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fixture::check(data));
