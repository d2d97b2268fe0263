//! Random circuits: garbled equals plain, for every scheme.

use gazelle_block::{Block, Delta, TweakCounter};
use gazelle_garble::{
    Builder, Circuit, GarblingScheme, HalfGates, ThreeHalves, Tweaks, Wire, evaluate, garble,
    table_bytes,
};
use gazelle_prg::{Prg, Seed};
use proptest::prelude::*;

/// A gate of a random circuit: its kind, and which earlier wires it reads.
type Choice = (u8, u16, u16);

/// The circuit and, for each output, its value for inputs `bits` by direct evaluation.
fn build(inputs: usize, choices: &[Choice], bits: &[bool]) -> (Circuit, Vec<bool>) {
    let mut b = Builder::new();
    let mut wires: Vec<(Wire, bool)> =
        b.inputs(inputs).into_iter().zip(bits.iter().copied()).collect();
    wires.push((b.constant(true), true));
    for &(kind, x, y) in choices {
        let ((x, p), (y, q)) = (wires[x as usize % wires.len()], wires[y as usize % wires.len()]);
        wires.push(match kind % 5 {
            0 => (b.xor(x, y), p ^ q),
            1 => (b.and(x, y), p & q),
            2 => (b.not(x), !p),
            3 => (b.or(x, y), p | q),
            _ => (b.mux(x, y, wires[0].0), if p { q } else { wires[0].1 }),
        });
    }
    let outputs = &wires[wires.len() / 2..];
    let circuit = b.finish(&outputs.iter().map(|(wire, _)| *wire).collect::<Vec<_>>());
    (circuit, outputs.iter().map(|(_, value)| *value).collect())
}

fn garbled<S: GarblingScheme>(scheme: &S, circuit: &Circuit, bits: &[bool]) -> Vec<bool> {
    let lanes = 3;
    let mut rng = Prg::new(&Seed::from_bytes([12; 16]), 1);
    let (delta, hash_seed) = (Delta::random(&mut rng), Seed::random(&mut rng));
    let mut zero = vec![Block::ZERO; circuit.input_count() * lanes];
    Block::fill_random(&mut zero, &mut rng);
    let tweaks = Tweaks::reserve(&mut TweakCounter::new(), circuit, lanes).unwrap();
    let theirs = Tweaks::restore(tweaks.first_batch(), circuit, lanes);
    let mut table = Vec::new();
    let output_zero =
        garble(scheme, circuit, lanes, &delta, &hash_seed, tweaks, &zero, &mut table, &mut rng)
            .unwrap();
    assert_eq!(table.len(), table_bytes(scheme, circuit, lanes));
    // Every lane gets the same bits; the last one is compared.
    let active: Vec<Block> = zero
        .chunks(lanes)
        .zip(bits)
        .flat_map(|(row, &bit)| row.iter().map(move |zero| (*zero, bit)))
        .map(|(zero, bit)| zero ^ delta.block().select(bit))
        .collect();
    let output = evaluate(scheme, circuit, lanes, &hash_seed, &theirs, &active, &table).unwrap();
    output
        .chunks(lanes)
        .zip(output_zero.chunks(lanes))
        .map(|(label, zero)| label[lanes - 1].lsb() ^ zero[lanes - 1].lsb())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn properties_random_circuits_garbled_equal_plain(
        choices in prop::collection::vec(any::<Choice>(), 1..200),
        bits in prop::collection::vec(any::<bool>(), 1..9),
    ) {
        let (circuit, expected) = build(bits.len(), &choices, &bits);
        prop_assert_eq!(&circuit.evaluate_plain(&bits), &expected);
        prop_assert_eq!(&garbled(&HalfGates::default(), &circuit, &bits), &expected);
        prop_assert_eq!(&garbled(&ThreeHalves::default(), &circuit, &bits), &expected);
    }
}
