//! Finished circuits: gates in order, on rows of labels.

use crate::gate::{Gate, GateNode, Sum, Wire};
use crate::schedule;

/// A boolean circuit of XOR, AND and NOT, built by [`Builder`](crate::Builder).
///
/// Inputs and outputs are numbered in the order in which the builder met them. There are no
/// constant wires inside; an output may be a constant. Sums that only feed an AND gate, or an
/// output, are folded into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circuit {
    inputs: usize,
    outputs: usize,
    gates: Vec<Gate>,
    constants: Vec<(u32, bool)>,
    working_rows: usize,
    ands: usize,
}

impl Circuit {
    /// Number of inputs, read or not.
    pub fn input_count(&self) -> usize {
        self.inputs
    }

    /// Number of outputs.
    pub fn output_count(&self) -> usize {
        self.outputs
    }

    /// Number of AND gates: what garbling costs.
    pub fn and_count(&self) -> usize {
        self.ands
    }

    /// Number of sums that are neither part of an AND gate nor of an output.
    #[cfg(test)]
    pub(crate) fn sum_count(&self) -> usize {
        self.gates.iter().filter(|gate| matches!(gate, Gate::Sum { .. })).count()
    }

    /// Rows of working memory, one label per lane each, that evaluation needs besides the inputs.
    pub(crate) fn working_rows(&self) -> usize {
        self.working_rows
    }

    /// The outputs for one assignment.
    ///
    /// # Panics
    /// Unless there is one bit per input.
    pub fn evaluate_plain(&self, inputs: &[bool]) -> Vec<bool> {
        let words: Vec<u64> = inputs.iter().map(|&bit| u64::from(bit)).collect();
        self.evaluate_words(&words).into_iter().map(|word| word & 1 == 1).collect()
    }

    /// The outputs for 64 assignments at once: bit `k` of every word belongs to assignment `k`.
    ///
    /// # Panics
    /// Unless there is one word per input.
    pub(crate) fn evaluate_words(&self, inputs: &[u64]) -> Vec<u64> {
        assert_eq!(inputs.len(), self.inputs, "one word per input");
        let mut rows = inputs.to_vec();
        rows.resize(self.inputs + self.working_rows, 0);
        let mut outputs = vec![0; self.outputs];
        for &(output, bit) in &self.constants {
            put(&mut outputs, output, u64::from(bit).wrapping_neg());
        }
        for gate in &self.gates {
            match *gate {
                Gate::Sum { x, out } => {
                    let value = read(&rows, x);
                    put(&mut rows, out, value);
                }
                Gate::And { a, b, add, out } => {
                    let add = read(&rows, Sum { rows: [add], inverted: false });
                    let value = read(&rows, a) & read(&rows, b) ^ add;
                    put(&mut rows, out, value);
                }
                Gate::Emit { x, output } => put(&mut outputs, output, read(&rows, x)),
            }
        }
        outputs
    }

    pub(crate) fn gates(&self) -> &[Gate] {
        &self.gates
    }

    /// Outputs that are constants.
    pub(crate) fn constants(&self) -> &[(u32, bool)] {
        &self.constants
    }

    /// Keeps what the outputs need, folds sums, and gives every wire a row while it lives.
    pub(crate) fn compile(nodes: &[GateNode], inputs: usize, outputs: &[Wire]) -> Self {
        let schedule::Schedule { gates, constants, working_rows } =
            schedule::schedule(nodes, inputs, outputs);
        let ands = gates.iter().filter(|gate| matches!(gate, Gate::And { .. })).count();
        Self { inputs, outputs: outputs.len(), gates, constants, working_rows, ands }
    }
}

fn read<const N: usize>(rows: &[u64], sum: Sum<N>) -> u64 {
    sum.rows
        .iter()
        .filter_map(|&row| rows.get(row as usize))
        .fold(u64::from(sum.inverted).wrapping_neg(), |x, row| x ^ row)
}

fn put(rows: &mut [u64], row: u32, value: u64) {
    if let Some(row) = rows.get_mut(row as usize) {
        *row = value;
    }
}

#[cfg(test)]
mod tests {
    use crate::{Builder, arith};

    #[test]
    fn properties_rows_are_reused_after_the_last_reader() {
        let mut b = Builder::new();
        let x = b.inputs(64);
        let mut product = x[0];
        for &factor in &x[1..] {
            product = b.and(product, factor);
        }
        let circuit = b.finish(&[product]);
        assert_eq!(circuit.and_count(), 63);
        assert_eq!(circuit.working_rows(), 2);
        assert_eq!(circuit.evaluate_plain(&[true; 64]), [true]);
        let mut bits = [true; 64];
        bits[40] = false;
        assert_eq!(circuit.evaluate_plain(&bits), [false]);
    }

    #[test]
    fn properties_outputs_may_be_inputs_constants_and_repeated() {
        let mut b = Builder::new();
        let x = b.inputs(2);
        let product = b.and(x[0], x[1]);
        let (not, one) = (b.not(product), b.constant(true));
        let circuit = b.finish(&[x[1], not, one, product, not]);
        assert_eq!(circuit.evaluate_plain(&[true, true]), [true, false, true, true, false]);
        assert_eq!(circuit.evaluate_plain(&[true, false]), [false, true, true, false, true]);
    }

    #[test]
    fn properties_an_adder_is_all_and_gates_and_outputs() {
        let mut b = Builder::new();
        let (x, y) = (b.inputs(32), b.inputs(32));
        let sum = arith::add(&mut b, &x, &y, crate::Wire::FALSE);
        let circuit = b.finish(&sum);
        assert_eq!((circuit.and_count(), circuit.sum_count()), (31, 0));
        assert!(circuit.working_rows() <= 3);
    }
}
