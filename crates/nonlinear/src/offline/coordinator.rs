//! Decides what happens when: begins calls whose OTs are there, finishes units that have heard all, hands
//! this party's parcels to its stream in order.

#![expect(
    clippy::indexing_slicing,
    reason = "units, calls and chunks are numbered by the run's plan"
)]

mod alone;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel as queue};

use gazelle_block::BitVec;
use gazelle_prg::{Prg, Seed};
use gazelle_share::{ProtocolError, StepCost};
use gazelle_wire::{Channel, Instant};
use rand_core::CryptoRng;
use rayon::Scope;

use crate::offline::parcel::{Parcel, ParcelShape};
use crate::offline::plan::{RunPlan, Unit};
use crate::offline::streams::{Buffers, ClosesGate, Coined, News, ReadGate, Stream};
use crate::offline::work::{Beginning, FinishedChunk, Heard, Party, Work, own_and_peer};
use crate::offline::workers;
use crate::ot_session::{Extend, Made};
use crate::tasks::{deliver, wait};

/// Domains of the streams' coins.
const SPEAKING: u8 = 0x66;
const LISTENING: u8 = 0x67;

/// A party's two OT sessions: the one that its own stream makes, and the one that the peer's makes.
pub(crate) struct Sessions<'a> {
    pub(crate) speaking: &'a mut dyn Extend,
    pub(crate) listening: &'a mut dyn Extend,
    /// Whether its own stream makes the OTs from S to C.
    pub(crate) speaks_down: bool,
}

impl<'a> Sessions<'a> {
    /// Of both directions.
    pub(crate) fn new(down: &'a mut dyn Extend, up: &'a mut dyn Extend) -> Self {
        let speaks_down = down.speaks();
        let (speaking, listening) = if speaks_down { (down, up) } else { (up, down) };
        Self { speaking, listening, speaks_down }
    }
}

type BegunOf<P> = <<P as Party>::Work as Work>::Begun;
type Ready<P> = <<P as Party>::Work as Work>::Ready;

/// What a coordinator hears of.
enum Event<P: Party> {
    Stream(News),
    Begun { unit: usize, call: usize, done: Begins<P>, down: Made, up: Made },
    Finished { unit: usize, chunk: usize, done: Result<FinishedChunk<Ready<P>>, ProtocolError> },
}

type Begins<P> = Result<Beginning<BegunOf<P>>, ProtocolError>;

/// What is known of a unit.
struct UnitState<P: Party> {
    /// OTs of its calls, own stream's and the peer's, until they begin.
    made: Vec<[Option<Made>; 2]>,
    /// Calls that have not begun.
    waiting: usize,
    /// By chunk, until it is finished; this party's corrections by call.
    begun: Vec<Option<BegunOf<P>>>,
    bits: Vec<BitVec>,
    /// The peer's parcels, in order.
    heard: Vec<Parcel>,
    /// This party's tables by chunk, until they leave.
    tables: Vec<Option<Vec<u8>>>,
    ready: Vec<Option<Ready<P>>>,
    /// Chunks that are not ready.
    missing: usize,
}

impl<P: Party> UnitState<P> {
    fn new(unit: &Unit) -> Self {
        let (calls, chunks) = (unit.calls.len(), unit.chunks.len());
        Self {
            made: (0..calls).map(|_| [None, None]).collect(),
            waiting: calls,
            begun: (0..chunks).map(|_| None).collect(),
            bits: vec![BitVec::new(); calls],
            heard: Vec::new(),
            tables: (0..chunks).map(|_| None).collect(),
            ready: (0..chunks).map(|_| None).collect(),
            missing: chunks,
        }
    }
}

/// What computes while the coordinator decides.
trait Pool<'s> {
    /// Runs a task now or soon.
    fn run(&self, task: impl FnOnce() + Send + 's);
}

impl<'s> Pool<'s> for Scope<'s> {
    fn run(&self, task: impl FnOnce() + Send + 's) {
        self.spawn(move |_| task());
    }
}

