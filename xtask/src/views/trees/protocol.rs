//! Leaves, merges, bare bits, trees and the faithful ReLU, step by step as docs/protocol.md has them.
//! Pairs are `[client's, server's]`.

#![expect(clippy::indexing_slicing, reason = "a pair has one element per party")]

use super::coins::{Phase, Run, Side, bit, ones};
use super::shape::Tree;
use Phase::{Offline, Online};
use Side::{Client, Server};

/// Shares of one word.
pub(super) type Pair = [u64; 2];

/// Shares of generate and propagate of some bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) g: Pair,
    pub(super) p: Pair,
    /// A single bit that lies as it is: the merge above it turns the low g first.
    bare: bool,
}

/// When the client knows its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Ahead,
    OnlineOnly,
}

/// 5.8, "One-bit leaf".
fn one_bit_leaf(run: &mut Run, c: u64, s: u64, known: Known) -> Node {
    let rot = run.rot(Server, 1);
    if known == Known::OnlineOnly {
        let (l, e) = (rot.delta(), c ^ rot.rho);
        let m = s ^ l;
        run.send(Server, Online, m, 1);
        run.send(Client, Online, e, 1);
        return Node { g: [rot.k ^ m & rot.rho, rot.k0 ^ m & e ^ e & l], p: [c, s], bare: false };
    }
    let d = c ^ rot.rho;
    run.send(Client, Offline, d, 1);
    let m = s ^ rot.delta();
    run.send(Server, Online, m, 1);
    Node { g: [rot.k ^ m & c, rot.selected(d)], p: [c, s], bare: false }
}

/// 5.8, "Leaf, bits (1,0), C's share known".
fn two_bit_leaf(run: &mut Run, c: u64, s: u64) -> Node {
    let (c0, c1, s0, s1) = (bit(c, 0), bit(c, 1), bit(s, 0), bit(s, 1));
    let (r1, r2) = (run.rot(Server, 3), run.rot(Server, 3));
    let (d1, d2) = (c0 ^ r1.rho, c1 ^ r2.rho);
    run.send(Client, Offline, d1 | d2 << 1, 2);
    let (delta1, delta2) = (r1.delta(), r2.delta());
    let (l0, l1) = (bit(delta1, 0), bit(delta1, 1));
    let t1 = bit(delta1, 2) ^ l1 & l0;
    let t2 = bit(delta2, 0) ^ l1;
    let t3 = bit(delta2, 1) ^ l0;
    let t4 = bit(delta2, 2) ^ bit(r1.k0, 0);
    run.send(Server, Offline, t1 | t2 << 1 | t3 << 2 | t4 << 3, 4);
    let (m1, m0) = (s1 ^ l1, s0 ^ l0);
    run.send(Server, Online, m0 | m1 << 1, 2);
    let client = {
        let (k1, k2) = (r1.k, r2.k);
        let (b, cc) = (bit(k1, 0), bit(k1, 1));
        let e = bit(k2, 1) ^ c1 & t3;
        let ka = bit(k1, 2) ^ c0 & t1 ^ bit(k2, 0) ^ c1 & t2 ^ bit(k2, 2) ^ c1 & t4;
        let ka = ka ^ c1 & b ^ d1 & e;
        let ep = cc ^ e ^ c0 & c1;
        let g = ka ^ m1 & b ^ m0 & cc ^ m1 & c1 ^ m1 & m0 & c0 ^ m0 & c0 & c1;
        (g, ep ^ m1 & c0 ^ m0 & c1)
    };
    let server = {
        let (k1, k2) = (r1.selected(d1), r2.selected(d2));
        let (b, cc) = (bit(k1, 0), bit(k1, 1));
        let ka = bit(k1, 2) ^ bit(k2, 0) ^ bit(k2, 2) ^ d1 & bit(k2, 1);
        let ep = cc ^ bit(k2, 1);
        (ka ^ m1 & b ^ m0 & cc, ep ^ s1 & s0)
    };
    Node { g: [client.0, server.0], p: [client.1, server.1], bare: false }
}

