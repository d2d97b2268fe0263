//! AES-128 over vectors of blocks: one generic kernel, five instruction sets.
//!
//! A [`Kernel`] is written once against [`Vector`]; [`dispatch`] compiles it for VAES-512, VAES-256,
//! AES-NI and for no intrinsics at all (through the `aes` crate, whose portable code is constant
//! time), and picks one at run time; in WebAssembly it is bit-sliced over that one's vectors. All give the
//! same bits: a block's state bytes are its little-endian bytes. `unsafe` stays in `aes/x86.rs` and
//! `aes/simd.rs`.
#![expect(clippy::inline_always, reason = "kernels are compiled per instruction set by inlining")]

mod portable;
#[cfg(target_feature = "simd128")]
mod simd;
#[cfg(target_arch = "x86_64")]
mod x86;

use aes::Aes128Enc;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit, consts::U16};
use gazelle_prg::isa::{self, Isa};
use zeroize::Zeroize;

use crate::Block;

pub(crate) use portable::Portable;

/// Rounds of AES-128, plus the whitening key.
pub(crate) const ROUND_KEYS: usize = 11;

/// The instruction set of an AES kernel, slowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AesIsa {
    /// The `aes` crate, block by block.
    Portable,
    /// Bit-sliced, eight blocks at a time, in the vectors of WebAssembly.
    Simd128,
    /// 128-bit AES-NI.
    AesNi,
    /// 256-bit VAES.
    Vaes256,
    /// 512-bit VAES.
    Vaes512,
}

impl AesIsa {
    /// The fastest that the processor has and `GAZELLE_ISA` allows.
    pub fn best() -> Self {
        Self::capped(isa::level())
    }

    /// All that the processor has, whatever `GAZELLE_ISA` says: what tests compare with each other.
    pub fn all() -> Vec<Self> {
        let best = Self::capped(isa::detected());
        let sets: &[Self] = if cfg!(target_feature = "simd128") {
            &[Self::Portable, Self::Simd128]
        } else {
            &[Self::Portable, Self::AesNi, Self::Vaes256, Self::Vaes512]
        };
        sets.iter().copied().filter(|&isa| isa <= best).collect()
    }

