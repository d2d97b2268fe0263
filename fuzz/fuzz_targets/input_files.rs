#![no_main]

#[path = "../../crates/cli/src/input/fuzz.rs"]
mod fuzz;
#[path = "../../crates/cli/src/input.rs"]
#[allow(dead_code, reason = "the program uses the rest")]
mod input;

/// What `input` needs of the program's own `failure` module.
mod failure {
    #[derive(Debug)]
    pub(crate) enum Failure {
        Run(#[allow(dead_code, reason = "printed by the program")] String),
    }

    impl Failure {
        pub(crate) fn run<E: std::fmt::Display>(
            what: impl std::fmt::Display,
        ) -> impl FnOnce(E) -> Self {
            let what = what.to_string();
            move |error| Self::Run(format!("{what}: {error}"))
        }
    }

    impl From<std::io::Error> for Failure {
        fn from(error: std::io::Error) -> Self {
            Self::Run(error.to_string())
        }
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::files(data));
