//! Computing while the protocol thread talks: shares of linear groups, on threads of their own.
//!
//! | protocol thread | worker |
//! |---|---|
//! | reads requests or answers, hands them over | `finish`es the one that the network needs first |
//! | runs the offline phase of the steps | the same |
//! | waits for a group only where a step needs it | |
//!
//! A party that has one thread computes a group where it would wait for it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, OnceLock};
use std::thread::Scope;

use gazelle_share::{LinearGroup, NodeId, ProtocolError, Shares};
use gazelle_wire::Instant;

use crate::error::GazelleError;
use crate::plan::{GroupPlace, Plan};

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
/// A group, after the first of its nodes: what comes first in the network is computed first.
type Rank = (NodeId, usize);

/// The protocol thread's end of a worker.
pub(crate) struct Background<'w, T> {
    todo: Option<Giver<T>>,
    done: Receiver<(usize, Finished)>,
    slots: Vec<Slot>,
    /// The worker of a party that has one thread.
    here: Option<Box<dyn FnMut() + Send + 'w>>,
}

/// Hands groups over to a worker, which ends only when all of its givers are gone.
pub(crate) struct Giver<T> {
    todo: Sender<(Rank, T)>,
    /// The first node of each group.
    firsts: Arc<[NodeId]>,
}

impl<T> Clone for Giver<T> {
    fn clone(&self) -> Self {
        Self { todo: self.todo.clone(), firsts: Arc::clone(&self.firsts) }
    }
}

impl<T> Giver<T> {
    /// Hands a group over.
    pub(crate) fn give(&self, group: usize, work: T) {
        if let Some(first) = self.firsts.get(group) {
            // The worker is gone only after an error, which `wait` reports.
            let _ = self.todo.send(((*first, group), work));
        }
    }
}

/// What is known of a group.
struct Slot {
    name: String,
    shares: Option<Vec<Shares>>,
    seconds: f64,
}

/// Who computes.
pub(crate) enum Workplace<'scope, 'env> {
    /// A thread of this scope.
    Thread(&'scope Scope<'scope, 'env>),
    /// This thread, where it would wait.
    Here,
}

impl<'w, T: Send> Background<'w, T> {
    /// Starts a worker that `finish`es what it is given, by group; groups whose layers come first
    /// in the network go first. It ends when all is done, or with the next group once this value
    /// is dropped.
    pub(crate) fn start<'env: 'w>(
        place: &Workplace<'w, 'env>,
        plan: &Plan,
        finish: impl Fn(usize, T) -> Result<Vec<Shares>, ProtocolError> + Send + Sync + 'w,
    ) -> Result<Self, GazelleError>
    where
        T: 'w,
    {
        let (todo, queue) = channel();
        let (results, done) = channel();
        let mut here = None;
        match place {
            Workplace::Thread(scope) => {
                let worker = move || work(&queue, &results, &finish);
                std::thread::Builder::new()
                    .name("linear".into())
                    .spawn_scoped(scope, worker)
                    .map_err(|_| GazelleError::Panicked)?;
            }
            Workplace::Here => {
                let mut waiting = BTreeMap::new();
                here = Some(Box::new(move || {
                    waiting.extend(queue.try_iter());
                    finish_first(&mut waiting, &results, &finish);
                }) as Box<dyn FnMut() + Send + 'w>);
            }
        }
        let slot =
            |group: &LinearGroup| Slot { name: group.name.clone(), shares: None, seconds: 0.0 };
        let slots = plan.groups().iter().map(slot).collect();
        let firsts = plan.places().iter().map(GroupPlace::first).collect();
        Ok(Self { todo: Some(Giver { todo, firsts }), done, slots, here })
    }

    /// Hands a group over.
    pub(crate) fn give(&self, group: usize, work: T) {
        if let Some(todo) = &self.todo {
            todo.give(group, work);
        }
    }

    /// What hands groups over from elsewhere, also once [`no_more`](Self::no_more) has been said here.
    pub(crate) fn giver(&self) -> Option<Giver<T>> {
        self.todo.clone()
    }

    /// Says that all groups have been handed over.
    pub(crate) fn no_more(&mut self) {
        self.todo = None;
    }

    /// Waits for a group; its shares per operator, to be taken.
    pub(crate) fn wait(&mut self, group: usize) -> Result<&mut Vec<Shares>, GazelleError> {
        while self.slots.get(group).is_some_and(|slot| slot.shares.is_none()) {
            let done = match &mut self.here {
                Some(here) => {
                    here();
                    self.done.try_recv().ok()
                }
                None => self.done.recv().ok(),
            };
            let (index, (result, seconds)) = done.ok_or(GazelleError::Panicked)?;
            let Some(slot) = self.slots.get_mut(index) else { continue };
            slot.shares = Some(result.map_err(GazelleError::layer(&slot.name))?);
            slot.seconds = seconds;
        }
        let missing = || GazelleError::Defect(format!("linear group {group}"));
        self.slots.get_mut(group).and_then(|slot| slot.shares.as_mut()).ok_or_else(missing)
    }

    /// Waits for all groups; their shares, and the seconds of each.
    pub(crate) fn all(mut self) -> Result<(Vec<Vec<Shares>>, Vec<f64>), GazelleError> {
        self.no_more();
        let mut all = (Vec::with_capacity(self.slots.len()), Vec::new());
        for group in 0..self.slots.len() {
            all.0.push(std::mem::take(self.wait(group)?));
        }
        all.1.extend(self.slots.iter().map(|slot| slot.seconds));
        Ok(all)
    }
}

fn work<T: Send>(
    queue: &Receiver<(Rank, T)>,
    results: &Sender<(usize, Finished)>,
    finish: &(dyn Fn(usize, T) -> Result<Vec<Shares>, ProtocolError> + Sync),
) {
    let mut waiting: BTreeMap<Rank, T> = BTreeMap::new();
    let mut open = true;
    loop {
        let next = if waiting.is_empty() && open {
            queue.recv().map_err(|_| TryRecvError::Disconnected)
        } else {
            queue.try_recv()
        };
        match next {
            Ok((rank, item)) => {
                waiting.insert(rank, item);
                continue;
            }
            Err(TryRecvError::Disconnected) => open = false,
            Err(TryRecvError::Empty) => {}
        }
        if !finish_first(&mut waiting, results, finish) {
            return;
        }
    }
}

/// Finishes the first of those that wait; whether there was one, and somebody still wants it.
fn finish_first<T: Send>(
    waiting: &mut BTreeMap<Rank, T>,
    results: &Sender<(usize, Finished)>,
    finish: &(dyn Fn(usize, T) -> Result<Vec<Shares>, ProtocolError> + Sync),
) -> bool {
    let Some(((_, group), item)) = waiting.pop_first() else { return false };
    let start = Instant::now();
    // A panic ends this session with an error, as it would on the protocol thread's side.
    let computed = catch_unwind(AssertUnwindSafe(|| compute(|| finish(group, item))));
    let Ok(result) = computed else { return false };
    // Nobody waits any more if the session ended with an error.
    results.send((group, (result, start.elapsed().as_secs_f64()))).is_ok()
}
