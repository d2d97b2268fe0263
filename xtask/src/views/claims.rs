//! What is claimed of each part and of the steps, as shares go in and come out.

use super::carry::{
    Block, Known, Shared, and, leaf, leaf_one, least_levels, merge, merge_bit, tree,
};
use super::check::{Claim, Own};
use super::reveal::{elect, winner};
use super::steps::{faithful_clip, faithful_relu, truncate};
use super::words::{b2a, extend, fused, lift, product, select};
use super::world::{World, bit, reduce};

const BOTH: [Known; 2] = [Known::Offline, Known::Online];

fn claim(
    name: String,
    bits: u32,
    own: Own,
    run: impl Fn(&mut World, u64, u64) -> bool + 'static,
) -> Claim {
    Claim { name, client_bits: bits, server_bits: bits, own, told: |_, _| 0, run: Box::new(run) }
}

/// The parts, over all coins and all shares of small widths.
pub(super) fn parts() -> Vec<Claim> {
    let mut claims = Vec::new();
    for known in BOTH {
        claims.push(claim(
            format!("leaf of 2 bits, {known:?}"),
            2,
            Own::All,
            move |world, c, s| is_block(leaf(world, c, s, known), c, s, 2),
        ));
        claims.push(claim(format!("leaf of 1 bit, {known:?}"), 1, Own::All, move |world, c, s| {
            is_block(leaf_one(world, c, s, known), c, s, 1)
        }));
    }
    for keep in [true, false] {
        claims.push(claim(format!("merge, p kept: {keep}"), 4, Own::All, move |world, c, s| {
            let block = |share, at| Block { g: bit(share, at), p: bit(share, at + 1) };
            let (hi, lo) = ((block(c, 0), block(s, 0)), (block(c, 2), block(s, 2)));
            let ((g1, p1), (g0, p0)) = (secret(hi), secret(lo));
            let (g, p) = secret(merge(world, hi, lo, keep));
            g == g1 ^ (p1 & g0) && (!keep || p == p1 & p0)
        }));
    }
    for keep in [true, false] {
        let name = format!("merge above a bare bit, p kept: {keep}");
        claims.push(claim(name, 3, Own::All, move |world, c, s| {
            let block = |share| Block { g: bit(share, 1), p: bit(share, 2) };
            let lo = (block(c), block(s));
            let (g0, p0) = secret(lo);
            let (c, s) = (bit(c, 0), bit(s, 0));
            let (g, p) = secret(merge_bit(world, (c, s), lo, keep));
            // The carry of c + s + g0.
            g == (c + s + g0) >> 1 && (!keep || p == (c ^ s) & p0)
        }));
    }
    claims.push(claim("AND".into(), 2, Own::All, |world, c, s| {
        let z = and(world, (bit(c, 0), bit(s, 0)), (bit(c, 1), bit(s, 1)));
        z.0 ^ z.1 == bit(c ^ s, 0) & bit(c ^ s, 1)
    }));
    for w in 1..=4 {
        claims.push(claim(format!("B2A modulo 2^{w}"), 1, Own::All, move |world, c, s| {
            sum(b2a(world, (c, s), w), w) == c ^ s
        }));
    }
    for (b, known) in [(2, Known::Offline), (2, Known::Online), (3, Known::Online)] {
        let name = format!("selection modulo 2^{b}, {known:?}");
        claims.push(claim(name, b + 1, Own::All, move |world, c, s| {
            let x = (c >> 1, s >> 1);
            let d = (bit(c, 0), bit(s, 0));
            sum(select(world, d, x, b, known), b) == (d.0 ^ d.1) * sum(x, b)
        }));
    }
    for (b, l) in [(2, 4), (2, 5), (3, 5)] {
        let name = format!("extension from {b} to {l} bits, re-shared");
        claims.push(claim(name, b, Own::All, move |world, c, s| {
            let z = sum((c, s), b);
            let shares = extend(world, (c, s), b, l);
            // Values from 2^{b-1} on are outside the claim; the views are not.
            z >> (b - 1) != 0 || sum(shares, l) == z
        }));
    }
    claims.push(claim(
        "fused selection from 2 to 3 bits".into(),
        3,
        Own::Random(256),
        |world, c, s| {
            let (d, x) = ((bit(c, 0), bit(s, 0)), (c >> 1, s >> 1));
            let value = sum(x, 2);
            // The claim is about d = [x >= 0] alone; the views are not.
            let shares = fused(world, d, x, 2, 3);
            d.0 ^ d.1 == bit(value, 1) || sum(shares, 3) == (d.0 ^ d.1) * value
        },
    ));
    for (b, l) in [(1, 2), (1, 4), (2, 4), (3, 5)] {
        claims.push(claim(
            format!("lift from {b} to {l} bits"),
            b,
            Own::All,
            move |world, c, s| {
                let shares = lift(world, (c, s), b, l);
                // Negative values are outside the claim; the views are not.
                (0..2).all(|carry| {
                    let value = reduce(c + s + carry, b);
                    bit(value, b - 1) == 1 || reduce(shares.0 + shares.1 + carry, l) == value
                })
            },
        ));
    }
    claims.push(Claim {
        told: |c, s| winner(c ^ s).map_or(3 + (c ^ s), u64::from),
        ..claim("election of 3".into(), 3, Own::All, |world, c, s| {
            let rows = elect(world, c, s);
            // Rows of one bit: that of the winner is 0, and that is all that they say.
            winner(c ^ s).is_none_or(|row| bit(rows, row) == 0)
        })
    });
    for (w, known) in [(1, Known::Offline), (2, Known::Offline), (2, Known::Online)] {
        claims.push(product_claim(w, known));
    }
    for (t, w) in [(1, 1), (1, 2), (1, 3), (2, 1)] {
        claims.push(truncate_claim(t, w, Known::Offline, Own::All));
    }
    claims.push(truncate_claim(1, 2, Known::Online, Own::All));
    claims
}

