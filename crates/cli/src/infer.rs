//! `gazelle infer`: the client.

mod ahead;
mod files;
mod jobs;
mod journal;
pub(crate) mod shelf;
mod visit;

use std::time::{Duration, Instant};

use gazelle::backend::{Choice, DefaultSuite, planner};
use gazelle::{Description, Hints, InferenceReport};

use crate::arguments::Infer;
use crate::failure::Failure;
use crate::infer::ahead::{Ahead, Encoded};
use crate::infer::files::AnswerFiles;
use crate::infer::jobs::Answered;
use crate::infer::journal::Journal;
use crate::infer::shelf::ClientSetups;
use crate::infer::visit::Visit;
use crate::notices::Notices;
use crate::output::{self, Summary};
use crate::progress::BatchProgress;
use crate::screen::{self, say, tell, visible};
use crate::{Outcome, arguments, stores};
use gazelle_input::{Encoder, Input, InputError, Notice, Source};

/// So long one good input is looked for while the server waits for an answer to its offer; after
/// that the session begins without one.
const FIRST: Duration = Duration::from_secs(2);

/// Connects, then prepares and computes one inference per input. An input that cannot be read is
/// reported and left out, unless `--fail-fast` is given.
pub(crate) fn run(command: &Infer, quiet: bool, verbose: bool) -> Outcome {
    let machine_read = files::programs_read(command);
    let mut failed = Failed { fail_fast: command.fail_fast, count: 0 };
    let sources = sources(command, quiet, &mut failed)?;
    let all = failed.count + sources.iter().map(Source::count).sum::<usize>();
    let mut journal = command.resume.as_deref().map(Journal::open).transpose()?;
    let finished = journal.as_ref().map_or(0, Journal::count);
    let mut open: Box<dyn FnMut(&str) -> bool + Send> = match &journal {
        Some(journal) => Box::new(journal.filter()),
        None => Box::new(|_| true),
    };
    let inputs = sources.into_iter().flat_map(Source::inputs);
    let mut inputs = inputs.filter(move |input| input.as_ref().map_or(true, |i| open(&i.name)));
    // Decoded before the server hears of us: its patience is for the protocol.
    let Some(first) = failed.first(&mut inputs)? else {
        // All of them have had their answer before.
        return if failed.count == 0 { Ok(()) } else { Err(failed.verdict(all)) };
    };
    let machine = command.link.map(|_| output::machine(command.calibrate)).transpose()?;
    let own_labels = command.labels.as_deref().map(output::read_labels).transpose()?;
    let mut files = AnswerFiles::create(command)?;
    let left = all.saturating_sub(finished);
    let batch = BatchProgress::new(left, quiet);
    let nice = arguments::niceness(command.offline_nice)?;
    let more = usize::from(command.jobs - 1).min(left.saturating_sub(1));
    let mut visit = Visit::new(command, &batch, shelf(command)?, nice);
    // Other sessions go on with the first one's setup: it is to be there before them.
    visit.set_up_first(more > 0);
    let offer = visit.offer()?;
    let encoder = {
        let description = offer.description();
        Encoder::new(&description.architecture, description.model.interface.as_ref())?
    }
    .clamping(command.clamp);
    if let Some(labels) = &own_labels {
        check_labels(labels, offer.description())?;
    }
    let first = match failed.fitting(first, &mut inputs, &encoder, &batch)? {
        FirstInput::Good(input) => Some(Ok(input)),
        FirstInput::NotYet => None,
        FirstInput::NoMore => return Err(failed.verdict(all)),
    };
    // Encoded beside the handshake: the server's patience with it does not pay for that.
    let (own, pictures) = (encoder.clone(), files.want_pictures());
    let encode = move |input: &Input| Encoded::new(&own, input, pictures);
    let ahead = Ahead::start(first.into_iter().chain(inputs), encode)?;
    files.begin(command, &offer)?;
    let mut rng = gazelle::system_rng().map_err(Failure::run("random numbers"))?;
    let suite = terms(command, offer.description(), all, quiet)?;
    let client = visit.begin(offer, suite, &mut rng)?;
    visit.tell_stored(quiet || machine_read);
    let mut predicted = match (command.link, machine) {
        (Some(link), Some(machine)) => {
            let description = client.description();
            Some(planner::predict(client.plan(), client.traffic(), description, link, &machine)?)
        }
        _ => None,
    };
    if !quiet && !machine_read && unwatched(&client.description().model) {
        batch.suspend(|| tell!("{UNPROVEN}"));
    }
    let mut summary = Summary::new(client.setup(), more > 0);
    let mut layers = command.layers || verbose;
    let mut notices = Notices::new(quiet);
    batch.start();
    // Kept at hand while the session itself is away at its inputs.
    let model = client.description().model.clone();
    let labels = own_labels.as_deref().unwrap_or(output::labels(&model));
    jobs::run(ahead, (visit, client), more, |came| {
        let Answered { name, notices: new, thumbnail, inference, setup } = match came {
            Ok(answer) => *answer,
            Err(failure) => {
                files.failed(&failure)?;
                return failed.note(failure, &batch);
            }
        };
        let mut object = output::object(&name, &inference, &model, labels, command.top);
        object.unlike_calibration = new.contains(&Notice::Unlike);
        object.setup = summary.tell_setup(setup);
        object.predicted = predicted.take();
        files.add(&object, thumbnail.as_deref(), &new)?;
        summary.add(&inference.report);
        batch.advance();
        batch.suspend(|| {
            for notice in new {
                notices.tell(&name, notice);
            }
            if command.json {
                return output::json(&object);
            }
            if machine_read {
                return Ok(());
            }
            print(&object, &inference.report, std::mem::take(&mut layers));
            Ok(())
        })?;
        journal.as_mut().map_or(Ok(()), |journal| journal.add(&name))
    })?;
    drop(batch);
    notices.end();
    files.end(&summary, (failed.count, all))?;
    if !machine_read && !quiet {
        say!("{summary}");
    }
    if failed.count > 0 { Err(failed.verdict(all)) } else { Ok(()) }
}

