//! The client of a carry; the chart is [`carry`](crate::carry)'s.

#![expect(
    clippy::indexing_slicing,
    reason = "planes of one chunk have one stride; counts follow from b"
)]

use zeroize::{Zeroize, Zeroizing};

use crate::carry::shape::LeafKind;
use crate::carry::tree::{CarryPart, CarryTree, Leaf, Levels, merges};
use crate::operation::{ClientShare, Rots};
use crate::planes::{Planes, xor, xor_and};

/// The client of one carry, single use.
pub(crate) struct ClientCarry {
    levels: Levels,
    leaves: Vec<Leaf>,
    share: ClientShare,
    /// c, if known.
    bits: Planes,
}

impl ClientCarry {
    /// Offline, before the exchange. `bits` are the planes of c if `share` is `Offline` (else
    /// ignored); those beyond the tree's are not looked at. Gives d for S.
    pub(crate) fn begin(
        tree: CarryTree,
        share: ClientShare,
        bits: Planes,
        rots: &mut Rots<'_>,
    ) -> (Self, Planes) {
        let lanes = rots.lanes;
        let mut out = Planes::zeros(lanes, 0);
        let mut leaves = Vec::with_capacity(tree.leaves.len());
        for &(kind, low) in &tree.leaves {
            leaves.push(match kind {
                LeafKind::Pair => {
                    let (rho1, k1) = rots.recv.bits(3);
                    let (rho2, k2) = rots.recv.bits(3);
                    let (rho1, rho2) = (Zeroizing::new(rho1), Zeroizing::new(rho2));
                    let [b, c, d] = [k1.plane(0), k1.plane(1), k1.plane(2)];
                    let [a, e, f] = [k2.plane(0), k2.plane(1), k2.plane(2)];
                    match share {
                        ClientShare::Offline => {
                            let d1 = xor(bits.plane(low), &rho1);
                            out.push(&d1);
                            out.push(&xor(bits.plane(low + 1), &rho2));
                            Leaf::Pair(Planes::of(lanes, &[b, c, d, a, e, f, &d1]))
                        }
                        ClientShare::Online => {
                            let all = [a, b, c, d, e, f, &rho1, &rho2];
                            Leaf::PairOnline(Planes::of(lanes, &all))
                        }
                    }
                }
                LeafKind::One => {
                    let (rho, k) = rots.recv.bits(1);
                    let rho = Zeroizing::new(rho);
                    match share {
                        ClientShare::Offline => {
                            out.push(&xor(bits.plane(low), &rho));
                            Leaf::Single(k)
                        }
                        ClientShare::Online => {
                            Leaf::SingleOnline(Planes::of(lanes, &[k.plane(0), &rho]))
                        }
                    }
                }
                LeafKind::Bit => Leaf::Bit,
            });
        }
        let merges = merges(&tree, lanes, || {
            let (al, k) = rots.recv.bits(2);
            let (k0, delta) = rots.send.bits(2);
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
}

impl CarryPart for ClientCarry {
    const SERVER: bool = false;

    fn correct(&mut self, corrections: &Planes) {
        let mut next = 0;
        for (leaf, (_, low)) in self.leaves.iter_mut().zip(&self.levels.tree.leaves) {
            let t: [&[u64]; 4] = std::array::from_fn(|k| corrections.plane(next + k));
            match leaf {
                Leaf::Pair(strings) => {
                    let (c0, c1) = (self.bits.plane(*low), self.bits.plane(low + 1));
                    // B, Cc; then the rest of R1, R2; d1.
                    let s: [&[u64]; 7] = std::array::from_fn(|k| strings.plane(k));
                    let (mut ka, mut ep) = (s[2].to_vec(), s[1].to_vec());
                    for w in 0..ka.len() {
                        let (c0, c1) = (c0[w], c1[w]);
                        let low = s[4][w] ^ (c1 & t[2][w]);
                        ka[w] ^= (c0 & t[0][w]) ^ s[3][w] ^ (c1 & t[1][w]);
                        ka[w] ^= s[5][w] ^ (c1 & (t[3][w] ^ s[0][w])) ^ (s[6][w] & low);
                        ep[w] ^= low ^ (c0 & c1);
                    }
                    *strings = Planes::of(self.levels.lanes, &[s[0], s[1], &ka, &ep]);
                    [ka, ep].zeroize();
                    next += 4;
                }
                Leaf::PairOnline(shares) => {
                    let rho = |plane| Zeroizing::new(shares.plane(plane).to_vec());
                    let (rho0, rho1) = (rho(6), rho(7));
                    // A = l1 rho1, D = l1 l0 rho0, E = l0 rho1, F = rho1 (l0 rho0), B its share.
                    xor_and(shares.plane_mut(0), &rho1, t[1]);
                    xor_and(shares.plane_mut(3), &rho0, t[0]);
                    xor_and(shares.plane_mut(4), &rho1, t[2]);
                    let product = Zeroizing::new(xor(t[3], shares.plane(1)));
                    xor_and(shares.plane_mut(5), &rho1, &product);
                    next += 4;
                }
                Leaf::Single(_) | Leaf::SingleOnline(_) | Leaf::Bit => {}
            }
        }
    }

    fn knows_share(&self) -> bool {
        self.share == ClientShare::Offline
    }

    fn set_share(&mut self, bits: Planes) {
        self.bits = bits;
    }

    fn half(&mut self, opening: usize) -> Planes {
        if opening > 0 {
            return self.levels.half(opening);
        }
        let mut out = Planes::zeros(self.levels.lanes, 0);
        if self.share == ClientShare::Online {
            for (leaf, (_, low)) in self.leaves.iter().zip(&self.levels.tree.leaves) {
                match leaf {
                    Leaf::PairOnline(shares) => {
                        out.push(&xor(self.bits.plane(*low), shares.plane(6)));
                        out.push(&xor(self.bits.plane(low + 1), shares.plane(7)));
                    }
                    Leaf::SingleOnline(shares) => {
                        out.push(&xor(self.bits.plane(*low), shares.plane(1)));
                    }
                    Leaf::Pair(_) | Leaf::Single(_) | Leaf::Bit => {}
                }
            }
            self.levels.own = out.clone();
        }
        out
    }

    fn complete(&mut self, opening: usize, peer: &Planes) {
        if opening > 0 {
            return self.levels.complete(opening, peer, false);
        }
        // Empty if c was known offline: then the client sent nothing.
        let own = std::mem::take(&mut self.levels.own);
        let kinds = self.levels.tree.leaves.clone();
        // The next plane of the opening.
        let mut at = 0;
        for (leaf, (kind, low)) in std::mem::take(&mut self.leaves).iter().zip(kinds) {
            let (m0, e0) = (peer.plane(at), own.plane(at));
            let (m1, e1) = (peer.plane(at + 1), own.plane(at + 1));
            at += kind.opened();
            let (g, p) = match leaf {
                Leaf::Pair(strings) => {
                    let [b, cc, ka, ep] = std::array::from_fn(|k| strings.plane(k));
                    let (c0, c1) = (self.bits.plane(low), self.bits.plane(low + 1));
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
                    let c = self.bits.plane(low);
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
                    (g, self.bits.plane(low).to_vec())
                }
                Leaf::Bit => {
                    let c = self.bits.plane(low).to_vec();
                    (c.clone(), c)
                }
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
