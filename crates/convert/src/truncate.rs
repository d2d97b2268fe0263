//! Truncation and reduction of additive shares: local, without a message (protocol.md 5.1).
//!
//! | client | server |
//! |---|---|
//! | [`truncate_client`]: `x_C >> t` | [`truncate_server`]: `(x_S + 2^t - 1 mod 2^l) >> t` |
//!
//! Both shift as unsigned integers; from then on the value lives in `Z_{2^(l-t)}`. With
//! `y_S = x_S + 2^t - 1`, `(y_S >> t) + (x_C >> t) = floor((x + 2^t - 1) / 2^t) - carry`, where
//! carry is 1 iff the low bits of `y_S` and `x_C` overflow: x / 2^t rounded up or down, with the
//! probability of rounding up equal to the fraction dropped if `x_C` is uniform.

use gazelle_share::Shares;
use gazelle_share::shares::{ring_mask, to_signed};

/// The client's half: `x_C >> t` over `Z_{2^(l-t)}`, for `t < l`.
///
/// Costs nothing on the wire. Correct if both parties call their half and
/// `-2^(l-1) <= x <= 2^(l-1) - 2^t`.
#[must_use]
pub fn truncate_client(x: Shares, t: u32) -> Shares {
    let bits = x.bits() - t;
    let words = x.into_words().into_iter().map(|word| word >> t).collect();
    Shares::new(bits, words)
}

/// The server's half: `(x_S + 2^t - 1 mod 2^l) >> t` over `Z_{2^(l-t)}`, for `t < l`.
///
/// Costs nothing on the wire.
#[must_use]
pub fn truncate_server(x: Shares, t: u32) -> Shares {
    truncate_server_with(x, t, (1u64 << t) - 1)
}

/// As [`truncate_server`], adding `offset` instead of `2^t - 1`: 0 rounds down in the mean by half
/// a unit; `2^(t-1) + 2^t - 1` rounds `x + 2^(t-1)`.
#[must_use]
pub fn truncate_server_with(x: Shares, t: u32, offset: u64) -> Shares {
    let l = x.bits();
    let mask = ring_mask(l);
    let words =
        x.into_words().into_iter().map(|word| (word.wrapping_add(offset) & mask) >> t).collect();
    Shares::new(l - t, words)
}

/// The ideal version, on values: what [`truncate_server`] and [`truncate_client`] compute for
/// `x = x_S + x_C`, read as signed. Insecure: it sees both shares.
pub fn ideal(x_server: &Shares, x_client: &Shares, t: u32) -> Vec<i64> {
    let l = x_server.bits();
    let low = (1u64 << t) - 1;
    let pairs = x_server.words().iter().zip(x_client.words());
    pairs
        .map(|(s, c)| {
            let x = to_signed(s.wrapping_add(*c) & ring_mask(l), l);
            let carry = ((s.wrapping_add(low) & low) + (c & low)) >> t;
            ((x + low as i64) >> t) - carry as i64
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reconstruct(s: &Shares, c: &Shares) -> Vec<i64> {
        let sum = s.clone().add(c);
        sum.words().iter().map(|word| to_signed(*word, sum.bits())).collect()
    }

    #[test]
    fn conformance_all_shares_of_all_values_of_a_small_ring_round_up_or_down() {
        for (l, t) in [(8, 3), (7, 1), (6, 0), (9, 4)] {
            let half = 1i64 << (l - 1);
            for x in -half..=half - (1 << t) {
                let mut up = 0u64;
                for c in 0..1u64 << l {
                    let client = Shares::new(l, vec![c]);
                    let server = Shares::new(l, vec![(x as u64).wrapping_sub(c)]);
                    let expected = ideal(&server, &client, t);
                    let got = reconstruct(&truncate_server(server, t), &truncate_client(client, t));
                    assert_eq!(got, expected);
                    let floor = x >> t;
                    assert!(got[0] == floor || (got[0] == floor + 1 && x & ((1 << t) - 1) != 0));
                    up += u64::from(got[0] != floor);
                }
                // Unbiased: rounded up as often as the fraction says.
                assert_eq!(up << t, (x as u64 & ((1 << t) - 1)) << l);
            }
        }
    }

    proptest! {
        #[test]
        fn properties_truncation_is_within_one_unit(x in -(1i64 << 35)..(1i64 << 35), c: u64, t in 0u32..20) {
            let l = 37;
            let client = Shares::new(l, vec![c]);
            let server = Shares::new(l, vec![(x as u64).wrapping_sub(c)]);
            let got = reconstruct(&truncate_server(server, t), &truncate_client(client, t))[0];
            prop_assert!(got == x >> t || got == (x >> t) + 1);
        }
    }
}
