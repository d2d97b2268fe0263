//! Three halves (Rosulek and Roy, CRYPTO 2021): 1.5·128 + 5 bits, 24.6 bytes per AND.
//!
//! *Slicing*: a label is two 64-bit halves `(L | R)`, and the evaluator computes each half of the
//! output from its own combination. *Dicing*: which combination depends on two bits that it
//! decrypts; they are uniform to it, whatever the gate's permute bits are.
//!
//! Let A, B be the labels of **colour 0** and D Delta; the label of colour i is A ^ i D. Let (a, b)
//! be the colours that stand for (1, 1), i, j the evaluator's, k = i ^ j, and p, q two coins. Lane n
//! hashes at points 4n, 4n + 1, 4n + 2; of each hash 64 bits and one more are used, written H and h:
//! Ha for A, Hb for B, Hc for A ^ B. With w(L | R) = (L ^ R | L), which is sigma (w^2 = w + 1, so
//! labels are vectors over GF(4)):
//!
//! ```text
//! garbler, 6 hashes
//!   G0 | G1 = Ha[0]^Ha[1] | Hb[0]^Hb[1]  ^  B.L | A.R  ^  D
//!             ^ a (B ^ wA ^ wD) ^ b (A ^ w^2 B ^ w^2 D) ^ p w^2 D ^ q wD
//!   G2      = Hc[0]^Hc[1] ^ the left half of a (B ^ wA ^ A ^ w^2 B) ^ b (B ^ wA)
//!                                            ^ (p ^ b) D ^ (q ^ a) (D.R | D.L)
//!   C0      = Ha[0]^Hc[0] | Hb[0]^Hc[0]  ^  B.L | A.R
//!             ^ p (B ^ wA) ^ q (A ^ w^2 B) ^ !a !b D
//!   z       = p^ha[0]^hc[0], q^hb[0]^hc[0], a^ha[0]^ha[1], b^hb[0]^hb[1], a^b^hc[0]^hc[1]
//!
//! evaluator, 3 hashes, from its labels A, B of colours i, j
//!   r       = z0 ^ i z2 ^ k z4 ^ ha ^ hc
//!   s       = z1 ^ j z3 ^ k z4 ^ hb ^ hc
//!   C       = Ha^Hc | Hb^Hc  ^  i G0 ^ k G2 | j G1 ^ k G2  ^  !i B.L | !j A.R
//!             ^ r (B ^ wA) ^ s (A ^ w^2 B)
//! ```
//!
//! `r = p ^ i a ^ k (a ^ b)` and `s = q ^ j b ^ k (a ^ b)` are uniform in (p, q). Every other term of
//! the table is masked by a hash of a label that the evaluator does not have.
//!
//! The hash is `AES_{K_j}(y) ^ t(y)` with t = both halves times x in GF(2^64), not sigma: what is
//! added to its slices are sums of halves of Delta, and t + M must keep full rank for each such map
//! M, 2x2 over GF(2) on the halves (paper, section 5). sigma itself is one of those M; x is an
//! eigenvalue of none, since it lies outside GF(4). Tested below.
//!
//! Table: (G0 | G1) of all lanes, G2 of all lanes (8 bytes), 5 bits z of each lane, packed.
#![expect(clippy::inline_always, reason = "kernels are compiled per instruction set by inlining")]
#![expect(clippy::indexing_slicing, reason = "loops over lanes; all slices have the same lanes")]

use std::ops::Range;

use gazelle_block::Block;
use gazelle_block::aes::{AesIsa, Kernel, Vector, dispatch};
use rand_core::Rng;
use zeroize::Zeroize;

use crate::garbling::STRIP;
use crate::scheme::{AndGate, GarblingScheme, Operand, Secrets};

/// log2 of the hash points reserved per lane; three are used.
const POINTS_LOG2: u32 = 2;

/// Control bits per lane.
const CONTROL_BITS: usize = 5;

/// The high half of a block.
const HIGH: Block = Block(u128::MAX << 64);

/// The three-halves scheme on an instruction set.
#[derive(Debug, Clone, Copy)]
pub struct ThreeHalves {
    isa: AesIsa,
}

impl Default for ThreeHalves {
    fn default() -> Self {
        Self::with_isa(AesIsa::best())
    }
}

