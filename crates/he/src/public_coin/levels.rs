//! What a request sends of `low = v mod 2^k`: its level `floor(low Q / 2^k)`, `Q = floor(2^h)`
//! (docs/protocol.md, 3.3). The server completes a level by its middle, and where that lies between two
//! numbers by one of them at random: the error is within `2^k / 2Q` and 0 on average. Half a unit to the
//! same side everywhere would be multiplied by the sum of a response's weights.
//!
//! h is a multiple of 1/4: four levels, as digits to base Q, take exactly 4h bits. For whole h that
//! is the top h bits of every `low`, one after another.

use gazelle_wire::{DecodeError, packed};

use crate::public_coin::parameters::Parameters;

/// Coefficients per packed word where h is not whole.
const DIGITS: usize = 4;

/// Cuts `v mod 2^k` into levels and packs them: `N h` bits. `v` ends with the levels.
pub(crate) fn pack(parameters: &Parameters, v: &mut [u64], out: &mut Vec<u8>) {
    let (k, quarters) = (parameters.noise_bits(), parameters.kept_quarters());
    let low = u64::MAX >> (64 - k);
    if quarters.is_multiple_of(4) {
        let h = quarters / 4;
        for v in v.iter_mut() {
            *v = (*v & low) >> (k - h);
        }
        packed::pack(v, h, out);
        return;
    }
    let levels = parameters.levels();
    for digits in v.chunks_mut(DIGITS) {
        for v in digits.iter_mut() {
            *v = ((*v & low) * levels) >> k;
        }
        let word = digits.iter().rev().fold(0, |word, digit| word * levels + digit);
        if let Some(first) = digits.first_mut() {
            *first = word;
        }
    }
    // The words move together at the front.
    for i in 1..v.len() / DIGITS {
        v.swap(i, i * DIGITS);
    }
    let (words, _) = v.split_at(v.len() / DIGITS);
    packed::pack(words, quarters, out);
}

/// Twice the middle of each level of one polynomial: the sum of the least and the largest `low` in it.
///
/// # Errors
/// [`DecodeError`] if bytes are missing or a digit is not below Q.
pub(crate) fn unpack(parameters: &Parameters, bytes: &[u8]) -> Result<Vec<u64>, DecodeError> {
    let (n, k) = (parameters.degree(), parameters.noise_bits());
    let quarters = parameters.kept_quarters();
    if quarters.is_multiple_of(4) {
        let h = quarters / 4;
        let missing = k - h;
        let mut levels = packed::unpack(bytes, h, n)?;
        for level in &mut levels {
            *level = (*level << (missing + 1)) + ((1 << missing) - 1);
        }
        return Ok(levels);
    }
    let levels = Divisor::new(parameters.levels());
    let (count, pairs) = (levels.divisor, Divisor::new(levels.divisor * levels.divisor));
    // The least `low` of a level; divided, because a table of all levels would not stay near the core.
    let first = |level: u64| levels.of((level << k) + (count - 1)).0;
    let doubled_middle = |level: u64| first(level) + first(level + 1) - 1;
    let mut doubled = Vec::with_capacity(n);
    for word in packed::unpack(bytes, quarters, n / DIGITS)? {
        let (high, low) = pairs.of(word);
        let ((fourth, third), (second, first)) = (levels.of(high), levels.of(low));
        if fourth >= count {
            return Err(DecodeError::Invalid("a level of a request"));
        }
        doubled.extend([first, second, third, fourth].map(doubled_middle));
    }
    Ok(doubled)
}

/// Division by multiplication.
struct Divisor {
    divisor: u64,
    /// `floor((2^64 - 1) / divisor)`.
    inverse: u64,
}

impl Divisor {
    /// By 2 or more.
    fn new(divisor: u64) -> Self {
        Self { divisor, inverse: u64::MAX / divisor }
    }

    /// Quotient and remainder. `inverse` lies below `2^64 / divisor` by at most 1, so the estimate
    /// `x inverse / 2^64` below `x / divisor` by less than 1: its floor is the quotient or one less.
    fn of(&self, x: u64) -> (u64, u64) {
        let estimate = ((u128::from(x) * u128::from(self.inverse)) >> 64) as u64;
        let rest = x - estimate * self.divisor;
        let more = u64::from(rest >= self.divisor);
        (estimate + more, rest - more * self.divisor)
    }
}

/// Completes a level, given as [`unpack`] does, by its middle; `coin`: 0 or 1, uniform, settles which
/// of two.
pub(crate) fn complete(doubled: u64, coin: u64) -> u64 {
    (doubled + coin) >> 1
}

