//! What a garbling scheme is: one AND position, garbled and evaluated over many lanes.
//!
//! XOR and NOT are the same for all schemes here (free XOR): label of 1 = label of 0 ^ Delta, and
//! the colour of a label is its lowest bit.

use gazelle_block::hash::HashKey;
use gazelle_block::{Block, Delta};
use gazelle_prg::Prg;

/// Where an AND gate hashes: its key, and the lane of the key's block at which this call starts.
#[derive(Clone, Copy)]
pub struct AndGate<'a> {
    /// The key of this gate position and block of lanes.
    pub key: &'a HashKey,
    /// First lane within the block, a multiple of [`STRIP`](crate::garbling::STRIP); lane n of the call is
    /// lane `first_lane + n` of the block. A scheme gives every lane its own points under the key.
    pub first_lane: usize,
}

/// An operand of an AND gate: the sum of two rows of labels, one label per lane each. The second
/// row is zero for an operand that is no sum.
///
/// The garbler's rows are zero labels; `inverted` says that the gate reads the operand inverted,
/// which turns its zero labels by Delta. The evaluator's rows are active labels, and inversion
/// changes nothing for it.
#[derive(Clone, Copy)]
pub struct Operand<'a> {
    /// The rows to add.
    pub rows: [&'a [Block]; 2],
    /// Whether the gate reads the operand inverted.
    pub inverted: bool,
}

impl Operand<'_> {
    /// The garbler's zero labels, lane by lane.
    pub fn zero_labels(&self, delta: &Delta) -> impl Iterator<Item = Block> {
        let shift = delta.block().select(self.inverted);
        self.labels().map(move |label| label ^ shift)
    }

    /// The evaluator's active labels, lane by lane.
    pub fn labels(&self) -> impl Iterator<Item = Block> {
        self.rows[0].iter().zip(self.rows[1]).map(|(x, y)| *x ^ *y)
    }
}

/// What only the garbler knows.
pub struct Secrets<'a> {
    /// The free-XOR offset.
    pub delta: &'a Delta,
    /// Private coins, fresh for this block of lanes.
    pub coins: &'a mut Prg,
}

/// A garbling scheme with free XOR, point and permute, and one Delta.
///
/// Slices over lanes all have the same length; `table` has [`table_len`](Self::table_len) of it.
/// Hash calls use at most 2^12 (point, input) pairs per key over [`LANES_PER_KEY`](crate::tweaks::LANES_PER_KEY)
/// lanes, and never one point twice. No branch or index depends on labels or secrets.
pub trait GarblingScheme: Clone + Send + Sync {
    /// The name used in benchmark ids.
    fn name(&self) -> &'static str;

    /// Bytes of table for one AND gate over `lanes` lanes.
    fn table_len(&self, lanes: usize) -> usize;

    /// Writes the zero labels of `(a & b) ^ add` to `out` and the gate's table to `table`.
    fn garble_and(
        &self,
        gate: AndGate<'_>,
        secrets: Secrets<'_>,
        a: Operand<'_>,
        b: Operand<'_>,
        add: &[Block],
        out: &mut [Block],
        table: &mut [u8],
    );

    /// Writes the active labels of `(a & b) ^ add` to `out`, from active labels.
    fn evaluate_and(
        &self,
        gate: AndGate<'_>,
        a: Operand<'_>,
        b: Operand<'_>,
        add: &[Block],
        table: &[u8],
        out: &mut [Block],
    );
}