impl ThreeHalves {
    /// On a given instruction set; the results are the same on all.
    pub fn with_isa(isa: AesIsa) -> Self {
        Self { isa }
    }
}

impl GarblingScheme for ThreeHalves {
    fn name(&self) -> &'static str {
        "three-halves"
    }

    fn table_len(&self, lanes: usize) -> usize {
        24 * lanes + (CONTROL_BITS * lanes).div_ceil(8)
    }

    fn garble_and(
        &self,
        gate: AndGate<'_>,
        secrets: Secrets<'_>,
        a: Operand<'_>,
        b: Operand<'_>,
        add: &[Block],
        out: &mut [Block],
        table: &mut [u8],
    ) {
        let lanes = out.len();
        let mut bytes = [0u8; STRIP / 4];
        let used = &mut bytes[..lanes.div_ceil(4)];
        secrets.coins.fill_bytes(used);
        let mut coins = [[Block::ZERO; STRIP]; 2];
        for (lane, (p, q)) in pairs(&mut coins, lanes).enumerate() {
            let pair = used[lane / 4] >> (2 * (lane % 4));
            *p = Block(u128::from(pair & 1));
            *q = Block(u128::from(pair >> 1 & 1));
        }
        let (halves, rest) = table.split_at_mut(16 * lanes);
        let (g2, control) = rest.split_at_mut(8 * lanes);
        // Per lane, G2 above the control bits.
        let mut mixed = [Block::ZERO; STRIP];
        let delta = secrets.delta.block();
        dispatch(
            self.isa,
            Garble {
                gate,
                delta,
                shifts: [delta.select(a.inverted), delta.select(b.inverted)],
                rows: [a.rows[0], a.rows[1], b.rows[0], b.rows[1], add],
                coins: [&coins[0][..lanes], &coins[1][..lanes]],
                out,
                halves,
                mixed: &mut mixed[..lanes],
            },
        );
        coins.as_flattened_mut().zeroize();
        bytes.zeroize();
        for (g2, mixed) in g2.as_chunks_mut::<8>().0.iter_mut().zip(&mixed) {
            *g2 = ((mixed.0 >> 64) as u64).to_le_bytes();
        }
        for (bytes, mixed) in control.chunks_mut(CONTROL_BITS).zip(mixed[..lanes].chunks(8)) {
            let pack = |word: u64, block: &Block| word << CONTROL_BITS | (block.0 as u64 & 0x1f);
            let word = mixed.iter().rev().fold(0, pack);
            bytes.copy_from_slice(&word.to_le_bytes()[..bytes.len()]);
        }
    }

    fn evaluate_and(
        &self,
        gate: AndGate<'_>,
        a: Operand<'_>,
        b: Operand<'_>,
        add: &[Block],
        table: &[u8],
        out: &mut [Block],
    ) {
        let lanes = out.len();
        let (halves, rest) = table.split_at(16 * lanes);
        let (g2, control) = rest.split_at(8 * lanes);
        // What the table and the colours say of r (with G2 above it) and of s.
        let mut mixed = [[Block::ZERO; STRIP]; 2];
        let mut colours = a.labels().zip(b.labels()).map(|(a, b)| (a.0 as u64, b.0 as u64));
        let mut lane = pairs(&mut mixed, lanes);
        for (bytes, g2) in control.chunks(CONTROL_BITS).zip(g2.as_chunks::<8>().0.chunks(8)) {
            let mut word = [0u8; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            let mut z = u64::from_le_bytes(word);
            for (g2, (i, j)) in g2.iter().zip(&mut colours) {
                let Some((first, second)) = lane.next() else { break };
                let both = (i ^ j) & z >> 4;
                let r = (z ^ i & z >> 2 ^ both) & 1;
                let s = (z >> 1 ^ j & z >> 3 ^ both) & 1;
                *first = Block(u128::from(u64::from_le_bytes(*g2)) << 64 | u128::from(r));
                *second = Block(u128::from(s));
                z >>= CONTROL_BITS;
            }
        }
        drop(lane);
        dispatch(
            self.isa,
            Evaluate {
                gate,
                rows: [a.rows[0], a.rows[1], b.rows[0], b.rows[1], add],
                halves,
                mixed: [&mixed[0][..lanes], &mixed[1][..lanes]],
                out,
            },
        );
    }
}

