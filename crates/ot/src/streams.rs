//! Many AES-CTR streams in lockstep, and the sums over them that OT extensions need.
//!
//! Stream `s` of piece `i` (128 OTs) is `AES_{K_s}(counter(i))`, the counter as in `gazelle_prg`: the
//! same bytes as `Prg::new(seed, STREAM)`. All streams advance together, so one set of counters serves
//! all keys. Rows are read and written in tiles that stay in registers.
#![expect(clippy::inline_always, reason = "kernels are compiled per instruction set by inlining")]
#![expect(clippy::indexing_slicing, reason = "tiles and rows are cut to size on entry")]

use gazelle_block::Block;
use gazelle_block::aes::{AesIsa, AesKey, Kernel, Vector, dispatch};
use gazelle_prg::Seed;
use zeroize::Zeroize;

/// The counter domain of all streams here.
pub(crate) const STREAM: u8 = 1;

/// Vectors per tile of the wide kernels.
const TILE: usize = 8;

/// Pieces of 16 bytes.
type Pieces = [[u8; 16]];

/// The keys of some streams, expanded, and their common position. Wiped on drop.
pub(crate) struct Streams {
    keys: Vec<AesKey>,
    /// Pieces of every stream used so far.
    position: u64,
    isa: AesIsa,
    #[cfg(test)]
    seeds: Vec<[u8; 16]>,
}

impl Streams {
    pub(crate) fn new<'a>(seeds: impl IntoIterator<Item = &'a Seed>) -> Self {
        let blocks: Vec<Block> =
            seeds.into_iter().map(|seed| Block::from_bytes(*seed.bytes())).collect();
        Self {
            #[cfg(test)]
            seeds: blocks.iter().map(|block| block.to_bytes()).collect(),
            keys: AesKey::new_many(blocks),
            position: 0,
            isa: AesIsa::best(),
        }
    }

    /// A key, to compare with the peer's.
    #[cfg(test)]
    pub(crate) fn key(&self, at: usize) -> [u8; 16] {
        self.seeds[at]
    }

    /// Pieces of every stream used so far.
    #[cfg(test)]
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    #[cfg(test)]
    fn on(mut self, isa: AesIsa) -> Self {
        self.isa = isa;
        self
    }

    fn run(&mut self, width: usize, job: StreamJob<'_>) {
        let first = self.position;
        self.position += width as u64;
        dispatch(self.isa, StreamRun { keys: &self.keys, first, width, job });
    }

    /// IKNP's sender: row `j + 1` becomes `G_j ^ choice_j corrections_j`, row 0 stays.
    pub(crate) fn fill_masked(
        &mut self,
        rows: &mut Pieces,
        corrections: &Pieces,
        choices: Block,
        width: usize,
    ) {
        let rows = &mut rows[width..128 * width];
        let corrections = &corrections[..127 * width];
        self.run(width, StreamJob::Masked { rows, corrections, choices });
    }

    /// IKNP's receiver, keys in pairs: row `j + 1` becomes `G_{2j}`, correction `j` becomes
    /// `G_{2j} ^ G_{2j+1} ^ row 0`.
    pub(crate) fn fill_pairs(&mut self, rows: &mut Pieces, corrections: &mut Pieces, width: usize) {
        let (choices, rows) = rows[..128 * width].split_at_mut(width);
        let corrections = &mut corrections[..127 * width];
        self.run(width, StreamJob::Pairs { rows, corrections, choices });
    }

    /// SoftSpoken's receiver, `2^k` keys per tree: row `k i + j` becomes the XOR v of the leaves x of
    /// tree i with bit j of x set; row 0 then the XOR b of all leaves of tree 0; correction `i - 1` the
    /// XOR of all leaves of tree i, and b.
    pub(crate) fn fill_sums(
        &mut self,
        k: u32,
        rows: &mut Pieces,
        corrections: &mut Pieces,
        width: usize,
    ) {
        let rows = &mut rows[..128 * width];
        self.run(width, StreamJob::Trees { k, rows, end: End::Sums { corrections } });
    }

    /// SoftSpoken's sender: as [`fill_sums`](Self::fill_sums), leaf 0 of each tree left out, with the
    /// corrections received: row `k i + j` for i >= 1 takes `choice_{k i + j} corrections_{i - 1}` too;
    /// row 0 becomes zero.
    pub(crate) fn fill_corrected(
        &mut self,
        k: u32,
        rows: &mut Pieces,
        corrections: &Pieces,
        choices: Block,
        width: usize,
    ) {
        let rows = &mut rows[..128 * width];
        self.run(width, StreamJob::Trees { k, rows, end: End::Corrected { corrections, choices } });
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.keys.zeroize();
    }
}

