//! Integer arithmetic on wires, lowest bit first, two's complement.
//!
//! AND counts are for wires that are not constant; constants fold. n is the width, and both
//! operands have it unless said otherwise: the shorter one is read as if zero-extended.

use crate::builder::{Builder, Wire};

/// `value mod 2^width` as constant wires.
pub fn constant(b: &Builder, value: u64, width: usize) -> Vec<Wire> {
    (0..width).map(|i| b.constant(i < 64 && value >> i & 1 == 1)).collect()
}

/// `x` with `width` bits: cut off, or continued by zeros.
pub fn zero_extend(x: &[Wire], width: usize) -> Vec<Wire> {
    (0..width).map(|i| bit(x, i)).collect()
}

/// `x` with `width` bits: cut off, or continued by its sign.
pub fn sign_extend(x: &[Wire], width: usize) -> Vec<Wire> {
    let sign = x.last().copied().unwrap_or(Wire::FALSE);
    (0..width).map(|i| x.get(i).copied().unwrap_or(sign)).collect()
}

/// `x + y + carry mod 2^n`; n - 1 AND.
pub fn add(b: &mut Builder, x: &[Wire], y: &[Wire], carry: Wire) -> Vec<Wire> {
    let n = x.len().max(y.len());
    let mut carry = carry;
    let mut out = Vec::with_capacity(n);
    for i in 0..n {
        let (sum, next) = if i + 1 < n {
            full_adder(b, bit(x, i), bit(y, i), carry)
        } else {
            let partial = b.xor(bit(x, i), bit(y, i));
            (b.xor(partial, carry), Wire::FALSE)
        };
        out.push(sum);
        carry = next;
    }
    out
}

/// `x + y + carry` with its carry as the last of n + 1 bits; n AND.
pub fn add_wide(b: &mut Builder, x: &[Wire], y: &[Wire], carry: Wire) -> Vec<Wire> {
    let n = x.len().max(y.len());
    add(b, &zero_extend(x, n + 1), &zero_extend(y, n + 1), carry)
}

/// `x - y mod 2^n`; n - 1 AND.
pub fn sub(b: &mut Builder, x: &[Wire], y: &[Wire]) -> Vec<Wire> {
    let n = x.len().max(y.len());
    let complement = invert(b, &zero_extend(y, n));
    add(b, x, &complement, Wire::TRUE)
}

/// `-x mod 2^n`; n - 2 AND.
pub fn negate(b: &mut Builder, x: &[Wire]) -> Vec<Wire> {
    sub(b, &[], x)
}

/// Every bit inverted: `-x - 1`; free.
pub fn invert(b: &mut Builder, x: &[Wire]) -> Vec<Wire> {
    x.iter().map(|&x| b.not(x)).collect()
}

/// `select ? x : y`, bit by bit; n AND.
pub fn mux(b: &mut Builder, select: Wire, x: &[Wire], y: &[Wire]) -> Vec<Wire> {
    (0..x.len().max(y.len())).map(|i| b.mux(select, bit(x, i), bit(y, i))).collect()
}

/// `select ? x : 0`; n AND.
pub fn gate(b: &mut Builder, select: Wire, x: &[Wire]) -> Vec<Wire> {
    x.iter().map(|&x| b.and(select, x)).collect()
}

/// `x < y` as unsigned integers; n AND.
pub fn less_than_unsigned(b: &mut Builder, x: &[Wire], y: &[Wire]) -> Wire {
    // x - y borrows: the carry out of x + !y + 1 is clear.
    let mut carry = Wire::TRUE;
    for i in 0..x.len().max(y.len()) {
        let complement = b.not(bit(y, i));
        carry = majority(b, bit(x, i), complement, carry);
    }
    b.not(carry)
}

