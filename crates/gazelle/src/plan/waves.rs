//! Steps side by side: which of them share their trips, and what the server computes before.
//!
//! A wave is all steps whose inputs depend on no step outside the waves before it: they need nothing from each
//! other. A network of one path has a wave for each step, in its order.

#![expect(clippy::indexing_slicing, reason = "ids of an architecture are places in it")]

use gazelle_share::{Architecture, NodeId, NodeKind};

/// Steps that do not depend on each other, and what has to be computed before them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wave {
    /// Linear nodes and local maps that these steps are the first to need, in the order of the network.
    pub(crate) before: Vec<NodeId>,
    /// The steps' numbers, rising.
    pub(crate) steps: Vec<usize>,
}

/// Groups the steps of a network, the same at both parties.
///
/// The revealing step, the last node, has the last wave to itself. Nothing else is computed before a step needs it: what
/// waits for a later wave, such as the shortcut around a block, waits as the tensor that it reads.
pub(crate) fn waves(architecture: &Architecture) -> Vec<Wave> {
    let nodes = || architecture.node_ids().zip(architecture.nodes());
    // Per tensor: the waves that must have passed before it is there.
    let mut passed = architecture.per_tensor(0usize);
    let mut last = 0;
    for (_, node) in nodes() {
        let inputs = node.inputs.iter().map(|input| passed[*input]).fold(0, usize::max);
        let own = usize::from(matches!(node.kind, NodeKind::Step(_)));
        passed[node.output] = inputs + own;
        if node.output != architecture.output() {
            last = last.max(inputs + own);
        }
    }
    let mut waves = vec![Wave::default(); last + 1];
    // Per tensor: the first wave that needs it. What no step needs is computed at the end.
    let mut needed = architecture.per_tensor(last);
    let mut of_node = vec![last; architecture.nodes().len()];
    for id in architecture.node_ids().rev() {
        let node = architecture.node(id);
        let wave = match &node.kind {
            NodeKind::Step(_) if node.output == architecture.output() => last,
            NodeKind::Step(_) => passed[node.output] - 1,
            _ => needed[node.output],
        };
        of_node[id.index()] = wave;
        for input in &node.inputs {
            needed[*input] = needed[*input].min(wave);
        }
    }
    let mut steps = 0;
    for (id, node) in nodes() {
        let wave = &mut waves[of_node[id.index()]];
        if matches!(node.kind, NodeKind::Step(_)) {
            wave.steps.push(steps);
            steps += 1;
        } else {
            wave.before.push(id);
        }
    }
    waves
}

#[cfg(test)]
mod tests {
    use gazelle_share::{
        LinearWeights, LocalMap, NetworkBuilder, Pads, StepFunction, TensorId, TensorShape,
    };

    use super::*;

    struct BranchWriter(NetworkBuilder);

    impl BranchWriter {
        /// A convolution of one map and kernel size 1 with a ReLU behind it.
        fn relu(&mut self, name: &str, input: TensorId) -> TensorId {
            let conv = self.conv(&format!("conv of {name}"), input);
            self.0.step(name, StepFunction::Relu, conv, None)
        }

        fn conv(&mut self, name: &str, input: TensorId) -> TensorId {
            let op = self.0.conv(input, 1, 1, 1, Pads::default());
            let weights = LinearWeights { weights: vec![1; op.weight_len()], bias: vec![0] };
            self.0.linear(name, op, input, weights)
        }

        fn local(&mut self, name: &str, map: LocalMap, inputs: &[TensorId]) -> TensorId {
            let channels = match map {
                LocalMap::Concat => inputs.len(),
                _ => 1,
            };
            self.0.local(name, map, inputs, TensorShape::new(channels, 2, 2))
        }

        /// By wave: what is computed before, and the steps.
        fn waves(self, last: TensorId) -> Vec<(Vec<String>, Vec<String>)> {
            let network = self.0.build(last).unwrap();
            let architecture = network.architecture();
            let is_step = |id: &NodeId| matches!(architecture.node(*id).kind, NodeKind::Step(_));
            let steps: Vec<NodeId> = architecture.node_ids().filter(is_step).collect();
            let name = |id: NodeId| architecture.node(id).name.clone();
            let names = |wave: &Wave| {
                let before = wave.before.iter().map(|id| name(*id)).collect();
                (before, wave.steps.iter().map(|step| name(steps[*step])).collect())
            };
            waves(architecture).iter().map(names).collect()
        }
    }

    fn writer() -> BranchWriter {
        BranchWriter(NetworkBuilder::new(TensorShape::new(1, 2, 2), 24, 8, 12))
    }

    #[test]
    fn known_answer_branches_share_waves_and_a_shortcut_waits_until_it_is_needed() {
        let mut w = writer();
        let shortcut = w.conv("shortcut", TensorId::INPUT);
        let squeeze = w.relu("squeeze", TensorId::INPUT);
        let left = w.relu("left", squeeze);
        let left = w.relu("left again", left);
        let right = w.relu("right", squeeze);
        let both = w.local("concat", LocalMap::Concat, &[left, right]);
        let main = w.conv("main", both);
        let sum = w.local("sum", LocalMap::Add { shifts: vec![0, 0] }, &[main, shortcut]);
        let sum = w.0.step("relu of sum", StepFunction::Relu, sum, None);
        let last = w.conv("fc", sum);
        let expected: [(&[&str], &[&str]); 5] = [
            (&["conv of squeeze"], &["squeeze"]),
            // `right` does not wait for `left again`, which waits for `left`.
            (&["conv of left", "conv of right"], &["left", "right"]),
            (&["conv of left again"], &["left again"]),
            (&["shortcut", "concat", "main", "sum"], &["relu of sum"]),
            (&["fc"], &["output"]),
        ];
        let waves = w.waves(last);
        assert_eq!(waves.len(), expected.len());
        for ((before, steps), expected) in waves.iter().zip(expected) {
            assert_eq!(*before, expected.0);
            assert_eq!(*steps, expected.1);
        }
    }

    #[test]
    fn known_answer_a_path_has_a_wave_for_each_step() {
        let mut w = writer();
        let one = w.relu("one", TensorId::INPUT);
        let two = w.relu("two", one);
        let last = w.conv("fc", two);
        let waves = w.waves(last);
        let steps: Vec<&[String]> = waves.iter().map(|(_, steps)| &steps[..]).collect();
        assert_eq!(steps, [["one"], ["two"], ["output"]]);
    }

    #[test]
    fn properties_the_reveal_comes_last_also_behind_a_step_that_nobody_reads() {
        let mut w = writer();
        let one = w.relu("one", TensorId::INPUT);
        let unread = w.relu("unread", one);
        w.relu("unread too", unread);
        let last = w.conv("fc", TensorId::INPUT);
        let waves = w.waves(last);
        let steps: Vec<&[String]> = waves.iter().map(|(_, steps)| &steps[..]).collect();
        assert_eq!(steps, [["one"], ["unread"], ["unread too"], ["output"]]);
    }
}