/// 5.8, "Leaf, C's share online".
fn two_bit_leaf_online(run: &mut Run, c: u64, s: u64) -> Node {
    let (r1, r2) = (run.rot(Server, 3), run.rot(Server, 3));
    let (rho0, rho1) = (r1.rho, r2.rho);
    let (delta1, delta2) = (r1.delta(), r2.delta());
    let (l0, l1) = (bit(delta1, 0), bit(delta1, 1));
    let t1 = bit(delta1, 2) ^ l1 & l0;
    let t2 = bit(delta2, 0) ^ l1;
    let t3 = bit(delta2, 1) ^ l0;
    let t4 = bit(delta2, 2) ^ bit(r1.k0, 0);
    run.send(Server, Offline, t1 | t2 << 1 | t3 << 2 | t4 << 3, 4);
    let (m0, m1) = (bit(s, 0) ^ l0, bit(s, 1) ^ l1);
    run.send(Server, Online, m0 | m1 << 1, 2);
    let (e0, e1) = (bit(c, 0) ^ rho0, bit(c, 1) ^ rho1);
    run.send(Client, Online, e0 | e1 << 1, 2);
    let (o0, o1) = (m0 ^ e0, m1 ^ e1);
    let server = {
        let (b, cc, dd) = (bit(r1.k0, 0), bit(r1.k0, 1), bit(r1.k0, 2));
        let (a, e, f) = (bit(r2.k0, 0), bit(r2.k0, 1), bit(r2.k0, 2));
        let g0 = m0 & e0 ^ e0 & l0 ^ b;
        let g = m1 & e1 ^ e1 & l1 ^ a ^ o1 & g0 ^ m0 & e0 & l1 ^ m0 & cc ^ e0 & (l1 & l0 ^ e);
        (g ^ dd ^ f, o1 & o0 ^ o1 & l0 ^ o0 & l1 ^ l1 & l0 ^ cc ^ e)
    };
    let client = {
        let (b, cc) = (bit(r1.k, 0), bit(r1.k, 1));
        let dd = bit(r1.k, 2) ^ rho0 & t1;
        let (a, e) = (bit(r2.k, 0) ^ rho1 & t2, bit(r2.k, 1) ^ rho1 & t3);
        let f = bit(r2.k, 2) ^ rho1 & (t4 ^ b);
        let g0 = m0 & rho0 ^ b;
        let g = m1 & rho1 ^ a ^ o1 & g0 ^ m0 & e0 & rho1 ^ m0 & (cc ^ rho0 & rho1) ^ e0 & e;
        (g ^ dd ^ f, o1 & rho0 ^ o0 & rho1 ^ rho0 & rho1 ^ cc ^ e)
    };
    Node { g: [client.0, server.0], p: [client.1, server.1], bare: false }
}

/// 5.8, "Merge" and "Merge above a bare bit".
fn merge(run: &mut Run, high: Node, low: Node, keeps_p: bool) -> Node {
    let (x, y) = (run.rot(Server, 2), run.rot(Client, 2));
    let al = [x.rho, y.rho];
    let (be, ga) = ([bit(y.delta(), 0), bit(x.delta(), 0)], [bit(y.delta(), 1), bit(x.delta(), 1)]);
    let ab =
        [al[0] & be[0] ^ bit(x.k, 0) ^ bit(y.k0, 0), al[1] & be[1] ^ bit(x.k0, 0) ^ bit(y.k, 0)];
    let ag =
        [al[0] & ga[0] ^ bit(x.k, 1) ^ bit(y.k0, 1), al[1] & ga[1] ^ bit(x.k0, 1) ^ bit(y.k, 1)];
    let low_g = if high.bare { [low.g[0] ^ high.g[0], low.g[1] ^ high.g[1]] } else { low.g };
    let mut opened = [0; 3];
    for (party, side) in [Client, Server].into_iter().enumerate() {
        let halves =
            [high.p[party] ^ al[party], low_g[party] ^ be[party], low.p[party] ^ ga[party]];
        let sent = if keeps_p { 3 } else { 2 };
        for (opened, half) in opened.iter_mut().zip(halves).take(sent) {
            run.send(side, Online, half, 1);
            *opened ^= half;
        }
    }
    let [p, g, q] = opened;
    let own = |party: usize| {
        let i = party;
        (high.g[i] ^ p & be[i] ^ al[i] & g ^ ab[i], p & ga[i] ^ al[i] & q ^ ag[i])
    };
    let ((cg, cp), (sg, sp)) = (own(0), own(1));
    Node { g: [cg, sg ^ p & g], p: [cp, sp ^ p & q], bare: false }
}