/// `x < y` as signed integers of the same width; n AND.
pub fn less_than_signed(b: &mut Builder, x: &[Wire], y: &[Wire]) -> Wire {
    let flip = |b: &mut Builder, x: &[Wire]| {
        let mut out = x.to_vec();
        if let Some(sign) = out.last_mut() {
            *sign = b.not(*sign);
        }
        out
    };
    let (x, y) = (flip(b, x), flip(b, y));
    less_than_unsigned(b, &x, &y)
}

/// `max(x, y)` of signed integers of the same width; 2n AND.
pub fn max(b: &mut Builder, x: &[Wire], y: &[Wire]) -> Vec<Wire> {
    let less = less_than_signed(b, x, y);
    mux(b, less, y, x)
}

/// `max(x, 0)` of a signed integer; n - 1 AND, and the last bit is the constant 0.
pub fn relu(b: &mut Builder, x: &[Wire]) -> Vec<Wire> {
    let Some((&sign, low)) = x.split_last() else { return Vec::new() };
    let positive = b.not(sign);
    let mut out = gate(b, positive, low);
    out.push(Wire::FALSE);
    out
}

/// `x = s + c mod 2^b` from the parties' shares, cut to `bits`; b - 1 AND.
///
/// The shares were truncated locally before (protocol.md, 5.1).
pub fn reconstruct(b: &mut Builder, s: &[Wire], c: &[Wire], bits: usize) -> Vec<Wire> {
    add(b, &zero_extend(s, bits), &zero_extend(c, bits), Wire::FALSE)
}

/// ReLU on shares: `max(s + c mod 2^b, 0) - r mod 2^l` with l the mask's width; 2b + l - 3 AND,
/// that is 68 for (b, l) = (17, 37) and 41 for (12, 20).
pub fn relu_on_shares(
    b: &mut Builder,
    s: &[Wire],
    c: &[Wire],
    bits: usize,
    mask: &[Wire],
) -> Vec<Wire> {
    let x = reconstruct(b, s, c, bits);
    let z = relu(b, &x);
    sub(b, &zero_extend(&z, mask.len()), mask)
}

/// Max-pool and ReLU on the shares of k elements: `max(0, max_i (s_i + c_i mod 2^b)) - r mod 2^l`
/// with l the mask's width; k (b - 1) + 2b (k - 1) + (b - 1) + (l - 1) AND. Both orders of maximum
/// and ReLU give the same value; this one is the cheaper.
pub fn max_pool_on_shares(
    b: &mut Builder,
    shares: &[(Vec<Wire>, Vec<Wire>)],
    bits: usize,
    mask: &[Wire],
) -> Vec<Wire> {
    let mut level: Vec<Vec<Wire>> =
        shares.iter().map(|(s, c)| reconstruct(b, s, c, bits)).collect();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [x, y] => max(b, x, y),
                rest => rest.concat(),
            })
            .collect();
    }
    let z = relu(b, &level.concat());
    sub(b, &zero_extend(&z, mask.len()), mask)
}

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

/// Bit `i`, or the constant 0 beyond the end.
fn bit(x: &[Wire], i: usize) -> Wire {
    x.get(i).copied().unwrap_or(Wire::FALSE)
}

/// The majority of three; 1 AND.
fn majority(b: &mut Builder, x: Wire, y: Wire, z: Wire) -> Wire {
    let (xz, yz) = (b.xor(x, z), b.xor(y, z));
    let both = b.and(xz, yz);
    b.xor(both, z)
}

