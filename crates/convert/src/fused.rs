//! Extension and selection at once: `d max(x, 0)` modulo `2^l` from XOR shares of d = `[x >= 0]` and
//! shares of x modulo `2^b`, without a message between the two (protocol.md 5.4, fused).
//!
//! With s, c the top bits of the shares and `X_S`, `X_C` the shares read as signed,
//! `y = X_S + X_C + 2^b s c` is x modulo `2^l` whenever x >= 0. c is known offline, s is opened as
//! m = s ^ sigma in S's first message, and then `y_S = X_S + 2^b (1 - 2m) pi_S`,
//! `y_C(m) = X_C + 2^b (m c + (1 - 2m) pi_C)` with pi the shares of sigma c. What C needs of `y_C` in
//! the selection is prepared for both m: `y_C(1) - y_C(0) = 2^b (c - 2 pi_C)`.
//!
//! X = ROT(S->C, l), Y = ROT(C->S, l + (l - b)), Z = ROT(C->S, l - b); Y' is Y's upper part.
//!
//! | | client ([`ClientFused`]) | server ([`ServerFused`]) |
//! |---|---|---|
//! | offline, C->S 3 l - 2 b bits | `begin`: tau = c - (`kZ1` - `kZ0`), `pi` = - `kZ0`; `lC` = `rho_X`; tq = (1 - 2 `lC`) `y_C(0)` - (`kY1` - `kY0`); tq' = (1 - 2 `lC`)(c - 2 pi) - (`kY1'` - `kY0'`) | `begin`: sigma = `rho_Z`, `lS` = `rho_Y`; `finish`: `pi` = `kZ` + sigma tau; q = `kY` + `lS` tq; q' = `kY'` + `lS` tq' |
//! | opening 0, S->C l + 1 bits | `set_first` | `first`: m; V = (1 - 2 `lS`) `y_S` - (`kX1` - `kX0`) |
//! | opening 1 | `mask`: `d_C` ^ `lC` | `mask`: `d_S` ^ `lS` |
//! | | `select`: D `y_C` + (1 - 2D)(`kX` + `lC` V + `lC` `y_C` - `kY0` - m `2^b` `kY0'`) | `select`: D `y_S` + (1 - 2D)(`lS` `y_S` - `kX0` + q + m `2^b` q') |
//!
//! Security. m: sigma is S's choice, which C never sees, opened once. V, tau, tq, tq' are padded by
//! differences of strings of which the receiver got one; the halves of D by `lC`, `lS`.
//!
//! Cost: one ROT from S to C, two from C to S; 3 l - 2 b bits from C offline; l + 1 bits from S and
//! one bit each way online. Needs 2 l - b <= 64.

#![expect(clippy::indexing_slicing, reason = "a lane's word and bit lie in vectors of one length")]

use gazelle_share::shares::{ring_mask, to_signed};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::planes::Planes;
use crate::rot::{RotRecv, RotSend};

fn bit(plane: &[u64], lane: usize) -> u64 {
    plane[lane / 64] >> (lane % 64) & 1
}

/// `(1 - 2 bit) word`.
fn negate_if(bit: u64, word: u64) -> u64 {
    (word ^ bit.wrapping_neg()).wrapping_add(bit)
}

/// Planes that C sends offline.
pub fn offline_planes(from: u32, to: u32) -> usize {
    (3 * to - 2 * from) as usize
}

/// The client, single use.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ClientFused {
    from: u32,
    to: u32,
    /// `lC`.
    choice: Vec<u64>,
    /// `kX`, `kY0`, `kY0'`, pi.
    k: Planes,
    k0: Planes,
    k0_upper: Planes,
    pi: Planes,
    /// m and V.
    m: Vec<u64>,
    received: Planes,
}

/// The server, single use.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ServerFused {
    from: u32,
    to: u32,
    /// `lS` and sigma.
    choice: Vec<u64>,
    sigma: Vec<u64>,
    /// `kX0`, `kX1 - kX0`; `kY`, `kY'`, `kZ`, then q, q', pi.
    k0: Planes,
    delta: Planes,
    q: Planes,
    q_upper: Planes,
    pi: Planes,
    /// m.
    m: Vec<u64>,
}

