//! The x86-64 kernels of the bit-matrix transposition.
#![expect(unsafe_code, reason = "SIMD kernels")]
#![expect(clippy::needless_range_loop, reason = "the loop index names rows of the matrix too")]
#![expect(clippy::indexing_slicing, reason = "register arrays are indexed by constants in loops")]

use std::arch::x86_64::{
    __m128i, __m256i, __m512i, _mm_add_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_setzero_si128,
    _mm_unpackhi_epi8, _mm_unpacklo_epi8, _mm256_add_epi8, _mm256_movemask_epi8, _mm256_set_m128i,
    _mm256_setzero_si256, _mm256_unpackhi_epi8, _mm256_unpacklo_epi8,
    _mm512_gf2p8affine_epi64_epi8, _mm512_loadu_si512, _mm512_permutexvar_epi8, _mm512_set1_epi64,
    _mm512_setzero_si512, _mm512_shuffle_i64x2, _mm512_storeu_si512, _mm512_unpackhi_epi8,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi8, _mm512_unpacklo_epi64,
};

use gazelle_prg::isa::{self, Isa};

use crate::block::Block;

/// Columns that the widest kernel takes at once.
const WIDE: usize = 512;

/// Picks the kernel. The caller has checked the shapes.
pub(super) fn dispatch(rows: &[u8], stride: usize, out: &mut [Block]) {
    match isa::level() {
        Isa::Portable => super::portable(rows, stride, out),
        // The wide kernel turns 8 by 8 bits by GFNI's matrix product; without it the bits go through masks as in AVX2.
        Isa::Avx512 if has_gfni() => run_avx512(rows, stride, out),
        level if level >= Isa::Avx2 => run_avx2(rows, stride, out),
        _ => run_sse2(rows, stride, out),
    }
}

