//! The server: OT sender to the client, OT receiver from it; it learns its share online.

use std::sync::Arc;

use gazelle_block::BitVec;
use gazelle_block::hash::HashSeed;
use gazelle_convert::Planes;
use gazelle_convert::extend::ServerExtend;
use gazelle_convert::rot::{RotRecv, RotSend};
use gazelle_convert::select::Select;
use gazelle_convert::sign::{ClientShare, ServerSign};
use gazelle_ot::{OtExtension, RcotReceiver, RcotSender};
use gazelle_prg::{Prg, Seed};
use gazelle_share::{NonlinearServer, ProtocolError, Shares};
use gazelle_wire::Channel;
use rand_core::CryptoRng;
use rayon::prelude::*;

use crate::garbled::ot_error;
use crate::gmw::messages::{exchange, starts};
use crate::gmw::online::{Ops, online as run_online};
use crate::gmw::ops::{Extend, Relu, ServerReshare};
use crate::gmw::plan::{Chunk, GmwStep, Op};
use crate::gmw::run::Server;
use crate::gmw::schedule::Trip;
use crate::gmw::{GmwCompiled, Ot, step_of};
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
#[expect(
    clippy::large_enum_variant,
    reason = "most operations are the large variant; few live at once"
)]
enum Begun {
    Relu { sign: ServerSign, select: Select, bits: u32, share: ClientShare, levels: usize },
    Extend(ServerExtend),
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
            Op::Relu { bits, share, tree } => {
                let (bits, share) = (*bits, *share);
                let (sign, t) = ServerSign::begin(bits, share, lanes, &mut down, &mut up);
                message.extend(&t.to_bits());
                let select = Select::begin(bits, &mut down, &mut up);
                Begun::Relu { sign, select, bits, share, levels: tree.levels() }
            }
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
                let first = if share == ClientShare::Offline { bits as usize } else { 0 };
                sign.finish(&take(count - first, lanes));
                if first > 0 {
                    select.set_first_offline(&take(first, lanes));
                }
                Box::new(Relu::new(sign, select, bits, share, levels))
            }
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
    let mut chunks = Vec::with_capacity(step.chunks.len());
    let seed = Seed::random(rng);
    for group in step.groups() {
        let mut begun = Vec::new();
        let mut message = BitVec::new();
        for batch in group {
            let rots: Vec<_> = batch.iter().map(|chunk| step.rots(chunk)).collect();
            let (starts, (down_count, up_count)) = starts(&rots);
            let mut choices = BitVec::new();
            if down_count > 0 {
                let (session, y) = down.blocks(down_count);
                session.extend(y, channel, rng).map_err(ot_error)?;
            }
            if up_count > 0 {
                let (session, z) = up.blocks(up_count);
                session.extend(&mut choices, z, channel, rng).map_err(ot_error)?;
            }
            let (down_tweak, up_tweak) = (down.reserve(down_count)?, up.reserve(up_count)?);
            let delta = down.session.delta().block();
            let (y, z) = (down.filled(down_count), up.filled(up_count));
            let first = chunks.len() + begun.len();
            let parts: Vec<_> = batch
                .par_iter()
                .zip(starts)
                .enumerate()
                .map(|(index, (chunk, (d, u)))| {
                    let y = y.get(d..).unwrap_or_default();
                    let z = z.get(u..).unwrap_or_default();
                    let send = RotSend::new(hash, down_tweak + d as u64, y, delta);
                    let recv = RotRecv::new(hash, up_tweak + u as u64, z, &choices, u);
                    let seed = seed.fork(SIGMA, (first + index) as u64);
                    let (ops, bits) = begin(step, chunk, send, recv, &seed);
                    (chunk, ops, bits)
                })
                .collect();
            for (chunk, ops, bits) in parts {
                message.extend(&bits);
                begun.push((chunk, ops));
            }
        }
        let counts: Vec<_> =
            begun.iter().map(|(chunk, _)| (step.offline_bits(chunk).1, 0)).collect();
        let (starts, (incoming, _)) = starts(&counts);
        let received = exchange(channel, message, incoming)?;
        chunks.par_extend(begun.into_par_iter().zip(starts).zip(counts).map(
            |(((chunk, begun), (start, _)), (count, _))| {
                finish(step, chunk, begun, &received.slice(start, count))
            },
        ));
    }
    down.wipe();
    up.wipe();
    Ok(GmwServerPrepared { chunks })
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
    Ok(Some(Shares::new(step.step.output_bits(), results.concat())))
}
