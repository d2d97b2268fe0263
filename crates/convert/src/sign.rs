//! A2B, the sign: `[x < 0]` as XOR shares, from additive shares modulo `2^b` (protocol.md 5.2, 5.8).
//!
//! `msb(x) = msb(x_S) ^ msb(x_C) ^ carry` of the low `n = b - 1` bits. The carry comes from a binary
//! tree of pairs (g, p) o (g', p') = (g ^ p g', p p') over two-bit leaves.
//!
//! | | client ([`ClientSign`]) | server ([`ServerSign`]) |
//! |---|---|---|
//! | offline | `begin`: choice corrections d, to S | `begin`: t1..t4 per leaf, to C |
//! | | `finish` with t1..t4 | `finish` with d |
//! | opening 0 | `complete` (if its share is only known online it sends e = c ^ rho) | `half`: m = s ^ lambda |
//! | openings 1..=L | `half`, `complete`: p ^ al, g' ^ be, p' ^ ga | the same |
//! | | `sign`: its share of msb(x) | `sign` |
//!
//! Cost per element, m = ceil(n / 2) leaves, L = ceil(log2 m): online n + 6 (m - 1) - 2 L bits, n more
//! if the client's share is an online value; offline 3 bits from C and 4 from S per two-bit leaf (1
//! and 0 for a one-bit leaf; 1 and 4, 0 and 0 if the client's share comes online); ROTs 3 per
//! two-bit leaf, 1 per one-bit leaf, and m - 1, from S to C; m - 1 from C to S.

#![expect(
    clippy::indexing_slicing,
    reason = "planes of one chunk have one stride; counts follow from b"
)]

use zeroize::Zeroize;

use crate::planes::Planes;
use crate::rot::{RotRecv, RotSend};

/// When the client knows its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientShare {
    /// In the offline phase: it is an output of a linear layer.
    Offline,
    /// Only online: it came out of an interactive step.
    Online,
}

/// The shape of the tree for b-bit shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignTree {
    /// Bits compared, n = b - 1.
    bits: usize,
    /// Nodes before each level; level 0 is the leaves.
    nodes: Vec<usize>,
}

impl SignTree {
    /// The tree for shares modulo `2^b`, b >= 2.
    pub fn new(b: u32) -> Self {
        let bits = b as usize - 1;
        let mut nodes = vec![bits.div_ceil(2)];
        let mut last = bits.div_ceil(2);
        while last > 1 {
            last = last.div_ceil(2);
            nodes.push(last);
        }
        Self { bits, nodes }
    }

    /// n = b - 1.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// L, the levels of merges.
    pub fn levels(&self) -> usize {
        self.nodes.len() - 1
    }

    fn leaves(&self) -> usize {
        self.nodes[0]
    }

    /// Merges of `level` (from 1).
    fn merges(&self, level: usize) -> usize {
        self.nodes[level - 1] / 2
    }

    fn is_pair(&self, leaf: usize) -> bool {
        2 * leaf + 1 < self.bits
    }

    /// Planes that each party sends in `level` (from 1): 3 per merge, 2 for the lowest.
    pub fn level_planes(&self, level: usize) -> usize {
        3 * self.merges(level) - 1
    }

    /// ROTs per element, S to C and C to S.
    pub fn rots(&self) -> (usize, usize) {
        let pairs = self.bits / 2;
        let merges = self.leaves() - 1;
        (3 * pairs + self.bits % 2 + merges, merges)
    }

    /// Offline bits per element from C and from S.
    pub fn offline_bits(&self, share: ClientShare) -> (usize, usize) {
        let (pairs, single) = (self.bits / 2, self.bits % 2);
        match share {
            ClientShare::Offline => (3 * pairs + single, 4 * pairs),
            ClientShare::Online => (pairs, 4 * pairs),
        }
    }
}

/// A plane, or zeros.
type Plane = Vec<u64>;

fn map2(a: &[u64], b: &[u64], f: impl Fn(u64, u64) -> u64) -> Plane {
    a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect()
}

fn xor(a: &[u64], b: &[u64]) -> Plane {
    map2(a, b, |a, b| a ^ b)
}

fn and(a: &[u64], b: &[u64]) -> Plane {
    map2(a, b, |a, b| a & b)
}

