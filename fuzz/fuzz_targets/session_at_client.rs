#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gazelle::testing::fuzz::at_client(data));
