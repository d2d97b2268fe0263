//! Selection: `d x` modulo `2^b` from XOR shares of the bit d and additive shares of x
//! (protocol.md 5.3, 5.8).
//!
//! | | client ([`Select`]) | server ([`Select`]) |
//! |---|---|---|
//! | offline | `begin`, `first`: tq = (1 - 2 `lC`) `x_C` - (k1 - k0), to S (if `x_C` is known) | `begin`; `set_first_offline` with tq: q = k + `lS` tq |
//! | opening 0 | `first`, `set_first`: `V_C` like tq (if `x_C` is only known online) | `first`: V = (1 - 2 `lS`) `x_S` - (k1 - k0) |
//! | opening 1 | `mask`: `d_C` ^ `lC` | `mask`: `d_S` ^ `lS` |
//! | | `select`: D `x_C` + (1 - 2 D)(w + q) | `select` |
//!
//! Cost per element: b bits from S online, b bits from C (offline or online), one opened bit each
//! way, one ROT of b bits in each direction.

use gazelle_prg::Prg;
use gazelle_share::shares::ring_mask;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::operation::{Begun, ClientShare, Execution, Known, Operation, Rots};
use crate::planes::{Planes, bit, negate_if, xor};
use crate::rot::{RotRecv, RotSend};

/// One party of one selection, single use. Client and server are alike but for what is known when.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Select {
    bits: u32,
    /// `lC` or `lS`.
    choice: Vec<u64>,
    /// What this party adds whatever comes: its received string - its own k0, b planes.
    constant: Planes,
    /// k1 - k0 of the strings sent, b planes; empty once used.
    delta: Planes,
    /// What the other party sent online, b planes; empty if it came offline.
    received: Planes,
}

impl Select {
    /// Offline, either party: takes one position of each direction.
    pub(crate) fn begin(bits: u32, send: &mut RotSend<'_>, recv: &mut RotRecv<'_>) -> Self {
        Self::from_strings(bits, send.words(bits), recv.words(bits))
    }

    /// From the two strings sent, and the choice and string received.
    fn from_strings(
        bits: u32,
        (k0, mut delta): (Vec<u64>, Vec<u64>),
        (choice, mut constant): (Vec<u64>, Vec<u64>),
    ) -> Self {
        for ((constant, delta), k0) in constant.iter_mut().zip(&mut delta).zip(&k0) {
            *constant = constant.wrapping_sub(*k0);
            *delta = delta.wrapping_sub(*k0);
        }
        let select = Self {
            bits,
            choice,
            constant: Planes::from_words(&constant, bits),
            delta: Planes::from_words(&delta, bits),
            received: Planes::default(),
        };
        [k0, delta, constant].zeroize();
        select
    }

    /// V, `V_C` or tq of this party's share x, for the other party: b planes of
    /// `(1 - 2 l) x - (k1 - k0)`. Once only.
    #[must_use]
    pub(crate) fn first(&mut self, x: &[u64]) -> Planes {
        let mut words = std::mem::take(&mut self.delta).to_words();
        for (lane, (word, x)) in words.iter_mut().zip(x).enumerate() {
            *word = negate_if(bit(&self.choice, lane), *x).wrapping_sub(*word);
        }
        Planes::from_words(&words, self.bits)
    }

    /// Takes the other party's [`first`](Self::first), offline: q = constant + l tq.
    pub(crate) fn set_first_offline(&mut self, received: &Planes) {
        let (mut constant, received) = (self.constant.to_words(), received.to_words());
        for (lane, (constant, received)) in constant.iter_mut().zip(&received).enumerate() {
            *constant = constant.wrapping_add(bit(&self.choice, lane).wrapping_neg() & received);
        }
        self.constant = Planes::from_words(&constant, self.bits);
        constant.zeroize();
    }

    /// Takes the other party's [`first`](Self::first), online.
    pub(crate) fn set_first(&mut self, received: Planes) {
        self.received = received;
    }

