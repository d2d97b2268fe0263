//! `infer --csv`: one line per input, for spreadsheets and data frames.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use csv::Writer;

use crate::failure::Failure;
use crate::output::Object;
use crate::screen::visible;

/// A table that grows with the answers.
pub(crate) struct AnswerTable {
    writer: Writer<Box<dyn Write>>,
    /// Values per line, known from the first answer on: classes with logits, and with probabilities.
    columns: Option<[usize; 2]>,
}

impl AnswerTable {
    /// Begins a file; `-` is standard output.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let target: Box<dyn Write> = if is_standard_output(path) {
            Box::new(io::stdout())
        } else {
            Box::new(File::create(path).map_err(Failure::run(path.display()))?)
        };
        Ok(Self { writer: Writer::from_writer(target), columns: None })
    }

    /// Adds a line, after the heading if it is the first.
    pub(crate) fn add(&mut self, object: &Object<'_>) -> Result<(), Failure> {
        let answer = &object.answer;
        let len = |values: &Option<Vec<f64>>| values.as_ref().map_or(0, Vec::len);
        let found = [len(&answer.logits), len(&answer.probabilities)];
        if self.columns.is_none() {
            self.columns = Some(found);
            self.write(heading(found))?;
        }
        let top = answer.top.iter().map(|ranked| ranked.class.to_string());
        let seconds = |phase: &gazelle::Phase| format!("{:.6}", phase.seconds);
        let mut line = vec![
            cell(object.input),
            answer.class.to_string(),
            cell(&answer.label),
            top.collect::<Vec<_>>().join(" "),
            (answer.tie == Some(true)).to_string(),
            object.unlike_calibration.to_string(),
            answer.tolerance.to_string(),
            seconds(&object.offline),
            seconds(&object.online),
            (object.offline.bytes_sent + object.online.bytes_sent).to_string(),
            (object.offline.bytes_received + object.online.bytes_received).to_string(),
        ];
        let values = answer.logits.iter().chain(&answer.probabilities).flatten();
        line.extend(values.map(ToString::to_string));
        self.write(line)?;
        // Whoever reads along sees each answer when it is there.
        self.writer.flush().map_err(Failure::run("the CSV file"))
    }

    fn write(&mut self, line: Vec<String>) -> Result<(), Failure> {
        self.writer.write_record(line).map_err(Failure::run("the CSV file"))
    }
}

/// Whether a path means standard output.
pub(crate) fn is_standard_output(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn heading([logits, probabilities]: [usize; 2]) -> Vec<String> {
    let mut names: Vec<String> = [
        "input",
        "class",
        "label",
        "top",
        "tie",
        "unlike_calibration",
        "tolerance",
        "offline_seconds",
        "online_seconds",
        "bytes_sent",
        "bytes_received",
    ]
    .map(str::to_owned)
    .to_vec();
    names.extend((0..logits).map(|class| format!("logit_{class}")));
    names.extend((0..probabilities).map(|class| format!("probability_{class}")));
    names
}

/// A foreign text as a cell: one line, and no formula of a spreadsheet.
fn cell(text: &str) -> String {
    let text = visible(text);
    let formula = text.trim_start().starts_with(['=', '+', '-', '@']);
    if formula { format!("'{text}") } else { text.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adversarial_labels_are_no_formulas() {
        assert_eq!(cell("=1+1"), "'=1+1");
        assert_eq!(cell(" @SUM(A1)"), "' @SUM(A1)");
        assert_eq!(cell("-x\n"), "'-x\\n");
        assert_eq!(cell("cat, \"dog\""), "cat, \"dog\"");
    }
}
