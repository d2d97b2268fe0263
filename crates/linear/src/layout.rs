//! One group's requests and responses, as both parties derive them from the plan.
//!
//! Requests are numbered packing by packing. An element of the tensor is masked by the first
//! request coefficient that holds it (in request order, then coefficient order); every further
//! coefficient that holds it is pinned to that mask, padding is pinned to zero. With a given mask
//! all are pinned. Elements that no request holds are masked by the client's own coins.
//!
//! Responses (rows) are numbered packing by packing, operator by operator, block by block; the tiles
//! of one block, which have the same weights, lie side by side.

#![expect(
    clippy::indexing_slicing,
    reason = "element and row numbers come from the packings, whose sizes fix the vectors' lengths"
)]

use gazelle_share::{LinearGroup, MaskKind};

use crate::error::LinearError;
use crate::packing::{Coefficient, Packing, PackingScheme};
use crate::plan::GroupPlan;

/// What one plan may make a party hold: request and response polynomials per group, in words.
const MAX_GROUP_WORDS: usize = 1 << 28;

/// A group's packings with their numbering.
#[derive(Debug)]
pub(crate) struct GroupLayout {
    pub(crate) packings: Vec<Placed>,
    pub(crate) degree: usize,
    pub(crate) requests: usize,
    pub(crate) responses: usize,
    pub(crate) elements: usize,
    pub(crate) given: bool,
    /// Output elements per operator of the group.
    pub(crate) outputs: Vec<usize>,
}

/// A packing and where its requests and rows start.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) packing: Box<dyn Packing>,
    pub(crate) first_request: usize,
    /// Per operator of the packing: its number in the group and its first row.
    pub(crate) ops: Vec<(usize, usize)>,
}

/// How the coefficients of one request are pinned.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    /// Pinned positions, ascending.
    pub(crate) pinned: Vec<u32>,
    /// What each is pinned to: an element's mask, or zero.
    pub(crate) sources: Vec<Option<u32>>,
    /// Coefficients that define an element's mask: (position, element).
    pub(crate) masks: Vec<(u32, u32)>,
}

impl GroupLayout {
    pub(crate) fn new(
        scheme: &dyn PackingScheme,
        group: &LinearGroup,
        plan: &GroupPlan,
    ) -> Result<Self, LinearError> {
        let bad = |what: &str| LinearError::Plan(format!("group {}: {what}", group.name));
        let degree = plan.parameters.degree();
        let Some(elements) = group.ops.first().map(gazelle_share::LinearOp::input_len) else {
            return Err(bad("there are no operators"));
        };
        if elements == 0 || group.ops.iter().any(|op| op.input_len() != elements) {
            return Err(bad("operators read tensors of different sizes"));
        }
        let mut packings = Vec::with_capacity(plan.packings.len());
        let mut covered = vec![false; group.ops.len()];
        let (mut requests, mut responses) = (0, 0);
        for planned in &plan.packings {
            if planned.ops.is_empty() {
                return Err(bad("a packing computes no operator"));
            }
            let mut ops = Vec::with_capacity(planned.ops.len());
            for &op in &planned.ops {
                let slot = covered.get_mut(op as usize).ok_or_else(|| bad("no such operator"))?;
                if std::mem::replace(slot, true) {
                    return Err(bad("an operator is computed twice"));
                }
                ops.push(op as usize);
            }
            let operators: Vec<_> = ops.iter().map(|&op| &group.ops[op]).collect();
            let packing = scheme.packing(&operators, degree, planned)?;
            let first_request = requests;
            requests += packing.requests();
            let mut rows = Vec::with_capacity(ops.len());
            for (local, op) in ops.into_iter().enumerate() {
                rows.push((op, responses));
                responses += packing.responses(local);
            }
            if requests.max(responses).saturating_mul(degree) > MAX_GROUP_WORDS {
                return Err(bad("too many polynomials"));
            }
            packings.push(Placed { packing, first_request, ops: rows });
        }
        if !covered.iter().all(|covered| *covered) {
            return Err(bad("an operator is not computed"));
        }
        let outputs = group.ops.iter().map(|op| op.output_shape().len()).collect();
        let given = group.mask == MaskKind::Given;
        Ok(Self { packings, degree, requests, responses, elements, given, outputs })
    }

    /// The slots of all requests, in order. Costs `requests * N` steps.
    pub(crate) fn slots(&self) -> Vec<Slots> {
        let mut known = vec![self.given; self.elements];
        let mut all = Vec::with_capacity(self.requests);
        for placed in &self.packings {
            for request in 0..placed.packing.requests() {
                let mut slots = Slots::default();
                for (i, what) in placed.packing.coefficients(request).into_iter().enumerate() {
                    match what {
                        Coefficient::Free => {}
                        Coefficient::Zero => {
                            slots.pinned.push(i as u32);
                            slots.sources.push(None);
                        }
                        Coefficient::Element(element) => {
                            if std::mem::replace(&mut known[element as usize], true) {
                                slots.pinned.push(i as u32);
                                slots.sources.push(Some(element));
                            } else {
                                slots.masks.push((i as u32, element));
                            }
                        }
                    }
                }
                all.push(slots);
            }
        }
        all
    }

    /// Pinned coefficients of all requests together.
    pub(crate) fn pinned(&self) -> usize {
        self.slots().iter().map(|slots| slots.pinned.len()).sum()
    }

    /// Useful coefficients of every row, and for each the operator and the output element.
    pub(crate) fn useful(&self) -> Useful {
        let mut useful = Useful { ends: Vec::with_capacity(self.responses), ..Useful::default() };
        for placed in &self.packings {
            for (local, &(op, _)) in placed.ops.iter().enumerate() {
                for response in 0..placed.packing.responses(local) {
                    placed.packing.outputs(local, response, &mut |coefficient, output| {
                        useful.coefficients.push(coefficient as u32);
                        useful.targets.push((op as u32, output as u32));
                    });
                    useful.ends.push(useful.coefficients.len());
                }
            }
        }
        useful
    }
}

/// Where outputs lie, row after row.
#[derive(Debug, Default)]
pub(crate) struct Useful {
    coefficients: Vec<u32>,
    ends: Vec<usize>,
    targets: Vec<(u32, u32)>,
}

impl Useful {
    /// Coefficient indices by row.
    pub(crate) fn rows(&self) -> Vec<&[u32]> {
        let mut start = 0;
        self.ends
            .iter()
            .map(|&end| {
                let row = &self.coefficients[start..end];
                start = end;
                row
            })
            .collect()
    }

    /// Sorts the words of all rows into one vector per operator.
    pub(crate) fn scatter(&self, words: &[u64], outputs: &[usize]) -> Vec<Vec<u64>> {
        let mut per_op: Vec<Vec<u64>> = outputs.iter().map(|&len| vec![0; len]).collect();
        for (&(op, output), &word) in self.targets.iter().zip(words) {
            per_op[op as usize][output as usize] = word;
        }
        per_op
    }
}
