//! IKNP: the simple reference among the OT extensions. Secure against cheaters.
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
//! at the end of a call:                        one piece more per row, never handed out;
//!                                       ◄──    hashes of all rows (`consistency`)
//! rows agree
//! ```
//!
//! Streams run over the whole session and never restart. Both sides work in chunks that stay in L2.
//! Assumptions: AES-128 in counter mode is a pseudorandom generator, BLAKE3 a random oracle; the base
//! OTs' assumption. A receiver that cheats is caught, but for guesses of bits of Delta.
//!
//! Source: Ishai, Kilian, Nissim, Petrank (CRYPTO 2003); Asharov, Lindell, Schneider, Zohner (CCS
//! 2013) for sending one correction per column; Keller, Orsini, Scholl (ePrint 2015/546) for the check;
//! lowest bit as in protocol.md, section 7.

use gazelle_block::{BitVec, Block, Delta, transpose};
use gazelle_prg::{Prg, Seed};
use gazelle_wire::Channel;
use gazelle_wire::traffic::framed_len;
use rand_core::{CryptoRng, Rng};
use zeroize::Zeroizing;

use crate::base::{BaseOt, BaseReceiver, BaseSender};
use crate::consistency::{self, CheckResponse, CheckTranscript, Checks, RowHashes, chunks};
use crate::error::OtError;
use crate::extension::{Half, OtExtension, RcotReceiver, RcotSender, Speaker, lowest_bits};
use crate::rows::{CHUNK, Corrections, ROW_UNIT, Rows};
use crate::streams::{STREAM, Streams};
use crate::surplus::Surplus;
use crate::traffic::OtTraffic;

/// Base OTs: one per free bit of Delta.
const COLUMNS: usize = 127;
/// What the base OTs' strings are derived for.
const CONTEXT: &str = "iknp";

/// IKNP OT extension: 127 bits per OT from the receiver, two AES blocks per OT and party at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Iknp {
    checks: Checks,
    base: BaseOt,
}

/// The sender of [`Iknp`]. Wiped on drop.
pub struct IknpSender {
    checks: Checks,
    delta: Delta,
    streams: Streams,
    transcript: CheckTranscript,
    surplus: Surplus,
    matrix: Rows,
}

/// The receiver of [`Iknp`]. Wiped on drop.
pub struct IknpReceiver {
    choices: Prg,
    streams: Streams,
    transcript: CheckTranscript,
    surplus: Surplus,
    matrix: Rows,
    corrections: Corrections,
}

impl Iknp {
    /// The only configuration.
    pub const fn new() -> Self {
        Self { checks: Checks::Enforced, base: BaseOt::Hybrid }
    }

    /// With other base OTs.
    #[must_use]
    pub const fn with_base(self, base: BaseOt) -> Self {
        Self { base, ..self }
    }

    /// **Insecure**: the sender goes on whatever its check says, to show what it is there for.
    #[cfg(test)]
    #[must_use]
    pub(crate) const fn without_checks(self) -> Self {
        Self { checks: Checks::Ignored, ..self }
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
        format!("iknp{}", self.base)
    }

    fn base(&self) -> BaseOt {
        self.base
    }

    fn base_count(&self) -> usize {
        COLUMNS
    }

