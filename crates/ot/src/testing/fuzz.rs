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
/// ideal extension. The lowest bit of the first byte decides whether what classic base OTs need comes first, valid
/// points with salts or a point with differences, the next one which base OTs.
///
/// # Panics
/// Only on a defect.
pub fn messages(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    let base = if mode & 2 == 2 { BaseOt::Hybrid } else { BaseOt::Classic };
    let [functions, answers] = if mode & 1 == 1 { valid() } else { [Vec::new(), Vec::new()] };
    let payloads = [[functions, rest.to_vec()].concat(), [answers, rest.to_vec()].concat()];
    let _ = extension(&Iknp::new().with_base(base), &payloads);
    let _ = extension(&SoftSpoken::K4.with_base(base), &payloads);
    let _ = extension(&Ferret::new(Parameters::TOY).with_base(base), &payloads);
    let _ = sending(data);
    let _ = receiving(data);
}

/// What the receiver of 127 or 128 classic base OTs says, and the sender.
fn valid() -> [Vec<u8>; 2] {
    let point = RISTRETTO_BASEPOINT_COMPRESSED.to_bytes();
    [[&point[..], &[7; 48]].concat().repeat(64), [&point[..], &[0; 64 * 64]].concat()]
}

fn rng() -> Prg {
    Prg::new(&Seed::from_bytes([3; 16]), 0)
}

/// The receiver's session hears the first, the sender's the second.
fn extension<O: OtExtension>(
    ot: &O,
    [to_receiver, to_sender]: &[Vec<u8>; 2],
) -> Result<(), OtError> {
    let rng = &mut rng();
    let mut out = [Block::ZERO; 200];
    let mut channel = Channel::from_payloads(to_receiver.clone());
    if let Ok(mut receiver) = ot.receiver(&mut channel, rng) {
        let _ = receiver.extend(&mut BitVec::new(), &mut out, &mut channel, rng);
    }
    let mut channel = Channel::from_payloads(to_sender.clone());
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

    use super::*;
    use crate::{BaseReceiver, BaseSender};

    #[test]
    fn known_answer_valid_messages_lead_past_the_base_ots() {
        let [functions, answers] = valid();
        for count in [127, 128] {
            let mut channel = Channel::from_payloads(functions.clone());
            assert!(BaseOt::Classic.send(count, "", &mut channel, &mut rng()).is_ok());
            let mut channel = Channel::from_payloads(answers.clone());
            let choices = vec![true; count];
            assert!(BaseOt::Classic.receive(&choices, "", &mut channel, &mut rng()).is_ok());
        }
    }

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
