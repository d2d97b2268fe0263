//! The client: OT receiver from the server, OT sender to it; its input share is known offline.

use std::sync::Arc;

use gazelle_block::hash::HashSeed;
use gazelle_block::{BitVec, Block};
use gazelle_convert::Planes;
use gazelle_convert::and::And as AndMasks;
use gazelle_convert::elect::{ClientElect, winner};
use gazelle_convert::extend::ClientExtend;
use gazelle_convert::fused::ClientFused;
use gazelle_convert::product::ClientProduct;
use gazelle_convert::rot::{RotRecv, RotSend};
use gazelle_convert::select::Select;
use gazelle_convert::sign::{ClientShare, ClientSign};
use gazelle_ot::{OtExtension, RcotReceiver, RcotSender};
use gazelle_share::shares::ring_mask;
use gazelle_share::step::StepOutput;
use gazelle_share::{NonlinearClient, Output, ProtocolError, Shares};
use gazelle_wire::Channel;
use rand_core::CryptoRng;
use rayon::prelude::*;
use zeroize::{Zeroize, Zeroizing};

use crate::gmw::online::{Ops, online as run_online};
use crate::gmw::op::Op;
use crate::gmw::ops::{
    And, ClientElection, ClientReshare, ClientReveal, Extend, Fused, Keep, Relu, Sign, Square,
    compared,
};
use crate::gmw::pipeline::{Made, Ot, Party, Receiving, Sending, Work, run as run_offline};
use crate::gmw::plan::{Chunk, GmwStep};
use crate::gmw::run::{Client, initial, operand};
use crate::gmw::schedule::Trip;
use crate::gmw::{GmwCompiled, step_of};
use crate::shares::{check_input, check_output, prepare_client};

/// The client's session.
pub struct GmwClient<O: OtExtension> {
    pub(crate) compiled: Arc<GmwCompiled>,
    pub(crate) hash: HashSeed,
    pub(crate) down: Ot<O::Receiver>,
    pub(crate) up: Ot<O::Sender>,
}

/// The client's material of one step.
pub struct GmwClientPrepared {
    chunks: Vec<(Ops, Planes)>,
}

impl<O: OtExtension> NonlinearClient for GmwClient<O> {
    type Prepared = GmwClientPrepared;

    fn offline(
        &mut self,
        step: usize,
        input: &Shares,
        output: Output<'_>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Prepared, ProtocolError> {
        let step = step_of(&self.compiled.steps, step)?;
        let sessions = (&self.hash, &mut self.down, &mut self.up);
        offline(step, sessions, input, output, channel, rng)
    }

    fn online(
        &mut self,
        step: usize,
        prepared: Self::Prepared,
        channel: &mut Channel,
    ) -> Result<Option<Vec<i64>>, ProtocolError> {
        online(step_of(&self.compiled.steps, step)?, prepared, channel)
    }
}

/// An operation between `begin` and `finish`.
enum Begun {
    Relu { sign: ClientSign, select: Select, bits: (u32, u32), share: ClientShare, levels: usize },
    Fused { sign: ClientSign, select: ClientFused, bits: (u32, u32), levels: usize },
    Sign { sign: ClientSign, bits: u32, share: ClientShare },
    Extend(ClientExtend),
    And(AndMasks),
    Keep { select: Select, bits: u32 },
    Square { cross: ClientProduct, bits: u32, share: ClientShare },
    Elect(ClientElect),
    Reveal { bits: u32, xor: bool },
    Reshare { mask: Planes, bits: u32 },
}

