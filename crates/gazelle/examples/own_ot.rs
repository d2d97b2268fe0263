//! An OT extension of one's own in a whole session: both parties garble with it, over TCP it would be
//! the same. docs/swapping.md explains the trait; its conformance suite is
//! `gazelle_ot::testing::conformance`.
//!
//! `cargo run --example own_ot -p gazelle`

#[path = "shared/two_layers.rs"]
mod two_layers;

use std::collections::VecDeque;
use std::error::Error;

use gazelle::Suite;
use gazelle_block::{BitVec, Block, Blocks, Delta};
use gazelle_garble::HalfGates;
use gazelle_linear::PublicCoin;
use gazelle_nonlinear::Garbled;
use gazelle_ot::{
    BaseOt, BaseReceiver, BaseSender, Half, OtError, OtExtension, OtTraffic, RcotReceiver,
    RcotSender, Speaker,
};
use gazelle_prg::Seed;
use gazelle_wire::{Channel, traffic::framed_len};
use rand_core::CryptoRng;

/// A base OT per OT. The base OT gives the sender `s0`, `s1` and the receiver `s_b`; the sender sends
/// `c = s0 ^ s1 ^ Delta` (lowest bits cleared), so that `s_b ^ b c = s0 ^ b Delta`.
#[derive(Clone, Copy)]
struct Direct;

struct Sender {
    delta: Delta,
    /// Base OTs that were announced.
    strings: VecDeque<[Seed; 2]>,
}
#[derive(Default)]
struct Receiver(VecDeque<(bool, Seed)>);

impl OtExtension for Direct {
    type Sender = Sender;
    type Receiver = Receiver;

    fn name(&self) -> String {
        "a base OT for each".into()
    }

    fn base(&self) -> BaseOt {
        BaseOt::Classic
    }

    /// The sessions need none to begin with.
    fn base_count(&self) -> usize {
        0
    }

    fn sender_over(
        &self,
        _: &mut dyn BaseReceiver,
        delta: Delta,
        _: &mut Channel,
        _: &mut (dyn CryptoRng + Send),
    ) -> Result<Sender, OtError> {
        Ok(Sender { delta, strings: VecDeque::new() })
    }

    fn receiver_over(
        &self,
        _: &mut dyn BaseSender,
        _: &mut Channel,
        _: &mut (dyn CryptoRng + Send),
    ) -> Result<Receiver, OtError> {
        Ok(Receiver::default())
    }

    fn setup_traffic_over(&self) -> OtTraffic {
        OtTraffic::default()
    }

    fn extend_traffic(&self, _already_made: usize, count: usize) -> OtTraffic {
        if count == 0 {
            return OtTraffic::default();
        }
        let corrections =
            OtTraffic { sender_to_receiver: framed_len(16 * count), receiver_to_sender: 0 };
        (0..count).fold(corrections, |sum, _| sum + BaseOt::Classic.traffic(1))
    }
}

impl RcotSender for Sender {
    fn delta(&self) -> &Delta {
        &self.delta
    }

    /// In `make` the sender sends and the receiver receives.
    fn speaker(&self) -> Speaker {
        Speaker::Sender
    }

    /// What must be said both ways goes ahead.
    fn announce(
        &mut self,
        count: usize,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        while self.strings.len() < count {
            self.strings.extend(BaseOt::Classic.send(1, "examples/own_ot.rs", ch, rng)?);
        }
        Ok(ch.flush()?)
    }

    fn make(
        &mut self,
        out: &mut [Block],
        mut half: Half<'_>,
        _: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        let block = |seed: &Seed| Block::from_bytes(*seed.bytes()).without_lsb();
        let mut corrections = Vec::with_capacity(out.len());
        for y in out.iter_mut() {
            let [zero, one] = self.strings.pop_front().ok_or(OtError::Unannounced)?;
            *y = block(&zero);
            corrections.push(*y ^ block(&one) ^ self.delta.block());
        }
        let ch = half.sending()?;
        ch.send(&Blocks(corrections), &out.len())?;
        Ok(ch.flush()?)
    }
}

impl RcotReceiver for Receiver {
    fn speaker(&self) -> Speaker {
        Speaker::Sender
    }

    fn announce(
        &mut self,
        count: usize,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        while self.0.len() < count {
            let choices = BitVec::random(1, rng).to_bools();
            let strings = BaseOt::Classic.receive(&choices, "examples/own_ot.rs", ch, rng)?;
            self.0.extend(choices.into_iter().zip(strings));
        }
        Ok(ch.flush()?)
    }

    fn make(
        &mut self,
        choices: &mut BitVec,
        out: &mut [Block],
        mut half: Half<'_>,
        _: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        choices.resize(out.len());
        let corrections = half.receiving()?.recv::<Blocks>(&out.len())?.into_vec();
        for (i, (z, c)) in out.iter_mut().zip(corrections).enumerate() {
            let (b, string) = self.0.pop_front().ok_or(OtError::Unannounced)?;
            choices.set(i, b);
            *z = Block::from_bytes(*string.bytes()).without_lsb() ^ c.select(b);
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    gazelle_ot::testing::conformance(&Direct);
    let garbled = Garbled { ot: Direct, scheme: HalfGates::default() };
    two_layers::run(&Suite::new(PublicCoin::default(), garbled))
}
