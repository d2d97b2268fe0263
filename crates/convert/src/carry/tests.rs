//! All shares of small rings, random ones of wide rings, and what is opened.

use crate::carry::{CarryPart, CarryTree, ClientCarry, ServerCarry};
use crate::operation::ClientShare;
use crate::planes::{Planes, xor};
use crate::testing::Dealt;

/// A tree over b - 1 bits: what a sign of b-bit shares needs.
fn tree(b: u32) -> CarryTree {
    CarryTree::new(b - 1, false)
}

/// Runs the carry of the low b - 1 bits of all `(s, c)` and gives the carry out of them XOR bit b - 1 of
/// both, which is msb(s + c), plus everything that was opened.
fn run(b: u32, share: ClientShare, seed: u64, xs: &[u64], xc: &[u64]) -> (Vec<u64>, Vec<Planes>) {
    let (g, _, opened) = run_tree(&tree(b), share, seed, xs, xc);
    let top = |words: &[u64]| Planes::from_words(words, b).plane(b as usize - 1).to_vec();
    (xor(&g, &xor(&top(xs), &top(xc))), opened)
}

/// g, p (if kept) and everything that was opened.
fn run_tree(
    tree: &CarryTree,
    share: ClientShare,
    seed: u64,
    xs: &[u64],
    xc: &[u64],
) -> (Vec<u64>, Vec<u64>, Vec<Planes>) {
    let lanes = xs.len();
    let (down, up) = tree.rots();
    let (down, up) = (Dealt::new(seed, down * lanes), Dealt::new(seed + 1, up * lanes));
    let bits = tree.bits() as u32;
    let (client_bits, server_bits) = (Planes::from_words(xc, bits), Planes::from_words(xs, bits));
    let known = if share == ClientShare::Offline { client_bits.clone() } else { Planes::default() };
    let (mut client_rots, mut server_rots) = Dealt::both(&down, &up, lanes);
    let (mut client, d) = ClientCarry::begin(tree.clone(), share, known, &mut client_rots);
    let (mut server, t) = ServerCarry::begin(tree.clone(), share, &mut server_rots);
    assert_eq!((t.count(), d.count()), tree.offline_planes(share));
    client.correct(&t);
    server.correct(&d);
    client.set_share(client_bits);
    server.set_share(server_bits);
    let mut opened = vec![d, t];
    for opening in 0..=tree.levels() {
        let (c, s) = (client.half(opening), server.half(opening));
        assert_eq!((s.count(), c.count()), tree.planes(share, opening));
        client.complete(opening, &s);
        server.complete(opening, &c);
        opened.extend([c, s]);
    }
    let p = if tree.keeps_p { xor(client.p(), server.p()) } else { Vec::new() };
    (xor(client.g(), server.g()), p, opened)
}

/// The ideal sign: msb(s + c) of every lane. Insecure: it sees both.
fn ideal(b: u32, xs: &[u64], xc: &[u64]) -> Vec<u64> {
    let sum: Vec<u64> = xs.iter().zip(xc).map(|(s, c)| s.wrapping_add(*c)).collect();
    Planes::from_words(&sum, b).plane(b as usize - 1).to_vec()
}

#[test]
fn conformance_carry_and_propagation_are_right_for_all_numbers_of_a_few_bits() {
    for share in [ClientShare::Offline, ClientShare::Online] {
        for (bits, spare) in (1..=6u32).flat_map(|bits| [(bits, 0), (bits, 1), (bits, 2)]) {
            let (s, c) = all_pairs(bits, 16 >> (2 * bits).min(4));
            for (keeps_p, seed) in [(true, 0), (true, 1), (false, 2), (false, 3)] {
                let levels = super::shape::least_levels(bits) + spare;
                let tree = CarryTree::within(bits, keeps_p, levels);
                let (g, p, _) = run_tree(&tree, share, seed, &s, &c);
                for lane in 0..s.len() {
                    let at = |plane: &[u64]| plane[lane / 64] >> (lane % 64) & 1;
                    assert_eq!(at(&g), (s[lane] + c[lane]) >> bits, "{bits} bits, {share:?}");
                    assert!(!keeps_p || (at(&p) == 1) == (s[lane] ^ c[lane] == (1 << bits) - 1));
                }
            }
        }
    }
}

fn all_pairs(b: u32, copies: usize) -> (Vec<u64>, Vec<u64>) {
    let mut pairs = (Vec::new(), Vec::new());
    for s in 0..1u64 << b {
        for c in 0..1u64 << b {
            pairs.0.extend(std::iter::repeat_n(s, copies));
            pairs.1.extend(std::iter::repeat_n(c, copies));
        }
    }
    pairs
}

#[test]
fn conformance_the_sign_is_right_for_all_shares_of_small_rings_and_random_coins() {
    for share in [ClientShare::Offline, ClientShare::Online] {
        for b in 2..=6 {
            let (xs, xc) = all_pairs(b, if b < 5 { 16 } else { 1 });
            for seed in 0..6 {
                let (sign, _) = run(b, share, 2 * seed, &xs, &xc);
                assert_eq!(sign, ideal(b, &xs, &xc), "b = {b}, {share:?}");
            }
        }
    }
}