/// Runs all steps of `plan`: their material goes to `ready` in order, each step's when it is made; what each took.
pub(crate) fn run<P: Party>(
    plan: &RunPlan,
    (party, ready): (P, &mut dyn FnMut(P::Prepared)),
    sessions: Sessions<'_>,
    channel: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<Vec<StepCost>, ProtocolError>
where
    P::Work: Sync,
{
    let Sessions { speaking, listening, speaks_down } = sessions;
    channel.flush()?;
    let coins = |domain, rng: &mut (dyn CryptoRng + Send)| Prg::new(&Seed::random(rng), domain);
    let (mut own_coins, mut peer_coins) = (coins(SPEAKING, rng), coins(LISTENING, rng));
    let (gate, buffers) = (ReadGate::default(), <[Buffers; 2]>::default());
    let stream = &Stream { plan, gate: &gate, buffers: &buffers, speaks_down };
    let alone = channel.is_single_threaded();
    let (send, recv) = channel.halves();
    let (news, events) = queue::<Option<Event<P>>>();
    let (outbox, parcels) = queue();
    if alone {
        let coordinator = Coordinator::new(stream, (party, ready), outbox, news);
        let speaking: Coined<'_> = (&mut *speaking, &mut own_coins);
        let listening: Coined<'_> = (&mut *listening, &mut peer_coins);
        return coordinator.alone((speaking, listening), (send, recv), &parcels, &events);
    }
    std::thread::scope(|threads| {
        let _closes = ClosesGate(&gate);
        let (own_news, peer_news) = (news.clone(), news.clone());
        let name = if P::CLIENT { "client" } else { "server" };
        let named = |what| std::thread::Builder::new().name(format!("{name}-{what}"));
        let speak = move || {
            let news = (&own_news, Event::<P>::Stream);
            stream.speak(speaking, send, &parcels, own_parcels::<P>, news, &mut own_coins);
        };
        let listen = move || {
            let news = (&peer_news, Event::<P>::Stream);
            stream.listen(listening, recv, peer_parcels::<P>, news, &mut peer_coins);
        };
        let speaks = named("speaks").spawn_scoped(threads, speak);
        speaks
            .and_then(|_| named("listens").spawn_scoped(threads, listen))
            .map_err(ProtocolError::backend)?;
        let coordinator = Coordinator::new(stream, (party, ready), outbox, news);
        workers::scope(|pool| coordinator.work(pool, &events))
    })
}

fn own_parcels<P: Party>(unit: &Unit) -> &[ParcelShape] {
    own_and_peer::<P, _>(&unit.down, &unit.up).0
}

fn peer_parcels<P: Party>(unit: &Unit) -> &[ParcelShape] {
    own_and_peer::<P, _>(&unit.down, &unit.up).1
}

struct Coordinator<'a, P: Party> {
    stream: &'a Stream<'a>,
    party: P,
    /// Takes the material.
    ready: &'a mut dyn FnMut(P::Prepared),
    outbox: Sender<Parcel>,
    news: Sender<Option<Event<P>>>,
    /// Steps that are open, from number `closed` on, with the peer's seed if it said one.
    works: VecDeque<(Arc<P::Work>, Option<Seed>)>,
    closed: usize,
    states: Vec<UnitState<P>>,
    /// The next unit to finish, and the next parcel to hand out: `(unit, index)`.
    finish: usize,
    out: (usize, usize),
    /// Chunks to be finished, and how many are in the pool or have tables that have not left.
    jobs: VecDeque<(usize, usize, BegunOf<P>, Heard)>,
    busy: usize,
    /// Streams that are not through.
    open: usize,
    costs: Vec<StepCost>,
    last: Instant,
}

impl<'a, P: Party> Coordinator<'a, P> {
    fn new(
        stream: &'a Stream<'a>,
        (party, ready): (P, &'a mut dyn FnMut(P::Prepared)),
        outbox: Sender<Parcel>,
        news: Sender<Option<Event<P>>>,
    ) -> Self {
        let steps = stream.plan.chunks.len();
        Self {
            stream,
            party,
            ready,
            outbox,
            news,
            works: VecDeque::new(),
            closed: 0,
            states: stream.plan.units.iter().map(UnitState::new).collect(),
            finish: 0,
            out: (0, 0),
            jobs: VecDeque::new(),
            busy: 0,
            open: 2,
            costs: vec![StepCost::default(); steps],
            last: Instant::now(),
        }
    }

    /// Until both streams are through and all steps are ready.
    fn work<'s>(
        mut self,
        pool: &Scope<'s>,
        events: &Receiver<Option<Event<P>>>,
    ) -> Result<Vec<StepCost>, ProtocolError>
    where
        'a: 's,
        P::Work: 's,
        P: 's,
    {
        self.advance(pool)?;
        while self.open > 0 || self.closed < self.stream.plan.chunks.len() {
            self.learn(wait(events)?, pool)?;
            self.advance(pool)?;
        }
        Ok(self.costs)
    }

