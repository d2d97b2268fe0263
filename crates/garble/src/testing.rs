//! The conformance suite of [`GarblingScheme`]: one line per implementor.

pub mod fuzz;

#[cfg(test)]
use gazelle_block::aes::AesIsa;
use gazelle_block::{Block, Delta, TweakCounter};
use gazelle_prg::{Prg, Seed};

use crate::arith;
use crate::builder::{Builder, Wire};
use crate::circuit::Circuit;
use crate::garbling::{evaluate, evaluate_from, garble, garble_into, table_bytes};
use crate::scheme::GarblingScheme;
use crate::table::{PieceReceiver, PieceSender};
use crate::tweaks::Tweaks;

/// One garbling with everything that both parties hold: for tests.
pub struct GarbledCircuit {
    /// The garbler's offset.
    pub delta: Delta,
    /// The public hash seed.
    pub hash_seed: Seed,
    /// The evaluator's view of the tweaks.
    pub tweaks: Tweaks,
    /// Zero labels of the inputs.
    pub input_zero: Vec<Block>,
    /// The table.
    pub table: Vec<u8>,
    /// Zero labels of the outputs.
    pub output_zero: Vec<Block>,
}

impl GarbledCircuit {
    /// Garbles with fresh labels from `seed`.
    ///
    /// # Panics
    /// If garbling fails.
    #[expect(clippy::expect_used, reason = "a test helper")]
    pub fn new<S: GarblingScheme>(scheme: &S, circuit: &Circuit, lanes: usize, seed: u8) -> Self {
        let mut rng = Prg::new(&Seed::from_bytes([seed; 16]), 1);
        let delta = Delta::random(&mut rng);
        let hash_seed = Seed::random(&mut rng);
        let mut input_zero = vec![Block::ZERO; circuit.input_count() * lanes];
        Block::fill_random(&mut input_zero, &mut rng);
        let mut counter = TweakCounter::starting_at(u64::from(seed) * 12345);
        let tweaks = Tweaks::reserve(&mut counter, circuit, lanes).expect("tweaks are left");
        let restored = Tweaks::restore(tweaks.first_batch(), circuit, lanes);
        let mut table = Vec::new();
        let output_zero = garble(
            scheme,
            circuit,
            lanes,
            &delta,
            &hash_seed,
            tweaks,
            &input_zero,
            &mut table,
            &mut rng,
        )
        .expect("lengths fit");
        Self { delta, hash_seed, tweaks: restored, input_zero, table, output_zero }
    }

    /// The active labels of `bits`, `[input][lane]`.
    pub fn encode(&self, bits: &[bool]) -> Vec<Block> {
        let labels = self.input_zero.iter().zip(bits);
        labels.map(|(zero, &bit)| *zero ^ self.delta.block().select(bit)).collect()
    }

    /// Evaluates on `bits`, `[input][lane]`; `None` where an output is neither of its two labels.
    ///
    /// # Panics
    /// If evaluation fails.
    #[expect(clippy::expect_used, reason = "a test helper")]
    pub fn run<S: GarblingScheme>(
        &self,
        scheme: &S,
        circuit: &Circuit,
        lanes: usize,
        bits: &[bool],
    ) -> Vec<Option<bool>> {
        let input = self.encode(bits);
        let output =
            evaluate(scheme, circuit, lanes, &self.hash_seed, &self.tweaks, &input, &self.table)
                .expect("lengths fit");
        self.decode(&output)
    }

    /// The values of output labels.
    pub fn decode(&self, output: &[Block]) -> Vec<Option<bool>> {
        let value = |label: Block| match label {
            Block::ZERO => Some(false),
            other if other == self.delta.block() => Some(true),
            _ => None,
        };
        output.iter().zip(&self.output_zero).map(|(x, zero)| value(*x ^ *zero)).collect()
    }
}

/// Checks a scheme against [`Circuit::evaluate_plain`] and against wrong tables.
///
/// # Panics
/// If the scheme is wrong.
pub fn conformance<S: GarblingScheme>(scheme: &S) {
    every_operand_pair(scheme);
    many_lanes(scheme);
    streams(scheme);
    wrong_tables(scheme);
    wrong_lengths(scheme);
}

/// Uniform bits from `seed`.
pub fn bits(count: usize, seed: u8) -> Vec<bool> {
    let mut bytes = vec![0u8; count];
    rand_core::Rng::fill_bytes(&mut Prg::new(&Seed::from_bytes([seed; 16]), 2), &mut bytes);
    bytes.into_iter().map(|byte| byte & 1 == 1).collect()
}