    fn sender_over(
        &self,
        base: &mut dyn BaseReceiver,
        delta: Delta,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<IknpSender, OtError> {
        let choices = Zeroizing::new((1..128).map(|j| delta.block().bit(j)).collect::<Vec<_>>());
        let seeds = base.receive(&choices, CONTEXT, ch, rng)?;
        Ok(IknpSender {
            checks: self.checks,
            delta,
            streams: Streams::new(&seeds),
            transcript: CheckTranscript::new(CONTEXT, ch.binding(), &[]),
            surplus: Surplus::default(),
            matrix: Rows::default(),
        })
    }

    fn receiver_over(
        &self,
        base: &mut dyn BaseSender,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<IknpReceiver, OtError> {
        let choices = Prg::new(&Seed::random(rng), STREAM);
        let pairs = base.send(COLUMNS, CONTEXT, ch, rng)?;
        Ok(IknpReceiver {
            choices,
            streams: Streams::new(pairs.as_flattened()),
            transcript: CheckTranscript::new(CONTEXT, ch.binding(), &[]),
            surplus: Surplus::default(),
            matrix: Rows::default(),
            corrections: Corrections::default(),
        })
    }

    fn setup_traffic_over(&self) -> OtTraffic {
        OtTraffic::default()
    }

    fn extend_traffic(&self, already_made: usize, count: usize) -> OtTraffic {
        let mut bytes = 0;
        for (chunks, size) in Surplus::chunks(ROW_UNIT, CHUNK, already_made, count) {
            bytes += chunks as u64 * Self::chunk_bytes(size);
        }
        if bytes > 0 {
            // The mask of the check, and its response.
            bytes += 16 * COLUMNS as u64 + consistency::response_bytes();
        }
        OtTraffic { sender_to_receiver: 0, receiver_to_sender: bytes }
    }
}

impl RcotSender for IknpSender {
    fn delta(&self) -> &Delta {
        &self.delta
    }

    fn speaker(&self) -> Speaker {
        Speaker::Receiver
    }

    fn make(
        &mut self,
        out: &mut [Block],
        mut half: Half<'_>,
        _rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        let ch = half.receiving()?;
        let Self { checks, delta, streams, transcript, surplus, matrix } = self;
        let mut hashes = RowHashes::default();
        surplus.serve(ROW_UNIT, out, |out, last| {
            for (width, chunk) in chunks(out, last) {
                let corrections = ch.recv::<Corrections>(&(COLUMNS * width))?;
                matrix.resize(128 * width);
                if let Some(row) = matrix.0.get_mut(..width) {
                    row.fill([0; 16]);
                }
                streams.fill_masked(&mut matrix.0, &corrections.0, delta.block(), width);
                hashes.absorb(transcript, &corrections.0, &matrix.0, width);
                transpose::transpose(matrix.0.as_flattened(), 16 * width, chunk);
            }
            if last {
                let response = ch.recv::<CheckResponse>(&())?;
                checks.require(hashes.accept(transcript, delta, &response), consistency::NAME)?;
            }
            Ok(())
        })
    }
}

impl RcotReceiver for IknpReceiver {
    fn speaker(&self) -> Speaker {
        Speaker::Receiver
    }

    fn make(
        &mut self,
        choices: &mut BitVec,
        out: &mut [Block],
        mut half: Half<'_>,
        _rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        let ch = half.sending()?;
        let Self { choices: own, streams, transcript, surplus, matrix, corrections } = self;
        let mut hashes = RowHashes::default();
        surplus.serve(ROW_UNIT, out, |out, last| {
            for (width, chunk) in chunks(out, last) {
                matrix.resize(128 * width);
                corrections.0.resize(COLUMNS * width, [0; 16]);
                if let Some(row) = matrix.0.get_mut(..width) {
                    own.fill_bytes(row.as_flattened_mut());
                }
                streams.fill_pairs(&mut matrix.0, &mut corrections.0, width);
                ch.send(corrections, &(COLUMNS * width))?;
                hashes.absorb(transcript, &corrections.0, &matrix.0, width);
                transpose::transpose(matrix.0.as_flattened(), 16 * width, chunk);
            }
            if last {
                ch.send(&hashes.response(transcript), &())?;
            }
            Ok(ch.flush()?)
        })?;
        lowest_bits(out, choices);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gazelle_wire::memory;

    fn rng(role: u8) -> Prg {
        Prg::new(&Seed::from_bytes([23; 16]), role)
    }

    fn sessions(extension: Iknp) -> (IknpSender, IknpReceiver, [Channel; 2]) {
        let (mut a, mut b) = memory::pair();
        let delta = Delta::random(&mut rng(1));
        let (sender, receiver) = std::thread::scope(|scope| {
            let sender = scope.spawn(|| extension.sender(delta, &mut a, &mut rng(2)).unwrap());
            let receiver = extension.receiver(&mut b, &mut rng(3)).unwrap();
            (sender.join().unwrap(), receiver)
        });
        (sender, receiver, [a, b])
    }

    /// A receiver that flips its correction of row j in OT j - 1, for each of `rows`, and is honest
    /// about everything else. Returns its z.
    fn cheat(receiver: &mut IknpReceiver, ch: &mut Channel, rows: &[usize]) -> Vec<Block> {
        let width = 2;
        let mut matrix = vec![[0; 16]; 128 * width];
        receiver.choices.fill_bytes(matrix[..width].as_flattened_mut());
        let mut corrections = Corrections(vec![[0; 16]; COLUMNS * width]);
        receiver.streams.fill_pairs(&mut matrix, &mut corrections.0, width);
        for row in rows {
            corrections.0[(row - 1) * width][(row - 1) / 8] ^= 1 << ((row - 1) % 8);
        }
        ch.send(&corrections, &corrections.0.len()).unwrap();
        let mut hashes = RowHashes::default();
        hashes.absorb(&mut receiver.transcript, &corrections.0, &matrix, width);
        ch.send(&hashes.response(&receiver.transcript), &()).unwrap();
        ch.flush().unwrap();
        let mut z = vec![Block::ZERO; ROW_UNIT];
        transpose::transpose(matrix.as_flattened(), 16 * width, &mut z);
        z
    }

    #[test]
    fn adversarial_a_receiver_that_flips_one_correction_is_caught_if_delta_has_a_one_there() {
        for row in [1usize, 2, 3, 64, 126, 127] {
            let (mut sender, mut receiver, [mut a, mut b]) = sessions(Iknp::new());
            cheat(&mut receiver, &mut b, &[row]);
            let mut y = [Block::ZERO; ROW_UNIT];
            let result = sender.extend(&mut y, &mut a, &mut rng(5));
            if sender.delta.block().bit(row as u32) {
                assert!(matches!(result, Err(OtError::Misbehaved { .. })), "row {row}");
            } else {
                result.unwrap();
            }
        }
    }

    /// What the check is there for: whether an OT works tells a bit of Delta, 127 of them in one call.
    #[test]
    fn adversarial_without_the_check_one_call_tells_delta() {
        let (mut sender, mut receiver, [mut a, mut b]) = sessions(Iknp::new().without_checks());
        let rows: Vec<usize> = (1..128).collect();
        let z = cheat(&mut receiver, &mut b, &rows);
        let mut y = vec![Block::ZERO; ROW_UNIT];
        sender.extend(&mut y, &mut a, &mut rng(5)).unwrap();
        let delta = sender.delta.block();
        let works = |ot: usize| z[ot] == y[ot] ^ delta.select(z[ot].lsb());
        let read = rows.iter().fold(1u128, |read, row| read | u128::from(!works(row - 1)) << row);
        assert_eq!(read, delta.0);
    }
}
