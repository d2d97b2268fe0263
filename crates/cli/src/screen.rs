//! All that reaches a terminal passes here: what comes from a peer or a file can neither steer it
//! nor look like lines of ours.
//!
//! Two layers: [`visible`] makes one harmless line of a foreign string where it is put into a text;
//! and everything that is written to standard output or error, logs included, goes through the same
//! filter again, which lets line feeds pass and nothing else that a terminal obeys.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::ser::{CompactFormatter, Formatter};

/// Whether a terminal may obey `c`, or show the text around it in another order: control characters
/// (C0, delete, C1), directions, separators, invisible tags.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

fn escaped(
    text: &str,
    keep: impl Fn(char) -> bool,
    escape: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    let bad = |c: char| steers(c) && !keep(c);
    if !text.contains(bad) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if bad(c) {
            escape(c, &mut out);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn default_escape(c: char, out: &mut String) {
    out.extend(c.escape_default());
}

fn json_escape(c: char, out: &mut String) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        // Writing to a string cannot fail.
        let _ = write!(out, "\\u{unit:04x}");
    }
}

/// A foreign string as one harmless line: `\u{1b}[2J`, `a\nb`.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false, default_escape)
}

/// A text of ours, with whatever foreign text was put into it made harmless; lines stay lines.
fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\n', default_escape)
}

/// A stream that only ever receives harmless lines.
#[derive(Debug)]
pub(crate) struct Harmless<W>(pub(crate) W);

impl<W: Write> Write for Harmless<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(lines(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// `print!` that ends the program with an error, where that would panic: a reader such as `head`
/// may have closed the pipe.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::screen::print(format_args!($($text)*))
    };
}
pub(crate) use say;

/// `eprintln!` of harmless lines, in one piece; a closed standard error is nobody's concern.
macro_rules! tell {
    ($($text:tt)*) => {
        $crate::screen::print_error(format_args!($($text)*))
    };
}
pub(crate) use tell;

pub(crate) fn print(text: std::fmt::Arguments<'_>) {
    written(lines(&text.to_string()).as_bytes());
}

/// A drawing of ours: the one text with escape sequences, made of numbers alone.
pub(crate) fn draw(drawing: &str) {
    written(drawing.as_bytes());
}

fn written(bytes: &[u8]) {
    if let Err(error) = io::stdout().write_all(bytes) {
        tell!("gazelle: standard output: {error}");
        std::process::exit(1);
    }
}

/// The target of remarks and errors in a log of JSON.
pub(crate) const SAID: &str = "said";
/// Whether remarks and errors are events of the log.
static JSON: AtomicBool = AtomicBool::new(false);

/// From now on remarks and errors go through the log, which takes JSON.
pub(crate) fn speak_json() {
    JSON.store(true, Ordering::Relaxed);
}

pub(crate) fn print_error(text: std::fmt::Arguments<'_>) {
    if JSON.load(Ordering::Relaxed) {
        tracing::info!(target: SAID, "{text}");
        return;
    }
    let mut text = text.to_string();
    text.push('\n');
    // Where would that be said?
    let _ = io::stderr().write_all(lines(&text).as_bytes());
}

/// An error of ours or of a library, which may span lines: the first names the program, the others
/// are set in, so that none looks like a line of its own.
pub(crate) fn report(failure: &dyn std::fmt::Display) {
    if JSON.load(Ordering::Relaxed) {
        tracing::error!(target: SAID, "{}", failure.to_string().trim_end());
        return;
    }
    tell!("gazelle: {}", failure.to_string().trim_end().replace('\n', "\n  "));
}

/// Whether standard output may be coloured: a terminal that can, and nobody said `NO_COLOR`.
pub(crate) fn coloured() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !refused && !console::is_dumb()
}

/// JSON whose strings hold nothing that a terminal obeys; the same values to every parser.
#[derive(Debug, Default)]
pub(crate) struct HarmlessJson(CompactFormatter);

impl Formatter for HarmlessJson {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        self.0.write_string_fragment(writer, &escaped(fragment, |_| false, json_escape))
    }
}

/// A stream of lines of JSON, whose strings hold nothing that a terminal obeys.
#[derive(Debug)]
pub(crate) struct HarmlessJsonLines<W>(pub(crate) W);

impl<W: Write> Write for HarmlessJsonLines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.0.write_all(escaped(&text, |c| c == '\n', json_escape).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    const FOREIGN: &str = "cat\u{1b}[2J\u{9b}31m\r\n\u{202e}tac\u{7f}\u{e0041}";

    #[test]
    fn adversarial_foreign_strings_become_one_harmless_line() {
        let shown = visible(FOREIGN);
        assert!(!shown.contains(steers), "{shown}");
        assert!(shown.starts_with("cat\\u{1b}[2J\\u{9b}31m\\r\\n\\u{202e}tac"), "{shown}");
        assert_eq!(visible("Katze, 猫, chat noir"), "Katze, 猫, chat noir");
    }

    #[test]
    fn adversarial_streams_let_line_feeds_pass_and_nothing_else() {
        let mut stream = Harmless(Vec::new());
        stream.write_all(format!("{FOREIGN}\nnext\n").as_bytes()).unwrap();
        let text = String::from_utf8(stream.0).unwrap();
        assert!(text.chars().all(|c| c == '\n' || !steers(c)), "{text}");
        assert!(text.ends_with("\nnext\n"));
        let mut stream = Harmless(Vec::new());
        stream.write_all(b"\xff\x9b31m").unwrap();
        assert_eq!(String::from_utf8(stream.0).unwrap(), "\u{fffd}\u{fffd}31m");
    }

    #[test]
    fn adversarial_json_holds_the_same_strings_and_no_escapes() {
        let mut bytes = Vec::new();
        let mut writer =
            serde_json::Serializer::with_formatter(&mut bytes, HarmlessJson::default());
        FOREIGN.serialize(&mut writer).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(!text.contains(steers), "{text}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), FOREIGN);
        let line = serde_json::to_string(FOREIGN).unwrap() + "\n";
        let mut stream = HarmlessJsonLines(Vec::new());
        stream.write_all(line.as_bytes()).unwrap();
        let text = String::from_utf8(stream.0).unwrap();
        assert!(text.chars().all(|c| c == '\n' || !steers(c)), "{text}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), FOREIGN);
    }
}
