#![no_main]

#[path = "../edit.rs"]
mod edit;
#[path = "../input.rs"]
mod input;
#[path = "../fixture.rs"]
mod fixture;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fixture::check(data));
