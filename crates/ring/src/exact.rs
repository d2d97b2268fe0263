//! Exact products with secrets by splitting the uniform operand.
//!
//! A product with a secret must not carry an error that depends on the secret (docs/protocol.md,
//! 3.5). So the uniform operand, centred mod `2^bits`, is written as `sum_j d_j 2^{j width}` with
//! balanced digits `|d_j| <= 2^{width - 1}`, width at most 27; each digit polynomial is multiplied by
//! the secret with one FFT product and rounded to the nearest integer; the digits are put together
//! in wrapping arithmetic.
//!
//! Rounding is right if the FFT error stays under 1/2. With u = 2^-53 and `L = log2(N/2) + 1` levels
//! (the twist counted as one), a transform has a relative 2-norm error of at most `7 L u` (Higham,
//! Accuracy and Stability of Numerical Algorithms, 24.1: `u + 4u (sqrt 2 + u)` per level), so digit d
//! times secret s has in every coefficient an error of at most
//! `7 L u ||d||_2 ||s||_2 (2 + g)`, with `g = max_k |s(zeta_k)| / ||s||_2` for the inverse transform.
//! The values of s at the roots of unity are sub-Gaussian of deviation `||s||_2`: g > 10 has
//! probability under N 2^-70. At N = 4096 (L = 12), uniform digits of 27 bits (`||d||_2` about
//! 2^31.2) and a secret of deviation 6.4 (`||s||_2` about 2^8.7) this is 2^-3.3; at the widths that
//! are used (24 or 25 bits at N = 2048, 21 at 4096) below 2^-6; ternary secrets have another factor 8
//! of room. That is the worst case over signs of rounding errors; the tests find less than 2^-8 on
//! uniform and on extreme operands.

/// Largest digit width.
pub const MAX_DIGIT_BITS: u32 = 27;

/// Number and width of the digits of a modulus of `bits` bits: as few as fit, equally wide.
pub fn digits_of(bits: u32) -> (usize, u32) {
    let count = bits.div_ceil(MAX_DIGIT_BITS).max(1);
    (count as usize, bits.div_ceil(count))
}

#[cfg(test)]
mod tests {
    use super::digits_of;

    #[test]
    fn digits_cover_the_modulus_in_equal_parts() {
        for (bits, digits) in
            [(27, (1, 27)), (48, (2, 24)), (54, (2, 27)), (62, (3, 21)), (64, (3, 22))]
        {
            assert_eq!(digits_of(bits), digits);
        }
    }
}
