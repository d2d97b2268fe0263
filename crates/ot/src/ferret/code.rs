//! The linear code: 10 public positions per output, from the session's key.
//!
//! Row r takes blocks 2 r and 2 r + 1 of the key's stream as four little-endian words of 64 bits;
//! position m is bits `21 (m mod 3)` to `21 (m mod 3) + 20` of word `m / 3`, modulo k (a power of
//! two up to 2^21), m = 0 to 9. A position that comes twice cancels.
//!
//! The secret of the middle set takes 2 MB. Its random reads fill ten cache lines per row, and that is what
//! a row takes: the stream is made a few rows ahead, so that AES runs while reads are on their way (measured
//! at k = 2^17: 6.5 ns for the reads alone, 6.7 with the stream; explicit prefetching is slower).
#![expect(clippy::inline_always, reason = "kernels are compiled per instruction set by inlining")]
#![expect(clippy::indexing_slicing, reason = "positions are masked to the table's length")]

use std::ops::{BitXor, BitXorAssign};

use gazelle_block::Block;
use gazelle_block::aes::{AesIsa, AesKey, Kernel, Vector, dispatch};

use crate::ggm::fused::{self, Masked, twice};
use crate::ggm::{Repair, repair};

/// The stream of the code's key.
const DOMAIN: u8 = 1;
/// Bits of the stream per position.
const BITS: u32 = 21;
/// Rows whose stream is made together, while the rows before them are summed.
const ROWS: usize = 8;

/// The code of a session, for secrets of any length; its rows are numbered over the whole session.
pub(super) struct Code {
    key: AesKey,
    isa: AesIsa,
}

impl Code {
    /// From the session's public key.
    pub(super) fn new(key: Block) -> Self {
        Self { key: AesKey::new(key), isa: AesIsa::best() }
    }

    /// `out[i] ^= XOR of table[p]` over the positions p of row `first_row + i`. `table.len()` is a
    /// power of two.
    pub(super) fn encode(&self, table: &[Block], first_row: u64, out: &mut [Block]) {
        debug_assert!(table.len().is_power_of_two() && table.len() <= 1 << BITS);
        let leaves = None;
        dispatch(self.isa, Encode::<ROWS> { key: &self.key, table, first_row, out, leaves });
    }

    /// As [`encode`](Self::encode), of a table of bits, each in a byte of its own: `out[i]` is 0 or 1.
    pub(super) fn encode_bits(&self, table: &[u8], first_row: u64, out: &mut [u8]) {
        debug_assert!(table.len().is_power_of_two() && table.len() <= 1 << BITS);
        dispatch(self.isa, EncodeBits { key: &self.key, table, first_row, out });
    }

    /// As [`encode`](Self::encode), of the leaves of `trees` trees, whose lowest bits are cleared on the
    /// way; then `missing` leaves are repaired (their fixes have lowest bit 1).
    pub(super) fn encode_leaves(
        &self,
        table: &[Block],
        first_row: u64,
        out: &mut [Block],
        trees: usize,
        missing: Option<&Repair>,
    ) {
        if fused::fits(trees) && out.len().is_multiple_of(PERIOD) {
            let (key, leaves) = (&self.key, Some((trees, missing)));
            // Twice the registers: not where fewer do.
            if trees == PERIOD {
                dispatch(self.isa, Encode::<PERIOD> { key, table, first_row, out, leaves });
            } else {
                dispatch(self.isa, Encode::<ROWS> { key, table, first_row, out, leaves });
            }
            return;
        }
        for leaf in out.iter_mut() {
            *leaf = leaf.without_lsb();
        }
        if let Some(missing) = missing {
            repair(self.isa, out, &missing.targets, &missing.fixes);
        }
        self.encode(table, first_row, out);
    }
}

struct Encode<'a, const P: usize> {
    key: &'a AesKey,
    table: &'a [Block],
    first_row: u64,
    out: &'a mut [Block],
    /// The number of trees and the repair of missing leaves, if `out` holds raw leaves.
    leaves: Option<(usize, Option<&'a Repair>)>,
}

/// Blocks after which trees repeat, whatever their number is.
const PERIOD: usize = 16;

/// Lowest bits and repairs of leaves, `P` blocks at a time.
struct Finish<V, const P: usize> {
    missing: Masked<V, P>,
    step: V,
}

impl<V: Vector, const P: usize> Finish<V, P> {
    #[inline(always)]
    fn new(trees: usize, missing: Option<&Repair>) -> Self {
        Self { missing: Masked::new(missing, trees, 0), step: V::splat(twice((P / trees) as u64)) }
    }

    #[inline(always)]
    fn next(&mut self, leaves: &mut [Block]) {
        let one = V::splat(Block(1));
        for (m, blocks) in leaves.chunks_exact_mut(V::BLOCKS).enumerate() {
            let leaf = V::load(blocks);
            self.missing.add(leaf.xor_and(one, leaf), m).store(blocks);
        }
        self.missing.advance(self.step);
    }
}

