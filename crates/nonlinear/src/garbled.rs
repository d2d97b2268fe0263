//! The garbled backend: every step in one online round trip (protocol.md 6).
//!
//! The server garbles and is the sender of the correlated OTs; the client evaluates.
//!
//! | client (`client`) | server (`server`) |
//! |---|---|
//! | offline: | fresh hash seed, sent ahead |
//! | per batch of chunks: `extend` for the bits of its share and mask; sends d = b ^ c | `extend`; W^0 = y ^ d Delta |
//! | keeps labels and tables | garbles the batch's chunks, sends tables; keeps seed, Delta, permute bits |
//! | online: evaluates chunk by chunk | sends the labels of its share, chunk by chunk (and, to reveal, the permute bits) |
//! | sends the outputs' colours | decodes z - r |
//!
//! Before the circuit both shift their shares (protocol.md 5.1) and reduce them to b bits; `Round`
//! alone keeps all bits. Cost per ReLU: 2b + l - 3 AND gates, b + l OTs offline; 16 b bytes and l
//! bits online.
//!
//! Security: semi-honest. Tables and the client's labels go before the server's inputs exist;
//! output permute bits never go offline. If x may depend on the client's offline view, the argument
//! is in the ideal-cipher model.

pub(crate) mod client;
pub(crate) mod messages;
pub(crate) mod server;

use std::sync::Arc;

use gazelle_block::{Delta, TweakCounter};
use gazelle_garble::{GarblingScheme, table_bytes};
use gazelle_ot::{OtExtension, OtTraffic};
use gazelle_share::{NonlinearProtocol, NonlinearTraffic, ProtocolError, Step};
use gazelle_wire::traffic::framed_len;
use gazelle_wire::{Channel, Cost};
use rand_core::CryptoRng;

pub use client::{GarbledClient, GarbledClientPrepared};
pub use server::{GarbledServer, GarbledServerPrepared};

use crate::program::{Chunk, CompiledStep, Program};

/// Input elements per batch: what is garbled between two messages of the client.
const BATCH: usize = 32 << 10;

/// Garbled circuits over an OT extension.
#[derive(Debug, Clone, Copy, Default)]
pub struct Garbled<O, S> {
    /// Makes the correlated OTs for the client's labels.
    pub ot: O,
    /// Garbles AND gates.
    pub scheme: S,
}

/// The circuits and stages of all steps.
#[derive(Debug)]
pub struct GarbledCompiled {
    pub(crate) steps: Vec<CompiledStep>,
}

impl GarbledCompiled {
    /// Compiles all steps.
    ///
    /// # Errors
    /// [`ProtocolError::Plan`] if a step does not fit its ring.
    pub fn new(steps: &[Step]) -> Result<Self, ProtocolError> {
        let steps = steps.iter().enumerate().map(|(i, step)| CompiledStep::new(i, step));
        Ok(Self { steps: steps.collect::<Result<_, _>>()? })
    }

    /// AND gates of a step; 0 for one that does not exist.
    pub fn and_count(&self, step: usize) -> usize {
        self.steps.get(step).map_or(0, CompiledStep::and_count)
    }

    pub(crate) fn step(&self, index: usize) -> Result<&CompiledStep, ProtocolError> {
        self.steps
            .get(index)
            .ok_or_else(|| ProtocolError::Caller(format!("there is no non-linear step {index}")))
    }
}

impl CompiledStep {
    /// The chunks in batches.
    pub(crate) fn batches(&self) -> impl Iterator<Item = &[Chunk]> {
        let first = self.chunks.first().map_or(1, |chunk| chunk.inputs.len().max(1));
        self.chunks.chunks((BATCH / first).max(1))
    }

    pub(crate) fn program(&self, chunk: &Chunk) -> Result<&Program, ProtocolError> {
        self.programs
            .get(chunk.program)
            .ok_or_else(|| ProtocolError::Caller("a chunk without a program".into()))
    }

