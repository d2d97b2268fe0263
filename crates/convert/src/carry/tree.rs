//! The tree of a carry, its merges and leaves, and what an operation sees of a party.

#![expect(
    clippy::indexing_slicing,
    reason = "planes of one chunk have one stride; counts follow from b"
)]

use zeroize::Zeroize;

use super::shape::{self, Join, LeafKind};
use crate::operation::ClientShare;
use crate::planes::Planes;

/// The shape of the tree over n bits: the cheapest of a given height (see [`shape`](super::shape)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CarryTree {
    bits: usize,
    pub(super) keeps_p: bool,
    /// The first nodes, each with its lowest bit.
    pub(super) leaves: Vec<(LeafKind, usize)>,
    /// Per level, the nodes that it leaves, the lowest first.
    pub(super) joins: Vec<Vec<Join>>,
}

impl CarryTree {
    /// The tree over n = `bits` >= 1 bits, of the least height; `keeps_p`: whether p of the whole is
    /// wanted too.
    pub(crate) fn new(bits: u32, keeps_p: bool) -> Self {
        Self::within(bits, keeps_p, shape::least_levels(bits))
    }

    /// As [`new`](Self::new), of at most `levels` levels, no fewer than the least.
    pub(crate) fn within(bits: u32, keeps_p: bool, levels: usize) -> Self {
        let (leaves, joins) = shape::cheapest(bits as usize, keeps_p, levels);
        Self { bits: bits as usize, keeps_p, leaves, joins }
    }

    /// n.
    #[cfg(test)]
    pub(crate) fn bits(&self) -> usize {
        self.bits
    }

    /// L, the levels of merges.
    pub(crate) fn levels(&self) -> usize {
        self.joins.len()
    }

    /// Leaves of a kind.
    fn count(&self, kind: LeafKind) -> usize {
        self.leaves.iter().filter(|leaf| leaf.0 == kind).count()
    }

    /// Merges of `level` (from 1), each with whether it opens p' too: all but the lowest node's, unless
    /// p is kept.
    pub(super) fn merges(&self, level: usize) -> impl Iterator<Item = bool> {
        let joins = self.joins[level - 1].iter().enumerate();
        let merges = joins.filter(|(_, join)| **join != Join::Keep);
        merges.map(|(place, _)| place > 0 || self.keeps_p)
    }

    /// Planes of both halves of an opening (0..=L), `(server, client)`.
    pub(crate) fn planes(&self, share: ClientShare, opening: usize) -> (usize, usize) {
        let masked = self.leaves.iter().map(|(kind, _)| kind.opened()).sum();
        match (opening, share) {
            (0, ClientShare::Offline) => (masked, 0),
            (0, ClientShare::Online) => (masked, masked),
            _ => {
                let planes = self.merges(opening).map(|opens_p| 2 + usize::from(opens_p)).sum();
                (planes, planes)
            }
        }
    }

    /// ROTs per element, S to C and C to S.
    pub(crate) fn rots(&self) -> (usize, usize) {
        let merges = self.leaves.len() - 1;
        (2 * self.count(LeafKind::Pair) + self.count(LeafKind::One) + merges, merges)
    }

    /// Planes of the offline corrections, `(server, client)`.
    pub(crate) fn offline_planes(&self, share: ClientShare) -> (usize, usize) {
        let (pairs, single) = (self.count(LeafKind::Pair), self.count(LeafKind::One));
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
        let count = self.tree.planes(ClientShare::Offline, level).0;
        let mut out = Planes::with_room(self.lanes, count);
        let (mut node, mut merges) = (0, self.merges[level - 1].iter());
        for join in &self.tree.joins[level - 1] {
            let Join::Merge { bit } = join else {
                node += 1;
                continue;
            };
            let Some(merge) = merges.next() else { break };
            let [al, be, _, ga, _] = merge.planes();
            out.push_xor(&self.p[node + 1], al);
            out.push_xor(&self.g[node], be);
            if *bit {
                let low = out.plane_mut(out.count() - 1);
                low.iter_mut().zip(&self.g[node + 1]).for_each(|(low, high)| *low ^= high);
            }
            if !merge.lowest {
                out.push_xor(&self.p[node], ga);
            }
            node += 2;
        }
        self.own = out.clone();
        out
    }

    /// Takes the peer's half of `level`; `server`: which of the two adds PG and PQ.
    pub(super) fn complete(&mut self, level: usize, peer: &Planes, server: bool) {
        let own = std::mem::take(&mut self.own);
        let flag = if server { u64::MAX } else { 0 };
        let (mut g, mut p) = (Vec::new(), Vec::new());
        let (mut node, mut next, mut merges) = (0, 0, self.merges[level - 1].iter());
        for join in &self.tree.joins[level - 1] {
            if *join == Join::Keep {
                g.push(std::mem::take(&mut self.g[node]));
                p.push(std::mem::take(&mut self.p[node]));
                node += 1;
                continue;
            }
            let Some(merge) = merges.next() else { break };
            let [al, be, ab, ga, ag] = merge.planes();
            let (own_p, peer_p) = (own.plane(next), peer.plane(next));
            let (own_g, peer_g) = (own.plane(next + 1), peer.plane(next + 1));
            let mut high = std::mem::take(&mut self.g[node + 1]);
            for (w, g) in high.iter_mut().enumerate() {
                let (p, q) = (own_p[w] ^ peer_p[w], own_g[w] ^ peer_g[w]);
                *g ^= (flag & p & q) ^ (p & be[w]) ^ (al[w] & q) ^ ab[w];
            }
            g.push(high);
            if merge.lowest {
                p.push(Vec::new());
                next += 2;
            } else {
                let (own_q, peer_q) = (own.plane(next + 2), peer.plane(next + 2));
                let mut low = std::mem::take(&mut self.p[node]);
                for (w, low) in low.iter_mut().enumerate() {
                    let (p, q) = (own_p[w] ^ peer_p[w], own_q[w] ^ peer_q[w]);
                    *low = (flag & p & q) ^ (p & ga[w]) ^ (al[w] & q) ^ ag[w];
                }
                p.push(low);
                next += 3;
            }
            node += 2;
        }
        // What was merged is wiped before it goes.
        self.g.zeroize();
        self.p.zeroize();
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
    /// Nothing.
    Bit,
}

/// Makes the masks of all merges; the order of positions is the same at both parties.
pub(super) fn merges(
    tree: &CarryTree,
    lanes: usize,
    mut make: impl FnMut() -> [Plane; 5],
) -> Vec<Vec<Merge>> {
    (1..=tree.levels())
        .map(|level| {
            tree.merges(level)
                .map(|opens_p| {
                    let mut masks = make();
                    let [al, be, ga, ab, ag] = &masks;
                    let planes = if opens_p {
                        Planes::of(lanes, &[al, be, ab, ga, ag])
                    } else {
                        Planes::of(lanes, &[al, be, ab])
                    };
                    masks.zeroize();
                    Merge { planes, lowest: !opens_p }
                })
                .collect()
        })
        .collect()
}