enum StreamJob<'a> {
    Masked { rows: &'a mut Pieces, corrections: &'a Pieces, choices: Block },
    Pairs { rows: &'a mut Pieces, corrections: &'a mut Pieces, choices: &'a Pieces },
    Trees { k: u32, rows: &'a mut Pieces, end: End<'a> },
}

/// What happens to the sums of a tree.
enum End<'a> {
    Sums { corrections: &'a mut Pieces },
    Corrected { corrections: &'a Pieces, choices: Block },
}

struct StreamRun<'a> {
    keys: &'a [AesKey],
    first: u64,
    width: usize,
    job: StreamJob<'a>,
}

impl Kernel for StreamRun<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self) {
        let mut at = 0;
        while self.width - at >= TILE * V::BLOCKS {
            self.tile::<V, TILE>(at);
            at += TILE * V::BLOCKS;
        }
        while self.width - at >= V::BLOCKS {
            self.tile::<V, 1>(at);
            at += V::BLOCKS;
        }
        while at < self.width {
            self.tile::<V::Single, 1>(at);
            at += V::Single::BLOCKS;
        }
    }
}

impl StreamRun<'_> {
    /// All rows of pieces `at .. at + M * V::BLOCKS`.
    #[inline(always)]
    fn tile<V: Vector, const M: usize>(&mut self, at: usize) {
        let mut counters = [Block::ZERO; TILE * 4];
        for (i, counter) in (self.first + at as u64..).zip(&mut counters) {
            *counter = Block(((u128::from(STREAM) << 120) | u128::from(i)).swap_bytes());
        }
        let tile = Tile::<V, M> { counters: load_blocks(&counters), width: self.width, at };
        match &mut self.job {
            StreamJob::Masked { rows, corrections, choices } => {
                for (j, key) in self.keys.iter().enumerate() {
                    let mask = V::splat(Block(u128::MAX).select(choices.bit(j as u32 + 1)));
                    let mut row = tile.stream(key);
                    let correction = tile.load(corrections, j);
                    for (row, correction) in row.iter_mut().zip(correction) {
                        *row = row.xor_and(mask, correction);
                    }
                    tile.store(row, rows, j);
                }
            }
            StreamJob::Pairs { rows, corrections, choices } => {
                let choices = tile.load(choices, 0);
                for (j, pair) in self.keys.as_chunks::<2>().0.iter().enumerate() {
                    let row = tile.stream(&pair[0]);
                    tile.store(row, rows, j);
                    let mut other = tile.stream(&pair[1]);
                    for ((other, row), choices) in other.iter_mut().zip(row).zip(choices) {
                        *other = other.xor(row).xor(choices);
                    }
                    tile.store(other, corrections, j);
                }
            }
            StreamJob::Trees { k, rows, end } => {
                for (tree, keys) in self.keys.chunks_exact(1 << *k).enumerate() {
                    match k {
                        2 => tile.tree::<2>(keys, rows, end, tree),
                        4 => tile.tree::<4>(keys, rows, end, tree),
                        _ => tile.tree::<8>(keys, rows, end, tree),
                    }
                }
            }
        }
    }
}

/// A tile of `M` vectors: its counters and where it lies in rows of `width` pieces.
struct Tile<V, const M: usize> {
    counters: [V; M],
    width: usize,
    at: usize,
}

impl<V: Vector, const M: usize> Tile<V, M> {
    #[inline(always)]
    fn stream(&self, key: &AesKey) -> [V; M] {
        V::encrypt(&V::keys(key), self.counters)
    }

    #[inline(always)]
    fn range(&self, row: usize) -> std::ops::Range<usize> {
        let start = row * self.width + self.at;
        start..start + M * V::BLOCKS
    }

