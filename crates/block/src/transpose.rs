//! Transposition of bit matrices with 128 rows, as OT extensions need it.
//!
//! [`portable`] is the definition; on x86-64 the kernels of `transpose/x86.rs` take over: GFNI with
//! AVX-512 (about two cycles per block), AVX2, or SSE2, by [`gazelle_prg::isa::level`].

#[cfg(target_arch = "x86_64")]
mod x86;

use crate::block::Block;

/// Bits that the number of columns must be a multiple of.
pub const UNIT: usize = 128;

/// Transposes 128 rows of bits into blocks: bit `j` of `out[i]` is bit `i` of row `j`.
///
/// - `rows`: row `j` is `rows[j * stride ..][.. out.len() / 8]`, its bit `i` in byte `i / 8` at
///   position `i % 8`.
/// - `out`: one block per column; a multiple of 128.
///
/// # Panics
/// If `out.len()` is not a multiple of 128, `stride < out.len() / 8`, or `rows` is too short.
pub fn transpose(rows: &[u8], stride: usize, out: &mut [Block]) {
    check(rows, stride, out);
    #[cfg(target_arch = "x86_64")]
    x86::dispatch(rows, stride, out);
    #[cfg(not(target_arch = "x86_64"))]
    portable(rows, stride, out);
}

/// The definition of [`transpose`], in tiles of 8 by 8 bits.
///
/// # Panics
/// As [`transpose`].
#[expect(clippy::indexing_slicing, reason = "the bounds are checked on entry")]
pub fn portable(rows: &[u8], stride: usize, out: &mut [Block]) {
    check(rows, stride, out);
    for (byte, columns) in out.chunks_exact_mut(8).enumerate() {
        columns.fill(Block::ZERO);
        for group in 0..16 {
            let tile = std::array::from_fn(|i| rows[(8 * group + i) * stride + byte]);
            let tile = transpose_tile(u64::from_le_bytes(tile)).to_le_bytes();
            for (column, bits) in columns.iter_mut().zip(tile) {
                column.0 |= u128::from(bits) << (8 * group);
            }
        }
    }
}

/// Transposes an 8 by 8 tile: bit `8 i + j` goes to bit `8 j + i` (Hacker's Delight, 7-3).
const fn transpose_tile(tile: u64) -> u64 {
    let mut x = tile;
    let mut swap = (x ^ x >> 7) & 0x00aa_00aa_00aa_00aa;
    x ^= swap ^ swap << 7;
    swap = (x ^ x >> 14) & 0x0000_cccc_0000_cccc;
    x ^= swap ^ swap << 14;
    swap = (x ^ x >> 28) & 0x0000_0000_f0f0_f0f0;
    x ^ swap ^ swap << 28
}

fn check(rows: &[u8], stride: usize, out: &[Block]) {
    let row_bytes = out.len() / 8;
    assert!(out.len().is_multiple_of(UNIT), "the number of columns is a multiple of 128");
    assert!(stride >= row_bytes, "rows do not overlap");
    assert!(row_bytes == 0 || rows.len() >= 127 * stride + row_bytes, "there are 128 rows");
}

#[cfg(test)]
mod tests {
    use super::*;
    use gazelle_prg::{Prg, Seed};
    use rand_core::Rng;

    fn random_rows(stride: usize) -> Vec<u8> {
        let mut rows = vec![0; 128 * stride];
        Prg::new(&Seed::from_bytes([3; 16]), 1).fill_bytes(&mut rows);
        rows
    }

    fn bit_by_bit(rows: &[u8], stride: usize, columns: usize) -> Vec<Block> {
        let bit = |i: usize, j: usize| u128::from(rows[j * stride + i / 8] >> (i % 8) & 1);
        (0..columns).map(|i| Block((0..128).map(|j| bit(i, j) << j).sum())).collect()
    }

    /// The order that SoftSpoken and IKNP rely on (protocol.md, section 7).
    #[test]
    fn known_answer_row_five_column_nine_is_bit_five_of_block_nine() {
        let mut rows = vec![0u8; 128 * 16];
        rows[5 * 16 + 1] = 0b10;
        let mut out = vec![Block::ZERO; 128];
        transpose(&rows, 16, &mut out);
        for (i, block) in out.iter().enumerate() {
            assert_eq!(block.0, if i == 9 { 1 << 5 } else { 0 });
        }
    }

    #[test]
    fn properties_every_kernel_equals_the_bit_by_bit_definition() {
        for (columns, extra) in
            [(0, 0), (128, 0), (128, 5), (256, 0), (384, 16), (512, 0), (1152, 3), (8192, 0)]
        {
            let stride = columns / 8 + extra;
            let rows = random_rows(stride);
            let expected = bit_by_bit(&rows, stride, columns);
            let mut out = vec![Block(7); columns];
            transpose(&rows, stride, &mut out);
            assert!(out == expected, "dispatched, {columns} columns");
            out.fill(Block(7));
            portable(&rows, stride, &mut out);
            assert!(out == expected, "portable, {columns} columns");
            #[cfg(target_arch = "x86_64")]
            for (name, kernel) in x86::available() {
                out.fill(Block(7));
                kernel(&rows, stride, &mut out);
                assert!(out == expected, "{name}, {columns} columns");
            }
        }
    }

    #[test]
    #[should_panic(expected = "multiple of 128")]
    fn properties_other_column_counts_are_refused() {
        transpose(&[0; 4096], 16, &mut [Block::ZERO; 100]);
    }

    #[test]
    #[should_panic(expected = "128 rows")]
    fn properties_short_matrices_are_refused() {
        transpose(&[0; 128 * 16 - 1], 16, &mut [Block::ZERO; 128]);
    }
}