/// Where setups are kept, unless the command line wants none.
fn shelf(command: &Infer) -> Result<Option<ClientSetups>, Failure> {
    if command.no_store {
        return Ok(None);
    }
    let store = stores::client(&command.link_layer)?;
    Ok(Some(ClientSetups::new(store, &command.link_layer.server)))
}

/// Whether a server neither proves that every input fits nor says what it was calibrated with.
fn unwatched(model: &gazelle::ModelInfo) -> bool {
    let likeness = model.interface.as_ref().and_then(|interface| interface.likeness);
    !model.proven && likeness.is_none()
}

/// What people are told of a server that neither proves its ranges nor says what it was calibrated
/// with.
const UNPROVEN: &str = "\
note: the server has not proven that its numbers fit every input in its range: an unusual
  one may come out wrong";

/// The suite that a server's description asks for, unless its owner decided what this client minds;
/// it is to compute `count` inputs.
fn terms(
    command: &Infer,
    description: &Description,
    count: usize,
    quiet: bool,
) -> Result<DefaultSuite, Failure> {
    let choice = Choice::parse(description)?;
    if Hints::from(command.hints) == Hints::Fresh && choice.hints == Hints::Reused {
        return Err(Failure::Run(
            "this server uses a setup's hints for all inferences of a session: it would have to serve \
             with --hints fresh"
                .into(),
        ));
    }
    if let Some(rate) = choice.audit.filter(|_| !quiet) {
        tell!(
            "note: the server trusts no client: {rate} of what is prepared is opened, checked and thrown away \
             (what it opens says nothing about your inputs)"
        );
    }
    let most = choice.max_inferences.filter(|most| !quiet && count as u64 > *most);
    if let Some(most) = most {
        tell!("note: {count} inputs, and the server lets a client make {most} inferences in all");
    }
    Ok(choice.suite(description.nonlinear.len()))
}

