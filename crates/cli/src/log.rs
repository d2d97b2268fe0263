//! The log: one line per event on standard error, with its time, without colours, so that a file
//! holds what a terminal shows; or a JSON object per line, remarks and errors included, for programs that collect logs.

use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::arguments::{Arguments, Command, LogFormat};
use crate::screen::{self, Harmless, HarmlessJsonLines, tell};

/// Starts it: `RUST_LOG` if that is set, else what `--quiet` and `--verbose` say. A server tells of
/// its sessions, other commands of what goes wrong.
pub(crate) fn start(arguments: &Arguments) {
    let usual = match &arguments.command {
        Command::Serve(_) => LevelFilter::INFO,
        _ => LevelFilter::WARN,
    };
    let level = match (arguments.quiet, arguments.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => usual,
        (false, 1) => LevelFilter::INFO.max(usual),
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let targets = match std::env::var("RUST_LOG") {
        Ok(text) if !text.is_empty() => text.parse().unwrap_or_else(|error| {
            tell!("gazelle: RUST_LOG is ignored: {error}");
            Targets::new().with_default(level)
        }),
        _ => Targets::new().with_default(level),
    };
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_target(false);
    if arguments.log_format == LogFormat::Json {
        let lines = lines.json().with_writer(|| HarmlessJsonLines(std::io::stderr()));
        let targets = targets.with_target(screen::SAID, LevelFilter::INFO);
        tracing_subscriber::registry().with(lines.with_filter(targets)).init();
        screen::speak_json();
    } else {
        let lines = lines.with_writer(|| Harmless(std::io::stderr()));
        tracing_subscriber::registry().with(lines.with_filter(targets)).init();
    }
}
