//! AES-NI, VAES-256 and VAES-512.
//!
//! The vector types are private and come to life only inside [`dispatch`], which has checked that
//! the processor has the instructions: that is what every `unsafe` block below relies on.
#![expect(unsafe_code, reason = "x86 AES intrinsics")]

use std::arch::x86_64::{
    __m128i, __m256i, __m512i, _mm_add_epi64, _mm_aesenc_si128, _mm_aesenclast_si128,
    _mm_aeskeygenassist_si128, _mm_and_si128, _mm_andnot_si128, _mm_cmpeq_epi64, _mm_cvtsi32_si128,
    _mm_loadu_si128, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi64x, _mm_shuffle_epi32,
    _mm_sll_epi32, _mm_slli_si128, _mm_srai_epi32, _mm_storel_epi64, _mm_storeu_si128,
    _mm_xor_si128, _mm256_add_epi8, _mm256_add_epi64, _mm256_aesenc_epi128,
    _mm256_aesenclast_epi128, _mm256_and_si256, _mm256_andnot_si256, _mm256_broadcastsi128_si256,
    _mm256_castsi256_si128, _mm256_cmpeq_epi64, _mm256_loadu_si256, _mm256_movemask_epi8,
    _mm256_or_si256, _mm256_permute4x64_epi64, _mm256_set_epi64x, _mm256_set1_epi64x,
    _mm256_shuffle_epi32, _mm256_sll_epi32, _mm256_srai_epi32, _mm256_storeu_si256,
    _mm256_xor_si256, _mm512_add_epi8, _mm512_add_epi64, _mm512_aesenc_epi128,
    _mm512_aesenclast_epi128, _mm512_broadcast_i32x4, _mm512_castsi512_si256,
    _mm512_cmpeq_epi64_mask, _mm512_loadu_si512, _mm512_mask_xor_epi64, _mm512_movepi8_mask,
    _mm512_permutexvar_epi64, _mm512_set_epi64, _mm512_set1_epi64, _mm512_shuffle_epi32,
    _mm512_sll_epi32, _mm512_srai_epi32, _mm512_storeu_si512, _mm512_ternarylogic_epi64,
    _mm512_xor_si512,
};

use super::{AesIsa, AesKey, Kernel, Portable, ROUND_KEYS, Vector};
use crate::Block;

/// Runs `kernel` on the best instruction set up to `isa`.
#[inline]
pub(super) fn dispatch<K: Kernel>(isa: AesIsa, kernel: K) -> K::Output {
    let vaes = is_x86_feature_detected!("vaes");
    if isa >= AesIsa::Vaes512
        && vaes
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("aes")
    {
        // SAFETY: the features of `vaes512` were checked just above.
        unsafe { vaes512(kernel) }
    } else if isa >= AesIsa::Vaes256
        && vaes
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("aes")
    {
        // SAFETY: the features of `vaes256` were checked just above.
        unsafe { vaes256(kernel) }
    } else if isa >= AesIsa::AesNi
        && is_x86_feature_detected!("aes")
        && is_x86_feature_detected!("avx2")
    {
        // SAFETY: the features of `aes_ni` were checked just above.
        unsafe { aes_ni(kernel) }
    } else {
        kernel.run::<Portable>()
    }
}

/// Expands the keys if the processor has AES instructions.
pub(super) fn expand(keys: &mut [AesKey]) {
    if is_x86_feature_detected!("aes") && is_x86_feature_detected!("avx2") {
        // SAFETY: the features of `expand_aes_ni` were checked just above.
        unsafe { expand_aes_ni(keys) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,vaes,aes,avx2")]
unsafe fn vaes512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Wide512>()
}

#[target_feature(enable = "vaes,aes,avx2")]
unsafe fn vaes256<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Wide256>()
}

#[target_feature(enable = "aes,avx2")]
unsafe fn aes_ni<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Wide128>()
}

