//! How the input is encoded: bits, and powers of two by channel.

use super::scales::log2_ceil;
use crate::graph::{Graph, Op};
use crate::range::InputRange;

/// Bits of the encoded input at least: rounding it costs nothing but ring width.
const LEAST_BITS: u32 = 12;
/// And at most.
const MOST_BITS: u32 = 28;
/// The deviation that encoding the input may put into a logit, of the logits' scale.
const SHARE: f64 = 0.001;
/// Channels that differ in size by less keep one scale.
const LEAST_SHIFT: f64 = 2.0;
/// Largest shift.
const MOST_SHIFT: f64 = 40.0;

/// How the input is encoded.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct InputPlan {
    /// Bits that hold what calibration inputs showed, sign included.
    pub(super) bits: u32,
    /// Empty, or by channel.
    pub(super) shifts: Vec<u8>,
    /// The largest size of an element of the declared range, in the units of the shifted channels.
    pub(super) declared: f64,
}

impl InputPlan {
    /// - `gain`: variance of a logit per unit of variance in every element of the input, shifted;
    /// - `range`: the largest size that calibration inputs showed, shifted;
    /// - `scale`: of the logits.
    pub(super) fn new(
        shifts: Vec<u8>,
        declared: &InputRange,
        (gain, range): (f64, Option<f64>),
        scale: f64,
        channels: usize,
    ) -> Self {
        let size = |channel: usize| {
            declared.size(channel)
                // optional: no shifts at all stand for zeros
                * shifts.get(channel).map_or(1.0, |shift| f64::from(*shift).exp2())
        };
        let declared = (0..channels).map(size).fold(0.0, f64::max);
        let mut bits = LEAST_BITS;
        if let Some(range) = range {
            let deviation = |bits: u32| {
                let ulp = f64::from(log2_ceil(range) + 1 - bits as i32).exp2();
                (gain / 12.0).sqrt() * ulp
            };
            while bits < MOST_BITS && deviation(bits) > SHARE * scale {
                bits += 1;
            }
        }
        Self { bits, shifts, declared }
    }

    /// Bits that hold every element of the declared range at a scale.
    pub(super) fn bits_for(&self, scale: i32) -> u32 {
        let largest = (self.declared * f64::from(scale).exp2()).round();
        (largest + 1.0).log2().ceil().clamp(1.0, 40.0) as u32 + 1
    }
}

/// Shifts that bring the channels of a declared range near the largest; none where a reader of the
/// input other than a linear operator would see them, or where they would do nothing.
pub(super) fn shifts(graph: &Graph, declared: &InputRange) -> Vec<u8> {
    let linear = |op: &Op| matches!(op, Op::Linear { .. });
    let mut readers = graph.nodes.iter().filter(|node| node.inputs.contains(&0));
    let channels = graph.input_shape().channels;
    let widest = (0..channels).map(|channel| declared.size(channel)).fold(0.0, f64::max);
    let shift = |channel: usize| {
        let size = declared.size(channel);
        let bits = if size > 0.0 { (widest / size).log2().floor() } else { 0.0 };
        if bits < LEAST_SHIFT { 0 } else { bits.min(MOST_SHIFT) as u8 }
    };
    let shifts: Vec<u8> = (0..channels).map(shift).collect();
    let needed = shifts.iter().any(|shift| *shift > 0) && graph.output != 0;
    if needed && readers.all(|node| linear(&node.op)) { shifts } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer_the_declared_range_fits() {
        let range = InputRange::uniform(-4.0, 4.0);
        let plan = InputPlan::new(Vec::new(), &range, (0.0, Some(1.0)), 1.0, 3);
        assert_eq!(plan.bits, LEAST_BITS);
        // 4 * 2^11 = 2^13 itself and a sign.
        assert_eq!(plan.bits_for(11), 15);
        assert_eq!(InputPlan { declared: 3.9, ..plan }.bits_for(11), 14);
    }

    #[test]
    fn properties_a_sensitive_network_gets_more_bits_of_its_input() {
        let range = InputRange::uniform(0.0, 1.0);
        let bits = |gain| InputPlan::new(Vec::new(), &range, (gain, Some(1.0)), 1.0, 1).bits;
        assert!(bits(1.0) == LEAST_BITS && bits(1e6) > LEAST_BITS + 5 && bits(1e30) == MOST_BITS);
    }
}
