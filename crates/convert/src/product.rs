//! Products across the parties: additive shares of s c modulo `2^w`, of the server's word s and the
//! client's word c (protocol.md 5.6). Squares and products of shared values are made of these:
//! `x^2 = x_S^2 + x_C^2 + 2 x_S x_C`.
//!
//! Gilboa's multiplication of two random words, a (S) and rho (C), offline; then both words are
//! opened under them. `R_i` = ROT(S->C, w - i), i < w; rho is the number of C's choices `rho_i`.
//!
//! | | client ([`ClientProduct`]) | server ([`ServerProduct`]) |
//! |---|---|---|
//! | offline | `begin`; `finish` with u: P = sum `2^i (k_i + rho_i u_i)` (`u_0` = 0) | `begin`: a = `k1_0 - k0_0`; `u_i = a - (k1_i - k0_i)` mod `2^(w-i)` for i >= 1, to C; P = - sum `2^i k0_i` |
//! | | | now a rho = `P_C + P_S` |
//! | offline or online | `mask`: e = c - rho, to S | `set_mask` |
//! | online | | `half`: m = s - a, to C |
//! | | `product`: m rho + P | `product`: (m + a) e + P = s e + P |
//!
//! Security. m: C saw one of `k0_0`, `k1_0`, so a is uniform, and it is opened once; `u_i` is padded by
//! the `k1_i - k0_i` of which C saw one. e: S never sees the choices, and rho is opened once.
//!
//! Cost: w ROTs from S to C; w (w - 1) / 2 bits from S offline; w bits each way, C's offline if c is
//! known then.

use gazelle_share::shares::ring_mask;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::planes::{Planes, bit};
use crate::rot::{RotRecv, RotSend};

/// Planes of u: what S sends offline.
pub(crate) fn offline_planes(bits: u32) -> usize {
    let w = bits as usize;
    w * (w - 1) / 2
}

/// The client of a product, single use.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct ClientProduct {
    bits: u32,
    /// Plane i: `rho_i`.
    rho: Planes,
    /// P.
    share: Planes,
}

/// The server of a product, single use.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct ServerProduct {
    bits: u32,
    a: Planes,
    share: Planes,
    /// e.
    opened: Planes,
}

impl ClientProduct {
    /// Offline, before the exchange, modulo `2^bits` (at most 62); takes `bits` positions.
    pub(crate) fn begin(bits: u32, lanes: usize, from_server: &mut RotRecv<'_>) -> Self {
        let mut rho = Planes::zeros(lanes, 0);
        let mut share = Zeroizing::new(vec![0u64; lanes]);
        for i in 0..bits {
            let (choices, k) = from_server.words(bits - i);
            let k = Zeroizing::new(k);
            share.iter_mut().zip(k.iter()).for_each(|(p, k)| *p = p.wrapping_add(*k << i));
            rho.push(&choices);
        }
        Self { bits, rho, share: Planes::from_words(&share, bits) }
    }

    /// Offline, with u.
    pub(crate) fn finish(&mut self, u: &Planes) {
        let mut share = Zeroizing::new(self.share.to_words());
        let mut next = 0;
        for i in 1..self.bits as usize {
            let width = self.bits as usize - i;
            let u = Zeroizing::new(u.range_to_words(next, width));
            next += width;
            let choices = self.rho.plane(i);
            for (lane, (p, u)) in share.iter_mut().zip(u.iter()).enumerate() {
                *p = p.wrapping_add((bit(choices, lane).wrapping_neg() & u) << i);
            }
        }
        self.share = Planes::from_words(&share, self.bits);
    }

    /// e = c - rho, `bits` planes, once only.
    #[must_use]
    pub(crate) fn mask(&self, c: &[u64]) -> Planes {
        let mut e = Zeroizing::new(self.rho.to_words());
        e.iter_mut().zip(c).for_each(|(e, c)| *e = c.wrapping_sub(*e));
        Planes::from_words(&e, self.bits)
    }

