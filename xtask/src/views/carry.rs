//! Leaves, merges, AND and the tree of docs/protocol.md 5.2, 5.6, 5.8 and 5.9, on single bits.
//!
//! Written from that text alone. Variables that begin with `c` or `client` are the client's,
//! with `s` or `server` the server's; each side reads its own, and what arrived.

use super::world::Party::{Client, Server};
use super::world::{Rot, World, bit};

/// One party's share of a block's (generate, propagate).
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) g: u64,
    pub(super) p: u64,
}

/// The client's and the server's share of one block.
pub(super) type Shared = (Block, Block);

/// When the client's share is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Known {
    /// Offline: it is the client's share of a linear layer's output.
    Offline,
    /// Online: it comes out of another operation.
    Online,
}

/// The two-bit leaf: shares of (g, p) of the block of `client + server`, two bits each.
pub(super) fn leaf(world: &mut World, client: u64, server: u64, known: Known) -> Shared {
    let (r1, r2) = (world.rot(Server, 3), world.rot(Server, 3));
    match known {
        Known::Offline => leaf_offline(world, client, server, r1, r2),
        Known::Online => leaf_online(world, client, server, r1, r2),
    }
}

/// The server's four corrections, as they arrive: t1, t2, t3, t4.
fn corrections(world: &mut World, r1: Rot, r2: Rot) -> [u64; 4] {
    let (l0, l1) = (r1.delta(0), r1.delta(1));
    let t1 = world.send(Server, r1.delta(2) ^ (l1 & l0), 1);
    let t2 = world.send(Server, r2.delta(0) ^ l1, 1);
    let t3 = world.send(Server, r2.delta(1) ^ l0, 1);
    let t4 = world.send(Server, r2.delta(2) ^ bit(r1.k0, 0), 1);
    [t1, t2, t3, t4]
}

fn leaf_offline(world: &mut World, client: u64, server: u64, r1: Rot, r2: Rot) -> Shared {
    let (c0, c1) = (bit(client, 0), bit(client, 1));
    let (s0, s1) = (bit(server, 0), bit(server, 1));
    let (l0, l1) = (r1.delta(0), r1.delta(1));
    let d1 = world.send(Client, c0 ^ r1.rho, 1);
    let d2 = world.send(Client, c1 ^ r2.rho, 1);
    let [t1, t2, t3, t4] = corrections(world, r1, r2);
    // The client's products of its bits with the server's masks.
    let (cb, cc) = (bit(r1.k, 0), bit(r1.k, 1));
    let ce = bit(r2.k, 1) ^ (c1 & t3);
    let ca = bit(r1.k, 2) ^ (c0 & t1) ^ bit(r2.k, 0) ^ (c1 & t2);
    let ca = ca ^ bit(r2.k, 2) ^ (c1 & t4) ^ (c1 & cb) ^ (d1 & ce);
    let cp = cc ^ ce ^ (c0 & c1);
    // The server's, with its strings selected by what it got.
    let (k1, k2) = (if d1 == 0 { r1.k0 } else { r1.k1 }, if d2 == 0 { r2.k0 } else { r2.k1 });
    let (sb, sc) = (bit(k1, 0), bit(k1, 1));
    let sa = bit(k1, 2) ^ bit(k2, 0) ^ bit(k2, 2) ^ (d1 & bit(k2, 1));
    let sp = sc ^ bit(k2, 1);
    // Online.
    let m1 = world.send(Server, s1 ^ l1, 1);
    let m0 = world.send(Server, s0 ^ l0, 1);
    let g = ca ^ (m1 & cb) ^ (m0 & cc) ^ (m1 & c1) ^ (m1 & m0 & c0) ^ (m0 & c0 & c1);
    let client = Block { g, p: cp ^ (m1 & c0) ^ (m0 & c1) };
    let server = Block { g: sa ^ (m1 & sb) ^ (m0 & sc), p: sp ^ (s1 & s0) };
    (client, server)
}

