//! The vector part of three halves; see the module above for the formulas.
#![expect(clippy::inline_always, reason = "kernels are compiled per instruction set by inlining")]
#![expect(clippy::indexing_slicing, reason = "loops over lanes; all slices have the same lanes")]

use std::ops::Range;

use gazelle_block::Block;
use gazelle_block::aes::{Kernel, Vector};

use crate::scheme::AndGate;

/// log2 of the hash points reserved per lane; three are used.
pub(super) const POINTS_LOG2: u32 = 2;

/// Random blocks per call: lane n of the call takes coins p and q from bits `n / 16` and
/// `n / 16 + 16` of block `n % 16`.
pub(super) const COIN_BLOCKS: usize = 16;

/// The high half of a block.
const HIGH: Block = Block(u128::MAX << 64);

/// The two rows of a, the two rows of b, and the row to add.
pub(super) type ThreeHalvesRows<'a> = [&'a [Block]; 5];

pub(super) struct GarbleThreeHalves<'a> {
    pub(super) gate: AndGate<'a>,
    pub(super) delta: Block,
    pub(super) shifts: [Block; 2],
    pub(super) rows: ThreeHalvesRows<'a>,
    pub(super) coins: &'a [Block; COIN_BLOCKS],
    pub(super) out: &'a mut [Block],
    pub(super) halves: &'a mut [u8],
    pub(super) mixed: &'a mut [Block],
}

impl Kernel for GarbleThreeHalves<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self) {
        let lanes = self.out.len();
        // Two vectors of lanes at a time: their twelve hashes hide the latency of AES.
        let whole = lanes - lanes % (2 * V::BLOCKS);
        garble_lanes::<V, 2, 12>(&mut self, 0..whole);
        if whole < lanes {
            garble_lanes::<V::Single, 1, 6>(&mut self, whole..lanes);
        }
    }
}

