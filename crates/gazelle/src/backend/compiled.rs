//! A model that is quantised and planned for, as a file: what a server needs and what takes long to make.
//!
//! `"gazelle model 1\n" [16] | BLAKE3 of what follows [32] | n u32 | JSON [n] | by layer: weights, biases`.
//! Integers in two's complement, little-endian, as wide as the layer's largest needs. The file holds the
//! weights: it is for the server's owner alone.

use gazelle_share::{Architecture, LinearWeights, Network, NodeKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Choice, DefaultService, StepProtocol};
use crate::description::ModelInfo;
use crate::error::GazelleError;

/// How such a file begins.
const MAGIC: &[u8; 16] = b"gazelle model 1\n";
/// Bytes of its JSON at most.
const HEADER: usize = 16 << 20;

/// A quantised network with all that serving it takes.
#[derive(Debug, Clone)]
pub struct CompiledModel {
    /// What clients are told.
    pub info: ModelInfo,
    /// The protocols.
    pub choice: Choice,
    /// The network with its weights.
    pub network: Network,
    /// What its owner should read when it is served.
    pub remarks: Vec<String>,
}

/// The part without weights.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CompiledHeader {
    /// Who wrote it; for people.
    program: String,
    info: ModelInfo,
    choice: Value,
    steps: Vec<StepProtocol>,
    architecture: Architecture,
    remarks: Vec<String>,
    /// By node.
    layers: Vec<LayerSizes>,
}

/// How many weights and biases a node has, and how many bytes each takes.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LayerSizes {
    weights: usize,
    weight_bytes: usize,
    biases: usize,
    bias_bytes: usize,
}

impl LayerSizes {
    fn of(layer: &LinearWeights) -> Self {
        let weights = layer.weights.iter().map(|weight| i64::from(*weight));
        Self {
            weights: layer.weights.len(),
            weight_bytes: bytes_for(weights),
            biases: layer.bias.len(),
            bias_bytes: bytes_for(layer.bias.iter().copied()),
        }
    }

    /// Bytes of the layer; `None` if that is nonsense.
    fn len(&self) -> Option<usize> {
        if !(1..=4).contains(&self.weight_bytes) || !(1..=8).contains(&self.bias_bytes) {
            return None;
        }
        let weights = self.weights.checked_mul(self.weight_bytes)?;
        weights.checked_add(self.biases.checked_mul(self.bias_bytes)?)
    }
}

/// Bytes that each of these integers fits in.
fn bytes_for(integers: impl Iterator<Item = i64>) -> usize {
    let bits = integers.map(|integer| 65 - (integer ^ (integer >> 63)).leading_zeros()).max();
    // optional: no integers fit in any number of bytes
    (bits.unwrap_or(1) as usize).div_ceil(8)
}

fn put(out: &mut Vec<u8>, integer: i64, bytes: usize) {
    out.extend(integer.to_le_bytes().iter().take(bytes));
}

/// The integers of `bytes` bytes each (1 to 8).
fn integers(data: &[u8], bytes: usize) -> impl Iterator<Item = i64> {
    let unused = 64 - 8 * bytes as u32;
    data.chunks_exact(bytes).map(move |chunk| {
        let mut word = [0; 8];
        word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        i64::from_le_bytes(word) << unused >> unused
    })
}

fn broken(why: impl std::fmt::Display) -> GazelleError {
    GazelleError::CompiledModel(why.to_string())
}

impl CompiledModel {
    /// Whether a file that begins like this is meant to be one.
    pub fn is_one(begin: &[u8]) -> bool {
        begin.starts_with(MAGIC)
    }

