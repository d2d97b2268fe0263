//! From a network's public architecture to the order of work: linear groups, masks, steps.
//!
//! Both parties derive the same [`Plan`] from the same [`Architecture`]; only the parameters of
//! the linear layers depend on the weights and travel in the description.

mod groups;
mod masks;
mod tensors;

use std::sync::Arc;

use gazelle_share::{Architecture, LinearGroup, MaskKind, NodeKind, Shares, Step, TensorId};

use crate::error::GazelleError;

pub(crate) use tensors::Tensors;

/// The order of work of one inference: public, the same at both parties.
#[derive(Debug)]
pub struct Plan {
    architecture: Arc<Architecture>,
    groups: Arc<[LinearGroup]>,
    places: Vec<GroupPlace>,
    steps: Arc<[Step]>,
    step_nodes: Vec<usize>,
    /// Per tensor: whether the client's share is a mask, known before any linear layer is.
    masked: Vec<bool>,
    /// Roots (the input and the steps' outputs) whose mask the client draws itself.
    drawn: Vec<TensorId>,
    /// Per node: its group and operator, or its step.
    work: Vec<Work>,
}

/// Where a linear group sits in the network.
#[derive(Debug, Clone)]
pub(crate) struct GroupPlace {
    /// The masked tensor that it reads.
    pub(crate) tensor: TensorId,
    /// Its operators' nodes, in the group's order.
    pub(crate) nodes: Vec<usize>,
    /// For a fresh mask: the roots whose masks it fills.
    pub(crate) fresh: Option<FreshMask>,
}

/// How a fresh group mask becomes the masks of root tensors.
#[derive(Debug, Clone)]
pub(crate) struct FreshMask {
    /// The roots, one after the other.
    pub(crate) roots: Vec<TensorId>,
    /// Element i of the group's mask belongs to element `positions[i]` of the roots laid end to
    /// end; nothing if the order is the same.
    pub(crate) positions: Option<Vec<usize>>,
}

/// What a node is to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Operator `op` of group `group`.
    Linear { group: usize, op: usize },
    /// Step number.
    Step(usize),
    /// A map on both parties' shares.
    Local,
}

impl Plan {
    /// Derives the plan.
    ///
    /// # Errors
    /// [`GazelleError::Plan`] if the architecture is not valid, or if a linear layer reads a
    /// tensor that is not masked.
    pub fn new(architecture: Architecture) -> Result<Self, GazelleError> {
        architecture.validate().map_err(|error| GazelleError::Plan(error.to_string()))?;
        let architecture = Arc::new(architecture);
        let masked = masks::masked_tensors(&architecture)?;
        let (mut groups, mut places) = groups::linear_groups(&architecture, &masked)?;
        let drawn = masks::assign(&architecture, &mut groups, &mut places)?;
        let mut steps = Vec::new();
        let mut step_nodes = Vec::new();
        let mut work = vec![Work::Local; architecture.nodes.len()];
        for (node, slot) in architecture.nodes.iter().zip(&mut work) {
            if let NodeKind::Step(step) = &node.kind {
                *slot = Work::Step(steps.len());
                steps.push(step.clone());
            }
        }
        for (index, slot) in work.iter().enumerate() {
            if matches!(slot, Work::Step(_)) {
                step_nodes.push(index);
            }
        }
        for (group, place) in places.iter().enumerate() {
            for (op, node) in place.nodes.iter().enumerate() {
                if let Some(slot) = work.get_mut(*node) {
                    *slot = Work::Linear { group, op };
                }
            }
        }
        let plan = Self {
            architecture,
            groups: groups.into(),
            places,
            steps: steps.into(),
            step_nodes,
            masked,
            drawn,
            work,
        };
        masks::assert_rule(&plan)?;
        Ok(plan)
    }

    /// The public network.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The linear groups, in the order of the offline phase: fresh masks first.
    pub fn groups(&self) -> &Arc<[LinearGroup]> {
        &self.groups
    }

    /// The non-linear steps, in the order of the network.
    pub fn steps(&self) -> &Arc<[Step]> {
        &self.steps
    }

    /// Name of a step's node.
    pub fn step_name(&self, step: usize) -> &str {
        let node = self.step_nodes.get(step).and_then(|node| self.architecture.nodes.get(*node));
        node.map_or("", |node| &node.name)
    }

    /// Elements of the largest tensor, and of all together: bounds a session's memory.
    pub fn elements(&self) -> (usize, usize) {
        let lens = self.architecture.tensors.iter().map(|tensor| tensor.shape.len());
        (lens.clone().max().unwrap_or(0), lens.sum())
    }

    pub(crate) fn places(&self) -> &[GroupPlace] {
        &self.places
    }

    pub(crate) fn work(&self) -> &[Work] {
        &self.work
    }

    pub(crate) fn drawn(&self) -> &[TensorId] {
        &self.drawn
    }

    pub(crate) fn is_masked(&self, tensor: TensorId) -> bool {
        self.masked.get(tensor).copied().unwrap_or(false)
    }

    /// Splits the fresh mask r of `group` into the masks of its roots.
    pub(crate) fn scatter(&self, group: usize, r: &Shares) -> Vec<(TensorId, Shares)> {
        let Some(fresh) = self.places.get(group).and_then(|place| place.fresh.as_ref()) else {
            return Vec::new();
        };
        let mut words = r.words().to_vec();
        if let Some(positions) = &fresh.positions {
            for (word, position) in r.words().iter().zip(positions) {
                if let Some(slot) = words.get_mut(*position) {
                    *slot = *word;
                }
            }
        }
        let mut rest = words.as_slice();
        let mut masks = Vec::with_capacity(fresh.roots.len());
        for root in &fresh.roots {
            let len = self.architecture.tensors.get(*root).map_or(0, |tensor| tensor.shape.len());
            let (head, tail) = rest.split_at(len.min(rest.len()));
            masks.push((*root, Shares::new(r.bits(), head.to_vec())));
            rest = tail;
        }
        zeroize::Zeroize::zeroize(&mut words);
        masks
    }

    /// Groups in the order of the network (for reports): `(first node, group)`.
    pub(crate) fn report_order(&self) -> Vec<(usize, ReportLayer)> {
        let groups = self.places.iter().enumerate().map(|(group, place)| {
            (place.nodes.first().copied().unwrap_or(0), ReportLayer::Group(group))
        });
        let steps =
            self.step_nodes.iter().enumerate().map(|(step, node)| (*node, ReportLayer::Step(step)));
        let mut layers: Vec<_> = groups.chain(steps).collect();
        layers.sort_by_key(|(node, _)| *node);
        layers
    }

    /// How many groups bring their own fresh mask.
    pub fn fresh_groups(&self) -> usize {
        self.groups.iter().filter(|group| group.mask == MaskKind::Fresh).count()
    }
}

/// A line of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReportLayer {
    /// A linear group.
    Group(usize),
    /// A non-linear step.
    Step(usize),
}