    /// This party's share of s c, from S's m.
    #[must_use]
    pub(crate) fn product(&self, m: &Planes) -> Vec<u64> {
        let (rho, mask) = (Zeroizing::new(self.rho.to_words()), ring_mask(self.bits));
        let mut share = self.share.to_words();
        for ((p, m), rho) in share.iter_mut().zip(m.to_words()).zip(rho.iter()) {
            *p = p.wrapping_add(m.wrapping_mul(*rho)) & mask;
        }
        share
    }
}

impl ServerProduct {
    /// Offline, before the exchange; takes `bits` positions. Gives u for C.
    pub(crate) fn begin(bits: u32, lanes: usize, to_client: &mut RotSend<'_>) -> (Self, Planes) {
        let mut u = Planes::zeros(lanes, 0);
        let mut a = Zeroizing::new(Vec::new());
        let mut share = Zeroizing::new(vec![0u64; lanes]);
        for i in 0..bits {
            let (k0, k1) = to_client.words(bits - i);
            let (k0, mut delta) = (Zeroizing::new(k0), Zeroizing::new(k1));
            delta
                .iter_mut()
                .zip(k0.iter())
                .for_each(|(delta, k0)| *delta = delta.wrapping_sub(*k0));
            share.iter_mut().zip(k0.iter()).for_each(|(p, k0)| *p = p.wrapping_sub(*k0 << i));
            if i == 0 {
                a = delta;
                continue;
            }
            delta.iter_mut().zip(a.iter()).for_each(|(delta, a)| *delta = a.wrapping_sub(*delta));
            u.append(&Planes::from_words(&delta, bits - i));
        }
        let (a, share) = (Planes::from_words(&a, bits), Planes::from_words(&share, bits));
        (Self { bits, a, share, opened: Planes::default() }, u)
    }

    /// Takes e.
    pub(crate) fn set_mask(&mut self, e: Planes) {
        self.opened = e;
    }

    /// m = s - a, `bits` planes, once only.
    #[must_use]
    pub(crate) fn half(&self, s: &[u64]) -> Planes {
        let mut m = Zeroizing::new(self.a.to_words());
        m.iter_mut().zip(s).for_each(|(m, s)| *m = s.wrapping_sub(*m));
        Planes::from_words(&m, self.bits)
    }

    /// This party's share of s c.
    #[must_use]
    pub(crate) fn product(&self, s: &[u64]) -> Vec<u64> {
        let mask = ring_mask(self.bits);
        let mut share = self.share.to_words();
        for ((p, s), e) in share.iter_mut().zip(s).zip(self.opened.to_words()) {
            *p = p.wrapping_add(s.wrapping_mul(e)) & mask;
        }
        share
    }
}