#[target_feature(enable = "aes,avx2")]
unsafe fn expand_aes_ni(keys: &mut [AesKey]) {
    for key in keys {
        let mut state = Wide128::load(&[key.key]).0;
        let mut put = |at: usize, round: __m128i| {
            if let Some(slot) = key.rounds.get_mut(at..=at) {
                Wide128(round).store(slot);
            }
        };
        put(0, state);
        macro_rules! round {
            ($at:literal, $constant:literal) => {
                let assist =
                    _mm_shuffle_epi32::<0xff>(_mm_aeskeygenassist_si128::<$constant>(state));
                // Each word is added to all words above it: two doubling shifts do what three single ones would.
                state = _mm_xor_si128(state, _mm_slli_si128::<4>(state));
                state = _mm_xor_si128(state, _mm_slli_si128::<8>(state));
                state = _mm_xor_si128(state, assist);
                put($at, state);
            };
        }
        // One line per round, not a loop: the constant is part of the instruction.
        round!(1, 0x01);
        round!(2, 0x02);
        round!(3, 0x04);
        round!(4, 0x08);
        round!(5, 0x10);
        round!(6, 0x20);
        round!(7, 0x40);
        round!(8, 0x80);
        round!(9, 0x1b);
        round!(10, 0x36);
    }
}

/// As the portable one; called where the processor has AVX2.
#[inline(always)]
fn byte_planes_256(bytes: &[u8; 64]) -> [u64; 8] {
    let (low, high) = bytes.split_at(32);
    let mut halves = [Wide256::load_bytes(low).0, Wide256::load_bytes(high).0];
    let mut planes = [0; 8];
    for plane in planes.iter_mut().rev() {
        for (place, half) in halves.iter_mut().enumerate() {
            // SAFETY: the instructions exist (see above).
            let mask = unsafe {
                // The mask takes the top bit of each byte; doubling every byte brings up the next one.
                let mask = _mm256_movemask_epi8(*half);
                *half = _mm256_add_epi8(*half, *half);
                mask
            };
            *plane |= u64::from(mask as u32) << (32 * place);
        }
    }
    planes
}

/// As the portable one; called where the processor has AVX-512BW.
#[inline(always)]
fn byte_planes_512(bytes: &[u8; 64]) -> [u64; 8] {
    let mut all = Wide512::load_bytes(bytes).0;
    let mut planes = [0; 8];
    for plane in planes.iter_mut().rev() {
        // SAFETY: the instructions exist (see above).
        unsafe {
            // The mask takes the top bit of each byte; doubling every byte brings up the next one.
            *plane = _mm512_movepi8_mask(all);
            all = _mm512_add_epi8(all, all);
        }
    }
    planes
}