/// The first `lanes` pairs of two rows.
fn pairs(
    rows: &mut [[Block; STRIP]; 2],
    lanes: usize,
) -> impl Iterator<Item = (&mut Block, &mut Block)> {
    let [first, second] = rows;
    first[..lanes].iter_mut().zip(&mut second[..lanes])
}

/// The two rows of a, the two rows of b, and the row to add.
type Rows<'a> = [&'a [Block]; 5];

struct Garble<'a> {
    gate: AndGate<'a>,
    delta: Block,
    shifts: [Block; 2],
    rows: Rows<'a>,
    coins: [&'a [Block]; 2],
    out: &'a mut [Block],
    halves: &'a mut [u8],
    mixed: &'a mut [Block],
}

impl Kernel for Garble<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self) {
        let lanes = self.out.len();
        let whole = lanes - lanes % V::BLOCKS;
        garble_lanes::<V>(&mut self, 0..whole);
        if whole < lanes {
            garble_lanes::<V::Single>(&mut self, whole..lanes);
        }
    }
}

#[inline(always)]
fn garble_lanes<V: Vector>(work: &mut Garble<'_>, lanes: Range<usize>) {
    let gate = work.gate;
    let keys = V::keys(gate.key.aes());
    let mut offsets =
        gate.key.offsets::<V, 1>((gate.first_lane + lanes.start) / V::BLOCKS, POINTS_LOG2);
    let b_point = V::splat(gate.key.multiple(1));
    let c_point = V::splat(gate.key.multiple(2));
    let (a_shift, b_shift) = (V::splat(work.shifts[0]), V::splat(work.shifts[1]));
    let high = V::splat(HIGH);
    let delta = V::splat(work.delta);
    let (w_delta, delta_swapped) = (delta.sigma(), delta.swap_halves());
    let w2_delta = w_delta.xor(delta);
    let delta_doubled = delta.double_halves();
    let control = [1, 2, 4, 8, 16].map(Block);
    let rows = [0, 1, 2, 3, 4].map(|row: usize| &work.rows[row][lanes.clone()]);
    let coins = [&work.coins[0][lanes.clone()], &work.coins[1][lanes.clone()]];
    let halves = &mut work.halves[16 * lanes.start..16 * lanes.end];
    let out = work.out[lanes.clone()].chunks_exact_mut(V::BLOCKS);
    let mixed = work.mixed[lanes].chunks_exact_mut(V::BLOCKS);
    for (n, ((out, mixed), halves)) in
        out.zip(mixed).zip(halves.chunks_exact_mut(16 * V::BLOCKS)).enumerate()
    {
        let at = n * V::BLOCKS;
        let [offset] = offsets.step();
        let a0 = V::load(&rows[0][at..]).xor(V::load(&rows[1][at..])).xor(a_shift);
        let b0 = V::load(&rows[2][at..]).xor(V::load(&rows[3][at..])).xor(b_shift);
        let (p, q) = (V::load(&coins[0][at..]).colours(), V::load(&coins[1][at..]).colours());
        let (not_a, not_b) = (a0.colours(), b0.colours());
        // The labels of colour 0.
        let (a, b) = (a0.xor_and(not_a, delta), b0.xor_and(not_b, delta));

        let (ya, yb) = (a.xor(offset), b.xor(offset).xor(b_point));
        let yc = a.xor(b).xor(offset).xor(c_point);
        let [ha0, ha1, hb0, hb1, hc0, hc1] =
            V::encrypt(&keys, [ya, ya.xor(delta), yb, yb.xor(delta), yc, yc.xor(delta)]);
        let (ha0, ha1) = (ha0.xor(ya.double_halves()), ha1.xor(ya.double_halves()));
        let (hb0, hb1) = (hb0.xor(yb.double_halves()), hb1.xor(yb.double_halves()));
        let (hc0, hc1) = (hc0.xor(yc.double_halves()), hc1.xor(yc.double_halves()));
        // Sums over both colours: the hashes of colour 1 lack t(Delta) so far.
        let ha_sum = ha0.xor(ha1).xor(delta_doubled);
        let hb_sum = hb0.xor(hb1).xor(delta_doubled);
        let hc_sum = hc0.xor(hc1).xor(delta_doubled);

        let first = b.xor(a.sigma());
        let second = a.xor(b).xor(b.sigma());
        let crossed = V::select(high, b, a);
        let to_a = first.xor(w_delta);
        let to_b = second.xor(w2_delta);
        V::select(high, ha_sum, hb_sum)
            .xor(crossed)
            .xor(delta)
            .xor(to_a)
            .xor_and(not_a, to_a)
            .xor(to_b)
            .xor_and(not_b, to_b)
            .xor_and(p, w2_delta)
            .xor_and(q, w_delta)
            .store_bytes(halves);
        let to_a = first.xor(second).xor(delta_swapped);
        let to_b = first.xor(delta);
        let g2 = hc_sum
            .xor(to_a)
            .xor_and(not_a, to_a)
            .xor(to_b)
            .xor_and(not_b, to_b)
            .xor_and(p, delta)
            .xor_and(q, delta_swapped);
        let zero = V::splat(Block::ZERO);
        V::select(high, ha0, hb0)
            .xor(hc0.repeat_high())
            .xor(crossed)
            .xor_and(p, first)
            .xor_and(q, second)
            .xor_and(not_a, zero.xor_and(not_b, delta))
            .xor(V::load(&rows[4][at..]))
            .store(out);
        // The control bits: h is the lowest bit of the half of the hash that is not used.
        let ones = V::splat(Block(1));
        let (hb0, hb_sum) = (hb0.swap_halves(), hb_sum.swap_halves());
        let bits = [
            p.xor(ha0).xor(hc0),
            q.xor(hb0).xor(hc0),
            not_a.xor(ha_sum).xor(ones),
            not_b.xor(hb_sum).xor(ones),
            not_a.xor(not_b).xor(hc_sum),
        ];
        let mut z = zero;
        for (bit, place) in bits.into_iter().zip(control) {
            z = z.xor_and(bit.colours(), V::splat(place));
        }
        V::select(high, g2, z).store(mixed);
    }
}

