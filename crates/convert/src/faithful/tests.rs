//! All shares of small rings, what is sent, and views.

use gazelle_share::shares::to_signed;

use super::*;
use crate::testing::{Dealt, all_pairs, assert_balanced, execute};

/// The ideal version: the server's share of max(floor(x / 2^T), 0) under the client's share `mask`.
/// Insecure: it sees all.
fn ideal(relu: &FaithfulRelu, x: &[u64], mask: &[u64]) -> Vec<u64> {
    let ring = relu.operand_bits();
    let value = |x: &u64| (to_signed(x & ring_mask(ring), ring) >> relu.drop).max(0) as u64;
    x.iter().map(value).zip(mask).map(|(z, r)| z.wrapping_sub(*r) & ring_mask(relu.to)).collect()
}

#[test]
fn conformance_every_pair_of_shares_of_small_rings_gives_the_exact_relu() {
    for (bits, drop) in [(2, 1), (2, 3), (3, 2), (4, 1), (4, 3), (3, 4), (5, 2)] {
        let (xs, xc) = all_pairs(bits + drop);
        for (seed, more) in [0, 0, 0, 1, 3, 8].into_iter().enumerate() {
            let to = bits + more;
            let relu = FaithfulRelu::extended(bits, drop, to, seed % 2);
            let run = execute(&relu, seed as u64, (&xs, &xc), &[]);
            let values: Vec<u64> = xs.iter().zip(&xc).map(|(s, c)| s.wrapping_add(*c)).collect();
            let case = format!("{bits} above {drop}, to {to}");
            assert_eq!(run.server, ideal(&relu, &values, &run.client), "{case}");
        }
    }
}

#[test]
fn properties_wide_rings_give_the_exact_relu() {
    for (bits, drop, to) in
        [(12, 9, 12), (17, 14, 17), (10, 20, 10), (12, 3, 12), (12, 9, 20), (17, 14, 48)]
    {
        let words = |salt: u64| -> Vec<u64> {
            let mix = |i: u64| (i + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7;
            (0..2000).map(|i| mix(i) & ring_mask(bits + drop)).collect()
        };
        let (xs, xc) = (words(3), words(1 << 20));
        let spare = drop as usize % 2;
        let relu = FaithfulRelu::extended(bits, drop, to, spare);
        let run = execute(&relu, 1, (&xs, &xc), &[]);
        let values: Vec<u64> = xs.iter().zip(&xc).map(|(s, c)| s.wrapping_add(*c)).collect();
        assert_eq!(run.server, ideal(&relu, &values, &run.client));
    }
}

#[test]
fn transcript_every_sent_plane_is_balanced_for_fixed_shares() {
    for (s, c) in [(0, 0), (127, 127), (85, 43)] {
        for to in [4, 9] {
            let relu = FaithfulRelu::extended(4, 3, to, 0);
            let run = execute(&relu, 2, (&vec![s; 4096], &vec![c; 4096]), &[]);
            assert_balanced(&run.sent.0);
            assert_balanced(&run.sent.1);
        }
    }
}

/// b = 2, T = 1, and extended by a bit: all messages that a party receives and all choices that it made
/// are together uniform, whatever both shares are.
#[test]
fn transcript_a_partys_messages_and_choices_are_jointly_uniform_for_every_pair_of_shares() {
    let lanes = 1 << 19;
    let pairs = [(0, 0), (7, 7), (1, 1), (3, 0), (0, 3), (5, 6), (4, 4)];
    let cases = [(2, (14, 10)), (3, (17, 13))].into_iter();
    for ((to, sizes), (s, c)) in cases.flat_map(|case| pairs.map(|pair| (case, pair))) {
        let (operation, seed) = (FaithfulRelu::extended(2, 1, to, 0), 7);
        let run = execute(&operation, seed, (&vec![s; lanes], &vec![c; lanes]), &[]);
        let choices = |seed: u64, positions: usize| -> Vec<Vec<u64>> {
            let dealt = Dealt::new(seed, positions * lanes);
            let mut recv = dealt.recv(lanes);
            (0..positions).map(|_| recv.bits(1).0).collect()
        };
        let (down, up) = operation.rots();
        let views = [
            (choices(2 * seed, down), &run.sent.0, sizes.0),
            (choices(2 * seed + 1, up), &run.sent.1, sizes.1),
        ];
        for (mut view, received, bits) in views {
            for message in received {
                view.extend((0..message.count()).map(|i| message.plane(i).to_vec()));
            }
            assert_eq!(view.len(), bits);
            let mut counts = vec![0u32; 1 << bits];
            for lane in 0..lanes {
                let bit = |plane: &Vec<u64>| (plane[lane / 64] >> (lane % 64) & 1) as usize;
                counts[view.iter().fold(0, |value, plane| value << 1 | bit(plane))] += 1;
            }
            let (mean, free) = ((lanes >> bits) as f64, f64::from((1u32 << bits) - 1));
            let square = |n: &u32| (f64::from(*n) - mean).powi(2) / mean;
            let chi: f64 = counts.iter().map(square).sum();
            assert!((chi - free).abs() < 6.0 * (2.0 * free).sqrt(), "{s} {c}: {chi}");
        }
    }
}