/// The outputs `[output][lane]` in the clear.
pub fn plain(circuit: &Circuit, lanes: usize, bits: &[bool]) -> Vec<bool> {
    let mut out = vec![false; circuit.output_count() * lanes];
    for lane in 0..lanes {
        let inputs: Vec<bool> = bits.iter().skip(lane).step_by(lanes).copied().collect();
        let results = circuit.evaluate_plain(&inputs);
        for (slot, bit) in out.iter_mut().skip(lane).step_by(lanes).zip(results) {
            *slot = bit;
        }
    }
    out
}

/// ReLU on shares and a signed maximum, with inverted, repeated and constant wires.
pub(crate) fn mixed_circuit() -> Circuit {
    let mut b = Builder::new();
    let (s, c, r) = (b.inputs(5), b.inputs(5), b.inputs(9));
    let mut out = arith::relu_on_shares(&mut b, &s, &c, 5, &r);
    out.extend(arith::max(&mut b, &s, &c));
    let [first, second] = [s.first(), c.first()].map(|wire| wire.copied().unwrap_or(Wire::FALSE));
    let nor = b.or(first, second);
    out.extend([b.not(nor), nor, first, b.not(first), b.constant(true), b.constant(false)]);
    b.finish(&out)
}

fn compare<S: GarblingScheme>(scheme: &S, circuit: &Circuit, lanes: usize, seed: u8) {
    let garbled = GarbledCircuit::new(scheme, circuit, lanes, seed);
    let bits = bits(circuit.input_count() * lanes, seed);
    let expected: Vec<Option<bool>> = plain(circuit, lanes, &bits).into_iter().map(Some).collect();
    let got = garbled.run(scheme, circuit, lanes, &bits);
    assert_eq!(got, expected, "{} with {lanes} lanes", scheme.name());
    assert_eq!(garbled.table.len(), table_bytes(scheme, circuit, lanes));
}

/// `(a ^ i) & (b ^ j)` for all values, inversions and, over the seeds, colours.
fn every_operand_pair<S: GarblingScheme>(scheme: &S) {
    for inversions in 0..4 {
        let mut b = Builder::new();
        let (x, y) = (b.input(), b.input());
        let left = b.xor(x, b.constant(inversions & 1 == 1));
        let right = b.xor(y, b.constant(inversions & 2 == 2));
        let product = b.and(left, right);
        let circuit = b.finish(&[product]);
        assert_eq!(circuit.and_count(), 1);
        for seed in 0..16 {
            let garbled = GarbledCircuit::new(scheme, &circuit, 1, seed);
            for value in 0..4 {
                let bits = [value & 1 == 1, value & 2 == 2];
                let expected: Vec<_> =
                    circuit.evaluate_plain(&bits).into_iter().map(Some).collect();
                let got = garbled.run(scheme, &circuit, 1, &bits);
                assert_eq!(got, expected, "{} {inversions} {seed} {value}", scheme.name());
            }
        }
    }
}

/// Lane counts around vectors, strips and blocks.
fn many_lanes<S: GarblingScheme>(scheme: &S) {
    let circuit = mixed_circuit();
    for (seed, lanes) in (0u8..).zip([1, 2, 3, 5, 8, 15, 16, 17, 31, 127, 128, 129, 511, 513, 1100])
    {
        compare(scheme, &circuit, lanes, seed);
    }
    let empty = Builder::new().finish(&[]);
    compare(scheme, &empty, 3, 0);
    let garbled = GarbledCircuit::new(scheme, &circuit, 0, 1);
    assert!(garbled.table.is_empty() && garbled.output_zero.is_empty());
}

/// Streaming gives the bytes and labels that memory does.
fn streams<S: GarblingScheme>(scheme: &S) {
    let (circuit, lanes) = (mixed_circuit(), 700);
    let garbled = GarbledCircuit::new(scheme, &circuit, lanes, 3);
    let total = table_bytes(scheme, &circuit, lanes);
    for piece in [1000, 1 << 16] {
        let mut stream = Vec::new();
        let mut sink = PieceSender::new(total, piece, |bytes: &[u8]| {
            stream.extend_from_slice(bytes);
            Ok(())
        });
        // The private coins come from an equal generator: replay the draws of `GarbledCircuit::new`.
        let mut rng = Prg::new(&Seed::from_bytes([3; 16]), 1);
        let delta = Delta::random(&mut rng);
        let _ = Seed::random(&mut rng);
        let mut labels = vec![Block::ZERO; garbled.input_zero.len()];
        Block::fill_random(&mut labels, &mut rng);
        let tweaks = Tweaks::restore(garbled.tweaks.first_batch(), &circuit, lanes);
        let zero = garble_into(
            scheme,
            &circuit,
            lanes,
            &delta,
            &garbled.hash_seed,
            tweaks,
            &labels,
            &mut sink,
            &mut rng,
        );
        assert!(zero.is_ok_and(|zero| zero == garbled.output_zero));
        assert!(sink.finish().is_ok());
        assert!(stream == garbled.table, "{}: the stream differs from memory", scheme.name());

        let bits = bits(circuit.input_count() * lanes, 9);
        let mut rest = &stream[..];
        let mut source = PieceReceiver::new(total, piece, |n| {
            let (now, later) = rest.split_at(n);
            rest = later;
            Ok(now.to_vec())
        });
        let input = garbled.encode(&bits);
        let tweaks = &garbled.tweaks;
        let active =
            evaluate_from(scheme, &circuit, lanes, &garbled.hash_seed, tweaks, &input, &mut source);
        let expected: Vec<_> = plain(&circuit, lanes, &bits).into_iter().map(Some).collect();
        assert!(active.is_ok_and(|active| garbled.decode(&active) == expected));
    }
}