/// `a ^= b & c`.
fn xor_and(a: &mut [u64], b: &[u64], c: &[u64]) {
    a.iter_mut().zip(b).zip(c).for_each(|((a, b), c)| *a ^= b & c);
}

/// One party's masks of a merge: al masks p, be masks g', ga masks p'; shares of al be and al ga.
struct Merge {
    /// al, be, ab, and ga, ag unless it is the lowest of its level.
    planes: Planes,
    lowest: bool,
}

impl Merge {
    fn planes(&self) -> [&[u64]; 5] {
        std::array::from_fn(|i| self.planes.plane(i))
    }
}

/// The ideal version: the server's share of `msb(x_S + x_C)` under the client's share `mask`, a plane
/// each. Insecure: it sees both shares.
pub fn ideal(b: u32, server: &[u64], client: &[u64], mask: &[u64]) -> Vec<u64> {
    let sum: Vec<u64> = server.iter().zip(client).map(|(s, c)| s.wrapping_add(*c)).collect();
    xor(Planes::from_words(&sum, b).plane(b as usize - 1), mask)
}

/// What both parties do in the levels.
struct Levels {
    tree: SignTree,
    merges: Vec<Vec<Merge>>,
    g: Vec<Plane>,
    p: Vec<Plane>,
    own: Option<Planes>,
    lanes: usize,
}

impl Drop for Levels {
    fn drop(&mut self) {
        self.g.zeroize();
        self.p.zeroize();
    }
}

impl Levels {
    fn new(tree: SignTree, merges: Vec<Vec<Merge>>, lanes: usize) -> Self {
        Self { tree, merges, g: Vec::new(), p: Vec::new(), own: None, lanes }
    }

    fn half(&mut self, level: usize) -> Planes {
        let mut out = Planes::zeros(self.lanes, 0);
        for (i, merge) in self.merges[level - 1].iter().enumerate() {
            let [al, be, _, ga, _] = merge.planes();
            out.push(&xor(&self.p[2 * i + 1], al));
            out.push(&xor(&self.g[2 * i], be));
            if !merge.lowest {
                out.push(&xor(&self.p[2 * i], ga));
            }
        }
        self.own = Some(out.clone());
        out
    }

    /// `server`: which of the two adds PG and PQ.
    fn complete(&mut self, level: usize, peer: &Planes, server: bool) {
        let own = self.own.take().unwrap_or_default();
        let nodes = self.tree.nodes[level - 1];
        let flag = if server { u64::MAX } else { 0 };
        let (mut g, mut p) = (Vec::new(), Vec::new());
        let mut next = 0;
        for (i, merge) in self.merges[level - 1].iter().enumerate() {
            let [al, be, ab, ga, ag] = merge.planes();
            let open = |k: usize| xor(own.plane(next + k), peer.plane(next + k));
            let (open_p, open_g) = (open(0), open(1));
            let mut high = std::mem::take(&mut self.g[2 * i + 1]);
            for (w, g) in high.iter_mut().enumerate() {
                let (p, q) = (open_p[w], open_g[w]);
                *g ^= (flag & p & q) ^ (p & be[w]) ^ (al[w] & q) ^ ab[w];
            }
            g.push(high);
            if merge.lowest {
                p.push(Vec::new());
                next += 2;
            } else {
                let open_q = open(2);
                let low = (0..open_p.len()).map(|w| {
                    let (p, q) = (open_p[w], open_q[w]);
                    (flag & p & q) ^ (p & ga[w]) ^ (al[w] & q) ^ ag[w]
                });
                p.push(low.collect());
                next += 3;
            }
        }
        if !nodes.is_multiple_of(2) {
            g.push(std::mem::take(&mut self.g[nodes - 1]));
            p.push(std::mem::take(&mut self.p[nodes - 1]));
        }
        (self.g, self.p) = (g, p);
    }
}

/// A leaf's correlation at one party.
enum Leaf {
    /// C: B, C, ka, ep. S: B, C, ka, ep, l0, l1. C's share known offline.
    Pair(Planes),
    /// C: B. S: B, l.
    Single(Planes),
    /// Shares of A..F, then C: rho0, rho1; S: l0, l1. C's share online.
    PairOnline(Planes),
    /// C: B, rho. S: B, l.
    SingleOnline(Planes),
}

