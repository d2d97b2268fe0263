//! Rules, and a receiver that cheats.

use super::*;
use gazelle_prg::Prg;
use gazelle_wire::memory;

fn rng(role: u8) -> Prg {
    Prg::new(&Seed::from_bytes([21; 16]), role)
}

fn sessions(extension: SoftSpoken) -> (SoftSpokenSender, SoftSpokenReceiver, [Channel; 2]) {
    let (mut a, mut b) = memory::pair();
    let delta = Delta::random(&mut rng(1));
    let (sender, receiver) = std::thread::scope(|scope| {
        let sender = scope.spawn(|| extension.sender(delta, &mut a, &mut rng(2)).unwrap());
        let receiver = extension.receiver(&mut b, &mut rng(3)).unwrap();
        (sender.join().unwrap(), receiver)
    });
    (sender, receiver, [a, b])
}

/// The base choices are the complement of Delta's path: the one unknown leaf is at `Delta_i`.
#[test]
fn rules_the_sender_knows_all_leaves_but_the_one_that_delta_names() {
    for extension in [SoftSpoken::K2, SoftSpoken::K4, SoftSpoken::K8] {
        let (sender, receiver, _) = sessions(extension);
        let k = extension.k;
        for tree in 0..SoftSpoken::trees(k) {
            let delta = (sender.delta.block().0 >> (k as usize * tree)) as usize & ((1 << k) - 1);
            for x in 0..1usize << k {
                let own = receiver.leaves.key(tree << k | x);
                // The sender keeps leaf x at place x ^ Delta_i.
                let known = sender.leaves.key(tree << k | x ^ delta);
                assert_eq!(own == known, x != delta, "tree {tree}, leaf {x}");
            }
        }
    }
}

#[test]
fn rules_streams_run_on_in_lockstep_and_never_restart() {
    let (mut sender, mut receiver, [mut a, mut b]) = sessions(SoftSpoken::K4);
    let (mut expected, mut masks) = (0, 0);
    for count in [1usize, 127, 1, 9000, 0, 300] {
        let (mut y, mut z) = (vec![Block::ZERO; count], vec![Block::ZERO; count]);
        receiver.extend(&mut BitVec::new(), &mut z, &mut b, &mut rng(4)).unwrap();
        sender.extend(&mut y, &mut a, &mut rng(5)).unwrap();
        // A call that makes OTs makes a piece more, for the check.
        masks += u64::from(SoftSpoken::K4.extend_traffic(expected, count).total() > 0);
        expected += count;
        let pieces = expected.div_ceil(ROW_UNIT) as u64 + masks;
        assert_eq!((sender.leaves.position(), receiver.leaves.position()), (pieces, pieces));
    }
}

#[test]
fn adversarial_after_an_error_the_session_is_dead() {
    let (mut sender, mut receiver, [mut a, b]) = sessions(SoftSpoken::K2);
    drop(b);
    let mut out = [Block::ZERO; 5];
    let error = sender.extend(&mut out, &mut a, &mut rng(5)).unwrap_err();
    assert!(matches!(error, OtError::Channel(_)));
    let (mut a, mut b) = memory::pair();
    let error = sender.extend(&mut out, &mut a, &mut rng(5)).unwrap_err();
    assert!(matches!(error, OtError::Dead));
    drop(a);
    let error = receiver.extend(&mut BitVec::new(), &mut out, &mut b, &mut rng(5)).unwrap_err();
    assert!(matches!(error, OtError::Channel(_)));
    let error = receiver.extend(&mut BitVec::new(), &mut out, &mut b, &mut rng(5)).unwrap_err();
    assert!(matches!(error, OtError::Dead));
}

#[test]
fn properties_other_tree_sizes_are_refused() {
    assert!(matches!(SoftSpoken::new(3), Err(OtError::Parameters(_))));
    assert_eq!(SoftSpoken::new(8).unwrap(), SoftSpoken::K8);
}

/// A receiver that answers every question as it should, but for the corrections of its first piece:
/// that of tree i is flipped in OT i. Returns its z.
fn cheat(receiver: &mut SoftSpokenReceiver, ch: &mut Channel, trees: &[usize]) -> Vec<Block> {
    let all = SoftSpoken::trees(receiver.k);
    let width = 2;
    let mut rows = vec![[0; 16]; 128 * width];
    let mut corrections = Corrections(vec![[0; 16]; (all - 1) * width]);
    receiver.leaves.fill_sums(receiver.k, &mut rows, &mut corrections.0, width);
    for &tree in trees {
        corrections.0[(tree - 1) * width][tree / 8] ^= 1 << (tree % 8);
    }
    ch.send(&corrections, &corrections.0.len()).unwrap();
    let mut hashes = RowHashes::default();
    hashes.absorb(&mut receiver.transcript, &corrections.0, &rows, width);
    ch.send(&hashes.response(&receiver.transcript), &()).unwrap();
    ch.flush().unwrap();
    let mut z = vec![Block::ZERO; ROW_UNIT];
    transpose::transpose(rows.as_flattened(), 16 * width, &mut z);
    z
}

