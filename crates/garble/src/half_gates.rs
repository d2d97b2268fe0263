//! Half gates (Zahur, Rosulek, Evans, EUROCRYPT 2015): 32 bytes per AND.
//!
//! With `A0, B0` the zero labels, `pa, pb` their colours, lane n of the gate hashing `A` at point
//! 2n and `B` at point 2n + 1:
//!
//! | garbler: 4 hashes | evaluator: 2 hashes |
//! |---|---|
//! | TG = H(A0) ^ H(A1) ^ pb Delta | |
//! | TE = H(B0) ^ H(B1) ^ A0 | |
//! | C0 = (pa ? H(A1) ^ pb Delta : H(A0)) ^ (pb ? H(B1) : H(B0)) | C = H(A) ^ sa TG ^ H(B) ^ sb (TE ^ A) |
//!
//! sigma is linear, so it is applied once per gate: `H(x) = E(y) ^ sigma(y)`, and the two sigmas of
//! C0 and the constants sigma(Delta) are gathered. Table: TG of all lanes, then TE of all lanes.
#![expect(clippy::inline_always, reason = "kernels are compiled per instruction set by inlining")]
#![expect(clippy::indexing_slicing, reason = "loops over lanes; all slices have the same lanes")]

use std::ops::Range;

use gazelle_block::Block;
use gazelle_block::aes::{AesIsa, Kernel, Vector, dispatch};

use crate::scheme::{AndGate, GarblingScheme, Operand, Secrets};

/// log2 of the hash points per lane.
const POINTS_LOG2: u32 = 1;

/// The half-gates scheme on an instruction set.
#[derive(Debug, Clone, Copy)]
pub struct HalfGates {
    isa: AesIsa,
}

impl Default for HalfGates {
    fn default() -> Self {
        Self::with_isa(AesIsa::best())
    }
}

impl HalfGates {
    /// On a given instruction set; the results are the same on all.
    pub fn with_isa(isa: AesIsa) -> Self {
        Self { isa }
    }
}

impl GarblingScheme for HalfGates {
    fn name(&self) -> &'static str {
        "half-gates"
    }

    fn table_len(&self, lanes: usize) -> usize {
        32 * lanes
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
        let rows = [a.rows[0], a.rows[1], b.rows[0], b.rows[1], add];
        let delta = secrets.delta.block();
        let shifts = [delta.select(a.inverted), delta.select(b.inverted)];
        dispatch(self.isa, Garble { gate, delta, shifts, rows, out, table });
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
        let rows = [a.rows[0], a.rows[1], b.rows[0], b.rows[1], add];
        dispatch(self.isa, Evaluate { gate, rows, table, out });
    }
}

/// The two rows of a, the two rows of b, and the row to add.
type HalfGatesRows<'a> = [&'a [Block]; 5];

struct Garble<'a> {
    gate: AndGate<'a>,
    delta: Block,
    shifts: [Block; 2],
    rows: HalfGatesRows<'a>,
    out: &'a mut [Block],
    table: &'a mut [u8],
}

impl Kernel for Garble<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { gate, delta, shifts, rows, out, table } = self;
        let lanes = out.len();
        let whole = lanes - lanes % (2 * V::BLOCKS);
        let (tg, te) = table.split_at_mut(16 * lanes);
        garble_lanes::<V, 2, 8>(gate, 0..whole, delta, shifts, rows, out, [tg, te]);
        if whole < lanes {
            garble_lanes::<V::Single, 1, 4>(gate, whole..lanes, delta, shifts, rows, out, [tg, te]);
        }
    }
}

