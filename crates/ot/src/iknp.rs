//! IKNP: the simple reference among the OT extensions. Semi-honest.
//!
//! Rows are streams of 127 base OTs, j = 1 to 127; row 0 needs none, because bit 0 of Delta is 1.
//!
//! ```text
//! sender (Delta)                               receiver
//! sender: base OTs as receiver,                receiver: base OTs as sender: s0_j, s1_j;
//!   choices Delta_j: s_j                         a private stream for b
//! extend:                                      extend:
//!                                              t_j = G(s0_j), t_0 = b
//!                                       ◄──    u_j = t_j ^ G(s1_j) ^ b
//! q_j = G(s_j) ^ Delta_j u_j, q_0 = 0
//! y = q transposed                             z = t transposed: z_i = y_i ^ b_i Delta
//! ```
//!
//! Streams run over the whole session and never restart. Both sides work in chunks that stay in L2.
//! Assumption: AES-128 in counter mode is a pseudorandom generator; the base OTs' assumption.
//!
//! Source: Ishai, Kilian, Nissim, Petrank (CRYPTO 2003); Asharov, Lindell, Schneider, Zohner (CCS
//! 2013) for sending one correction per column; lowest bit as in protocol.md, section 7.

use gazelle_block::{BitVec, Block, Delta, transpose};
use gazelle_prg::{Prg, Seed};
use gazelle_wire::Channel;
use gazelle_wire::traffic::framed_len;
use rand_core::{CryptoRng, Rng};
use zeroize::Zeroize;

use crate::base;
use crate::error::OtError;
use crate::extension::{OtExtension, OtTraffic, RcotReceiver, RcotSender, lowest_bits};
use crate::rows::{Corrections, ROW_UNIT, Rows};
use crate::streams::{STREAM, Streams};
use crate::surplus::Surplus;

/// Base OTs: one per free bit of Delta.
const COLUMNS: usize = 127;
/// OTs per chunk: two matrices of 128 rows stay in L2.
const CHUNK: usize = 8192;
/// What the base OTs' strings are derived for.
const CONTEXT: &str = "iknp";

/// IKNP OT extension: 127 bits per OT from the receiver, two AES blocks per OT and party at most.
#[derive(Debug, Clone, Copy, Default)]
pub struct Iknp {}

/// The sender of [`Iknp`]. Wiped on drop.
pub struct IknpSender {
    delta: Delta,
    streams: Streams,
    surplus: Surplus,
    matrix: Rows,
}

/// The receiver of [`Iknp`]. Wiped on drop.
pub struct IknpReceiver {
    choices: Prg,
    streams: Streams,
    surplus: Surplus,
    matrix: Rows,
    corrections: Corrections,
}

impl Iknp {
    /// The only configuration.
    pub const fn new() -> Self {
        Self {}
    }

    /// Bytes of a chunk of `count` OTs on the wire.
    fn chunk_bytes(count: usize) -> u64 {
        framed_len(COLUMNS * count / 8)
    }
}

impl OtExtension for Iknp {
    type Sender = IknpSender;
    type Receiver = IknpReceiver;

    fn name(&self) -> String {
        "iknp".into()
    }

    fn sender(
        &self,
        delta: Delta,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<IknpSender, OtError> {
        let mut choices: Vec<bool> = (1..128).map(|j| delta.block().bit(j)).collect();
        let seeds = base::receive(&choices, CONTEXT, ch, rng)?;
        choices.zeroize();
        Ok(IknpSender {
            delta,
            streams: Streams::new(&seeds),
            surplus: Surplus::default(),
            matrix: Rows::default(),
        })
    }

    fn receiver(
        &self,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<IknpReceiver, OtError> {
        let choices = Prg::new(&Seed::random(rng), STREAM);
        let pairs = base::send(COLUMNS, CONTEXT, ch, rng)?;
        Ok(IknpReceiver {
            choices,
            streams: Streams::new(pairs.as_flattened()),
            surplus: Surplus::default(),
            matrix: Rows::default(),
            corrections: Corrections::default(),
        })
    }

    fn setup_traffic(&self) -> OtTraffic {
        // The extension's sender is the base OTs' receiver.
        let base = base::traffic(COLUMNS);
        OtTraffic {
            sender_to_receiver: base.receiver_to_sender,
            receiver_to_sender: base.sender_to_receiver,
        }
    }

    fn extend_traffic(&self, already_made: usize, count: usize) -> OtTraffic {
        let bytes = Surplus::chunks(ROW_UNIT, CHUNK, already_made, count)
            .map(|(chunks, size)| chunks as u64 * Self::chunk_bytes(size));
        OtTraffic { sender_to_receiver: 0, receiver_to_sender: bytes.sum() }
    }
}

impl RcotSender for IknpSender {
    fn delta(&self) -> &Delta {
        &self.delta
    }

    fn extend(
        &mut self,
        out: &mut [Block],
        ch: &mut Channel,
        _rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        let Self { delta, streams, surplus, matrix } = self;
        surplus.serve(ROW_UNIT, out, |out| {
            for chunk in out.chunks_mut(CHUNK) {
                let width = chunk.len() / ROW_UNIT;
                let corrections = ch.recv::<Corrections>(&(COLUMNS * width))?;
                matrix.resize(128 * width);
                streams.fill_masked(&mut matrix.0, &corrections.0, delta.block(), width);
                // Row 0 was zero when it was made and nothing writes to it.
                transpose::transpose(matrix.0.as_flattened(), 16 * width, chunk);
            }
            Ok(())
        })
    }
}

impl RcotReceiver for IknpReceiver {
    fn extend(
        &mut self,
        choices: &mut BitVec,
        out: &mut [Block],
        ch: &mut Channel,
        _rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        let Self { choices: own, streams, surplus, matrix, corrections } = self;
        surplus.serve(ROW_UNIT, out, |out| {
            for chunk in out.chunks_mut(CHUNK) {
                let width = chunk.len() / ROW_UNIT;
                matrix.resize(128 * width);
                corrections.0.resize(COLUMNS * width, [0; 16]);
                if let Some(row) = matrix.0.get_mut(..width) {
                    own.fill_bytes(row.as_flattened_mut());
                }
                streams.fill_pairs(&mut matrix.0, &mut corrections.0, width);
                ch.send(corrections, &(COLUMNS * width))?;
                transpose::transpose(matrix.0.as_flattened(), 16 * width, chunk);
            }
            Ok(ch.flush()?)
        })?;
        lowest_bits(out, choices);
        Ok(())
    }
}