/// The chunk's operations begun, and its corrections.
fn begin(
    step: &GmwStep,
    chunk: &Chunk,
    mut down: RotRecv<'_>,
    mut up: RotSend<'_>,
    words: &[u64],
    mask: &[u64],
) -> (Vec<Begun>, BitVec) {
    let shape = step.shape_of(chunk);
    let words = Zeroizing::new(initial::<Client>(step, shape, words.to_vec()));
    let mut message = BitVec::new();
    let mut begun = Vec::with_capacity(step.chain.len());
    for ((before, op), &lanes) in step.chain.iter().zip(&shape.lanes) {
        down.set_lanes(lanes);
        up.set_lanes(lanes);
        begun.push(match op {
            Op::Relu { bits, drop, share, tree } => {
                let (bits, drop, share) = (*bits, *drop, *share);
                let x = Zeroizing::new(match share {
                    ClientShare::Offline => operand::<Client>(step, shape, before, bits, &words),
                    ClientShare::Online => Vec::new(),
                });
                let (planes, width) = (compared(&x, bits, drop), bits - drop);
                let (sign, d) = ClientSign::begin(width, share, planes, lanes, &mut down, &mut up);
                message.extend(&d.to_bits());
                let mut select = Select::begin(bits, &mut up, &mut down);
                if share == ClientShare::Offline {
                    message.extend(&select.first(&x).to_bits());
                }
                Begun::Relu { sign, select, bits: (bits, drop), share, levels: tree.levels() }
            }
            Op::Fused { bits, to, drop, tree } => {
                let (bits, drop, share) = (*bits, *drop, ClientShare::Offline);
                let x = Zeroizing::new(operand::<Client>(step, shape, before, bits, &words));
                let (planes, width) = (compared(&x, bits, drop), bits - drop);
                let (sign, d) = ClientSign::begin(width, share, planes, lanes, &mut down, &mut up);
                message.extend(&d.to_bits());
                let (select, d) = ClientFused::begin(bits, *to, &x, &mut down, &mut up);
                message.extend(&d.to_bits());
                Begun::Fused { sign, select, bits: (bits, drop), levels: tree.levels() }
            }
            Op::Sign { bits, share, .. } => {
                let (bits, share) = (*bits, *share);
                let x = Zeroizing::new(match share {
                    ClientShare::Offline => operand::<Client>(step, shape, before, bits, &words),
                    ClientShare::Online => Vec::new(),
                });
                let planes = Planes::from_words(&x, bits);
                let (sign, d) = ClientSign::begin(bits, share, planes, lanes, &mut down, &mut up);
                message.extend(&d.to_bits());
                Begun::Sign { sign, bits, share }
            }
            Op::Square { bits, share, .. } => {
                let (bits, share) = (*bits, *share);
                let cross = ClientProduct::begin(bits - 1, lanes, &mut down);
                if share == ClientShare::Offline {
                    let x = operand::<Client>(step, shape, before, bits - 1, &words);
                    message.extend(&cross.mask(&Zeroizing::new(x)).to_bits());
                }
                Begun::Square { cross, bits, share }
            }
            Op::And => Begun::And(AndMasks::begin(false, &mut up, &mut down)),
            Op::Keep { bits } => {
                let mut select = Select::begin(*bits, &mut up, &mut down);
                let x = Zeroizing::new(operand::<Client>(step, shape, before, *bits, &words));
                message.extend(&select.first(&x).to_bits());
                Begun::Keep { select, bits: *bits }
            }
            Op::Elect { rows } => Begun::Elect(ClientElect::begin(*rows, &mut down)),
            Op::Reveal { bits, xor } => Begun::Reveal { bits: *bits, xor: *xor },
            Op::Extend { from, to } => Begun::Extend(ClientExtend::begin(*from, *to, &mut down)),
            Op::Reshare { bits } => {
                Begun::Reshare { mask: Planes::from_words(mask, *bits), bits: *bits }
            }
        });
    }
    (begun, message)
}

/// The chunk's operations, with the server's corrections.
fn finish(step: &GmwStep, chunk: &Chunk, begun: Vec<Begun>, corrections: &BitVec) -> Ops {
    let shape = step.shape_of(chunk);
    let mut start = 0;
    let mut ops = Ops::new();
    for ((begun, (_, op)), &lanes) in begun.into_iter().zip(&step.chain).zip(&shape.lanes) {
        let count = op.offline_planes().0 * lanes;
        let received = Planes::from_bits(&corrections.slice(start, count), lanes);
        start += count;
        ops.push_back(match begun {
            Begun::Relu { mut sign, select, bits, share, levels } => {
                sign.finish(&received);
                Box::new(Relu::new(sign, select, bits, share, levels))
            }
            Begun::Sign { mut sign, bits, share } => {
                sign.finish(&received);
                Box::new(Sign::new(sign, bits, share))
            }
            Begun::Square { mut cross, bits, share } => {
                cross.finish(&received);
                Box::new(Square::new(cross, bits, share))
            }
            Begun::And(masks) => Box::new(And::new(masks)),
            Begun::Keep { select, bits } => Box::new(Keep::new(select, bits, false)),
            Begun::Fused { mut sign, select, bits: (bits, drop), levels } => {
                sign.finish(&received);
                Box::new(Fused::new(sign, select, bits, drop, levels))
            }
            Begun::Elect(elect) => Box::new(ClientElection::new(elect)),
            Begun::Reveal { bits, xor } => Box::new(ClientReveal::new(bits, xor)),
            Begun::Extend(mut extend) => {
                extend.finish(&received);
                Box::new(Extend::new(extend))
            }
            Begun::Reshare { mask, bits } => Box::new(ClientReshare { mask, bits, x: Vec::new() }),
        });
    }
    ops
}