    /// This party's half of D, from its share of d: one plane.
    #[must_use]
    pub(crate) fn mask(&self, d: &[u64]) -> Vec<u64> {
        xor(d, &self.choice)
    }

    /// This party's share of d x, from the opened D and its share x:
    /// `D x + (1 - 2 D)(constant + l (x + received)) mod 2^b`.
    #[must_use]
    pub(crate) fn select(&self, opened: &[u64], x: &[u64]) -> Vec<u64> {
        let mask = ring_mask(self.bits);
        let mut words = self.constant.to_words();
        // What came offline is in the constant already.
        let received = match self.received.count() {
            0 => vec![0; x.len()],
            _ => self.received.to_words(),
        };
        for (lane, ((word, x), other)) in words.iter_mut().zip(x).zip(received).enumerate() {
            let own = bit(&self.choice, lane).wrapping_neg() & x.wrapping_add(other);
            let d = bit(opened, lane);
            *word =
                (d.wrapping_neg() & x).wrapping_add(negate_if(d, word.wrapping_add(own))) & mask;
        }
        words
    }
}

/// One party of a selection behind a sign, as [`ReluExecution`](crate::relu::ReluExecution) sees it.
pub(crate) trait SelectPart: Send {
    /// Offline: takes the other party's part of the corrections.
    fn correct(&mut self, _: &Planes) {}
    /// What this party sends in opening 0. Once only.
    fn send_first(&mut self, _: &[u64]) -> Planes {
        Planes::default()
    }
    /// What it takes then.
    fn take_first(&mut self, _: &Planes) {}
    /// This party's half of D, from its share of d: one plane.
    #[must_use]
    fn mask(&self, d: &[u64]) -> Vec<u64>;
    /// This party's share of d x, from the opened D and its share x.
    #[must_use]
    fn select(&self, opened: &[u64], x: &[u64]) -> Vec<u64>;
}

impl SelectPart for Select {
    fn correct(&mut self, corrections: &Planes) {
        if corrections.count() > 0 {
            self.set_first_offline(corrections);
        }
    }
    fn send_first(&mut self, x: &[u64]) -> Planes {
        self.first(x)
    }
    fn take_first(&mut self, first: &Planes) {
        self.set_first(first.clone());
    }
    fn mask(&self, d: &[u64]) -> Vec<u64> {
        Self::mask(self, d)
    }
    fn select(&self, opened: &[u64], x: &[u64]) -> Vec<u64> {
        Self::select(self, opened, x)
    }
}

/// d x modulo `2^bits`: x the low bits of each word, d bit [`Keep::CHOICE`] of it, shared by XOR. The
/// client's x may be known offline, its d is not.
#[derive(Debug, Clone)]
pub struct Keep {
    /// Width of x.
    pub bits: u32,
    /// When the client knows its x.
    pub share: ClientShare,
}

impl Keep {
    /// The bit of the operand that tells whether the word is kept.
    pub const CHOICE: u32 = 63;
}

impl Operation for Keep {
    fn operand_bits(&self) -> u32 {
        64
    }
    fn result_bits(&self) -> u32 {
        self.bits
    }
    fn client_share(&self) -> ClientShare {
        self.share
    }
    fn planes(&self, _: usize) -> (usize, usize) {
        let bits = self.bits as usize;
        (1 + bits, if self.share == ClientShare::Online { 1 + bits } else { 1 })
    }
    fn offline_planes(&self) -> (usize, usize) {
        (0, if self.share == ClientShare::Offline { self.bits as usize } else { 0 })
    }
    fn rots(&self) -> (usize, usize) {
        (1, 1)
    }
    fn client(&self, rots: &mut Rots<'_>, known: Known<'_>) -> Begun {
        let mut select = Select::begin(self.bits, &mut rots.send, &mut rots.recv);
        if self.share == ClientShare::Online {
            return Begun::silent(KeepExecution::new(select, true));
        }
        let tq = select.first(known.operand);
        Begun::new(KeepExecution::new(select, false), tq)
    }
    fn server(&self, rots: &mut Rots<'_>, _: &mut Prg) -> Begun {
        let select = Select::begin(self.bits, &mut rots.send, &mut rots.recv);
        Begun::silent(KeepExecution::new(select, true))
    }
}

