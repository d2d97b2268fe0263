//! What every OT extension must do, as a test for its implementor to call.

pub mod fuzz;

use gazelle_block::{BitVec, Block, Delta};
use gazelle_prg::{Prg, Seed};
use gazelle_wire::{Channel, memory};

use crate::extension::{OtExtension, RcotReceiver, RcotSender};
use crate::traffic::OtTraffic;

/// Counts that a conformant extension is asked for, in this order, in one session.
pub(crate) const COUNTS: [usize; 12] = [1, 127, 128, 129, 0, 1000, 64, 8192, 3, 20_001, 128, 5];

/// What the two parties of a session hold.
pub struct MadeOts {
    /// The sender's Delta.
    pub delta: Delta,
    /// The sender's `y_i`.
    pub y: Vec<Block>,
    /// The receiver's `b_i`.
    pub choices: BitVec,
    /// The receiver's `z_i`.
    pub z: Vec<Block>,
}

/// Runs one session in which each of `counts` is extended in turn, over a link in memory, both
/// parties on threads of their own, and returns everything joined together. Bytes on the wire are
/// compared with the extension's own prediction.
///
/// # Panics
/// If a party fails, or sends another number of bytes than predicted.
#[expect(clippy::expect_used, clippy::panic, reason = "a test helper: failing loudly is its job")]
pub fn run<O: OtExtension + 'static>(extension: &O, counts: &[usize], seed: u8) -> MadeOts {
    let (mut sender_end, mut receiver_end) = memory::pair();
    let party = |role: u8| Prg::new(&Seed::from_bytes([seed; 16]), role);
    let sending = || {
        let mut rng = party(1);
        let delta = Delta::random(&mut rng);
        let mut sender =
            extension.sender(delta, &mut sender_end, &mut rng).expect("the sender's setup");
        check_traffic(&sender_end, extension.setup_traffic(), "setup");
        let mut y = Vec::new();
        let mut predicted = extension.setup_traffic();
        for &count in counts {
            let mut out = vec![Block::ZERO; count];
            sender.extend(&mut out, &mut sender_end, &mut rng).expect("the sender extends");
            predicted += extension.extend_traffic(y.len(), count);
            check_traffic(&sender_end, predicted, "extension");
            y.extend(out);
        }
        sender_end.flush().expect("the link is up");
        (sender.delta().clone(), y)
    };
    let mut receiving = || {
        let mut rng = party(2);
        let mut receiver =
            extension.receiver(&mut receiver_end, &mut rng).expect("the receiver's setup");
        let (mut choices, mut z) = (BitVec::new(), Vec::new());
        for &count in counts {
            let mut out = vec![Block::ZERO; count];
            let mut bits = BitVec::new();
            receiver
                .extend(&mut bits, &mut out, &mut receiver_end, &mut rng)
                .expect("the receiver extends");
            assert_eq!(bits.len(), count, "one choice per OT");
            choices.extend(&bits);
            z.extend(out);
        }
        receiver_end.flush().expect("the link is up");
        (choices, z)
    };
    std::thread::scope(|scope| {
        let sending = scope.spawn(sending);
        let (choices, z) = receiving();
        let Ok((delta, y)) = sending.join() else { panic!("the sender panicked") };
        MadeOts { delta, y, choices, z }
    })
}

/// The laws of [`OtExtension`]: the correlation holds, the lowest bits are what they must be, choices
/// and pads look uniform, nothing repeats, sessions differ, bytes are as predicted.
///
/// # Panics
/// If one of them does not hold.
pub fn conformance<O: OtExtension + 'static>(extension: &O) {
    let made = run(extension, &COUNTS, 1);
    let total = COUNTS.iter().sum::<usize>();
    assert!(made.y.len() == total && made.z.len() == total && made.choices.len() == total);
    assert!(made.delta.block().lsb(), "the lowest bit of Delta is 1");
    for ((y, z), choice) in made.y.iter().zip(&made.z).zip(made.choices.iter()) {
        assert!(*z == *y ^ made.delta.block().select(choice), "z = y ^ b Delta");
        assert!(!y.lsb() && z.lsb() == choice, "the lowest bit is the choice bit");
    }
    let spread = 6.0 * (total as f64).sqrt() / 2.0;
    let balanced = |ones: usize| (ones as f64 - total as f64 / 2.0).abs() < spread;
    assert!(balanced(made.choices.count_ones()), "choices are balanced");
    for bit in 1..128 {
        let ones = made.y.iter().filter(|y| y.bit(bit)).count();
        assert!(balanced(ones), "bit {bit} of y is balanced");
        let with_choice = made.y.iter().zip(made.choices.iter());
        let equal = with_choice.filter(|(y, choice)| y.bit(bit) == *choice).count();
        assert!(balanced(equal), "bit {bit} of y is independent of the choice");
    }
    let mut seen: Vec<u128> = made.y.iter().map(|y| y.0).collect();
    seen.sort_unstable();
    assert!(seen.windows(2).all(|pair| pair.first() != pair.last()), "no y repeats");
    let other = run(extension, &[256], 2);
    assert!(other.delta.block() != made.delta.block(), "sessions have their own Delta");
    assert!(seen.binary_search(&other.y.first().map_or(0, |y| y.0)).is_err(), "sessions differ");
}

fn check_traffic(sender: &Channel, predicted: OtTraffic, what: &str) {
    let traffic = sender.traffic();
    let seen = OtTraffic { sender_to_receiver: traffic.sent, receiver_to_sender: traffic.received };
    assert_eq!(seen, predicted, "bytes of the {what}");
}