/// A wrong table gives wrong labels in that lane alone, and no panic.
fn wrong_tables<S: GarblingScheme>(scheme: &S) {
    let mut b = Builder::new();
    let (x, y) = (b.input(), b.input());
    let product = b.and(x, y);
    let circuit = b.finish(&[product]);
    let lanes = 40;
    let mut seen = 0;
    for bit in 0..8 * scheme.table_len(lanes) {
        if bit % 37 != 0 {
            continue;
        }
        let mut garbled = GarbledCircuit::new(scheme, &circuit, lanes, 5);
        if let Some(byte) = garbled.table.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
        let mut wrong = vec![false; lanes];
        for value in 0..4u8 {
            let bits: Vec<bool> = [value & 1 == 1, value & 2 == 2]
                .into_iter()
                .flat_map(|bit| vec![bit; lanes])
                .collect();
            let expected = plain(&circuit, lanes, &bits);
            let got = garbled.run(scheme, &circuit, lanes, &bits);
            for ((wrong, got), expected) in wrong.iter_mut().zip(got).zip(expected) {
                *wrong |= got != Some(expected);
            }
        }
        let count = wrong.iter().filter(|wrong| **wrong).count();
        assert!(count <= 1, "{}: bit {bit} of the table touched {count} lanes", scheme.name());
        seen += count;
    }
    assert!(seen > 0, "{}: the table is not read", scheme.name());
}

/// Lengths that do not fit are errors.
fn wrong_lengths<S: GarblingScheme>(scheme: &S) {
    let (circuit, lanes) = (mixed_circuit(), 20);
    let garbled = GarbledCircuit::new(scheme, &circuit, lanes, 7);
    let input = garbled.input_zero.clone();
    let run = |lanes: usize, input: &[Block], table: &[u8]| {
        evaluate(scheme, &circuit, lanes, &garbled.hash_seed, &garbled.tweaks, input, table)
    };
    let short = garbled.table.len() - 1;
    assert!(run(lanes, &input, &garbled.table).is_ok());
    assert!(run(lanes, &input, garbled.table.get(..short).unwrap_or_default()).is_err());
    assert!(run(lanes, &input, &[garbled.table.clone(), vec![0]].concat()).is_err());
    assert!(run(lanes, input.get(1..).unwrap_or_default(), &garbled.table).is_err());
    assert!(run(lanes + 1, &input, &garbled.table).is_err());
    assert!(run(600, &input, &garbled.table).is_err());
    let mut rng = Prg::new(&Seed::from_bytes([1; 16]), 1);
    let tweaks = Tweaks::restore(0, &circuit, 600);
    let (delta, seed) = (Delta::random(&mut rng), Seed::random(&mut rng));
    let mut table = Vec::new();
    let garble =
        garble(scheme, &circuit, lanes, &delta, &seed, tweaks, &input, &mut table, &mut rng);
    assert!(garble.is_err(), "tweaks of another lane count");
}

/// Runs the conformance suite on every instruction set of this machine, and asserts that all make
/// the table that portable code makes.
///
/// # Panics
/// Where a scheme does not conform.
#[cfg(test)]
pub(crate) fn conformance_on_every_isa<S: GarblingScheme>(scheme: impl Fn(AesIsa) -> S) {
    let circuit = mixed_circuit();
    let expected = GarbledCircuit::new(&scheme(AesIsa::Portable), &circuit, 77, 1);
    for isa in AesIsa::all() {
        let scheme = scheme(isa);
        conformance(&scheme);
        let got = GarbledCircuit::new(&scheme, &circuit, 77, 1);
        assert!(got.table == expected.table && got.output_zero == expected.output_zero, "{isa:?}");
    }
}
