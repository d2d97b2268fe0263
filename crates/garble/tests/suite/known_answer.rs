//! AES-128 and SHA-256 from circuit files, garbled with every scheme.
//!
//! The files are the public Bristol Fashion set in ../shared/data/circuits; where it is missing the
//! tests say so and run on the crate's own small circuit alone. Expected values: FIPS 197 appendix
//! C.1, and FIPS 180-4's example "abc".

use std::io::Read;
use std::path::Path;

use gazelle_block::{Block, Delta, TweakCounter};
use gazelle_garble::bristol::{Imported, import};
use gazelle_garble::{GarblingScheme, HalfGates, ThreeHalves, Tweaks, evaluate, garble};
use gazelle_prg::{Prg, Seed};

fn shared(name: &str) -> Option<Imported> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/circuits").join(name);
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("{} is missing: this part is skipped", path.display());
        return None;
    };
    let mut text = String::new();
    if path.extension().is_some_and(|extension| extension == "gz") {
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    Some(import(&text).unwrap())
}

/// Garbles over `lanes` lanes, of which lane n gets `inputs(n)`; returns the outputs lane by lane.
fn run<S: GarblingScheme>(
    scheme: &S,
    imported: &Imported,
    lanes: usize,
    inputs: impl Fn(usize) -> Vec<bool>,
) -> Vec<Vec<bool>> {
    let circuit = &imported.circuit;
    let mut rng = Prg::new(&Seed::from_bytes([11; 16]), 1);
    let (delta, hash_seed) = (Delta::random(&mut rng), Seed::random(&mut rng));
    let mut zero = vec![Block::ZERO; circuit.input_count() * lanes];
    Block::fill_random(&mut zero, &mut rng);
    let tweaks = Tweaks::reserve(&mut TweakCounter::new(), circuit, lanes).unwrap();
    let theirs = Tweaks::restore(tweaks.first_batch(), circuit, lanes);
    let mut table = Vec::new();
    let output_zero =
        garble(scheme, circuit, lanes, &delta, &hash_seed, tweaks, &zero, &mut table, &mut rng)
            .unwrap();
    let mut active = zero;
    for lane in 0..lanes {
        for (wire, bit) in inputs(lane).into_iter().enumerate() {
            active[wire * lanes + lane] ^= delta.block().select(bit);
        }
    }
    let output = evaluate(scheme, circuit, lanes, &hash_seed, &theirs, &active, &table).unwrap();
    (0..lanes)
        .map(|lane| {
            (0..circuit.output_count())
                .map(|wire| {
                    let (label, zero) =
                        (output[wire * lanes + lane], output_zero[wire * lanes + lane]);
                    assert!(label == zero || label == zero ^ delta.block());
                    label != zero
                })
                .collect()
        })
        .collect()
}

fn hex_bits(text: &str) -> Vec<bool> {
    text.chars()
        .flat_map(|digit| {
            let digit = digit.to_digit(16).unwrap();
            (0..4).rev().map(move |i| digit >> i & 1 == 1)
        })
        .collect()
}

fn reversed(mut bits: Vec<bool>) -> Vec<bool> {
    bits.reverse();
    bits
}

#[test]
fn known_answer_aes_128_under_both_schemes() {
    let Some(aes) = shared("aes_128.txt") else { return };
    assert_eq!((&aes.inputs[..], &aes.outputs[..]), (&[128, 128][..], &[128][..]));
    assert_eq!(aes.circuit.and_count(), 6400);
    let key = reversed(hex_bits("000102030405060708090a0b0c0d0e0f"));
    let plain = reversed(hex_bits("00112233445566778899aabbccddeeff"));
    let expected = reversed(hex_bits("69c4e0d86a7b0430d8cdb78070b4c55a"));
    let inputs: Vec<bool> = [key, plain].concat();
    assert_eq!(aes.circuit.evaluate_plain(&inputs), expected);
    for lanes in [1, 5] {
        // Lane 0 is the standard's example, the others have another key bit flipped each.
        let of_lane = |lane: usize| {
            let mut inputs = inputs.clone();
            if lane > 0 {
                inputs[lane] ^= true;
            }
            inputs
        };
        let half = run(&HalfGates::default(), &aes, lanes, of_lane);
        let three = run(&ThreeHalves::default(), &aes, lanes, of_lane);
        assert_eq!(half[0], expected);
        assert_eq!(half, three);
        for (lane, output) in half.iter().enumerate() {
            assert_eq!(*output, aes.circuit.evaluate_plain(&of_lane(lane)));
        }
    }
}

#[test]
fn known_answer_sha_256_under_both_schemes() {
    let Some(sha) = shared("sha256.txt.gz") else { return };
    assert_eq!((&sha.inputs[..], &sha.outputs[..]), (&[512, 256][..], &[256][..]));
    let block = format!("61626380{:0>120}", "18");
    let state = "6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19";
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let inputs: Vec<bool> = [reversed(hex_bits(&block)), reversed(hex_bits(state))].concat();
    let expected = reversed(hex_bits(digest));
    assert_eq!(sha.circuit.evaluate_plain(&inputs), expected);
    assert_eq!(run(&HalfGates::default(), &sha, 2, |_| inputs.clone()), [&*expected, &*expected]);
    assert_eq!(run(&ThreeHalves::default(), &sha, 2, |_| inputs.clone()), [&*expected, &*expected]);
}

#[test]
fn known_answer_our_small_circuit_under_both_schemes() {
    let small = import(include_str!("../circuits/small.txt")).unwrap();
    let inputs = |lane: usize| (0..4).map(|i| lane >> i & 1 == 1).collect::<Vec<bool>>();
    let half = run(&HalfGates::default(), &small, 16, inputs);
    let three = run(&ThreeHalves::default(), &small, 16, inputs);
    for (lane, output) in half.iter().enumerate() {
        let (x, y) = (lane & 3, lane >> 2);
        let sum = output[..3].iter().rev().fold(0, |n, &bit| n << 1 | usize::from(bit));
        assert_eq!(sum, x + y);
        assert_eq!(output[3..], [x & y & 1 == 1, true]);
    }
    assert_eq!(half, three);
}
