#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gazelle::testing::fuzz::compiled_model(data));