fn planes(lanes: usize, list: &[&[u64]]) -> Planes {
    let mut planes = Planes::zeros(lanes, 0);
    for plane in list {
        planes.push(plane);
    }
    planes
}

/// Makes the masks of all merges; the order of positions is the same at both parties.
fn merges(tree: &SignTree, lanes: usize, mut make: impl FnMut() -> [Plane; 5]) -> Vec<Vec<Merge>> {
    (1..=tree.levels())
        .map(|level| {
            (0..tree.merges(level))
                .map(|i| {
                    let [al, be, ga, ab, ag] = make();
                    let lowest = i == 0;
                    let planes = if lowest {
                        planes(lanes, &[&al, &be, &ab])
                    } else {
                        planes(lanes, &[&al, &be, &ab, &ga, &ag])
                    };
                    Merge { planes, lowest }
                })
                .collect()
        })
        .collect()
}

/// The client of one sign, single use.
pub struct ClientSign {
    levels: Levels,
    leaves: Vec<Leaf>,
    share: ClientShare,
    /// C's bits, if known: b planes.
    bits: Planes,
}

impl ClientSign {
    /// Offline, before the exchange. `bits` are the planes of `x_C` if `share` is `Offline` (else
    /// ignored). Gives d for S.
    pub fn begin(
        b: u32,
        share: ClientShare,
        bits: Planes,
        lanes: usize,
        from_server: &mut RotRecv<'_>,
        to_server: &mut RotSend<'_>,
    ) -> (Self, Planes) {
        let tree = SignTree::new(b);
        let mut out = Planes::zeros(lanes, 0);
        let mut leaves = Vec::with_capacity(tree.leaves());
        for leaf in 0..tree.leaves() {
            if tree.is_pair(leaf) {
                let (rho1, k1) = from_server.bits(3);
                let (rho2, k2) = from_server.bits(2);
                let (rho3, k3) = from_server.bits(1);
                let strings =
                    [k1.plane(0), k1.plane(1), k1.plane(2), k2.plane(0), k2.plane(1), k3.plane(0)];
                match share {
                    ClientShare::Offline => {
                        let (c0, c1) = (bits.plane(2 * leaf), bits.plane(2 * leaf + 1));
                        out.push(&xor(c0, &rho1));
                        out.push(&xor(c1, &rho2));
                        out.push(&xor(&and(c0, c1), &rho3));
                        leaves.push(Leaf::Pair(planes(lanes, &strings)));
                    }
                    ClientShare::Online => {
                        out.push(&xor(&and(&rho1, &rho2), &rho3));
                        let [b, c, d, a, e, f] = strings;
                        let all = [a, b, c, d, e, f, &rho1, &rho2];
                        leaves.push(Leaf::PairOnline(planes(lanes, &all)));
                    }
                }
            } else {
                let (rho, k) = from_server.bits(1);
                match share {
                    ClientShare::Offline => {
                        out.push(&xor(bits.plane(2 * leaf), &rho));
                        leaves.push(Leaf::Single(k));
                    }
                    ClientShare::Online => {
                        leaves.push(Leaf::SingleOnline(planes(lanes, &[k.plane(0), &rho])));
                    }
                }
            }
        }
        let merges = merges(&tree, lanes, || {
            let (al, k) = from_server.bits(2);
            let (k0, delta) = to_server.bits(2);
            let share = |i: usize| {
                let mut product = xor(k.plane(i), k0.plane(i));
                xor_and(&mut product, &al, delta.plane(i));
                product
            };
            let (ab, ag) = (share(0), share(1));
            [al, delta.plane(0).to_vec(), delta.plane(1).to_vec(), ab, ag]
        });
        (Self { levels: Levels::new(tree, merges, lanes), leaves, share, bits }, out)
    }