impl<const P: usize> Kernel for Encode<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { key, table, first_row, out, leaves } = self;
        if table.is_empty() {
            return;
        }
        let mut finish = leaves.map(|(trees, missing)| Finish::<V, P>::new(trees, missing));
        let mut stream = RowStream::<V>::new(key, first_row);
        for out in out.chunks_mut(P) {
            if let Some(finish) = &mut finish {
                finish.next(out);
            }
            if P == ROWS {
                stream.add_rows(table, out);
            } else {
                out.chunks_mut(ROWS).for_each(|out| stream.add_rows(table, out));
            }
        }
    }
}

struct EncodeBits<'a> {
    key: &'a AesKey,
    table: &'a [u8],
    first_row: u64,
    out: &'a mut [u8],
}

impl Kernel for EncodeBits<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { key, table, first_row, out } = self;
        if table.is_empty() {
            return;
        }
        // Rows up to one that the stream is quick from.
        let head = (first_row.wrapping_neg() % ROWS as u64) as usize;
        let (head, rest) = out.split_at_mut(head.min(out.len()));
        let start = first_row + head.len() as u64;
        RowStream::<V>::new(key, first_row).add_rows(table, head);
        let mut stream = RowStream::<V>::new(key, start);
        rest.chunks_mut(ROWS).for_each(|out| stream.add_rows(table, out));
    }
}

/// The code's stream, from a row on; [`ROWS`] rows ahead of the sums.
struct RowStream<V: Vector> {
    keys: V::Keys,
    /// Of the rows that come next, and of those after them.
    now: [Block; 2 * ROWS],
    later: [Block; 2 * ROWS],
    /// The first block that is not made.
    block: u64,
}

impl<V: Vector> RowStream<V> {
    #[inline(always)]
    fn new(key: &AesKey, first_row: u64) -> Self {
        let zero = [Block::ZERO; 2 * ROWS];
        let (keys, block) = (V::keys(key), first_row.wrapping_mul(2));
        let mut stream = Self { keys, now: zero, later: zero, block };
        stream.advance();
        stream
    }

    /// `out[i] ^= XOR of table[p]` over the positions of the next rows, [`ROWS`] of them at most; the
    /// next call goes on [`ROWS`] further.
    #[inline(always)]
    fn add_rows<T: Copy + BitXor<Output = T> + BitXorAssign>(
        &mut self,
        table: &[T],
        out: &mut [T],
    ) {
        self.now = self.later;
        self.advance();
        for (out, [low, high]) in out.iter_mut().zip(self.now.as_chunks::<2>().0) {
            *out = row_sum(*out, table, low.0, high.0);
        }
    }

    /// Makes `later`.
    #[inline(always)]
    fn advance(&mut self) {
        // From a multiple of their number on, counters differ in their last byte alone.
        let first = counter(self.block);
        let others: [Block; 2 * ROWS];
        let differences = if self.block.is_multiple_of(2 * ROWS as u64) {
            &LAST_BYTES
        } else {
            let at = |i: usize| first ^ counter(self.block.wrapping_add(i as u64));
            others = std::array::from_fn(at);
            &others
        };
        let first = V::splat(first);
        let parts = self.later.chunks_exact_mut(4 * V::BLOCKS);
        for (blocks, differences) in parts.zip(differences.chunks_exact(4 * V::BLOCKS)) {
            let mut states = [first; 4];
            for (state, blocks) in states.iter_mut().zip(differences.chunks_exact(V::BLOCKS)) {
                *state = first.xor(V::load(blocks));
            }
            let states = V::encrypt(&self.keys, states);
            for (state, blocks) in states.into_iter().zip(blocks.chunks_exact_mut(V::BLOCKS)) {
                state.store(blocks);
            }
        }
        self.block = self.block.wrapping_add(2 * ROWS as u64);
    }
}

/// What the blocks of [`ROWS`] rows are counted by.
const LAST_BYTES: [Block; 2 * ROWS] = {
    let mut blocks = [Block::ZERO; 2 * ROWS];
    let mut i = 0;
    while i < blocks.len() {
        blocks[i] = Block((i as u128) << 120);
        i += 1;
    }
    blocks
};

/// What block `index` of the code's stream is the encryption of.
#[inline(always)]
fn counter(index: u64) -> Block {
    Block(((u128::from(DOMAIN) << 120) | u128::from(index)).swap_bytes())
}