#[test]
fn properties_the_sign_is_right_on_random_shares_of_wide_rings() {
    for share in [ClientShare::Offline, ClientShare::Online] {
        for b in [7, 10, 12, 13, 17, 24, 33] {
            let words = |seed: u64| -> Vec<u64> {
                let mut x = seed;
                (0..1000)
                    .map(|_| {
                        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
                        (x ^ x >> 29) & (u64::MAX >> (64 - b))
                    })
                    .collect()
            };
            let (xs, xc) = (words(b.into()), words(100 + u64::from(b)));
            let (sign, _) = run(b, share, 77, &xs, &xc);
            for lane in 0..xs.len() {
                let expected = (xs[lane].wrapping_add(xc[lane])) >> (b - 1) & 1;
                assert_eq!(sign[lane / 64] >> (lane % 64) & 1, expected);
            }
        }
    }
}

#[test]
fn transcript_every_opened_plane_is_balanced_for_fixed_shares() {
    // 4096 copies of one pair of shares: each opened bit is uniform over the coins.
    for share in [ClientShare::Offline, ClientShare::Online] {
        for (s, c) in [(0, 0), (63, 63), (21, 43)] {
            let (_, opened) = run(6, share, 5, &vec![s; 4096], &vec![c; 4096]);
            let mut planes = 0;
            for message in &opened {
                for plane in 0..message.count() {
                    let ones: u32 = message.plane(plane).iter().map(|w| w.count_ones()).sum();
                    assert!(ones.abs_diff(2048) < 6 * 32, "{share:?} {ones}");
                    planes += 1;
                }
            }
            assert!(planes > 20);
        }
    }
}

/// b = 3: one two-bit leaf. Its messages from S are jointly uniform, and so are those from C.
#[test]
fn transcript_the_messages_of_a_leaf_are_jointly_uniform_for_fixed_shares() {
    let lanes = 1 << 16;
    for share in [ClientShare::Offline, ClientShare::Online] {
        for (s, c) in [(0, 0), (1, 2), (2, 3), (3, 3)] {
            let (_, opened) = run(3, share, 9, &vec![s; lanes], &vec![c; lanes]);
            // d, t, then C's and S's openings: e1 e0 and m1 m0.
            let joint = |messages: [&Planes; 2]| {
                let planes = || messages.iter().flat_map(|m| (0..m.count()).map(|k| m.plane(k)));
                let mut counts = vec![0u32; 1 << planes().count()];
                for lane in 0..lanes {
                    let bit = |plane: &[u64]| (plane[lane / 64] >> (lane % 64) & 1) as usize;
                    counts[planes().fold(0, |value, plane| value << 1 | bit(plane))] += 1;
                }
                counts
            };
            let (client, server) =
                (joint([&opened[0], &opened[2]]), joint([&opened[1], &opened[3]]));
            assert_eq!((client.len(), server.len()), (4, 64));
            for counts in [client, server] {
                let mean = (lanes / counts.len()) as f64;
                assert!(counts.iter().all(|n| (f64::from(*n) - mean).abs() < 6.0 * mean.sqrt()));
            }
        }
    }
}

/// b = 3: one two-bit leaf. A party's strings, choices and what it receives are together uniform,
/// whatever the other's share is.
#[test]
fn transcript_a_partys_view_of_a_leaf_is_uniform_for_every_share_of_the_other() {
    const BITS: usize = 14;
    let lanes = 1 << 19;
    let (mean, free) = ((lanes >> BITS) as f64, f64::from((1u32 << BITS) - 1));
    for share in [ClientShare::Offline, ClientShare::Online] {
        for (s, c) in [(0, 0), (3, 0), (0, 3), (1, 2), (2, 3), (3, 3)] {
            let (_, opened) = run(3, share, 9, &vec![s; lanes], &vec![c; lanes]);
            let dealt = Dealt::new(9, 2 * lanes);
            let (mut recv, mut send) = (dealt.recv(lanes), dealt.send(lanes));
            let (mut client, mut server): (Vec<Vec<u64>>, Vec<Vec<u64>>) = Default::default();
            for _ in 0..2 {
                let (rho, k) = recv.bits(3);
                let (k0, delta) = send.bits(3);
                client.push(rho);
                client.extend((0..3).map(|i| k.plane(i).to_vec()));
                server.extend((0..3).map(|i| k0.plane(i).to_vec()));
                server.extend((0..3).map(|i| delta.plane(i).to_vec()));
            }
            // d, t, then C's and S's openings.
            for (view, received) in [(&mut client, [1, 3]), (&mut server, [0, 2])] {
                for message in received.map(|i| &opened[i]) {
                    view.extend((0..message.count()).map(|i| message.plane(i).to_vec()));
                }
                assert_eq!(view.len(), BITS);
                let mut counts = vec![0u32; 1 << BITS];
                for lane in 0..lanes {
                    let bit = |plane: &Vec<u64>| (plane[lane / 64] >> (lane % 64) & 1) as usize;
                    counts[view.iter().fold(0, |value, plane| value << 1 | bit(plane))] += 1;
                }
                let square = |n: &u32| (f64::from(*n) - mean).powi(2) / mean;
                let chi: f64 = counts.iter().map(square).sum();
                assert!((chi - free).abs() < 6.0 * (2.0 * free).sqrt(), "{share:?} {s} {c}: {chi}");
            }
        }
    }
}

#[test]
fn known_answer_counts_of_the_tree() {
    // protocol.md 5.8, without selection and extension.
    assert_eq!(tree(12).rots(), (16 - 2, 7 - 1));
    assert_eq!(tree(17).rots(), (25 - 2, 8 - 1));
    assert_eq!(tree(12).offline_planes(ClientShare::Offline), (24 - 8, 20 - 12));
    assert_eq!(tree(17).offline_planes(ClientShare::Offline), (52 - 20, 33 - 17));
    assert_eq!(tree(12).offline_planes(ClientShare::Online), (24 - 8, 0));
    assert_eq!((tree(12).levels(), tree(17).levels()), (3, 3));
}
