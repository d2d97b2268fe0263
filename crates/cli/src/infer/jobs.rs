//! `--jobs`: several sessions at once, so that a long link is filled instead of waited for. Results come in
//! the order of the inputs.
//!
//! The first session is there before the others: they go on with its setup where it was kept. A session that
//! the server has no place for is done without. One sets up when it has an input, so that whoever comes when all
//! are taken costs a handshake at most.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use gazelle::backend::DefaultClient;
use gazelle::{Inference, Phase};

use crate::failure::Failure;
use crate::infer::ahead::{Ahead, Encoded};
use crate::infer::visit::Visit;
use gazelle_input::Notice;

/// Answers for each session that may wait for an earlier one.
const WAITING: usize = 4;

/// An input's answer.
pub(super) struct Answered {
    /// As [`Encoded::name`].
    pub(super) name: String,
    pub(super) notices: Vec<Notice>,
    /// As [`Encoded::thumbnail`].
    pub(super) thumbnail: Option<Vec<u8>>,
    pub(super) inference: Inference,
    /// What its session's setup took.
    pub(super) setup: Phase,
}

/// What came of an input.
enum Came {
    Answer(Box<Answered>),
    /// It cannot be read: the others can.
    Broken(Failure),
    /// Its session ended for good.
    Lost(Failure),
}

/// The inputs, handed to whichever session asks next.
struct JobInputs {
    state: Mutex<Handed>,
    told: Condvar,
    /// Inputs that may be underway or wait to be told.
    most: usize,
}

struct Handed {
    ahead: Ahead,
    taken: usize,
    told: usize,
    /// No further input is wanted.
    stopped: bool,
}

impl JobInputs {
    fn lock(&self) -> MutexGuard<'_, Handed> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next input and its place.
    fn next(&self) -> Option<(usize, Result<Encoded, Failure>)> {
        let mut state = self.lock();
        while !state.stopped && state.taken >= state.told + self.most {
            state = self.told.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stopped {
            return None;
        }
        // Under the lock, so that places are those of the inputs.
        let Some(input) = state.ahead.next() else {
            state.stopped = true;
            self.told.notify_all();
            return None;
        };
        state.taken += 1;
        Some((state.taken - 1, input))
    }

    /// An input's answer was told.
    fn tell(&self) {
        self.lock().told += 1;
        self.told.notify_all();
    }

    /// Whether none is left, or wanted.
    fn is_over(&self) -> bool {
        self.lock().stopped
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.told.notify_all();
    }
}

/// Asks for all inputs in the session `first` and up to `more` others like it; `tell` gets what came of each,
/// in the order of the inputs.
///
/// # Errors
/// The first of `tell`, after which it is told nothing more; else that of the first session that ended for
/// good, once what was underway in the others has been told.
pub(super) fn run(
    ahead: Ahead,
    (visit, client): (Visit<'_>, DefaultClient),
    more: usize,
    tell: impl FnMut(Result<Box<Answered>, Failure>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let state = Mutex::new(Handed { ahead, taken: 0, told: 0, stopped: false });
    let inputs = JobInputs { state, told: Condvar::new(), most: WAITING * (more + 1) };
    let (give, came) = channel();
    std::thread::scope(|scope| {
        let inputs = &inputs;
        let begun = begin(scope, inputs, (visit, client), more, give);
        if begun.is_err() {
            inputs.stop();
        }
        // Told to the end before anything else is: answers that are there are not lost.
        let told = collect(&came, inputs, tell);
        let mut ended = told;
        for session in begun? {
            let session = session.join();
            let session = session.map_err(|_| Failure::Run("a session's thread panicked".into()));
            ended = ended.and(session.and_then(|session| session));
        }
        ended
    })?;
    inputs.state.into_inner().unwrap_or_else(PoisonError::into_inner).ahead.end()
}

/// A session's thread.
type JobThread<'scope> = ScopedJoinHandle<'scope, Result<(), Failure>>;

/// Starts the sessions.
fn begin<'scope, 'env: 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    inputs: &'scope JobInputs,
    (visit, client): (Visit<'env>, DefaultClient),
    more: usize,
    give: Sender<(usize, Came)>,
) -> Result<Vec<JobThread<'scope>>, Failure> {
    let mut sessions = Vec::with_capacity(more + 1);
    let thread = || Builder::new().name("session".into());
    for _ in 0..more {
        let (mut visit, give) = (visit.another(), give.clone());
        sessions.push(thread().spawn_scoped(scope, move || {
            if inputs.is_over() {
                return Ok(());
            }
            match visit.join() {
                Some(client) => work(inputs, visit, client, &give),
                None => Ok(()),
            }
        })?);
    }
    sessions.push(thread().spawn_scoped(scope, move || work(inputs, visit, client, &give))?);
    Ok(sessions)
}

/// Stops the others where a session's thread panics: its input would be waited for without end.
struct StopOnPanic<'a>(&'a JobInputs);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

/// One session, as long as there are inputs.
fn work(
    inputs: &JobInputs,
    mut visit: Visit<'_>,
    mut client: DefaultClient,
    give: &Sender<(usize, Came)>,
) -> Result<(), Failure> {
    let mut rng = gazelle::system_rng().map_err(Failure::run("random numbers"))?;
    let _guard = StopOnPanic(inputs);
    while let Some((place, input)) = inputs.next() {
        let mut lost = false;
        let came = match input {
            Ok(Encoded { name, values, notices, thumbnail }) => {
                match visit.infer(&mut client, &values, &mut rng) {
                    Ok(inference) => {
                        let setup = client.setup();
                        let answer = Answered { name, notices, thumbnail, inference, setup };
                        Came::Answer(Box::new(answer))
                    }
                    Err(failure) => {
                        lost = true;
                        Came::Lost(failure)
                    }
                }
            }
            Err(failure) => Came::Broken(failure),
        };
        // Nobody listens any more: the batch has ended.
        if give.send((place, came)).is_err() || lost {
            return Ok(());
        }
    }
    Ok(client.close()?)
}

/// Tells what came, in the order of the inputs.
fn collect(
    came: &Receiver<(usize, Came)>,
    inputs: &JobInputs,
    mut tell: impl FnMut(Result<Box<Answered>, Failure>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut waiting = BTreeMap::new();
    let mut lost = None;
    let mut next = 0;
    for (place, what) in came {
        if matches!(what, Came::Lost(_)) {
            inputs.stop();
        }
        waiting.insert(place, what);
        while let Some(what) = waiting.remove(&next) {
            next += 1;
            let told = match what {
                Came::Answer(answer) => tell(Ok(answer)),
                Came::Broken(failure) => tell(Err(failure)),
                Came::Lost(failure) => {
                    lost.get_or_insert(failure);
                    Ok(())
                }
            };
            if told.is_err() {
                inputs.stop();
                return told;
            }
            inputs.tell();
        }
    }
    lost.map_or(Ok(()), Err)
}
