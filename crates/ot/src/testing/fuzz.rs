//! Bodies of the fuzz targets: any bytes end in a value or an error.

use curve25519_dalek::constants::RISTRETTO_BASEPOINT_COMPRESSED;
use gazelle_block::{BitVec, Block, Delta};
use gazelle_prg::{Prg, Seed};
use gazelle_wire::Channel;

use crate::adapt::{WordShape, chosen, one_of_n};
use crate::extension::{OtExtension, RcotReceiver, RcotSender};
use crate::ferret::Parameters;
use crate::{BaseOt, Ferret, IdealOt, Iknp, OtError, RotReceiver, RotSender, SoftSpoken};

/// A peer that says `data` to both roles of IKNP, SoftSpokenOT and Ferret, and of the adapters above the
/// ideal extension. The lowest bit of the first byte decides whether valid points come first,
/// the next one which base OTs.
///
/// # Panics
/// Only on a defect.
pub fn messages(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    let points = if mode & 1 == 1 { 256 } else { 0 };
    let base = if mode & 2 == 2 { BaseOt::Hybrid } else { BaseOt::Classic };
    let mut payloads = RISTRETTO_BASEPOINT_COMPRESSED.to_bytes().repeat(points);
    payloads.extend_from_slice(rest);
    let _ = extension(&Iknp::new().with_base(base), &payloads, points);
    let _ = extension(&SoftSpoken::K4.with_base(base), &payloads, points);
    let _ = extension(&Ferret::new(Parameters::TOY).with_base(base), &payloads, points);
    let _ = sending(data);
    let _ = receiving(data);
}

fn rng() -> Prg {
    Prg::new(&Seed::from_bytes([3; 16]), 0)
}

fn extension<O: OtExtension>(ot: &O, payloads: &[u8], points: usize) -> Result<(), OtError> {
    let rng = &mut rng();
    let mut out = [Block::ZERO; 200];
    // The receiver's setup reads 256 points, the sender's one.
    let mut channel = Channel::from_payloads(payloads.to_vec());
    if let Ok(mut receiver) = ot.receiver(&mut channel, rng) {
        let _ = receiver.extend(&mut BitVec::new(), &mut out, &mut channel, rng);
    }
    let one_point = payloads.get(32 * points.saturating_sub(1)..).unwrap_or_default();
    let mut channel = Channel::from_payloads(one_point.to_vec());
    let mut sender = ot.sender(Delta::random(rng), &mut channel, rng)?;
    sender.extend(&mut out, &mut channel, rng)
}

fn sending(data: &[u8]) -> Result<(), OtError> {
    let rng = &mut rng();
    let mut channel = Channel::from_payloads(data.to_vec());
    let sender = IdealOt.sender(Delta::random(rng), &mut channel, rng)?;
    let mut sender = RotSender::new(sender, &mut channel, rng)?;
    let shape = WordShape::scalar(9, 13);
    let words = [5u64; 9];
    let strings = sender.strings(9, 1, &mut channel, rng)?;
    chosen::send(strings, shape, &words, &words, &mut channel)?;
    let shape = one_of_n::Shape { words: shape, log2_n: 2 };
    one_of_n::send(&mut sender, shape, &[7; 36], &mut channel, rng)
}

fn receiving(data: &[u8]) -> Result<(), OtError> {
    let rng = &mut rng();
    let mut channel = Channel::from_payloads(data.to_vec());
    let receiver = IdealOt.receiver(&mut channel, rng)?;
    let mut receiver = RotReceiver::new(receiver, &mut channel)?;
    let shape = WordShape::scalar(9, 13);
    let choices = BitVec::from_bools(&[true, false, true, true, false, false, true, false, true]);
    let strings = receiver.strings(9, 1, &mut channel, rng)?;
    chosen::receive(strings, shape, &choices, &mut channel)?;
    let shape = one_of_n::Shape { words: shape, log2_n: 2 };
    one_of_n::receive(&mut receiver, shape, &[3; 9], &mut channel, rng).map(drop)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]

        #[test]
        fn adversarial_any_messages_are_survived(
            data in prop::collection::vec(any::<u8>(), 0..6000),
        ) {
            super::messages(&data);
        }
    }
}