/// `start ^ XOR of table[p]` over the ten positions in 256 bits of the stream.
#[inline(always)]
fn row_sum<T: Copy + BitXor<Output = T> + BitXorAssign>(
    start: T,
    table: &[T],
    low: u128,
    high: u128,
) -> T {
    let mask = table.len() - 1;
    let at = |word: u64, place: u32| table[(word >> (BITS * place)) as usize & mask];
    let words = [low as u64, (low >> 64) as u64, high as u64];
    let mut sum = start ^ at((high >> 64) as u64, 0);
    for word in words {
        sum ^= at(word, 0) ^ at(word, 1) ^ at(word, 2);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use gazelle_prg::{Keystream, Seed};

    const SEED: [u8; 16] = *b"gazelle LPN code";

    fn code() -> Code {
        Code::new(Block::from_bytes(SEED))
    }

    /// The positions of a row, by the module's description.
    fn positions(row: u64, k: usize) -> Vec<usize> {
        let mut blocks = [[0u8; 16]; 2];
        Keystream::new(&Seed::from_bytes(SEED), DOMAIN).fill(2 * row, &mut blocks);
        let words = blocks.as_flattened().as_chunks::<8>().0;
        let word = |m: usize| u64::from_le_bytes(words[m / 3]);
        (0..10).map(|m| (word(m) >> (21 * (m % 3))) as usize % k).collect()
    }

    #[test]
    fn conformance_encoding_equals_the_definition_on_every_instruction_set() {
        for k in [1usize << 9, 1 << 17] {
            let table: Vec<Block> =
                (0..k as u128).map(|i| Block(i.wrapping_mul(u128::MAX / 7) ^ i << 70)).collect();
            for isa in AesIsa::all() {
                let code = Code { isa, ..code() };
                for (first, count) in [(0u64, 100usize), (12_345, 33), (1 << 33, 1), (5, 0)] {
                    let mut out: Vec<Block> = (0..count as u128).map(Block).collect();
                    code.encode(&table, first, &mut out);
                    for (i, out) in out.iter().enumerate() {
                        let sum = positions(first + i as u64, k)
                            .into_iter()
                            .fold(Block(i as u128), |sum, p| sum ^ table[p]);
                        assert!(*out == sum, "{} row {i}", isa.name());
                    }
                }
            }
        }
    }

    #[test]
    fn conformance_leaves_lose_their_lowest_bits_and_are_repaired_on_the_way() {
        let table: Vec<Block> =
            (0..1u128 << 9).map(|i| Block(i.wrapping_mul(u128::MAX / 7))).collect();
        for isa in AesIsa::all() {
            let code = Code { isa, ..code() };
            for (trees, rows) in
                [(8usize, 64usize), (16, 8), (4, 8), (2, 256), (1, 32), (3, 64), (8, 2)]
            {
                let leaves: Vec<Block> = (0..(trees * rows) as u128)
                    .map(|i| Block(i.wrapping_mul(u128::MAX / 11)))
                    .collect();
                let fixes =
                    |start: u128| (0..trees as u128).map(move |i| Block((start + i) << 60 | 1));
                let target = |factor: usize| (0..trees).map(move |i| (factor * i % rows) as u32);
                let missing = Repair { targets: target(37).collect(), fixes: fixes(55).collect() };
                for missing in [None, Some(&missing)] {
                    let mut got = leaves.clone();
                    code.encode_leaves(&table, 64, &mut got, trees, missing);
                    let mut expected = leaves.clone();
                    for (at, leaf) in expected.iter_mut().enumerate() {
                        let (row, tree) = ((at / trees) as u32, at % trees);
                        let fix = missing.map_or(Block::ZERO, |repair| {
                            repair.fixes[tree].select(repair.targets[tree] == row)
                        });
                        *leaf = leaf.without_lsb() ^ fix;
                    }
                    code.encode(&table, 64, &mut expected);
                    assert!(got == expected, "{} {trees}", isa.name());
                }
            }
        }
    }

    /// Vectors from tests/vectors/ot.py (Python, AES of the `cryptography` package).
    #[test]
    fn known_answers_of_an_independent_program() {
        let text = include_str!("../../tests/vectors/ot.txt");
        let mut count = 0;
        for line in text.lines().filter(|line| line.starts_with("row")) {
            let numbers: Vec<u64> =
                line.split_whitespace().filter_map(|n| n.parse().ok()).collect();
            let ([row, log2_k], expected) = numbers.split_first_chunk::<2>().unwrap();
            let k = 1usize << log2_k;
            assert!(positions(*row, k).iter().map(|p| *p as u64).eq(expected.iter().copied()));
            // And the encoder reads exactly these: a table with one block set.
            for wanted in expected {
                let mut table = vec![Block::ZERO; k];
                table[*wanted as usize] = Block(5);
                let mut out = [Block::ZERO];
                code().encode(&table, *row, &mut out);
                let odd = expected.iter().filter(|p| *p == wanted).count() % 2 == 1;
                assert_eq!(out[0].0, if odd { 5 } else { 0 });
            }
            count += 1;
        }
        assert_eq!(count, 18);
    }
}
