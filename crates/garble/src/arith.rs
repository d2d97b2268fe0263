//! Integer arithmetic on wires, lowest bit first, two's complement.
//!
//! AND counts are for wires that are not constant; constants fold. n is the width, and both
//! operands have it unless said otherwise: the shorter one is read as if zero-extended.

pub(crate) mod columns;

use crate::builder::{Builder, Wire};
pub use columns::{absolute, square, square_unsigned, sum, sum_signed};

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
pub(crate) fn add_wide(b: &mut Builder, x: &[Wire], y: &[Wire], carry: Wire) -> Vec<Wire> {
    let n = x.len().max(y.len());
    add(b, &zero_extend(x, n + 1), &zero_extend(y, n + 1), carry)
}

/// `x - y mod 2^n`; n - 1 AND.
pub fn sub(b: &mut Builder, x: &[Wire], y: &[Wire]) -> Vec<Wire> {
    let n = x.len().max(y.len());
    let complement = invert(b, &zero_extend(y, n));
    add(b, x, &complement, Wire::TRUE)
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

/// Bit `i`, or the constant 0 beyond the end.
pub(crate) fn bit(x: &[Wire], i: usize) -> Wire {
    x.get(i).copied().unwrap_or(Wire::FALSE)
}

/// The majority of three; 1 AND.
fn majority(b: &mut Builder, x: Wire, y: Wire, z: Wire) -> Wire {
    let (xz, yz) = (b.xor(x, z), b.xor(y, z));
    let both = b.and(xz, yz);
    b.xor(both, z)
}

/// Sum and carry of three bits; 1 AND.
pub(crate) fn full_adder(b: &mut Builder, x: Wire, y: Wire, z: Wire) -> (Wire, Wire) {
    let (xz, yz) = (b.xor(x, z), b.xor(y, z));
    let both = b.and(xz, yz);
    (b.xor(x, yz), b.xor(both, z))
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
