//! The ideal scheme: correct and insecure. The table holds the four output labels in the clear.
//!
//! It defines what a scheme computes; the evaluator that looks at the table learns Delta.

use gazelle_block::Block;

use crate::scheme::{AndGate, GarblingScheme, Operand, Secrets};

/// The ideal scheme: 64 bytes per AND, no hash.
#[derive(Debug, Clone, Copy, Default)]
pub struct IdealScheme;

impl GarblingScheme for IdealScheme {
    fn name(&self) -> &'static str {
        "ideal"
    }

    fn table_len(&self, lanes: usize) -> usize {
        64 * lanes
    }

    fn garble_and(
        &self,
        _gate: AndGate<'_>,
        secrets: Secrets<'_>,
        a: Operand<'_>,
        b: Operand<'_>,
        add: &[Block],
        out: &mut [Block],
        table: &mut [u8],
    ) {
        let delta = secrets.delta;
        Block::fill_random(out, secrets.coins);
        let rows = table.as_chunks_mut::<64>().0;
        let labels = a.zero_labels(delta).zip(b.zero_labels(delta)).zip(add);
        for ((c, row), ((a0, b0), add)) in out.iter_mut().zip(rows).zip(labels) {
            // Entry (sa, sb) stands for the labels of these colours: values sa ^ pa and sb ^ pb.
            for (colours, entry) in row.as_chunks_mut::<16>().0.iter_mut().enumerate() {
                let x = (colours & 1 == 1) ^ a0.lsb();
                let y = (colours & 2 == 2) ^ b0.lsb();
                *entry = (*c ^ delta.block().select(x & y)).to_bytes();
            }
            *c ^= *add;
        }
    }

    fn evaluate_and(
        &self,
        _gate: AndGate<'_>,
        a: Operand<'_>,
        b: Operand<'_>,
        add: &[Block],
        table: &[u8],
        out: &mut [Block],
    ) {
        let labels = a.labels().zip(b.labels()).zip(add);
        let rows = table.as_chunks::<64>().0;
        for ((c, row), ((a, b), add)) in out.iter_mut().zip(rows).zip(labels) {
            let colours = usize::from(a.lsb()) | usize::from(b.lsb()) << 1;
            *c = row
                .as_chunks::<16>()
                .0
                .get(colours)
                .map_or(Block::ZERO, |entry| Block::from_bytes(*entry) ^ *add);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn conformance_of_the_ideal_scheme() {
        crate::testing::conformance(&super::IdealScheme);
    }
}