/// The files of the command line; those that cannot be used are told at once.
fn sources(command: &Infer, quiet: bool, failed: &mut Failed) -> Result<Vec<Source>, Failure> {
    let limit = command.limit.unwrap_or(usize::MAX);
    let mut sources = Vec::with_capacity(command.inputs.len());
    for path in &command.inputs {
        let found = match gazelle_input::find(path) {
            Ok(found) => found,
            Err(error) => {
                failed.tell(error.into())?;
                continue;
            }
        };
        for left_out in found.left_out.iter().filter(|_| !quiet) {
            tell!("note: {}: no input file, left out", visible(&left_out.display().to_string()));
        }
        for file in &found.files {
            match Source::open(file, limit) {
                Ok(source) => sources.push(source),
                Err(error) => failed.tell(error.into())?,
            }
        }
    }
    Ok(sources)
}

/// A label for each class, no fewer and no more: else each could stand beside another class.
fn check_labels(labels: &[String], description: &Description) -> Result<(), Failure> {
    let classes = gazelle_model::reveal::classes(&description.architecture);
    if labels.len() == classes {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "--labels has {} lines, the model has {classes} classes",
        labels.len()
    )))
}

/// What a look for a good input found.
enum FirstInput {
    Good(Input),
    /// None in the time that there was.
    NotYet,
    /// None at all.
    NoMore,
}

/// Inputs that gave no answer.
#[derive(Debug)]
struct Failed {
    fail_fast: bool,
    count: usize,
}

impl Failed {
    /// Reports one and goes on, or stops.
    fn tell(&mut self, failure: Failure) -> Result<(), Failure> {
        if self.fail_fast {
            return Err(failure);
        }
        self.count += 1;
        screen::report(&failure);
        Ok(())
    }

    /// As [`tell`](Self::tell), within a batch.
    fn note(&mut self, failure: Failure, batch: &BatchProgress) -> Result<(), Failure> {
        batch.advance();
        batch.suspend(|| self.tell(failure))
    }

    /// The next input that can be read.
    fn first(
        &mut self,
        inputs: &mut impl Iterator<Item = Result<Input, InputError>>,
    ) -> Result<Option<Input>, Failure> {
        for input in inputs {
            match input {
                Ok(input) => return Ok(Some(input)),
                Err(error) => self.tell(error.into())?,
            }
        }
        Ok(None)
    }

    /// The first input whose size or shape fits the model, looked for during [`FIRST`]: it is known
    /// before anything else is asked of the server.
    fn fitting(
        &mut self,
        first: Input,
        inputs: &mut impl Iterator<Item = Result<Input, InputError>>,
        encoder: &Encoder,
        batch: &BatchProgress,
    ) -> Result<FirstInput, Failure> {
        let begin = Instant::now();
        let mut input = first;
        loop {
            match encoder.fits(&input) {
                Ok(()) => return Ok(FirstInput::Good(input)),
                Err(error) => self.note(error.into(), batch)?,
            }
            if begin.elapsed() >= FIRST {
                return Ok(FirstInput::NotYet);
            }
            match self.first(inputs)? {
                Some(next) => input = next,
                None => return Ok(FirstInput::NoMore),
            }
        }
    }

    fn verdict(&self, all: usize) -> Failure {
        Failure::Run(format!("{} of {all} inputs failed", self.count))
    }
}

fn print(object: &output::Object<'_>, report: &InferenceReport, layers: bool) {
    // On the line of the answer itself, so that nobody reads one without the other.
    let doubt = if object.unlike_calibration { "  (do not trust: see the remark)" } else { "" };
    say!("{}: {}{doubt}\n", visible(object.input), visible(&object.answer.label));
    if !object.answer.tied.is_empty() {
        let tied: Vec<String> = object.answer.tied.iter().map(ToString::to_string).collect();
        say!("  a tie at this resolution: classes {}\n", tied.join(", "));
    }
    for line in output::classes(&object.answer) {
        say!("  {line}\n");
    }
    if layers {
        say!("{}", output::table(report));
    }
    if let Some(predicted) = object.predicted {
        say!("{}\n", output::predicted(&predicted, object.setup, report));
    }
}