/// `U` vectors of lanes at a time, `M = 6 U` hashes.
#[inline(always)]
fn garble_lanes<V: Vector, const U: usize, const M: usize>(
    work: &mut GarbleThreeHalves<'_>,
    lanes: Range<usize>,
) {
    let group = U * V::BLOCKS;
    let gate = work.gate;
    let keys = V::keys(gate.key.aes());
    let mut offsets =
        gate.key.offsets::<V, U>((gate.first_lane + lanes.start) / group, POINTS_LOG2);
    let b_point = V::splat(gate.key.multiple(1));
    let c_point = V::splat(gate.key.multiple(2));
    let (a_shift, b_shift) = (V::splat(work.shifts[0]), V::splat(work.shifts[1]));
    let (high, zero, ones) = (V::splat(HIGH), V::splat(Block::ZERO), V::splat(Block(1)));
    let delta = V::splat(work.delta);
    // The combinations of Delta are the same for all gates: made once per call.
    let (w_delta, delta_swapped) = (delta.sigma(), delta.swap_halves());
    let w2_delta = w_delta.xor(delta);
    let delta_doubled = delta.double_halves();
    let (coins, start) = (work.coins, lanes.start);
    let rows = work.rows;
    let halves = &mut work.halves[16 * lanes.start..16 * lanes.end];
    let out = work.out[lanes.clone()].chunks_exact_mut(group);
    let mixed = work.mixed[lanes].chunks_exact_mut(group);
    for (n, ((out, mixed), halves)) in
        out.zip(mixed).zip(halves.chunks_exact_mut(16 * group)).enumerate()
    {
        let first_lane = start + n * group;
        let offset = offsets.step();
        let mut states = [zero; M];
        let mut labels = [[zero; 4]; U];
        for u in 0..U {
            let at = first_lane + u * V::BLOCKS;
            let a0 = V::load(&rows[0][at..]).xor(V::load(&rows[1][at..])).xor(a_shift);
            let b0 = V::load(&rows[2][at..]).xor(V::load(&rows[3][at..])).xor(b_shift);
            let (not_a, not_b) = (a0.colours(), b0.colours());
            // The labels of colour 0.
            let (a, b) = (a0.xor_and(not_a, delta), b0.xor_and(not_b, delta));
            let (ya, yb) = (a.xor(offset[u]), b.xor(offset[u]).xor(b_point));
            let yc = a.xor(b).xor(offset[u]).xor(c_point);
            states[6 * u] = ya;
            states[6 * u + 1] = ya.xor(delta);
            states[6 * u + 2] = yb;
            states[6 * u + 3] = yb.xor(delta);
            states[6 * u + 4] = yc;
            states[6 * u + 5] = yc.xor(delta);
            labels[u] = [a, b, not_a, not_b];
        }
        let hashed = V::encrypt(&keys, states);
        for u in 0..U {
            let at = first_lane + u * V::BLOCKS;
            let [a, b, not_a, not_b] = labels[u];
            // t(y ^ Delta) = t(y) ^ t(Delta): only the sums over both colours need the second.
            let ha = hashed[6 * u].xor(states[6 * u].double_halves());
            let hb = hashed[6 * u + 2].xor(states[6 * u + 2].double_halves());
            let hc = hashed[6 * u + 4].xor(states[6 * u + 4].double_halves());
            let ha_sum = hashed[6 * u].xor(hashed[6 * u + 1]).xor(delta_doubled);
            let hb_sum = hashed[6 * u + 2].xor(hashed[6 * u + 3]).xor(delta_doubled);
            let hc_sum = hashed[6 * u + 4].xor(hashed[6 * u + 5]).xor(delta_doubled);
            let block = V::load(&coins[at % COIN_BLOCKS..]);
            let place = (at / COIN_BLOCKS) as u32;
            let (p, q) = (block.bit(place), block.bit(place + 16));

            let first = b.xor(a.sigma());
            let second = a.xor(b).xor(b.sigma());
            let crossed = V::select(high, b, a);
            let (to_a, to_b) = (first.xor(w_delta), second.xor(w2_delta));
            V::select(high, ha_sum, hb_sum)
                .xor(crossed)
                .xor(delta)
                .xor(to_a)
                .xor_and(not_a, to_a)
                .xor(to_b)
                .xor_and(not_b, to_b)
                .xor_and(p, w2_delta)
                .xor_and(q, w_delta)
                .store_bytes(&mut halves[16 * u * V::BLOCKS..]);
            let (to_a, to_b) = (first.xor(second).xor(delta_swapped), first.xor(delta));
            let g2 = hc_sum
                .xor(to_a)
                .xor_and(not_a, to_a)
                .xor(to_b)
                .xor_and(not_b, to_b)
                .xor_and(p, delta)
                .xor_and(q, delta_swapped);
            V::select(high, ha, hb)
                .xor(hc.repeat_high())
                .xor(crossed)
                .xor_and(p, first)
                .xor_and(q, second)
                .xor_and(not_a, zero.xor_and(not_b, delta))
                .xor(V::load(&rows[4][at..]))
                .store(&mut out[u * V::BLOCKS..]);
            // The control bits: h is the lowest bit of the half of the hash that is not used.
            let (hb, hb_sum) = (hb.swap_halves(), hb_sum.swap_halves());
            let bits = [
                p.xor(ha).xor(hc),
                q.xor(hb).xor(hc),
                not_a.xor(ha_sum).xor(ones),
                not_b.xor(hb_sum).xor(ones),
                not_a.xor(not_b).xor(hc_sum),
            ];
            let mut z = zero;
            for (place, bit) in bits.into_iter().enumerate() {
                z = z.xor_and(bit.colours(), V::splat(Block(1 << place)));
            }
            V::select(high, g2, z).store(&mut mixed[u * V::BLOCKS..]);
        }
    }
}