impl ClientFused {
    /// Offline: takes one position from S and two to S. x is this party's share modulo `2^from`.
    /// Gives tau, tq, tq' for S.
    pub fn begin(
        from: u32,
        to: u32,
        x: &[u64],
        from_server: &mut RotRecv<'_>,
        to_server: &mut RotSend<'_>,
    ) -> (Self, Planes) {
        let (choice, k) = from_server.words();
        let (y0, y1) = to_server.words();
        let (z0, z1) = to_server.words();
        let strings = [k, y0, y1, z0, z1].map(Zeroizing::new);
        let [k, y0, y1, z0, z1] = &strings;
        let width = to - from;
        let mut words: [Zeroizing<Vec<u64>>; 4] = Default::default();
        let [pi, tau, tq, upper] = &mut words;
        for (lane, x) in x.iter().enumerate() {
            let c = x >> (from - 1) & 1;
            let p = z0[lane].wrapping_neg();
            pi.push(p);
            tau.push(c.wrapping_sub(z1[lane].wrapping_sub(z0[lane])));
            let y = (to_signed(*x, from) as u64).wrapping_add(p << from);
            let l = bit(&choice, lane);
            tq.push(negate_if(l, y).wrapping_sub(y1[lane].wrapping_sub(y0[lane])));
            let difference = c.wrapping_sub(p << 1);
            let pad = (y1[lane] >> to).wrapping_sub(y0[lane] >> to);
            upper.push(negate_if(l, difference).wrapping_sub(pad));
        }
        let mut message = Planes::from_words(tau, width);
        message.append(&Planes::from_words(tq, to));
        message.append(&Planes::from_words(upper, width));
        let k0_upper: Zeroizing<Vec<u64>> = Zeroizing::new(y0.iter().map(|y| y >> to).collect());
        let client = Self {
            from,
            to,
            k: Planes::from_words(k, to),
            k0: Planes::from_words(y0, to),
            k0_upper: Planes::from_words(&k0_upper, width),
            pi: Planes::from_words(pi, width),
            choice,
            m: Vec::new(),
            received: Planes::default(),
        };
        (client, message)
    }

    /// Takes m and V: `to + 1` planes.
    pub fn set_first(&mut self, first: &Planes) {
        self.m = first.plane(0).to_vec();
        self.received = Planes::zeros(first.lanes(), 0);
        for i in 1..first.count() {
            self.received.push(first.plane(i));
        }
    }

    /// This party's half of D, from its share of d: one plane.
    #[must_use]
    pub fn mask(&self, d: &[u64]) -> Vec<u64> {
        d.iter().zip(&self.choice).map(|(d, l)| d ^ l).collect()
    }

    /// This party's share of d x modulo `2^to`, from D and its share of x.
    #[must_use]
    pub fn select(&self, opened: &[u64], x: &[u64]) -> Vec<u64> {
        let mask = ring_mask(self.to);
        let planes = [&self.k, &self.k0, &self.k0_upper, &self.pi, &self.received];
        let [k, k0, upper, pi, v] = planes.map(|planes| Zeroizing::new(planes.to_words()));
        let select = |(lane, x): (usize, &u64)| {
            let (m, d, l) = (bit(&self.m, lane), bit(opened, lane), bit(&self.choice, lane));
            let product = (m & (x >> (self.from - 1))).wrapping_add(negate_if(m, pi[lane]));
            let y = (to_signed(*x, self.from) as u64).wrapping_add(product << self.from);
            let own = l.wrapping_neg() & v[lane].wrapping_add(y);
            let pads = k0[lane].wrapping_add((m.wrapping_neg() & upper[lane]) << self.from);
            let sum = k[lane].wrapping_add(own).wrapping_sub(pads);
            (d.wrapping_neg() & y).wrapping_add(negate_if(d, sum)) & mask
        };
        x.iter().enumerate().map(select).collect()
    }
}

impl ServerFused {
    /// Offline: takes one position to C and two from C.
    pub fn begin(
        from: u32,
        to: u32,
        to_client: &mut RotSend<'_>,
        from_client: &mut RotRecv<'_>,
    ) -> Self {
        let (k0, k1) = to_client.words();
        let (choice, y) = from_client.words();
        let (sigma, z) = from_client.words();
        let strings = [k0, k1, y, z].map(Zeroizing::new);
        let [k0, k1, y, z] = &strings;
        let delta: Zeroizing<Vec<u64>> =
            Zeroizing::new(k1.iter().zip(k0.iter()).map(|(k1, k0)| k1.wrapping_sub(*k0)).collect());
        let upper: Zeroizing<Vec<u64>> = Zeroizing::new(y.iter().map(|y| y >> to).collect());
        Self {
            from,
            to,
            choice,
            sigma,
            k0: Planes::from_words(k0, to),
            delta: Planes::from_words(&delta, to),
            q: Planes::from_words(y, to),
            q_upper: Planes::from_words(&upper, to - from),
            pi: Planes::from_words(z, to - from),
            m: Vec::new(),
        }
    }