struct KeepExecution {
    select: Select,
    /// Whether this party sends its word online.
    sends: bool,
    x: Vec<u64>,
    /// This party's half of D, then D.
    opened: Vec<u64>,
}

impl KeepExecution {
    fn new(select: Select, sends: bool) -> Self {
        Self { select, sends, x: Vec::new(), opened: Vec::new() }
    }
}

impl Execution for KeepExecution {
    fn correct(&mut self, corrections: &Planes) {
        if corrections.count() > 0 {
            self.select.set_first_offline(corrections);
        }
    }
    fn start(&mut self, x: Vec<u64>) {
        self.x = x;
    }
    fn half(&mut self, _: usize) -> Planes {
        let d: Vec<u64> = self.x.iter().map(|x| x >> Keep::CHOICE).collect();
        self.opened = self.select.mask(Planes::from_words(&d, 1).plane(0));
        let mut half = Planes::of(self.x.len(), &[&self.opened]);
        if self.sends {
            half.append(&self.select.first(&self.x));
        }
        half
    }
    fn complete(&mut self, _: usize, peer: &Planes) {
        let (d, first) = peer.split(1);
        self.opened = xor(&self.opened, d.plane(0));
        if first.count() > 0 {
            self.select.set_first(first);
        }
    }
    fn result(&mut self) -> Vec<u64> {
        let mask = ring_mask(self.select.bits);
        self.x.iter_mut().for_each(|x| *x &= mask);
        self.select.select(&self.opened, &self.x)
    }
}

impl Drop for KeepExecution {
    fn drop(&mut self) {
        self.x.zeroize();
        self.opened.zeroize();
    }
}