pub(super) struct EvaluateThreeHalves<'a> {
    pub(super) gate: AndGate<'a>,
    pub(super) rows: ThreeHalvesRows<'a>,
    pub(super) halves: &'a [u8],
    pub(super) mixed: &'a [Block],
    pub(super) out: &'a mut [Block],
}

impl Kernel for EvaluateThreeHalves<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self) {
        let lanes = self.out.len();
        // Two vectors of lanes at a time: their six hashes hide the latency of AES.
        let whole = lanes - lanes % (2 * V::BLOCKS);
        evaluate_lanes::<V, 2, 6>(&mut self, 0..whole);
        if whole < lanes {
            evaluate_lanes::<V::Single, 1, 3>(&mut self, whole..lanes);
        }
    }
}

/// `U` vectors of lanes at a time, `M = 3 U` hashes.
#[inline(always)]
fn evaluate_lanes<V: Vector, const U: usize, const M: usize>(
    work: &mut EvaluateThreeHalves<'_>,
    lanes: Range<usize>,
) {
    let group = U * V::BLOCKS;
    let gate = work.gate;
    let keys = V::keys(gate.key.aes());
    let mut offsets =
        gate.key.offsets::<V, U>((gate.first_lane + lanes.start) / group, POINTS_LOG2);
    let b_point = V::splat(gate.key.multiple(1));
    let c_point = V::splat(gate.key.multiple(2));
    let (high, zero) = (V::splat(HIGH), V::splat(Block::ZERO));
    let (rows, mixed, start) = (work.rows, work.mixed, lanes.start);
    let halves = &work.halves[16 * lanes.start..16 * lanes.end];
    let out = work.out[lanes].chunks_exact_mut(group);
    for (n, (out, halves)) in out.zip(halves.chunks_exact(16 * group)).enumerate() {
        let offset = offsets.step();
        let mut states = [zero; M];
        let mut labels = [[zero; 2]; U];
        for u in 0..U {
            let at = start + n * group + u * V::BLOCKS;
            let a = V::load(&rows[0][at..]).xor(V::load(&rows[1][at..]));
            let b = V::load(&rows[2][at..]).xor(V::load(&rows[3][at..]));
            states[3 * u] = a.xor(offset[u]);
            states[3 * u + 1] = b.xor(offset[u]).xor(b_point);
            states[3 * u + 2] = a.xor(b).xor(offset[u]).xor(c_point);
            labels[u] = [a, b];
        }
        let mut hashed = V::encrypt(&keys, states);
        for (hashed, state) in hashed.iter_mut().zip(states) {
            *hashed = hashed.xor(state.double_halves());
        }
        for u in 0..U {
            let at = start + n * group + u * V::BLOCKS;
            let [a, b] = labels[u];
            let (ha, hb, hc) = (hashed[3 * u], hashed[3 * u + 1], hashed[3 * u + 2]);
            let mixed = V::load(&mixed[at..]);
            let (i, j) = (a.colours(), b.colours());
            let k = i.xor(j);
            let both = zero.xor_and(k, mixed.bit(4));
            let r = ha.xor(hc).xor(mixed).colours().xor_and(i, mixed.bit(2)).xor(both);
            let s = hb.swap_halves().xor(hc).colours().xor(mixed.bit(1));
            let s = s.xor_and(j, mixed.bit(3)).xor(both);
            let crossed = V::select(high, b, a);
            let halves = V::load_bytes(&halves[16 * u * V::BLOCKS..]);
            V::select(high, ha, hb)
                .xor(hc.repeat_high())
                .xor(crossed)
                .xor_and(V::select(high, i, j), halves.xor(crossed))
                .xor_and(k, mixed.repeat_high())
                .xor_and(r, b.xor(a.sigma()))
                .xor_and(s, a.xor(b).xor(b.sigma()))
                .xor(V::load(&rows[4][at..]))
                .store(&mut out[u * V::BLOCKS..]);
        }
    }
}
