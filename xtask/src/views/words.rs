//! B2A, selection, extension with re-sharing and products of docs/protocol.md 5.3 to 5.9.
//!
//! Written from that text alone; arithmetic wraps, and every word is reduced where it is sent or
//! returned.

use super::carry::Known;
use super::world::Party::{Client, Server};
use super::world::{World, bit, reduce};

/// 1 - 2 f: 1 or -1.
fn sign(f: u64) -> u64 {
    1u64.wrapping_sub(2 * f)
}

/// Shares modulo 2^w of the bit whose XOR shares are `f`.
pub(super) fn b2a(world: &mut World, f: (u64, u64), w: u32) -> (u64, u64) {
    let x = world.rot(Server, w - 1);
    let sigma = world.coin(Server, 1);
    let t = world.send(Server, sigma.wrapping_sub(x.minus()), w - 1);
    let ca = x.rho.wrapping_sub(2 * (x.k + x.rho * t));
    let sa = sigma + 2 * x.k0;
    let open = world.open(f.0 ^ x.rho, f.1 ^ sigma, 1);
    let client = sign(open).wrapping_mul(ca);
    let server = open.wrapping_add(sign(open).wrapping_mul(sa));
    (reduce(client, w), reduce(server, w))
}

/// Shares modulo 2^b of d x, from XOR shares of d and additive shares of x.
pub(super) fn select(
    world: &mut World,
    d: (u64, u64),
    x: (u64, u64),
    b: u32,
    known: Known,
) -> (u64, u64) {
    let (to_client, to_server) = (world.rot(Server, b), world.rot(Client, b));
    let (cl, sl) = (to_client.rho, to_server.rho);
    // Offline or online, the same word: with its share known offline C sends it then.
    let word = sign(cl).wrapping_mul(x.0).wrapping_sub(to_server.minus());
    let (tq, v);
    let from_server = sign(sl).wrapping_mul(x.1).wrapping_sub(to_client.minus());
    match known {
        Known::Offline => {
            tq = world.send(Client, word, b);
            v = world.send(Server, from_server, b);
        }
        Known::Online => {
            v = world.send(Server, from_server, b);
            tq = world.send(Client, word, b);
        }
    }
    let cq = (cl * x.0).wrapping_sub(to_server.k0);
    let sq = to_server.k + sl * tq;
    let cw = to_client.k + cl * v;
    let sw = (sl * x.1).wrapping_sub(to_client.k0);
    let open = world.open(d.0 ^ cl, d.1 ^ sl, 1);
    let client = (open * x.0).wrapping_add(sign(open).wrapping_mul(cw.wrapping_add(cq)));
    let server = (open * x.1).wrapping_add(sign(open).wrapping_mul(sw.wrapping_add(sq)));
    (reduce(client, b), reduce(server, b))
}

/// Extends z in [0, 2^{b-1}), shared modulo 2^b, to l bits; returns (r, z - r modulo 2^l).
pub(super) fn extend(world: &mut World, z: (u64, u64), b: u32, l: u32) -> (u64, u64) {
    let upper = l - b;
    let x = world.rot(Server, upper);
    let sigma = world.coin(Server, 1);
    let r = world.coin(Client, l);
    let t = world.send(Server, sigma.wrapping_sub(x.minus()), upper);
    let (cpi, spi) = (x.k + x.rho * t, 0u64.wrapping_sub(x.k0));
    let (c, a) = (bit(z.0, b - 1), bit(z.1, b - 1));
    let m = world.send(Server, a ^ sigma, 1);
    let e = world.send(Client, c ^ x.rho, 1);
    let both = sign(m).wrapping_mul(sign(e));
    let ct = (m * x.rho).wrapping_mul(sign(e)).wrapping_add(both.wrapping_mul(cpi));
    let st = (m * e).wrapping_add(sign(m).wrapping_mul(e * sigma));
    let st = st.wrapping_add(both.wrapping_mul(spi));
    let high = |bit: u64, product: u64| product.wrapping_sub(bit).wrapping_mul(1 << b);
    let f = world.send(Client, z.0.wrapping_add(high(c, ct)).wrapping_sub(r), l);
    (r, reduce(z.1.wrapping_add(high(a, st)).wrapping_add(f), l))
}

