//! Exact bytes and turns.

use gazelle_block::{BitVec, Block, Delta};
use gazelle_ot::ferret::Parameters;
use gazelle_ot::{Ferret, Iknp, OtExtension, OtTraffic, RcotReceiver, RcotSender, SoftSpoken};
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
fn softspoken_sends_one_bit_per_tree_but_the_first() {
    for (extension, trees) in [(SoftSpoken::K2, 64), (SoftSpoken::K4, 32), (SoftSpoken::K8, 16)] {
        let setup = OtTraffic {
            sender_to_receiver: 8 + 128 * 32,
            receiver_to_sender: 8 + 32 + 8 + 16 * 257,
        };
        assert_eq!(extension.setup_traffic(), setup);
        let up = |bytes| OtTraffic { sender_to_receiver: 0, receiver_to_sender: bytes };
        assert_eq!(extension.extend_traffic(0, 1 << 20), up(128 * (8 + (trees - 1) * 1024)));
        assert_eq!(extension.extend_traffic(100, 28), up(0));
        assert_eq!(extension.extend_traffic(100, 29), up(8 + (trees - 1) * 16));
    }
}

#[test]
fn ferret_sends_one_block_per_level_and_tree_and_one_bit_back() {
    let both = |down, up| OtTraffic { sender_to_receiver: down, receiver_to_sender: up };
    for (set, setup, batch) in [
        (
            Parameters::SMALL,
            both(8 + 4096 + 8 + 16, 8 + 32 + 8 + 16 * 257 + 11 * 8 + 15 * 74_112 / 8),
            both(106 * (8 + 8 * 10 * 16) + 8 + 2 * 10 * 16, 8 + 1063),
        ),
        (
            Parameters::MEDIUM,
            both(8 + 4096 + 8 + 16, 8 + 32 + 8 + 16 * 257 + 19 * 8 + 15 * 144_000 / 8),
            both(146 * (8 + 8 * 11 * 16) + 8 + 2 * 11 * 16, 8 + 1609),
        ),
        (
            Parameters::LARGE,
            both(8 + 4096 + 8 + 16, 8 + 32 + 8 + 16 * 257 + 68 * 8 + 15 * 548_992 / 8),
            both(475 * (8 + 4 * 13 * 16), 8 + 3088),
        ),
    ] {
        let ferret = Ferret::new(set);
        assert_eq!(ferret.setup_traffic(), setup);
        assert_eq!(ferret.extend_traffic(0, set.usable()), batch);
        assert_eq!(ferret.extend_traffic(set.usable(), set.usable()), batch);
        assert_eq!(ferret.extend_traffic(set.usable(), 0), both(0, 0));
        let (first, rest) =
            (ferret.extend_traffic(0, 1), ferret.extend_traffic(1, set.usable() - 1));
        assert_eq!(first + rest, batch);
        assert_eq!(first.receiver_to_sender, batch.receiver_to_sender);
    }
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