#[cfg(test)]
/// The ideal version: `d x mod 2^b`, shared by `mask` (the client's share). Insecure: it sees all.
pub(crate) fn ideal(bits: u32, d: &[bool], x: &[u64], mask: &[u64]) -> Vec<u64> {
    d.iter()
        .zip(x)
        .zip(mask)
        .map(|((d, x), r)| (u64::from(*d) * x).wrapping_sub(*r) & ring_mask(bits))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dealt;

    #[test]
    fn conformance_selection_of_every_value_by_every_sharing_of_the_bit() {
        let bits = 5;
        let (mut xs, mut xc) = (Vec::new(), Vec::new());
        for s in 0..32u64 {
            for c in 0..32u64 {
                for _ in 0..4 {
                    xs.push(s);
                    xc.push(c);
                }
            }
        }
        let lanes = xs.len();
        let ds = vec![0xcccc_cccc_cccc_cccc_u64; lanes / 64];
        let dc = vec![0xaaaa_aaaa_aaaa_aaaa_u64; lanes / 64];
        for seed in 0..4 {
            let (down, up) = (Dealt::new(2 * seed, lanes), Dealt::new(2 * seed + 1, lanes));
            let mut client = Select::begin(bits, &mut up.send(lanes), &mut down.recv(lanes));
            let mut server = Select::begin(bits, &mut down.send(lanes), &mut up.recv(lanes));
            let (tq, v) = (client.first(&xc), server.first(&xs));
            // The client's share is known offline, or only online.
            if seed % 2 == 0 {
                server.set_first_offline(&tq);
            } else {
                server.set_first(tq);
            }
            client.set_first(v);
            let opened: Vec<u64> =
                client.mask(&dc).iter().zip(server.mask(&ds)).map(|(a, b)| a ^ b).collect();
            let (zc, zs) = (client.select(&opened, &xc), server.select(&opened, &xs));
            let d: Vec<bool> = (0..lanes)
                .map(|lane| (dc[lane / 64] ^ ds[lane / 64]) >> (lane % 64) & 1 == 1)
                .collect();
            let x: Vec<u64> = xs.iter().zip(&xc).map(|(s, c)| s + c).collect();
            assert_eq!(zs, ideal(bits, &d, &x, &zc));
        }
    }

    #[test]
    fn transcript_of_a_selection_is_b_bits_and_one_each_way_and_looks_uniform() {
        let lanes = 4096;
        for (bits, x, d) in [(6, 0, 0), (6, 63, u64::MAX), (13, 4000, 0)] {
            let (down, up) = (Dealt::new(1, lanes), Dealt::new(2, lanes));
            let mut client = Select::begin(bits, &mut up.send(lanes), &mut down.recv(lanes));
            let mut server = Select::begin(bits, &mut down.send(lanes), &mut up.recv(lanes));
            let words = vec![x; lanes];
            for sent in [client.first(&words), server.first(&words)] {
                assert_eq!(sent.count(), bits as usize);
                for plane in 0..sent.count() {
                    let ones: u32 = sent.plane(plane).iter().map(|w| w.count_ones()).sum();
                    assert!(ones.abs_diff(2048) < 6 * 32, "{ones}");
                }
            }
            let d = vec![d; lanes / 64];
            for half in [client.mask(&d), server.mask(&d)] {
                let ones: u32 = half.iter().map(|w| w.count_ones()).sum();
                assert!(ones.abs_diff(2048) < 6 * 32, "{ones}");
            }
        }
    }

    /// Two bits, all coins: each party's view is the same for every share of the other's.
    #[test]
    fn transcript_views_over_all_coins_do_not_depend_on_the_other_shares() {
        use std::collections::BTreeMap;
        type View = BTreeMap<[u64; 6], usize>;
        let mut client_views: BTreeMap<(u64, u64), View> = BTreeMap::new();
        let mut server_views: BTreeMap<(u64, u64), View> = BTreeMap::new();
        for shares in 0..64u64 {
            let (xs, xc, ds, dc) = (shares & 3, shares >> 2 & 3, shares >> 4 & 1, shares >> 5);
            let (mut of_client, mut of_server) = (View::new(), View::new());
            for coins in 0..1u64 << 10 {
                let take = |start: u32, bits: u32| coins >> start & ring_mask(bits);
                let (x0, x1, rho_x) = (take(0, 2), take(2, 2), take(4, 1));
                let (y0, y1, rho_y) = (take(5, 2), take(7, 2), take(9, 1));
                let kx = if rho_x == 1 { x1 } else { x0 };
                let ky = if rho_y == 1 { y1 } else { y0 };
                let party = |sent: (u64, u64), received: (u64, u64)| {
                    let one = |(a, b): (u64, u64)| (vec![a], vec![b]);
                    Select::from_strings(2, one(sent), one(received))
                };
                let mut client = party((y0, y1), (rho_x, kx));
                let mut server = party((x0, x1), (rho_y, ky));
                let (tq, v) = (client.first(&[xc]), server.first(&[xs]));
                let (half_c, half_s) = (client.mask(&[dc])[0], server.mask(&[ds])[0]);
                let words = (tq.to_words()[0], v.to_words()[0]);
                *of_client.entry([rho_x, kx, y0, y1, words.1, half_s]).or_default() += 1;
                *of_server.entry([x0, x1, rho_y, ky, words.0, half_c]).or_default() += 1;
                server.set_first_offline(&tq);
                client.set_first(v);
                let opened = [half_c ^ half_s];
                let (zc, zs) = (client.select(&opened, &[xc]), server.select(&opened, &[xs]));
                assert_eq!(zc[0].wrapping_add(zs[0]) & 3, ((ds ^ dc) * (xs + xc)) & 3);
            }
            assert!(
                *client_views.entry((xc, dc)).or_insert_with(|| of_client.clone()) == of_client
            );
            assert!(
                *server_views.entry((xs, ds)).or_insert_with(|| of_server.clone()) == of_server
            );
        }
        assert_eq!((client_views.len(), server_views.len()), (8, 8));
    }
}
