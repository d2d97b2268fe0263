//! All shares of small rings, and what is sent.

use gazelle_share::shares::to_signed;

use super::*;
use crate::testing::{all_pairs, assert_balanced, execute};

/// The ideal version: the server's share of the result under the client's share `mask`. Insecure: it
/// sees all.
fn ideal(clip: &FaithfulClip, x: &[u64], mask: &[u64]) -> Vec<u64> {
    let ring = clip.operand_bits();
    let value = |x: &u64| {
        let v = to_signed(x & ring_mask(ring), ring) >> clip.drop;
        v.clamp(0, clip.high as i64) as u64
    };
    x.iter().map(value).zip(mask).map(|(z, r)| z.wrapping_sub(*r) & ring_mask(clip.to)).collect()
}

fn check(clip: &FaithfulClip, seed: u64, xs: &[u64], xc: &[u64]) {
    let run = execute(clip, seed, (xs, xc), &[]);
    let values: Vec<u64> = xs.iter().zip(xc).map(|(s, c)| s.wrapping_add(*c)).collect();
    assert_eq!(run.server, ideal(clip, &values, &run.client), "{clip:?}");
}

/// Below -2^(b-1) + h the second comparison wraps: all values are gone through.
#[test]
fn conformance_every_pair_of_shares_of_small_rings_is_clipped_at_every_height() {
    for (bits, drop) in [(2, 1), (3, 1), (3, 3), (4, 2)] {
        let (xs, xc) = all_pairs(bits + drop);
        for high in 1..1 << (bits - 1) {
            for (seed, more) in [0, 0, 1, 5].into_iter().enumerate() {
                let clip = FaithfulClip::new((bits, drop, bits + more), high, seed % 2);
                check(&clip, seed as u64, &xs, &xc);
            }
        }
    }
}

#[test]
fn properties_wide_rings_are_clipped_exactly() {
    for (bits, drop, to, high) in
        [(12, 9, 12, 1535), (17, 14, 48, 1), (9, 6, 20, 255), (8, 3, 8, 77)]
    {
        let words = |salt: u64| -> Vec<u64> {
            let mix = |i: u64| (i + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7;
            (0..2000).map(|i| mix(i) & ring_mask(bits + drop)).collect()
        };
        let clip = FaithfulClip::new((bits, drop, to), high, drop as usize % 2);
        check(&clip, 1, &words(3), &words(1 << 20));
    }
}

#[test]
fn transcript_every_sent_plane_is_balanced_for_fixed_shares() {
    for (s, c) in [(0, 0), (127, 127), (85, 43)] {
        for to in [4, 9] {
            let clip = FaithfulClip::new((4, 3, to), 5, 0);
            let run = execute(&clip, 2, (&vec![s; 4096], &vec![c; 4096]), &[]);
            assert_balanced(&run.sent.0);
            assert_balanced(&run.sent.1);
        }
    }
}