    /// Offline, with S's t1..t4 per two-bit leaf.
    pub fn finish(&mut self, corrections: &Planes) {
        let mut next = 0;
        for (i, leaf) in self.leaves.iter_mut().enumerate() {
            let t: [&[u64]; 4] = std::array::from_fn(|k| corrections.plane(next + k));
            match leaf {
                Leaf::Pair(strings) => {
                    let (c0, c1) = (self.bits.plane(2 * i), self.bits.plane(2 * i + 1));
                    let s: [&[u64]; 6] = std::array::from_fn(|k| strings.plane(k));
                    let (mut ka, mut ep) = (s[2].to_vec(), s[1].to_vec());
                    for w in 0..ka.len() {
                        let both = c0[w] & c1[w];
                        ka[w] ^= (c0[w] & t[0][w]) ^ s[3][w] ^ (c1[w] & t[1][w]);
                        ka[w] ^= s[5][w] ^ (both & t[3][w]);
                        ep[w] ^= s[4][w] ^ (c1[w] & t[2][w]) ^ both;
                    }
                    *strings = planes(self.levels.lanes, &[s[0], s[1], &ka, &ep]);
                    next += 4;
                }
                Leaf::PairOnline(shares) => {
                    let (rho0, rho1) = (shares.plane(6).to_vec(), shares.plane(7).to_vec());
                    // A = l1 rho1, D = l1 l0 rho0, E = l0 rho1, F = l0 rho0 rho1.
                    xor_and(shares.plane_mut(0), &rho1, t[1]);
                    xor_and(shares.plane_mut(3), &rho0, t[0]);
                    xor_and(shares.plane_mut(4), &rho1, t[2]);
                    xor_and(shares.plane_mut(5), &and(&rho0, &rho1), t[3]);
                    next += 4;
                }
                Leaf::Single(_) | Leaf::SingleOnline(_) => {}
            }
        }
    }

    /// Online, with an online share: the planes of `x_C`, before opening 0.
    pub fn set_share(&mut self, bits: Planes) {
        self.bits = bits;
    }

    /// Planes that this party sends in an opening (0..=L).
    pub fn planes(tree: &SignTree, share: ClientShare, opening: usize) -> usize {
        match (opening, share) {
            (0, ClientShare::Offline) => 0,
            (0, ClientShare::Online) => tree.bits(),
            _ => tree.level_planes(opening),
        }
    }

    /// This party's half of an opening.
    pub fn half(&mut self, opening: usize) -> Planes {
        if opening > 0 {
            return self.levels.half(opening);
        }
        let mut out = Planes::zeros(self.levels.lanes, 0);
        if self.share == ClientShare::Online {
            for (i, leaf) in self.leaves.iter().enumerate() {
                match leaf {
                    Leaf::PairOnline(shares) => {
                        out.push(&xor(self.bits.plane(2 * i), shares.plane(6)));
                        out.push(&xor(self.bits.plane(2 * i + 1), shares.plane(7)));
                    }
                    Leaf::SingleOnline(shares) => {
                        out.push(&xor(self.bits.plane(2 * i), shares.plane(1)));
                    }
                    Leaf::Pair(_) | Leaf::Single(_) => {}
                }
            }
            self.levels.own = Some(out.clone());
        }
        out
    }

