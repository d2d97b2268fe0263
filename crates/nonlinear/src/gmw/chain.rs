//! A step as a chain of operations.
//!
//! | step | chain |
//! |---|---|
//! | ReLU | relu(b), extend(b -> l'), re-share |
//! | ReLU, few trips, an even number of levels | fused relu(b -> l'), re-share |
//! | max-pool | per level of the tree: relu(b + 1) of differences; relu(b) or nothing; extend; re-share |
//! | max-pool and ReLU of up to 4, few trips | sign(b + 1) of all differences, 0 included; ANDs to "is the largest" in 2 levels; keep, sum; extend; re-share |
//! | clip | relu(b) of x; relu(b) of high - z; extend(b -> l'); re-share |
//! | rescale | extend(b + 1 -> l') of v + 2^(b-1); re-share |
//! | square | (extend(b + 1 -> W - 1) of v + 2^(b-1);) square mod 2^W, shifted by the bits to drop; extend; re-share |
//! | arg max, top k | per level of the network: relu(b + 1 + i) of differences of the keys `2^i v + (2^i - 1 - index)`, i = index bits; reveal the keys mod `2^i` |
//! | arg max, few trips | sign(b + 1) of all differences; elect; reveal |
//!
//! A sum-pool comes before re-sharing, on extended shares. No extension where `l' <=` the ring.

use gazelle_convert::elect::ROW_BITS;
use gazelle_convert::sign::{ClientShare, SignTree};
use gazelle_share::step::{StepFunction, StepOutput};
use gazelle_share::{ProtocolError, Step, TensorShape};

use crate::all_pairs;
use crate::gmw::op::Op;
use crate::pool::MaxTree;
use crate::rank::Network;

/// Which chain computes a step, where there are several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// The one that sends the fewest bits.
    FewBits,
    /// The one with the fewest trips.
    FewTrips,
}

impl Variant {
    /// The better one on most links: all pairs of few classes cost less than the tree's headers.
    pub(crate) fn preferred(step: &Step) -> Self {
        if step.function == StepFunction::ArgMax && step.input.len() <= 16 {
            Self::FewTrips
        } else {
            Self::FewBits
        }
    }
}

/// Values compared pair by pair at most.
const MAX_ALL_PAIRS: usize = 64;
/// Words of a window whose pairs are all compared, at most.
const MAX_TAPS: usize = 4;

/// What happens to the words before an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Before {
    /// The differences of a level of the max tree; results are added and appended.
    Level(usize),
    /// The differences of all pairs; the signs are appended.
    Pairs,
    /// The operands of a level of ANDs of signs; the results are appended.
    Both(usize),
    /// The inputs, each with whether it is kept; what is kept is summed by window.
    Kept,
    /// As they are (after a pool: the tree's outputs), reduced to the operation's ring.
    Take,
    /// A public constant minus them; the same afterwards.
    From(u64),
    /// `2^(b-1)` is added, and subtracted afterwards.
    Shift,
    /// Sums over windows, if there is a sum-pool.
    Sum,
}

/// A step's operations, and the words they begin with.
pub(crate) struct Chain {
    /// Ring of the input shares after truncation.
    pub(crate) ring: u32,
    /// Index bits below each value, if values carry their index.
    pub(crate) keys: Option<u32>,
    pub(crate) ops: Vec<(Before, Op)>,
}

impl Chain {
    /// The chain, or why this backend does not compute the step.
    pub(crate) fn new(index: usize, step: &Step, variant: Variant) -> Result<Self, ProtocolError> {
        let made = match step.output {
            StepOutput::Masked { bits } => Self::masked(step, bits, variant),
            StepOutput::Reveal => Self::revealed(step, variant),
        };
        made.map_err(|why| {
            ProtocolError::Plan(format!("non-linear step {index}: {why}; use the garbled backend"))
        })
    }

