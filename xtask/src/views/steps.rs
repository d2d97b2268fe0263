//! Truncation and the faithful ReLU of docs/protocol.md 5.9, composed of the parts.
//!
//! No message of a part depends on a later one, so that their order within a run, which the real
//! program chooses for few trips, changes no view: the parts run one after the other here.

use super::carry::{Block, Known, and, least_levels, tree};
use super::words::{b2a, lift, select};
use super::world::{World, bit, reduce};

/// Shares modulo 2^w of floor(x / 2^t), from shares of x modulo 2^{t+w}.
pub(super) fn truncate(
    world: &mut World,
    x: (u64, u64),
    t: u32,
    w: u32,
    known: Known,
) -> (u64, u64) {
    let low = tree(world, x, t, false, least_levels(t), known);
    let kappa = b2a(world, (low.0.g, low.1.g), w);
    (reduce((x.0 >> t) + kappa.0, w), reduce((x.1 >> t) + kappa.1, w))
}

/// Shares modulo 2^l of max(0, floor(x / 2^t)), from shares of x modulo 2^{b+t}: extended, if l > b.
/// `spare`: levels more than needed that its trees may have.
pub(super) fn faithful_relu(
    world: &mut World,
    x: (u64, u64),
    (b, t, l): (u32, u32, u32),
    spare: u32,
) -> (u64, u64) {
    let levels = least_levels(t).max(least_levels(b - 1)) + spare;
    let low = tree(world, x, t, false, levels, Known::Offline);
    let shifted = (x.0 >> t, x.1 >> t);
    let high = tree(world, shifted, b - 1, true, levels, Known::Offline);
    let kappa = (low.0.g, low.1.g);
    let passed = and(world, (high.0.p, high.1.p), kappa);
    let word = b2a(world, kappa, l);
    let top = |high: Block, passed: u64, shifted: u64| high.g ^ passed ^ bit(shifted, b - 1);
    let d = (top(high.0, passed.0, shifted.0), top(high.1, passed.1, shifted.1) ^ 1);
    let lifted = if l > b { lift(world, shifted, b, l) } else { shifted };
    let v = (reduce(lifted.0 + word.0, l), reduce(lifted.1 + word.1, l));
    select(world, d, v, l, Known::Online)
}

/// Shares modulo 2^l of min(h, max(0, floor(x / 2^t))), from shares of x modulo 2^{b+t}; `spare` as above.
pub(super) fn faithful_clip(
    world: &mut World,
    x: (u64, u64),
    (b, t, l): (u32, u32, u32),
    h: u64,
    spare: u32,
) -> (u64, u64) {
    let levels = least_levels(t).max(least_levels(b - 1)) + spare;
    let low = tree(world, x, t, false, levels, Known::Offline);
    let kappa = (low.0.g, low.1.g);
    let shifted = (x.0 >> t, x.1 >> t);
    let less = (shifted.0, reduce(shifted.1.wrapping_sub(h), b));
    let signs = [shifted, less].map(|number| {
        let high = tree(world, number, b - 1, true, levels, Known::Offline);
        let passed = and(world, (high.0.p, high.1.p), kappa);
        let top = |high: Block, passed: u64, number: u64| high.g ^ passed ^ bit(number, b - 1);
        (top(high.0, passed.0, number.0), top(high.1, passed.1, number.1) ^ 1)
    });
    let word = b2a(world, kappa, l);
    let over = and(world, signs[0], signs[1]);
    let between = (signs[0].0 ^ over.0, signs[0].1 ^ over.1);
    let lifted = if l > b { lift(world, shifted, b, l) } else { shifted };
    let v = (reduce(lifted.0 + word.0, l), reduce(lifted.1 + word.1, l));
    let (inside, top) = (select(world, between, v, l, Known::Online), b2a(world, over, l));
    (reduce(inside.0 + h * top.0, l), reduce(inside.1 + h * top.1, l))
}