#[cfg(test)]
mod tests {
    use gazelle_prg::{Prg, Seed, sample};

    use super::*;

    #[test]
    fn every_width_keeps_low_within_half_a_level() {
        let k = 13;
        let whole = Parameters::new(2048, 37, k, 1, 10).unwrap();
        let mut v = vec![0u64; 2048];
        sample::uniform(&mut Prg::new(&Seed::from_bytes([1; 16]), 0), 50, &mut v);
        v[..3].copy_from_slice(&[0, (1 << k) - 1, u64::MAX >> 14]);
        for quarters in 4..=4 * k {
            let parameters = whole.with_kept_quarters(quarters).unwrap();
            let mut bytes = Vec::new();
            pack(&parameters, &mut v.clone(), &mut bytes);
            assert_eq!(bytes.len() * 32, 2048 * quarters as usize);
            let half = (1u64 << k).div_ceil(2 * parameters.levels());
            let doubled = unpack(&parameters, &bytes).unwrap();
            assert_eq!(doubled.len(), v.len());
            for (doubled, v) in doubled.iter().zip(&v) {
                for coin in [0, 1] {
                    let low = complete(*doubled, coin);
                    assert!(low.abs_diff(v & 0x1fff) <= half, "{quarters}: {low} for {v}");
                }
            }
        }
    }

    /// Over all `low` and coins; the variance is what the error model counts, or a little less.
    #[test]
    fn errors_are_zero_on_average_for_every_width() {
        let k = 13;
        let whole = Parameters::new(2048, 37, k, 1, 10).unwrap();
        for quarters in 4..=4 * k {
            let parameters = whole.with_kept_quarters(quarters).unwrap();
            let (mut sum, mut squares) = (0i64, 0i64);
            for first in (0..1u64 << k).step_by(2048) {
                let lows: Vec<u64> = (first..first + 2048).collect();
                let mut bytes = Vec::new();
                pack(&parameters, &mut lows.clone(), &mut bytes);
                for (doubled, low) in unpack(&parameters, &bytes).unwrap().iter().zip(&lows) {
                    for coin in [0, 1] {
                        let error = complete(*doubled, coin) as i64 - *low as i64;
                        sum += error;
                        squares += error * error;
                    }
                }
            }
            assert_eq!(sum, 0, "{quarters}");
            let variance = squares as f64 / f64::from(2 << k);
            let level = f64::from(1 << k) / parameters.levels() as f64;
            assert!(variance <= (level.powi(2) + 3.0) / 12.0, "{quarters}: {variance}");
            assert!(quarters < 4 * k || squares == 0);
        }
    }

    #[test]
    fn division_by_multiplication_is_division() {
        for divisor in [2u64, 3, 19, 55_108, 55_108 * 55_108, (1 << 31) - 1] {
            let by = Divisor::new(divisor);
            let around = |x: u64| [x.saturating_sub(1), x, x + 1];
            let last = u64::MAX / divisor * divisor;
            for x in [0, divisor, 7 * divisor, last - 1, u64::MAX - 1].into_iter().flat_map(around)
            {
                assert_eq!(by.of(x), (x / divisor, x % divisor), "{x} / {divisor}");
            }
        }
    }

    #[test]
    fn levels_are_as_many_as_fit() {
        let levels = |quarters| {
            let whole = Parameters::new(2048, 30, 18, 1, 10).unwrap();
            whole.with_kept_quarters(quarters).unwrap().levels()
        };
        let expected = [(4, 2), (16, 16), (17, 19), (18, 22), (19, 26), (14, 11), (63, 55_108)];
        assert_eq!(expected.map(|(quarters, _)| (quarters, levels(quarters))), expected);
        for quarters in 4..64 {
            let levels = u128::from(levels(quarters));
            assert!(levels.pow(4) <= 1 << quarters && (levels + 1).pow(4) > 1 << quarters);
        }
    }

    #[test]
    fn digits_beyond_the_last_level_are_refused() {
        let parameters =
            Parameters::new(2048, 37, 13, 1, 10).unwrap().with_kept_quarters(17).unwrap();
        let bytes = |word: u64| {
            let mut out = Vec::new();
            packed::pack(&[&[word][..], &[0; 511]].concat(), 17, &mut out);
            out
        };
        assert!(unpack(&parameters, &bytes(19u64.pow(4) - 1)).is_ok());
        assert!(unpack(&parameters, &bytes(19u64.pow(4))).is_err());
        assert!(unpack(&parameters, &bytes(0)[1..]).is_err());
    }
}
