#![no_main]

#[path = "../edit.rs"]
mod edit;
#[path = "../input.rs"]
mod input;
#[path = "../request.rs"]
mod request;

libfuzzer_sys::fuzz_target!(|data: &[u8]| request::check(data));