#[test]
fn adversarial_a_receiver_that_flips_one_correction_is_caught() {
    for extension in [SoftSpoken::K2, SoftSpoken::K4, SoftSpoken::K8] {
        let trees = SoftSpoken::trees(extension.k);
        for tree in [1, trees / 2, trees - 1] {
            let (mut sender, mut receiver, [mut a, mut b]) = sessions(extension);
            let block = sender.delta.block().0 >> (extension.k as usize * tree);
            cheat(&mut receiver, &mut b, &[tree]);
            let mut y = [Block::ZERO; ROW_UNIT];
            let result = sender.extend(&mut y, &mut a, &mut rng(5));
            // An error that meets no one in Delta changes nothing, and is a guess that came true.
            if block & ((1 << extension.k) - 1) == 0 {
                result.unwrap();
            } else {
                assert!(matches!(result, Err(OtError::Misbehaved { .. })), "tree {tree}");
                let again = sender.extend(&mut y, &mut a, &mut rng(5));
                assert!(matches!(again, Err(OtError::Dead)));
            }
        }
    }
}

/// What the check is there for: one call of 128 OTs, and any use of the sender's strings, tell 120 of
/// Delta's bits.
#[test]
fn adversarial_without_the_check_one_call_tells_delta() {
    let (mut sender, mut receiver, [mut a, mut b]) = sessions(SoftSpoken::K8.without_checks());
    let trees: Vec<usize> = (1..16).collect();
    let z = cheat(&mut receiver, &mut b, &trees);
    let mut y = vec![Block::ZERO; ROW_UNIT];
    sender.extend(&mut y, &mut a, &mut rng(5)).unwrap();
    let delta = sender.delta.block();
    let hash = HashSeed::new(&Seed::from_bytes([1; 16]));
    let string = |x: Block| {
        let mut out = [Block::ZERO];
        hash.hash(7, &[x], &mut out);
        out[0]
    };
    let mut read = 0u128;
    for tree in trees {
        // The string that the sender takes for the receiver's: seen, say, by a message under it.
        let seen = string(y[tree] ^ delta.select(z[tree].lsb()));
        let guesses = (0..256u128).map(|guess| guess << (8 * tree));
        let right: Vec<u128> =
            guesses.filter(|guess| string(Block(z[tree].0 ^ guess)) == seen).collect();
        assert_eq!(right.len(), 1);
        read |= right[0];
    }
    assert_eq!(read, delta.0 & !0xff, "120 bits of Delta");
}

/// A setup in which one of the two sums of one level is wrong, on the way.
fn tampered(extension: SoftSpoken, ot: usize, side: usize) -> (bool, Delta) {
    let extension = extension.with_base(BaseOt::Classic);
    let delta = Delta::random(&mut rng(1));
    let own = delta.clone();
    let bit = 64 + 128 * (1 + 2 * ot + side) + 17;
    let (_, sender) = gazelle_wire::testing::run_two_tampered(
        gazelle_wire::testing::Tampered::Client,
        // Behind the base OTs' point and differences.
        2,
        gazelle_wire::recording::Mutation::Flip { bit },
        move |mut ch| extension.receiver(&mut ch, &mut rng(3)).map(drop),
        move |mut ch| match extension.sender(own, &mut ch, &mut rng(2)) {
            Ok(_) => true,
            Err(OtError::Misbehaved { .. }) => false,
            Err(other) => panic!("{other}"),
        },
    );
    (sender, delta)
}

#[test]
fn adversarial_a_receiver_with_wrong_trees_is_caught_where_it_would_learn_a_bit() {
    for ot in [0usize, 3, 64, 127] {
        for side in 0..2 {
            let (passed, delta) = tampered(SoftSpoken::K4, ot, side);
            // The sender opens the sum that its path does not take.
            let opened = usize::from(!delta.block().bit(ot as u32));
            assert_eq!(passed, side != opened, "level sum {ot}, side {side}");
            assert!(tampered(SoftSpoken::K4.without_checks(), ot, side).0);
        }
    }
}