/// `U` vectors of lanes at a time, `M = 4 U` hashes.
#[inline(always)]
fn garble_lanes<V: Vector, const U: usize, const M: usize>(
    gate: AndGate<'_>,
    lanes: Range<usize>,
    delta: Block,
    shifts: [Block; 2],
    rows: HalfGatesRows<'_>,
    out: &mut [Block],
    table: [&mut [u8]; 2],
) {
    let group = U * V::BLOCKS;
    let keys = V::keys(gate.key.aes());
    let mut offsets =
        gate.key.offsets::<V, U>((gate.first_lane + lanes.start) / group, POINTS_LOG2);
    let next_point = V::splat(gate.key.multiple(1));
    let (a_shift, b_shift) = (V::splat(shifts[0]), V::splat(shifts[1]));
    let b_shifted_point = b_shift.xor(next_point);
    let delta = V::splat(delta);
    let sigma_delta = delta.sigma();
    let zero = V::splat(Block::ZERO);
    let bytes = 16 * lanes.start..16 * lanes.end;
    let [tg, te] = table;
    let a = rows[0][lanes.clone()].chunks_exact(group);
    let a2 = rows[1][lanes.clone()].chunks_exact(group);
    let b = rows[2][lanes.clone()].chunks_exact(group);
    let b2 = rows[3][lanes.clone()].chunks_exact(group);
    let add = rows[4][lanes.clone()].chunks_exact(group);
    let out = out[lanes].chunks_exact_mut(group);
    let tg = tg[bytes.clone()].chunks_exact_mut(16 * group);
    let te = te[bytes].chunks_exact_mut(16 * group);
    for (((((a, a2), (b, b2)), add), out), (tg, te)) in
        a.zip(a2).zip(b.zip(b2)).zip(add).zip(out).zip(tg.zip(te))
    {
        let offset = offsets.step();
        let mut states = [zero; M];
        let mut a0s = [zero; U];
        let mut pbs = [zero; U];
        let mut sigmas = [zero; U];
        for u in 0..U {
            let at = u * V::BLOCKS;
            let a0 = V::load(&a[at..]).xor(V::load(&a2[at..])).xor(a_shift);
            let b0 = V::load(&b[at..]).xor(V::load(&b2[at..]));
            let (ya, yb) = (a0.xor(offset[u]), b0.xor(offset[u]).xor(b_shifted_point));
            states[4 * u] = ya;
            states[4 * u + 1] = ya.xor(delta);
            states[4 * u + 2] = yb;
            states[4 * u + 3] = yb.xor(delta);
            a0s[u] = a0;
            pbs[u] = b0.xor(b_shift).colours();
            sigmas[u] = ya.xor(yb).sigma();
        }
        let hashed = V::encrypt(&keys, states);
        for u in 0..U {
            let at = u * V::BLOCKS;
            let (a0, pa, pb) = (a0s[u], a0s[u].colours(), pbs[u]);
            let (ha0, hb0) = (hashed[4 * u], hashed[4 * u + 2]);
            let ha1 = hashed[4 * u + 1].xor(sigma_delta).xor_and(pb, delta);
            let hb1 = hashed[4 * u + 3].xor(sigma_delta);
            ha0.xor(ha1).store_bytes(&mut tg[16 * at..]);
            hb0.xor(hb1).xor(a0).store_bytes(&mut te[16 * at..]);
            V::select(pa, ha1, ha0)
                .xor(V::select(pb, hb1, hb0))
                .xor(sigmas[u])
                .xor(V::load(&add[at..]))
                .store(&mut out[at..]);
        }
    }
}

struct Evaluate<'a> {
    gate: AndGate<'a>,
    rows: HalfGatesRows<'a>,
    table: &'a [u8],
    out: &'a mut [Block],
}

impl Kernel for Evaluate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { gate, rows, table, out } = self;
        let lanes = out.len();
        let whole = lanes - lanes % (4 * V::BLOCKS);
        let (tg, te) = table.split_at(16 * lanes);
        evaluate_lanes::<V, 4, 8>(gate, 0..whole, rows, [tg, te], out);
        if whole < lanes {
            evaluate_lanes::<V::Single, 1, 2>(gate, whole..lanes, rows, [tg, te], out);
        }
    }
}

