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

/// An operand of an AND gate, on the garbler's side.
#[derive(Clone, Copy)]
pub struct Operand<'a> {
    /// The zero labels of the wire, one per lane.
    pub zero: &'a [Block],
    /// Whether the gate reads the wire inverted: then its zero labels are `zero ^ Delta`.
    pub inverted: bool,
}

impl Operand<'_> {
    /// What turns the wire's zero labels into the operand's: Delta or zero.
    pub fn shift(&self, delta: &Delta) -> Block {
        delta.block().select(self.inverted)
    }
}

/// A garbling scheme with free XOR, point and permute, and one Delta.
///
/// Slices over lanes all have the same length; `table` has [`table_len`](Self::table_len) of it.
/// Hash calls use at most 2^12 (point, input) pairs per key over [`LANES_PER_KEY`](crate::tweaks::LANES_PER_KEY)
/// lanes, and never one point twice. No branch or index depends on a label, Delta or `coins`.
pub trait GarblingScheme: Clone + Send + Sync {
    /// The name used in benchmark ids.
    fn name(&self) -> &'static str;

    /// Bytes of table for one AND gate over `lanes` lanes.
    fn table_len(&self, lanes: usize) -> usize;

    /// Writes the zero labels of `a & b` to `out` and the gate's table to `table`. `coins` is
    /// private to the garbler.
    fn garble_and(
        &self,
        gate: AndGate<'_>,
        delta: &Delta,
        coins: &mut Prg,
        a: Operand<'_>,
        b: Operand<'_>,
        out: &mut [Block],
        table: &mut [u8],
    );

    /// Writes the active labels of the product to `out`, from those of the operands.
    fn evaluate_and(
        &self,
        gate: AndGate<'_>,
        a: &[Block],
        b: &[Block],
        table: &[u8],
        out: &mut [Block],
    );
}