    /// OTs of a chunk: one per wire of the client's share and mask.
    pub(crate) fn ots(&self, chunk: &Chunk) -> usize {
        self.input_bits * chunk.inputs.len() + self.mask_bits * chunk.outputs.len()
    }

    /// Bytes of a program's tables.
    pub(crate) fn table_len<S: GarblingScheme>(&self, scheme: &S, program: &Program) -> usize {
        let stage = |stage: &crate::program::Stage| {
            let circuit = self.circuits.get(stage.circuit);
            circuit.map_or(0, |circuit| table_bytes(scheme, circuit, stage.lanes))
        };
        program.stages.iter().map(stage).sum()
    }
}

/// Exact offline and online bytes of a step; `made` counts the session's OTs.
pub(crate) fn step_traffic<O: OtExtension, S: GarblingScheme>(
    ot: &O,
    scheme: &S,
    step: &CompiledStep,
    made: &mut usize,
) -> (Cost, Cost) {
    let mut offline = Cost { server_to_client: framed_len(16), ..Cost::default() };
    let mut online = Cost::default();
    for batch in step.batches() {
        let count = batch.iter().map(|chunk| step.ots(chunk)).sum::<usize>();
        offline += ot_cost(ot.extend_traffic(*made, count));
        *made += count;
        offline.client_to_server += framed_len(count.div_ceil(8));
        for chunk in batch {
            let table = step.programs.get(chunk.program).map_or(0, |p| step.table_len(scheme, p));
            offline.server_to_client += framed_len(table);
            online.server_to_client += framed_len(16 * step.input_bits * chunk.inputs.len());
            let colours = framed_len((step.output_bits * chunk.outputs.len()).div_ceil(8));
            if step.mask_bits > 0 {
                online.client_to_server += colours;
            } else {
                online.server_to_client += colours;
            }
        }
    }
    (offline, online)
}

/// OT traffic with the server as the sender.
pub(crate) fn ot_cost(traffic: OtTraffic) -> Cost {
    Cost {
        client_to_server: traffic.receiver_to_sender,
        server_to_client: traffic.sender_to_receiver,
    }
}

/// The link's fault, or the primitive's.
pub(crate) fn ot_error(error: gazelle_ot::OtError) -> ProtocolError {
    match error {
        gazelle_ot::OtError::Channel(error) => ProtocolError::Channel(error),
        other => ProtocolError::backend(other),
    }
}

impl<O, S> NonlinearProtocol for Garbled<O, S>
where
    O: OtExtension,
    S: GarblingScheme,
{
    type Compiled = GarbledCompiled;
    type Client = GarbledClient<O, S>;
    type Server = GarbledServer<O, S>;

    fn name(&self, _compiled: &GarbledCompiled, _step: usize) -> &'static str {
        "garbled"
    }

    fn compile(&self, steps: Arc<[Step]>) -> Result<GarbledCompiled, ProtocolError> {
        GarbledCompiled::new(&steps)
    }

    fn traffic(&self, compiled: &GarbledCompiled) -> NonlinearTraffic {
        let mut made = 0;
        let steps = compiled.steps.iter();
        let (offline, online) =
            steps.map(|step| step_traffic(&self.ot, &self.scheme, step, &mut made)).unzip();
        NonlinearTraffic { setup: ot_cost(self.ot.setup_traffic()), offline, online }
    }

    fn client(
        &self,
        compiled: Arc<GarbledCompiled>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Client, ProtocolError> {
        let ot = self.ot.receiver(channel, rng).map_err(ot_error)?;
        channel.flush()?;
        Ok(GarbledClient { compiled, scheme: self.scheme.clone(), ot, tweaks: TweakCounter::new() })
    }

    fn server(
        &self,
        compiled: Arc<GarbledCompiled>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Server, ProtocolError> {
        let ot = self.ot.sender(Delta::random(rng), channel, rng).map_err(ot_error)?;
        channel.flush()?;
        Ok(GarbledServer { compiled, scheme: self.scheme.clone(), ot, tweaks: TweakCounter::new() })
    }
}
