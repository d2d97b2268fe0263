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
//! if the client's share is an online value; offline 2 bits from C and 4 from S per two-bit leaf (1
//! and 0 for a one-bit leaf; none from C if its share comes online); ROTs 2 per two-bit leaf, 1 per
//! one-bit leaf, and m - 1, from S to C; m - 1 from C to S.
//!
//! A two-bit leaf takes R1, R2 = ROT(S->C, 3), whose choices C corrects to c0 and c1, and `k0, k1`,
//! delta = k0 ^ k1 at S: l0 = delta1\[0\], l1 = delta1\[1\];
//!
//! | | product | correction by S |
//! |---|---|---|
//! | R1 | l0 c0; l1 c0; l1 l0 c0 | none; none; t1 = delta1\[2\] ^ l1 l0 |
//! | R2 | l1 c1; l0 c1; k0\[0\] c1, k0 being R1's | t2 = delta2\[0\] ^ l1; t3 = delta2\[1\] ^ l0; t4 = delta2\[2\] ^ k0\[0\] |
//!
//! The sixth product is l0 c0 c1 = c1 k0\[0\] ^ c1 k\[0\] ^ d1 (l0 c1), k being the string that C has
//! of R1 and d1 = c0 ^ rho1 the public correction. Each of t1..t4 and the two openings is padded by a bit of delta
//! of its own.

#![expect(
    clippy::indexing_slicing,
    reason = "planes of one chunk have one stride; counts follow from b"
)]

mod client;
mod server;
#[cfg(test)]
mod tests;

use zeroize::Zeroize;

use crate::planes::Planes;

pub use client::ClientSign;
pub use server::ServerSign;

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
        (2 * pairs + self.bits % 2 + merges, merges)
    }

    /// Offline bits per element from C and from S.
    pub fn offline_bits(&self, share: ClientShare) -> (usize, usize) {
        let (pairs, single) = (self.bits / 2, self.bits % 2);
        match share {
            ClientShare::Offline => (2 * pairs + single, 4 * pairs),
            ClientShare::Online => (0, 4 * pairs),
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
