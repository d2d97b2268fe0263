//! Packings: which tensor element is which coefficient of which request, which weights form which
//! sparse polynomial, and which coefficient of which response is which output.
//!
//! A [`Packing`] serves the operators that read one tensor with one set of requests. Request
//! `tile * chunks + chunk` holds a part of one tile of the tensor; response `block * tiles + tile` of
//! an operator is `sum over chunks of w[block][chunk] * request[tile][chunk]` in
//! `Z_q[X] / (X^N + 1)`, so that all tiles have the same weights. Everything about it is public and
//! follows from shapes.
//!
//! A [`PackingScheme`] makes packings: it proposes candidates to the planner, which prices them, and
//! rebuilds the one that a plan names. [`Tiles`] is the program's; docs/swapping.md has another.

pub(crate) mod tiled;

use std::fmt::Debug;

use gazelle_share::LinearOp;

pub(crate) use tiled::scheme::Tiles;

use crate::error::LinearError;
use crate::plan::PackingPlan;

/// What a request coefficient holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coefficient {
    /// An element of the tensor.
    Element(u32),
    /// Zero: useful outputs read it.
    Zero,
    /// Anything: no useful output reads it.
    Free,
}

/// A weight index that stands for zero (maps behind the last one in a block).
pub const NO_WEIGHT: u32 = u32::MAX;

/// How a tensor, the weights of its operators and their outputs lie in polynomials of degree N.
///
/// The laws are checked by [`conformance`](crate::testing::conformance). Required are the counts and
/// the three maps; the rest follows, and is overridden where a closed formula is cheaper.
pub trait Packing: Debug + Send + Sync {
    /// N.
    fn degree(&self) -> usize;

    /// Tiles of the tensor.
    fn tiles(&self) -> usize;

    /// Request polynomials per tile.
    fn chunks(&self) -> usize;

    /// Response polynomials per tile of operator `op` (its place in the packing).
    fn blocks(&self, op: usize) -> usize;

    /// The N coefficients of a request. An element may lie in several places: all but the first are
    /// pinned to its mask.
    fn coefficients(&self, request: usize) -> Vec<Coefficient>;

    /// The sparse weight polynomial `w[block][chunk]` of an operator: `(exponent, weight index)`,
    /// exponents distinct, [`NO_WEIGHT`] for zero. Which terms there are, and their order, must not
    /// depend on weights: that would show in the time that products take.
    ///
    /// - `out`: cleared first.
    fn terms(&self, op: usize, block: usize, chunk: usize, out: &mut Vec<(u32, u32)>);

    /// The useful coefficients of response `block * tiles + tile`: `visit(coefficient, output
    /// element)`. Over all responses every output element is visited once.
    fn outputs(&self, op: usize, response: usize, visit: &mut dyn FnMut(usize, usize));

    /// The output maps (rows of a fully connected layer) whose weights lie in a block, each as often
    /// as it lies there: the noise of a response grows with all of their norms.
    fn maps_of_block(&self, op: usize, block: usize) -> Vec<usize>;

    /// Request polynomials.
    fn requests(&self) -> usize {
        self.tiles() * self.chunks()
    }

    /// Response polynomials of operator `op`.
    fn responses(&self, op: usize) -> usize {
        self.tiles() * self.blocks(op)
    }

    /// Coefficients that are not free, over all requests.
    fn marked(&self) -> usize {
        let marked = |request| {
            let coefficients = self.coefficients(request).into_iter();
            coefficients.filter(|coefficient| *coefficient != Coefficient::Free).count()
        };
        (0..self.requests()).map(marked).sum()
    }

    /// Elements of the tensor that some request holds, or only those that outputs read; for the
    /// price alone.
    fn elements(&self) -> usize {
        let mut held = std::collections::HashSet::new();
        for request in 0..self.requests() {
            held.extend(self.coefficients(request).into_iter().filter_map(|c| match c {
                Coefficient::Element(element) => Some(element),
                Coefficient::Zero | Coefficient::Free => None,
            }));
        }
        held.len()
    }
}

/// A way to make packings: the value that goes into [`PublicCoin::scheme`](crate::PublicCoin).
pub trait PackingScheme: Debug + Send + Sync {
    /// The name of the linear protocol with this scheme, in handshakes and reports: both parties must
    /// have the same.
    fn name(&self) -> &'static str;

    /// Shows the packings worth pricing for operators that read the same tensor, none if this scheme cannot
    /// compute them: `visit(family, candidate)`, families numbered from 0, a candidate for as long as the call
    /// lasts. The planner lays out the best few of each family.
    ///
    /// # Errors
    /// [`LinearError::Operator`] if an operator makes no sense.
    fn candidates(
        &self,
        ops: &[&LinearOp],
        degree: usize,
        visit: &mut dyn FnMut(usize, &Candidate),
    ) -> Result<(), LinearError>;

    /// The packing that a plan names. Plans come from the peer: time and memory must be bounded for
    /// any numbers.
    ///
    /// - `plan`: its `ops` are numbers in the group, in the order of `ops`.
    ///
    /// # Errors
    /// [`LinearError::Operator`] or [`LinearError::Packing`] if the choices do not fit.
    fn packing(
        &self,
        ops: &[&LinearOp],
        degree: usize,
        plan: &PackingPlan,
    ) -> Result<Box<dyn Packing>, LinearError>;
}

/// A packing that the planner may choose.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Candidate {
    /// What a plan will say; `ops` are filled in by the planner.
    pub plan: PackingPlan,
    /// Its size, from closed formulas.
    pub estimate: Estimate,
}

/// The size of a packing, as far as its price depends on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Tiles of the tensor.
    pub tiles: usize,
    /// Request polynomials per tile.
    pub chunks: usize,
    /// About as many coefficients are not free.
    pub marked: usize,
    /// About as many elements are held.
    pub held: usize,
    /// By operator.
    pub ops: Vec<OpEstimate>,
}

/// What one operator adds to an [`Estimate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpEstimate {
    /// Maps in one response.
    pub maps: usize,
    /// Maps in all responses of a tile; more than the operator's where one map is computed in parts.
    /// Block b holds those from `b * maps` on, map m standing for the operator's map m modulo its
    /// number of maps.
    pub all_maps: usize,
    /// Weight polynomials that are not zero.
    pub products: usize,
}

impl Estimate {
    /// Counts a packing that is laid out already: for schemes without closed formulas.
    pub fn of(packing: &dyn Packing, ops: usize) -> Self {
        let mut terms = Vec::new();
        let mut of_op = |op| {
            let (mut products, mut all_maps, mut maps) = (0, 0, 0);
            for block in 0..packing.blocks(op) {
                let here = packing.maps_of_block(op, block).len();
                (all_maps, maps) = (all_maps + here, here.max(maps));
                for chunk in 0..packing.chunks() {
                    packing.terms(op, block, chunk, &mut terms);
                    products += usize::from(!terms.is_empty());
                }
            }
            OpEstimate { maps, all_maps, products }
        };
        Self {
            ops: (0..ops).map(&mut of_op).collect(),
            tiles: packing.tiles(),
            chunks: packing.chunks(),
            marked: packing.marked(),
            held: packing.elements(),
        }
    }
}

/// The largest squared norm of a response of operator `op`.
pub(crate) fn block_norm(packing: &dyn Packing, op: usize, norms: &[f64]) -> f64 {
    let of_block = |block| -> f64 {
        packing.maps_of_block(op, block).into_iter().filter_map(|map| norms.get(map)).sum()
    };
    (0..packing.blocks(op)).map(of_block).fold(0.0, f64::max)
}
