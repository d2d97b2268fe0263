//! What a request sends of `low = v mod 2^k`: its level `floor(low Q / 2^k)`, `Q = floor(2^h)`
//! (docs/protocol.md, 3.3). The server completes a level by its midpoint; the error is uniform within
//! `2^k / 2Q`.
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

/// The levels of one polynomial, each completed by its midpoint: within `2^k / 2Q` of `low`.
///
/// # Errors
/// [`DecodeError`] if bytes are missing or a digit is not below Q.
pub(crate) fn unpack(parameters: &Parameters, bytes: &[u8]) -> Result<Vec<u64>, DecodeError> {
    let (n, k) = (parameters.degree(), parameters.noise_bits());
    let quarters = parameters.kept_quarters();
    if quarters.is_multiple_of(4) {
        let h = quarters / 4;
        let missing = k - h;
        let midpoint = (1u64 << missing) >> 1;
        let mut levels = packed::unpack(bytes, h, n)?;
        for level in &mut levels {
            *level = (*level << missing) | midpoint;
        }
        return Ok(levels);
    }
    let levels = parameters.levels();
    let midpoints: Vec<u64> =
        (0..levels).map(|level| ((2 * level + 1) << (k - 1)) / levels).collect();
    let mut low = Vec::with_capacity(n);
    for mut word in packed::unpack(bytes, quarters, n / DIGITS)? {
        for _ in 0..DIGITS {
            low.extend(midpoints.get((word % levels) as usize));
            word /= levels;
        }
        if word != 0 {
            return Err(DecodeError::Invalid("a level of a request"));
        }
    }
    Ok(low)
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
            let low = unpack(&parameters, &bytes).unwrap();
            assert_eq!(low.len(), v.len());
            for (low, v) in low.iter().zip(&v) {
                assert!(low.abs_diff(v & 0x1fff) <= half, "{quarters}: {low} for {v}");
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
