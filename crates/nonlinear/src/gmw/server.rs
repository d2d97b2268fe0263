//! The server: OT sender to the client, OT receiver from it; it learns its share online.

use std::sync::Arc;

use gazelle_block::hash::HashSeed;
use gazelle_block::{BitVec, Block};
use gazelle_convert::Planes;
use gazelle_convert::and::And as AndMasks;
use gazelle_convert::elect::ServerElect;
use gazelle_convert::extend::ServerExtend;
use gazelle_convert::fused::{self, ServerFused};
use gazelle_convert::product::ServerProduct;
use gazelle_convert::rot::{RotRecv, RotSend};
use gazelle_convert::select::Select;
use gazelle_convert::sign::{ClientShare, ServerSign};
use gazelle_ot::{OtExtension, RcotReceiver, RcotSender};
use gazelle_prg::{Prg, Seed};
use gazelle_share::step::StepOutput;
use gazelle_share::{NonlinearServer, ProtocolError, Shares};
use gazelle_wire::Channel;
use rand_core::CryptoRng;
use zeroize::Zeroize;

use crate::gmw::online::{Ops, online as run_online};
use crate::gmw::op::Op;
use crate::gmw::ops::{
    And, Extend, Fused, Keep, Relu, ServerElection, ServerReshare, ServerReveal, Sign, Square,
};
use crate::gmw::pipeline::{Made, Ot, Party, Receiving, Sending, Work, run as run_offline};
use crate::gmw::plan::{Chunk, GmwStep};
use crate::gmw::run::Server;
use crate::gmw::schedule::Trip;
use crate::gmw::{GmwCompiled, step_of};
use crate::shares::{check_input, prepare_server};

/// The server's session.
pub struct GmwServer<O: OtExtension> {
    pub(crate) compiled: Arc<GmwCompiled>,
    pub(crate) hash: HashSeed,
    pub(crate) down: Ot<O::Sender>,
    pub(crate) up: Ot<O::Receiver>,
}

/// The server's material of one step.
pub struct GmwServerPrepared {
    chunks: Vec<Ops>,
}

impl<O: OtExtension> NonlinearServer for GmwServer<O> {
    type Prepared = GmwServerPrepared;

