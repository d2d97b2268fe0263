//! From nodes to gates: drops what no output needs, folds free sums into their readers, and gives
//! wires rows of working memory for as long as they live.
//!
//! Folding matters because a sum costs memory traffic although it costs no table: one bit of an
//! adder is four sums and an AND gate, and becomes one gate `(x^c & y^c) ^ c` and one sum `x^y^c`.

use crate::gate::{Gate, GateNode, Sum, Wire, ZERO_ROW};

/// A finished order of gates.
pub(crate) struct Schedule {
    pub(crate) gates: Vec<Gate>,
    /// Outputs that are constants.
    pub(crate) constants: Vec<(u32, bool)>,
    pub(crate) working_rows: usize,
}

/// Schedules what `outputs` need of `nodes`.
pub(crate) fn schedule(nodes: &[GateNode], inputs: usize, outputs: &[Wire]) -> Schedule {
    let mut gates = Folding::new(nodes, outputs).gates(outputs);
    let working_rows = assign_rows(&mut gates, nodes, inputs);
    let constants = (0u32..)
        .zip(outputs)
        .filter(|(_, wire)| wire.node() == 0)
        .map(|(output, wire)| (output, wire.inverted()))
        .collect();
    Schedule { gates, constants, working_rows }
}

/// What becomes of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Placement {
    /// No output needs it.
    #[default]
    Dead,
    /// It has a row of its own.
    Row,
    /// A sum that its readers compute themselves.
    Folded,
    /// An AND gate computed together with the sum that is its only reader.
    Absorbed,
}

/// A reader of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Consumer {
    Node(usize),
    Output,
}

struct Folding<'a> {
    nodes: &'a [GateNode],
    fate: Vec<Placement>,
    /// For a sum that absorbed an AND gate: the gate, and the other term.
    absorbs: Vec<Option<(usize, usize)>>,
}

impl<'a> Folding<'a> {
    fn new(nodes: &'a [GateNode], outputs: &[Wire]) -> Self {
        /// Sums with more readers keep a row: each reader would add them up anew.
        const MOST_READERS: usize = 2;
        let readers = readers(nodes, outputs);
        let live = |index: usize| readers.get(index).is_some_and(|readers| !readers.is_empty());
        let mut fate: Vec<Placement> = (0..nodes.len())
            .map(|i| if live(i) { Placement::Row } else { Placement::Dead })
            .collect();
        let mut absorbs = vec![None; nodes.len()];
        // Rows that an absorbing sum adds must exist.
        let mut needed = vec![false; nodes.len()];
        for (index, node) in nodes.iter().enumerate().filter(|(index, _)| live(*index)) {
            let GateNode::Xor(x, y) = *node else { continue };
            let single = |wire: Wire| {
                matches!(nodes.get(wire.node()), Some(GateNode::And(..)))
                    && readers.get(wire.node()).is_some_and(|readers| readers.len() == 1)
            };
            let pair = if single(x) {
                (x.node(), y.node())
            } else if single(y) {
                (y.node(), x.node())
            } else {
                continue;
            };
            set(&mut fate, pair.0, Placement::Absorbed);
            set(&mut absorbs, index, Some(pair));
            set(&mut needed, pair.1, true);
        }
        let mut terms = vec![2usize; nodes.len()];
        for (index, node) in nodes.iter().enumerate().filter(|(index, _)| live(*index)) {
            let GateNode::Xor(x, y) = *node else { continue };
            let own = readers.get(index).map(Vec::as_slice).unwrap_or_default();
            if get(&absorbs, index).is_some() || get(&needed, index) {
                continue;
            }
            let flat = [x, y].iter().all(|wire| get(&fate, wire.node()) != Placement::Folded);
            let takes = |reader: &Consumer| match *reader {
                Consumer::Output => false,
                Consumer::Node(reader) => match nodes.get(reader) {
                    Some(GateNode::And(..)) => true,
                    _ => get(&absorbs, reader).is_none() && get(&terms, reader) < 3,
                },
            };
            let only_output = own == [Consumer::Output];
            let folds = flat && own.len() <= MOST_READERS && own.iter().all(takes);
            if only_output || folds {
                set(&mut fate, index, Placement::Folded);
            }
            if folds {
                for reader in own {
                    if let Consumer::Node(reader) = *reader
                        && let Some(terms) = terms.get_mut(reader)
                    {
                        *terms += 1;
                    }
                }
            }
        }
        Self { nodes, fate, absorbs }
    }

    /// The gates in order, with nodes in the place of rows.
    fn gates(&self, outputs: &[Wire]) -> Vec<Gate> {
        let mut emitted: Vec<Vec<(u32, bool)>> = vec![Vec::new(); self.nodes.len()];
        for (output, wire) in (0u32..).zip(outputs) {
            if let Some(list) = emitted.get_mut(wire.node()) {
                list.push((output, wire.inverted()));
            }
        }
        let mut gates = Vec::new();
        for ((index, node), outputs) in self.nodes.iter().enumerate().zip(emitted).skip(1) {
            let out = index as u32;
            if get(&self.fate, index) == Placement::Row {
                match (*node, get(&self.absorbs, index)) {
                    (GateNode::Xor(..), Some((and, add))) => {
                        gates.push(self.and(and, add as u32, out));
                    }
                    (GateNode::Xor(x, y), None) => gates.push(Gate::Sum { x: self.sum(x, y), out }),
                    (GateNode::And(..), _) => gates.push(self.and(index, ZERO_ROW, out)),
                    (GateNode::Zero | GateNode::Input(_), _) => {}
                }
            }
            for (output, inverted) in outputs {
                let mut x = match *node {
                    GateNode::Xor(x, y) if get(&self.fate, index) == Placement::Folded => {
                        self.sum(x, y)
                    }
                    _ => Sum { rows: [out, ZERO_ROW, ZERO_ROW], inverted: false },
                };
                x.inverted ^= inverted;
                gates.push(Gate::Emit { x, output });
            }
        }
        gates
    }

