//! A garbling scheme of one's own: half gates by the book, held to the conformance suite. docs/swapping.md
//! says where it goes.
//!
//! `cargo run --example own_scheme -p gazelle-garble`

#![expect(clippy::indexing_slicing, reason = "rows and labels are as many as lanes")]

use gazelle_block::Block;
use gazelle_garble::scheme::{AndGate, GarblingScheme, Operand, Secrets};
use gazelle_garble::testing;

/// Half gates.
#[derive(Clone, Copy)]
struct ByTheBook;

/// H(x) at point 2 lane + half of the gate's key.
fn hash(gate: AndGate<'_>, lane: usize, half: usize, x: Block) -> Block {
    let mut out = [Block::ZERO];
    let point = 2 * (gate.first_lane + lane) + half;
    gate.key.hash(point as u64, &[x], &mut out);
    out[0]
}

impl GarblingScheme for ByTheBook {
    fn name(&self) -> &'static str {
        "by-the-book"
    }

    fn table_len(&self, lanes: usize) -> usize {
        32 * lanes
    }

    fn garble_and(
        &self,
        gate: AndGate<'_>,
        secrets: Secrets<'_>,
        a: Operand<'_>,
        b: Operand<'_>,
        add: &[Block],
        out: &mut [Block],
        table: &mut [u8],
    ) {
        let d = secrets.delta.block();
        let rows = table.as_chunks_mut::<32>().0;
        let labels = a.zero_labels(secrets.delta).zip(b.zero_labels(secrets.delta));
        for (n, (a0, b0)) in labels.enumerate() {
            let (pa, pb) = (a0.lsb(), b0.lsb());
            let [ha0, ha1] = [a0, a0 ^ d].map(|a| hash(gate, n, 0, a));
            let [hb0, hb1] = [b0, b0 ^ d].map(|b| hash(gate, n, 1, b));
            let tg = ha0 ^ ha1 ^ d.select(pb);
            let te = hb0 ^ hb1 ^ a0;
            out[n] = ha0 ^ tg.select(pa) ^ hb0 ^ (te ^ a0).select(pb) ^ add[n];
            rows[n][..16].copy_from_slice(&tg.to_bytes());
            rows[n][16..].copy_from_slice(&te.to_bytes());
        }
    }

    fn evaluate_and(
        &self,
        gate: AndGate<'_>,
        a: Operand<'_>,
        b: Operand<'_>,
        add: &[Block],
        table: &[u8],
        out: &mut [Block],
    ) {
        let rows = table.as_chunks::<16>().0;
        for (n, (a, b)) in a.labels().zip(b.labels()).enumerate() {
            let [tg, te] = [2 * n, 2 * n + 1].map(|i| Block::from_bytes(rows[i]));
            out[n] = hash(gate, n, 0, a)
                ^ tg.select(a.lsb())
                ^ hash(gate, n, 1, b)
                ^ (te ^ a).select(b.lsb())
                ^ add[n];
        }
    }
}

fn main() {
    testing::conformance(&ByTheBook);
    println!("half gates by the book conform");
}
