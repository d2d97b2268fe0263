//! The tweakable circular-correlation-robust hash (protocol.md, section 6), one AES call per block.
//!
//! `H(x; j, i) = AES_{K_j}(y) ^ sigma(y)` with `y = x ^ i·u_j` in GF(2^128), `(K_j, u_j) = XOF(seed, j)`
//! and `sigma(L||R) = (L ^ R)||L`. The seed is public, fresh from one party, and independent of what
//! is hashed. A key serves at most 2^12 points: a 64-bit tweak t stands for batch `j = t >> 12` and
//! point `i = t mod 2^12`.
//!
//! Source: the mode RTCCR of Rosulek and Roy (CRYPTO 2021, section 5), with keys changed per batch
//! as in MITCCRH (Guo, Katz, Wang, Weng, Yu, CRYPTO 2020).
#![expect(clippy::inline_always, reason = "kernels are compiled per instruction set by inlining")]

mod low;

use aes::Aes128Enc;
use gazelle_prg::Seed;

use crate::Block;
use crate::aes::{AesIsa, AesKey, Kernel, Vector, dispatch, encrypt_portable, portable_key};

/// log2 of the points under one key.
pub const POINTS_LOG2: u32 = 12;

/// Points under one key.
pub const POINTS: usize = 1 << POINTS_LOG2;

/// The XOF's counter domain.
const DOMAIN: u8 = 0x48;

/// The public seed of a hash, ready to derive keys.
#[derive(Clone)]
pub struct HashSeed {
    cipher: Aes128Enc,
    isa: AesIsa,
}

impl HashSeed {
    /// Expands the seed's key schedule.
    pub fn new(seed: &Seed) -> Self {
        Self::with_isa(seed, AesIsa::best())
    }

    /// As [`new`](Self::new), with the hash on a given instruction set.
    pub fn with_isa(seed: &Seed, isa: AesIsa) -> Self {
        Self { cipher: portable_key(Block::from_bytes(*seed.bytes())), isa }
    }

    /// The key of batch `batch < 2^52`.
    pub fn key(&self, batch: u64) -> HashKey {
        let [key, offset] = self.expand([batch]);
        HashKey::assemble(AesKey::new(key), offset, self.isa)
    }

    /// The keys of batches `first`, `first + 1`, ...: cheaper than one by one.
    pub fn keys(&self, first: u64, count: usize) -> Vec<HashKey> {
        const AT_ONCE: usize = 16;
        let mut out = Vec::with_capacity(count);
        let mut batch = first;
        let mut left = count;
        while left > 0 {
            let now = left.min(AT_ONCE);
            let batches: [u64; AT_ONCE] = std::array::from_fn(|i| batch + i as u64);
            let blocks: [Block; 2 * AT_ONCE] = self.expand(batches);
            let (pairs, _) = blocks.as_chunks::<2>();
            let keys = AesKey::new_many(pairs.iter().take(now).map(|[key, _]| *key));
            out.extend(
                keys.into_iter()
                    .zip(pairs)
                    .map(|(key, [_, offset])| HashKey::assemble(key, *offset, self.isa)),
            );
            batch += now as u64;
            left -= now;
        }
        out
    }

    /// `out[n] = H(x[n]; first_tweak + n)` over as many batches as it takes: for OT outputs, whose
    /// 64-bit tweak runs over the whole session.
    ///
    /// Cost: one AES call per block.
    ///
    /// # Panics
    /// Unless both slices have the same length.
    pub fn hash(&self, first_tweak: u64, x: &[Block], out: &mut [Block]) {
        assert_eq!(x.len(), out.len(), "as many outputs as inputs");
        let (mut tweak, mut x, mut out) = (first_tweak, x, out);
        while !x.is_empty() {
            let point = tweak % POINTS as u64;
            let now = x.len().min(POINTS - point as usize);
            let (x_now, x_later) = x.split_at(now);
            let (out_now, out_later) = out.split_at_mut(now);
            self.key(tweak >> POINTS_LOG2).hash(point, x_now, out_now);
            (x, out) = (x_later, out_later);
            tweak += now as u64;
        }
    }