    /// The name used in benchmark ids.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Simd128 => "simd128",
            Self::AesNi => "aes-ni",
            Self::Vaes256 => "vaes-256",
            Self::Vaes512 => "vaes-512",
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn capped(level: Isa) -> Self {
        match level {
            Isa::Avx512 => Self::Vaes512,
            Isa::Avx2 if is_x86_feature_detected!("vaes") => Self::Vaes256,
            Isa::Avx2 => Self::AesNi,
            _ => Self::Portable,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn capped(_: Isa) -> Self {
        if cfg!(target_feature = "simd128") { Self::Simd128 } else { Self::Portable }
    }
}

/// Vectors of 128-bit blocks; every operation is constant time.
pub trait Vector: Copy {
    /// Blocks per vector.
    const BLOCKS: usize;
    /// The same instruction set, one block at a time: for what is left at the end.
    type Single: Vector;
    /// A key as this instruction set wants it.
    type Keys;

    /// Spreads an expanded key over the vector.
    fn keys(key: &AesKey) -> Self::Keys;
    /// The first `BLOCKS` blocks of `source`, which must have as many.
    fn load(source: &[Block]) -> Self;
    /// Overwrites the first `BLOCKS` blocks of `target`, which must have as many.
    fn store(self, target: &mut [Block]);
    /// Overwrites the first `BLOCKS` words of `target` by the low halves of the blocks.
    fn store_low(self, target: &mut [u64]);
    /// Bit i of word k is bit k of byte i.
    #[inline(always)]
    fn byte_planes(bytes: &[u8; 64]) -> [u64; 8] {
        portable::byte_planes(bytes)
    }
    /// As [`load`](Self::load), from little-endian bytes.
    fn load_bytes(source: &[u8]) -> Self;
    /// As [`store`](Self::store), to little-endian bytes.
    fn store_bytes(self, target: &mut [u8]);
    /// `block` in every place.
    fn splat(block: Block) -> Self;
    /// Bitwise sum.
    #[must_use]
    fn xor(self, other: Self) -> Self;
    /// `self ^ (mask & value)`.
    #[must_use]
    fn xor_and(self, mask: Self, value: Self) -> Self;
    /// `mask ? ones : zeros`, bit by bit.
    #[must_use]
    fn select(mask: Self, ones: Self, zeros: Self) -> Self;
    /// sigma(L||R) = (L ^ R)||L in every block, L being the high half.
    #[must_use]
    fn sigma(self) -> Self;
    /// Both 64-bit halves of every block times x in GF(2^64) modulo x^64 + x^4 + x^3 + x + 1.
    #[must_use]
    fn double_halves(self) -> Self;
    /// Both 64-bit halves of every block summed modulo 2^64.
    #[must_use]
    fn add_halves(self, other: Self) -> Self;
    /// `self ^ value` in the 64-bit halves where `a` and `b` agree.
    #[must_use]
    fn xor_where_equal(self, a: Self, b: Self, value: Self) -> Self;
    /// The halves of every block exchanged.
    #[must_use]
    fn swap_halves(self) -> Self;
    /// The high half of every block, twice.
    #[must_use]
    fn repeat_high(self) -> Self;
    /// All ones in the blocks whose bit `k < 32` is set, zero elsewhere.
    #[must_use]
    fn bit(self, k: u32) -> Self;
    /// All ones in the blocks whose lowest bit is set, zero elsewhere.
    #[must_use]
    #[inline(always)]
    fn colours(self) -> Self {
        self.bit(0)
    }
    /// AES-128 of `M` vectors at once.
    fn encrypt<const M: usize>(keys: &Self::Keys, states: [Self; M]) -> [Self; M];
}

/// A computation over [`Vector`]s, compiled for every instruction set.
pub trait Kernel {
    /// What it returns.
    type Output;
    /// The computation. Must be `#[inline(always)]`, and so must all that it calls with `V`.
    fn run<V: Vector>(self) -> Self::Output;
}

/// Runs `kernel` on `isa`, or on the best instruction set below it that the processor has.
#[inline]
pub fn dispatch<K: Kernel>(isa: AesIsa, kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    return x86::dispatch(isa, kernel);
    #[cfg(not(target_arch = "x86_64"))]
    {
        #[cfg(target_feature = "simd128")]
        if isa >= AesIsa::Simd128 {
            return kernel.run::<simd::Wide>();
        }
        let _ = isa;
        kernel.run::<Portable>()
    }
}

/// An AES-128 key, expanded. Hash keys are public to both parties, so it is not wiped by itself: who
/// keeps a secret one wipes it ([`Zeroize`]).
#[derive(Clone, Copy)]
pub struct AesKey {
    pub(crate) key: Block,
    pub(crate) rounds: [Block; ROUND_KEYS],
}

impl AesKey {
    /// Expands `key` (its little-endian bytes are the AES key).
    pub fn new(key: Block) -> Self {
        let mut out = [Self { key, rounds: [Block::ZERO; ROUND_KEYS] }];
        Self::expand(&mut out);
        let [expanded] = out;
        expanded
    }

    /// Expands many keys: independent chains, so the latency of one hides behind the others.
    pub fn new_many(keys: impl IntoIterator<Item = Block>) -> Vec<Self> {
        let mut out: Vec<Self> =
            keys.into_iter().map(|key| Self { key, rounds: [Block::ZERO; ROUND_KEYS] }).collect();
        Self::expand(&mut out);
        out
    }

    /// Fills in the round keys. With neither AES instructions nor vectors they stay zero: the portable
    /// path expands the key itself.
    fn expand(keys: &mut [Self]) {
        #[cfg(target_arch = "x86_64")]
        x86::expand(keys);
        #[cfg(target_feature = "simd128")]
        simd::expand(keys);
        #[cfg(not(any(target_arch = "x86_64", target_feature = "simd128")))]
        let _ = keys;
    }
}

impl Zeroize for AesKey {
    fn zeroize(&mut self) {
        self.key.zeroize();
        self.rounds.zeroize();
    }
}

/// `AES_key` of every block, in place, through the `aes` crate.
pub(crate) fn encrypt_portable(cipher: &Aes128Enc, blocks: &mut [Block]) {
    const AT_ONCE: usize = 16;
    for chunk in blocks.chunks_mut(AT_ONCE) {
        let mut bytes = [[0u8; 16]; AT_ONCE];
        for (to, from) in bytes.iter_mut().zip(chunk.iter()) {
            *to = from.0.to_le_bytes();
        }
        let (used, _) = bytes.split_at_mut(chunk.len());
        cipher.encrypt_blocks(Array::<u8, U16>::cast_slice_from_core_mut(used));
        for (to, from) in chunk.iter_mut().zip(used.iter()) {
            *to = Block(u128::from_le_bytes(*from));
        }
    }
}

/// The `aes` crate's key for `key`.
pub(crate) fn portable_key(key: Block) -> Aes128Enc {
    Aes128Enc::new(&key.0.to_le_bytes().into())
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::inline_always,
        reason = "kernels are compiled per instruction set by inlining"
    )]
    use super::*;

