#![no_main]

use gazelle_input::testing::fuzz;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::files(data));
