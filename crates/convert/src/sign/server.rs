//! The server of a sign; the chart is [`super`]'s.

#![expect(
    clippy::indexing_slicing,
    reason = "planes of one chunk have one stride; counts follow from b"
)]

use super::{ClientShare, Leaf, Levels, SignTree, and, merges, planes, xor, xor_and};
use crate::planes::Planes;
use crate::rot::{RotRecv, RotSend};

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
                let (k2, d2) = to_client.bits(3);
                let (l0, l1) = (d1.plane(0), d1.plane(1));
                out.push(&xor(d1.plane(2), &and(l0, l1)));
                out.push(&xor(d2.plane(0), l1));
                out.push(&xor(d2.plane(1), l0));
                out.push(&xor(d2.plane(2), k1.plane(0)));
                let mut all = k1.clone();
                for planes in [&k2, &d1, &d2] {
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
                    let [k20, k21, k22] = [select(3, 1), select(4, 1), select(5, 1)];
                    let mut ka = xor(&xor(&k12, &k20), &k22);
                    xor_and(&mut ka, corrections.plane(next), &k21);
                    let ep = xor(&cc, &k21);
                    *all = planes(lanes, &[&b, &cc, &ka, &ep, all.plane(6), all.plane(7)]);
                    next += 2;
                }
                Leaf::Single(all) => {
                    let mut b = all.plane(0).to_vec();
                    xor_and(&mut b, corrections.plane(next), all.plane(1));
                    *all = planes(lanes, &[&b, all.plane(1)]);
                    next += 1;
                }
                Leaf::PairOnline(all) => {
                    let k: [&[u64]; 8] = std::array::from_fn(|k| all.plane(k));
                    let [b, cc, dd, a, e, f, l0, l1] = k;
                    *all = planes(lanes, &[a, b, cc, dd, e, f, l0, l1]);
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