#[cfg(test)]
/// The ideal version: the server's share of s c mod `2^bits` under the client's share `mask`.
/// Insecure: it sees both words.
pub(crate) fn ideal(bits: u32, s: &[u64], c: &[u64], mask: &[u64]) -> Vec<u64> {
    let product = |(s, c): (&u64, &u64)| s.wrapping_mul(*c);
    let products = s.iter().zip(c).map(product);
    products.zip(mask).map(|(z, r)| z.wrapping_sub(*r) & ring_mask(bits)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::Dealt;

    /// Both shares of s c, and what was sent: u, e, m.
    fn run(bits: u32, seed: u64, s: &[u64], c: &[u64]) -> (Vec<u64>, Vec<u64>, [Planes; 3]) {
        let lanes = s.len();
        let dealt = Dealt::new(seed, bits as usize * lanes);
        let (mut server, u) = ServerProduct::begin(bits, lanes, &mut dealt.send(lanes));
        let mut client = ClientProduct::begin(bits, lanes, &mut dealt.recv(lanes));
        assert_eq!(u.count(), offline_planes(bits));
        client.finish(&u);
        let (e, m) = (client.mask(c), server.half(s));
        server.set_mask(e.clone());
        (server.product(s), client.product(&m), [u, e, m])
    }

    #[test]
    fn conformance_every_pair_of_small_words_multiplies_to_the_ideal_product() {
        for bits in 1..=5u32 {
            let pairs: Vec<(u64, u64)> =
                (0..1u64 << (2 * bits)).map(|i| (i >> bits, i & ring_mask(bits))).collect();
            let (s, c): (Vec<u64>, Vec<u64>) = pairs.into_iter().unzip();
            for seed in 0..4 {
                let (server, client, _) = run(bits, seed, &s, &c);
                assert_eq!(server, ideal(bits, &s, &c, &client), "{bits} bits");
            }
        }
    }

    #[test]
    fn properties_random_words_of_wide_rings_multiply_rightly() {
        for bits in [23, 31, 48, 62] {
            let words = |salt: u64| -> Vec<u64> {
                (0..300u64)
                    .map(|i| (i + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) & ring_mask(bits))
                    .collect()
            };
            let (s, c) = (words(1), words(1000));
            let (server, client, _) = run(bits, 7, &s, &c);
            assert_eq!(server, ideal(bits, &s, &c, &client), "{bits} bits");
        }
    }

    #[test]
    fn transcript_every_sent_plane_is_balanced_for_fixed_words() {
        for (s, c) in [(0, 0), (63, 63), (21, 1)] {
            let (_, _, sent) = run(6, 11, &vec![s; 4096], &vec![c; 4096]);
            assert_eq!(sent.each_ref().map(Planes::count), [15, 6, 6]);
            for message in &sent {
                for plane in 0..message.count() {
                    let ones: u32 = message.plane(plane).iter().map(|w| w.count_ones()).sum();
                    // 6 standard deviations of 32.
                    assert!(ones.abs_diff(2048) < 6 * 32, "{ones}");
                }
            }
        }
    }

    /// Two bits, all coins: the strings of both ROTs (2 and 1 bits) and the choices.
    #[test]
    fn transcript_views_over_all_coins_do_not_depend_on_the_other_word() {
        type View = BTreeMap<Vec<u64>, usize>;
        let mut client_views: BTreeMap<u64, View> = BTreeMap::new();
        let mut server_views: BTreeMap<u64, View> = BTreeMap::new();
        for (s, c) in (0..16u64).map(|i| (i >> 2, i & 3)) {
            let (mut seen_c, mut seen_s) = (View::new(), View::new());
            for coins in 0..1u64 << 8 {
                let (k00, k01) = (coins & 3, coins >> 2 & 3);
                let (k10, k11) = (coins >> 4 & 1, coins >> 5 & 1);
                let (rho0, rho1) = (coins >> 6 & 1, coins >> 7);
                let a = k01.wrapping_sub(k00) & 3;
                let u1 = a.wrapping_sub(k11.wrapping_sub(k10)) & 1;
                let planes = |word: u64, bits: u32| Planes::from_words(&[word], bits);
                let received =
                    (if rho0 == 1 { k01 } else { k00 }, if rho1 == 1 { k11 } else { k10 });
                let mut client = ClientProduct {
                    bits: 2,
                    rho: planes(rho0 | rho1 << 1, 2),
                    share: planes(received.0.wrapping_add(received.1 << 1) & 3, 2),
                };
                client.finish(&planes(u1, 1));
                let share = 0u64.wrapping_sub(k00).wrapping_sub(k10 << 1) & 3;
                let mut server = ServerProduct {
                    bits: 2,
                    a: planes(a, 2),
                    share: planes(share, 2),
                    opened: Planes::default(),
                };
                let (e, m) = (client.mask(&[c]), server.half(&[s]));
                server.set_mask(e.clone());
                let sum = server.product(&[s])[0].wrapping_add(client.product(&m)[0]) & 3;
                assert_eq!(sum, (s * c) & 3);
                let view = vec![received.0, received.1, rho0, rho1, u1, m.to_words()[0]];
                *seen_c.entry(view).or_default() += 1;
                *seen_s.entry(vec![k00, k01, k10, k11, e.to_words()[0]]).or_default() += 1;
            }
            assert!(*client_views.entry(c).or_insert_with(|| seen_c.clone()) == seen_c);
            assert!(*server_views.entry(s).or_insert_with(|| seen_s.clone()) == seen_s);
        }
    }
}