    /// Takes the server's half of an opening.
    pub fn complete(&mut self, opening: usize, peer: &Planes) {
        if opening > 0 {
            return self.levels.complete(opening, peer, false);
        }
        let own = self.levels.own.take().unwrap_or_default();
        for (i, leaf) in std::mem::take(&mut self.leaves).iter().enumerate() {
            let (m0, e0) = (peer.plane(2 * i), own.plane(2 * i));
            let (m1, e1) = (peer.plane(2 * i + 1), own.plane(2 * i + 1));
            let (g, p) = match leaf {
                Leaf::Pair(strings) => {
                    let [b, cc, ka, ep] = std::array::from_fn(|k| strings.plane(k));
                    let (c0, c1) = (self.bits.plane(2 * i), self.bits.plane(2 * i + 1));
                    let g = |w: usize| {
                        let (m0, m1, c0, c1) = (m0[w], m1[w], c0[w], c1[w]);
                        ka[w]
                            ^ (m1 & b[w])
                            ^ (m0 & cc[w])
                            ^ (m1 & c1)
                            ^ (m1 & m0 & c0)
                            ^ (m0 & c0 & c1)
                    };
                    let p = |w: usize| ep[w] ^ (m1[w] & c0[w]) ^ (m0[w] & c1[w]);
                    ((0..m0.len()).map(g).collect(), (0..m0.len()).map(p).collect())
                }
                Leaf::Single(k) => {
                    let c = self.bits.plane(2 * i);
                    let mut g = k.plane(0).to_vec();
                    xor_and(&mut g, m0, c);
                    (g, c.to_vec())
                }
                Leaf::PairOnline(shares) => {
                    let [a, b, cc, dd, e, f, rho0, rho1] = std::array::from_fn(|k| shares.plane(k));
                    let both = |w: usize| {
                        let (m0, e0, rho0, rho1) = (m0[w], e0[w], rho0[w], rho1[w]);
                        let big = m1[w] ^ e1[w];
                        let low = (m0 & rho0) ^ b[w];
                        let g = (m1[w] & rho1)
                            ^ a[w]
                            ^ (big & low)
                            ^ (m0 & e0 & rho1)
                            ^ (m0 & (cc[w] ^ (rho0 & rho1)))
                            ^ (e0 & e[w])
                            ^ dd[w]
                            ^ f[w];
                        let p = (big & rho0) ^ ((m0 ^ e0) & rho1) ^ (rho0 & rho1) ^ cc[w] ^ e[w];
                        (g, p)
                    };
                    (0..m0.len()).map(both).unzip()
                }
                Leaf::SingleOnline(shares) => {
                    let mut g = shares.plane(0).to_vec();
                    xor_and(&mut g, m0, shares.plane(1));
                    (g, self.bits.plane(2 * i).to_vec())
                }
            };
            self.levels.g.push(g);
            self.levels.p.push(p);
        }
    }

    /// The client's share of msb(x), after all openings.
    pub fn sign(&self) -> Vec<u64> {
        xor(&self.levels.g[0], self.bits.plane(self.levels.tree.bits))
    }
}

/// The server of one sign, single use.
pub struct ServerSign {
    levels: Levels,
    leaves: Vec<Leaf>,
    share: ClientShare,
    /// S's bits: b planes.
    bits: Planes,
}

impl ServerSign {
    /// Offline, before the exchange. Gives t1..t4 per two-bit leaf for C.
    pub fn begin(
        b: u32,
        share: ClientShare,
        lanes: usize,
        to_client: &mut RotSend<'_>,
        from_client: &mut RotRecv<'_>,
    ) -> (Self, Planes) {
        let tree = SignTree::new(b);
        let mut out = Planes::zeros(lanes, 0);
        let mut leaves = Vec::with_capacity(tree.leaves());
        for leaf in 0..tree.leaves() {
            if tree.is_pair(leaf) {
                let (k1, d1) = to_client.bits(3);
                let (k2, d2) = to_client.bits(2);
                let (k3, d3) = to_client.bits(1);
                let (l0, l1) = (d1.plane(0), d1.plane(1));
                out.push(&xor(d1.plane(2), &and(l0, l1)));
                out.push(&xor(d2.plane(0), l1));
                out.push(&xor(d2.plane(1), l0));
                out.push(&xor(d3.plane(0), l0));
                let mut all = k1.clone();
                for planes in [&k2, &k3, &d1, &d2, &d3] {
                    all.append(planes);
                }
                leaves.push(match share {
                    ClientShare::Offline => Leaf::Pair(all),
                    ClientShare::Online => Leaf::PairOnline(all),
                });
            } else {
                let (k0, delta) = to_client.bits(1);
                let all = planes(lanes, &[k0.plane(0), delta.plane(0)]);
                leaves.push(match share {
                    ClientShare::Offline => Leaf::Single(all),
                    ClientShare::Online => Leaf::SingleOnline(all),
                });
            }
        }
        let merges = merges(&tree, lanes, || {
            let (k0, delta) = to_client.bits(2);
            let (al, k) = from_client.bits(2);
            let share = |i: usize| {
                let mut product = xor(k.plane(i), k0.plane(i));
                xor_and(&mut product, &al, delta.plane(i));
                product
            };
            let (ab, ag) = (share(0), share(1));
            [al, delta.plane(0).to_vec(), delta.plane(1).to_vec(), ab, ag]
        });
        let levels = Levels::new(tree, merges, lanes);
        (Self { levels, leaves, share, bits: Planes::default() }, out)
    }