    struct Encrypt<'a>(&'a AesKey, &'a mut [Block]);

    impl Kernel for Encrypt<'_> {
        type Output = ();

        #[inline(always)]
        fn run<V: Vector>(self) {
            let keys = V::keys(self.0);
            for chunk in self.1.chunks_exact_mut(2 * V::BLOCKS) {
                let (low, high) = chunk.split_at_mut(V::BLOCKS);
                let [x, y] = V::encrypt(&keys, [V::load(low), V::load(high)]);
                x.store(low);
                y.store(high);
            }
        }
    }

    struct Algebra<'a>(&'a [Block], &'a mut Vec<Block>);

    impl Kernel for Algebra<'_> {
        type Output = ();

        #[inline(always)]
        fn run<V: Vector>(self) {
            let mut outputs: [Vec<Block>; 11] = Default::default();
            for chunk in self.0.chunks_exact(3 * V::BLOCKS) {
                let a = V::load(&chunk[..V::BLOCKS]);
                let b = V::load(&chunk[V::BLOCKS..2 * V::BLOCKS]);
                let c = V::load(&chunk[2 * V::BLOCKS..]);
                let results = [
                    a.xor(b),
                    a.xor_and(b, c),
                    V::select(a, b, c),
                    a.sigma(),
                    a.colours(),
                    a.double_halves(),
                    a.swap_halves(),
                    a.repeat_high(),
                    a.bit(17),
                    a.add_halves(b),
                    a.xor_where_equal(b, b.xor(V::splat(Block(1))), c),
                ];
                for (output, result) in outputs.iter_mut().zip(results) {
                    let mut bytes = vec![0u8; 16 * V::BLOCKS];
                    result.store_bytes(&mut bytes);
                    let mut blocks = vec![Block::ZERO; V::BLOCKS];
                    V::load_bytes(&bytes).xor(V::splat(Block(0))).store(&mut blocks);
                    output.extend(blocks);
                }
            }
            self.1.extend(outputs.concat());
        }
    }

    fn noise(count: usize) -> Vec<Block> {
        let mut state = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835u128;
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(0xda94_2042_e4dd_58b5).rotate_left(67) ^ 0x00ab_cdef;
                Block(state)
            })
            .collect()
    }

    #[test]
    fn known_answer_of_fips_197_on_every_instruction_set() {
        let block = |bytes: [u8; 16]| Block(u128::from_le_bytes(bytes));
        let key = block(std::array::from_fn(|i| i as u8));
        let plain = block(std::array::from_fn(|i| 0x11 * i as u8));
        let cipher = block([
            0x69, 0xc4, 0xe0, 0xd8, 0x6a, 0x7b, 0x04, 0x30, 0xd8, 0xcd, 0xb7, 0x80, 0x70, 0xb4,
            0xc5, 0x5a,
        ]);
        for isa in AesIsa::all() {
            let mut blocks = vec![plain; 16];
            dispatch(isa, Encrypt(&AesKey::new(key), &mut blocks));
            assert_eq!(blocks, vec![cipher; 16], "{}", isa.name());
        }
    }

    #[test]
    fn conformance_of_every_instruction_set_with_the_portable_one() {
        let input = noise(96);
        let mut expected = Vec::new();
        // The single-block vector is the plainest definition; its order of results is by operation.
        dispatch(AesIsa::Portable, Algebra(&input, &mut expected));
        for isa in AesIsa::all() {
            for key in noise(5) {
                let (mut x, mut y) = (input.clone(), input.clone());
                dispatch(AesIsa::Portable, Encrypt(&AesKey::new(key), &mut x));
                dispatch(isa, Encrypt(&AesKey::new_many([key])[0], &mut y));
                assert!(x == y, "{}", isa.name());
            }
        }
        let (a, b, c) = (input[0].0, input[4].0, input[8].0);
        let full = if a & 1 == 1 { u128::MAX } else { 0 };
        let (left, right) = ((a >> 64) as u64, a as u64);
        let sigma = (u128::from(left ^ right) << 64) | u128::from(left);
        let at = |operation: usize| expected[operation * 32].0;
        assert_eq!(at(0), a ^ b);
        assert_eq!(at(1), a ^ (b & c));
        assert_eq!(at(2), (a & b) | (!a & c));
        assert_eq!(at(3), sigma);
        assert_eq!(at(4), full);
        let double = |x: u64| (x << 1) ^ ((x >> 63) * 0x1b);
        assert_eq!(at(5), u128::from(double(left)) << 64 | u128::from(double(right)));
        assert_eq!(at(6), u128::from(right) << 64 | u128::from(left));
        assert_eq!(at(7), u128::from(left) << 64 | u128::from(left));
        assert_eq!(at(8), (a >> 17 & 1).wrapping_neg());
        let sum = |shift: u32| u128::from(((a >> shift) as u64).wrapping_add((b >> shift) as u64));
        assert_eq!(at(9), sum(64) << 64 | sum(0));
        assert_eq!(at(10), a ^ (c >> 64 << 64));
    }

    struct LowWords<'a>(&'a [Block], &'a mut [u64], &'a mut Vec<[u64; 8]>);

    impl Kernel for LowWords<'_> {
        type Output = ();

        #[inline(always)]
        fn run<V: Vector>(self) {
            let Self(blocks, words, planes) = self;
            for (blocks, words) in
                blocks.chunks_exact(V::BLOCKS).zip(words.chunks_exact_mut(V::BLOCKS))
            {
                V::load(blocks).store_low(words);
            }
            for words in words.as_chunks::<64>().0 {
                planes.push(V::byte_planes(&words.map(|word| word as u8)));
            }
        }
    }

    #[test]
    fn conformance_low_halves_and_byte_planes_on_every_instruction_set() {
        let input = noise(128);
        for isa in AesIsa::all() {
            let (mut words, mut planes) = (vec![0; 128], Vec::new());
            dispatch(isa, LowWords(&input, &mut words, &mut planes));
            for (i, (block, word)) in input.iter().zip(&words).enumerate() {
                assert_eq!(*word, block.0 as u64, "{}", isa.name());
                for (k, plane) in planes[i / 64].iter().enumerate() {
                    assert_eq!(plane >> (i % 64) & 1, word >> k & 1, "{}", isa.name());
                }
            }
        }
    }

    #[test]
    fn conformance_of_vector_algebra_lane_by_lane() {
        // Same operands in every lane, so that the grouping by vector width does not matter.
        for base in noise(40).chunks_exact(3) {
            let spread = |width: usize| -> Vec<Block> {
                base.iter().flat_map(|&block| vec![block; width]).collect()
            };
            let mut expected = Vec::new();
            dispatch(AesIsa::Portable, Algebra(&spread(4), &mut expected));
            let widths = if cfg!(target_feature = "simd128") { [4; 4] } else { [4, 1, 2, 4] };
            for (isa, width) in AesIsa::all().into_iter().zip(widths) {
                let mut got = Vec::new();
                dispatch(isa, Algebra(&spread(width), &mut got));
                for (expected, got) in expected.chunks(4).zip(got.chunks(width)) {
                    assert!(got.iter().all(|block| *block == expected[0]), "{}", isa.name());
                }
            }
        }
    }
}
