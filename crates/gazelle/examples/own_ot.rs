//! An OT extension of one's own in a whole session: both parties garble with it, over TCP it would be
//! the same. docs/swapping.md explains the trait; its conformance suite is
//! `gazelle_ot::testing::conformance`.
//!
//! `cargo run --example own_ot -p gazelle`

use std::collections::VecDeque;
use std::error::Error;
use std::thread;

use gazelle::share::{
    LinearWeights, Network, NetworkBuilder, ProtocolError, StepFunction, TensorId, TensorShape,
};
use gazelle::{Limits, ModelInfo, Offer, ServerLimits, Service, Suite, system_rng, wire};
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

fn suite() -> Suite<PublicCoin, Garbled<Direct, HalfGates>> {
    Suite::new(PublicCoin::default(), Garbled { ot: Direct, scheme: HalfGates::default() })
}

/// Two inputs, their sum and difference, and what of them is positive.
fn network() -> Result<Network, ProtocolError> {
    const UNIT: i32 = 1 << 10;
    let mut network = NetworkBuilder::new(TensorShape::vector(2), 32, 10, 20);
    let both = network.fully_connected(TensorId::INPUT, 2);
    let weights = LinearWeights { weights: vec![UNIT, UNIT, UNIT, -UNIT], bias: vec![0; 2] };
    let both = network.linear("sum and difference", both, TensorId::INPUT, weights);
    let positive = network.step("relu", StepFunction::Relu, both, None);
    let same = network.fully_connected(positive, 2);
    let weights = LinearWeights { weights: vec![UNIT, 0, 0, UNIT], bias: vec![0; 2] };
    let same = network.linear("identity", same, positive, weights);
    network.build(same)
}

fn main() -> Result<(), Box<dyn Error>> {
    let server =
        Service::compile(suite(), network()?, ModelInfo::default(), serde_json::Value::Null)?;
    let (ours, theirs) = wire::memory::pair();
    let serving =
        thread::spawn(move || server.serve(theirs, &ServerLimits::default(), &mut system_rng()?));
    let mut rng = system_rng()?;
    let mut client = Offer::receive(ours, Limits::default(), None)?.accept(suite(), &mut rng)?;
    let prepared = client.prepare(&mut rng)?;
    let values = client.infer(prepared, &[300, 500])?.values;
    client.close()?;
    serving.join().map_err(|_| "the server panicked")??;
    println!("300 + 500 and 300 - 500, if positive: {values:?}");
    let [sum, difference] = values.as_slice() else { return Err("not two values".into()) };
    // The linear layers are exact up to a unit each.
    assert!((sum - 800).abs() <= 2 && difference.abs() <= 2, "{values:?}");
    Ok(())
}