    /// Offline, with C's choice corrections.
    pub fn finish(&mut self, corrections: &Planes) {
        let lanes = self.levels.lanes;
        let mut next = 0;
        for leaf in &mut self.leaves {
            match leaf {
                Leaf::Pair(all) => {
                    // K_i = the string selected by d_i: k ^ d delta.
                    let select = |k: usize, d: usize| {
                        let mut string = all.plane(k).to_vec();
                        xor_and(&mut string, corrections.plane(next + d), all.plane(6 + k));
                        string
                    };
                    let [b, cc, k12] = [select(0, 0), select(1, 0), select(2, 0)];
                    let [k20, k21, k3] = [select(3, 1), select(4, 1), select(5, 2)];
                    let ka = xor(&xor(&k12, &k20), &k3);
                    let ep = xor(&cc, &k21);
                    *all = planes(lanes, &[&b, &cc, &ka, &ep, all.plane(6), all.plane(7)]);
                    next += 3;
                }
                Leaf::Single(all) => {
                    let mut b = all.plane(0).to_vec();
                    xor_and(&mut b, corrections.plane(next), all.plane(1));
                    *all = planes(lanes, &[&b, all.plane(1)]);
                    next += 1;
                }
                Leaf::PairOnline(all) => {
                    let mut f = all.plane(5).to_vec();
                    xor_and(&mut f, corrections.plane(next), all.plane(11));
                    let k: [&[u64]; 5] = std::array::from_fn(|k| all.plane(k));
                    let [b, cc, dd, a, e] = k;
                    *all = planes(lanes, &[a, b, cc, dd, e, &f, all.plane(6), all.plane(7)]);
                    next += 1;
                }
                Leaf::SingleOnline(_) => {}
            }
        }
    }

    /// Online: the planes of `x_S`, before opening 0.
    pub fn set_share(&mut self, bits: Planes) {
        self.bits = bits;
    }

    /// Planes that this party sends in an opening (0..=L).
    pub fn planes(tree: &SignTree, opening: usize) -> usize {
        if opening == 0 { tree.bits() } else { tree.level_planes(opening) }
    }

    /// This party's half of an opening.
    pub fn half(&mut self, opening: usize) -> Planes {
        if opening > 0 {
            return self.levels.half(opening);
        }
        let mut out = Planes::zeros(self.levels.lanes, 0);
        for (i, leaf) in self.leaves.iter().enumerate() {
            let (l0, l1, pair) = match leaf {
                Leaf::Pair(all) => (all.plane(4), all.plane(5), true),
                Leaf::PairOnline(all) => (all.plane(6), all.plane(7), true),
                Leaf::Single(all) | Leaf::SingleOnline(all) => (all.plane(1), all.plane(1), false),
            };
            out.push(&xor(self.bits.plane(2 * i), l0));
            if pair {
                out.push(&xor(self.bits.plane(2 * i + 1), l1));
            }
        }
        self.levels.own = Some(out.clone());
        out
    }