/// The carry tree over the shares' bits; p means something only if it is kept.
pub(super) fn carry(run: &mut Run, tree: &Tree, [c, s]: Pair, known: Known, keeps_p: bool) -> Node {
    match tree {
        Tree::Leaf(1) => one_bit_leaf(run, c & 1, s & 1, known),
        Tree::Leaf(_) if known == Known::OnlineOnly => two_bit_leaf_online(run, c, s),
        Tree::Leaf(_) => two_bit_leaf(run, c, s),
        Tree::Bare => Node { g: [c & 1, 0], p: [c & 1, s & 1], bare: true },
        Tree::Merge(high, low) => {
            let lower = carry(run, low, [c, s], known, keeps_p);
            let shift = low.bits();
            let upper = carry(run, high, [c >> shift, s >> shift], known, true);
            merge(run, upper, lower, keeps_p)
        }
    }
}

/// 5.6: shares of x y.
fn and(run: &mut Run, x: Pair, y: Pair) -> Pair {
    let (from_server, from_client) = (run.rot(Server, 1), run.rot(Client, 1));
    let al = [from_server.rho, from_client.rho];
    let be = [from_client.delta(), from_server.delta()];
    let ab = [
        al[0] & be[0] ^ from_server.k ^ from_client.k0,
        al[1] & be[1] ^ from_client.k ^ from_server.k0,
    ];
    let (mut e, mut f) = (0, 0);
    for (party, side) in [Client, Server].into_iter().enumerate() {
        let halves = [x[party] ^ al[party], y[party] ^ be[party]];
        run.send(side, Online, halves[0] | halves[1] << 1, 2);
        (e, f) = (e ^ halves[0], f ^ halves[1]);
    }
    let own = |i: usize| e & be[i] ^ al[i] & f ^ ab[i];
    [own(0), own(1) ^ e & f]
}

/// 5.9: additive shares modulo 2^w of a shared bit.
fn bit_to_word(run: &mut Run, f: Pair, w: u32) -> Pair {
    let x = run.rot(Server, w - 1);
    let sigma = run.coins(Server, 1);
    let t = sigma.wrapping_sub(x.k1.wrapping_sub(x.k0)) & ones(w - 1);
    run.send(Server, Offline, t, w - 1);
    let rho = x.rho;
    let client = rho.wrapping_sub(2 * (x.k + rho * t));
    let server = sigma + 2 * x.k0;
    run.send(Client, Online, f[0] ^ rho, 1);
    run.send(Server, Online, f[1] ^ sigma, 1);
    let turned = f[0] ^ rho ^ f[1] ^ sigma;
    let times = |a: u64| if turned == 1 { a.wrapping_neg() } else { a };
    [times(client) & ones(w), turned.wrapping_add(times(server)) & ones(w)]
}

