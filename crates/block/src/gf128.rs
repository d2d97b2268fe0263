//! The field GF(2^128) = GF(2)\[x\] / (x^128 + x^7 + x^2 + x + 1), bit k of a [`Block`] standing for x^k.
//!
//! Sums are XOR. Products are carry-less: [`portable`] is the definition, PCLMULQDQ takes over where
//! the processor has it, its multiplier of integers elsewhere. All are constant time.

mod spread;
#[cfg(target_arch = "x86_64")]
mod x86;

use zeroize::Zeroize;

use crate::block::Block;
use spread::{Spread, SpreadSum};

/// The one.
pub(crate) const ONE: Block = Block(1);

/// The product `a b`.
pub fn mul(a: Block, b: Block) -> Block {
    let (low, high) = wide_mul(a, b);
    reduce(low, high)
}

/// Factors that meet many others.
struct CommonFactors<'a> {
    blocks: &'a [Block],
    /// Of each block; empty where there is an instruction.
    spread: Vec<Spread>,
}

impl<'a> CommonFactors<'a> {
    fn new(blocks: &'a [Block]) -> Self {
        #[cfg(target_arch = "x86_64")]
        if x86::multiplies() {
            return Self { blocks, spread: Vec::new() };
        }
        Self { blocks, spread: blocks.iter().map(|block| Spread::new(block.0)).collect() }
    }

    /// The sum of `a_i b_i`, reduced once. What the longer of the two has too much counts as zero.
    ///
    /// Cost: four carry-less multiplications per pair.
    fn inner_product(&self, a: &[Block]) -> Block {
        #[cfg(target_arch = "x86_64")]
        if let Some((low, high)) = x86::wide_inner_product(a, self.blocks) {
            return reduce(low, high);
        }
        let (used, _) = a.split_at(a.len().min(self.blocks.len()));
        spread_product(used, &self.spread)
    }
}

/// [`CommonFactors::inner_product`] by the multiplier of integers.
fn spread_product(a: &[Block], b: &[Spread]) -> Block {
    let mut sum = SpreadSum::zero();
    for (a, b) in a.iter().zip(b) {
        sum.add(&Spread::new(a.0), b);
    }
    let (low, high) = sum.wide();
    sum.zeroize();
    reduce(low, high)
}

/// `sums[j] ^= sum_i r_{j,i} b_i` over the rows j of a matrix of little-endian bytes, `width` pieces each;
/// b has as many.
///
/// Cost: three or four carry-less multiplications per piece, a reduction per row.
pub fn add_row_products(sums: &mut [Block], rows: &[[u8; 16]], width: usize, b: &[Block]) {
    #[cfg(target_arch = "x86_64")]
    if x86::add_row_products(sums, rows, width, b) {
        return;
    }
    let (mut blocks, factors) = (vec![Block::ZERO; width], CommonFactors::new(b));
    for (sum, row) in sums.iter_mut().zip(rows.chunks_exact(width.max(1))) {
        for (block, bytes) in blocks.iter_mut().zip(row) {
            *block = Block::from_bytes(*bytes);
        }
        *sum ^= factors.inner_product(&blocks);
    }
    blocks.zeroize();
}

/// `x, x^2, .., x^count`.
pub fn powers(x: Block, count: usize) -> Vec<Block> {
    let mut power = ONE;
    let next = |_| {
        power = mul(power, x);
        power
    };
    (0..count).map(next).collect()
}