    /// Takes the client's half of an opening; of opening 0, if the client's share is known offline,
    /// it is empty.
    pub fn complete(&mut self, opening: usize, peer: &Planes) {
        if opening > 0 {
            return self.levels.complete(opening, peer, true);
        }
        let own = self.levels.own.take().unwrap_or_default();
        debug_assert_eq!(
            peer.count() == 0,
            self.share == ClientShare::Offline || peer.lanes() == 0
        );
        for (i, leaf) in std::mem::take(&mut self.leaves).iter().enumerate() {
            let (m0, e0) = (own.plane(2 * i), peer.plane(2 * i));
            let (m1, e1) = (own.plane(2 * i + 1), peer.plane(2 * i + 1));
            let s0 = self.bits.plane(2 * i);
            let (g, p) = match leaf {
                Leaf::Pair(all) => {
                    let [b, cc, ka, ep] = std::array::from_fn(|k| all.plane(k));
                    let s1 = self.bits.plane(2 * i + 1);
                    let g = |w: usize| ka[w] ^ (m1[w] & b[w]) ^ (m0[w] & cc[w]);
                    let p = |w: usize| ep[w] ^ (s1[w] & s0[w]);
                    ((0..m0.len()).map(g).collect(), (0..m0.len()).map(p).collect())
                }
                Leaf::Single(all) => (all.plane(0).to_vec(), s0.to_vec()),
                Leaf::PairOnline(all) => {
                    let [a, b, cc, dd, e, f, l0, l1] = std::array::from_fn(|k| all.plane(k));
                    let both = |w: usize| {
                        let (m0, e0, l0, l1) = (m0[w], e0[w], l0[w], l1[w]);
                        let (m1, e1) = (m1[w], e1[w]);
                        let big = m1 ^ e1;
                        let low = (m0 & e0) ^ (e0 & l0) ^ b[w];
                        let g = (m1 & e1)
                            ^ (e1 & l1)
                            ^ a[w]
                            ^ (big & low)
                            ^ (m0 & e0 & l1)
                            ^ (m0 & cc[w])
                            ^ (e0 & ((l1 & l0) ^ e[w]))
                            ^ dd[w]
                            ^ f[w];
                        let zero = m0 ^ e0;
                        let p = (big & zero) ^ (big & l0) ^ (zero & l1) ^ (l1 & l0) ^ cc[w] ^ e[w];
                        (g, p)
                    };
                    (0..m0.len()).map(both).unzip()
                }
                Leaf::SingleOnline(all) => {
                    let mut g = all.plane(0).to_vec();
                    xor_and(&mut g, m0, e0);
                    xor_and(&mut g, all.plane(1), e0);
                    (g, s0.to_vec())
                }
            };
            self.levels.g.push(g);
            self.levels.p.push(p);
        }
    }

    /// The server's share of msb(x), after all openings.
    pub fn sign(&self) -> Vec<u64> {
        xor(&self.levels.g[0], self.bits.plane(self.levels.tree.bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dealt;

    /// Runs the sign of all `(x_S, x_C)` and gives msb(x) plus everything that was opened.
    fn run(
        b: u32,
        share: ClientShare,
        seed: u64,
        xs: &[u64],
        xc: &[u64],
    ) -> (Vec<u64>, Vec<Planes>) {
        let lanes = xs.len();
        let tree = SignTree::new(b);
        let (down, up) = tree.rots();
        let (down, up) = (Dealt::new(seed, down * lanes), Dealt::new(seed + 1, up * lanes));
        let (client_bits, server_bits) = (Planes::from_words(xc, b), Planes::from_words(xs, b));
        let known =
            if share == ClientShare::Offline { client_bits.clone() } else { Planes::default() };
        let (mut client, d) =
            ClientSign::begin(b, share, known, lanes, &mut down.recv(lanes), &mut up.send(lanes));
        let (mut server, t) =
            ServerSign::begin(b, share, lanes, &mut down.send(lanes), &mut up.recv(lanes));
        assert_eq!((d.count(), t.count()), tree.offline_bits(share));
        client.finish(&t);
        server.finish(&d);
        client.set_share(client_bits);
        server.set_share(server_bits);
        let mut opened = vec![d, t];
        for opening in 0..=tree.levels() {
            let (c, s) = (client.half(opening), server.half(opening));
            assert_eq!(c.count(), ClientSign::planes(&tree, share, opening));
            assert_eq!(s.count(), ServerSign::planes(&tree, opening));
            client.complete(opening, &s);
            server.complete(opening, &c);
            opened.extend([c, s]);
        }
        (xor(&client.sign(), &server.sign()), opened)
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
                    let zero = vec![0; sign.len()];
                    assert_eq!(sign, ideal(b, &xs, &xc, &zero), "b = {b}, {share:?}");
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

    #[test]
    fn known_answer_counts_of_the_tree() {
        // protocol.md 5.8, without selection and extension.
        assert_eq!(SignTree::new(12).rots(), (23 - 2, 6 - 1));
        assert_eq!(SignTree::new(17).rots(), (33 - 2, 8 - 1));
        assert_eq!(SignTree::new(12).offline_bits(ClientShare::Offline), (28 - 12, 28 - 8));
        assert_eq!(SignTree::new(17).offline_bits(ClientShare::Offline), (41 - 17, 52 - 20));
        assert_eq!((SignTree::new(12).levels(), SignTree::new(17).levels()), (3, 3));
    }
}