/// Lifts x modulo 2^b, the client's share known offline: shares modulo 2^l that are, with a carry of 0 or 1
/// added, x with that carry if this lies in [0, 2^{b-1}) (5.9, extended).
pub(super) fn lift(world: &mut World, x: (u64, u64), b: u32, l: u32) -> (u64, u64) {
    let z = world.rot(Client, l - b);
    let sigma = z.rho;
    let (c, s) = (bit(x.0, b - 1), bit(x.1, b - 1));
    let tau = world.send(Client, c.wrapping_sub(z.minus()), l - b);
    let (cpi, spi) = (0u64.wrapping_sub(z.k0), z.k + sigma * tau);
    let m = world.send(Server, s ^ sigma, 1);
    let signed = |share: u64, top: u64| share.wrapping_sub(top << b);
    let client = signed(x.0, c).wrapping_add((m * c).wrapping_add(sign(m).wrapping_mul(cpi)) << b);
    let server = signed(x.1, s).wrapping_add(sign(m).wrapping_mul(spi) << b);
    (reduce(client, l), reduce(server, l))
}

/// Shares modulo 2^w of s c, s the server's word and c the client's.
pub(super) fn product(world: &mut World, c: u64, s: u64, w: u32, known: Known) -> (u64, u64) {
    let (mut a, mut rho) = (0u64, 0u64);
    let (mut cp, mut sp) = (0u64, 0u64);
    for i in 0..w {
        let r = world.rot(Server, w - i);
        // The word a is the difference of the first OT's strings: it has no correction.
        let u = if i == 0 {
            a = reduce(r.minus(), w);
            0
        } else {
            world.send(Server, a.wrapping_sub(r.minus()), w - i)
        };
        rho |= r.rho << i;
        cp = cp.wrapping_add((r.k + r.rho * u) << i);
        sp = sp.wrapping_sub(r.k0 << i);
    }
    let (e, m);
    match known {
        Known::Offline => {
            e = world.send(Client, c.wrapping_sub(rho), w);
            m = world.send(Server, s.wrapping_sub(a), w);
        }
        Known::Online => {
            m = world.send(Server, s.wrapping_sub(a), w);
            e = world.send(Client, c.wrapping_sub(rho), w);
        }
    }
    let client = m.wrapping_mul(rho).wrapping_add(cp);
    let server = s.wrapping_mul(e).wrapping_add(sp);
    (reduce(client, w), reduce(server, w))
}

/// Shares modulo 2^l of d x, x modulo 2^b and d = [x >= 0], without a message between extension and
/// selection (5.4, fused). d comes as XOR shares; the client's share of x is known offline.
pub(super) fn fused(world: &mut World, d: (u64, u64), x: (u64, u64), b: u32, l: u32) -> (u64, u64) {
    let upper = l - b;
    // Y's strings: l bits for tq, l - b more for the difference.
    let (to_client, y) = (world.rot(Server, l), world.rot(Client, l + upper));
    let z = world.rot(Client, upper);
    let (cl, sl, sigma) = (to_client.rho, y.rho, z.rho);
    let (c, s) = (bit(x.0, b - 1), bit(x.1, b - 1));
    let tau = world.send(Client, c.wrapping_sub(z.minus()), upper);
    let (cpi, spi) = (0u64.wrapping_sub(z.k0), z.k + sigma * tau);
    let signed = |share: u64, top: u64| share.wrapping_sub(top << b);
    let client_y = |m: u64| {
        let high = (m * c).wrapping_add(sign(m).wrapping_mul(cpi));
        signed(x.0, c).wrapping_add(high << b)
    };
    let halves = |string: u64| (reduce(string, l), string >> l);
    let ((k0, k0_up), (k1, k1_up), (k, k_up)) = (halves(y.k0), halves(y.k1), halves(y.k));
    let word = sign(cl).wrapping_mul(client_y(0)).wrapping_sub(k1.wrapping_sub(k0));
    let tq = world.send(Client, word, l);
    let change = c.wrapping_sub(2u64.wrapping_mul(cpi));
    let word = sign(cl).wrapping_mul(change).wrapping_sub(k1_up.wrapping_sub(k0_up));
    let tq_up = world.send(Client, word, upper);
    // Online.
    let m = world.send(Server, s ^ sigma, 1);
    let server_y = signed(x.1, s).wrapping_add(sign(m).wrapping_mul(spi) << b);
    let word = sign(sl).wrapping_mul(server_y).wrapping_sub(to_client.minus());
    let v = world.send(Server, word, l);
    let cq = (cl.wrapping_mul(client_y(m))).wrapping_sub(k0).wrapping_sub((m * k0_up) << b);
    let sq = (k + sl * tq).wrapping_add((m * (k_up + sl * tq_up)) << b);
    let cw = to_client.k + cl * v;
    let sw = sl.wrapping_mul(server_y).wrapping_sub(to_client.k0);
    let open = world.open(d.0 ^ cl, d.1 ^ sl, 1);
    let client =
        (open.wrapping_mul(client_y(m))).wrapping_add(sign(open).wrapping_mul(cw.wrapping_add(cq)));
    let server =
        (open.wrapping_mul(server_y)).wrapping_add(sign(open).wrapping_mul(sw.wrapping_add(sq)));
    (reduce(client, l), reduce(server, l))
}
