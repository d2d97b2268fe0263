//! The ideal functionality, **insecure and exact**: for tests of the layers above.
//!
//! | sender (Delta) | receiver |
//! |---|---|
//! | `sender`: draws a seed, sends it with Delta in the clear | `receiver`: reads both |
//! | `make`: `y_i` from the seed | `b_i` from the seed, `z_i = y_i ^ b_i Delta` |

use gazelle_block::{BitVec, Block, Blocks, Delta};
use gazelle_prg::{Prg, Seed};
use gazelle_wire::Channel;
use gazelle_wire::traffic::framed_len;
use rand_core::{CryptoRng, Rng};

use crate::base::{BaseOt, BaseReceiver, BaseSender};
use crate::error::OtError;
use crate::extension::{Half, OtExtension, RcotReceiver, RcotSender, Speaker, lowest_bits};
use crate::traffic::OtTraffic;

/// Correlated OT by telling the receiver everything. Extending sends nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct IdealOt;

/// The sender of [`IdealOt`].
pub struct IdealSender {
    delta: Delta,
    blocks: Prg,
}

/// The receiver of [`IdealOt`].
pub struct IdealReceiver {
    delta: Delta,
    blocks: Prg,
    choices: Prg,
}

/// Streams of the shared seed.
const BLOCKS: u8 = 1;
const CHOICES: u8 = 2;

impl OtExtension for IdealOt {
    type Sender = IdealSender;
    type Receiver = IdealReceiver;

    fn name(&self) -> String {
        "ideal".into()
    }

    fn base(&self) -> BaseOt {
        BaseOt::Classic
    }

    fn base_count(&self) -> usize {
        0
    }

    fn sender_over(
        &self,
        _base: &mut dyn BaseReceiver,
        delta: Delta,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<IdealSender, OtError> {
        let seed = Seed::random(rng);
        ch.send(&Blocks(vec![Block::from_bytes(*seed.bytes()), delta.block()]), &2)?;
        ch.flush()?;
        Ok(IdealSender { delta, blocks: Prg::new(&seed, BLOCKS) })
    }

    fn receiver_over(
        &self,
        _base: &mut dyn BaseSender,
        ch: &mut Channel,
        _rng: &mut (dyn CryptoRng + Send),
    ) -> Result<IdealReceiver, OtError> {
        let blocks = ch.recv::<Blocks>(&2)?.into_vec();
        let [seed, delta] = blocks.try_into().unwrap_or_default();
        let seed = Seed::from_bytes(seed.to_bytes());
        Ok(IdealReceiver {
            delta: Delta::from_block(delta)?,
            blocks: Prg::new(&seed, BLOCKS),
            choices: Prg::new(&seed, CHOICES),
        })
    }

    fn setup_traffic_over(&self) -> OtTraffic {
        OtTraffic { sender_to_receiver: framed_len(32), receiver_to_sender: 0 }
    }

    fn extend_traffic(&self, _already_made: usize, _count: usize) -> OtTraffic {
        OtTraffic::default()
    }
}

impl RcotSender for IdealSender {
    fn delta(&self) -> &Delta {
        &self.delta
    }

    fn speaker(&self) -> Speaker {
        Speaker::Sender
    }

    fn make(
        &mut self,
        out: &mut [Block],
        _half: Half<'_>,
        _rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        Block::fill_random(out, &mut self.blocks);
        for block in out {
            *block = block.without_lsb();
        }
        Ok(())
    }
}

impl RcotReceiver for IdealReceiver {
    fn speaker(&self) -> Speaker {
        Speaker::Sender
    }

    fn make(
        &mut self,
        choices: &mut BitVec,
        out: &mut [Block],
        _half: Half<'_>,
        _rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        Block::fill_random(out, &mut self.blocks);
        for block in out.iter_mut() {
            let choice = self.choices.next_u32() & 1 == 1;
            *block = block.without_lsb() ^ self.delta.block().select(choice);
        }
        lowest_bits(out, choices);
        Ok(())
    }
}