/// Whole steps: all hidden coins and all shares; the watched party's own coins at random where
/// there are too many.
pub(super) fn steps() -> Vec<Claim> {
    let mut claims = vec![product_claim(3, Known::Offline)];
    for (t, w, own) in [(2, 2, 16), (3, 1, 2), (3, 2, 1)] {
        claims.push(truncate_claim(t, w, Known::Offline, Own::Random(own)));
    }
    claims.push(truncate_claim(2, 2, Known::Online, Own::Random(16)));
    claims.push(truncate_claim(3, 1, Known::Online, Own::Random(2)));
    claims.extend([tree_claim(3, true, 0, 8), tree_claim(4, true, 0, 1)]);
    claims.extend([tree_claim(4, false, 0, 1), tree_claim(4, false, 1, 1)]);
    for (b, t, l, own) in [(2, 1, 2, 8), (2, 2, 2, 1), (3, 1, 3, 1), (2, 1, 3, 1)] {
        claims.push(relu_claim((b, t, l), 0, own));
    }
    claims.push(clip_claim((2, 1, 2), 1, 0));
    claims
}

fn tree_claim(bits: u32, keep: bool, spare: u32, own: u32) -> Claim {
    let levels = least_levels(bits) + spare;
    let name = format!("tree of {bits} bits in {levels} levels, p kept: {keep}");
    claim(name, bits, Own::Random(own), move |world, c, s| {
        let block = tree(world, (c, s), bits, keep, levels, Known::Offline);
        let (g, p) = secret(block);
        g == (c + s) >> bits && (!keep || p == all_pass(c, s, bits))
    })
}

/// Trees and the faithful ReLU at larger widths, for runs with random coins.
pub(super) fn wide() -> Vec<Claim> {
    let widths = [(3, 2), (3, 3), (4, 1), (4, 2), (4, 3), (5, 4), (6, 3)];
    // As they are, with a level to spare, and extended.
    let relus = widths.into_iter().flat_map(|(b, t)| {
        [(b, 0), (b, 1), (b + 3, 0)].map(|(l, spare)| relu_claim((b, t, l), spare, 0))
    });
    let heights = [(3, 1, 3, 1), (3, 1, 3, 3), (3, 2, 6, 2), (4, 2, 4, 5), (5, 3, 9, 11)];
    let clips = heights
        .into_iter()
        .flat_map(|(b, t, l, h)| [0, 1].map(|spare| clip_claim((b, t, l), h, spare)));
    let trees = [(5, true), (6, false), (7, true)];
    let trees =
        trees.into_iter().flat_map(|(n, keep)| [0, 1].map(|spare| tree_claim(n, keep, spare, 0)));
    relus.chain(clips).chain(trees).collect()
}

fn relu_claim((b, t, l): (u32, u32, u32), spare: u32, own: u32) -> Claim {
    let name = format!("ReLU ({b}, {t}), result modulo 2^{l}, {spare} levels to spare");
    claim(name, b + t, Own::Random(own), move |world, c, s| {
        let v = sum((c, s), b + t) >> t;
        let relu = if bit(v, b - 1) == 1 { 0 } else { v };
        sum(faithful_relu(world, (c, s), (b, t, l), spare), l) == relu
    })
}

fn clip_claim((b, t, l): (u32, u32, u32), h: u64, spare: u32) -> Claim {
    let name = format!("clip ({b}, {t}) at {h}, result modulo 2^{l}, {spare} levels to spare");
    claim(name, b + t, Own::Random(1), move |world, c, s| {
        let v = sum((c, s), b + t) >> t;
        let clip = if bit(v, b - 1) == 1 { 0 } else { v.min(h) };
        sum(faithful_clip(world, (c, s), (b, t, l), h, spare), l) == clip
    })
}

fn truncate_claim(t: u32, w: u32, known: Known, own: Own) -> Claim {
    claim(format!("truncation ({t}, {w}), {known:?}"), t + w, own, move |world, c, s| {
        sum(truncate(world, (c, s), t, w, known), w) == sum((c, s), t + w) >> t
    })
}

fn product_claim(w: u32, known: Known) -> Claim {
    claim(format!("product modulo 2^{w}, {known:?}"), w, Own::All, move |world, c, s| {
        sum(product(world, c, s, w, known), w) == reduce(c * s, w)
    })
}

fn sum(shares: (u64, u64), bits: u32) -> u64 {
    reduce(shares.0 + shares.1, bits)
}

fn secret((client, server): Shared) -> (u64, u64) {
    (client.g ^ server.g, client.p ^ server.p)
}

/// Whether every bit of a sum passes a carry on.
fn all_pass(c: u64, s: u64, bits: u32) -> u64 {
    u64::from(c ^ s == (1 << bits) - 1)
}

fn is_block(block: Shared, c: u64, s: u64, bits: u32) -> bool {
    secret(block) == ((c + s) >> bits, all_pass(c, s, bits))
}
