//! Computing while the protocol thread talks: shares of linear groups, on threads of their own.
//!
//! | protocol thread | worker |
//! |---|---|
//! | reads requests or answers, hands them over | `finish`es the one that the network needs first |
//! | runs the offline phase of the steps | the same |
//! | waits for a group only where a step needs it | |

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::Scope;
use std::time::Instant;

use gazelle_share::{ProtocolError, Shares};

use crate::error::GazelleError;
use crate::plan::Plan;

/// Runs `work` with threads that the protocol threads do not use: their own short tasks would
/// otherwise queue behind a whole group.
pub(crate) fn compute<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    static POOL: OnceLock<Option<rayon::ThreadPool>> = OnceLock::new();
    let build = || {
        let builder = rayon::ThreadPoolBuilder::new();
        builder.thread_name(|index| format!("linear-{index}")).build().ok()
    };
    match POOL.get_or_init(build) {
        Some(pool) => pool.install(work),
        None => work(),
    }
}

/// A group's shares and the seconds that they took.
type Finished = (Result<Vec<Shares>, ProtocolError>, f64);

/// The protocol thread's end of a worker.
pub(crate) struct Background<T> {
    todo: Option<Sender<(usize, T)>>,
    done: Receiver<(usize, Finished)>,
    shares: Vec<Option<Vec<Shares>>>,
    seconds: Vec<f64>,
    names: Vec<String>,
}

impl<T: Send> Background<T> {
    /// Starts a worker that `finish`es what it is given, by group; groups whose layers come first
    /// in the network go first. It ends when all is done, or with the next group once this value
    /// is dropped.
    pub(crate) fn start<'scope, 'env: 'scope>(
        scope: &'scope Scope<'scope, 'env>,
        plan: &Plan,
        finish: impl Fn(usize, T) -> Result<Vec<Shares>, ProtocolError> + Send + Sync + 'scope,
    ) -> Result<Self, GazelleError>
    where
        T: 'scope,
    {
        let (todo, queue) = channel();
        let (results, done) = channel();
        let ranks: Vec<usize> =
            plan.places().iter().map(|p| p.nodes.first().copied().unwrap_or(0)).collect();
        let worker = move || work(&queue, &results, &ranks, &finish);
        std::thread::Builder::new()
            .name("linear".into())
            .spawn_scoped(scope, worker)
            .map_err(|_| GazelleError::Panicked)?;
        let groups = plan.groups();
        Ok(Self {
            todo: Some(todo),
            done,
            shares: groups.iter().map(|_| None).collect(),
            seconds: vec![0.0; groups.len()],
            names: groups.iter().map(|group| group.name.clone()).collect(),
        })
    }

    /// Hands a group over.
    pub(crate) fn give(&self, group: usize, work: T) {
        if let Some(todo) = &self.todo {
            // The worker is gone only after an error, which `wait` reports.
            let _ = todo.send((group, work));
        }
    }

    /// All groups have been handed over.
    pub(crate) fn no_more(&mut self) {
        self.todo = None;
    }

    /// Waits for a group; its shares per operator, to be taken.
    pub(crate) fn wait(&mut self, group: usize) -> Result<&mut Vec<Shares>, GazelleError> {
        while self.shares.get(group).is_some_and(Option::is_none) {
            let (index, (result, seconds)) =
                self.done.recv().map_err(|_| GazelleError::Panicked)?;
            let name = self.names.get(index).cloned().unwrap_or_default();
            let shares = result.map_err(GazelleError::layer(name))?;
            if let (Some(slot), Some(time)) =
                (self.shares.get_mut(index), self.seconds.get_mut(index))
            {
                (*slot, *time) = (Some(shares), seconds);
            }
        }
        let missing = || GazelleError::Plan(format!("there is no linear group {group}"));
        self.shares.get_mut(group).and_then(Option::as_mut).ok_or_else(missing)
    }

    /// Waits for all groups; their shares, and the seconds of each.
    pub(crate) fn all(mut self) -> Result<(Vec<Vec<Shares>>, Vec<f64>), GazelleError> {
        self.no_more();
        for group in 0..self.shares.len() {
            self.wait(group)?;
        }
        let shares = std::mem::take(&mut self.shares);
        let seconds = std::mem::take(&mut self.seconds);
        Ok((shares.into_iter().map(Option::unwrap_or_default).collect(), seconds))
    }
}

fn work<T: Send>(
    queue: &Receiver<(usize, T)>,
    results: &Sender<(usize, Finished)>,
    ranks: &[usize],
    finish: &(dyn Fn(usize, T) -> Result<Vec<Shares>, ProtocolError> + Sync),
) {
    let mut waiting: BTreeMap<(usize, usize), T> = BTreeMap::new();
    let mut open = true;
    loop {
        let next = if waiting.is_empty() && open {
            queue.recv().map_err(|_| TryRecvError::Disconnected)
        } else {
            queue.try_recv()
        };
        match next {
            Ok((group, item)) => {
                let rank = ranks.get(group).copied().unwrap_or(usize::MAX);
                waiting.insert((rank, group), item);
                continue;
            }
            Err(TryRecvError::Disconnected) => open = false,
            Err(TryRecvError::Empty) => {}
        }
        let Some(((_, group), item)) = waiting.pop_first() else { return };
        let start = Instant::now();
        // A panic ends this session with an error, as it would on the protocol thread's side.
        let computed = catch_unwind(AssertUnwindSafe(|| compute(|| finish(group, item))));
        let Ok(result) = computed else { return };
        // Nobody waits any more: the session ended with an error.
        if results.send((group, (result, start.elapsed().as_secs_f64()))).is_err() {
            return;
        }
    }
}
