//! Sums, concatenations and other maps that each party computes on its own share.

#![expect(clippy::indexing_slicing, reason = "a graph's ids are places in it: `Graph::check`")]

use gazelle_share::{LinearWeights, LocalMap, NodeKind, Window};

use super::NetworkDraft;
use crate::error::ModelError;
use crate::graph::GraphNode;

impl NetworkDraft<'_> {
    pub(super) fn local(
        &mut self,
        node: &GraphNode,
        map: LocalMap,
        inputs: Vec<usize>,
        scale: i32,
    ) -> usize {
        let open = inputs.iter().any(|id| self.is_open(*id));
        let growth = match &map {
            LocalMap::SumPool(window) => taps_bits(window),
            _ => 0,
        };
        let bits = inputs.iter().map(|id| self.value_bits(*id)).fold(1, u32::max) + growth;
        let shape = self.graph.shape(node.output);
        let output = self.tensor(&node.name, shape, scale, bits, open);
        self.emit(&node.name, NodeKind::Local(map), inputs, output);
        output
    }

    /// Constants on the server's share.
    pub(super) fn add_bias(
        &mut self,
        node: &GraphNode,
        id: usize,
        shift: &[f32],
    ) -> Result<usize, ModelError> {
        let input = self.value(id)?;
        let scale = self.scale(input);
        let unit = f64::from(scale).exp2();
        let bias = shift.iter().map(|b| (f64::from(*b) * unit).round() as i64).collect();
        let output = self.local(node, LocalMap::AddBias, vec![input], scale);
        let bits = self.needed(node.output, scale);
        if !self.is_open(output) {
            self.draft.tensors[output].value_bits = bits;
        }
        if let Some(slot) = self.draft.weights.last_mut() {
            *slot = LinearWeights { weights: Vec::new(), bias };
        }
        Ok(output)
    }

    pub(super) fn add(&mut self, node: &GraphNode) -> Result<usize, ModelError> {
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for id in &node.inputs {
            inputs.push(self.value(*id)?);
        }
        let scale = inputs.iter().map(|id| self.scale(*id)).fold(i32::MIN, i32::max);
        if self.candidate.exact {
            self.settle(node, &mut inputs, scale);
        }
        let shifts: Vec<u32> = inputs.iter().map(|id| (scale - self.scale(*id)) as u32).collect();
        if shifts.iter().any(|shift| *shift >= 40) {
            let why = format!("node {:?} adds values of very different size", node.name);
            return Err(ModelError::Quantise(why));
        }
        let widths = inputs.iter().zip(&shifts).map(|(id, shift)| self.value_bits(*id) + shift);
        let bits = widths.fold(1, u32::max) + (inputs.len() as u32).next_power_of_two().ilog2();
        let open = inputs.iter().any(|id| self.is_open(*id));
        let shape = self.graph.shape(node.output);
        let output = self.tensor(&node.name, shape, scale, bits, open);
        self.emit(&node.name, NodeKind::Local(LocalMap::Add { shifts }), inputs, output);
        Ok(output)
    }

    /// Takes the error of ciphertexts out of open addends that would be shifted far: guard bits would
    /// have to take up `2^shift` times as much.
    fn settle(&mut self, node: &GraphNode, inputs: &mut [usize], scale: i32) {
        const FAR: i32 = 4;
        for (input, id) in inputs.iter_mut().zip(&node.inputs) {
            let own = self.scale(*input);
            if self.is_open(*input) && scale - own > FAR {
                let bits = self.needed(*id, own);
                *input = self.rescale(&format!("{}/settle", node.name), *input, own, bits);
            }
        }
    }

    pub(super) fn concat(&mut self, node: &GraphNode) -> Result<usize, ModelError> {
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for id in &node.inputs {
            inputs.push(self.masked(&node.name, *id)?);
        }
        let scale = inputs.iter().map(|id| self.scale(*id)).fold(i32::MAX, i32::min);
        for id in &mut inputs {
            if self.scale(*id) > scale {
                let dropped = (self.scale(*id) - scale) as u32;
                let bits = self.value_bits(*id).saturating_sub(dropped).max(2);
                *id = self.rescale(&format!("{}/rescale", node.name), *id, scale, bits);
            }
        }
        Ok(self.local(node, LocalMap::Concat, inputs, scale))
    }
}

fn taps_bits(window: &Window) -> u32 {
    (window.kernel[0] * window.kernel[1]).next_power_of_two().ilog2()
}
