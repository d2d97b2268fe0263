//! `gazelle inspect --data DIR --labels CSV`: how often the network is right on inputs whose class is
//! known: in floating point, in fixed point, and computed by two parties.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gazelle::backend::Choice;
use gazelle::wire::memory;
use gazelle::{Description, GazelleError, Learnt, Limits, Offer, ServerLimits};
use gazelle_host::Loaded;
use gazelle_model::fixed::{self, Rounding};
use gazelle_model::reveal;
use serde::Serialize;

use crate::failure::Failure;
use crate::model_file;
use crate::output;
use crate::screen::say;
use gazelle_input::{Encoder, Input};

/// How often the network was right; part of `inspect --json`.
#[derive(Debug, Serialize)]
pub(crate) struct Accuracy {
    f32: Score,
    fixed_point: Score,
    /// Over the first inputs alone.
    private: Score,
    /// Inputs of the last that got the class of the fixed-point network.
    private_as_fixed_point: usize,
}

/// Right classes among inputs.
#[derive(Debug, Default, Clone, Copy, Serialize)]
struct Score {
    inputs: usize,
    right: usize,
    accuracy: f64,
}

impl Score {
    fn add(&mut self, right: bool) {
        self.inputs += 1;
        self.right += usize::from(right);
        self.accuracy = self.right as f64 / self.inputs as f64;
    }
}

/// An input whose class is known.
#[derive(Debug, PartialEq, Eq)]
struct Labelled {
    file: PathBuf,
    class: usize,
}

/// Runs all inputs that `table` lists, files of `folder`; the first `limit` of them by both parties,
/// in this process.
pub(crate) fn measure(
    model: &Loaded,
    folder: &Path,
    table: &Path,
    limit: usize,
) -> Result<Accuracy, Failure> {
    let names = output::labels(&model.info);
    let classes = reveal::classes(model.quantised.network.architecture());
    let text = std::fs::read_to_string(table).map_err(Failure::run(table.display()))?;
    let listed = parse(&text, names, classes).map_err(Failure::run(table.display()))?;
    let server = model.compile()?;
    let description = Description::parse(server.description())?;
    let encoder = Encoder::new(&description.architecture, description.model.interface.as_ref())?;
    let network = &model.quantised.network;
    let (mut f32, mut fixed_point) = (Score::default(), Score::default());
    let mut both = Vec::new();
    for (index, item) in listed.iter().enumerate() {
        let input = read(&folder.join(&item.file))?;
        f32.add(largest(&model_file::plaintext(model, &encoder, &input)?) == item.class);
        let (encoded, _) = encoder.encode(&input)?;
        let values =
            fixed::run(network, &encoded, Rounding::Nearest).map_err(Failure::run(&input.name))?;
        let class = revealed(model, &values);
        fixed_point.add(class == item.class);
        if index < limit {
            both.push((encoded, item.class, class));
        }
    }
    let inputs: Vec<Vec<i64>> = both.iter().map(|(encoded, ..)| encoded.clone()).collect();
    let private_classes = private(Arc::new(server), &description, &inputs)?;
    let mut private = Score::default();
    let mut same = 0;
    for (class, (_, right, fixed_point)) in private_classes.iter().zip(&both) {
        private.add(class == right);
        same += usize::from(class == fixed_point);
    }
    Ok(Accuracy { f32, fixed_point, private, private_as_fixed_point: same })
}

/// The classes that a client learns, both parties in this process.
fn private(
    server: Arc<gazelle::backend::DefaultService>,
    description: &Description,
    inputs: &[Vec<i64>],
) -> Result<Vec<usize>, Failure> {
    if inputs.is_empty() {
        return Ok(Vec::new());
    }
    let suite = Choice::parse(description)?.suite(description.nonlinear.len());
    let (ours, theirs) = memory::pair();
    let thread = std::thread::Builder::new().name("server".into()).spawn(move || {
        let mut rng = gazelle::system_rng()?;
        server.serve(theirs, &ServerLimits::default(), &mut rng).map(drop)
    })?;
    let run = || -> Result<Vec<usize>, GazelleError> {
        let mut rng = gazelle::system_rng()?;
        let offer = Offer::receive(ours, Limits::default(), None, &mut rng)?;
        let mut client: gazelle::backend::DefaultClient = offer.accept(suite, &mut rng)?;
        let mut classes = Vec::with_capacity(inputs.len());
        for input in inputs {
            let prepared = client.prepare(&mut rng)?;
            classes.push(match client.infer(prepared, input)?.learnt() {
                Learnt::Logits(logits) => largest(&logits),
                Learnt::Classes(classes) => classes.first().copied().unwrap_or_default(),
            });
        }
        client.close()?;
        Ok(classes)
    };
    let classes = run();
    match thread.join() {
        Ok(Ok(())) => Ok(classes?),
        // The side that failed first says why.
        Ok(Err(error)) => Err(classes.err().unwrap_or(error).into()),
        Err(_) => Err(Failure::Run("the server's thread panicked".into())),
    }
}