/// The polynomials `sum_i v_{i,j} x^{i + 1}` of interleaved lists j, `v_{i,j} = values[i * lists + j]`;
/// `powers` are `x, x^2, ..` for a run of values.
///
/// Cost: four carry-less multiplications per value, and a product per list and run.
pub fn polynomials(values: &[Block], lists: usize, powers: &[Block]) -> Vec<Block> {
    let mut sums = vec![Block::ZERO; lists];
    let Some(step) = powers.last() else { return sums };
    let (mut run, factors) = (vec![Block::ZERO; powers.len()], CommonFactors::new(powers));
    for rows in values.chunks((lists * powers.len()).max(1)).rev() {
        for sum in &mut sums {
            *sum = mul(*sum, *step);
        }
        #[cfg(target_arch = "x86_64")]
        if x86::add_column_products(&mut sums, rows, powers) {
            continue;
        }
        for (list, sum) in sums.iter_mut().enumerate() {
            let own = rows.iter().skip(list).step_by(lists);
            let length = own.len();
            run.iter_mut().zip(own).for_each(|(slot, value)| *slot = *value);
            let (own, _) = run.split_at(length);
            *sum ^= factors.inner_product(own);
        }
    }
    run.zeroize();
    sums
}

/// `base` to the power `exponent`, in time that depends on neither.
pub fn pow(base: Block, exponent: u128) -> Block {
    pow_of_bits(base, exponent, 128)
}

/// As [`pow`], of an exponent below `2^bits`: time follows from `bits`.
pub fn pow_of_bits(base: Block, exponent: u128, bits: u32) -> Block {
    let mut power = ONE;
    for bit in (0..bits).rev() {
        power = mul(power, power);
        let times = mul(power, base);
        power ^= (power ^ times).select(exponent >> bit & 1 == 1);
    }
    power
}

/// The inverse of `a`, by Fermat; zero for zero.
pub fn invert(a: Block) -> Block {
    pow(a, u128::MAX - 1)
}

/// The definition of [`mul`]: bit by bit, without carry-less instructions.
pub fn portable(a: Block, b: Block) -> Block {
    let (mut sum, mut shifted) = (Block::ZERO, a);
    for bit in 0..128 {
        sum ^= shifted.select(b.bit(bit));
        shifted = Block(shifted.0 << 1 ^ 0x87 & (shifted.0 >> 127).wrapping_neg());
    }
    sum
}

/// The product of the polynomials, 255 bits: (low 128, high 127).
fn wide_mul(a: Block, b: Block) -> (u128, u128) {
    #[cfg(target_arch = "x86_64")]
    if let Some(product) = x86::wide_mul(a.0, b.0) {
        return product;
    }
    wide_portable(a.0, b.0)
}

/// By the multiplier of integers.
fn wide_portable(a: u128, b: u128) -> (u128, u128) {
    let mut product = SpreadSum::zero();
    product.add(&Spread::new(a), &Spread::new(b));
    product.wide()
}