    /// The file's bytes: about a byte or two per weight.
    ///
    /// # Errors
    /// [`GazelleError::CompiledModel`] if the description cannot be written as JSON.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, GazelleError> {
        let layers: Vec<LayerSizes> =
            self.network.layers().map(|(_, layer)| LayerSizes::of(layer)).collect();
        let header = serde_json::to_vec(&CompiledHeader {
            program: concat!("gazelle ", env!("CARGO_PKG_VERSION")).to_owned(),
            info: self.info.clone(),
            choice: self.choice.to_value(),
            steps: self.choice.steps.clone(),
            architecture: self.network.architecture().clone(),
            remarks: self.remarks.clone(),
            layers: layers.clone(),
        });
        let header = header.map_err(broken)?;
        let content: usize = layers.iter().filter_map(LayerSizes::len).sum();
        // In one piece: what grows leaves copies of weights behind.
        let mut out = Zeroizing::new(Vec::with_capacity(52 + header.len() + content));
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[0; 32]);
        out.extend_from_slice(&(header.len() as u32).to_le_bytes());
        out.extend_from_slice(&header);
        for ((_, layer), sizes) in self.network.layers().zip(&layers) {
            layer.weights.iter().for_each(|w| put(&mut out, i64::from(*w), sizes.weight_bytes));
            layer.bias.iter().for_each(|bias| put(&mut out, *bias, sizes.bias_bytes));
        }
        let digest = out.get(48..).map(blake3::hash);
        if let (Some(digest), Some(place)) = (digest, out.get_mut(16..48)) {
            place.copy_from_slice(digest.as_bytes());
        }
        Ok(out)
    }

    /// Reads a file's bytes; memory of some times their length at most, whatever they hold.
    ///
    /// # Errors
    /// [`GazelleError::CompiledModel`] if they are none, were cut off or changed, or hold no network that could
    /// be served.
    pub fn read(bytes: &[u8]) -> Result<Self, GazelleError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| {
            broken("the file was made by another version of gazelle, or by something else")
        })?;
        let (digest, rest) =
            rest.split_first_chunk::<32>().ok_or_else(|| broken("the file ends early"))?;
        if blake3::hash(rest) != *digest {
            return Err(broken("the file was changed or cut off: compile it again"));
        }
        Self::parse(rest)
    }

    /// What stands behind the digest.
    pub(crate) fn parse(rest: &[u8]) -> Result<Self, GazelleError> {
        let early = || broken("the file ends early");
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(early)?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > HEADER {
            return Err(broken("a description of more than 16 MiB"));
        }
        let (header, mut rest) = rest.split_at_checked(length).ok_or_else(early)?;
        let header: CompiledHeader = serde_json::from_slice(header).map_err(broken)?;
        // All lengths before anything is allocated for them.
        let all = header.layers.iter().try_fold(0usize, |all, layer| all.checked_add(layer.len()?));
        if all != Some(rest.len()) || header.layers.len() != header.architecture.nodes().len() {
            return Err(broken("layers and weights do not fit together"));
        }
        let mut weights = Vec::with_capacity(header.layers.len());
        for sizes in &header.layers {
            let mut take = |count: usize, bytes: usize| {
                // No overflow: the sum of all was right.
                let (data, behind) = rest.split_at_checked(count * bytes).ok_or_else(early)?;
                rest = behind;
                Ok::<_, GazelleError>(integers(data, bytes))
            };
            // Four bytes at most fit.
            let of_layer = take(sizes.weights, sizes.weight_bytes)?.map(|weight| weight as i32);
            let of_layer = of_layer.collect();
            let bias = take(sizes.biases, sizes.bias_bytes)?.collect();
            weights.push(LinearWeights { weights: of_layer, bias });
        }
        let choice = Choice::from_value(header.choice, header.steps)?;
        let steps = header.architecture.nodes();
        let steps = steps.iter().filter(|node| matches!(node.kind, NodeKind::Step(_))).count();
        if choice.steps.len() > steps {
            return Err(broken("more protocols than steps"));
        }
        let network = Network::new(header.architecture, weights).map_err(broken)?;
        Ok(Self { info: header.info, choice, network, remarks: header.remarks })
    }

    /// Ready to be served; the linear layers are planned and their weights transformed.
    ///
    /// # Errors
    /// [`GazelleError::Plan`] if the network cannot be computed by these protocols.
    pub fn service(self) -> Result<DefaultService, GazelleError> {
        let nodes = self.network.architecture().nodes();
        let steps = nodes.iter().filter(|node| matches!(node.kind, NodeKind::Step(_))).count();
        let suite = self.choice.suite(steps);
        DefaultService::compile(suite, self.network, self.info, self.choice.to_value())
    }
}

#[cfg(test)]
mod tests {
    use gazelle_share::{NetworkBuilder, StepFunction, TensorId, TensorShape};

    use super::*;

    fn model() -> CompiledModel {
        let mut builder = NetworkBuilder::new(TensorShape::vector(3), 34, 12, 20);
        let weights =
            LinearWeights { weights: vec![1, -129, 40_000, 0, 5, -1], bias: vec![-7, 1 << 20] };
        let op = builder.fully_connected(TensorId::INPUT, 2);
        let hidden = builder.linear("fc", op, TensorId::INPUT, weights);
        let hidden = builder.step("relu", StepFunction::Relu, hidden, None);
        let weights = LinearWeights { weights: vec![3, -4, 5, 6], bias: vec![0, 0] };
        let op = builder.fully_connected(hidden, 2);
        let logits = builder.linear("logits", op, hidden, weights);
        let network = builder.build(logits).unwrap();
        CompiledModel {
            info: ModelInfo { name: "m".into(), ..ModelInfo::default() },
            choice: Choice { max_inferences: Some(9), ..Choice::all(StepProtocol::Gmw) },
            network,
            remarks: vec!["a remark".into()],
        }
    }

    #[test]
    fn properties_what_was_written_is_read_and_serves_the_same() {
        let model = model();
        let read = CompiledModel::read(&model.to_bytes().unwrap()).unwrap();
        assert_eq!(read.info, model.info);
        assert_eq!(read.choice, model.choice);
        assert_eq!(read.remarks, model.remarks);
        assert_eq!(read.network.architecture(), model.network.architecture());
        assert!(read.network.layers().zip(model.network.layers()).all(|(a, b)| a == b));
        let (one, two) = (read.service().unwrap(), model.service().unwrap());
        assert_eq!(one.description(), two.description());
    }

    #[test]
    fn known_answer_integers_take_the_bytes_that_the_largest_needs() {
        for (largest, bytes) in
            [(0, 1), (127, 1), (-128, 1), (128, 2), (-129, 2), (1 << 31, 5), (i64::MIN, 8)]
        {
            assert_eq!(bytes_for([1, largest].into_iter()), bytes, "{largest}");
            let mut out = Vec::new();
            put(&mut out, largest, bytes);
            put(&mut out, -1, bytes);
            assert_eq!(integers(&out, bytes).collect::<Vec<_>>(), [largest, -1]);
        }
    }

    #[test]
    fn adversarial_changed_cut_and_foreign_files_are_refused() {
        let bytes = model().to_bytes().unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1;
            assert!(CompiledModel::read(&changed).is_err(), "byte {at}");
            assert!(CompiledModel::read(&bytes[..at]).is_err(), "{at} bytes");
        }
        let old = [b"gazelle model 0\n".as_slice(), &bytes[16..]].concat();
        let error = CompiledModel::read(&old).unwrap_err().to_string();
        assert!(error.contains("another version"), "{error}");
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert!(CompiledModel::read(&longer).is_err());
    }
}
