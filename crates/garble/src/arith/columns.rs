//! Sums of many terms and squares, by column compression: every column of bits of one weight is
//! reduced to one bit by full adders, carries going to the next.

use super::{add_wide, constant, full_adder};
use crate::builder::{Builder, Wire};

/// `|x|` of a signed integer, n bits unsigned (so that the lowest number fits); n - 1 AND.
pub fn absolute(b: &mut Builder, x: &[Wire]) -> Vec<Wire> {
    let Some((&sign, low)) = x.split_last() else { return Vec::new() };
    let ones_complement: Vec<Wire> = low.iter().map(|&x| b.xor(x, sign)).collect();
    add_wide(b, &ones_complement, &[], sign)
}

/// The square of a signed n-bit integer, 2n - 1 bits (unsigned, at most 2^{2n-2}).
///
/// Of `|x|`, whose top bit is set only if all others are clear: it becomes the square's top bit.
/// AND: n (n - 2) for even n, one less for odd n > 3: 80 for n = 10, 120 for 12, 168 for 14, 224 for 16.
pub fn square(b: &mut Builder, x: &[Wire]) -> Vec<Wire> {
    let mut magnitude = absolute(b, x);
    let Some(top) = magnitude.pop() else { return Vec::new() };
    let mut out = square_unsigned(b, &magnitude);
    out.push(top);
    out
}

/// The square of an unsigned n-bit integer, 2n bits.
///
/// Schoolbook and column compression, every column reduced to one bit by full adders; adding
/// `x_j` and `x_j x_{j-1}` is free: their sum is `x_j ^ x_j x_{j-1}`, their carry `x_j x_{j-1}`.
/// AND: n^2 - n - 1 for odd n, one less for even n > 2.
pub fn square_unsigned(b: &mut Builder, x: &[Wire]) -> Vec<Wire> {
    let n = x.len();
    let mut columns: Vec<Vec<Wire>> = vec![Vec::new(); 2 * n];
    let mut put = |at: usize, wire: Wire| {
        if let Some(column) = columns.get_mut(at)
            && wire != Wire::FALSE
        {
            column.push(wire);
        }
    };
    for (j, &xj) in x.iter().enumerate() {
        let mut diagonal = xj;
        for (i, &xi) in x.iter().enumerate().take(j) {
            let product = b.and(xi, xj);
            if i + 1 == j {
                diagonal = b.xor(xj, product);
                put(2 * j + 1, product);
            } else {
                put(i + j + 1, product);
            }
        }
        put(2 * j, diagonal);
    }
    compress(b, columns)
}

/// The sum of unsigned integers mod 2^width, by column compression: one AND per bit that
/// disappears, plus one for each column that is left with two.
pub fn sum(b: &mut Builder, terms: &[Vec<Wire>], width: usize) -> Vec<Wire> {
    let mut columns: Vec<Vec<Wire>> = vec![Vec::new(); width];
    for term in terms {
        for (column, &wire) in columns.iter_mut().zip(term) {
            if wire != Wire::FALSE {
                column.push(wire);
            }
        }
    }
    compress(b, columns)
}

/// The sum of signed integers, `width` bits, two's complement: for sum pooling before re-sharing.
/// Costs as [`sum`] does: signs are complemented and a constant added, not extended.
pub fn sum_signed(b: &mut Builder, terms: &[Vec<Wire>], width: usize) -> Vec<Wire> {
    let mut correction = 0u64;
    let mut terms: Vec<Vec<Wire>> = terms
        .iter()
        .map(|term| {
            let mut term = term.clone();
            let at = term.len().saturating_sub(1);
            if at < width
                && let Some(sign) = term.last_mut()
            {
                *sign = b.not(*sign);
                correction = correction.wrapping_sub(1u64.checked_shl(at as u32).unwrap_or(0));
            }
            term
        })
        .collect();
    terms.push(constant(b, correction, width));
    sum(b, &terms, width)
}

/// The number whose bit of weight 2^i is the sum of column i, mod 2^columns.
fn compress(b: &mut Builder, columns: Vec<Vec<Wire>>) -> Vec<Wire> {
    let width = columns.len();
    let mut out = Vec::with_capacity(width);
    let mut carries: Vec<Wire> = Vec::new();
    for (i, mut column) in columns.into_iter().enumerate() {
        // Constants go to the end: a full adder with a constant is a half adder.
        column.append(&mut carries);
        let ones = column.iter().filter(|&&wire| wire == Wire::TRUE).count();
        column.retain(|&wire| wire != Wire::TRUE && wire != Wire::FALSE);
        if ones % 2 == 1 {
            column.insert(0, Wire::TRUE);
        }
        carries.extend(std::iter::repeat_n(Wire::TRUE, ones / 2));
        while column.len() > 1 {
            let (x, y) = (column.pop(), column.pop());
            let (Some(x), Some(y)) = (x, y) else { break };
            let z = column.pop().unwrap_or(Wire::FALSE);
            if i + 1 < width {
                let (sum, carry) = full_adder(b, x, y, z);
                column.push(sum);
                if carry != Wire::FALSE {
                    carries.push(carry);
                }
            } else {
                let partial = b.xor(x, y);
                column.push(b.xor(partial, z));
            }
        }
        out.push(column.pop().unwrap_or(Wire::FALSE));
    }
    out
}
