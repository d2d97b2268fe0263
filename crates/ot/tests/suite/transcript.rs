//! Exact bytes and turns.

use gazelle_block::{BitVec, Block, Delta};
use gazelle_ot::{Iknp, OtExtension, OtTraffic, RcotReceiver, RcotSender};
use gazelle_wire::testing::run_two;

use super::support::rng;

#[test]
fn iknp_sends_127_bits_per_ot_one_way() {
    let iknp = Iknp::new();
    let setup = OtTraffic { sender_to_receiver: 8 + 127 * 32, receiver_to_sender: 8 + 32 };
    assert_eq!(iknp.setup_traffic(), setup);
    let up = |bytes| OtTraffic { sender_to_receiver: 0, receiver_to_sender: bytes };
    assert_eq!(iknp.extend_traffic(0, 1 << 20), up(128 * (8 + 127 * 1024)));
    assert_eq!(iknp.extend_traffic(0, 1), up(8 + 127 * 16));
    assert_eq!(iknp.extend_traffic(1, 127), up(0));
    assert_eq!(iknp.extend_traffic(1, 128), up(8 + 127 * 16));
    assert_eq!(iknp.extend_traffic(0, 8192 + 300), up(3 * 8 + 127 * (1024 + 32 + 16)));
}

#[test]
fn iknp_takes_one_turn_at_most_per_extension() {
    let (receiver, sender) = run_two(
        |mut ch| {
            let mut rng = rng(1);
            let mut session = Iknp::new().receiver(&mut ch, &mut rng).unwrap();
            let before = ch.traffic();
            let (mut choices, mut out) = (BitVec::new(), vec![Block::ZERO; 20_000]);
            session.extend(&mut choices, &mut out, &mut ch, &mut rng).unwrap();
            (ch.traffic() - before).turns
        },
        |mut ch| {
            let mut rng = rng(2);
            let delta = Delta::random(&mut rng);
            let mut session = Iknp::new().sender(delta, &mut ch, &mut rng).unwrap();
            let before = ch.traffic();
            session.extend(&mut vec![Block::ZERO; 20_000], &mut ch, &mut rng).unwrap();
            (ch.traffic() - before).turns
        },
    );
    assert!(receiver == 0 && sender <= 1);
}