/// `U` vectors of lanes at a time, `M = 2 U` hashes.
#[inline(always)]
fn evaluate_lanes<V: Vector, const U: usize, const M: usize>(
    gate: AndGate<'_>,
    lanes: Range<usize>,
    rows: HalfGatesRows<'_>,
    table: [&[u8]; 2],
    out: &mut [Block],
) {
    let group = U * V::BLOCKS;
    let keys = V::keys(gate.key.aes());
    let mut offsets =
        gate.key.offsets::<V, U>((gate.first_lane + lanes.start) / group, POINTS_LOG2);
    let next_point = V::splat(gate.key.multiple(1));
    let zero = V::splat(Block::ZERO);
    let bytes = 16 * lanes.start..16 * lanes.end;
    let a = rows[0][lanes.clone()].chunks_exact(group);
    let a2 = rows[1][lanes.clone()].chunks_exact(group);
    let b = rows[2][lanes.clone()].chunks_exact(group);
    let b2 = rows[3][lanes.clone()].chunks_exact(group);
    let add = rows[4][lanes.clone()].chunks_exact(group);
    let out = out[lanes].chunks_exact_mut(group);
    let tg = table[0][bytes.clone()].chunks_exact(16 * group);
    let te = table[1][bytes].chunks_exact(16 * group);
    for (((((a, a2), (b, b2)), add), out), (tg, te)) in
        a.zip(a2).zip(b.zip(b2)).zip(add).zip(out).zip(tg.zip(te))
    {
        let offset = offsets.step();
        let mut states = [zero; M];
        let mut labels = [[zero; 2]; U];
        for u in 0..U {
            let at = u * V::BLOCKS;
            let a = V::load(&a[at..]).xor(V::load(&a2[at..]));
            let b = V::load(&b[at..]).xor(V::load(&b2[at..]));
            states[2 * u] = a.xor(offset[u]);
            states[2 * u + 1] = b.xor(offset[u]).xor(next_point);
            labels[u] = [a, b];
        }
        let hashed = V::encrypt(&keys, states);
        for u in 0..U {
            let at = u * V::BLOCKS;
            let [a, b] = labels[u];
            let (tg, te) = (V::load_bytes(&tg[16 * at..]), V::load_bytes(&te[16 * at..]));
            hashed[2 * u]
                .xor(hashed[2 * u + 1])
                .xor(states[2 * u].xor(states[2 * u + 1]).sigma())
                .xor_and(a.colours(), tg)
                .xor_and(b.colours(), te.xor(a))
                .xor(V::load(&add[at..]))
                .store(&mut out[at..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::garbling::STRIP;
    use crate::testing::{self, GarbledCircuit};

    #[test]
    fn conformance_of_half_gates_on_every_instruction_set() {
        testing::conformance_on_every_isa(HalfGates::with_isa);
    }

    /// The table of one AND by the formulas of the module's chart, from the hash alone.
    #[test]
    fn known_answer_the_kernels_compute_the_chart() {
        let mut b = crate::Builder::new();
        let (x, y) = (b.input(), b.input());
        let not_y = b.not(y);
        let product = b.and(x, not_y);
        let circuit = b.finish(&[product]);
        // Two strips, with a tail in the second.
        let lanes = STRIP + 11;
        let garbled = GarbledCircuit::new(&HalfGates::default(), &circuit, lanes, 2);
        let key =
            gazelle_block::hash::HashKey::new(&garbled.hash_seed, garbled.tweaks.first_batch());
        let h = |x: Block, point: usize| {
            let mut out = [Block::ZERO];
            key.hash(point as u64, &[x], &mut out);
            out[0]
        };
        let d = garbled.delta.block();
        for n in 0..lanes {
            let (a0, b0) = (garbled.input_zero[n], garbled.input_zero[lanes + n] ^ d);
            let (pa, pb) = (a0.lsb(), b0.lsb());
            let tg = h(a0, 2 * n) ^ h(a0 ^ d, 2 * n) ^ d.select(pb);
            let te = h(b0, 2 * n + 1) ^ h(b0 ^ d, 2 * n + 1) ^ a0;
            let c = h(a0, 2 * n) ^ tg.select(pa) ^ h(b0, 2 * n + 1) ^ (te ^ a0).select(pb);
            let strip = n / STRIP * STRIP;
            let table = &garbled.table[32 * strip..];
            let count = STRIP.min(lanes - strip);
            assert_eq!(table[16 * (n - strip)..][..16], tg.to_bytes());
            assert_eq!(table[16 * (count + n - strip)..][..16], te.to_bytes());
            assert!(garbled.output_zero[n] == c);
        }
    }
}
