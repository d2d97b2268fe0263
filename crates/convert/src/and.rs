//! AND of XOR-shared bits (protocol.md 5.6, all pairs of a window).
//!
//! X = ROT(S->C, 1), Y = ROT(C->S, 1); al masks the first operand, be the second.
//!
//! | | client ([`AndPart`]) | server ([`AndPart`]) |
//! |---|---|---|
//! | offline | al = `rho_X`, be = `k0_Y` ^ `k1_Y`, ab = al be ^ `k_X` ^ `k0_Y` | al = `rho_Y`, be = `k0_X` ^ `k1_X`, ab = al be ^ `k0_X` ^ `k_Y` |
//! | opening | `half`: x ^ al, y ^ be | `half` |
//! | | `and`: E be ^ al F ^ ab | `and`: the same ^ E F |
//!
//! E, F are the XOR of both halves. The masks' shares multiply to shares: `al_C be_S` lies in X,
//! `al_S be_C` in Y. Security: each party's al is its ROT choice, which the other never sees; its be
//! is the difference of strings of which the other got one; each is opened once.
//!
//! Cost: one ROT in each direction, 2 bits each way; nothing offline.

use gazelle_prg::Prg;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::operation::{Begun, Execution, Known, Operation, Rots};
use crate::planes::{Planes, xor};
use crate::rot::{RotRecv, RotSend};

/// One party of one AND, single use.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct AndPart {
    al: Vec<u64>,
    be: Vec<u64>,
    ab: Vec<u64>,
    /// This party's half.
    own: Planes,
    #[zeroize(skip)]
    server: bool,
}

impl AndPart {
    /// Offline, either party: takes one position of each direction.
    pub(crate) fn begin(server: bool, send: &mut RotSend<'_>, recv: &mut RotRecv<'_>) -> Self {
        let (k0, delta) = send.bits(1);
        let (al, k) = recv.bits(1);
        Self::from_strings(server, &k0, &delta, al, &k)
    }

    fn from_strings(server: bool, k0: &Planes, delta: &Planes, al: Vec<u64>, k: &Planes) -> Self {
        let be = delta.plane(0).to_vec();
        let strings = k.plane(0).iter().zip(k0.plane(0));
        let ab = al.iter().zip(&be).zip(strings).map(|((al, be), (k, k0))| (al & be) ^ k ^ k0);
        Self { ab: ab.collect(), al, be, own: Planes::default(), server }
    }

    /// This party's half of the opening, from its shares of x and y: 2 planes.
    #[must_use]
    pub(crate) fn half(&mut self, lanes: usize, x: &[u64], y: &[u64]) -> Planes {
        self.own = Planes::of(lanes, &[&xor(x, &self.al), &xor(y, &self.be)]);
        self.own.clone()
    }

    /// This party's share of x y, from the other's half.
    #[must_use]
    pub(crate) fn and(&self, peer: &Planes) -> Vec<u64> {
        let flag = if self.server { u64::MAX } else { 0 };
        let open = |i: usize| xor(self.own.plane(i), peer.plane(i));
        let masks = self.al.iter().zip(&self.be).zip(&self.ab);
        let opened = open(0).into_iter().zip(open(1));
        opened
            .zip(masks)
            .map(|((e, f), ((al, be), ab))| (flag & e & f) ^ (e & be) ^ (al & f) ^ ab)
            .collect()
    }
}

/// x y of two bits shared by XOR: bits 0 and 1 of each word.
#[derive(Debug, Clone)]
pub struct And;

impl Operation for And {
    fn operand_bits(&self) -> u32 {
        2
    }
    fn result_bits(&self) -> u32 {
        1
    }
    fn planes(&self, _: usize) -> (usize, usize) {
        (2, 2)
    }
    fn rots(&self) -> (usize, usize) {
        (1, 1)
    }
    fn client(&self, rots: &mut Rots<'_>, _: Known<'_>) -> Begun {
        Begun::silent(AndExecution::new(AndPart::begin(false, &mut rots.send, &mut rots.recv)))
    }
    fn server(&self, rots: &mut Rots<'_>, _: &mut Prg) -> Begun {
        Begun::silent(AndExecution::new(AndPart::begin(true, &mut rots.send, &mut rots.recv)))
    }
}

struct AndExecution {
    part: AndPart,
    operands: Planes,
    product: Vec<u64>,
}

impl AndExecution {
    fn new(part: AndPart) -> Self {
        Self { part, operands: Planes::default(), product: Vec::new() }
    }
}

