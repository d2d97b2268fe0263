#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gazelle_he::testing::fuzz::messages(data));
