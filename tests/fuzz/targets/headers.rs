#![no_main]

#[path = "../headers.rs"]
mod headers;
#[path = "../input.rs"]
mod input;

libfuzzer_sys::fuzz_target!(|data: &[u8]| headers::check(data));
