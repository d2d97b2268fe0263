//! The client: OT receiver from the server, OT sender to it; its input share is known offline.

use std::sync::Arc;

use gazelle_block::BitVec;
use gazelle_block::hash::HashSeed;
use gazelle_convert::Planes;
use gazelle_convert::extend::ClientExtend;
use gazelle_convert::rot::{RotRecv, RotSend};
use gazelle_convert::select::Select;
use gazelle_convert::sign::{ClientShare, ClientSign};
use gazelle_ot::{OtExtension, RcotReceiver, RcotSender};
use gazelle_share::{NonlinearClient, Output, ProtocolError, Shares};
use gazelle_wire::Channel;
use rand_core::CryptoRng;
use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::garbled::ot_error;
use crate::gmw::messages::{exchange, starts};
use crate::gmw::online::{Ops, online as run_online};
use crate::gmw::ops::{ClientReshare, Extend, Relu};
use crate::gmw::plan::{Chunk, GmwStep, Op};
use crate::gmw::run::{Client, initial, operand};
use crate::gmw::schedule::Trip;
use crate::gmw::{GmwCompiled, Ot, step_of};
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
#[expect(
    clippy::large_enum_variant,
    reason = "most operations are the large variant; few live at once"
)]
enum Begun {
    Relu { sign: ClientSign, select: Select, bits: u32, share: ClientShare, levels: usize },
    Extend(ClientExtend),
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
    let words = Zeroizing::new(initial(shape, words.to_vec()));
    let mut message = BitVec::new();
    let mut begun = Vec::with_capacity(step.chain.len());
    for ((before, op), &lanes) in step.chain.iter().zip(&shape.lanes) {
        down.set_lanes(lanes);
        up.set_lanes(lanes);
        begun.push(match op {
            Op::Relu { bits, share, tree } => {
                let (bits, share) = (*bits, *share);
                let x = Zeroizing::new(match share {
                    ClientShare::Offline => operand::<Client>(step, shape, before, bits, &words),
                    ClientShare::Online => Vec::new(),
                });
                let planes = Planes::from_words(&x, bits);
                let (sign, d) = ClientSign::begin(bits, share, planes, lanes, &mut down, &mut up);
                message.extend(&d.to_bits());
                let mut select = Select::begin(bits, &mut up, &mut down);
                if share == ClientShare::Offline {
                    message.extend(&select.first(&x).to_bits());
                }
                Begun::Relu { sign, select, bits, share, levels: tree.levels() }
            }
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
    let mut chunks = Vec::with_capacity(step.chunks.len());
    for group in step.groups() {
        let mut begun = Vec::new();
        let mut message = BitVec::new();
        for batch in group {
            let rots: Vec<_> = batch.iter().map(|chunk| step.rots(chunk)).collect();
            let (starts, (down_count, up_count)) = starts(&rots);
            let mut choices = BitVec::new();
            if down_count > 0 {
                let (session, z) = down.blocks(down_count);
                session.extend(&mut choices, z, channel, rng).map_err(ot_error)?;
            }
            if up_count > 0 {
                let (session, y) = up.blocks(up_count);
                session.extend(y, channel, rng).map_err(ot_error)?;
            }
            let (down_tweak, up_tweak) = (down.reserve(down_count)?, up.reserve(up_count)?);
            let delta = up.session.delta().block();
            let (z, y) = (down.filled(down_count), up.filled(up_count));
            let parts: Vec<_> = batch
                .par_iter()
                .zip(starts)
                .map(|(chunk, (d, u))| {
                    let z = z.get(d..).unwrap_or_default();
                    let y = y.get(u..).unwrap_or_default();
                    let recv = RotRecv::new(hash, down_tweak + d as u64, z, &choices, d);
                    let send = RotSend::new(hash, up_tweak + u as u64, y, delta);
                    let words = input.words().get(chunk.inputs.clone()).unwrap_or_default();
                    let mask = mask.get(chunk.outputs.clone()).unwrap_or_default();
                    let (ops, bits) = begin(step, chunk, recv, send, words, mask);
                    (chunk, ops, bits)
                })
                .collect();
            for (chunk, ops, bits) in parts {
                message.extend(&bits);
                begun.push((chunk, ops));
            }
        }
        let counts: Vec<_> =
            begun.iter().map(|(chunk, _)| (step.offline_bits(chunk).0, 0)).collect();
        let (starts, (incoming, _)) = starts(&counts);
        let received = exchange(channel, message, incoming)?;
        chunks.par_extend(begun.into_par_iter().zip(starts).zip(counts).map(
            |(((chunk, begun), (start, _)), (count, _))| {
                let words = input.words().get(chunk.inputs.clone()).unwrap_or_default();
                let ops = finish(step, chunk, begun, &received.slice(start, count));
                (ops, Planes::from_words(words, step.ring))
            },
        ));
    }
    down.wipe();
    up.wipe();
    Ok(GmwClientPrepared { chunks })
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
    run_online::<Client>(step, chunks, |trip| matches!(trip, Trip::Up(_)), channel)?;
    Ok(None)
}
