//! From a network's public architecture to the order of work: linear groups, masks, steps.
//!
//! Both parties derive the same [`Plan`] from the same [`Architecture`]; only the parameters of
//! the linear layers depend on the weights and travel in the description.

mod groups;
mod mask_sources;
mod tensors;
mod waves;

use std::sync::Arc;

use gazelle_share::{
    Architecture, LinearGroup, LocalMap, Node, NodeId, NodeKind, Shares, Step, TensorId,
};

use crate::error::GazelleError;

pub(crate) use tensors::Tensors;
pub(crate) use waves::Wave;

/// The order of work of one inference: public, the same at both parties.
#[derive(Debug)]
pub struct Plan {
    architecture: Arc<Architecture>,
    groups: Arc<[LinearGroup]>,
    places: Vec<GroupPlace>,
    steps: Arc<[Step]>,
    step_nodes: Vec<NodeId>,
    /// Roots (the input and the steps' outputs) whose mask the client draws itself.
    drawn: Vec<TensorId>,
    /// Per node: its group and its position there, or the number of its step.
    places_of: Vec<(usize, usize)>,
    waves: Vec<Wave>,
}

/// Where a linear group sits in the network.
#[derive(Debug, Clone)]
pub(crate) struct GroupPlace {
    /// The masked tensor that it reads.
    pub(crate) tensor: TensorId,
    /// Its operators' nodes, in the group's order.
    pub(crate) nodes: Vec<NodeId>,
    /// For a fresh mask: the roots whose masks it fills.
    pub(crate) fresh: Option<FreshMask>,
}

impl GroupPlace {
    /// Returns the first of its nodes.
    #[expect(clippy::indexing_slicing, reason = "a group is made for its first node")]
    pub(crate) fn first(&self) -> NodeId {
        self.nodes[0]
    }
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
#[derive(Debug, Clone, Copy)]
pub(crate) enum Task<'a> {
    /// The operator at `position` of group `group`.
    Linear { group: usize, position: usize },
    /// The step of this number.
    Step(usize),
    /// A map on both parties' shares.
    Local(&'a LocalMap),
}

impl Plan {
    /// Derives the plan.
    ///
    /// # Errors
    /// [`GazelleError::Plan`] if the output of a linear layer is never used, or if the masks cannot
    /// be assigned.
    #[expect(clippy::indexing_slicing, reason = "node ids are places among the nodes")]
    pub fn new(architecture: Architecture) -> Result<Self, GazelleError> {
        let (mut groups, mut places) = groups::linear_groups(&architecture)?;
        let drawn = mask_sources::assign(&architecture, &mut groups, &mut places);
        let mut places_of = vec![(0, 0); architecture.nodes().len()];
        for (group, place) in places.iter().enumerate() {
            for (position, node) in place.nodes.iter().enumerate() {
                places_of[node.index()] = (group, position);
            }
        }
        let mut steps = Vec::new();
        let mut step_nodes = Vec::new();
        for (id, node) in architecture.node_ids().zip(architecture.nodes()) {
            if let NodeKind::Step(step) = &node.kind {
                places_of[id.index()] = (steps.len(), 0);
                steps.push(step.clone());
                step_nodes.push(id);
            }
        }
        let plan = Self {
            waves: waves::waves(&architecture),
            architecture: Arc::new(architecture),
            groups: groups.into(),
            places,
            steps: steps.into(),
            step_nodes,
            drawn,
            places_of,
        };
        mask_sources::assert_rule(&plan)?;
        Ok(plan)
    }

    /// Returns the public network.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Returns the linear groups, in the order of the offline phase: fresh masks first.
    pub fn groups(&self) -> &Arc<[LinearGroup]> {
        &self.groups
    }

    /// Returns the non-linear steps, in the order of the network.
    pub fn steps(&self) -> &Arc<[Step]> {
        &self.steps
    }

    /// Returns the name of a step's node.
    ///
    /// # Panics
    /// If there are not so many [`steps`](Self::steps).
    pub fn step_name(&self, step: usize) -> &str {
        &self.step_node(step).name
    }

    /// Returns a step's node.
    #[expect(clippy::indexing_slicing, reason = "steps and their nodes are pushed together")]
    pub(crate) fn step_node(&self, step: usize) -> &Node {
        self.architecture.node(self.step_nodes[step])
    }

    /// Returns the elements of the largest tensor, and of all together: bounds a session's memory.
    pub(crate) fn elements(&self) -> (usize, usize) {
        let lens = self.architecture.tensors().iter().map(|tensor| tensor.shape.len());
        (lens.clone().fold(0, usize::max), lens.sum())
    }

    pub(crate) fn places(&self) -> &[GroupPlace] {
        &self.places
    }

    /// Returns all nodes in order, and what each is to a session: the order of the offline phase.
    pub(crate) fn walk(&self) -> impl Iterator<Item = (NodeId, &Node, Task<'_>)> {
        self.architecture.node_ids().map(|id| (id, self.architecture.node(id), self.task(id)))
    }

    /// Returns what a node is to a session.
    #[expect(clippy::indexing_slicing, reason = "there is a place for each node")]
    pub(crate) fn task(&self, id: NodeId) -> Task<'_> {
        match (&self.architecture.node(id).kind, self.places_of[id.index()]) {
            (NodeKind::Linear(_), (group, position)) => Task::Linear { group, position },
            (NodeKind::Step(_), (number, _)) => Task::Step(number),
            (NodeKind::Local(map), _) => Task::Local(map),
        }
    }

    /// Returns the order of the online phase: steps side by side, and what is computed before each wave of them.
    pub(crate) fn waves(&self) -> &[Wave] {
        &self.waves
    }

    /// Names a wave by its first step.
    pub(crate) fn wave_name(&self, wave: &Wave) -> String {
        match wave.steps.as_slice() {
            [] => String::new(),
            [step] => self.step_name(*step).to_owned(),
            [first, others @ ..] => {
                format!("{} and {} beside it", self.step_name(*first), others.len())
            }
        }
    }

    pub(crate) fn drawn(&self) -> &[TensorId] {
        &self.drawn
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
            let len = self.architecture.tensor(*root).shape.len();
            let (head, tail) = rest.split_at(len.min(rest.len()));
            masks.push((*root, Shares::new(r.bits(), head.to_vec())));
            rest = tail;
        }
        zeroize::Zeroize::zeroize(&mut words);
        masks
    }

    /// Returns the nodes of the steps, in order.
    pub(crate) fn step_nodes(&self) -> &[NodeId] {
        &self.step_nodes
    }
}