fn leaf_online(world: &mut World, client: u64, server: u64, r1: Rot, r2: Rot) -> Shared {
    let (c0, c1) = (bit(client, 0), bit(client, 1));
    let (s0, s1) = (bit(server, 0), bit(server, 1));
    let (l0, l1) = (r1.delta(0), r1.delta(1));
    let (rho0, rho1) = (r1.rho, r2.rho);
    let [t1, t2, t3, t4] = corrections(world, r1, r2);
    // B = l0 rho0, Cc = l1 rho0, Dd = l1 l0 rho0, A = l1 rho1, E = l0 rho1, F = l0 rho0 rho1.
    let (cb, cc, cd) = (bit(r1.k, 0), bit(r1.k, 1), bit(r1.k, 2) ^ (rho0 & t1));
    let (ca, ce) = (bit(r2.k, 0) ^ (rho1 & t2), bit(r2.k, 1) ^ (rho1 & t3));
    // The text writes F's unmasking as that of ka without d1: rho1 t4 and rho1 B.
    let cf = bit(r2.k, 2) ^ (rho1 & t4) ^ (rho1 & cb);
    let (sb, sc, sd) = (bit(r1.k0, 0), bit(r1.k0, 1), bit(r1.k0, 2));
    let (sa, se, sf) = (bit(r2.k0, 0), bit(r2.k0, 1), bit(r2.k0, 2));
    let (m0, m1) = (world.send(Server, s0 ^ l0, 1), world.send(Server, s1 ^ l1, 1));
    let (e0, e1) = (world.send(Client, c0 ^ rho0, 1), world.send(Client, c1 ^ rho1, 1));
    let (both0, both1) = (m0 ^ e0, m1 ^ e1);
    let low = (m0 & e0) ^ (e0 & l0) ^ sb;
    let g = (m1 & e1) ^ (e1 & l1) ^ sa ^ (both1 & low) ^ (m0 & e0 & l1) ^ (m0 & sc);
    let g = g ^ (e0 & ((l1 & l0) ^ se)) ^ sd ^ sf;
    let p = (both1 & both0) ^ (both1 & l0) ^ (both0 & l1) ^ (l1 & l0) ^ sc ^ se;
    let server = Block { g, p };
    let low = (m0 & rho0) ^ cb;
    let g = (m1 & rho1) ^ ca ^ (both1 & low) ^ (m0 & e0 & rho1) ^ (m0 & (cc ^ (rho0 & rho1)));
    let g = g ^ (e0 & ce) ^ cd ^ cf;
    let p = (both1 & rho0) ^ (both0 & rho1) ^ (rho0 & rho1) ^ cc ^ ce;
    (Block { g, p }, server)
}

/// The one-bit leaf.
pub(super) fn leaf_one(world: &mut World, c: u64, s: u64, known: Known) -> Shared {
    let r = world.rot(Server, 1);
    let l = r.delta(0);
    match known {
        Known::Offline => {
            let d = world.send(Client, c ^ r.rho, 1);
            let m = world.send(Server, s ^ l, 1);
            let server = Block { g: if d == 0 { r.k0 } else { r.k1 }, p: s };
            (Block { g: r.k ^ (m & c), p: c }, server)
        }
        // The text gives this one for the offline case only; with e = c ^ rho opened, s c =
        // (m ^ l)(e ^ rho) and l rho = k ^ k0.
        Known::Online => {
            let m = world.send(Server, s ^ l, 1);
            let e = world.send(Client, c ^ r.rho, 1);
            let server = Block { g: (m & e) ^ (e & l) ^ r.k0, p: s };
            (Block { g: (m & r.rho) ^ r.k, p: c }, server)
        }
    }
}

/// hi o lo. Without `keep` the p of `lo` is not read and the p that comes out is 0.
pub(super) fn merge(world: &mut World, hi: Shared, lo: Shared, keep: bool) -> Shared {
    let bits = if keep { 2 } else { 1 };
    let (x, y) = (world.rot(Server, bits), world.rot(Client, bits));
    let (ch, cl) = (hi.0, lo.0);
    let (sh, sl) = (hi.1, lo.1);
    let (cal, cbe, sal, sbe) = (x.rho, y.delta(0), y.rho, x.delta(0));
    let cab = (cal & cbe) ^ bit(x.k, 0) ^ bit(y.k0, 0);
    let sab = (sal & sbe) ^ bit(x.k0, 0) ^ bit(y.k, 0);
    let p = world.open(ch.p ^ cal, sh.p ^ sal, 1);
    let g = world.open(cl.g ^ cbe, sl.g ^ sbe, 1);
    let mut client = Block { g: ch.g ^ (p & cbe) ^ (cal & g) ^ cab, p: 0 };
    let mut server = Block { g: sh.g ^ (p & g) ^ (p & sbe) ^ (sal & g) ^ sab, p: 0 };
    if keep {
        let (cga, sga) = (y.delta(1), x.delta(1));
        let cag = (cal & cga) ^ bit(x.k, 1) ^ bit(y.k0, 1);
        let sag = (sal & sga) ^ bit(x.k0, 1) ^ bit(y.k, 1);
        let q = world.open(cl.p ^ cga, sl.p ^ sga, 1);
        client.p = (p & cga) ^ (cal & q) ^ cag;
        server.p = (p & q) ^ (p & sga) ^ (sal & q) ^ sag;
    }
    (client, server)
}

