#![no_main]

#[expect(dead_code, reason = "other targets use more of it")]
#[path = "../edit.rs"]
mod edit;
#[path = "../input.rs"]
mod input;
#[path = "../prices.rs"]
mod prices;

libfuzzer_sys::fuzz_target!(|data: &[u8]| prices::check(data));
