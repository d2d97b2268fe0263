//! One party's shares of a network's tensors while it walks along.

use gazelle_share::{Architecture, Node, NodeKind, Shares, TensorId};

use crate::error::GazelleError;

/// Shares by tensor; dropped (and wiped) after their last use.
pub(crate) struct Tensors {
    shares: Vec<Option<Shares>>,
    readers: Vec<usize>,
}

impl Tensors {
    /// Nothing known yet.
    pub(crate) fn new(architecture: &Architecture) -> Self {
        let mut readers = vec![0; architecture.tensors.len()];
        for input in architecture.nodes.iter().flat_map(|node| &node.inputs) {
            if let Some(count) = readers.get_mut(*input) {
                *count += 1;
            }
        }
        Self { shares: vec![None; architecture.tensors.len()], readers }
    }

    pub(crate) fn set(&mut self, tensor: TensorId, share: Shares) {
        if let Some(slot) = self.shares.get_mut(tensor) {
            *slot = Some(share);
        }
    }

    pub(crate) fn has(&self, tensor: TensorId) -> bool {
        self.shares.get(tensor).is_some_and(Option::is_some)
    }

    pub(crate) fn get(&self, tensor: TensorId) -> Result<&Shares, GazelleError> {
        self.shares
            .get(tensor)
            .and_then(Option::as_ref)
            .ok_or_else(|| GazelleError::Plan(format!("tensor {tensor} is used before it exists")))
    }

    /// The share, for one of its readers: moved out for the last one.
    pub(crate) fn take(&mut self, tensor: TensorId) -> Result<Shares, GazelleError> {
        let left = self.readers.get_mut(tensor).map_or(0, |count| {
            *count = count.saturating_sub(1);
            *count
        });
        let share = if left == 0 {
            self.shares.get_mut(tensor).and_then(Option::take)
        } else {
            self.shares.get(tensor).cloned().flatten()
        };
        share.ok_or_else(|| GazelleError::Plan(format!("tensor {tensor} is used before it exists")))
    }

    /// Says that one reader of `tensor` is done.
    pub(crate) fn release(&mut self, tensor: TensorId) {
        if let Some(count) = self.readers.get_mut(tensor) {
            *count = count.saturating_sub(1);
            if *count == 0
                && let Some(slot) = self.shares.get_mut(tensor)
            {
                *slot = None;
            }
        }
    }

    /// The result of a local map on this party's shares; releases nothing.
    pub(crate) fn local(
        &self,
        architecture: &Architecture,
        node: &Node,
    ) -> Result<Shares, GazelleError> {
        let NodeKind::Local(map) = &node.kind else {
            return Err(GazelleError::Plan(format!("{}: not a local map", node.name)));
        };
        let missing = || GazelleError::Plan(format!("{}: unknown tensor", node.name));
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for input in &node.inputs {
            let shape = architecture.tensors.get(*input).ok_or_else(missing)?.shape;
            inputs.push((self.get(*input)?.words(), shape));
        }
        let output = architecture.tensors.get(node.output).ok_or_else(missing)?;
        Ok(Shares::new(output.ring_bits, map.apply(&inputs, output.shape, output.ring_bits)))
    }
}
