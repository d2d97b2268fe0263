//! The keystream with 512-bit VAES: counters are made in registers, 32 blocks in flight.
#![expect(unsafe_code, reason = "AES instructions found at run time")]

use std::arch::x86_64::{
    __m128i, _mm_aeskeygenassist_si128, _mm_loadu_si128, _mm_shuffle_epi32, _mm_slli_si128,
    _mm_storeu_si128, _mm_xor_si128, _mm512_add_epi64, _mm512_aesenc_epi128,
    _mm512_aesenclast_epi128, _mm512_broadcast_i32x4, _mm512_set_epi64, _mm512_setzero_si512,
    _mm512_shuffle_epi8, _mm512_storeu_si512, _mm512_xor_si512,
};

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{BLOCK, counter};
use crate::isa::{Isa, level};

/// The 11 round keys of AES-128.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct RoundKeys([[u8; BLOCK]; 11]);

impl RoundKeys {
    /// `None` if the processor has no 512-bit VAES or `GAZELLE_ISA` forbids it.
    pub(super) fn new(key: &[u8; BLOCK]) -> Option<Self> {
        if level() < Isa::Avx512 {
            return None;
        }
        // SAFETY: `level` found AES-NI on this processor.
        Some(Self(unsafe { expand(key) }))
    }
}

/// FIPS 197, section 5.2.
#[target_feature(enable = "aes,sse2")]
fn expand(key: &[u8; BLOCK]) -> [[u8; BLOCK]; 11] {
    let mut keys = [[0; BLOCK]; 11];
    // SAFETY: 16 bytes are read.
    let mut current = unsafe { _mm_loadu_si128(key.as_ptr().cast()) };
    let [first, rest @ ..] = &mut keys;
    store(first, current);
    let [k1, k2, k3, k4, k5, k6, k7, k8, k9, k10] = rest;
    macro_rules! round {
        ($to:ident, $constant:literal) => {
            current = next(current, _mm_aeskeygenassist_si128::<$constant>(current));
            store($to, current);
        };
    }
    round!(k1, 0x01);
    round!(k2, 0x02);
    round!(k3, 0x04);
    round!(k4, 0x08);
    round!(k5, 0x10);
    round!(k6, 0x20);
    round!(k7, 0x40);
    round!(k8, 0x80);
    round!(k9, 0x1b);
    round!(k10, 0x36);
    keys
}

#[target_feature(enable = "aes,sse2")]
fn next(key: __m128i, assist: __m128i) -> __m128i {
    let word = _mm_shuffle_epi32::<0xff>(assist);
    let key = _mm_xor_si128(key, _mm_slli_si128::<4>(key));
    let key = _mm_xor_si128(key, _mm_slli_si128::<8>(key));
    _mm_xor_si128(key, word)
}

#[target_feature(enable = "sse2")]
fn store(to: &mut [u8; BLOCK], value: __m128i) {
    // SAFETY: 16 bytes are written.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), value) };
}

/// See [`super::keystream`].
pub(super) fn keystream(keys: &RoundKeys, domain: u8, first: u128, out: &mut [[u8; BLOCK]]) {
    // The kernel counts in the low 64 bits: cut where they wrap.
    let left = (u128::from(u64::MAX) - u128::from(first as u64)) + 1;
    let cut = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
    let (now, later) = out.split_at_mut(cut);
    // SAFETY: round keys exist only where `level` found AVX-512 F and BW and VAES.
    unsafe { run(keys, domain, first, now) };
    if !later.is_empty() {
        keystream(keys, domain, first + cut as u128, later);
    }
}

#[target_feature(enable = "avx512f,avx512bw,vaes,aes")]
fn run(keys: &RoundKeys, domain: u8, first: u128, out: &mut [[u8; BLOCK]]) {
    const LANES: usize = 8;
    // Lane 0 of a block: the fixed high half as it lies in memory; lane 1: the low half, counted as
    // an integer and reversed on the way.
    let [h0, h1, h2, h3, h4, h5, h6, h7, ..] = counter(domain, first);
    let high = i64::from_le_bytes([h0, h1, h2, h3, h4, h5, h6, h7]);
    let low = first as u64;
    let at = |block: u64| low.wrapping_add(block) as i64;
    let mut count = _mm512_set_epi64(at(3), high, at(2), high, at(1), high, at(0), high);
    let step = _mm512_set_epi64(4, 0, 4, 0, 4, 0, 4, 0);
    let (keep, reverse) = (0x0706_0504_0302_0100, 0x0809_0a0b_0c0d_0e0f);
    let order = _mm512_set_epi64(reverse, keep, reverse, keep, reverse, keep, reverse, keep);
    let mut wide = [_mm512_setzero_si512(); 11];
    for (wide, key) in wide.iter_mut().zip(&keys.0) {
        // SAFETY: a round key is the 16 bytes that are read.
        *wide = _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(key.as_ptr().cast()) });
    }
    let [whitening, rounds @ .., last] = wide;
    for chunk in out.chunks_mut(4 * LANES) {
        let mut state = [_mm512_setzero_si512(); LANES];
        for slot in &mut state {
            *slot = _mm512_xor_si512(_mm512_shuffle_epi8(count, order), whitening);
            count = _mm512_add_epi64(count, step);
        }
        for key in rounds {
            for slot in &mut state {
                *slot = _mm512_aesenc_epi128(*slot, key);
            }
        }
        for slot in &mut state {
            *slot = _mm512_aesenclast_epi128(*slot, last);
        }
        for (four, slot) in chunk.chunks_mut(4).zip(state) {
            if let Ok(four) = <&mut [[u8; BLOCK]; 4]>::try_from(&mut *four) {
                // SAFETY: four blocks are the 64 bytes that are written.
                unsafe { _mm512_storeu_si512(four.as_mut_ptr().cast(), slot) };
            } else {
                let mut whole = [[0u8; BLOCK]; 4];
                // SAFETY: four blocks are the 64 bytes that are written.
                unsafe { _mm512_storeu_si512(whole.as_mut_ptr().cast(), slot) };
                four.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
            }
        }
    }
}
