//! Extension of additive shares from `2^b` to a wider ring (protocol.md 5.4, 5.8).
//!
//! For z in `[0, 2^(b-1))`: `z = z_S + z_C - 2^b w`, w = msb(`z_S`) or msb(`z_C`). Signed values go
//! through `z + 2^(b-1)` modulo `2^(b+1)` (the caller adds and subtracts).
//!
//! | | client ([`ClientExtend`]) | server ([`ServerExtend`]) |
//! |---|---|---|
//! | offline | `finish` with t: pi = k + rho t | `begin`: t = sigma - (k1 - k0), to C; pi = -k0 |
//! | opening | `half`: e = msb(`z_C`) ^ rho | `half`: m = msb(`z_S`) ^ sigma |
//! | | `extend` | `extend` |
//!
//! With a, c the two top bits, `1 - w = (1 - a)(1 - c)`; both parties hold shares T of the product a c
//! and use w = a + c - a c.
//!
//! Cost per element: l - b bits from S offline, one bit each way online, one ROT from S to C of
//! l - b bits.

#![expect(clippy::indexing_slicing, reason = "a lane's word and bit lie in vectors of one length")]

use gazelle_prg::Prg;
use gazelle_share::shares::ring_mask;
use rand_core::Rng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::operation::{Begun, Execution, Known, Operation, Rots};
use crate::planes::{Planes, bit, negate_if};
use crate::rot::{RotRecv, RotSend};

/// z in `[0, 2^(from-1))`, from shares modulo `2^from` to shares modulo `2^to`.
#[derive(Debug, Clone)]
pub struct Extend {
    /// Width of the operand's ring.
    pub from: u32,
    /// Width of the result's ring, larger.
    pub to: u32,
}

impl Operation for Extend {
    fn operand_bits(&self) -> u32 {
        self.from
    }
    fn result_bits(&self) -> u32 {
        self.to
    }
    fn planes(&self, _: usize) -> (usize, usize) {
        (1, 1)
    }
    fn offline_planes(&self) -> (usize, usize) {
        ((self.to - self.from) as usize, 0)
    }
    fn rots(&self) -> (usize, usize) {
        (1, 0)
    }
    fn client(&self, rots: &mut Rots<'_>, _: Known<'_>) -> Begun {
        let part = ClientExtend::begin(self.from, self.to, &mut rots.recv);
        Begun::silent(ExtendExecution { part, x: Vec::new(), peer: Vec::new() })
    }
    fn server(&self, rots: &mut Rots<'_>, coins: &mut Prg) -> Begun {
        let (part, t) = ServerExtend::begin(self.from, self.to, &mut rots.send, coins);
        Begun::new(ExtendExecution { part, x: Vec::new(), peer: Vec::new() }, t)
    }
}

struct ExtendExecution<E> {
    part: E,
    x: Vec<u64>,
    /// The other party's half.
    peer: Vec<u64>,
}

impl<E> Drop for ExtendExecution<E> {
    fn drop(&mut self) {
        self.x.zeroize();
    }
}

impl Execution for ExtendExecution<ClientExtend> {
    fn correct(&mut self, corrections: &Planes) {
        self.part.finish(corrections);
    }
    fn start(&mut self, x: Vec<u64>) {
        self.x = x;
    }
    fn half(&mut self, _: usize) -> Planes {
        Planes::of(self.x.len(), &[&self.part.half(&self.x)])
    }
    fn complete(&mut self, _: usize, peer: &Planes) {
        self.peer = peer.plane(0).to_vec();
    }
    fn result(&mut self) -> Vec<u64> {
        self.part.extend(&self.x, &self.peer)
    }
}

impl Execution for ExtendExecution<ServerExtend> {
    fn start(&mut self, x: Vec<u64>) {
        self.x = x;
    }
    fn half(&mut self, _: usize) -> Planes {
        Planes::of(self.x.len(), &[&self.part.half(&self.x)])
    }
    fn complete(&mut self, _: usize, peer: &Planes) {
        self.peer = peer.plane(0).to_vec();
    }
    fn result(&mut self) -> Vec<u64> {
        self.part.extend(&self.x, &self.peer)
    }
}

/// The plane of the top bits of words modulo `2^bits`.
fn top(words: &[u64], bits: u32) -> Vec<u64> {
    let pack = |chunk: &[u64]| {
        chunk.iter().rev().fold(0, |plane, word| plane << 1 | (word >> (bits - 1) & 1))
    };
    words.chunks(64).map(pack).collect()
}

/// The client of an extension, single use.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct ClientExtend {
    from: u32,
    to: u32,
    rho: Vec<u64>,
    pi: Planes,
    own: Vec<u64>,
}

/// The server of an extension, single use.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct ServerExtend {
    from: u32,
    to: u32,
    sigma: Vec<u64>,
    pi: Planes,
    own: Vec<u64>,
}