    /// Offline, with tau, tq, tq'.
    pub fn finish(&mut self, message: &Planes) {
        let (width, to) = ((self.to - self.from) as usize, self.to as usize);
        let add = |string: &Planes, plane: &[u64], start: usize, count: usize| {
            let mut words = Zeroizing::new(string.to_words());
            let parts = Zeroizing::new(message.range_to_words(start, count));
            for (lane, (word, part)) in words.iter_mut().zip(parts.iter()).enumerate() {
                *word = word.wrapping_add(bit(plane, lane).wrapping_neg() & part);
            }
            Planes::from_words(&words, count as u32)
        };
        self.pi = add(&self.pi, &self.sigma, 0, width);
        self.q = add(&self.q, &self.choice, width, to);
        self.q_upper = add(&self.q_upper, &self.choice, width + to, width);
    }

    fn y(&self, x: u64, pi: u64, m: u64) -> u64 {
        (to_signed(x, self.from) as u64).wrapping_add(negate_if(m, pi) << self.from)
    }

    /// m and V of this party's share, for C: `to + 1` planes. Once only.
    #[must_use]
    pub fn first(&mut self, x: &[u64]) -> Planes {
        let top = Planes::from_words(
            &Zeroizing::new(x.iter().map(|x| x >> (self.from - 1)).collect::<Vec<u64>>()),
            1,
        );
        self.m = top.plane(0).iter().zip(&self.sigma).map(|(s, sigma)| s ^ sigma).collect();
        let mut first = Planes::zeros(x.len(), 0);
        if !x.is_empty() {
            first.push(&self.m);
            first.trim();
            self.m = first.plane(0).to_vec();
        }
        let mut v = Zeroizing::new(std::mem::take(&mut self.delta).to_words());
        let pi = Zeroizing::new(self.pi.to_words());
        for (lane, (v, x)) in v.iter_mut().zip(x).enumerate() {
            let y = self.y(*x, pi[lane], bit(&self.m, lane));
            *v = negate_if(bit(&self.choice, lane), y).wrapping_sub(*v);
        }
        first.append(&Planes::from_words(&v, self.to));
        first
    }

    /// This party's half of D, from its share of d: one plane.
    #[must_use]
    pub fn mask(&self, d: &[u64]) -> Vec<u64> {
        d.iter().zip(&self.choice).map(|(d, l)| d ^ l).collect()
    }

    /// This party's share of d x modulo `2^to`, from D and its share of x.
    #[must_use]
    pub fn select(&self, opened: &[u64], x: &[u64]) -> Vec<u64> {
        let mask = ring_mask(self.to);
        let planes = [&self.k0, &self.q, &self.q_upper, &self.pi];
        let [k0, q, upper, pi] = planes.map(|planes| Zeroizing::new(planes.to_words()));
        let select = |(lane, x): (usize, &u64)| {
            let (m, d, l) = (bit(&self.m, lane), bit(opened, lane), bit(&self.choice, lane));
            let y = self.y(*x, pi[lane], m);
            let other = q[lane].wrapping_add((m.wrapping_neg() & upper[lane]) << self.from);
            let sum = (l.wrapping_neg() & y).wrapping_sub(k0[lane]).wrapping_add(other);
            (d.wrapping_neg() & y).wrapping_add(negate_if(d, sum)) & mask
        };
        x.iter().enumerate().map(select).collect()
    }
}

/// The ideal version: the server's share of d x modulo `2^to` under the client's share `mask`, for
/// shares of x modulo `2^from` and d that is 0 wherever x is negative. Insecure: it sees all.
pub fn ideal(from: u32, to: u32, d: &[bool], x: &[u64], mask: &[u64]) -> Vec<u64> {
    let value = |(d, x): (&bool, &u64)| u64::from(*d) * (x & ring_mask(from));
    d.iter().zip(x).map(value).zip(mask).map(|(z, r)| z.wrapping_sub(*r) & ring_mask(to)).collect()
}

#[cfg(test)]
mod tests {
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
        server.finish(&message);
        let first = server.first(xs);
        assert_eq!(first.count(), to as usize + 1);
        client.set_first(&first);
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
                let planes =
                    |word: u64, bits: u32| Planes::from_words(&[word & ring_mask(bits)], bits);
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
                server.finish(&message);
                let first = server.first(&[xs]);
                let seen = vec![rho_x, kx, y0, y1, z0, z1, first.to_words()[0], rho_y];
                *of_client.entry(seen).or_default() += 1;
                let seen = vec![x0, x1, rho_y, ky, rho_z, kz, message.to_words()[0], rho_x];
                *of_server.entry(seen).or_default() += 1;
            }
            assert!(*client_views.entry(xc).or_insert_with(|| of_client.clone()) == of_client);
            assert!(*server_views.entry(xs).or_insert_with(|| of_server.clone()) == of_server);
        }
    }
}