    /// `(K_j, u_j)`: blocks `2j` and `2j + 1` of the seed's AES-CTR stream in this domain.
    fn expand<const N: usize, const M: usize>(&self, batches: [u64; N]) -> [Block; M] {
        let mut blocks = [Block::ZERO; M];
        for (pair, batch) in blocks.as_chunks_mut::<2>().0.iter_mut().zip(batches) {
            for (half, block) in (0u128..).zip(pair) {
                let counter = u128::from(DOMAIN) << 120 | u128::from(batch) << 1 | half;
                *block = Block::from_bytes(counter.to_be_bytes());
            }
        }
        encrypt_portable(&self.cipher, &mut blocks);
        blocks
    }
}

/// One batch's key: at most 2^12 points. Public, like the seed.
#[derive(Clone)]
pub struct HashKey {
    aes: AesKey,
    /// `(2^{k+1} - 1)·u` for k in 0..12: what changes when a counter's k + 1 low bits flip.
    sums: [Block; POINTS_LOG2 as usize],
    isa: AesIsa,
}

impl HashKey {
    /// `(K_j, u_j) = XOF(seed, j)` for batch `j = batch`; many keys of one seed: [`HashSeed::keys`].
    pub fn new(seed: &Seed, batch: u64) -> Self {
        HashSeed::new(seed).key(batch)
    }

    /// `out[n] = H(x[n]; first_tweak + n)` under this key; points stay below 2^12.
    ///
    /// Cost: one AES call per block.
    ///
    /// # Panics
    /// Unless both slices have the same length and the points fit under the key.
    pub fn hash(&self, first_tweak: u64, x: &[Block], out: &mut [Block]) {
        assert_eq!(x.len(), out.len(), "as many outputs as inputs");
        assert!(first_tweak + x.len() as u64 <= POINTS as u64, "at most 2^12 points per key");
        dispatch(self.isa, HashKernel { key: self, first: first_tweak as usize, x, out });
    }

    /// The key schedule, for fused kernels.
    pub fn aes(&self) -> &AesKey {
        &self.aes
    }

    /// The offsets `i·u` in groups of `U` vectors, for fused kernels: group g holds the offsets of
    /// points `(g·U·BLOCKS + n) << stride_log2` in its places n; the first is `g = first_group`.
    /// `U` is a power of two, and `U·BLOCKS << stride_log2` at most 2^12.
    #[inline(always)]
    pub fn offsets<V: Vector, const U: usize>(
        &self,
        first_group: usize,
        stride_log2: u32,
    ) -> Offsets<'_, V, U> {
        let low_bits = (U * V::BLOCKS).trailing_zeros() + stride_log2;
        let (below, sums) = self.sums.split_at(low_bits as usize);
        let below = below.last().copied().unwrap_or_default();
        let mut places = [V::splat(Block::ZERO); U];
        for (group, places) in places.iter_mut().enumerate() {
            let mut blocks = [Block::ZERO; 4];
            for (place, block) in blocks.iter_mut().enumerate().take(V::BLOCKS) {
                *block = self.multiple((group * V::BLOCKS + place) << stride_log2);
            }
            *places = V::load(&blocks);
        }
        let base = self.multiple(first_group << low_bits);
        Offsets { places, base, sums, below, index: first_group }
    }

    /// `point·u`; not constant time: points are public.
    #[inline(always)]
    pub fn multiple(&self, point: usize) -> Block {
        // 2^k·u is the difference of neighbouring sums: sums are selected by the Gray code.
        let mut gray = point ^ point >> 1;
        let mut product = Block::ZERO;
        while let Some(sum) = self.sums.get(gray.trailing_zeros() as usize) {
            product ^= *sum;
            gray &= gray - 1;
        }
        product
    }

    fn assemble(aes: AesKey, offset: Block, isa: AesIsa) -> Self {
        let mut sums = [Block::ZERO; POINTS_LOG2 as usize];
        let (mut power, mut sum) = (offset, Block::ZERO);
        for slot in &mut sums {
            sum ^= power;
            *slot = sum;
            power = double(power);
        }
        Self { aes, sums, isa }
    }
}