impl ClientExtend {
    /// Offline, before the exchange, from `2^from` to `2^to`, `from < to`; takes one position.
    pub(crate) fn begin(from: u32, to: u32, from_server: &mut RotRecv<'_>) -> Self {
        let (rho, k) = from_server.words(to - from);
        let k = Zeroizing::new(k);
        Self { from, to, rho, pi: Planes::from_words(&k, to - from), own: Vec::new() }
    }

    /// Offline, with S's t (`to - from` planes).
    pub(crate) fn finish(&mut self, t: &Planes) {
        let (mut pi, t) = (self.pi.to_words(), t.to_words());
        for (lane, (pi, t)) in pi.iter_mut().zip(&t).enumerate() {
            *pi = pi.wrapping_add(bit(&self.rho, lane).wrapping_neg() & t);
        }
        self.pi = Planes::from_words(&pi, self.to - self.from);
        pi.zeroize();
    }

    /// Online: e = msb(`z_C`) ^ rho, one plane; z modulo `2^from`.
    pub(crate) fn half(&mut self, z: &[u64]) -> Vec<u64> {
        let top = top(z, self.from);
        self.own = top.iter().zip(&self.rho).map(|(c, rho)| c ^ rho).collect();
        self.own.clone()
    }

    /// Online: this party's share modulo `2^to`, from the server's m.
    #[must_use]
    pub(crate) fn extend(&self, z: &[u64], peer: &[u64]) -> Vec<u64> {
        let pi = Zeroizing::new(self.pi.to_words());
        let lift = |(lane, z): (usize, &u64)| {
            let (m, e, rho) = (bit(peer, lane), bit(&self.own, lane), bit(&self.rho, lane));
            // T = m (1 - 2e) rho + (1 - 2m)(1 - 2e) pi, the share of a c.
            let t = negate_if(e, m & rho).wrapping_add(negate_if(m ^ e, pi[lane]));
            lift(*z, e ^ rho, t, self.from, self.to)
        };
        z.iter().enumerate().map(lift).collect()
    }
}

impl ServerExtend {
    /// Offline, before the exchange; takes one position. Gives t for C.
    pub(crate) fn begin(
        from: u32,
        to: u32,
        to_client: &mut RotSend<'_>,
        rng: &mut impl Rng,
    ) -> (Self, Planes) {
        let (k0, k1) = to_client.words(to - from);
        let (k0, k1) = (Zeroizing::new(k0), Zeroizing::new(k1));
        let sigma: Vec<u64> = (0..k0.len().div_ceil(64)).map(|_| rng.next_u64()).collect();
        let t: Zeroizing<Vec<u64>> = k0
            .iter()
            .zip(k1.iter())
            .enumerate()
            .map(|(lane, (k0, k1))| bit(&sigma, lane).wrapping_sub(k1.wrapping_sub(*k0)))
            .collect::<Vec<u64>>()
            .into();
        let pi: Vec<u64> = k0.iter().map(|k0| k0.wrapping_neg()).collect();
        let pi = Zeroizing::new(pi);
        let width = to - from;
        let server = Self { from, to, sigma, pi: Planes::from_words(&pi, width), own: Vec::new() };
        (server, Planes::from_words(&t, width))
    }

    /// Online: m = msb(`z_S`) ^ sigma, one plane; z modulo `2^from`.
    pub(crate) fn half(&mut self, z: &[u64]) -> Vec<u64> {
        let top = top(z, self.from);
        self.own = top.iter().zip(&self.sigma).map(|(a, sigma)| a ^ sigma).collect();
        self.own.clone()
    }

    /// Online: this party's share modulo `2^to`, from the client's e.
    #[must_use]
    pub(crate) fn extend(&self, z: &[u64], peer: &[u64]) -> Vec<u64> {
        let pi = Zeroizing::new(self.pi.to_words());
        let lift = |(lane, z): (usize, &u64)| {
            let (m, e, sigma) = (bit(&self.own, lane), bit(peer, lane), bit(&self.sigma, lane));
            // T = m e + (1 - 2m) e sigma + (1 - 2m)(1 - 2e) pi.
            let t = (m & e)
                .wrapping_add(negate_if(m, e & sigma))
                .wrapping_add(negate_if(m ^ e, pi[lane]));
            lift(*z, m ^ sigma, t, self.from, self.to)
        };
        z.iter().enumerate().map(lift).collect()
    }
}

#[cfg(test)]
/// The ideal version: the server's share of z (below `2^(from-1)`) modulo `2^to` under the client's
/// share `mask`. Insecure: it sees both shares.
pub(crate) fn ideal(from: u32, to: u32, server: &[u64], client: &[u64], mask: &[u64]) -> Vec<u64> {
    let z = server.iter().zip(client).map(|(s, c)| s.wrapping_add(*c) & ring_mask(from));
    z.zip(mask).map(|(z, r)| z.wrapping_sub(*r) & ring_mask(to)).collect()
}