fn read(path: &Path) -> Result<Input, Failure> {
    let mut inputs = gazelle_input::read_all(&[path.to_path_buf()], 2)?;
    match (inputs.pop(), inputs.is_empty()) {
        (Some(input), true) => Ok(input),
        _ => Err(Failure::Run(format!("{}: not a file of one input", path.display()))),
    }
}

/// The class that revealed integers tell.
fn revealed(model: &Loaded, values: &[i64]) -> usize {
    let architecture = model.quantised.network.architecture();
    if reveal::revealed(architecture) == gazelle_model::Reveal::Logits {
        return largest(&fixed::decode(architecture, values));
    }
    values.first().and_then(|class| usize::try_from(*class).ok()).unwrap_or(usize::MAX)
}

/// The first of the largest.
fn largest(logits: &[f64]) -> usize {
    gazelle::ranking(logits, &[], 1).first().map_or(0, |first| first.class)
}

/// Lines of `file,label`; a label is a class's number, or its name. A first line of exactly that is
/// a heading.
fn parse(text: &str, names: &[String], classes: usize) -> Result<Vec<Labelled>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let mut listed = Vec::new();
    for (index, record) in reader.records().enumerate() {
        let record = record.map_err(|error| error.to_string())?;
        let line = index + 1;
        let (Some(file), Some(label), 2) = (record.get(0), record.get(1), record.len()) else {
            return Err(format!("line {line}: a line must be file,label"));
        };
        if index == 0 && file.eq_ignore_ascii_case("file") {
            continue;
        }
        let named = || names.iter().position(|name| name == label);
        let class = named().or_else(|| label.parse().ok()).filter(|class| *class < classes);
        let class = class.ok_or_else(|| {
            format!("line {line}: {label:?} is neither the name of a class nor below {classes}")
        })?;
        listed.push(Labelled { file: file.into(), class });
    }
    if listed.is_empty() {
        return Err("no line of file,label".into());
    }
    Ok(listed)
}

/// A table for people.
pub(crate) fn print(accuracy: &Accuracy) {
    say!("accuracy on labelled inputs:\n");
    let rows = [
        ("f32", accuracy.f32),
        ("fixed point", accuracy.fixed_point),
        ("private", accuracy.private),
    ];
    for (name, score) in rows {
        let share = 100.0 * score.accuracy;
        say!("  {name:<12} {share:>6.2} %  {} of {}\n", score.right, score.inputs);
    }
    let same = accuracy.private_as_fixed_point;
    say!("  {same} of {} private classes are the fixed-point network's\n", accuracy.private.inputs);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["cat", "dog", "7"].map(str::to_owned).to_vec()
    }

    #[test]
    fn known_answer_labels_are_names_or_numbers() {
        let text = "file,label\na.png, dog\n\"b, c.png\",0\n# said by nobody\nd.npy,7\n";
        let listed = parse(text, &names(), 3).unwrap();
        let found: Vec<(&str, usize)> =
            listed.iter().map(|item| (item.file.to_str().unwrap(), item.class)).collect();
        assert_eq!(found, [("a.png", 1), ("b, c.png", 0), ("d.npy", 2)]);
    }

    #[test]
    fn adversarial_lines_that_make_no_sense_are_named() {
        for (text, line) in [("a.png\n", 1), ("a,1\nb,3\n", 2), ("a,1,2\n", 1), ("a,bird\n", 1)] {
            let error = parse(text, &names(), 3).unwrap_err();
            assert!(error.contains(&format!("line {line}")), "{error}");
        }
        assert!(parse("", &names(), 3).is_err());
    }
}
