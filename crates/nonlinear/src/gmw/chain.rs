//! A step as a chain of operations: the one place that says which operations compute a step, and the
//! line to change for another one (docs/swapping.md).
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

use gazelle_convert::{
    And, ClientShare, Elect, Extend, Fused, Keep, Operation, Relu, Reshare, Reveal, Sharing, Sign,
    Square,
};
use gazelle_share::step::{StepFunction, StepOutput};
use gazelle_share::{ProtocolError, Step, TensorShape};

use crate::gmw::all_pairs;
use crate::pool::MaxTree;
use crate::rank::SortingNetwork;

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

/// What happens to the words before an operation, and with its results; `gather` does it, once the
/// positions are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// The differences of the next level of the max tree; results are added and appended.
    Level,
    /// The differences of all pairs of values; the signs take their place.
    Compare,
    /// The differences of all pairs of a window; the signs are appended.
    Pairs,
    /// The operands of the next level of ANDs of signs; the results are appended.
    Both,
    /// The inputs, each with whether it is kept; what is kept is summed by window.
    Kept,
    /// As they are (after a pool: the tree's outputs), reduced to the operation's ring.
    Take,
    /// A public constant minus them; the same afterwards.
    From(u64),
    /// A constant is added, and subtracted afterwards.
    Shift(u64),
    /// Sums over windows, if there is a sum-pool.
    Sum,
}

/// An operation of a chain.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) before: Before,
    pub(crate) operation: Box<dyn Operation>,
}

/// A link.
pub(crate) fn link(before: Before, operation: impl Operation + 'static) -> Link {
    Link { before, operation: Box::new(operation) }
}

/// A step's operations, and the words they begin with.
#[derive(Debug)]
pub(crate) struct Chain {
    /// Ring of the input shares after truncation.
    pub(crate) ring: u32,
    /// Index bits below each value, if values carry their index.
    pub(crate) keys: Option<u32>,
    pub(crate) links: Vec<Link>,
}

