//! Base OTs: the functionality, exact bytes, and degenerate points.

use curve25519_dalek::RistrettoPoint;
use curve25519_dalek::constants::RISTRETTO_BASEPOINT_COMPRESSED;
use curve25519_dalek::ristretto::CompressedRistretto;
use curve25519_dalek::traits::Identity;
use gazelle_ot::ferret::Parameters;
use gazelle_ot::{BaseOt, LatticeKeysMessage, PerDirection, PointFunctionsMessage, PointsMessage};
use gazelle_ot::{BaseReceiver, BaseSender, Ferret, Iknp, OtExtension, SoftSpoken};
use gazelle_ot::{IdealOt, OtError, OtTraffic, RcotReceiver, RcotSender, duplex};
use gazelle_wire::testing::run_two;

use super::support::{as_ot_traffic, rng};

const KINDS: [BaseOt; 2] = [BaseOt::Hybrid, BaseOt::Classic];

#[test]
fn conformance_the_receiver_gets_exactly_the_chosen_strings() {
    let cases = KINDS.into_iter().flat_map(|kind| [0, 1, 2, 127, 128].map(|count| (kind, count)));
    for (mut kind, count) in cases {
        let choices: Vec<bool> = (0..count).map(|i| i % 3 == 1 || i == 127).collect();
        let picked = choices.clone();
        let mut other = kind;
        let (chosen, (pairs, traffic)) = run_two(
            move |mut ch| other.receive(&picked, "test", &mut ch, &mut rng(1)).unwrap(),
            move |mut ch| {
                let pairs = kind.send(count, "test", &mut ch, &mut rng(2)).unwrap();
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
        assert_eq!((pairs.len(), chosen.len()), (count, count));
        assert_eq!(as_ot_traffic(traffic), kind.traffic(count));
        assert!(traffic.turns <= 1);
    }
}

#[test]
fn transcript_a_point_with_a_salt_and_a_key_with_a_salt_serve_two_ots() {
    let classic = OtTraffic {
        sender_to_receiver: 8 + 32 + 8 + 64 * 4 * 16,
        receiver_to_sender: 8 + 64 * (32 + 48),
    };
    let lattice =
        OtTraffic { sender_to_receiver: 8 + 64 * 4 * 768, receiver_to_sender: 8 + 64 * (800 + 48) };
    for count in [127, 128] {
        assert_eq!(BaseOt::Classic.traffic(count), classic);
        assert_eq!(BaseOt::Hybrid.traffic(count), classic + lattice);
    }
}

#[test]
fn properties_sessions_contexts_and_kinds_separate_the_strings() {
    let run = |(mut one, left, binding): (BaseOt, &'static str, u8),
               (mut two, right, other): (BaseOt, &'static str, u8)| {
        run_two(
            move |mut ch| {
                ch.bind([binding; 32]);
                one.receive(&[false; 4], left, &mut ch, &mut rng(1)).unwrap()
            },
            move |mut ch| {
                ch.bind([other; 32]);
                two.send(4, right, &mut ch, &mut rng(2)).unwrap()
            },
        )
    };
    for kind in KINDS {
        let (chosen, pairs) = run((kind, "a", 1), (kind, "a", 1));
        assert!(chosen.iter().zip(&pairs).all(|(seed, pair)| seed.bytes() == pair[0].bytes()));
        for other in [(kind, "b", 1), (kind, "a", 2)] {
            let (mixed, _) = run(other, other);
            assert!(chosen.iter().zip(&mixed).all(|(a, b)| a.bytes() != b.bytes()));
            let (chosen, pairs) = run((kind, "a", 1), other);
            assert!(chosen.iter().zip(&pairs).all(|(seed, pair)| seed.bytes() != pair[0].bytes()));
        }
    }
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
            |mut ch| {
                BaseOt::Classic.receive(&[true, false], "test", &mut ch, &mut rng(1)).map(drop)
            },
            move |mut ch| {
                ch.send(&PointsMessage(vec![point]), &1).unwrap();
                // It stays until it has read what an honest sender would read.
                ch.recv::<PointFunctionsMessage>(&1).unwrap();
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
                let function = |point: CompressedRistretto| {
                    let mut function = [7; 80];
                    function[..32].copy_from_slice(&point.0);
                    function
                };
                let functions = [RISTRETTO_BASEPOINT_COMPRESSED, point].map(function);
                ch.send(&PointFunctionsMessage(functions.to_vec()), &2).unwrap();
                ch.flush().unwrap();
            },
            |mut ch| BaseOt::Classic.send(4, "test", &mut ch, &mut rng(2)).map(drop),
        );
        assert!(matches!(result, Err(OtError::InvalidPoint { index: 1 })));
    }
}

#[test]
fn conformance_both_directions_from_one_run_of_base_ots() {
    fn check<O: OtExtension + 'static>(ot: &O) {
        let (one, two) = (ot.clone(), ot.clone());
        let count = 700;
        let ((choices, z, delta_up, y_up), (y, delta, traffic, choices_up, z_up)) = run_two(
            move |mut ch| {
                let rng = &mut rng(1);
                let delta = gazelle_block::Delta::random(rng);
                let (mut down, mut up) =
                    duplex::receiver_first(&one, delta.clone(), &mut ch, rng).unwrap();
                ch.flush().unwrap();
                let (mut choices, mut z) = (gazelle_block::BitVec::new(), blocks(count));
                down.extend(&mut choices, &mut z, &mut ch, rng).unwrap();
                let mut y = blocks(count);
                up.extend(&mut y, &mut ch, rng).unwrap();
                (choices, z, delta, y)
            },
            move |mut ch| {
                let rng = &mut rng(2);
                let delta = gazelle_block::Delta::random(rng);
                let (mut down, mut up) =
                    duplex::sender_first(&two, delta.clone(), &mut ch, rng).unwrap();
                ch.flush().unwrap();
                let traffic = ch.traffic();
                let mut y = blocks(count);
                down.extend(&mut y, &mut ch, rng).unwrap();
                let (mut choices, mut z) = (gazelle_block::BitVec::new(), blocks(count));
                up.extend(&mut choices, &mut z, &mut ch, rng).unwrap();
                (y, delta, traffic, choices, z)
            },
        );
        let sides = [(y, z, choices, delta), (y_up, z_up, choices_up, delta_up)];
        for (y, z, choices, delta) in sides {
            let mut pairs = y.iter().zip(&z).zip(choices.iter());
            assert!(pairs.all(|((y, z), b)| *z == *y ^ delta.block().select(b)));
        }
        // The second session may have sent ahead what the sender has not read yet.
        assert_eq!(traffic.sent, duplex::setup_traffic(ot).sender_to_receiver);
    }
    check(&IdealOt);
    check(&Iknp::new());
    check(&SoftSpoken::K8);
    let (toy, chain) = (Parameters::TOY, Parameters::TOY_CHAIN);
    check(&Ferret::new(toy));
    check(&PerDirection { first: SoftSpoken::K8, second: SoftSpoken::K2 });
    check(&PerDirection { first: Ferret::new(toy), second: Ferret::new(chain) });
    check(&PerDirection { first: Ferret::new(chain), second: Ferret::new(toy) });
    let saved =
        SoftSpoken::K8.setup_traffic().total() * 2 - duplex::setup_traffic(&SoftSpoken::K8).total();
    assert!(saved > 259_000, "one run of base OTs instead of two: {saved}");
}

fn blocks(count: usize) -> Vec<gazelle_block::Block> {
    vec![gazelle_block::Block::ZERO; count]
}

#[test]
fn adversarial_lattice_keys_of_the_wrong_length_do_not_decode() {
    let decode = |bytes: &[u8]| gazelle_wire::message::decode_all::<LatticeKeysMessage>(bytes, &1);
    assert!(decode(&[0; 848]).is_ok() && decode(&[0; 847]).is_err());
}
