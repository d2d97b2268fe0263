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
//! Of a step that is exact, shares come in with the T = t + g bits to drop below the value:
//!
//! | step | chain |
//! |---|---|
//! | ReLU, clip | faithful relu(b, T) in place of the first relu(b) |
//! | ReLU, few trips, an odd number of levels | faithful relu(b, T), extended to l'; re-share |
//! | clip, few trips | faithful clip(b, T), extended to l' if the number of levels is even; extend; re-share |
//! | all others, with few trips too | truncate(T) first: every operation that compares then takes an online value |
//! | square | square, `2^(d-1)` added; truncate(d); extend; re-share |
//!
//! A pool truncates its inputs, then compares: at 2x2, b = 12 and T = 9 that is 4 carries over 9
//! bits (17 OTs each) per output. Comparing untruncated words would put 9 bits more into each of 3
//! comparisons and truncate one maximum: about as many OTs, but wider selections and deeper merges in
//! every level.
//!
//! A sum-pool comes before re-sharing, on extended shares. No extension where `l' <=` the ring.

use gazelle_convert::{
    And, ClientShare, Elect, Extend, FaithfulClip, FaithfulRelu, Fused, Keep, Operation, Relu,
    Reshare, Reveal, Sharing, Sign, Square, Truncate,
};
use gazelle_share::step::{StepFunction, StepOutput};
use gazelle_share::{ProtocolError, Step};

