//! Exact bytes and turns.

use gazelle_block::{BitVec, Block, Delta};
use gazelle_ot::ferret::Parameters;
use gazelle_ot::{
    BaseOt, Ferret, Iknp, OtExtension, OtTraffic, RcotReceiver, RcotSender, SoftSpoken,
};
use gazelle_wire::testing::run_two;

use super::support::rng;

#[test]
fn iknp_sends_127_bits_per_ot_one_way() {
    let iknp = Iknp::new();
    let setup = OtTraffic {
        sender_to_receiver: 8 + 64 * 80 + 8 + 64 * 848,
        receiver_to_sender: 8 + 32 + 8 + 64 * 4 * 768 + 8 + 64 * 64,
    };
    assert_eq!(iknp.setup_traffic(), setup);
    let setup =
        OtTraffic { sender_to_receiver: 8 + 64 * 80, receiver_to_sender: 8 + 32 + 8 + 64 * 64 };
    assert_eq!(iknp.with_base(BaseOt::Classic).setup_traffic(), setup);
    let up = |bytes| OtTraffic { sender_to_receiver: 0, receiver_to_sender: bytes };
    // Per call: a mask of 128 OTs, and the answer to the check.
    let check = 127 * 16 + 8 + 48;
    assert_eq!(iknp.extend_traffic(0, 1 << 20), up(128 * (8 + 127 * 1024) + check));
    assert_eq!(iknp.extend_traffic(0, 1), up(8 + 127 * 16 + check));
    assert_eq!(iknp.extend_traffic(1, 127), up(0));
    assert_eq!(iknp.extend_traffic(1, 128), up(8 + 127 * 16 + check));
    assert_eq!(iknp.extend_traffic(0, 8192 + 300), up(3 * 8 + 127 * (1024 + 32 + 16) + check));
}

#[test]
fn softspoken_sends_one_bit_per_tree_but_the_first() {
    for (extension, trees) in [(SoftSpoken::K2, 64), (SoftSpoken::K4, 32), (SoftSpoken::K8, 16)] {
        let setup = OtTraffic {
            sender_to_receiver: 8 + 64 * 80,
            receiver_to_sender: 8 + 32 + 8 + 64 * 64 + 8 + 16 * 257 + 8 + 32 * (trees + 1),
        };
        assert_eq!(extension.with_base(BaseOt::Classic).setup_traffic(), setup);
        let up = |bytes| OtTraffic { sender_to_receiver: 0, receiver_to_sender: bytes };
        let check = (trees - 1) * 16 + 8 + 48;
        assert_eq!(
            extension.extend_traffic(0, 1 << 20),
            up(128 * (8 + (trees - 1) * 1024) + check)
        );
        assert_eq!(extension.extend_traffic(100, 28), up(0));
        assert_eq!(extension.extend_traffic(100, 29), up(8 + (trees - 1) * 16 + check));
    }
}

/// OTs that Ferret's setup leaves for its first calls.
const SPARE: usize = 128;

/// Ferret's setup: base OTs, nonces; trees with their commitment, and the bootstrap's check.
const DOWN: u64 = 8 + 64 * 80 + 8 + 32;
const UP: u64 = 8 + 32 + 8 + 64 * 64 + 8 + 16 * 257 + 8 + 32 * 17 + 8 + 32 + 15 * 16 + 8 + 48;