/// `low + high x^128` modulo the polynomial: x^128 = x^7 + x^2 + x + 1, twice for what runs over.
const fn reduce(low: u128, high: u128) -> Block {
    let over = high >> 121 ^ high >> 126 ^ high >> 127;
    let high = high ^ over;
    Block(low ^ high ^ high << 1 ^ high << 2 ^ high << 7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Vectors from tests/vectors/gf128.py: schoolbook polynomials over Python's integers.
    #[test]
    fn known_answers_of_an_independent_program() {
        let text = include_str!("../tests/vectors/gf128.txt");
        let mut count = 0;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let numbers: Vec<u128> =
                line.split_whitespace().map(|n| u128::from_str_radix(n, 16).unwrap()).collect();
            let [a, b, product] = [0, 1, 2].map(|i| Block(numbers[i]));
            assert!(mul(a, b) == product && portable(a, b) == product, "{line}");
            let (low, high) = wide_portable(a.0, b.0);
            assert!(reduce(low, high) == product, "{line}");
            count += 1;
        }
        assert_eq!(count, 16);
    }

    proptest! {
        #[test]
        fn properties_the_field_laws_hold(a in any::<u128>(), b in any::<u128>(), c in any::<u128>()) {
            let (a, b, c) = (Block(a), Block(b), Block(c));
            prop_assert!(mul(a, b) == portable(a, b));
            let (low, high) = wide_portable(a.0, b.0);
            prop_assert!(reduce(low, high) == portable(a, b));
            let spread = [b, a].map(|b| Spread::new(b.0));
            prop_assert!(spread_product(&[a, c], &spread) == mul(a, b) ^ mul(c, a));
            prop_assert!(mul(a, b) == mul(b, a));
            prop_assert!(mul(a, mul(b, c)) == mul(mul(a, b), c));
            prop_assert!(mul(a, b ^ c) == mul(a, b) ^ mul(a, c));
            prop_assert!(mul(a, ONE) == a && mul(a, Block::ZERO) == Block::ZERO);
            prop_assert!(CommonFactors::new(&[c, a]).inner_product(&[a, b]) == mul(a, c) ^ mul(b, a));
            prop_assert!(a == Block::ZERO || mul(a, invert(a)) == ONE);
            prop_assert!(pow(a, 5) == mul(a, mul(mul(a, a), mul(a, a))));
            prop_assert!(pow_of_bits(a, 5, 3) == pow(a, 5) && pow_of_bits(a, 1, 1) == a);
        }
    }

    #[test]
    fn conformance_products_of_rows_equal_their_definition() {
        let block = |i: usize| Block((i as u128 + 3).wrapping_mul(u128::MAX / 7));
        for (rows, width) in [(128, 64), (128, 65), (3, 1), (5, 7), (1, 4), (2, 0)] {
            let bytes: Vec<[u8; 16]> = (0..rows * width).map(|i| block(i).to_bytes()).collect();
            let b: Vec<Block> = (0..width).map(|i| block(i * i + 1)).collect();
            let mut sums: Vec<Block> = (0..rows).map(|j| Block(j as u128)).collect();
            add_row_products(&mut sums, &bytes, width, &b);
            for (j, sum) in sums.iter().enumerate() {
                let products = (0..width).map(|i| portable(block(j * width + i), b[i]));
                assert!(*sum == products.fold(Block(j as u128), |a, b| a ^ b), "{width}: {j}");
            }
        }
    }

    #[test]
    fn conformance_sums_equal_their_definition_at_every_length() {
        let block = |i: u128| Block((i + 3).wrapping_mul(u128::MAX / 7));
        for count in [0usize, 1, 2, 3, 4, 5, 7, 8, 63, 64, 65, 200] {
            let a: Vec<Block> = (0..count as u128).map(block).collect();
            let b: Vec<Block> = (0..count as u128).map(|i| block(i * i + 1)).collect();
            let sum = a.iter().zip(&b).fold(Block::ZERO, |sum, (a, b)| sum ^ portable(*a, *b));
            assert!(CommonFactors::new(&b).inner_product(&a) == sum);
            let spread: Vec<Spread> = b.iter().map(|b| Spread::new(b.0)).collect();
            assert!(spread_product(&a, &spread) == sum);
            let x = block(99);
            for lists in [1, 2, 3, 8] {
                let list = |j| a.iter().skip(j).step_by(lists);
                let horner = |j| list(j).rev().fold(Block::ZERO, |sum, a| portable(sum ^ *a, x));
                let sums: Vec<Block> = (0..lists).map(horner).collect();
                for run in [1, 3, 64] {
                    let got = polynomials(&a, lists, &powers(x, run));
                    assert!(got == sums, "{count} {lists} {run}");
                }
            }
        }
        assert!(polynomials(&[ONE], 1, &[]) == [Block::ZERO] && powers(Block(2), 3)[2].0 == 8);
    }

    #[test]
    fn properties_zero_has_no_inverse_and_the_group_has_its_order() {
        assert!(invert(Block::ZERO) == Block::ZERO);
        assert!(pow(Block(2), u128::MAX) == ONE);
        assert!(pow(Block(2), u128::MAX / 3) != ONE && pow(Block(2), u128::MAX / 5) != ONE);
        assert!(CommonFactors::new(&[]).inner_product(&[]) == Block::ZERO);
    }
}