    fn and(&self, index: usize, add: u32, out: u32) -> Gate {
        let operands = match self.nodes.get(index) {
            Some(GateNode::And(a, b)) => [*a, *b],
            _ => [Wire::FALSE; 2],
        };
        let [a, b] = operands.map(|wire| Sum {
            rows: match self.folded(wire) {
                Some((x, y)) => [x.node() as u32, y.node() as u32],
                None => [wire.node() as u32, ZERO_ROW],
            },
            inverted: wire.inverted(),
        });
        Gate::And { a, b, add, out }
    }

    fn sum(&self, x: Wire, y: Wire) -> Sum<3> {
        let (x, y) = if self.folded(x).is_some() { (y, x) } else { (x, y) };
        let rows = match self.folded(y) {
            Some((p, q)) => [x.node() as u32, p.node() as u32, q.node() as u32],
            None => [x.node() as u32, y.node() as u32, ZERO_ROW],
        };
        Sum { rows, inverted: false }
    }

    /// The terms of a folded sum.
    fn folded(&self, wire: Wire) -> Option<(Wire, Wire)> {
        match self.nodes.get(wire.node()) {
            Some(&GateNode::Xor(x, y)) if get(&self.fate, wire.node()) == Placement::Folded => {
                Some((x, y))
            }
            _ => None,
        }
    }
}

/// Every node's readers among the nodes that outputs need.
fn readers(nodes: &[GateNode], outputs: &[Wire]) -> Vec<Vec<Consumer>> {
    let mut readers: Vec<Vec<Consumer>> = vec![Vec::new(); nodes.len()];
    let add = |readers: &mut Vec<Vec<Consumer>>, wire: Wire, reader: Consumer| {
        if let Some(list) = readers.get_mut(wire.node()) {
            list.push(reader);
        }
    };
    for output in outputs {
        add(&mut readers, *output, Consumer::Output);
    }
    for (index, node) in nodes.iter().enumerate().rev() {
        if readers.get(index).is_none_or(Vec::is_empty) {
            continue;
        }
        if let GateNode::Xor(x, y) | GateNode::And(x, y) = *node {
            add(&mut readers, x, Consumer::Node(index));
            add(&mut readers, y, Consumer::Node(index));
        }
    }
    readers
}

/// Replaces nodes by rows; returns how many working rows it takes.
fn assign_rows(gates: &mut [Gate], nodes: &[GateNode], inputs: usize) -> usize {
    let mut last = vec![0usize; nodes.len()];
    for (index, gate) in gates.iter().enumerate() {
        for node in reads(gate) {
            set(&mut last, node as usize, index);
        }
    }
    let mut rows = vec![ZERO_ROW; nodes.len()];
    for (row, node) in rows.iter_mut().zip(nodes) {
        if let GateNode::Input(input) = *node {
            *row = input;
        }
    }
    let (mut free, mut count) = (Vec::new(), 0usize);
    for (index, gate) in gates.iter_mut().enumerate() {
        let read = reads(gate);
        // Rows are given up only afterwards: `out` differs from all that the gate reads.
        if let Gate::Sum { out, .. } | Gate::And { out, .. } = gate {
            let row = free.pop().unwrap_or_else(|| {
                count += 1;
                (inputs + count - 1) as u32
            });
            set(&mut rows, *out as usize, row);
            *out = row;
        }
        let row_of = |node: &mut u32| *node = get_or(&rows, *node as usize, ZERO_ROW);
        match gate {
            Gate::Sum { x, .. } | Gate::Emit { x, .. } => x.rows.iter_mut().for_each(row_of),
            Gate::And { a, b, add, .. } => {
                a.rows.iter_mut().chain(&mut b.rows).chain([add]).for_each(row_of);
            }
        }
        for (at, &node) in read.iter().enumerate() {
            let row = get_or(&rows, node as usize, ZERO_ROW);
            let repeated = read.iter().take(at).any(|earlier| *earlier == node);
            let dies = get_or(&last, node as usize, 0) == index && row != ZERO_ROW;
            if dies && !repeated && row as usize >= inputs {
                free.push(row);
            }
        }
    }
    count
}

/// The nodes (or rows) that a gate reads.
fn reads(gate: &Gate) -> Vec<u32> {
    let mut out = Vec::with_capacity(5);
    match gate {
        Gate::Sum { x, .. } | Gate::Emit { x, .. } => out.extend(x.rows),
        Gate::And { a, b, add, .. } => {
            out.extend(a.rows);
            out.extend(b.rows);
            out.push(*add);
        }
    }
    out.retain(|&row| row != ZERO_ROW);
    out
}

fn get<T: Copy + Default>(list: &[T], index: usize) -> T {
    list.get(index).copied().unwrap_or_default()
}

fn get_or<T: Copy>(list: &[T], index: usize, default: T) -> T {
    list.get(index).copied().unwrap_or(default)
}

fn set<T>(list: &mut [T], index: usize, value: T) {
    if let Some(slot) = list.get_mut(index) {
        *slot = value;
    }
}
