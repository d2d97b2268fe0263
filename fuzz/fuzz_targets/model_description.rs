#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gazelle_model::testing::fuzz::description(data));