/// A kernel and its name.
#[cfg(test)]
pub(super) type Named = (&'static str, fn(&[u8], usize, &mut [Block]));

/// The kernels that this processor has.
#[cfg(test)]
pub(super) fn available() -> Vec<Named> {
    let mut kernels: Vec<Named> = vec![("sse2", run_sse2)];
    if isa::detected() >= Isa::Avx2 {
        kernels.push(("avx2", run_avx2));
    }
    if isa::detected() >= Isa::Avx512 && has_gfni() {
        kernels.push(("avx512", run_avx512));
    }
    kernels
}

fn has_gfni() -> bool {
    is_x86_feature_detected!("gfni") && is_x86_feature_detected!("avx512vbmi")
}

fn run_sse2(rows: &[u8], stride: usize, out: &mut [Block]) {
    super::check(rows, stride, out);
    for (piece, out) in out.as_chunks_mut::<128>().0.iter_mut().enumerate() {
        // SAFETY: SSE2 is part of x86-64; by `check` 16 bytes are readable at offset 16 * piece of
        // each of the 128 rows.
        unsafe { sse2(rows.as_ptr().add(16 * piece), stride, out) };
    }
}

fn run_avx2(rows: &[u8], stride: usize, out: &mut [Block]) {
    super::check(rows, stride, out);
    for (piece, out) in out.as_chunks_mut::<128>().0.iter_mut().enumerate() {
        // SAFETY: only called where AVX2 was detected; by `check` 16 bytes are readable at offset
        // 16 * piece of each of the 128 rows.
        unsafe { avx2(rows.as_ptr().add(16 * piece), stride, out) };
    }
}

fn run_avx512(rows: &[u8], stride: usize, out: &mut [Block]) {
    super::check(rows, stride, out);
    let (wide, narrow) = out.as_chunks_mut::<WIDE>();
    for (piece, out) in wide.iter_mut().enumerate() {
        // SAFETY: only called where the features were detected; by `check` 64 bytes are readable at
        // offset 64 * piece of each of the 128 rows.
        unsafe { avx512(rows.as_ptr().add(64 * piece), stride, out) };
    }
    let done = wide.len() * WIDE / 128;
    for (piece, out) in narrow.as_chunks_mut::<128>().0.iter_mut().enumerate() {
        // SAFETY: AVX-512 implies AVX2; as in `run_avx2`.
        unsafe { avx2(rows.as_ptr().add(16 * (done + piece)), stride, out) };
    }
}

/// One round of a perfect shuffle over 16 registers; four rounds transpose 16 by 16 bytes per lane.
macro_rules! shuffle_round {
    ($regs:expr, $low:ident, $high:ident) => {{
        let old = $regs;
        for g in 0..8 {
            $regs[2 * g] = $low(old[g], old[g + 8]);
            $regs[2 * g + 1] = $high(old[g], old[g + 8]);
        }
    }};
}

/// 128 rows of 16 bytes.
///
/// # Safety
/// 16 bytes are readable at each of `rows + j * stride`, j below 128.
#[target_feature(enable = "sse2")]
unsafe fn sse2(rows: *const u8, stride: usize, out: &mut [Block; 128]) {
    let mut parts = [[0u16; 8]; 128];
    for group in 0..8 {
        let mut regs: [__m128i; 16] = [_mm_setzero_si128(); 16];
        for (i, reg) in regs.iter_mut().enumerate() {
            // SAFETY: by the caller; unaligned loads are allowed.
            *reg = unsafe { _mm_loadu_si128(rows.add((16 * group + i) * stride).cast()) };
        }
        for _ in 0..4 {
            shuffle_round!(regs, _mm_unpacklo_epi8, _mm_unpackhi_epi8);
        }
        // Register c now holds byte column c of 16 rows.
        for (c, reg) in regs.into_iter().enumerate() {
            let mut bytes = reg;
            for bit in (0..8).rev() {
                parts[8 * c + bit][group] = _mm_movemask_epi8(bytes) as u16;
                bytes = _mm_add_epi8(bytes, bytes);
            }
        }
    }
    for (block, parts) in out.iter_mut().zip(parts) {
        *block = Block(parts.iter().rev().fold(0, |sum, part| sum << 16 | u128::from(*part)));
    }
}

/// 128 rows of 16 bytes, 32 rows at once.
///
/// # Safety
/// The processor has AVX2; 16 bytes are readable at each of `rows + j * stride`, j below 128.
#[target_feature(enable = "avx2")]
unsafe fn avx2(rows: *const u8, stride: usize, out: &mut [Block; 128]) {
    let mut parts = [[0u32; 4]; 128];
    for group in 0..4 {
        let mut regs: [__m256i; 16] = [_mm256_setzero_si256(); 16];
        for (i, reg) in regs.iter_mut().enumerate() {
            // SAFETY: by the caller; unaligned loads are allowed.
            let (low, high) = unsafe {
                let low = rows.add((32 * group + i) * stride);
                (_mm_loadu_si128(low.cast()), _mm_loadu_si128(low.add(16 * stride).cast()))
            };
            *reg = _mm256_set_m128i(high, low);
        }
        for _ in 0..4 {
            shuffle_round!(regs, _mm256_unpacklo_epi8, _mm256_unpackhi_epi8);
        }
        // Register c now holds byte column c of 32 rows.
        for (c, reg) in regs.into_iter().enumerate() {
            let mut bytes = reg;
            for bit in (0..8).rev() {
                parts[8 * c + bit][group] = _mm256_movemask_epi8(bytes) as u32;
                bytes = _mm256_add_epi8(bytes, bytes);
            }
        }
    }
    for (block, parts) in out.iter_mut().zip(parts) {
        *block = Block(parts.iter().rev().fold(0, |sum, part| sum << 32 | u128::from(*part)));
    }
}

/// For byte `8 i + c` of a register whose quadword i is row i: where `vpermb` finds it so that
/// quadword c holds byte c of the rows 7 to 0, as `gf2p8affineqb` wants its matrix.
const GATHER_TILES: [u8; 64] = {
    let mut index = [0; 64];
    let mut at = 0;
    while at < 64 {
        let (c, i) = (at / 8, 7 - at % 8);
        index[at] = (8 * i + c) as u8;
        at += 1;
    }
    index
};

/// Sends column `4 s + lane` to byte s of its lane, so that the shuffle rounds end with consecutive
/// columns in one register.
const SPREAD_COLUMNS: [u8; 64] = {
    let mut index = [0; 64];
    let mut at = 0;
    while at < 64 {
        let (lane, s) = (at / 16, at % 16);
        index[at] = (4 * s + lane) as u8;
        at += 1;
    }
    index
};

/// 128 rows of 64 bytes.
///
/// # Safety
/// The processor has these features; 64 bytes are readable at each of `rows + j * stride`, j below
/// 128.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,gfni")]
unsafe fn avx512(rows: *const u8, stride: usize, out: &mut [Block; WIDE]) {
    // SAFETY: both tables have 64 bytes.
    let (gather, spread) = unsafe {
        (
            _mm512_loadu_si512(GATHER_TILES.as_ptr().cast()),
            _mm512_loadu_si512(SPREAD_COLUMNS.as_ptr().cast()),
        )
    };
    let unit = _mm512_set1_epi64(i64::from_le_bytes([1, 2, 4, 8, 16, 32, 64, 128]));
    let zero = _mm512_setzero_si512();
    // tiles[q][g]: columns 64 q to 64 q + 63 of rows 8 g to 8 g + 7, a byte per column.
    let mut tiles: [[__m512i; 16]; 8] = [[zero; 16]; 8];
    for g in 0..16 {
        let mut regs = [zero; 8];
        for (i, reg) in regs.iter_mut().enumerate() {
            // SAFETY: by the caller; unaligned loads are allowed.
            *reg = unsafe { _mm512_loadu_si512(rows.add((8 * g + i) * stride).cast()) };
        }
        // Transpose 8 by 8 quadwords: swap row bit 0 with the half, then rows with lanes.
        // Three rounds that exchange one bit of the row number with one of the quadword number each.
        let a = regs;
        for i in 0..4 {
            regs[2 * i] = _mm512_unpacklo_epi64(a[2 * i], a[2 * i + 1]);
            regs[2 * i + 1] = _mm512_unpackhi_epi64(a[2 * i], a[2 * i + 1]);
        }
        let b = regs;
        for high in [0, 4] {
            for h in 0..2 {
                let (x, y) = (b[high + h], b[high + 2 + h]);
                regs[high + h] = _mm512_shuffle_i64x2::<0x88>(x, y);
                regs[high + 2 + h] = _mm512_shuffle_i64x2::<0xdd>(x, y);
            }
        }
        let c = regs;
        for i in 0..4 {
            regs[i] = _mm512_shuffle_i64x2::<0x88>(c[i], c[i + 4]);
            regs[i + 4] = _mm512_shuffle_i64x2::<0xdd>(c[i], c[i + 4]);
        }
        for (q, reg) in regs.into_iter().enumerate() {
            let matrices = _mm512_permutexvar_epi8(gather, reg);
            let bits = _mm512_gf2p8affine_epi64_epi8::<0>(unit, matrices);
            tiles[q][g] = _mm512_permutexvar_epi8(spread, bits);
        }
    }
    for (tiles, out) in tiles.into_iter().zip(out.as_chunks_mut::<64>().0) {
        let mut regs = tiles;
        for _ in 0..4 {
            shuffle_round!(regs, _mm512_unpacklo_epi8, _mm512_unpackhi_epi8);
        }
        for (reg, out) in regs.into_iter().zip(out.as_chunks_mut::<4>().0) {
            // SAFETY: four blocks are 64 writable bytes.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), reg) };
        }
    }
}
