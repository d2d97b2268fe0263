//! Lift: a value that is shared modulo `2^b`, modulo `2^l`, but for a carry that comes later
//! (protocol.md 5.4, 5.9).
//!
//! With s, c the top bits of the shares and `X_S`, `X_C` the shares read as signed, the sum
//! `X_S + X_C + kappa + 2^b s c` is the value modulo `2^l` whenever that value lies in `[0, 2^(b-1))`,
//! for kappa of 0 and of 1: the sum without `2^b s c` is the value, or `2^b` less where both shares are
//! negative. c is known offline; s is opened, masked. Z = ROT(C->S, l - b)
//!
//! | | client ([`ClientLift`]) | server ([`ServerLift`]) |
//! |---|---|---|
//! | offline, C->S l - b bits | `begin`: tau = c - (k1 - k0); pi = - k0 | `correct`: sigma = `rho_Z`; pi = k + sigma tau |
//! | opening, S->C 1 bit | `take` | `half`: m = s ^ sigma |
//! | | `lifted`: `X_C` + `2^b` (m c + (1 - 2m) pi) | `lifted`: `X_S` + `2^b` (1 - 2m) pi |
//!
//! The shares pi add up to sigma c, and s c = m c + (1 - 2m) sigma c.
//!
//! Security: sigma is S's choice, which C never sees, opened once; tau is padded by k1 - k0, of whose
//! strings S saw one. Cost: one ROT from C to S, l - b bits from C offline, one bit from S.

use gazelle_share::shares::to_signed;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::planes::{Planes, bit, negate_if, xor};
use crate::rot::{RotRecv, RotSend};

/// Planes that C sends offline.
pub(crate) fn offline_planes(from: u32, to: u32) -> usize {
    to.saturating_sub(from) as usize
}

/// The client, single use.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct ClientLift {
    from: u32,
    to: u32,
    pi: Planes,
    m: Vec<u64>,
}

/// The server, single use.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct ServerLift {
    from: u32,
    to: u32,
    sigma: Vec<u64>,
    /// k, then pi.
    pi: Planes,
    m: Vec<u64>,
}

impl ClientLift {
    /// Offline, of this party's share modulo `2^from`; takes one position. Gives tau for S.
    pub(crate) fn begin(
        (from, to): (u32, u32),
        x: &[u64],
        to_server: &mut RotSend<'_>,
    ) -> (Self, Planes) {
        let (k0, k1) = to_server.words(to - from);
        let (k0, k1) = (Zeroizing::new(k0), Zeroizing::new(k1));
        let (mut pi, mut tau) = (Zeroizing::new(Vec::new()), Zeroizing::new(Vec::new()));
        for ((x, k0), k1) in x.iter().zip(k0.iter()).zip(k1.iter()) {
            pi.push(k0.wrapping_neg());
            tau.push(top(*x, from).wrapping_sub(k1.wrapping_sub(*k0)));
        }
        let pi = Planes::from_words(&pi, to - from);
        (Self { from, to, pi, m: Vec::new() }, Planes::from_words(&tau, to - from))
    }
}

impl ServerLift {
    /// Offline; takes one position.
    pub(crate) fn begin((from, to): (u32, u32), from_client: &mut RotRecv<'_>) -> Self {
        let (sigma, k) = from_client.words(to - from);
        let k = Zeroizing::new(k);
        Self { from, to, sigma, pi: Planes::from_words(&k, to - from), m: Vec::new() }
    }
}

/// The top bit of a word of `bits` bits.
fn top(x: u64, bits: u32) -> u64 {
    x >> (bits - 1) & 1
}

/// One party of the lift, as operations see it.
pub(crate) trait LiftPart: Send {
    /// Offline: takes the other party's corrections.
    fn correct(&mut self, _: &Planes) {}
    /// This party's half of the opening, of its share modulo `2^from`: a plane of S, none of C.
    fn half(&mut self, _: &[u64]) -> Planes {
        Planes::default()
    }
    /// Takes the other party's half.
    fn take(&mut self, _: &Planes) {}
    /// This party's share modulo `2^to` (not reduced), from that modulo `2^from`.
    fn lifted(&self, x: &[u64]) -> Vec<u64>;
}

impl LiftPart for ClientLift {
    fn take(&mut self, m: &Planes) {
        self.m = m.plane(0).to_vec();
    }
    fn lifted(&self, x: &[u64]) -> Vec<u64> {
        let pi = Zeroizing::new(self.pi.to_words());
        let share = |(lane, (x, pi)): (usize, (&u64, &u64))| {
            let m = bit(&self.m, lane);
            let product = (m & top(*x, self.from)).wrapping_add(negate_if(m, *pi));
            (to_signed(*x, self.from) as u64).wrapping_add(product << self.from)
        };
        x.iter().zip(pi.iter()).enumerate().map(share).collect()
    }
}