use crate::gmw::all_pairs;
use crate::gmw::schedule::{Trip, trips};
use crate::pool::max_depth;
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
    /// As they are; the results become keys, with so many index bits below them.
    Keyed(u32),
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
    /// Ring of the input shares after local truncation.
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
        let made = |spare| {
            let made = match step.output {
                StepOutput::Masked { bits } => Self::masked(step, bits, variant, spare),
                StepOutput::Reveal => Self::revealed(step, variant, spare),
            };
            made.map_err(|why| {
                let why = format!("non-linear step {index}: {why}; use the garbled backend");
                ProtocolError::Plan(why)
            })
        };
        // Where turns are left over, a deeper tree sends fewer bits in as many trips.
        let (least, deeper) = (made(0)?, made(1)?);
        Ok(if deeper.trips().len() == least.trips().len() { deeper } else { least })
    }

    /// Who sends what when.
    pub(crate) fn trips(&self) -> Vec<Trip> {
        let operations = self.links.iter().map(|link| &link.operation);
        let planes = operations.flat_map(|op| (0..op.openings()).map(|opening| op.planes(opening)));
        let halves: Vec<_> = planes.map(|(server, client)| (server > 0, client > 0)).collect();
        trips(&halves)
    }

    fn revealed(step: &Step, variant: Variant, spare: usize) -> Result<Self, &'static str> {
        let b = step.value_bits;
        let Some(k) = step.ranked() else {
            return Err("revealing values is not computed from OT");
        };
        let n = step.input.len();
        if variant == Variant::FewTrips {
            if k != 1 || !(2..=MAX_ALL_PAIRS).contains(&n) {
                return Err("comparing all pairs serves the largest of 2 to 64 values");
            }
            // Indices alone are revealed: no value is ever extended or shared anew.
            let elect = Elect { rows: n };
            let reveal = Reveal { bits: elect.result_bits(), sharing: Sharing::Xor };
            let (ring, mut links) = truncated(step, b + 1, Before::Take, spare);
            links.push(link(Before::Compare, Sign::new(b + 1, share_after(&links))));
            links.push(link(Before::Take, elect));
            links.push(link(Before::Take, reveal));
            return Ok(Self { ring, keys: None, links });
        }
        let keys = step.index_bits();
        // A difference of two values takes a bit more than they do; the index below makes all keys distinct.
        let bits = b + 1 + keys;
        if bits > 62 {
            return Err("values with their index are too wide");
        }
        let (ring, mut links) = truncated(step, b + 1, Before::Keyed(keys), spare);
        maxima(&mut links, bits, SortingNetwork::of(step).levels(n).pairs.len());
        links.push(link(Before::Take, Reveal { bits: keys, sharing: Sharing::Additive }));
        Ok(Self { ring, keys: Some(keys), links })
    }

    /// `v^2 < 2^(2b - 1)`, in a ring of 2b bits, so that it can be extended once `drop` bits are gone.
    /// The server's shares of square and extension follow from what it knows: no trip between them.
    fn square(step: &Step, drop: u32, to: u32, spare: usize) -> Result<Self, &'static str> {
        let (b, left) = (step.value_bits, step.input_bits - step.dropped_bits());
        let bits = (2 * b).min(to + drop);
        if bits > 62 {
            return Err("the square is too wide");
        }
        // The input's ring already reaches as far as the square needs: no extension before it.
        let known = left >= bits - 1;
        let width = if known { bits - 1 } else { b + 1 };
        let (ring, mut links) = truncated(step, width, Before::Take, spare);
        if !known {
            if left < b + 1 {
                return Err(NARROW);
            }
            links.push(link(Before::Shift(1 << (b - 1)), Extend { from: b + 1, to: bits - 1 }));
        }
        let share = share_after(&links);
        if step.rounding.is_local() {
            links.push(link(Before::Take, Square { bits, add: (1 << drop) - 1, drop, share }));
        } else {
            let half = (1 << drop) >> 1;
            links.push(link(Before::Take, Square { bits, add: half, drop: 0, share }));
            if drop > 0 {
                links.push(link(Before::Take, Truncate::new(bits, drop, ClientShare::Online)));
            }
        }
        if to > bits - drop {
            links.push(link(Before::Take, Extend { from: bits - drop, to }));
        }
        links.push(link(Before::Sum, Reshare { bits: to }));
        Ok(Self { ring, keys: None, links })
    }

    fn masked(step: &Step, to: u32, variant: Variant, spare: usize) -> Result<Self, &'static str> {
        let (b, left) = (step.value_bits, step.input_bits - step.dropped_bits());
        let carried = step.carried_bits();
        // Exact, and few trips are wanted: what can be done side by side is.
        let at_once = carried > 0 && variant == Variant::FewTrips;
        // The ring of the input; the links so far; the ring at the end of the function.
        let (ring, mut links, last, signed) = match &step.function {
            StepFunction::Clip { high } if at_once => {
                // Extending at once saves one of L + 4 openings behind the first.
                let even = FaithfulRelu::least_levels(b, carried).is_multiple_of(2);
                let last = if even { to.max(b) } else { b };
                let clip = FaithfulClip::new((b, carried, last), *high as u64, spare);
                (b + carried, vec![link(Before::Take, clip)], last, false)
            }
            StepFunction::Relu | StepFunction::CoarseRelu { .. } | StepFunction::Clip { .. }
                if carried > 0 =>
            {
                // One of L + 3 openings; a clip compares again.
                let odd = !FaithfulRelu::least_levels(b, carried).is_multiple_of(2);
                let last = if at_once && odd { to.max(b) } else { b };
                let relu = FaithfulRelu::extended(b, carried, last, spare);
                (b + carried, vec![link(Before::Take, relu)], last, false)
            }
            StepFunction::Relu | StepFunction::CoarseRelu { .. } => {
                let drop = match step.function {
                    StepFunction::CoarseRelu { drop_bits } => drop_bits,
                    _ => 0,
                };
                // One opening less saves two trips if the levels are even in number, else none.
                let even = Relu::levels(b - drop).is_multiple_of(2);
                if variant == Variant::FewTrips && even && to > b && 2 * to - b <= 64 {
                    (b, vec![link(Before::Take, Fused::new(b, drop, to))], to, false)
                } else {
                    let relu = Relu::coarse(b, drop, ClientShare::Offline);
                    (b, vec![link(Before::Take, relu)], b, false)
                }
            }
            StepFunction::Clip { .. } => {
                (b, vec![link(Before::Take, Relu::new(b, ClientShare::Offline))], b, false)
            }
            StepFunction::MaxPool { window, relu: true }
                if variant == Variant::FewTrips
                    && (2..=MAX_TAPS).contains(&window.kernel.iter().product()) =>
            {
                max_depth(window, step.input).ok_or(EMPTY)?;
                let (ring, mut links) = truncated(step, b + 1, Before::Take, spare);
                let share = share_after(&links);
                links.push(link(Before::Pairs, Sign::new(b + 1, share)));
                for _ in 0..all_pairs::depth(window.kernel.iter().product()) {
                    links.push(link(Before::Both, And));
                }
                links.push(link(Before::Kept, Keep { bits: b, share }));
                (ring, links, b, false)
            }
            StepFunction::MaxPool { window, relu: rectify } => {
                let depth = max_depth(window, step.input).ok_or(EMPTY)?;
                let (ring, mut links) = truncated(step, b + 1, Before::Take, spare);
                maxima(&mut links, b + 1, depth);
                if *rectify {
                    links.push(link(Before::Take, Relu::new(b, share_after(&links))));
                }
                (ring, links, if *rectify { b } else { b + 1 }, !rectify)
            }
            StepFunction::Rescale => {
                if to > left && left < b + 1 {
                    return Err(NARROW);
                }
                let width = if to <= left { to } else { b + 1 };
                let (ring, links) = truncated(step, width, Before::Take, spare);
                (ring, links, width, true)
            }
            StepFunction::Square { drop_bits } => return Self::square(step, *drop_bits, to, spare),
            StepFunction::Round | StepFunction::ArgMax | StepFunction::TopK { .. } => {
                return Err("this function is only revealed");
            }
        };
        if let (StepFunction::Clip { high }, false) = (&step.function, at_once) {
            // min(z, high) = high - ReLU(high - z).
            links.push(link(Before::From(*high as u64), Relu::new(b, ClientShare::Online)));
        }
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

/// The ring of the input, and the link that leaves its values in a ring of `bits` bits: none if
/// shifting the shares does. `spare`: openings more than needed that it may take.
fn truncated(step: &Step, bits: u32, before: Before, spare: usize) -> (u32, Vec<Link>) {
    let ring = bits + step.carried_bits();
    if ring == bits {
        return (ring, Vec::new());
    }
    let (drop, share) = (step.carried_bits(), ClientShare::Offline);
    let truncate = Truncate::with_spare(ring, drop, share, spare);
    (ring, vec![link(before, truncate)])
}

/// When the client knows its share of what these links leave: offline only at the very beginning.
fn share_after(links: &[Link]) -> ClientShare {
    if links.is_empty() { ClientShare::Offline } else { ClientShare::Online }
}

/// The levels of a tree of maxima of words of `bits` bits, differences included.
fn maxima(links: &mut Vec<Link>, bits: u32, depth: usize) {
    for _ in 0..depth {
        links.push(link(Before::Level, Relu::new(bits, share_after(links))));
    }
}