impl Execution for AndExecution {
    fn start(&mut self, mut x: Vec<u64>) {
        self.operands = Planes::from_words(&x, 2);
        x.zeroize();
    }
    fn half(&mut self, _: usize) -> Planes {
        let [x, y] = [0, 1].map(|i| self.operands.plane(i));
        self.part.half(self.operands.lanes(), x, y)
    }
    fn complete(&mut self, _: usize, peer: &Planes) {
        self.product = self.part.and(peer);
    }
    fn result(&mut self) -> Vec<u64> {
        Planes::of(self.operands.lanes(), &[&self.product]).to_words()
    }
}

impl Drop for AndExecution {
    fn drop(&mut self) {
        self.product.zeroize();
    }
}

#[cfg(test)]
/// The ideal version: the server's share of x y under the client's share `mask`, planes.
/// Insecure: it sees both operands.
pub(crate) fn ideal(x: &[u64], y: &[u64], mask: &[u64]) -> Vec<u64> {
    x.iter().zip(y).zip(mask).map(|((x, y), r)| (x & y) ^ r).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::Dealt;

    #[test]
    fn conformance_every_sharing_of_both_operands_gives_the_ideal_and() {
        let lanes = 256;
        // All sixteen combinations of shares, in four words.
        let planes = [0xaaaa_aaaa_aaaa_aaaa, 0xcccc_cccc_cccc_cccc, 0xf0f0_f0f0_f0f0_f0f0];
        let word = |plane: u64| vec![plane; 4];
        let (xc, xs, yc) = (word(planes[0]), word(planes[1]), word(planes[2]));
        let ys = word(0xff00_ff00_ff00_ff00);
        for seed in 0..8 {
            let (down, up) = (Dealt::new(2 * seed, lanes), Dealt::new(2 * seed + 1, lanes));
            let mut client = AndPart::begin(false, &mut up.send(lanes), &mut down.recv(lanes));
            let mut server = AndPart::begin(true, &mut down.send(lanes), &mut up.recv(lanes));
            let (c, s) = (client.half(lanes, &xc, &yc), server.half(lanes, &xs, &ys));
            assert_eq!((c.count(), s.count()), (2, 2));
            let (zc, zs) = (client.and(&s), server.and(&c));
            assert_eq!(zs, ideal(&xor(&xc, &xs), &xor(&yc, &ys), &zc));
        }
    }

    /// All coins of one AND: each party's view is the same for every share of the other's.
    #[test]
    fn transcript_views_over_all_coins_do_not_depend_on_the_other_shares() {
        type View = BTreeMap<Vec<u64>, usize>;
        let mut views: [BTreeMap<u64, View>; 2] = [BTreeMap::new(), BTreeMap::new()];
        for shares in 0..16u64 {
            let bit = |i: u64| shares >> i & 1;
            let (xc, yc, xs, ys) = (bit(0), bit(1), bit(2), bit(3));
            let (mut of_client, mut of_server) = (View::new(), View::new());
            for coins in 0..64u64 {
                let coin = |i: u64| coins >> i & 1;
                let one = |bit: u64| Planes::from_words(&[bit], 1);
                let (x0, dx, rho_x) = (coin(0), coin(1), coin(2));
                let (y0, dy, rho_y) = (coin(3), coin(4), coin(5));
                let (kx, ky) = (x0 ^ (rho_x & dx), y0 ^ (rho_y & dy));
                let mut client =
                    AndPart::from_strings(false, &one(y0), &one(dy), vec![rho_x], &one(kx));
                let mut server =
                    AndPart::from_strings(true, &one(x0), &one(dx), vec![rho_y], &one(ky));
                let (c, s) = (client.half(1, &[xc], &[yc]), server.half(1, &[xs], &[ys]));
                assert_eq!((client.and(&s)[0] ^ server.and(&c)[0]) & 1, (xc ^ xs) & (yc ^ ys));
                let seen = vec![y0, dy, rho_x, kx, s.to_words()[0]];
                *of_client.entry(seen).or_default() += 1;
                let seen = vec![x0, dx, rho_y, ky, c.to_words()[0]];
                *of_server.entry(seen).or_default() += 1;
            }
            for (i, (own, seen)) in
                [(xc | yc << 1, of_client), (xs | ys << 1, of_server)].into_iter().enumerate()
            {
                assert!(*views[i].entry(own).or_insert_with(|| seen.clone()) == seen);
            }
        }
    }
}
