//! Base OTs: the functionality, exact bytes, and degenerate points.

use curve25519_dalek::RistrettoPoint;
use curve25519_dalek::ristretto::CompressedRistretto;
use curve25519_dalek::traits::Identity;
use gazelle_ot::base::{self, PointsMessage};
use gazelle_ot::{OtError, OtTraffic};
use gazelle_wire::testing::run_two;

use super::support::{as_ot_traffic, rng};

#[test]
fn conformance_the_receiver_gets_exactly_the_chosen_strings() {
    let choices: Vec<bool> = (0..128).map(|i| i % 3 == 0 || i == 127).collect();
    let picked = choices.clone();
    let (chosen, (pairs, traffic)) = run_two(
        move |mut ch| base::receive(&picked, "test", &mut ch, &mut rng(1)).unwrap(),
        |mut ch| {
            let pairs = base::send(128, "test", &mut ch, &mut rng(2)).unwrap();
            (pairs, ch.traffic())
        },
    );
    for ((pair, chosen), choice) in pairs.iter().zip(&chosen).zip(&choices) {
        assert_eq!(pair[usize::from(*choice)].bytes(), chosen.bytes());
        assert_ne!(pair[usize::from(!*choice)].bytes(), chosen.bytes());
    }
    let mut all: Vec<[u8; 16]> = pairs.iter().flatten().map(|seed| *seed.bytes()).collect();
    all.sort_unstable();
    assert!(all.windows(2).all(|pair| pair[0] != pair[1]), "all strings differ");
    assert_eq!(as_ot_traffic(traffic), base::traffic(128));
    let exact = OtTraffic { sender_to_receiver: 8 + 32, receiver_to_sender: 8 + 128 * 32 };
    assert_eq!(base::traffic(128), exact);
}

#[test]
fn properties_contexts_and_indices_separate_the_strings() {
    let run = |left: &'static str, right: &'static str| {
        run_two(
            move |mut ch| base::receive(&[false; 4], left, &mut ch, &mut rng(1)).unwrap(),
            move |mut ch| base::send(4, right, &mut ch, &mut rng(2)).unwrap(),
        )
    };
    let (chosen, pairs) = run("a", "a");
    assert!(chosen.iter().zip(&pairs).all(|(seed, pair)| seed.bytes() == pair[0].bytes()));
    let (other, _) = run("b", "b");
    assert!(chosen.iter().zip(&other).all(|(a, b)| a.bytes() != b.bytes()));
    let (chosen, pairs) = run("a", "b");
    assert!(chosen.iter().zip(&pairs).all(|(seed, pair)| seed.bytes() != pair[0].bytes()));
}

/// Encodings that must be refused: the identity, a non-canonical one, and one off the curve.
fn degenerate() -> Vec<CompressedRistretto> {
    let identity = RistrettoPoint::identity().compress();
    let mut off = [0u8; 32];
    off[0] = 2;
    while CompressedRistretto(off).decompress().is_some() {
        off[0] += 2;
    }
    vec![identity, CompressedRistretto([0xff; 32]), CompressedRistretto(off)]
}

#[test]
fn adversarial_degenerate_points_from_the_sender_are_refused() {
    for point in degenerate() {
        let (result, ()) = run_two(
            |mut ch| base::receive(&[true, false], "test", &mut ch, &mut rng(1)).map(drop),
            move |mut ch| {
                ch.send(&PointsMessage(vec![point]), &1).unwrap();
                ch.flush().unwrap();
            },
        );
        assert!(matches!(result, Err(OtError::InvalidPoint { index: 0 })));
    }
}

#[test]
fn adversarial_degenerate_points_from_the_receiver_are_refused_by_index() {
    for point in degenerate() {
        let ((), result) = run_two(
            move |mut ch| {
                let first = ch.recv::<PointsMessage>(&1).unwrap().0[0];
                ch.send(&PointsMessage(vec![first, point]), &2).unwrap();
                ch.flush().unwrap();
            },
            |mut ch| base::send(2, "test", &mut ch, &mut rng(2)).map(drop),
        );
        assert!(matches!(result, Err(OtError::InvalidPoint { index: 1 })));
    }
}