/// 5.8, "Selection", both shares online: shares of d x modulo 2^b.
fn select(run: &mut Run, d: Pair, x: Pair, b: u32) -> Pair {
    let (rx, ry) = (run.rot(Server, b), run.rot(Client, b));
    let (lc, ls) = (rx.rho, ry.rho);
    let signed = |l: u64, x: u64| if l == 1 { x.wrapping_neg() } else { x };
    let vc = signed(lc, x[0]).wrapping_sub(ry.k1.wrapping_sub(ry.k0)) & ones(b);
    let vs = signed(ls, x[1]).wrapping_sub(rx.k1.wrapping_sub(rx.k0)) & ones(b);
    run.send(Client, Online, (d[0] ^ lc) | vc << 1, 1 + b);
    run.send(Server, Online, (d[1] ^ ls) | vs << 1, 1 + b);
    let opened = d[0] ^ lc ^ d[1] ^ ls;
    let client = (rx.k + lc * vs).wrapping_add((lc * x[0]).wrapping_sub(ry.k0));
    let server = (ls * x[1]).wrapping_sub(rx.k0).wrapping_add(ry.k + ls * vc);
    let own = |x: u64, wq: u64| (opened * x).wrapping_add(signed(opened, wq)) & ones(b);
    [own(x[0], client), own(x[1], server)]
}

/// 5.8, "Extension b -> l and re-share": the client's new mask and the server's z - r.
fn extend(run: &mut Run, z: Pair, b: u32, l: u32) -> Pair {
    let w = l - b;
    let x = run.rot(Server, w);
    let sigma = run.coins(Server, 1);
    let t = sigma.wrapping_sub(x.k1.wrapping_sub(x.k0)) & ones(w);
    run.send(Server, Offline, t, w);
    let (rho, client_pi) = (x.rho, x.k + x.rho * t);
    let server_pi = x.k0.wrapping_neg();
    let (c, a) = (bit(z[0], b - 1), bit(z[1], b - 1));
    let (e, m) = (c ^ rho, a ^ sigma);
    run.send(Client, Online, e, 1);
    run.send(Server, Online, m, 1);
    let sign = |f: u64, v: u64| if f == 1 { v.wrapping_neg() } else { v };
    let both = |pi: u64| sign(m, sign(e, pi));
    let client = (m * sign(e, rho)).wrapping_add(both(client_pi));
    let server = (m * e).wrapping_add(sign(m, e * sigma)).wrapping_add(both(server_pi));
    let lift = |z: u64, msb: u64, t: u64| z.wrapping_sub(msb << b).wrapping_add(t << b) & ones(l);
    let r = run.coins(Client, l);
    let f = lift(z[0], c, client).wrapping_sub(r) & ones(l);
    run.send(Client, Online, f, l);
    [r, lift(z[1], a, server).wrapping_add(f) & ones(l)]
}

/// Widths and trees of a faithful ReLU.
#[derive(Debug, Clone)]
pub(super) struct Relu {
    pub(super) b: u32,
    /// T = t + g.
    pub(super) dropped: u32,
    pub(super) l: u32,
    pub(super) low: Tree,
    pub(super) high: Tree,
}

impl Relu {
    /// Openings behind the first.
    pub(super) fn openings(&self) -> u32 {
        self.low.levels().max(self.high.levels()) + 3
    }
    /// Trips: S first, C last.
    pub(super) fn trips(&self) -> u32 {
        (self.openings() + 1).next_multiple_of(2)
    }
}

/// 5.9, "Faithful ReLU" with extension and re-sharing; x modulo 2^{b+T}, S's constants in it.
pub(super) fn relu(run: &mut Run, relu: &Relu, x: Pair) -> Pair {
    let (b, dropped) = (relu.b, relu.dropped);
    let kappa = carry(run, &relu.low, x, Known::Ahead, false).g;
    let shifted = [x[0] >> dropped, x[1] >> dropped];
    let high = carry(run, &relu.high, shifted, Known::Ahead, true);
    let passed = and(run, high.p, kappa);
    let word = bit_to_word(run, kappa, b);
    let d = |i: usize| high.g[i] ^ passed[i] ^ bit(shifted[i], b - 1);
    let v = |i: usize| shifted[i].wrapping_add(word[i]) & ones(b);
    let z = select(run, [d(0), d(1) ^ 1], [v(0), v(1)], b);
    extend(run, z, b, relu.l)
}

/// `max(0, floor(x / 2^T))`, x signed of b + T bits.
pub(super) fn plain_relu(b: u32, dropped: u32, x: u64) -> u64 {
    if bit(x, b + dropped - 1) == 1 { 0 } else { x >> dropped & ones(b) }
}
