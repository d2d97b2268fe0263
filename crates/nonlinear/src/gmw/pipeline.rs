//! The offline phase of a step, at either party: chunks go through it as through a pipe, so that the
//! protocol thread extends OTs while the thread pool turns those before into correlations.
//!
//! | batch i | client | server |
//! |---|---|---|
//! | OTs C to S, chunk by chunk | sender | receiver |
//! | OTs S to C, chunk by chunk; a chunk that has both begins in the pool | receiver | sender |
//! | corrections of batch i - 1: t, then d | `recv`, `send` | `send`, `recv` |
//! | chunks of batch i - 1 finish in the pool | | |
//!
//! Everything is one-way at any time, and a batch takes one round trip. What is alive: the OTs of a
//! batch from C to S, those from S to C of a few chunks, and the correlations.

#![expect(clippy::indexing_slicing, reason = "batches are ranges of the step's own chunks")]

use std::collections::VecDeque;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel as queue};

use gazelle_block::BitVec;
use gazelle_share::ProtocolError;
use gazelle_wire::Channel;
use rand_core::CryptoRng;

use crate::gmw::messages::{Corrections, join};
use crate::gmw::plan::GmwStep;
use crate::ot_session::{Extend, Made};

/// OTs from S to C that may be alive at a time, if they are those of more than two chunks.
const ALIVE: usize = 1 << 20;

/// What a party does with the chunks, in the thread pool.
pub(crate) trait Work: Sync {
    /// A chunk between the two halves of its preparation.
    type Begun: Send;
    /// A chunk's material.
    type Ready: Send;

    /// This party's first half, from the OTs S to C and C to S; gives its corrections.
    fn begin(&self, chunk: usize, down: &Made, up: &Made) -> (Self::Begun, BitVec);

    /// The rest, with the peer's corrections.
    fn finish(&self, chunk: usize, begun: Self::Begun, corrections: &BitVec) -> Self::Ready;
}

/// Which corrections are whose.
#[derive(Clone, Copy)]
pub(crate) enum Party {
    /// Sends d, receives t.
    Client,
    /// Sends t, receives d.
    Server,
}

impl Party {
    /// Bits of own and of the peer's corrections.
    fn split(self, (server, client): (usize, usize)) -> (usize, usize) {
        match self {
            Self::Client => (client, server),
            Self::Server => (server, client),
        }
    }

    /// Own corrections against the peer's.
    fn swap(
        self,
        own: BitVec,
        incoming: usize,
        channel: &mut Channel,
    ) -> Result<BitVec, ProtocolError> {
        let outgoing = own.len();
        let send = |channel: &mut Channel| -> Result<(), ProtocolError> {
            if outgoing > 0 {
                channel.send(&Corrections(own), &outgoing)?;
                channel.flush()?;
            }
            Ok(())
        };
        let recv = |channel: &mut Channel| -> Result<BitVec, ProtocolError> {
            Ok(if incoming > 0 { channel.recv::<Corrections>(&incoming)?.0 } else { BitVec::new() })
        };
        match self {
            Self::Server => {
                send(channel)?;
                recv(channel)
            }
            Self::Client => {
                let received = recv(channel)?;
                send(channel)?;
                Ok(received)
            }
        }
    }
}