    fn revealed(step: &Step, variant: Variant) -> Result<Self, &'static str> {
        let (b, left) = (step.value_bits, step.input_bits - step.truncate_bits);
        let Some(k) = step.ranked() else {
            return Err("revealing values is not computed from OT");
        };
        if left < b + 1 {
            return Err("comparisons need one bit more in the ring");
        }
        let n = step.input.len();
        if variant == Variant::FewTrips {
            if k != 1 || !(2..=MAX_ALL_PAIRS).contains(&n) {
                return Err("comparing all pairs serves the largest of 2 to 64 values");
            }
            let ops = vec![
                (Before::Level(0), Op::sign(b + 1, ClientShare::Offline)),
                (Before::Take, Op::Elect { rows: n }),
                (Before::Take, Op::Reveal { bits: ROW_BITS, xor: true }),
            ];
            return Ok(Self { ring: b + 1, keys: None, ops });
        }
        let keys = step.index_bits();
        let bits = b + 1 + keys;
        if bits > 62 {
            return Err("values with their index are too wide");
        }
        let mut ops = Vec::new();
        for level in 0..Network::of(step).levels(n).pairs.len() {
            let share = if level == 0 { ClientShare::Offline } else { ClientShare::Online };
            ops.push((Before::Level(level), Op::relu(bits, share)));
        }
        ops.push((Before::Take, Op::Reveal { bits: keys, xor: false }));
        Ok(Self { ring: b + 1, keys: Some(keys), ops })
    }

    /// `v^2 < 2^(2b - 1)`, in a ring of 2b bits, so that it can be extended once `drop` bits are gone.
    /// The server's shares of square and extension follow from what it knows: no trip between them.
    fn square(step: &Step, drop: u32, to: u32) -> Result<Self, &'static str> {
        let (b, left) = (step.value_bits, step.input_bits - step.truncate_bits);
        let bits = (2 * b).min(to + drop);
        if bits > 62 {
            return Err("the square is too wide");
        }
        let mut ops = Vec::new();
        let known = left >= bits - 1;
        if !known {
            if left < b + 1 {
                return Err("extending signed values needs one bit more in the ring");
            }
            ops.push((Before::Shift, Op::Extend { from: b + 1, to: bits - 1 }));
        }
        let share = if known { ClientShare::Offline } else { ClientShare::Online };
        ops.push((Before::Take, Op::Square { bits, drop, share }));
        if to > bits - drop {
            ops.push((Before::Take, Op::Extend { from: bits - drop, to }));
        }
        ops.push((Before::Sum, Op::Reshare { bits: to }));
        Ok(Self { ring: if known { bits - 1 } else { b + 1 }, keys: None, ops })
    }

    fn masked(step: &Step, to: u32, variant: Variant) -> Result<Self, &'static str> {
        let (b, left) = (step.value_bits, step.input_bits - step.truncate_bits);
        let mut ops: Vec<(Before, Op)> = Vec::new();
        // The ring of the input, and of the shares at the end of the function.
        let (ring, last, signed) = match &step.function {
            StepFunction::Relu | StepFunction::CoarseRelu { .. } => {
                let drop = match step.function {
                    StepFunction::CoarseRelu { drop_bits } => drop_bits,
                    _ => 0,
                };
                // One opening less saves two trips if the levels are even in number, else none.
                let even = SignTree::new(b.saturating_sub(drop).max(2)).levels().is_multiple_of(2);
                if variant == Variant::FewTrips && even && to > b && 2 * to - b <= 64 {
                    ops.push((Before::Take, Op::fused(b, drop, to)));
                    (b, to, false)
                } else {
                    ops.push((Before::Take, Op::coarse_relu(b, drop, ClientShare::Offline)));
                    (b, b, false)
                }
            }
            StepFunction::MaxPool { window, relu: true }
                if variant == Variant::FewTrips
                    && (2..=MAX_TAPS).contains(&window.kernel.iter().product()) =>
            {
                if left < b + 1 {
                    return Err("a max-pool needs one bit more in the ring");
                }
                let unit = TensorShape { channels: 1, ..step.input };
                if MaxTree::new(window, unit).is_none() {
                    return Err("a window is empty");
                }
                ops.push((Before::Pairs, Op::sign(b + 1, ClientShare::Offline)));
                let levels = all_pairs::depth(window.kernel.iter().product());
                ops.extend((0..levels).map(|level| (Before::Both(level), Op::And)));
                ops.push((Before::Kept, Op::Keep { bits: b }));
                (b + 1, b, false)
            }
            StepFunction::MaxPool { window, relu: rectify } => {
                if left < b + 1 {
                    return Err("a max-pool needs one bit more in the ring");
                }
                let unit = TensorShape { channels: 1, ..step.input };
                let Some(tree) = MaxTree::new(window, unit) else {
                    return Err("a window is empty");
                };
                for level in 0..tree.depth() {
                    let share = if level == 0 { ClientShare::Offline } else { ClientShare::Online };
                    ops.push((Before::Level(level), Op::relu(b + 1, share)));
                }
                if *rectify {
                    let share =
                        if ops.is_empty() { ClientShare::Offline } else { ClientShare::Online };
                    ops.push((Before::Take, Op::relu(b, share)));
                }
                (b + 1, if *rectify { b } else { b + 1 }, !rectify)
            }
            StepFunction::Rescale => {
                let ring = if to <= left { to } else { b + 1 };
                if to > left && left < b + 1 {
                    return Err("extending signed values needs one bit more in the ring");
                }
                (ring, ring, true)
            }
            StepFunction::Clip { high } => {
                ops.push((Before::Take, Op::relu(b, ClientShare::Offline)));
                // min(z, high) = high - ReLU(high - z).
                ops.push((Before::From(*high as u64), Op::relu(b, ClientShare::Online)));
                (b, b, false)
            }
            StepFunction::Square { drop_bits } => {
                return Self::square(step, *drop_bits, to);
            }
            StepFunction::Round | StepFunction::ArgMax | StepFunction::TopK { .. } => {
                return Err("this function is only revealed");
            }
        };
        if to > last {
            let before = if signed { Before::Shift } else { Before::Take };
            ops.push((before, Op::Extend { from: last, to }));
        }
        ops.push((Before::Sum, Op::Reshare { bits: to }));
        Ok(Self { ring, keys: None, ops })
    }
}
