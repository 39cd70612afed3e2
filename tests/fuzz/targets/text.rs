#![no_main]

#[path = "../edit.rs"]
mod edit;
#[expect(dead_code, reason = "other targets use more of it")]
#[path = "../input.rs"]
mod input;
#[path = "../text.rs"]
mod text;

libfuzzer_sys::fuzz_target!(|data: &[u8]| text::check(data));
