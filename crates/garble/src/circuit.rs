//! Finished circuits: gates in order, and rows of working memory given to wires while they live.

use crate::builder::Wire;

/// A node of a circuit under construction; node 0 is the constant 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    /// The constant 0.
    Zero,
    /// An input.
    Input(u32),
    /// The sum of two nodes, read uninverted.
    Xor(Wire, Wire),
    /// The product of two wires.
    And(Wire, Wire),
}

/// An operand: a row, read inverted or not. Rows below the input count are inputs, the others
/// working memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) row: u32,
    pub(crate) inverted: bool,
}

/// A gate; `out` is a working row other than its operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Xor { a: u32, b: u32, out: u32 },
    And { a: Source, b: Source, out: u32 },
}

/// Where an output comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Row(Source),
    Constant(bool),
}

/// A boolean circuit of XOR, AND and NOT, built by [`Builder`](crate::Builder).
///
/// Inputs and outputs are numbered in the order in which the builder met them. There are no
/// constant wires inside; an output may be a constant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circuit {
    inputs: usize,
    gates: Vec<Gate>,
    outputs: Vec<Output>,
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
        self.outputs.len()
    }

    /// Number of AND gates: what garbling costs.
    pub fn and_count(&self) -> usize {
        self.ands
    }

    /// Number of gates, AND and XOR.
    pub fn gate_count(&self) -> usize {
        self.gates.len()
    }

    /// Rows of working memory, one label per lane each, that evaluation needs besides the inputs.
    pub fn working_rows(&self) -> usize {
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
    pub fn evaluate_words(&self, inputs: &[u64]) -> Vec<u64> {
        assert_eq!(inputs.len(), self.inputs, "one word per input");
        let mut rows = inputs.to_vec();
        rows.resize(self.inputs + self.working_rows, 0);
        let get = |rows: &[u64], row: u32| rows.get(row as usize).copied().unwrap_or_default();
        let read = |rows: &[u64], from: Source| {
            get(rows, from.row) ^ u64::from(from.inverted).wrapping_neg()
        };
        for gate in &self.gates {
            let (value, out) = match *gate {
                Gate::Xor { a, b, out } => (get(&rows, a) ^ get(&rows, b), out),
                Gate::And { a, b, out } => (read(&rows, a) & read(&rows, b), out),
            };
            if let Some(row) = rows.get_mut(out as usize) {
                *row = value;
            }
        }
        self.outputs
            .iter()
            .map(|output| match *output {
                Output::Row(from) => read(&rows, from),
                Output::Constant(bit) => u64::from(bit).wrapping_neg(),
            })
            .collect()
    }

    pub(crate) fn gates(&self) -> &[Gate] {
        &self.gates
    }

    pub(crate) fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// Keeps what the outputs need, and gives every wire a row from its gate to its last reader.
    pub(crate) fn compile(nodes: &[Node], inputs: usize, outputs: &[Wire]) -> Self {
        const NEVER: usize = usize::MAX;
        // The last reader of every node: outputs read last of all; NEVER if nobody does.
        let mut last_reader = vec![NEVER; nodes.len()];
        let mut rows = vec![0u32; nodes.len()];
        for output in outputs {
            mark(&mut last_reader, *output, nodes.len());
        }
        for (index, node) in nodes.iter().enumerate().rev() {
            if last_reader.get(index).is_none_or(|&reader| reader == NEVER) {
                continue;
            }
            if let Node::Xor(a, b) | Node::And(a, b) = *node {
                mark(&mut last_reader, a, index);
                mark(&mut last_reader, b, index);
            }
        }
        let (mut free, mut working_rows): (Vec<u32>, usize) = (Vec::new(), 0);
        let (mut gates, mut ands) = (Vec::new(), 0);
        for (index, node) in nodes.iter().enumerate() {
            let row_of = |rows: &[u32], wire: Wire| Source {
                row: rows.get(wire.node()).copied().unwrap_or_default(),
                inverted: wire.inverted(),
            };
            let row = match *node {
                Node::Zero => continue,
                Node::Input(input) => input,
                _ if last_reader.get(index).is_none_or(|&reader| reader == NEVER) => continue,
                Node::Xor(a, b) | Node::And(a, b) => {
                    // Operands give up their rows only afterwards: `out` differs from both.
                    let row = free.pop().unwrap_or_else(|| {
                        working_rows += 1;
                        (inputs + working_rows - 1) as u32
                    });
                    let (a_from, b_from) = (row_of(&rows, a), row_of(&rows, b));
                    gates.push(if matches!(node, Node::And(..)) {
                        ands += 1;
                        Gate::And { a: a_from, b: b_from, out: row }
                    } else {
                        Gate::Xor { a: a_from.row, b: b_from.row, out: row }
                    });
                    for (wire, from) in [(a, a_from), (b, b_from)] {
                        let dies = last_reader.get(wire.node()) == Some(&index);
                        if dies && from.row as usize >= inputs {
                            free.push(from.row);
                        }
                    }
                    row
                }
            };
            if let Some(slot) = rows.get_mut(index) {
                *slot = row;
            }
        }
        let outputs = outputs
            .iter()
            .map(|wire| match nodes.get(wire.node()) {
                Some(Node::Zero) | None => Output::Constant(wire.inverted()),
                Some(_) => Output::Row(Source {
                    row: rows.get(wire.node()).copied().unwrap_or_default(),
                    inverted: wire.inverted(),
                }),
            })
            .collect();
        Self { inputs, gates, outputs, working_rows, ands }
    }
}

/// Notes that `reader` reads `wire`, keeping the last.
fn mark(last_reader: &mut [usize], wire: Wire, reader: usize) {
    if let Some(last) = last_reader.get_mut(wire.node())
        && (*last == usize::MAX || *last < reader)
    {
        *last = reader;
    }
}

#[cfg(test)]
mod tests {
    use crate::Builder;

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
}