impl LiftPart for ServerLift {
    fn correct(&mut self, tau: &Planes) {
        let (mut pi, tau) = (Zeroizing::new(self.pi.to_words()), Zeroizing::new(tau.to_words()));
        for (lane, (pi, tau)) in pi.iter_mut().zip(tau.iter()).enumerate() {
            *pi = pi.wrapping_add(bit(&self.sigma, lane).wrapping_neg() & tau);
        }
        self.pi = Planes::from_words(&pi, self.to - self.from);
    }
    fn half(&mut self, x: &[u64]) -> Planes {
        let s = Zeroizing::new(x.iter().map(|x| top(*x, self.from)).collect::<Vec<u64>>());
        self.m = xor(Planes::from_words(&s, 1).plane(0), &self.sigma);
        let half = Planes::of(x.len(), &[&self.m]);
        self.m = half.plane(0).to_vec();
        half
    }
    fn lifted(&self, x: &[u64]) -> Vec<u64> {
        let pi = Zeroizing::new(self.pi.to_words());
        let share = |(lane, (x, pi)): (usize, (&u64, &u64))| {
            let product = negate_if(bit(&self.m, lane), *pi);
            (to_signed(*x, self.from) as u64).wrapping_add(product << self.from)
        };
        x.iter().zip(pi.iter()).enumerate().map(share).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use gazelle_share::shares::ring_mask;

    use super::*;
    use crate::testing::Dealt;

    /// Every pair of shares of a value that is not negative, and a carry of 0 and of 1.
    #[test]
    fn conformance_every_pair_of_shares_of_small_rings_is_lifted() {
        for (from, to) in [(1, 2), (2, 5), (4, 5), (5, 12)] {
            let pairs = (0..1u64 << (2 * from)).map(|i| (i >> from, i & ring_mask(from)));
            let (xs, xc): (Vec<u64>, Vec<u64>) = pairs.unzip();
            let lanes = xs.len();
            for seed in 0..4 {
                let up = Dealt::new(seed, lanes);
                let (mut client, tau) = ClientLift::begin((from, to), &xc, &mut up.send(lanes));
                assert_eq!(tau.count(), offline_planes(from, to));
                let mut server = ServerLift::begin((from, to), &mut up.recv(lanes));
                server.correct(&tau);
                client.take(&server.half(&xs));
                let (zs, zc) = (server.lifted(&xs), client.lifted(&xc));
                for lane in 0..lanes {
                    for kappa in 0..2 {
                        let value = (xs[lane] + xc[lane] + kappa) & ring_mask(from);
                        if top(value, from) == 0 {
                            let z = zs[lane].wrapping_add(zc[lane]).wrapping_add(kappa);
                            assert_eq!(z & ring_mask(to), value, "{from} to {to}");
                        }
                    }
                }
            }
        }
    }

    /// From 1 bit to 3, all coins: both strings and the choice. Each party's view is the same for every
    /// share of the other's.
    #[test]
    fn transcript_views_over_all_coins_do_not_depend_on_the_other_share() {
        type View = BTreeMap<[u64; 4], usize>;
        let mut client_views: BTreeMap<u64, View> = BTreeMap::new();
        let mut server_views: BTreeMap<u64, View> = BTreeMap::new();
        let words = |word: u64| Planes::from_words(&[word & 3], 2);
        for (xs, xc) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let (mut of_client, mut of_server) = (View::new(), View::new());
            for coins in 0..1u64 << 5 {
                let (k0, k1, sigma) = (coins & 3, coins >> 2 & 3, coins >> 4);
                let k = if sigma == 1 { k1 } else { k0 };
                // As in `begin`, on these strings.
                let tau = top(xc, 1).wrapping_sub(k1.wrapping_sub(k0)) & 3;
                let (from, to) = (1, 3);
                let sigmas = vec![sigma];
                let mut server =
                    ServerLift { from, to, sigma: sigmas, pi: words(k), m: Vec::new() };
                server.correct(&words(tau));
                let m = server.half(&[xs]).to_words()[0];
                *of_client.entry([k0, k1, m, xc]).or_default() += 1;
                *of_server.entry([sigma, k, tau, xs]).or_default() += 1;
            }
            assert!(*client_views.entry(xc).or_insert_with(|| of_client.clone()) == of_client);
            assert!(*server_views.entry(xs).or_insert_with(|| of_server.clone()) == of_server);
        }
        assert_eq!((client_views.len(), server_views.len()), (2, 2));
    }
}
