//! One party's shares of a network's tensors while it walks along.

use gazelle_share::{Architecture, LocalMap, Node, Shares, TensorId, TensorMap};

use crate::error::GazelleError;

/// Shares by tensor; dropped (and wiped) after their last use.
pub(crate) struct Tensors {
    shares: TensorMap<Option<Shares>>,
    readers: TensorMap<usize>,
}

impl Tensors {
    /// Nothing known yet.
    pub(crate) fn new(architecture: &Architecture) -> Self {
        let mut readers = architecture.per_tensor(0);
        for input in architecture.nodes().iter().flat_map(|node| &node.inputs) {
            readers[*input] += 1;
        }
        Self { shares: architecture.per_tensor(None), readers }
    }

    pub(crate) fn set(&mut self, tensor: TensorId, share: Shares) {
        self.shares[tensor] = Some(share);
    }

    pub(crate) fn has(&self, tensor: TensorId) -> bool {
        self.shares[tensor].is_some()
    }

    pub(crate) fn get(&self, tensor: TensorId) -> Result<&Shares, GazelleError> {
        self.shares[tensor].as_ref().ok_or_else(|| missing(tensor))
    }

    /// Returns the share, for one of its readers: moved out for the last one.
    pub(crate) fn take(&mut self, tensor: TensorId) -> Result<Shares, GazelleError> {
        let share = if self.readers[tensor] <= 1 {
            self.shares[tensor].take()
        } else {
            self.shares[tensor].clone()
        };
        self.release(tensor);
        share.ok_or_else(|| missing(tensor))
    }

    /// Says that one reader of `tensor` is done.
    pub(crate) fn release(&mut self, tensor: TensorId) {
        let left = self.readers[tensor].saturating_sub(1);
        self.readers[tensor] = left;
        if left == 0 {
            self.shares[tensor] = None;
        }
    }

    /// Returns the result of a local map on this party's shares; releases nothing.
    pub(crate) fn local(
        &self,
        architecture: &Architecture,
        node: &Node,
        map: &LocalMap,
    ) -> Result<Shares, GazelleError> {
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for input in &node.inputs {
            inputs.push((self.get(*input)?.words(), architecture.tensor(*input).shape));
        }
        let output = architecture.tensor(node.output);
        Ok(Shares::new(output.ring_bits, map.apply(&inputs, output.shape, output.ring_bits)))
    }
}

fn missing(tensor: TensorId) -> GazelleError {
    GazelleError::Defect(format!("tensor {}: used before it exists", tensor.index()))
}