    /// Takes note of an event; begins a call whose OTs are there.
    fn learn<'s>(&mut self, event: Event<P>, pool: &impl Pool<'s>) -> Result<(), ProtocolError>
    where
        'a: 's,
        P::Work: 's,
        P: 's,
    {
        match event {
            Event::Stream(News::Through) => self.open -= 1,
            Event::Stream(News::Failed(error)) => return Err(error),
            Event::Stream(News::Made { own, unit, call, made }) => {
                let slots = &mut self.states[unit].made[call];
                slots[usize::from(!own)] = Some(made);
                if let [Some(_), Some(_)] = slots {
                    self.begin(unit, call, pool)?;
                }
            }
            Event::Stream(News::Heard { unit, parcel }) => {
                self.states[unit].heard.push(parcel);
            }
            Event::Stream(News::Left { unit, index }) => {
                if let Some(ParcelShape::Tables(_)) = self.own(unit).get(index) {
                    self.busy -= 1;
                }
            }
            Event::Stream(News::Bytes { own, step, bytes }) => {
                let cost = &mut self.costs[step];
                if own {
                    cost.sent += bytes;
                } else {
                    cost.received += bytes;
                }
            }
            Event::Begun { unit, call, done, down, up } => {
                let (own, peer) = if self.stream.speaks_down { (down, up) } else { (up, down) };
                self.stream.gate.leave(peer.count());
                self.stream.buffers[0].give(own);
                self.stream.buffers[1].give(peer);
                let (begun, bits) = done?;
                let first = self.unit(unit).calls[call].chunks.start;
                let first = first - self.unit(unit).chunks.start;
                let state = &mut self.states[unit];
                for (slot, begun) in state.begun[first..].iter_mut().zip(begun) {
                    *slot = Some(begun);
                }
                state.bits[call] = bits;
                state.waiting -= 1;
            }
            Event::Finished { unit, chunk, done } => {
                let (ready, tables) = done?;
                if tables.is_none() {
                    self.busy -= 1;
                }
                let at = chunk - self.unit(unit).chunks.start;
                let state = &mut self.states[unit];
                state.ready[at] = Some(ready);
                state.tables[at] = tables;
                state.missing -= 1;
            }
        }
        Ok(())
    }

    fn unit(&self, unit: usize) -> &'a Unit {
        &self.stream.plan.units[unit]
    }

    fn own(&self, unit: usize) -> &'a [ParcelShape] {
        own_parcels::<P>(self.unit(unit))
    }

    /// A step's work; steps before it are opened first.
    fn open(&mut self, step: usize) -> Result<&mut (Arc<P::Work>, Option<Seed>), ProtocolError> {
        while self.closed + self.works.len() <= step {
            let next = self.closed + self.works.len();
            self.works.push_back((Arc::new(self.party.open(next)?), None));
        }
        let defect = || ProtocolError::Defect("a step is over before its units");
        step.checked_sub(self.closed).and_then(|at| self.works.get_mut(at)).ok_or_else(defect)
    }

    /// Begins a call whose OTs are there.
    fn begin<'s>(
        &mut self,
        unit: usize,
        call: usize,
        pool: &impl Pool<'s>,
    ) -> Result<(), ProtocolError>
    where
        'a: 's,
        P::Work: 's,
        P: 's,
    {
        let content = self.unit(unit);
        let work = Arc::clone(&self.open(content.step)?.0);
        let [Some(own), Some(peer)] = self.states[unit].made[call].each_mut().map(Option::take)
        else {
            return Err(ProtocolError::Defect("a call begins without its OTs"));
        };
        let (down, up) = if self.stream.speaks_down { (own, peer) } else { (peer, own) };
        let news = self.news.clone();
        pool.run(move || {
            deliver(&news, || {
                let done = work.begin(content, &content.calls[call], &down, &up);
                Event::Begun { unit, call, done, down, up }
            });
        });
        Ok(())
    }

    /// Does all that can be done by now.
    fn advance<'s>(&mut self, pool: &impl Pool<'s>) -> Result<(), ProtocolError>
    where
        'a: 's,
        P::Work: 's,
        P: 's,
    {
        while self.finish < self.states.len() && self.enqueue(self.finish)? {
            self.finish += 1;
        }
        while let Some(parcel) = self.next_parcel()? {
            // The stream is gone only after an error of its own, which comes.
            let _ = self.outbox.send(parcel);
        }
        let most = 4 * rayon::current_num_threads().max(1);
        while self.busy < most
            && let Some((unit, chunk, begun, heard)) = self.jobs.pop_front()
        {
            self.busy += 1;
            let work = Arc::clone(&self.open(self.unit(unit).step)?.0);
            let news = self.news.clone();
            pool.run(move || {
                deliver(&news, || {
                    let done = work.finish(chunk, begun, heard);
                    Event::Finished { unit, chunk, done }
                });
            });
        }
        self.close()
    }

    /// Hands the chunks of a unit over to be finished, if it has begun and heard all.
    fn enqueue(&mut self, unit: usize) -> Result<bool, ProtocolError> {
        let (content, state) = (self.unit(unit), &mut self.states[unit]);
        if state.waiting > 0 || state.heard.len() < peer_parcels::<P>(content).len() {
            return Ok(false);
        }
        let parcels = std::mem::take(&mut state.heard);
        let begun = std::mem::take(&mut state.begun);
        let (mut all, mut tables) = (BitVec::new(), VecDeque::new());
        let mut seed = None;
        for parcel in parcels {
            match parcel {
                Parcel::Corrections(bits) | Parcel::Choices(bits) => all = bits,
                Parcel::Tables(bytes) => tables.push_back(bytes),
                Parcel::Seed(said) => seed = Some(said),
            }
        }
        let mut start = 0;
        for ((chunk, begun), bits) in content.chunks.clone().zip(begun).zip(&content.bits) {
            let begun = begun.ok_or(ProtocolError::Defect("a chunk that has not begun"))?;
            let (_, count) = own_and_peer::<P, _>(bits.0, bits.1);
            let heard = match tables.pop_front() {
                Some(bytes) => Heard::Tables(bytes),
                None => Heard::Bits(all.slice(start, count)),
            };
            start += count;
            self.jobs.push_back((unit, chunk, begun, heard));
        }
        let slot = &mut self.open(content.step)?.1;
        *slot = seed.or(slot.take());
        Ok(true)
    }

    /// The next of this party's parcels in the order of its stream, if it is there.
    fn next_parcel(&mut self) -> Result<Option<Parcel>, ProtocolError> {
        loop {
            let (unit, index) = self.out;
            if unit == self.states.len() {
                return Ok(None);
            }
            let Some(shape) = self.own(unit).get(index).copied() else {
                self.out = (unit + 1, 0);
                continue;
            };
            let step = self.unit(unit).step;
            let parcel = match shape {
                ParcelShape::Corrections(_) | ParcelShape::Choices(_) => {
                    let state = &mut self.states[unit];
                    let bits = (state.waiting == 0).then(|| std::mem::take(&mut state.bits));
                    bits.map(|bits| match shape {
                        ParcelShape::Corrections(_) => Parcel::Corrections(join(&bits)),
                        _ => Parcel::Choices(join(&bits)),
                    })
                }
                ParcelShape::Seed => {
                    let missing = || ProtocolError::Defect("a garbled step without a seed");
                    Some(Parcel::Seed(self.open(step)?.0.seed().ok_or_else(missing)?))
                }
                ParcelShape::Tables(_) => {
                    // They are the last parcels.
                    let ahead = self.own(unit).len() - self.states[unit].tables.len();
                    self.states[unit].tables[index - ahead].take().map(Parcel::Tables)
                }
            };
            if parcel.is_some() {
                self.out.1 += 1;
            }
            return Ok(parcel);
        }
    }

    /// Closes steps whose chunks are all ready.
    fn close(&mut self) -> Result<(), ProtocolError> {
        while self.closed < self.stream.plan.chunks.len() {
            let step = self.closed;
            let units = &self.stream.plan.units;
            let first = units.partition_point(|unit| unit.step < step);
            let end = units.partition_point(|unit| unit.step <= step);
            if self.finish < end || self.states[first..end].iter().any(|state| state.missing > 0) {
                return Ok(());
            }
            self.open(step)?;
            let ready = self.states[first..end].iter_mut();
            let ready = ready.flat_map(|state| std::mem::take(&mut state.ready));
            let missing = ProtocolError::Defect("a chunk that is not ready");
            let ready = ready.collect::<Option<Vec<_>>>().ok_or(missing)?;
            let gone = ProtocolError::Defect("a step that is not open");
            let (work, seed) = self.works.pop_front().ok_or(gone)?;
            (self.ready)(self.party.close(step, &work, ready, seed)?);
            self.costs[step].seconds = self.last.elapsed().as_secs_f64();
            self.last = Instant::now();
            self.closed += 1;
        }
        Ok(())
    }
}

/// Joins bit strings.
fn join(parts: &[BitVec]) -> BitVec {
    let mut all = BitVec::new();
    for part in parts {
        all.extend(part);
    }
    all
}