macro_rules! vector {
    (
        $(#[$doc:meta])* $name:ident($register:ty), $blocks:literal,
        load $load:ident, store $store:ident, xor $xor:ident,
        enc $enc:ident, last $last:ident, swap $shuffle:ident, left $left:ident, right $right:ident,
        splat |$splat_x:ident| $splat:expr,
        xor_and |$p:ident, $q:ident, $r:ident| $xor_and:expr,
        select |$mask:ident, $ones:ident, $zeros:ident| $select:expr,
        high $high:expr, add $add:ident, reduction $low_byte:expr,
        low |$v:ident, $to:ident| $low:expr, planes $planes:path,
        equal |$ex:ident, $ea:ident, $eb:ident, $ev:ident| $equal:expr
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(super) struct $name($register);

        impl Vector for $name {
            const BLOCKS: usize = $blocks;
            type Single = Wide128;
            type Keys = [Self; ROUND_KEYS];

            #[inline(always)]
            fn keys(key: &AesKey) -> Self::Keys {
                // Not `map`: it is not always inlined, and must be.
                let mut keys = [Self::splat(Block::ZERO); ROUND_KEYS];
                for (key, round) in keys.iter_mut().zip(&key.rounds) {
                    *key = Self::splat(*round);
                }
                keys
            }

            #[inline(always)]
            fn load(source: &[Block]) -> Self {
                assert!(source.len() >= $blocks);
                // SAFETY: `source` has the bytes of a whole vector; the instruction exists (see above).
                Self(unsafe { $load(source.as_ptr().cast()) })
            }

            #[inline(always)]
            fn store(self, target: &mut [Block]) {
                assert!(target.len() >= $blocks);
                // SAFETY: `target` has room for a whole vector; the instruction exists (see above).
                unsafe { $store(target.as_mut_ptr().cast(), self.0) }
            }

            #[inline(always)]
            fn store_low(self, target: &mut [u64]) {
                assert!(target.len() >= $blocks);
                let ($v, $to) = (self.0, target.as_mut_ptr());
                // SAFETY: `target` has room for a word per block; the instructions exist (see above).
                unsafe { $low }
            }

            #[inline(always)]
            fn byte_planes(bytes: &[u8; 64]) -> [u64; 8] {
                $planes(bytes)
            }

            #[inline(always)]
            fn load_bytes(source: &[u8]) -> Self {
                assert!(source.len() >= 16 * $blocks);
                // SAFETY: `source` has the bytes of a whole vector; the instruction exists (see above).
                Self(unsafe { $load(source.as_ptr().cast()) })
            }

            #[inline(always)]
            fn store_bytes(self, target: &mut [u8]) {
                assert!(target.len() >= 16 * $blocks);
                // SAFETY: `target` has room for a whole vector; the instruction exists (see above).
                unsafe { $store(target.as_mut_ptr().cast(), self.0) }
            }

            #[inline(always)]
            fn splat(block: Block) -> Self {
                // SAFETY: a `Block` is 16 readable bytes; the instructions exist (see above).
                unsafe {
                    let $splat_x = _mm_loadu_si128((&raw const block).cast());
                    Self($splat)
                }
            }

            #[inline(always)]
            fn xor(self, other: Self) -> Self {
                // SAFETY: the instruction exists (see above).
                Self(unsafe { $xor(self.0, other.0) })
            }

            #[inline(always)]
            fn xor_and(self, mask: Self, value: Self) -> Self {
                let ($p, $q, $r) = (self.0, mask.0, value.0);
                // SAFETY: the instructions exist (see above).
                Self(unsafe { $xor_and })
            }

            #[inline(always)]
            fn select(mask: Self, ones: Self, zeros: Self) -> Self {
                let ($mask, $ones, $zeros) = (mask.0, ones.0, zeros.0);
                // SAFETY: the instructions exist (see above).
                Self(unsafe { $select })
            }

            #[inline(always)]
            fn sigma(self) -> Self {
                // SAFETY: the instructions exist (see above).
                let (swapped, high) = unsafe { ($shuffle::<0x4e>(self.0), $high) };
                Self(swapped).xor_and(self, Self(high))
            }

            #[inline(always)]
            fn double_halves(self) -> Self {
                // SAFETY: the instructions exist (see above).
                unsafe {
                    // Below AVX-512 nothing shifts the sign of 64 bits down: that of the upper 32 goes over both.
                    let carries = $right::<31>($shuffle::<0xf5>(self.0));
                    Self($add(self.0, self.0)).xor_and(Self(carries), Self($low_byte))
                }
            }

            #[inline(always)]
            fn add_halves(self, other: Self) -> Self {
                // SAFETY: the instruction exists (see above).
                Self(unsafe { $add(self.0, other.0) })
            }

            #[inline(always)]
            fn xor_where_equal(self, a: Self, b: Self, value: Self) -> Self {
                let ($ex, $ea, $eb, $ev) = (self.0, a.0, b.0, value.0);
                // SAFETY: the instructions exist (see above).
                Self(unsafe { $equal })
            }

            #[inline(always)]
            fn swap_halves(self) -> Self {
                // SAFETY: the instruction exists (see above).
                Self(unsafe { $shuffle::<0x4e>(self.0) })
            }

            #[inline(always)]
            fn repeat_high(self) -> Self {
                // SAFETY: the instruction exists (see above).
                Self(unsafe { $shuffle::<0xee>(self.0) })
            }

            #[inline(always)]
            fn bit(self, k: u32) -> Self {
                // SAFETY: the instructions exist (see above).
                unsafe {
                    // k is known at run time alone: a count in a register. Bit k goes up to the sign, then the sign
                    // down over the whole block.
                    let count = _mm_cvtsi32_si128(31 - k as i32);
                    Self($right::<31>($left($shuffle::<0x00>(self.0), count)))
                }
            }

            #[inline(always)]
            fn encrypt<const M: usize>(keys: &Self::Keys, states: [Self; M]) -> [Self; M] {
                let [first, middle @ .., last] = keys;
                let mut out = states;
                for state in &mut out {
                    *state = state.xor(*first);
                }
                // All states of a round, then the next round: an AES instruction takes several cycles, but one or two
                // start in each, so that independent states fill the wait.
                for key in middle {
                    for state in &mut out {
                        // SAFETY: the instruction exists (see above).
                        state.0 = unsafe { $enc(state.0, key.0) };
                    }
                }
                for state in &mut out {
                    // SAFETY: the instruction exists (see above).
                    state.0 = unsafe { $last(state.0, last.0) };
                }
                out
            }
        }
    };
}

vector! {
    /// One block.
    Wide128(__m128i), 1,
    load _mm_loadu_si128, store _mm_storeu_si128, xor _mm_xor_si128,
    enc _mm_aesenc_si128, last _mm_aesenclast_si128,
    swap _mm_shuffle_epi32, left _mm_sll_epi32, right _mm_srai_epi32,
    splat |x| x,
    xor_and |p, q, r| _mm_xor_si128(p, _mm_and_si128(q, r)),
    select |mask, ones, zeros| _mm_or_si128(_mm_and_si128(mask, ones), _mm_andnot_si128(mask, zeros)),
    high _mm_set_epi64x(-1, 0), add _mm_add_epi64, reduction _mm_set1_epi64x(0x1b),
    low |v, to| _mm_storel_epi64(to.cast(), v),
    planes byte_planes_256,
    equal |x, a, b, value| _mm_xor_si128(x, _mm_and_si128(_mm_cmpeq_epi64(a, b), value))
}

vector! {
    /// Two blocks.
    Wide256(__m256i), 2,
    load _mm256_loadu_si256, store _mm256_storeu_si256, xor _mm256_xor_si256,
    enc _mm256_aesenc_epi128, last _mm256_aesenclast_epi128,
    swap _mm256_shuffle_epi32, left _mm256_sll_epi32, right _mm256_srai_epi32,
    splat |x| _mm256_broadcastsi128_si256(x),
    xor_and |p, q, r| _mm256_xor_si256(p, _mm256_and_si256(q, r)),
    select |mask, ones, zeros| _mm256_or_si256(_mm256_and_si256(mask, ones), _mm256_andnot_si256(mask, zeros)),
    high _mm256_set_epi64x(-1, 0, -1, 0), add _mm256_add_epi64, reduction _mm256_set1_epi64x(0x1b),
    low |v, to| _mm_storeu_si128(to.cast(), _mm256_castsi256_si128(_mm256_permute4x64_epi64::<0x08>(v))),
    planes byte_planes_256,
    equal |x, a, b, value| _mm256_xor_si256(x, _mm256_and_si256(_mm256_cmpeq_epi64(a, b), value))
}

vector! {
    /// Four blocks.
    Wide512(__m512i), 4,
    load _mm512_loadu_si512, store _mm512_storeu_si512, xor _mm512_xor_si512,
    enc _mm512_aesenc_epi128, last _mm512_aesenclast_epi128,
    swap _mm512_shuffle_epi32, left _mm512_sll_epi32, right _mm512_srai_epi32,
    splat |x| _mm512_broadcast_i32x4(x),
    xor_and |p, q, r| _mm512_ternarylogic_epi64::<0x78>(p, q, r),
    select |mask, ones, zeros| _mm512_ternarylogic_epi64::<0xca>(mask, ones, zeros),
    high _mm512_set_epi64(-1, 0, -1, 0, -1, 0, -1, 0), add _mm512_add_epi64, reduction _mm512_set1_epi64(0x1b),
    low |v, to| _mm256_storeu_si256(
        to.cast(),
        _mm512_castsi512_si256(_mm512_permutexvar_epi64(_mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0), v)),
    ),
    planes byte_planes_512,
    equal |x, a, b, value| _mm512_mask_xor_epi64(x, _mm512_cmpeq_epi64_mask(a, b), x, value)
}
