//! Exact traffic of a garbled step, and the batches in which it is made.

#![expect(
    clippy::indexing_slicing,
    reason = "chunks and stages name circuits and programs of their own step"
)]

use std::ops::Range;

use gazelle_garble::{GarblingScheme, table_bytes};
use gazelle_ot::OtExtension;
use gazelle_wire::Cost;
use gazelle_wire::traffic::framed_len;

use crate::garbled::program::{Chunk, GarbledStep, Program, Stage};
use crate::ot_session::down_cost;

/// Input elements per batch: what is garbled between two messages of the client.
const BATCH: usize = 32 << 10;

impl GarbledStep {
    /// The chunks in batches.
    pub(crate) fn batches(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        // The first chunk is the largest. A step without elements has an empty batch: its hash seed.
        let first = self.chunks.iter().map(|chunk| chunk.inputs.len().max(1)).next();
        let (batch, count) = (first.map_or(1, |inputs| (BATCH / inputs).max(1)), self.chunks.len());
        (0..count.max(1)).step_by(batch).map(move |start| start..(start + batch).min(count))
    }

    pub(crate) fn program(&self, chunk: &Chunk) -> &Program {
        &self.programs[chunk.program]
    }

    /// OTs of a chunk: one per wire of the client's share and mask.
    pub(crate) fn ots(&self, chunk: &Chunk) -> usize {
        self.input_bits * chunk.inputs.len() + self.mask_bits * chunk.outputs.len()
    }

    /// Bytes of a program's tables.
    pub(crate) fn table_len<S: GarblingScheme>(&self, scheme: &S, program: &Program) -> usize {
        let stage = |stage: &Stage| table_bytes(scheme, &self.circuits[stage.circuit], stage.lanes);
        program.stages.iter().map(stage).sum()
    }
}

/// Exact bytes of a step's hash seed and tables.
pub(crate) fn table_traffic<S: GarblingScheme>(scheme: &S, step: &GarbledStep) -> Cost {
    let tables = step.chunks.iter().map(|chunk| step.table_len(scheme, step.program(chunk)));
    let server_to_client = framed_len(16) + tables.map(framed_len).sum::<u64>();
    Cost { client_to_server: 0, server_to_client }
}

/// Exact offline and online bytes of a step; `made` counts the session's OTs.
pub(crate) fn step_traffic<O: OtExtension, S: GarblingScheme>(
    ot: &O,
    scheme: &S,
    step: &GarbledStep,
    made: &mut usize,
) -> (Cost, Cost) {
    let mut offline = table_traffic(scheme, step);
    let mut online = Cost::default();
    for batch in step.batches().filter(|batch| !batch.is_empty()) {
        let batch = &step.chunks[batch];
        let count = batch.iter().map(|chunk| step.ots(chunk)).sum::<usize>();
        offline += down_cost(ot.extend_traffic(*made, count));
        *made += count;
        offline.client_to_server += framed_len(count.div_ceil(8));
        for chunk in batch {
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
