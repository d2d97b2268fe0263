//! The server of a carry; the chart is [`carry`](crate::carry)'s.

#![expect(
    clippy::indexing_slicing,
    reason = "planes of one chunk have one stride; counts follow from b"
)]

use zeroize::Zeroizing;

use crate::carry::shape::LeafKind;
use crate::carry::tree::{CarryPart, CarryTree, Leaf, Levels, merges};
use crate::operation::{ClientShare, Rots};
use crate::planes::{Planes, and, xor, xor_and};

/// The server of one carry, single use.
pub(crate) struct ServerCarry {
    levels: Levels,
    leaves: Vec<Leaf>,
    share: ClientShare,
    /// s.
    bits: Planes,
}

impl ServerCarry {
    /// Offline, before the exchange. Gives t1..t4 per two-bit leaf for C.
    pub(crate) fn begin(
        tree: CarryTree,
        share: ClientShare,
        rots: &mut Rots<'_>,
    ) -> (Self, Planes) {
        let lanes = rots.lanes;
        let mut out = Planes::zeros(lanes, 0);
        let mut leaves = Vec::with_capacity(tree.leaves.len());
        for &(kind, _) in &tree.leaves {
            leaves.push(match kind {
                LeafKind::Pair => {
                    let (k1, d1) = rots.send.bits(3);
                    let (k2, d2) = rots.send.bits(3);
                    let (l0, l1) = (d1.plane(0), d1.plane(1));
                    out.push(&xor(d1.plane(2), &and(l0, l1)));
                    out.push(&xor(d2.plane(0), l1));
                    out.push(&xor(d2.plane(1), l0));
                    out.push(&xor(d2.plane(2), k1.plane(0)));
                    let mut all = k1.clone();
                    for planes in [&k2, &d1, &d2] {
                        all.append(planes);
                    }
                    match share {
                        ClientShare::Offline => Leaf::Pair(all),
                        ClientShare::Online => Leaf::PairOnline(all),
                    }
                }
                LeafKind::One => {
                    let (k0, delta) = rots.send.bits(1);
                    let all = Planes::of(lanes, &[k0.plane(0), delta.plane(0)]);
                    match share {
                        ClientShare::Offline => Leaf::Single(all),
                        ClientShare::Online => Leaf::SingleOnline(all),
                    }
                }
                LeafKind::Bit => Leaf::Bit,
            });
        }
        let merges = merges(&tree, lanes, || {
            let (k0, delta) = rots.send.bits(2);
            let (al, k) = rots.recv.bits(2);
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
}

impl CarryPart for ServerCarry {
    const SERVER: bool = true;

    fn correct(&mut self, corrections: &Planes) {
        let lanes = self.levels.lanes;
        let mut next = 0;
        for leaf in &mut self.leaves {
            match leaf {
                Leaf::Pair(all) => {
                    // K_i = the string selected by d_i: k ^ d delta.
                    let select = |k: usize, d: usize| {
                        let mut string = Zeroizing::new(all.plane(k).to_vec());
                        xor_and(&mut string, corrections.plane(next + d), all.plane(6 + k));
                        string
                    };
                    let [b, cc, k12] = [select(0, 0), select(1, 0), select(2, 0)];
                    let [k20, k21, k22] = [select(3, 1), select(4, 1), select(5, 1)];
                    let mut ka = Zeroizing::new(xor(&Zeroizing::new(xor(&k12, &k20)), &k22));
                    xor_and(&mut ka, corrections.plane(next), &k21);
                    let ep = Zeroizing::new(xor(&cc, &k21));
                    *all = Planes::of(lanes, &[&b, &cc, &ka, &ep, all.plane(6), all.plane(7)]);
                    next += 2;
                }
                Leaf::Single(all) => {
                    let mut b = Zeroizing::new(all.plane(0).to_vec());
                    xor_and(&mut b, corrections.plane(next), all.plane(1));
                    *all = Planes::of(lanes, &[&b, all.plane(1)]);
                    next += 1;
                }
                Leaf::PairOnline(all) => {
                    let k: [&[u64]; 8] = std::array::from_fn(|k| all.plane(k));
                    let [b, cc, dd, a, e, f, l0, l1] = k;
                    *all = Planes::of(lanes, &[a, b, cc, dd, e, f, l0, l1]);
                }
                Leaf::SingleOnline(_) | Leaf::Bit => {}
            }
        }
    }

    fn knows_share(&self) -> bool {
        false
    }

    fn set_share(&mut self, bits: Planes) {
        self.bits = bits;
    }

    fn half(&mut self, opening: usize) -> Planes {
        if opening > 0 {
            return self.levels.half(opening);
        }
        let mut out = Planes::zeros(self.levels.lanes, 0);
        for (leaf, (_, low)) in self.leaves.iter().zip(&self.levels.tree.leaves) {
            let (l0, l1, pair) = match leaf {
                Leaf::Pair(all) => (all.plane(4), all.plane(5), true),
                Leaf::PairOnline(all) => (all.plane(6), all.plane(7), true),
                Leaf::Single(all) | Leaf::SingleOnline(all) => (all.plane(1), all.plane(1), false),
                Leaf::Bit => continue,
            };
            out.push(&xor(self.bits.plane(*low), l0));
            if pair {
                out.push(&xor(self.bits.plane(low + 1), l1));
            }
        }
        self.levels.own = out.clone();
        out
    }

    fn complete(&mut self, opening: usize, peer: &Planes) {
        if opening > 0 {
            return self.levels.complete(opening, peer, true);
        }
        let own = std::mem::take(&mut self.levels.own);
        debug_assert_eq!(
            peer.count() == 0,
            self.share == ClientShare::Offline || peer.lanes() == 0
        );
        let kinds = self.levels.tree.leaves.clone();
        // The next plane of the opening.
        let mut at = 0;
        for (leaf, (kind, low)) in std::mem::take(&mut self.leaves).iter().zip(kinds) {
            let (m0, e0) = (own.plane(at), peer.plane(at));
            let (m1, e1) = (own.plane(at + 1), peer.plane(at + 1));
            at += kind.opened();
            let s0 = self.bits.plane(low);
            let (g, p) = match leaf {
                Leaf::Pair(all) => {
                    let [b, cc, ka, ep] = std::array::from_fn(|k| all.plane(k));
                    let s1 = self.bits.plane(low + 1);
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
                Leaf::Bit => (vec![0; s0.len()], s0.to_vec()),
            };
            self.levels.g.push(g);
            self.levels.p.push(p);
        }
    }

    fn g(&self) -> &[u64] {
        &self.levels.g[0]
    }

    fn p(&self) -> &[u64] {
        &self.levels.p[0]
    }
}