    #[inline(always)]
    fn load(&self, rows: &Pieces, row: usize) -> [V; M] {
        let pieces = rows[self.range(row)].as_flattened();
        let mut vectors = [V::splat(Block::ZERO); M];
        for (vector, pieces) in vectors.iter_mut().zip(pieces.chunks_exact(16 * V::BLOCKS)) {
            *vector = V::load_bytes(pieces);
        }
        vectors
    }

    #[inline(always)]
    fn store(&self, values: [V; M], rows: &mut Pieces, row: usize) {
        let pieces = rows[self.range(row)].as_flattened_mut();
        for (value, pieces) in values.into_iter().zip(pieces.chunks_exact_mut(16 * V::BLOCKS)) {
            value.store_bytes(pieces);
        }
    }

    /// The sums of one tree, two XORs per leaf: the leaves are counted through, and the sum of a full
    /// subtree is carried up like a bit of the counter.
    #[inline(always)]
    fn tree<const K: usize>(
        &self,
        keys: &[AesKey],
        rows: &mut Pieces,
        end: &mut End<'_>,
        tree: usize,
    ) {
        let zero = [V::splat(Block::ZERO); M];
        let mut with_bit = [zero; K];
        let mut pending = [zero; K];
        let mut carried = zero;
        for (pair, keys) in keys.as_chunks::<2>().0.iter().enumerate() {
            let skip = pair == 0 && matches!(end, End::Corrected { .. });
            let even = if skip { zero } else { self.stream(&keys[0]) };
            carried = self.stream(&keys[1]);
            with_bit[0] = sum(with_bit[0], carried);
            carried = sum(carried, even);
            let mut level = 1;
            let mut rest = pair;
            while rest & 1 == 1 && level < K {
                with_bit[level] = sum(with_bit[level], carried);
                carried = sum(carried, pending[level]);
                rest >>= 1;
                level += 1;
            }
            if level < K {
                pending[level] = carried;
            }
        }
        match end {
            End::Sums { corrections } => {
                if tree == 0 {
                    // The sum of tree 0 is the choice: row 0, the lowest bit.
                    with_bit[0] = carried;
                } else {
                    self.store(sum(carried, self.load(rows, 0)), corrections, tree - 1);
                }
            }
            End::Corrected { corrections, choices } => {
                if tree == 0 {
                    with_bit[0] = zero;
                } else {
                    let correction = self.load(corrections, tree - 1);
                    for (j, row) in with_bit.iter_mut().enumerate() {
                        let choice = choices.bit((K * tree + j) as u32);
                        let mask = V::splat(Block(u128::MAX).select(choice));
                        for (row, correction) in row.iter_mut().zip(correction) {
                            *row = row.xor_and(mask, correction);
                        }
                    }
                }
            }
        }
        for (j, values) in with_bit.into_iter().enumerate() {
            self.store(values, rows, K * tree + j);
        }
    }
}

#[inline(always)]
fn sum<V: Vector, const M: usize>(mut a: [V; M], b: [V; M]) -> [V; M] {
    for (a, b) in a.iter_mut().zip(b) {
        *a = a.xor(b);
    }
    a
}

#[inline(always)]
fn load_blocks<V: Vector, const M: usize>(blocks: &[Block]) -> [V; M] {
    let mut vectors = [V::splat(Block::ZERO); M];
    for (vector, blocks) in vectors.iter_mut().zip(blocks.chunks_exact(V::BLOCKS)) {
        *vector = V::load(blocks);
    }
    vectors
}

#[cfg(test)]
mod tests {
    #![expect(clippy::needless_range_loop, reason = "indices name rows of several arrays")]
    use super::*;
    use gazelle_prg::Keystream;

    const WIDTHS: [usize; 3] = [37, 1, 64];

    fn seeds(count: usize) -> Vec<Seed> {
        let root = Seed::from_bytes([9; 16]);
        (0..count as u64).map(|i| root.fork(1, i)).collect()
    }

    /// Pieces `first ..` of every stream, one by one.
    fn plain(seeds: &[Seed], first: u64, width: usize) -> Vec<Vec<u128>> {
        let stream = |seed| {
            let mut pieces = vec![[0; 16]; width];
            Keystream::new(seed, STREAM).fill(first, &mut pieces);
            pieces.into_iter().map(u128::from_le_bytes).collect()
        };
        seeds.iter().map(stream).collect()
    }