struct Evaluate<'a> {
    gate: AndGate<'a>,
    rows: Rows<'a>,
    halves: &'a [u8],
    mixed: [&'a [Block]; 2],
    out: &'a mut [Block],
}

impl Kernel for Evaluate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self) {
        let lanes = self.out.len();
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
    work: &mut Evaluate<'_>,
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
    let rows = [0, 1, 2, 3, 4].map(|row: usize| &work.rows[row][lanes.clone()]);
    let mixed = [&work.mixed[0][lanes.clone()], &work.mixed[1][lanes.clone()]];
    let halves = &work.halves[16 * lanes.start..16 * lanes.end];
    let out = work.out[lanes].chunks_exact_mut(group);
    for (n, (out, halves)) in out.zip(halves.chunks_exact(16 * group)).enumerate() {
        let offset = offsets.step();
        let mut states = [zero; M];
        let mut labels = [[zero; 2]; U];
        for u in 0..U {
            let at = n * group + u * V::BLOCKS;
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
            let at = n * group + u * V::BLOCKS;
            let [a, b] = labels[u];
            let (ha, hb, hc) = (hashed[3 * u], hashed[3 * u + 1], hashed[3 * u + 2]);
            let (first, second) = (V::load(&mixed[0][at..]), V::load(&mixed[1][at..]));
            let r = first.xor(ha).xor(hc).colours();
            let s = second.xor(hb.swap_halves()).xor(hc).colours();
            let (i, j) = (a.colours(), b.colours());
            let crossed = V::select(high, b, a);
            let halves = V::load_bytes(&halves[16 * u * V::BLOCKS..]);
            V::select(high, ha, hb)
                .xor(hc.repeat_high())
                .xor(crossed)
                .xor_and(V::select(high, i, j), halves.xor(crossed))
                .xor_and(i.xor(j), first.repeat_high())
                .xor_and(r, b.xor(a.sigma()))
                .xor_and(s, a.xor(b).xor(b.sigma()))
                .xor(V::load(&rows[4][at..]))
                .store(&mut out[u * V::BLOCKS..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, Garbled};

    #[test]
    fn conformance_of_three_halves_on_every_instruction_set() {
        for isa in AesIsa::all() {
            testing::conformance(&ThreeHalves::with_isa(isa));
        }
    }

    #[test]
    fn conformance_all_instruction_sets_make_the_same_table() {
        let circuit = testing::mixed_circuit();
        let expected = Garbled::new(&ThreeHalves::with_isa(AesIsa::Portable), &circuit, 77, 1);
        for isa in AesIsa::all() {
            let got = Garbled::new(&ThreeHalves::with_isa(isa), &circuit, 77, 1);
            assert!(got.table == expected.table && got.output_zero == expected.output_zero);
        }
    }

    #[test]
    fn transcript_an_and_gate_takes_24_bytes_and_5_bits() {
        let scheme = ThreeHalves::default();
        assert_eq!(scheme.table_len(1), 25);
        assert_eq!(scheme.table_len(8), 8 * 24 + 5);
        assert_eq!(scheme.table_len(256), 256 * 24 + 160);
    }

    /// The hash's condition for slicing: t + M has full rank for every 2x2 matrix M over GF(2) on
    /// the halves, and so has each half of it alone. sigma, good for half gates, fails it.
    #[test]
    fn properties_the_hash_keeps_full_rank_under_every_slice_map() {
        let t = |x: u128| {
            let double = |x: u64| (x << 1) ^ ((x >> 63) * 0x1b);
            u128::from(double((x >> 64) as u64)) << 64 | u128::from(double(x as u64))
        };
        let sigma = |x: u128| x.rotate_left(64) ^ (x >> 64 << 64);
        let slice_map = |m: u32, x: u128| {
            let (left, right) = ((x >> 64) as u64, x as u64);
            let pick = |bit: u32, value: u64| value * u64::from(m >> bit & 1);
            let high = pick(0, left) ^ pick(1, right);
            let low = pick(2, left) ^ pick(3, right);
            u128::from(high) << 64 | u128::from(low)
        };
        let mut sigma_fails = 0;
        for m in 0..16 {
            let map = |x: u128| t(x) ^ slice_map(m, x);
            assert_eq!(rank(map), 128, "M = {m:04b}");
            assert_eq!(rank(|x| map(x) >> 64), 64, "left half, M = {m:04b}");
            assert_eq!(rank(|x| map(x) & u128::from(u64::MAX)), 64, "right half, M = {m:04b}");
            sigma_fails += usize::from(rank(|x| sigma(x) ^ slice_map(m, x)) < 128);
        }
        assert!(sigma_fails > 0);
    }

    /// The control bits that the evaluator decrypts are uniform for each of its colours, whatever
    /// the permute bits are; checked by their formula and by counting over many garblings.
    #[test]
    fn properties_control_bits_are_uniform_whatever_the_permute_bits_are() {
        for (a, b) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let mut seen = [0; 4];
                for (p, q) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    let k = i ^ j;
                    let r: usize = p ^ i & a ^ k & (a ^ b);
                    let s: usize = q ^ j & b ^ k & (a ^ b);
                    seen[2 * r + s] += 1;
                }
                assert_eq!(seen, [1; 4]);
            }
        }
        let mut b = crate::Builder::new();
        let (x, y) = (b.input(), b.input());
        let product = b.and(x, y);
        let circuit = b.finish(&[product]);
        let lanes = 4096;
        let garbled = Garbled::new(&ThreeHalves::default(), &circuit, lanes, 4);
        let strip = ThreeHalves::default().table_len(STRIP);
        let ones: u32 = garbled
            .table
            .chunks(strip)
            .map(|table| table[24 * STRIP..].iter().map(|byte| byte.count_ones()).sum::<u32>())
            .sum();
        // 5 · 4096 bits, 6 standard deviations.
        assert!(ones.abs_diff(10240) < 6 * 72, "{ones}");
    }

    fn rank(map: impl Fn(u128) -> u128) -> usize {
        let mut pivots = [0u128; 128];
        for i in 0..128 {
            let mut row = map(1 << i);
            while row != 0 {
                let top = 127 - row.leading_zeros() as usize;
                if pivots[top] == 0 {
                    pivots[top] = row;
                    break;
                }
                row ^= pivots[top];
            }
        }
        pivots.iter().filter(|row| **row != 0).count()
    }
}
