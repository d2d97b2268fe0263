//! The tree of a carry, its merges and leaves, and what an operation sees of a party.

#![expect(
    clippy::indexing_slicing,
    reason = "planes of one chunk have one stride; counts follow from b"
)]

use zeroize::Zeroize;

use crate::operation::ClientShare;
use crate::planes::{Planes, xor};

/// The shape of the tree over n bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CarryTree {
    bits: usize,
    pub(super) keeps_p: bool,
    /// Nodes before each level; level 0 is the leaves.
    nodes: Vec<usize>,
}

impl CarryTree {
    /// The tree over n = `bits` >= 1 bits; `keeps_p`: whether p of the whole is wanted too.
    pub(crate) fn new(bits: u32, keeps_p: bool) -> Self {
        let bits = bits as usize;
        let mut last = bits.div_ceil(2);
        let mut nodes = vec![last];
        while last > 1 {
            last = last.div_ceil(2);
            nodes.push(last);
        }
        Self { bits, keeps_p, nodes }
    }

    /// n.
    #[cfg(test)]
    pub(crate) fn bits(&self) -> usize {
        self.bits
    }

    /// L, the levels of merges.
    pub(crate) fn levels(&self) -> usize {
        self.nodes.len() - 1
    }

    pub(super) fn leaves(&self) -> usize {
        self.nodes[0]
    }

    /// Merges of `level` (from 1).
    fn merges(&self, level: usize) -> usize {
        self.nodes[level - 1] / 2
    }

    pub(super) fn is_pair(&self, leaf: usize) -> bool {
        2 * leaf + 1 < self.bits
    }

    /// Planes that each party sends in `level` (from 1): 3 per merge, 2 for the lowest unless p is
    /// kept.
    fn level_planes(&self, level: usize) -> usize {
        3 * self.merges(level) - usize::from(!self.keeps_p)
    }

    /// Planes of both halves of an opening (0..=L), `(server, client)`.
    pub(crate) fn planes(&self, share: ClientShare, opening: usize) -> (usize, usize) {
        match (opening, share) {
            (0, ClientShare::Offline) => (self.bits, 0),
            (0, ClientShare::Online) => (self.bits, self.bits),
            _ => (self.level_planes(opening), self.level_planes(opening)),
        }
    }

    /// ROTs per element, S to C and C to S.
    pub(crate) fn rots(&self) -> (usize, usize) {
        let pairs = self.bits / 2;
        let merges = self.leaves() - 1;
        (2 * pairs + self.bits % 2 + merges, merges)
    }

    /// Planes of the offline corrections, `(server, client)`.
    pub(crate) fn offline_planes(&self, share: ClientShare) -> (usize, usize) {
        let (pairs, single) = (self.bits / 2, self.bits % 2);
        match share {
            ClientShare::Offline => (4 * pairs, 2 * pairs + single),
            ClientShare::Online => (4 * pairs, 0),
        }
    }
}

/// One party of a carry, as an operation sees it; the chart is the module's.
pub(crate) trait CarryPart: Send {
    /// Whether this is the server: it adds public constants.
    const SERVER: bool;
    /// Offline: takes the other party's corrections.
    fn correct(&mut self, corrections: &Planes);
    /// Whether this party's number was given offline.
    fn knows_share(&self) -> bool;
    /// Otherwise: takes it, before opening 0.
    fn set_share(&mut self, bits: Planes);
    /// This party's half of an opening.
    fn half(&mut self, opening: usize) -> Planes;
    /// Takes the other party's half (no planes if it has none).
    fn complete(&mut self, opening: usize, peer: &Planes);
    /// This party's share of the carry, after all openings.
    fn g(&self) -> &[u64];
    /// This party's share of p of the whole, if the tree keeps it.
    fn p(&self) -> &[u64];
}

/// A plane.
type Plane = Vec<u64>;

/// One party's masks of a merge: al masks p, be masks g', ga masks p'; shares of al be and al ga.
pub(super) struct Merge {
    /// al, be, ab, and ga, ag unless p' is not wanted.
    planes: Planes,
    /// The lowest of its level, of a tree that does not keep p.
    lowest: bool,
}

impl Merge {
    fn planes(&self) -> [&[u64]; 5] {
        std::array::from_fn(|i| self.planes.plane(i))
    }
}

/// What both parties do in the levels.
pub(super) struct Levels {
    pub(super) tree: CarryTree,
    pub(super) merges: Vec<Vec<Merge>>,
    pub(super) g: Vec<Plane>,
    pub(super) p: Vec<Plane>,
    /// This party's half of the opening in progress.
    pub(super) own: Planes,
    pub(super) lanes: usize,
}

impl Drop for Levels {
    fn drop(&mut self) {
        self.g.zeroize();
        self.p.zeroize();
    }
}

impl Levels {
    pub(super) fn new(tree: CarryTree, merges: Vec<Vec<Merge>>, lanes: usize) -> Self {
        Self { tree, merges, g: Vec::new(), p: Vec::new(), own: Planes::default(), lanes }
    }

    /// This party's half of `level`.
    pub(super) fn half(&mut self, level: usize) -> Planes {
        let mut out = Planes::zeros(self.lanes, 0);
        for (i, merge) in self.merges[level - 1].iter().enumerate() {
            let [al, be, _, ga, _] = merge.planes();
            out.push(&xor(&self.p[2 * i + 1], al));
            out.push(&xor(&self.g[2 * i], be));
            if !merge.lowest {
                out.push(&xor(&self.p[2 * i], ga));
            }
        }
        self.own = out.clone();
        out
    }

    /// Takes the peer's half of `level`; `server`: which of the two adds PG and PQ.
    pub(super) fn complete(&mut self, level: usize, peer: &Planes, server: bool) {
        let own = std::mem::take(&mut self.own);
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
pub(super) enum Leaf {
    /// C: B, C, ka, ep. S: B, C, ka, ep, l0, l1. C's share known offline.
    Pair(Planes),
    /// C: B. S: B, l.
    Single(Planes),
    /// Shares of A..F, then C: rho0, rho1; S: l0, l1. C's share online.
    PairOnline(Planes),
    /// C: B, rho. S: B, l.
    SingleOnline(Planes),
}

/// Makes the masks of all merges; the order of positions is the same at both parties.
pub(super) fn merges(
    tree: &CarryTree,
    lanes: usize,
    mut make: impl FnMut() -> [Plane; 5],
) -> Vec<Vec<Merge>> {
    (1..=tree.levels())
        .map(|level| {
            (0..tree.merges(level))
                .map(|i| {
                    let [al, be, ga, ab, ag] = make();
                    let lowest = i == 0 && !tree.keeps_p;
                    let planes = if lowest {
                        Planes::of(lanes, &[&al, &be, &ab])
                    } else {
                        Planes::of(lanes, &[&al, &be, &ab, &ga, &ag])
                    };
                    Merge { planes, lowest }
                })
                .collect()
        })
        .collect()
}