/// Shares of x AND y from shares of two bits.
pub(super) fn and(world: &mut World, x: (u64, u64), y: (u64, u64)) -> (u64, u64) {
    let (to_client, to_server) = (world.rot(Server, 1), world.rot(Client, 1));
    let (cal, cbe) = (to_client.rho, to_server.delta(0));
    let (sal, sbe) = (to_server.rho, to_client.delta(0));
    let cab = (cal & cbe) ^ to_client.k ^ to_server.k0;
    let sab = (sal & sbe) ^ to_server.k ^ to_client.k0;
    let e = world.open(x.0 ^ cal, x.1 ^ sal, 1);
    let f = world.open(y.0 ^ cbe, y.1 ^ sbe, 1);
    ((e & cbe) ^ (cal & f) ^ cab, (e & sbe) ^ (sal & f) ^ sab ^ (e & f))
}

/// A bare bit above `lo` (5.2): hi has p = s ^ c, shared as it is, and no leaf.
pub(super) fn merge_bit(world: &mut World, (c, s): (u64, u64), lo: Shared, keep: bool) -> Shared {
    let hi = (Block { g: c, p: c }, Block { g: 0, p: s });
    let lo = (Block { g: lo.0.g ^ c, p: lo.0.p }, lo.1);
    merge(world, hi, lo, keep)
}

/// Levels that pairs of two-bit leaves need: the logarithm of their number, rounded up.
pub(super) fn least_levels(bits: u32) -> u32 {
    bits.div_ceil(2).next_power_of_two().trailing_zeros()
}

/// The cheapest tree of 5.2: twice its price in bits, and the bits and levels of its parts' tree if it
/// is a merge. None if `levels` do not suffice.
fn price(bits: u32, keep: bool, levels: u32) -> Option<(u32, Option<(u32, u32)>)> {
    match bits {
        1 => return Some((2 * 2 + 3, None)),
        2 => return Some((2 * 8 + 3 * 2, None)),
        _ => {}
    }
    let below = levels.checked_sub(1)?;
    let mut best = price(bits, keep, below);
    for high in 1..=bits - 2 {
        let above = if high == 1 { Some(0) } else { price(high, true, below).map(|part| part.0) };
        let low = price(bits - high, keep, below).map(|part| part.0);
        let Some((above, low)) = above.zip(low) else { continue };
        let cost = above + low + if keep { 2 * 6 + 3 * 2 } else { 2 * 4 + 3 * 2 };
        if best.is_none_or(|best| cost < best.0) {
            best = Some((cost, Some((high, below))));
        }
    }
    best
}

/// (g, p) of the `bits` low bits of both words, by the tree of at most `levels` levels; p only if
/// `keep`, else 0 where it is not needed.
pub(super) fn tree(
    world: &mut World,
    words: (u64, u64),
    bits: u32,
    keep: bool,
    levels: u32,
    known: Known,
) -> Shared {
    let (client, server) = words;
    let Some((high, below)) = price(bits, keep, levels).and_then(|best| best.1) else {
        return match bits {
            1 => leaf_one(world, bit(client, 0), bit(server, 0), known),
            _ => leaf(world, client & 3, server & 3, known),
        };
    };
    let low = bits - high;
    let lo = tree(world, words, low, keep, below, known);
    if high == 1 {
        return merge_bit(world, (bit(client, low), bit(server, low)), lo, keep);
    }
    let hi = tree(world, (client >> low, server >> low), high, true, below, known);
    merge(world, hi, lo, keep)
}