    fn noise(pieces: usize) -> Vec<[u8; 16]> {
        let mut noise = vec![[0; 16]; pieces];
        Keystream::new(&Seed::from_bytes([4; 16]), 2).fill(0, &mut noise);
        noise
    }

    fn at(rows: &Pieces, width: usize, row: usize, piece: usize) -> u128 {
        u128::from_le_bytes(rows[row * width + piece])
    }

    #[test]
    fn conformance_sums_over_trees_equal_their_definition_on_every_instruction_set() {
        let choices = Block(0x0123_4567_89ab_cdef_fedc_ba98_7654_3211);
        for isa in AesIsa::all() {
            for k in [2u32, 4, 8] {
                let (trees, leaves) = (128 / k as usize, 1usize << k);
                let seeds = seeds(trees * leaves);
                let (mut all, mut punctured) =
                    (Streams::new(&seeds).on(isa), Streams::new(&seeds).on(isa));
                let mut first = 0;
                for width in WIDTHS {
                    let plain = plain(&seeds, first, width);
                    let xor = |tree: usize, piece: usize, wanted: &dyn Fn(usize) -> bool| {
                        let xs = (0..leaves).filter(|x| wanted(*x));
                        xs.fold(0, |sum, x| sum ^ plain[tree * leaves + x][piece])
                    };
                    let (mut rows, mut corrections) = (noise(128 * width), noise(trees * width));
                    all.fill_sums(k, &mut rows, &mut corrections, width);
                    let received = noise(trees * width);
                    let mut corrected = noise(128 * width);
                    punctured.fill_corrected(k, &mut corrected, &received, choices, width);
                    for piece in 0..width {
                        let b = xor(0, piece, &|_| true);
                        assert_eq!(at(&rows, width, 0, piece), b);
                        assert_eq!(at(&corrected, width, 0, piece), 0);
                        for row in 1..128 {
                            let (tree, j) = (row / k as usize, row % k as usize);
                            let v = xor(tree, piece, &|x| x >> j & 1 == 1);
                            assert_eq!(at(&rows, width, row, piece), v);
                            let add = tree > 0 && choices.bit(row as u32);
                            let add = if add { at(&received, width, tree - 1, piece) } else { 0 };
                            assert_eq!(at(&corrected, width, row, piece), v ^ add);
                        }
                        for tree in 1..trees {
                            let u = xor(tree, piece, &|_| true);
                            assert_eq!(at(&corrections, width, tree - 1, piece), u ^ b);
                        }
                    }
                    first += width as u64;
                }
            }
        }
    }

    #[test]
    fn conformance_rows_of_iknp_equal_their_definition_on_every_instruction_set() {
        let choices = Block(0x0123_4567_89ab_cdef_fedc_ba98_7654_3211);
        let seeds = seeds(254);
        for isa in AesIsa::all() {
            let (mut pairs, mut singles) =
                (Streams::new(&seeds).on(isa), Streams::new(&seeds[..127]).on(isa));
            let mut first = 0;
            for width in WIDTHS {
                let plain = plain(&seeds, first, width);
                let (before, received) = (noise(128 * width), noise(127 * width));
                let (mut rows, mut corrections) = (before.clone(), received.clone());
                pairs.fill_pairs(&mut rows, &mut corrections, width);
                let mut masked = before.clone();
                singles.fill_masked(&mut masked, &received, choices, width);
                for piece in 0..width {
                    let b = at(&before, width, 0, piece);
                    assert_eq!(at(&rows, width, 0, piece), b);
                    for j in 0..127 {
                        let (zero, one) = (plain[2 * j][piece], plain[2 * j + 1][piece]);
                        assert_eq!(at(&rows, width, j + 1, piece), zero);
                        assert_eq!(at(&corrections, width, j, piece), zero ^ one ^ b);
                        let add = if choices.bit(j as u32 + 1) {
                            at(&received, width, j, piece)
                        } else {
                            0
                        };
                        assert_eq!(at(&masked, width, j + 1, piece), plain[j][piece] ^ add);
                    }
                }
                first += width as u64;
            }
        }
    }
}
