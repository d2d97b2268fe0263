//! Transposition of bit matrices with 128 rows.

use crate::block::Block;

/// Transposes 128 rows of bits into blocks: bit `j` of `out[i]` is bit `i` of `row(j)`.
///
/// - `rows`: row `j` is `rows[j * stride ..][.. out.len() / 8]`, bit `i` in byte `i / 8` at position `i % 8`.
/// - `out`: a multiple of 128 blocks.
///
/// Columns beyond the rows given (short input) are left as they are.
pub fn transpose(rows: &[u8], stride: usize, out: &mut [Block]) {
    portable(rows, stride, out);
}

/// The definition.
pub fn portable(rows: &[u8], stride: usize, out: &mut [Block]) {
    for (byte, group) in out.chunks_exact_mut(8).enumerate() {
        group.fill(Block::ZERO);
        for (j, row) in rows.chunks(stride).take(128).enumerate() {
            let bits = u128::from(row.get(byte).copied().unwrap_or(0));
            for (i, block) in group.iter_mut().enumerate() {
                block.0 |= (bits >> i & 1) << j;
            }
        }
    }
}