/// Sum and carry of three bits; 1 AND.
fn full_adder(b: &mut Builder, x: Wire, y: Wire, z: Wire) -> (Wire, Wire) {
    let (xz, yz) = (b.xor(x, z), b.xor(y, z));
    let both = b.and(xz, yz);
    (b.xor(x, yz), b.xor(both, z))
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Binary = fn(&mut Builder, &[Wire], &[Wire]) -> Vec<Wire>;
    type Expected = fn(i64, i64) -> i64;

    /// Runs a circuit of two n-bit operands on 64 pairs at a time.
    fn check(
        n: usize,
        ands: usize,
        make: impl Fn(&mut Builder, &[Wire], &[Wire]) -> Vec<Wire>,
        expected: impl Fn(i64, i64) -> i64,
        pairs: &[(i64, i64)],
    ) {
        let mut b = Builder::new();
        let (x, y) = (b.inputs(n), b.inputs(n));
        let out = make(&mut b, &x, &y);
        let circuit = b.finish(&out);
        assert_eq!(circuit.and_count(), ands, "AND count at n = {n}");
        for pairs in pairs.chunks(64) {
            let mut words = vec![0u64; 2 * n];
            for (k, (x, y)) in pairs.iter().enumerate() {
                for i in 0..n {
                    words[i] |= (*x as u64 >> i & 1) << k;
                    words[n + i] |= (*y as u64 >> i & 1) << k;
                }
            }
            let results = circuit.evaluate_words(&words);
            for (k, (x, y)) in pairs.iter().enumerate() {
                let got = results.iter().rev().fold(0u64, |acc, word| acc << 1 | word >> k & 1);
                let mask = if results.len() == 64 { u64::MAX } else { (1 << results.len()) - 1 };
                assert_eq!(got, expected(*x, *y) as u64 & mask, "n = {n}, x = {x}, y = {y}");
            }
        }
    }

    fn all(n: usize) -> Vec<(i64, i64)> {
        let range = -(1i64 << (n - 1))..1 << (n - 1);
        range.clone().flat_map(|x| range.clone().map(move |y| (x, y))).collect()
    }

    #[test]
    fn properties_small_widths_exhaustively() {
        for n in 2..=5 {
            let pairs = all(n);
            let unsigned = |x: i64| x & ((1 << n) - 1);
            let binary: [(usize, Binary, Expected); 4] = [
                (n - 1, |b, x, y| add(b, x, y, Wire::FALSE), |x, y| x + y),
                (n - 1, |b, x, y| add(b, x, y, Wire::TRUE), |x, y| x + y + 1),
                (n - 1, |b, x, y| sub(b, x, y), |x, y| x - y),
                (2 * n, |b, x, y| max(b, x, y), |x, y| x.max(y)),
            ];
            for (ands, make, expected) in binary {
                check(n, ands, make, expected, &pairs);
            }
            check(
                n,
                n,
                |b, x, y| add_wide(b, x, y, Wire::FALSE),
                |x, y| unsigned(x) + unsigned(y),
                &pairs,
            );
            check(n, n, |b, x, y| vec![less_than_signed(b, x, y)], |x, y| (x < y) as i64, &pairs);
            check(
                n,
                n,
                |b, x, y| vec![less_than_unsigned(b, x, y)],
                |x, y| (unsigned(x) < unsigned(y)) as i64,
                &pairs,
            );
            check(n, n - 1, |b, x, _| relu(b, x), |x, _| x.max(0), &pairs);
            check(n, n - 2, |b, x, _| negate(b, x), |x, _| -x, &pairs);
            check(
                n,
                n,
                |b, x, y| mux(b, x[0], x, y),
                |x, y| if x & 1 == 1 { x } else { y },
                &pairs,
            );
            let ands = [1, 3, 8, 14][n - 2];
            check(n, ands, |b, x, _| square(b, x), |x, _| x * x, &pairs);
            let ands = [1, 5, 10, 19][n - 2];
            let square = |x: i64| unsigned(x) * unsigned(x);
            check(n, ands, |b, x, _| square_unsigned(b, x), |x, _| square(x), &pairs);
            let ands = n - 1;
            check(n, ands, |b, x, _| absolute(b, x), |x, _| x.abs(), &pairs);
        }
    }

    #[test]
    fn properties_squares_of_the_widths_in_use_exhaustively() {
        let counts = [(8, 48), (9, 62), (10, 80), (12, 120), (14, 168), (16, 224)];
        for (n, ands) in counts {
            let pairs: Vec<(i64, i64)> =
                (-(1i64 << (n - 1))..1 << (n - 1)).map(|x| (x, 0)).collect();
            check(n, ands, |b, x, _| square(b, x), |x, _| x * x, &pairs);
        }
    }

    #[test]
    fn known_answer_relu_on_shares_costs_2b_plus_l_minus_3() {
        for (bits, l, ands) in [(17, 37, 68), (12, 20, 41), (17, 32, 63), (14, 25, 50)] {
            let mut b = Builder::new();
            let (s, c, r) = (b.inputs(bits), b.inputs(bits), b.inputs(l));
            let out = relu_on_shares(&mut b, &s, &c, bits, &r);
            let circuit = b.finish(&out);
            assert_eq!(circuit.and_count(), ands);
            assert_eq!(circuit.output_count(), l);
        }
    }

    #[test]
    fn known_answer_max_pool_on_shares_costs_what_the_formula_says() {
        for (k, bits, l, ands) in [(4, 12, 20, 146), (9, 12, 20, 321), (9, 17, 37, 468)] {
            let mut b = Builder::new();
            let shares: Vec<_> = (0..k).map(|_| (b.inputs(bits), b.inputs(bits))).collect();
            let mask = b.inputs(l);
            let out = max_pool_on_shares(&mut b, &shares, bits, &mask);
            let circuit = b.finish(&out);
            assert_eq!(circuit.and_count(), ands);
            assert_eq!(ands, k * (bits - 1) + 2 * bits * (k - 1) + (bits - 1) + (l - 1));
            // Element n is n - 3 for n < k, shared as (value - n^2, n^2); the mask is 5.
            let field = |value: i64, width: usize| (0..width).map(move |i| value >> i & 1 == 1);
            let inputs: Vec<bool> = (0..k as i64)
                .flat_map(|n| field(n - 3 - n * n, bits).chain(field(n * n, bits)))
                .chain(field(5, l))
                .collect();
            let expected: Vec<bool> = field(k as i64 - 1 - 3 - 5, l).collect();
            assert_eq!(circuit.evaluate_plain(&inputs), expected);
        }
    }

    #[test]
    fn properties_sums_of_four_windows() {
        for (n, ands) in [(3, 8), (8, 23)] {
            check(
                n,
                ands,
                |b, x, y| {
                    let terms = [x, y, x, y].map(<[Wire]>::to_vec);
                    let mut shifted = terms.to_vec();
                    shifted[2].reverse();
                    sum_signed(b, &shifted, n + 2)
                },
                |x, y| {
                    let mut reversed = 0;
                    for i in 0..n {
                        reversed |= (x >> i & 1) << (n - 1 - i);
                    }
                    let reversed = reversed << (64 - n) >> (64 - n);
                    x + y + reversed + y
                },
                &all(n),
            );
        }
    }

    proptest! {
        #[test]
        fn properties_shared_relu_of_any_shares(
            x in -(1i64 << 16)..1 << 16, c in any::<u64>(), r in any::<u64>(),
        ) {
            let (bits, l) = (17, 37);
            let mut b = Builder::new();
            let (s, cw, rw) = (b.inputs(bits), b.inputs(bits), b.inputs(l));
            let out = relu_on_shares(&mut b, &s, &cw, bits, &rw);
            let circuit = b.finish(&out);
            let (c, r) = (c & ((1 << bits) - 1), r & ((1 << l) - 1));
            let s = (x as u64).wrapping_sub(c);
            let value = |v: u64, n: usize| (0..n).map(move |i| v >> i & 1 == 1);
            let inputs: Vec<bool> =
                value(s, bits).chain(value(c, bits)).chain(value(r, l)).collect();
            let got = circuit
                .evaluate_plain(&inputs)
                .iter()
                .rev()
                .fold(0u64, |acc, &bit| acc << 1 | u64::from(bit));
            prop_assert_eq!(got.wrapping_add(r) & ((1 << l) - 1), x.max(0) as u64);
        }
    }
}
