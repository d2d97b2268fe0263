//! Builds circuits of XOR, AND and NOT, simplifying as it goes.
//!
//! Constants, repeated operands and complements fold away; the same gate asked for twice is made
//! once; `x ^ (x ^ y)` is `y`; gates that no output needs are dropped by [`Builder::finish`].
//! NOT and XOR cost nothing when garbled: the AND count is the price.

use std::collections::HashMap;

use crate::circuit::Circuit;
use crate::gate::GateNode;

pub use crate::gate::Wire;

/// A circuit under construction.
#[derive(Debug, Clone)]
pub struct Builder {
    nodes: Vec<GateNode>,
    inputs: usize,
    known: HashMap<GateNode, u32>,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// An empty circuit.
    pub fn new() -> Self {
        Self { nodes: vec![GateNode::Zero], inputs: 0, known: HashMap::new() }
    }

    /// The next input.
    pub fn input(&mut self) -> Wire {
        let index = self.inputs as u32;
        self.inputs += 1;
        self.push(GateNode::Input(index))
    }

    /// The next `count` inputs, lowest bit first.
    pub fn inputs(&mut self, count: usize) -> Vec<Wire> {
        (0..count).map(|_| self.input()).collect()
    }

    /// A constant; it never becomes a gate.
    pub fn constant(&self, value: bool) -> Wire {
        Wire::FALSE.invert(value)
    }

    /// `a ^ b`; free.
    pub fn xor(&mut self, a: Wire, b: Wire) -> Wire {
        let inverted = a.inverted() ^ b.inverted();
        let (a, b) = (a.invert(a.inverted()), b.invert(b.inverted()));
        let (a, b) = (a.min(b), a.max(b));
        let out = if a == b {
            Wire::FALSE
        } else if a == Wire::FALSE {
            b
        } else if let Some(rest) = self.cancel(a, b).or_else(|| self.cancel(b, a)) {
            rest
        } else {
            self.unique(GateNode::Xor(a, b))
        };
        out.invert(inverted)
    }

    /// `!a`; free.
    pub fn not(&mut self, a: Wire) -> Wire {
        a.invert(true)
    }

    /// `a & b`; 1 AND.
    pub fn and(&mut self, a: Wire, b: Wire) -> Wire {
        let (a, b) = (a.min(b), a.max(b));
        if a == Wire::FALSE || a == b.invert(true) {
            Wire::FALSE
        } else if a == Wire::TRUE || a == b {
            b
        } else {
            self.unique(GateNode::And(a, b))
        }
    }

    /// `a | b`; 1 AND.
    pub fn or(&mut self, a: Wire, b: Wire) -> Wire {
        self.and(a.invert(true), b.invert(true)).invert(true)
    }

    /// `select ? ones : zeros`; 1 AND.
    pub fn mux(&mut self, select: Wire, ones: Wire, zeros: Wire) -> Wire {
        let differ = self.xor(ones, zeros);
        let change = self.and(select, differ);
        self.xor(zeros, change)
    }

    /// The circuit with these outputs, without the gates that they do not need.
    pub fn finish(self, outputs: &[Wire]) -> Circuit {
        Circuit::compile(&self.nodes, self.inputs, outputs)
    }

    /// `b ^ rest` if `sum = b ^ rest`, so that `sum ^ b = rest`.
    fn cancel(&self, sum: Wire, b: Wire) -> Option<Wire> {
        match self.nodes.get(sum.node()) {
            Some(&GateNode::Xor(x, y)) if x == b => Some(y),
            Some(&GateNode::Xor(x, y)) if y == b => Some(x),
            _ => None,
        }
    }

    fn unique(&mut self, node: GateNode) -> Wire {
        if let Some(&index) = self.known.get(&node) {
            return Wire::new(index, false);
        }
        let wire = self.push(node);
        self.known.insert(node, wire.node() as u32);
        wire
    }

    fn push(&mut self, node: GateNode) -> Wire {
        let index = self.nodes.len() as u32;
        self.nodes.push(node);
        Wire::new(index, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_constants_and_repeated_operands_make_no_gate() {
        let mut b = Builder::new();
        let x = b.input();
        let (zero, one, not_x) = (b.constant(false), b.constant(true), b.not(x));
        assert_eq!(b.xor(x, zero), x);
        assert_eq!(b.xor(x, one), not_x);
        assert_eq!(b.xor(x, x), zero);
        assert_eq!(b.xor(x, not_x), one);
        assert_eq!(b.and(x, zero), zero);
        assert_eq!(b.and(one, x), x);
        assert_eq!(b.and(x, x), x);
        assert_eq!(b.and(not_x, x), zero);
        assert_eq!(b.or(x, not_x), one);
        assert_eq!(b.or(zero, not_x), not_x);
        assert_eq!(b.mux(x, one, zero), x);
        assert_eq!(b.mux(one, x, zero), x);
        assert_eq!(b.finish(&[x]).sum_count(), 0);
    }

    #[test]
    fn properties_equal_gates_are_made_once_and_sums_cancel() {
        let mut b = Builder::new();
        let (x, y) = (b.input(), b.input());
        let (first, second) = (b.and(x, y), b.and(y, x));
        assert_eq!(first, second);
        let sum = b.xor(x, y);
        let not_y = b.not(y);
        let not_x = b.not(x);
        assert_eq!(b.xor(sum, y), x);
        assert_eq!(b.xor(not_y, sum), not_x);
    }

    #[test]
    fn properties_gates_without_a_reader_are_dropped() {
        let mut b = Builder::new();
        let x = b.inputs(3);
        let kept = b.and(x[0], x[1]);
        let dead = b.and(x[1], x[2]);
        let _ = b.xor(dead, kept);
        let circuit = b.finish(&[kept]);
        assert_eq!((circuit.and_count(), circuit.sum_count(), circuit.input_count()), (1, 0, 3));
    }
}
