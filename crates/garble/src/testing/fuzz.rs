//! Bodies of the fuzz targets: any bytes end in a value or an error.

use gazelle_block::Block;
use gazelle_prg::Seed;

use crate::builder::Builder;
use crate::circuit::Circuit;
use crate::testing::{GarbledCircuit, bits, plain};
use crate::{GarbleError, HalfGates, evaluate, table_bytes};

/// `data` describes a circuit, three bytes a gate: garbled and evaluated honestly it must agree
/// with the plain evaluation; evaluated with `data` as table, labels and hash seed it must end.
///
/// # Panics
/// If the results differ: that would be a defect.
pub fn circuits(data: &[u8]) {
    let Some(([lanes, seed], gates)) = data.split_first_chunk::<2>() else { return };
    let lanes = usize::from(lanes % 9);
    let circuit = circuit(gates);
    let scheme = HalfGates::default();
    let garbled = GarbledCircuit::new(&scheme, &circuit, lanes, *seed);
    let input = bits(circuit.input_count() * lanes, *seed);
    let expected: Vec<Option<bool>> =
        plain(&circuit, lanes, &input).into_iter().map(Some).collect();
    assert_eq!(garbled.run(&scheme, &circuit, lanes, &input), expected);
    let _ = tampered(&garbled, &circuit, lanes, data);
}

/// Inputs, constants and gates in the order of `gates`; every wire is an output.
fn circuit(gates: &[u8]) -> Circuit {
    let mut b = Builder::new();
    let mut wires = vec![b.input(), b.input()];
    for [op, left, right] in gates.as_chunks::<3>().0.iter().take(300) {
        let pick = |index: &u8| wires.get(usize::from(*index) % wires.len()).copied();
        let (Some(x), Some(y)) = (pick(left), pick(right)) else { break };
        let wire = match op % 8 {
            0 | 1 => b.and(x, y),
            2 | 3 => b.xor(x, y),
            4 => b.not(x),
            5 => b.or(x, y),
            6 => b.constant(left & 1 == 1),
            _ => b.input(),
        };
        wires.push(wire);
    }
    b.finish(&wires)
}

fn tampered(
    garbled: &GarbledCircuit,
    circuit: &Circuit,
    lanes: usize,
    data: &[u8],
) -> Result<Vec<Block>, GarbleError> {
    let scheme = HalfGates::default();
    let mut seed = [0u8; 16];
    seed.iter_mut().zip(data).for_each(|(byte, from)| *byte = *from);
    let stream = || data.iter().copied().chain([1]).cycle();
    let mut bytes = stream();
    let labels: Vec<Block> = (0..circuit.input_count() * lanes)
        .map(|_| Block::from_bytes(std::array::from_fn(|_| bytes.next().unwrap_or_default())))
        .collect();
    let table: Vec<u8> = stream().take(table_bytes(&scheme, circuit, lanes)).collect();
    // Wrong lengths are refused, right ones give some labels.
    let short = table.get(1..).unwrap_or_default();
    let seed = Seed::from_bytes(seed);
    let refused = evaluate(&scheme, circuit, lanes, &seed, &garbled.tweaks, &labels, short);
    assert!(refused.is_err() || table.is_empty());
    evaluate(&scheme, circuit, lanes, &seed, &garbled.tweaks, &labels, &table)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn properties_any_circuit_and_any_table_are_survived(
            data in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            super::circuits(&data);
        }
    }
}