/// Prepares all chunks of a step; the material comes in the chunks' order.
pub(crate) fn run<W: Work>(
    step: &GmwStep,
    work: &W,
    party: Party,
    (down, up): (&mut impl Extend, &mut impl Extend),
    channel: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<Vec<W::Ready>, ProtocolError> {
    let batches: Vec<Range<usize>> = step.batches().collect();
    let (begun_in, begun_out) = queue();
    let (ready_in, ready_out) = queue();
    rayon::in_place_scope(|scope| {
        let mut pool = Pool { begun: VecDeque::new(), first: 0, alive: 0, alive_ots: 0, begun_out };
        for i in 0..=batches.len() {
            if let Some(batch) = batches.get(i) {
                let rots = |chunk: usize| step.rots(&step.chunks[chunk]);
                let mut ups = VecDeque::with_capacity(batch.len());
                for chunk in batch.clone() {
                    ups.push_back(up.extend(rots(chunk).1, channel, rng)?);
                }
                for (chunk, up_made) in batch.clone().zip(ups) {
                    let count = rots(chunk).0;
                    while pool.alive > 1 && pool.alive_ots + count > ALIVE {
                        pool.collect(down, up)?;
                    }
                    let made = down.extend(count, channel, rng)?;
                    pool.alive += 1;
                    pool.alive_ots += count;
                    let results = begun_in.clone();
                    scope.spawn(move |_| {
                        deliver(&results, || {
                            let (begun, message) = work.begin(chunk, &made, &up_made);
                            (chunk, begun, message, made, up_made)
                        });
                    });
                }
            }
            if let Some(batch) = i.checked_sub(1).and_then(|last| batches.get(last)) {
                let (mut operations, mut messages) = (Vec::new(), Vec::new());
                while operations.len() < batch.len() {
                    match pool.pop() {
                        Some((begun, message)) => {
                            operations.push(begun);
                            messages.push(message);
                        }
                        None => pool.collect(down, up)?,
                    }
                }
                let counts: Vec<usize> = step.chunks[batch.clone()]
                    .iter()
                    .map(|chunk| party.split(step.offline_bits(chunk)).1)
                    .collect();
                let received = party.swap(join(messages), counts.iter().sum(), channel)?;
                let mut start = 0;
                for ((chunk, begun), count) in batch.clone().zip(operations).zip(counts) {
                    let corrections = received.slice(start, count);
                    start += count;
                    let results = ready_in.clone();
                    scope.spawn(move |_| {
                        deliver(&results, || (chunk, work.finish(chunk, begun, &corrections)));
                    });
                }
            }
        }
        Ok::<_, ProtocolError>(())
    })?;
    down.wipe();
    up.wipe();
    // All tasks are done.
    drop(ready_in);
    let mut ready = ready_out.iter().collect::<Option<Vec<_>>>().ok_or_else(panicked)?;
    ready.sort_unstable_by_key(|(chunk, _)| *chunk);
    Ok(ready.into_iter().map(|(_, ready)| ready).collect())
}

/// A chunk that has begun, with the OTs it used.
type Begun<B> = (usize, B, BitVec, Made, Made);

/// What is in the thread pool, and what came out of it but is not finished yet.
struct Pool<B> {
    /// Chunks from number `first` on, in order, as far as they have begun.
    begun: VecDeque<Option<(B, BitVec)>>,
    first: usize,
    /// Chunks in the pool, and their OTs from S to C.
    alive: usize,
    alive_ots: usize,
    begun_out: Receiver<Option<Begun<B>>>,
}

impl<B> Pool<B> {
    /// Waits for any chunk.
    fn collect(
        &mut self,
        down: &mut impl Extend,
        up: &mut impl Extend,
    ) -> Result<(), ProtocolError> {
        let (chunk, begun, message, down_made, up_made) = wait(&self.begun_out)?;
        self.alive -= 1;
        self.alive_ots -= down_made.count();
        down.give_back(down_made);
        up.give_back(up_made);
        let place = chunk - self.first;
        if self.begun.len() <= place {
            self.begun.resize_with(place + 1, || None);
        }
        if let Some(slot) = self.begun.get_mut(place) {
            *slot = Some((begun, message));
        }
        Ok(())
    }

    /// The next chunk in order, if it has begun.
    fn pop(&mut self) -> Option<(B, BitVec)> {
        let next = self.begun.front_mut()?.take()?;
        self.begun.pop_front();
        self.first += 1;
        Some(next)
    }
}

fn panicked() -> ProtocolError {
    ProtocolError::Panicked
}

/// The next result; a worker of the pool helps out meanwhile.
pub(crate) fn wait<T>(results: &Receiver<Option<T>>) -> Result<T, ProtocolError> {
    loop {
        if let Ok(result) = results.try_recv() {
            return result.ok_or_else(panicked);
        }
        match rayon::yield_now() {
            Some(rayon::Yield::Executed) => {}
            Some(rayon::Yield::Idle) => std::thread::yield_now(),
            None => return results.recv().ok().flatten().ok_or_else(panicked),
        }
    }
}

/// Runs a task and hands over what it gives; nothing if it panics, so that nobody waits for ever.
pub(crate) fn deliver<T>(results: &Sender<Option<T>>, task: impl FnOnce() -> T) {
    // Nobody listens only after an error, which is what counts then.
    let _ = results.send(catch_unwind(AssertUnwindSafe(task)).ok());
}
