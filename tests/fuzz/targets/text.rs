#![no_main]

#[path = "../edit.rs"]
mod edit;
#[path = "../input.rs"]
mod input;
#[path = "../text.rs"]
mod text;

libfuzzer_sys::fuzz_target!(|data: &[u8]| text::check(data));
