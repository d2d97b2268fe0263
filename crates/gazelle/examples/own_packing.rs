//! A packing of one's own in a whole session. docs/swapping.md explains the traits; their conformance
//! suite is `gazelle_linear::testing::conformance`.
//!
//! `cargo run --example own_packing -p gazelle`

#![expect(
    clippy::indexing_slicing,
    reason = "a group has operators, and rows are below their number"
)]

#[path = "shared/two_layers.rs"]
mod two_layers;

use std::error::Error;

use gazelle::Suite;
use gazelle::share::LinearOp;
use gazelle_garble::HalfGates;
use gazelle_linear::packing::{Candidate, Coefficient, Estimate, Packing, PackingScheme};
use gazelle_linear::{LinearError, PackingPlan, PublicCoin};
use gazelle_nonlinear::Garbled;
use gazelle_ot::SoftSpoken;

/// Fully connected layers, one row of weights to a response: input i of a chunk lies at X^i, its
/// weight at X^(N-1-i), and the row's sum is the coefficient of X^(N-1). Nothing has to be zero and no
/// element lies in two places: under a fresh mask no coefficient is pinned.
#[derive(Debug)]
struct Rows {
    degree: usize,
    /// Rows and columns of each operator.
    ops: Vec<[usize; 2]>,
    columns: usize,
}

impl Packing for Rows {
    fn degree(&self) -> usize {
        self.degree
    }
    fn tiles(&self) -> usize {
        1
    }
    fn chunks(&self) -> usize {
        self.columns.div_ceil(self.degree)
    }
    fn blocks(&self, op: usize) -> usize {
        self.ops[op][0]
    }
    fn coefficients(&self, request: usize) -> Vec<Coefficient> {
        let first = request * self.degree;
        let what =
            |i| if i < self.columns { Coefficient::Element(i as u32) } else { Coefficient::Free };
        (first..first + self.degree).map(what).collect()
    }
    fn terms(&self, _op: usize, row: usize, chunk: usize, out: &mut Vec<(u32, u32)>) {
        out.clear();
        let first = chunk * self.degree;
        for i in first..self.columns.min(first + self.degree) {
            out.push(((self.degree - 1 - (i - first)) as u32, (row * self.columns + i) as u32));
        }
    }
    fn outputs(&self, _op: usize, row: usize, visit: &mut dyn FnMut(usize, usize)) {
        visit(self.degree - 1, row);
    }
    fn maps_of_block(&self, _op: usize, row: usize) -> Vec<usize> {
        vec![row]
    }
}

/// The scheme that makes them: one candidate, without choices.
#[derive(Debug)]
struct RowByRow;

impl PackingScheme for RowByRow {
    fn name(&self) -> &'static str {
        "public-coin, row by row"
    }
    fn candidates(
        &self,
        ops: &[&LinearOp],
        degree: usize,
        visit: &mut dyn FnMut(usize, &Candidate),
    ) -> Result<(), LinearError> {
        let maps = vec![1; ops.len()];
        let plan = PackingPlan { ops: Vec::new(), phase: [1; 2], tile: [1; 2], channels: 1, maps };
        // Operators that it does not compute have no candidates.
        let Ok(packing) = self.packing(ops, degree, &plan) else { return Ok(()) };
        let estimate = Estimate::of(&*packing, ops.len());
        visit(0, &Candidate { plan, estimate });
        Ok(())
    }
    fn packing(
        &self,
        ops: &[&LinearOp],
        degree: usize,
        _: &PackingPlan,
    ) -> Result<Box<dyn Packing>, LinearError> {
        let size = |op: &&LinearOp| match op {
            LinearOp::FullyConnected { inputs, outputs } => Ok([*outputs, *inputs]),
            LinearOp::Conv(_) => Err(LinearError::Operator("a convolution, row by row")),
        };
        let ops = ops.iter().map(size).collect::<Result<Vec<_>, _>>()?;
        let columns = ops[0][1];
        Ok(Box::new(Rows { degree, ops, columns }))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    gazelle_linear::testing::conformance(&RowByRow);
    let linear = PublicCoin { scheme: &RowByRow, ..PublicCoin::default() };
    let garbled = Garbled { ot: SoftSpoken::K8, scheme: HalfGates::default() };
    two_layers::run(&Suite::new(linear, garbled))
}