impl Chain {
    /// The chain that computes a step.
    ///
    /// # Errors
    /// [`ProtocolError::Plan`] if this backend does not compute the step.
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
        let b = step.value_bits;
        let Some(k) = step.ranked() else {
            return Err("revealing values is not computed from OT");
        };
        let n = step.input.len();
        if variant == Variant::FewTrips {
            if k != 1 || !(2..=MAX_ALL_PAIRS).contains(&n) {
                return Err("comparing all pairs serves the largest of 2 to 64 values");
            }
            let elect = Elect { rows: n };
            let reveal = Reveal { bits: elect.result_bits(), sharing: Sharing::Xor };
            let links = vec![
                link(Before::Compare, Sign::new(b + 1, ClientShare::Offline)),
                link(Before::Take, elect),
                link(Before::Take, reveal),
            ];
            return Ok(Self { ring: b + 1, keys: None, links });
        }
        let keys = step.index_bits();
        let bits = b + 1 + keys;
        if bits > 62 {
            return Err("values with their index are too wide");
        }
        let mut links = maxima(bits, SortingNetwork::of(step).levels(n).pairs.len());
        links.push(link(Before::Take, Reveal { bits: keys, sharing: Sharing::Additive }));
        Ok(Self { ring: b + 1, keys: Some(keys), links })
    }

    /// `v^2 < 2^(2b - 1)`, in a ring of 2b bits, so that it can be extended once `drop` bits are gone.
    /// The server's shares of square and extension follow from what it knows: no trip between them.
    fn square(step: &Step, drop: u32, to: u32) -> Result<Self, &'static str> {
        let (b, left) = (step.value_bits, step.input_bits - step.truncate_bits);
        let bits = (2 * b).min(to + drop);
        if bits > 62 {
            return Err("the square is too wide");
        }
        let mut links = Vec::new();
        let known = left >= bits - 1;
        if !known {
            if left < b + 1 {
                return Err(NARROW);
            }
            links.push(link(Before::Shift(1 << (b - 1)), Extend { from: b + 1, to: bits - 1 }));
        }
        let share = if known { ClientShare::Offline } else { ClientShare::Online };
        links.push(link(Before::Take, Square { bits, drop, share }));
        if to > bits - drop {
            links.push(link(Before::Take, Extend { from: bits - drop, to }));
        }
        links.push(link(Before::Sum, Reshare { bits: to }));
        Ok(Self { ring: if known { bits - 1 } else { b + 1 }, keys: None, links })
    }

    fn masked(step: &Step, to: u32, variant: Variant) -> Result<Self, &'static str> {
        let (b, left) = (step.value_bits, step.input_bits - step.truncate_bits);
        // Where the client's share is used again after an interactive operation, it is online.
        let first = |links: &[Link]| match links {
            [] => ClientShare::Offline,
            _ => ClientShare::Online,
        };
        let mut links: Vec<Link> = Vec::new();
        // The ring of the input, and of the shares at the end of the function.
        let (ring, last, signed) = match &step.function {
            StepFunction::Relu | StepFunction::CoarseRelu { .. } => {
                let drop = match step.function {
                    StepFunction::CoarseRelu { drop_bits } => drop_bits,
                    _ => 0,
                };
                // One opening less saves two trips if the levels are even in number, else none.
                let even = Relu::levels(b - drop).is_multiple_of(2);
                if variant == Variant::FewTrips && even && to > b && 2 * to - b <= 64 {
                    links.push(link(Before::Take, Fused::new(b, drop, to)));
                    (b, to, false)
                } else {
                    links.push(link(Before::Take, Relu::coarse(b, drop, ClientShare::Offline)));
                    (b, b, false)
                }
            }
            StepFunction::MaxPool { window, relu: true }
                if variant == Variant::FewTrips
                    && (2..=MAX_TAPS).contains(&window.kernel.iter().product()) =>
            {
                let unit = TensorShape { channels: 1, ..step.input };
                MaxTree::new(window, unit).ok_or(EMPTY)?;
                links.push(link(Before::Pairs, Sign::new(b + 1, ClientShare::Offline)));
                for _ in 0..all_pairs::depth(window.kernel.iter().product()) {
                    links.push(link(Before::Both, And));
                }
                links.push(link(Before::Kept, Keep { bits: b }));
                (b + 1, b, false)
            }
            StepFunction::MaxPool { window, relu: rectify } => {
                let unit = TensorShape { channels: 1, ..step.input };
                let tree = MaxTree::new(window, unit).ok_or(EMPTY)?;
                links.extend(maxima(b + 1, tree.depth()));
                if *rectify {
                    links.push(link(Before::Take, Relu::new(b, first(&links))));
                }
                (b + 1, if *rectify { b } else { b + 1 }, !rectify)
            }
            StepFunction::Rescale => {
                if to > left && left < b + 1 {
                    return Err(NARROW);
                }
                let ring = if to <= left { to } else { b + 1 };
                (ring, ring, true)
            }
            StepFunction::Clip { high } => {
                links.push(link(Before::Take, Relu::new(b, ClientShare::Offline)));
                // min(z, high) = high - ReLU(high - z).
                links.push(link(Before::From(*high as u64), Relu::new(b, ClientShare::Online)));
                (b, b, false)
            }
            StepFunction::Square { drop_bits } => return Self::square(step, *drop_bits, to),
            StepFunction::Round | StepFunction::ArgMax | StepFunction::TopK { .. } => {
                return Err("this function is only revealed");
            }
        };
        if to > last {
            // A signed value is shifted into the unsigned range for the extension.
            let before = if signed { Before::Shift(1 << (b - 1)) } else { Before::Take };
            links.push(link(before, Extend { from: last, to }));
        }
        links.push(link(Before::Sum, Reshare { bits: to }));
        Ok(Self { ring, keys: None, links })
    }
}

const NARROW: &str = "extending signed values needs one bit more in the ring";
const EMPTY: &str = "a window is empty";

/// The levels of a tree of maxima of words of `bits` bits, differences included: the client knows
/// its share of the inputs offline, and that of every maximum online.
fn maxima(bits: u32, depth: usize) -> Vec<Link> {
    let level = |level: usize| {
        let share = if level == 0 { ClientShare::Offline } else { ClientShare::Online };
        link(Before::Level, Relu::new(bits, share))
    };
    (0..depth).map(level).collect()
}
