//! All shares of small rings, what is sent, and views over all coins.

use std::collections::BTreeMap;

use super::*;
use crate::testing::Dealt;

fn plane(bits: impl Iterator<Item = bool>) -> Vec<u64> {
    let bits: Vec<bool> = bits.collect();
    let pack = |chunk: &[bool]| chunk.iter().rev().fold(0, |w, b| w << 1 | u64::from(*b));
    bits.chunks(64).map(pack).collect()
}

/// Both shares, and everything sent.
fn run(
    widths: (u32, u32),
    seed: u64,
    (xs, xc): (&[u64], &[u64]),
    (ds, dc): (&[u64], &[u64]),
) -> (Vec<u64>, Vec<u64>, Vec<Planes>) {
    let (from, to) = widths;
    let lanes = xs.len();
    let (down, up) = (Dealt::new(2 * seed, lanes), Dealt::new(2 * seed + 1, 2 * lanes));
    let (mut client, message) =
        ClientFused::begin(from, to, xc, &mut down.recv(lanes), &mut up.send(lanes));
    let mut server = ServerFused::begin(from, to, &mut down.send(lanes), &mut up.recv(lanes));
    assert_eq!(message.count(), offline_planes(from, to));
    server.correct(&message);
    let first = server.send_first(xs);
    assert_eq!(first.count(), to as usize + 1);
    client.take_first(&first);
    let (c, s) = (client.mask(dc), server.mask(ds));
    let opened: Vec<u64> = c.iter().zip(&s).map(|(a, b)| a ^ b).collect();
    let (zs, zc) = (server.select(&opened, xs), client.select(&opened, xc));
    let mut halves = Planes::zeros(lanes, 0);
    halves.push(&c);
    halves.push(&s);
    halves.trim();
    (zs, zc, vec![message, first, halves])
}

#[test]
fn conformance_every_pair_of_shares_of_small_rings_is_selected_and_extended() {
    for (from, to) in [(2, 3), (3, 7), (5, 9)] {
        let pairs: Vec<(u64, u64)> =
            (0..1u64 << (2 * from)).map(|i| (i >> from, i & ring_mask(from))).collect();
        let (xs, xc): (Vec<u64>, Vec<u64>) = pairs.into_iter().unzip();
        let x: Vec<u64> = xs.iter().zip(&xc).map(|(s, c)| (s + c) & ring_mask(from)).collect();
        for seed in 0..6 {
            // Positive values are kept or not; negative ones never.
            let d: Vec<bool> = x
                .iter()
                .enumerate()
                .map(|(i, x)| x >> (from - 1) == 0 && (i + seed) % 3 != 0)
                .collect();
            let dc = plane((0..d.len()).map(|i| (i * 7 + seed) % 5 < 2));
            let ds: Vec<u64> =
                plane(d.iter().copied()).iter().zip(&dc).map(|(a, b)| a ^ b).collect();
            let (zs, zc, _) = run((from, to), seed as u64, (&xs, &xc), (&ds, &dc));
            assert_eq!(zs, ideal(from, to, &d, &x, &zc), "{from} to {to}");
        }
    }
}

#[test]
fn transcript_every_sent_plane_is_balanced_for_fixed_shares() {
    let lanes = 4096;
    for (s, c) in [(0, 0), (31, 31), (17, 3)] {
        let (xs, xc) = (vec![s; lanes], vec![c; lanes]);
        let (ds, dc) = (vec![u64::MAX; lanes / 64], vec![0; lanes / 64]);
        let (_, _, sent) = run((5, 9), 3, (&xs, &xc), (&ds, &dc));
        for message in &sent {
            for plane in 0..message.count() {
                let ones: u32 = message.plane(plane).iter().map(|w| w.count_ones()).sum();
                assert!(ones.abs_diff(2048) < 6 * 32, "{ones}");
            }
        }
    }
}

/// From 1 bit to 2, all coins: the strings (X: 2 bits, Y: 3, Z: 1) and the choices. `halves` of D
/// are sums with the choices, so shares of d = 0 are enough.
#[test]
fn transcript_views_over_all_coins_do_not_depend_on_the_other_share() {
    type View = BTreeMap<Vec<u64>, usize>;
    let mut client_views: BTreeMap<u64, View> = BTreeMap::new();
    let mut server_views: BTreeMap<u64, View> = BTreeMap::new();
    let (from, to) = (1u32, 2u32);
    for (xs, xc) in [(0u64, 0u64), (0, 1), (1, 0), (1, 1)] {
        let (mut of_client, mut of_server) = (View::new(), View::new());
        for coins in 0..1u64 << 15 {
            let take = |start: u32, bits: u32| coins >> start & ring_mask(bits);
            let (x0, x1, rho_x) = (take(0, 2), take(2, 2), take(4, 1));
            let (y0, y1, rho_y) = (take(5, 3), take(8, 3), take(11, 1));
            let (z0, z1, rho_z) = (take(12, 1), take(13, 1), take(14, 1));
            let chosen = |k0: u64, k1: u64, rho: u64| if rho == 1 { k1 } else { k0 };
            let planes = |word: u64, bits: u32| Planes::from_words(&[word & ring_mask(bits)], bits);
            // As in `begin`, on these strings.
            let (kx, ky, kz) =
                (chosen(x0, x1, rho_x), chosen(y0, y1, rho_y), chosen(z0, z1, rho_z));
            let pi = z0.wrapping_neg() & 1;
            let tau = xc.wrapping_sub(z1.wrapping_sub(z0)) & 1;
            let y = (to_signed(xc, from) as u64).wrapping_add(pi << from);
            let tq = negate_if(rho_x, y).wrapping_sub(y1.wrapping_sub(y0)) & 3;
            let difference = xc.wrapping_sub(pi << 1);
            let pad = (y1 >> to).wrapping_sub(y0 >> to);
            let upper = negate_if(rho_x, difference).wrapping_sub(pad) & 1;
            let mut message = planes(tau, 1);
            message.append(&planes(tq, 2));
            message.append(&planes(upper, 1));
            let mut server = ServerFused {
                from,
                to,
                choice: vec![rho_y],
                sigma: vec![rho_z],
                k0: planes(x0, 2),
                delta: planes(x1.wrapping_sub(x0), 2),
                q: planes(ky, 2),
                q_upper: planes(ky >> to, 1),
                pi: planes(kz, 1),
                m: Vec::new(),
            };
            server.correct(&message);
            let first = server.send_first(&[xs]);
            let seen = vec![rho_x, kx, y0, y1, z0, z1, first.to_words()[0], rho_y];
            *of_client.entry(seen).or_default() += 1;
            let seen = vec![x0, x1, rho_y, ky, rho_z, kz, message.to_words()[0], rho_x];
            *of_server.entry(seen).or_default() += 1;
        }
        assert!(*client_views.entry(xc).or_insert_with(|| of_client.clone()) == of_client);
        assert!(*server_views.entry(xs).or_insert_with(|| of_server.clone()) == of_server);
    }
}