/// Running tweak offsets; see [`HashKey::offsets`].
pub struct Offsets<'a, V, const U: usize> {
    places: [V; U],
    base: Block,
    sums: &'a [Block],
    below: Block,
    index: usize,
}

impl<V: Vector, const U: usize> Offsets<'_, V, U> {
    /// The next group of offsets.
    #[inline(always)]
    pub fn step(&mut self) -> [V; U] {
        let base = V::splat(self.base);
        let mut group = self.places;
        for places in &mut group {
            *places = places.xor(base);
        }
        self.index += 1;
        // Group g + 1 differs from group g in the bits that the increment flips.
        if let Some(sum) = self.sums.get(self.index.trailing_zeros() as usize) {
            self.base ^= *sum ^ self.below;
        }
        group
    }
}

/// sigma(L||R) = (L ^ R)||L, L being the high half.
#[must_use]
pub const fn sigma(x: Block) -> Block {
    Block(x.0.rotate_left(64) ^ (x.0 >> 64 << 64))
}

/// `x·value` in GF(2^128) modulo x^128 + x^7 + x^2 + x + 1, bit k standing for x^k.
const fn double(value: Block) -> Block {
    Block(value.0 << 1 ^ (0x87 & (value.0 >> 127).wrapping_neg()))
}

struct HashKernel<'a> {
    key: &'a HashKey,
    first: usize,
    x: &'a [Block],
    out: &'a mut [Block],
}

impl Kernel for HashKernel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { key, first, x, out } = self;
        // Single blocks up to a point that a group can start at.
        let head = (first.wrapping_neg() % (8 * V::BLOCKS)).min(x.len());
        let (x_head, x) = x.split_at(head);
        let (out_head, out) = out.split_at_mut(head);
        hash_groups::<V::Single, 1>(key, first, x_head, out_head);
        let whole = x.len() - x.len() % (8 * V::BLOCKS);
        let (x_whole, x_tail) = x.split_at(whole);
        let (out_whole, out_tail) = out.split_at_mut(whole);
        hash_groups::<V, 8>(key, first + head, x_whole, out_whole);
        hash_groups::<V::Single, 1>(key, first + head + whole, x_tail, out_tail);
    }
}