#[test]
fn ferret_sends_one_block_per_level_and_tree_and_two_to_check_and_one_bit_back() {
    let both = |down, up| OtTraffic { sender_to_receiver: down, receiver_to_sender: up };
    // Groups of a batch that hold what it hands out; bytes of a group and of the last, smaller one. A
    // stage's groups, of which `down` hold what is retained of them, go in front of the first OTs.
    for (set, stages, down, groups, [group, last], up) in [
        (Parameters::FIRST, 0, 0, [38, 48], [8 + 16 * 9 * 16 + 16, 8 + 4 * 9 * 16 + 16], 756),
        (Parameters::SMALL, 1, 20, [193, 213], [8 + 8 * 10 * 16 + 16, 8 + 4 * 10 * 16 + 16], 1913),
        (Parameters::MEDIUM, 1, 38, [274, 293], [8 + 8 * 11 * 16 + 16, 8 + 4 * 11 * 16 + 16], 2925),
        (
            Parameters::FEW_BYTES,
            1,
            36,
            [138, 147],
            [8 + 8 * 12 * 16 + 16, 8 + 2 * 12 * 16 + 16],
            1609,
        ),
    ] {
        let ferret = Ferret::new(set).with_base(BaseOt::Classic);
        // `FIRST` retains 38,816 OTs of the bootstrap; 128 more are handed out first.
        let bootstrap = UP + 6 * 8 + 15 * 39_040 / 8;
        assert_eq!(ferret.setup_traffic(), both(DOWN, bootstrap));
        assert_eq!(ferret.extend_traffic(0, SPARE), both(0, 0));
        let [usable, all] = groups;
        let under = both(down * (8 + 16 * 9 * 16 + 16), stages * (8 + 756));
        let first = both(usable * group, 8 + up) + under;
        assert_eq!(ferret.extend_traffic(0, SPARE + set.usable()), first);
        // The rest of a batch, which feeds the next one, is made when that begins.
        let second = both((all - usable - 1) * group + last + usable * group, 8 + up);
        let made = SPARE + set.usable();
        assert_eq!(ferret.extend_traffic(made, set.usable()), second);
        assert_eq!(ferret.extend_traffic(made, 0), both(0, 0));
        let one = ferret.extend_traffic(0, SPARE + 1);
        assert_eq!(one, both(group, 8 + up) + under);
        assert_eq!(one + ferret.extend_traffic(SPARE + 1, set.usable() - 1), first);
    }
}

/// Checks ride along: an extension takes as many turns as without them.
fn turns<O: OtExtension + 'static>(extension: &O) -> (u64, u64) {
    let (one, two) = (extension.clone(), extension.clone());
    run_two(
        move |mut ch| {
            let mut rng = rng(1);
            let mut session = one.receiver(&mut ch, &mut rng).unwrap();
            ch.flush().unwrap();
            let before = ch.traffic();
            let (mut choices, mut out) = (BitVec::new(), vec![Block::ZERO; 20_000]);
            session.extend(&mut choices, &mut out, &mut ch, &mut rng).unwrap();
            (ch.traffic() - before).turns
        },
        move |mut ch| {
            let mut rng = rng(2);
            let delta = Delta::random(&mut rng);
            let mut session = two.sender(delta, &mut ch, &mut rng).unwrap();
            let before = ch.traffic();
            session.extend(&mut vec![Block::ZERO; 20_000], &mut ch, &mut rng).unwrap();
            (ch.traffic() - before).turns
        },
    )
}

/// Both directions, each party sending and receiving in turn: the first party's setup message; the other's
/// base OTs, trees, corrections and flips; the second session's trees and corrections.
fn turns_of_both_directions<O: OtExtension + 'static>(extension: &O) -> (u64, u64) {
    let (one, two) = (extension.clone(), extension.clone());
    run_two(
        move |mut ch| {
            let mut rng = rng(1);
            let delta = Delta::random(&mut rng);
            gazelle_ot::duplex::sender_first(&one, delta, &mut ch, &mut rng).unwrap();
            ch.flush().unwrap();
            ch.traffic().turns
        },
        move |mut ch| {
            let mut rng = rng(2);
            let delta = Delta::random(&mut rng);
            gazelle_ot::duplex::receiver_first(&two, delta, &mut ch, &mut rng).unwrap();
            ch.flush().unwrap();
            ch.traffic().turns
        },
    )
}

#[test]
fn both_directions_are_set_up_in_three_flights() {
    // IKNP has nothing to say in the third.
    assert_eq!(turns_of_both_directions(&Iknp::new()), (1, 0));
    for turns in [
        turns_of_both_directions(&SoftSpoken::K8),
        turns_of_both_directions(&Ferret::new(Parameters::FIRST)),
        turns_of_both_directions(&Ferret::new(Parameters::MEDIUM)),
        turns_of_both_directions(&Ferret::new(Parameters::LARGE)),
    ] {
        assert_eq!(turns, (1, 1));
    }
}

#[test]
fn extensions_take_one_turn_at_most_with_their_checks() {
    let (receiver, sender) = turns(&Iknp::new());
    assert!(receiver == 0 && sender <= 1);
    for k in [SoftSpoken::K2, SoftSpoken::K4, SoftSpoken::K8] {
        let (receiver, sender) = turns(&k);
        assert!(receiver == 0 && sender <= 1);
    }
    // Corrections of five batches up, then sums down.
    let (receiver, sender) = turns(&Ferret::new(Parameters::TOY));
    assert!(receiver == 1 && sender <= 1, "{receiver} {sender}");
}
