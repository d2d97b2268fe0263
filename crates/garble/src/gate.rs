//! Wires and nodes of a circuit under construction; gates and sums of a finished one.

/// A wire of the circuit under construction: a node and whether it is read inverted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wire(u32);

impl Wire {
    /// The constant 0.
    pub const FALSE: Self = Self(0);
    /// The constant 1.
    pub(crate) const TRUE: Self = Self(1);

    pub(crate) const fn new(node: u32, inverted: bool) -> Self {
        Self(node << 1 | inverted as u32)
    }

    /// The node's number; 0 is the constant.
    pub(crate) const fn node(self) -> usize {
        (self.0 >> 1) as usize
    }

    pub(crate) const fn inverted(self) -> bool {
        self.0 & 1 == 1
    }

    pub(crate) const fn invert(self, by: bool) -> Self {
        Self(self.0 ^ by as u32)
    }
}

/// A node of a circuit under construction; node 0 is the constant 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum GateNode {
    /// The constant 0.
    Zero,
    /// An input.
    Input(u32),
    /// The sum of two nodes, read uninverted.
    Xor(Wire, Wire),
    /// The product of two wires.
    And(Wire, Wire),
}

/// A row that is always zero: the missing terms of a sum.
pub(crate) const ZERO_ROW: u32 = u32::MAX;

/// A sum of up to N rows, read inverted or not. Rows below the input count are inputs, those above
/// working memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sum<const N: usize> {
    pub(crate) rows: [u32; N],
    pub(crate) inverted: bool,
}

/// A gate with the free sums around it; `out` is a working row other than those it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// `out = x`
    Sum { x: Sum<3>, out: u32 },
    /// `out = (a & b) ^ add`
    And { a: Sum<2>, b: Sum<2>, add: u32, out: u32 },
    /// Output number `output` is `x`.
    Emit { x: Sum<3>, output: u32 },
}