/// Hashes from point `first`, a multiple of `M·BLOCKS`, in groups of `M` vectors.
#[inline(always)]
fn hash_groups<V: Vector, const M: usize>(
    key: &HashKey,
    first: usize,
    x: &[Block],
    out: &mut [Block],
) {
    if x.is_empty() {
        return;
    }
    let keys = V::keys(&key.aes);
    let mut offsets = key.offsets::<V, M>(first / (M * V::BLOCKS), 0);
    for (x, out) in x.chunks_exact(M * V::BLOCKS).zip(out.chunks_exact_mut(M * V::BLOCKS)) {
        let mut y = offsets.step();
        for (y, x) in y.iter_mut().zip(x.chunks_exact(V::BLOCKS)) {
            *y = V::load(x).xor(*y);
        }
        let hashed = V::encrypt(&keys, y);
        for ((out, hashed), y) in out.chunks_exact_mut(V::BLOCKS).zip(hashed).zip(y) {
            hashed.xor(y.sigma()).store(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gazelle_prg::Prg;
    use proptest::prelude::*;

    fn seed() -> Seed {
        Seed::from_bytes(std::array::from_fn(|i| i as u8))
    }

    /// Rank over GF(2) of a linear map on 128 bits.
    fn rank(map: impl Fn(Block) -> Block) -> usize {
        let mut pivots = [0u128; 128];
        for i in 0..128 {
            let mut row = map(Block(1 << i)).0;
            while row != 0 {
                let top = 127 - row.leading_zeros() as usize;
                if pivots[top] == 0 {
                    pivots[top] = row;
                    break;
                }
                row ^= pivots[top];
            }
        }
        pivots.iter().filter(|row| **row != 0).count()
    }

    fn reference(seed: &Seed, tweak: u64, x: Block) -> Block {
        let (batch, point) = (tweak >> 12, tweak & 0xfff);
        let mut stream = [0u8; 32];
        let mut counter = [0u8; 16];
        let cipher = portable_key(Block::from_bytes(*seed.bytes()));
        for half in 0..2 {
            counter = (0x48u128 << 120 | u128::from(batch) << 1 | half as u128).to_be_bytes();
            let mut block = [Block::from_bytes(counter)];
            encrypt_portable(&cipher, &mut block);
            stream[16 * half..][..16].copy_from_slice(&block[0].to_bytes());
        }
        assert_ne!(counter, [0; 16]);
        let key = Block::from_bytes(stream[..16].try_into().unwrap());
        let mut u = Block::from_bytes(stream[16..].try_into().unwrap());
        let mut y = x;
        for k in 0..12 {
            y ^= u.select(point >> k & 1 == 1);
            u = double(u);
        }
        let mut block = [y];
        encrypt_portable(&portable_key(key), &mut block);
        block[0] ^ sigma(y)
    }

    #[test]
    fn properties_sigma_and_sigma_plus_one_have_full_rank() {
        assert_eq!(rank(sigma), 128);
        assert_eq!(rank(|x| sigma(x) ^ x), 128);
        assert_eq!(rank(|_| Block(5)), 1);
    }

    #[test]
    fn known_answer_doubling_reduces_by_the_gcm_polynomial() {
        assert_eq!(double(Block(1 << 127)).0, 0x87);
        assert_eq!(double(Block(3)).0, 6);
    }

    /// Vectors from tests/vectors/hash.py (Python, `cryptography` and plain integers).
    #[test]
    fn known_answers_of_an_independent_program() {
        let text = include_str!("../tests/vectors/hash.txt");
        let mut count = 0;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let tweak = u64::from_str_radix(fields[0], 16).unwrap();
            let x = Block(u128::from_str_radix(fields[1], 16).unwrap());
            let expected = Block(u128::from_str_radix(fields[2], 16).unwrap());
            for isa in AesIsa::all() {
                let mut out = [Block::ZERO];
                HashSeed::with_isa(&seed(), isa).hash(tweak, &[x], &mut out);
                assert_eq!(out[0].0, expected.0, "{} {tweak:x}", isa.name());
            }
            count += 1;
        }
        assert_eq!(count, 12);
    }

    #[test]
    fn properties_keys_are_blocks_of_the_prg_stream() {
        let mut stream = [0u8; 96];
        rand_core::Rng::fill_bytes(&mut Prg::new(&seed(), DOMAIN), &mut stream);
        let keys = HashSeed::new(&seed()).keys(0, 3);
        for (key, bytes) in keys.iter().zip(stream.chunks(32)) {
            assert_eq!(key.aes.key.to_bytes(), bytes[..16]);
            assert_eq!(key.sums[0].to_bytes(), bytes[16..]);
        }
    }

    #[test]
    fn properties_many_keys_equal_single_keys() {
        let hash = HashSeed::new(&seed());
        for (j, key) in (1000u64..).zip(hash.keys(1000, 37)) {
            let single = hash.key(j);
            assert!(key.aes.rounds == single.aes.rounds && key.sums == single.sums);
        }
    }

    #[test]
    fn properties_distinct_tweaks_give_distinct_hashes() {
        let x = vec![Block(7); 3 * POINTS];
        let mut out = vec![Block::ZERO; x.len()];
        HashSeed::new(&seed()).hash(1 << 56, &x, &mut out);
        let distinct: std::collections::HashSet<u128> = out.iter().map(|block| block.0).collect();
        assert_eq!(distinct.len(), x.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn conformance_of_every_instruction_set_with_the_formula(
            tweak in 0u64..1 << 57, count in 0usize..300, x in any::<u128>(),
        ) {
            let x: Vec<Block> = (0..count as u128).map(|i| Block(x.wrapping_mul(2 * i + 1))).collect();
            let expected: Vec<Block> =
                (tweak..).zip(&x).map(|(tweak, x)| reference(&seed(), tweak, *x)).collect();
            for isa in AesIsa::all() {
                let mut out = vec![Block::ZERO; count];
                HashSeed::with_isa(&seed(), isa).hash(tweak, &x, &mut out);
                prop_assert!(out == expected, "{}", isa.name());
            }
        }
    }
}