    fn offline(
        &mut self,
        step: usize,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Prepared, ProtocolError> {
        let step = step_of(&self.compiled.steps, step)?;
        offline(step, (&self.hash, &mut self.down, &mut self.up), channel, rng)
    }

    fn online(
        &mut self,
        step: usize,
        prepared: Self::Prepared,
        input: Shares,
        channel: &mut Channel,
    ) -> Result<Option<Shares>, ProtocolError> {
        online(step_of(&self.compiled.steps, step)?, prepared, input, channel)
    }
}

/// An operation between `begin` and `finish`.
enum Begun {
    Relu { sign: ServerSign, select: Select, bits: (u32, u32), share: ClientShare, levels: usize },
    Fused { sign: ServerSign, select: ServerFused, bits: (u32, u32), levels: usize },
    Sign { sign: ServerSign, bits: u32, share: ClientShare },
    Extend(ServerExtend),
    And(AndMasks),
    Keep { select: Select, bits: u32 },
    Square { cross: ServerProduct, bits: u32, share: ClientShare },
    Elect(ServerElect),
    Reveal(u32),
    Reshare(u32),
}

/// The chunk's operations begun, and its corrections. `seed` is for the masks of extensions.
fn begin(
    step: &GmwStep,
    chunk: &Chunk,
    mut down: RotSend<'_>,
    mut up: RotRecv<'_>,
    seed: &Seed,
) -> (Vec<Begun>, BitVec) {
    let shape = step.shape_of(chunk);
    let mut prg = Prg::new(seed, SIGMA);
    let mut message = BitVec::new();
    let mut begun = Vec::with_capacity(step.chain.len());
    for ((_, op), &lanes) in step.chain.iter().zip(&shape.lanes) {
        down.set_lanes(lanes);
        up.set_lanes(lanes);
        begun.push(match op {
            Op::Relu { bits, drop, share, tree } => {
                let (bits, drop, share) = (*bits, *drop, *share);
                let (sign, t) = ServerSign::begin(bits - drop, share, lanes, &mut down, &mut up);
                message.extend(&t.to_bits());
                let select = Select::begin(bits, &mut down, &mut up);
                Begun::Relu { sign, select, bits: (bits, drop), share, levels: tree.levels() }
            }
            Op::Fused { bits, to, drop, tree } => {
                let (width, share) = (bits - drop, ClientShare::Offline);
                let (sign, t) = ServerSign::begin(width, share, lanes, &mut down, &mut up);
                message.extend(&t.to_bits());
                let select = ServerFused::begin(*bits, *to, &mut down, &mut up);
                Begun::Fused { sign, select, bits: (*bits, *drop), levels: tree.levels() }
            }
            Op::Sign { bits, share, .. } => {
                let (bits, share) = (*bits, *share);
                let (sign, t) = ServerSign::begin(bits, share, lanes, &mut down, &mut up);
                message.extend(&t.to_bits());
                Begun::Sign { sign, bits, share }
            }
            Op::Square { bits, share, .. } => {
                let (bits, share) = (*bits, *share);
                let (cross, u) = ServerProduct::begin(bits - 1, lanes, &mut down);
                message.extend(&u.to_bits());
                Begun::Square { cross, bits, share }
            }
            Op::And => Begun::And(AndMasks::begin(true, &mut down, &mut up)),
            Op::Keep { bits } => {
                Begun::Keep { select: Select::begin(*bits, &mut down, &mut up), bits: *bits }
            }
            Op::Elect { rows } => Begun::Elect(ServerElect::begin(*rows, &mut down)),
            Op::Reveal { bits, .. } => Begun::Reveal(*bits),
            Op::Extend { from, to } => {
                let (extend, t) = ServerExtend::begin(*from, *to, &mut down, &mut prg);
                message.extend(&t.to_bits());
                Begun::Extend(extend)
            }
            Op::Reshare { bits } => Begun::Reshare(*bits),
        });
    }
    (begun, message)
}

/// PRG domain of the masks of extensions.
const SIGMA: u8 = 0x63;

/// The chunk's operations, with the client's corrections.
fn finish(step: &GmwStep, chunk: &Chunk, begun: Vec<Begun>, corrections: &BitVec) -> Ops {
    let shape = step.shape_of(chunk);
    let mut start = 0;
    let mut take = |count: usize, lanes: usize| {
        let part = corrections.slice(start, count * lanes);
        start += count * lanes;
        Planes::from_bits(&part, lanes)
    };
    let mut ops = Ops::new();
    for ((begun, (_, op)), &lanes) in begun.into_iter().zip(&step.chain).zip(&shape.lanes) {
        let count = op.offline_planes().1;
        ops.push_back(match begun {
            Begun::Relu { mut sign, mut select, bits, share, levels } => {
                let first = if share == ClientShare::Offline { bits.0 as usize } else { 0 };
                sign.finish(&take(count - first, lanes));
                if first > 0 {
                    select.set_first_offline(&take(first, lanes));
                }
                Box::new(Relu::new(sign, select, bits, share, levels))
            }
            Begun::Sign { mut sign, bits, share } => {
                sign.finish(&take(count, lanes));
                Box::new(Sign::new(sign, bits, share))
            }
            Begun::Square { mut cross, bits, share } => {
                if count > 0 {
                    cross.set_mask(take(count, lanes));
                }
                Box::new(Square::new(cross, bits, share))
            }
            Begun::And(masks) => Box::new(And::new(masks)),
            Begun::Keep { mut select, bits } => {
                select.set_first_offline(&take(count, lanes));
                Box::new(Keep::new(select, bits, true))
            }
            Begun::Fused { mut sign, mut select, bits: (bits, drop), levels } => {
                let first = match op {
                    Op::Fused { to, .. } => fused::offline_planes(bits, *to),
                    _ => 0,
                };
                sign.finish(&take(count - first, lanes));
                select.finish(&take(first, lanes));
                Box::new(Fused::new(sign, select, bits, drop, levels))
            }
            Begun::Elect(elect) => Box::new(ServerElection::new(elect)),
            Begun::Reveal(bits) => Box::new(ServerReveal::new(bits)),
            Begun::Extend(extend) => Box::new(Extend::new(extend)),
            Begun::Reshare(bits) => Box::new(ServerReshare::new(bits)),
        });
    }
    ops
}

/// The offline phase, with the session's OTs.
pub(crate) fn offline<D: RcotSender, U: RcotReceiver>(
    step: &GmwStep,
    (hash, down, up): (&HashSeed, &mut Ot<D>, &mut Ot<U>),
    channel: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<GmwServerPrepared, ProtocolError> {
    let seed = Seed::random(rng);
    let work = Prepare { step, hash, delta: down.session.delta().block(), seed };
    let (mut down, mut up) = (Sending(down), Receiving(up));
    let chunks = run_offline(step, &work, Party::Server, (&mut down, &mut up), channel, rng)?;
    Ok(GmwServerPrepared { chunks })
}

/// What chunks are prepared from.
struct Prepare<'a> {
    step: &'a GmwStep,
    hash: &'a HashSeed,
    /// Of the OTs from S to C.
    delta: Block,
    /// For the masks of extensions.
    seed: Seed,
}

impl Drop for Prepare<'_> {
    fn drop(&mut self) {
        self.delta.zeroize();
    }
}

impl Work for Prepare<'_> {
    type Begun = Vec<Begun>;
    type Ready = Ops;

    fn begin(&self, index: usize, down: &Made, up: &Made) -> (Vec<Begun>, BitVec) {
        let Some(chunk) = self.step.chunks.get(index) else { return Default::default() };
        let send = RotSend::new(self.hash, down.tweak, down.blocks(), self.delta);
        let recv = RotRecv::new(self.hash, up.tweak, up.blocks(), &up.choices, 0);
        begin(self.step, chunk, send, recv, &self.seed.fork(SIGMA, index as u64))
    }

    fn finish(&self, index: usize, begun: Vec<Begun>, corrections: &BitVec) -> Ops {
        let Some(chunk) = self.step.chunks.get(index) else { return Ops::default() };
        finish(self.step, chunk, begun, corrections)
    }
}

/// The online phase.
pub(crate) fn online(
    step: &GmwStep,
    prepared: GmwServerPrepared,
    input: Shares,
    channel: &mut Channel,
) -> Result<Option<Shares>, ProtocolError> {
    check_input(&step.step, &input)?;
    if prepared.chunks.len() != step.chunks.len() {
        return Err(ProtocolError::Caller("the material belongs to another step".into()));
    }
    let input = prepare_server(&step.step, input, step.ring);
    let chunks = step
        .chunks
        .iter()
        .zip(prepared.chunks)
        .map(|(chunk, ops)| {
            let words = input.words().get(chunk.inputs.clone()).unwrap_or_default();
            (ops, words.to_vec())
        })
        .collect();
    let results =
        run_online::<Server>(step, chunks, |trip| matches!(trip, Trip::Down(_)), channel)?;
    Ok(match step.step.output {
        StepOutput::Reveal => None,
        StepOutput::Masked { bits } => Some(Shares::new(bits, results.concat())),
    })
}