/// `z - 2^b top + 2^b T mod 2^l`.
fn lift(z: u64, top: u64, product: u64, from: u32, to: u32) -> u64 {
    z.wrapping_add(product.wrapping_sub(top) << from) & ring_mask(to)
}

#[cfg(test)]
mod tests {
    use gazelle_prg::{Prg, Seed};

    use super::*;
    use crate::testing::Dealt;

    #[test]
    fn conformance_every_pair_of_shares_of_a_small_ring_extends_exactly() {
        let (from, to) = (5, 9);
        let mut rng = Prg::new(&Seed::from_bytes([1; 16]), 2);
        let (mut server_z, mut client_z) = (Vec::new(), Vec::new());
        for value in 0..1u64 << (from - 1) {
            for c in 0..1u64 << from {
                client_z.push(c);
                server_z.push(value.wrapping_sub(c) & ring_mask(from));
            }
        }
        let lanes = client_z.len();
        for seed in 0..4 {
            let dealt = Dealt::new(seed, lanes);
            let (mut server, t) = ServerExtend::begin(from, to, &mut dealt.send(lanes), &mut rng);
            let mut client = ClientExtend::begin(from, to, &mut dealt.recv(lanes));
            client.finish(&t);
            let (m, e) = (server.half(&server_z), client.half(&client_z));
            let (s, c) = (server.extend(&server_z, &e), client.extend(&client_z, &m));
            assert_eq!(s, ideal(from, to, &server_z, &client_z, &c));
            // What is opened is uniform: 6 standard deviations around one half.
            let ones: u32 = m.iter().chain(&e).map(|word| word.count_ones()).sum();
            let count = 2.0 * lanes as f64;
            assert!((f64::from(ones) - count / 2.0).abs() < 6.0 * (count / 4.0).sqrt());
        }
    }

    #[test]
    fn transcript_of_an_extension_is_the_difference_of_the_widths_and_one_bit_each_way() {
        let lanes = 4096;
        let mut rng = Prg::new(&Seed::from_bytes([2; 16]), 2);
        for (from, to, z) in [(5, 9, 0), (5, 9, 31), (12, 20, 2048)] {
            let dealt = Dealt::new(9, lanes);
            let (mut server, t) = ServerExtend::begin(from, to, &mut dealt.send(lanes), &mut rng);
            let mut client = ClientExtend::begin(from, to, &mut dealt.recv(lanes));
            assert_eq!(t.count(), (to - from) as usize);
            client.finish(&t);
            let z = vec![z; lanes];
            let mut sent: Vec<Vec<u64>> = (0..t.count()).map(|i| t.plane(i).to_vec()).collect();
            sent.extend([server.half(&z), client.half(&z)]);
            for plane in sent {
                let ones: u32 = plane.iter().map(|w| w.count_ones()).sum();
                assert!(ones.abs_diff(2048) < 6 * 32, "{ones}");
            }
        }
    }

    /// From 2 to 4 bits, all coins: each party's view is the same for every share of the other's.
    #[test]
    fn transcript_views_over_all_coins_do_not_depend_on_the_other_share() {
        use std::collections::BTreeMap;
        type View = BTreeMap<[u64; 4], usize>;
        let (from, to) = (2, 4);
        let mut client_views: BTreeMap<u64, View> = BTreeMap::new();
        let mut server_views: BTreeMap<u64, View> = BTreeMap::new();
        for (zs, zc) in (0..16u64).map(|i| (i >> 2, i & 3)) {
            let (mut of_client, mut of_server) = (View::new(), View::new());
            for coins in 0..1u64 << 6 {
                let (k0, k1) = (coins & 3, coins >> 2 & 3);
                let (rho, sigma) = (coins >> 4 & 1, coins >> 5);
                let k = if rho == 1 { k1 } else { k0 };
                let word = |word: u64| Planes::from_words(&[word], to - from);
                let own = Vec::new();
                let t = word(sigma.wrapping_sub(k1.wrapping_sub(k0)));
                let pi = word(k0.wrapping_neg());
                let mut client =
                    ClientExtend { from, to, rho: vec![rho], pi: word(k), own: own.clone() };
                let mut server = ServerExtend { from, to, sigma: vec![sigma], pi, own };
                client.finish(&t);
                let (m, e) = (server.half(&[zs]), client.half(&[zc]));
                *of_client.entry([rho, k, t.to_words()[0], m[0]]).or_default() += 1;
                *of_server.entry([k0, k1, sigma, e[0]]).or_default() += 1;
                let (s, c) = (server.extend(&[zs], &e), client.extend(&[zc], &m));
                if (zs + zc) & 3 < 2 {
                    assert_eq!(s, ideal(from, to, &[zs], &[zc], &c));
                }
            }
            assert!(*client_views.entry(zc).or_insert_with(|| of_client.clone()) == of_client);
            assert!(*server_views.entry(zs).or_insert_with(|| of_server.clone()) == of_server);
        }
        assert_eq!((client_views.len(), server_views.len()), (4, 4));
    }
}