/// The offline phase, with the session's OTs.
pub(crate) fn offline<D: RcotReceiver, U: RcotSender>(
    step: &GmwStep,
    (hash, down, up): (&HashSeed, &mut Ot<D>, &mut Ot<U>),
    input: &Shares,
    output: Output<'_>,
    channel: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<GmwClientPrepared, ProtocolError> {
    check_input(&step.step, input)?;
    let mask = check_output(&step.step, output)?;
    let input = prepare_client(&step.step, input.clone(), step.ring);
    let work = Prepare { step, hash, delta: up.session.delta().block(), input: &input, mask };
    let (mut down, mut up) = (Receiving(down), Sending(up));
    let chunks = run_offline(step, &work, Party::Client, (&mut down, &mut up), channel, rng)?;
    Ok(GmwClientPrepared { chunks })
}

/// What chunks are prepared from.
struct Prepare<'a> {
    step: &'a GmwStep,
    hash: &'a HashSeed,
    /// Of the OTs from C to S.
    delta: Block,
    input: &'a Shares,
    mask: &'a [u64],
}

impl Drop for Prepare<'_> {
    fn drop(&mut self) {
        self.delta.zeroize();
    }
}

impl Work for Prepare<'_> {
    type Begun = Vec<Begun>;
    type Ready = (Ops, Planes);

    fn begin(&self, chunk: usize, down: &Made, up: &Made) -> (Vec<Begun>, BitVec) {
        let Some(chunk) = self.step.chunks.get(chunk) else { return Default::default() };
        let recv = RotRecv::new(self.hash, down.tweak, down.blocks(), &down.choices, 0);
        let send = RotSend::new(self.hash, up.tweak, up.blocks(), self.delta);
        let words = self.input.words().get(chunk.inputs.clone()).unwrap_or_default();
        let mask = self.mask.get(chunk.outputs.clone()).unwrap_or_default();
        begin(self.step, chunk, recv, send, words, mask)
    }

    fn finish(&self, chunk: usize, begun: Vec<Begun>, corrections: &BitVec) -> (Ops, Planes) {
        let Some(chunk) = self.step.chunks.get(chunk) else { return Default::default() };
        let words = self.input.words().get(chunk.inputs.clone()).unwrap_or_default();
        let ops = finish(self.step, chunk, begun, corrections);
        (ops, Planes::from_words(words, self.step.ring))
    }
}

/// The indices behind revealed words: keys modulo `2^i`, or the verdicts on all rows.
fn indices(step: &GmwStep, words: &[u64]) -> Result<Vec<i64>, ProtocolError> {
    if let Some(bits) = step.keys {
        return Ok(words.iter().map(|key| (ring_mask(bits) - key) as i64).collect());
    }
    let none = || ProtocolError::Peer("no value, or more than one, is the largest".into());
    winner(words).map(|index| vec![index as i64]).ok_or_else(none)
}

/// The online phase.
pub(crate) fn online(
    step: &GmwStep,
    prepared: GmwClientPrepared,
    channel: &mut Channel,
) -> Result<Option<Vec<i64>>, ProtocolError> {
    if prepared.chunks.len() != step.chunks.len() {
        return Err(ProtocolError::Caller("the material belongs to another step".into()));
    }
    let chunks = prepared.chunks.into_par_iter();
    let chunks = chunks.map(|(ops, planes)| (ops, planes.to_words())).collect();
    let results = run_online::<Client>(step, chunks, |trip| matches!(trip, Trip::Up(_)), channel)?;
    match step.step.output {
        StepOutput::Reveal => indices(step, &results.concat()).map(Some),
        StepOutput::Masked { .. } => Ok(None),
    }
}
