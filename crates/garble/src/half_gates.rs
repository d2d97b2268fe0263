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

use gazelle_block::aes::{AesIsa, Kernel, Vector, dispatch};
use gazelle_block::{Block, Delta};
use gazelle_prg::Prg;

use crate::scheme::{AndGate, GarblingScheme, Operand};

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
        delta: &Delta,
        _coins: &mut Prg,
        a: Operand<'_>,
        b: Operand<'_>,
        out: &mut [Block],
        table: &mut [u8],
    ) {
        dispatch(self.isa, Garble { gate, delta: delta.block(), a, b, out, table });
    }

    fn evaluate_and(
        &self,
        gate: AndGate<'_>,
        a: &[Block],
        b: &[Block],
        table: &[u8],
        out: &mut [Block],
    ) {
        dispatch(self.isa, Evaluate { gate, a, b, table, out });
    }
}

struct Garble<'a> {
    gate: AndGate<'a>,
    delta: Block,
    a: Operand<'a>,
    b: Operand<'a>,
    out: &'a mut [Block],
    table: &'a mut [u8],
}

impl Kernel for Garble<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let shifts = [self.a, self.b].map(|x| self.delta.select(x.inverted));
        let lanes = self.out.len();
        let whole = lanes - lanes % (2 * V::BLOCKS);
        let (a, a_tail) = self.a.zero.split_at(whole);
        let (b, b_tail) = self.b.zero.split_at(whole);
        let (out, out_tail) = self.out.split_at_mut(whole);
        let (tg, te) = self.table.split_at_mut(16 * lanes);
        let (tg, tg_tail) = tg.split_at_mut(16 * whole);
        let (te, te_tail) = te.split_at_mut(16 * whole);
        let (gate, delta) = (self.gate, self.delta);
        garble_lanes::<V, 2, 8>(gate, delta, shifts, [a, b], out, [tg, te]);
        if whole < lanes {
            let gate = AndGate { first_lane: gate.first_lane + whole, ..gate };
            let operands = [a_tail, b_tail];
            garble_lanes::<V::Single, 1, 4>(
                gate,
                delta,
                shifts,
                operands,
                out_tail,
                [tg_tail, te_tail],
            );
        }
    }
}

/// `U` vectors of lanes at a time, `M = 4 U` hashes.
#[inline(always)]
fn garble_lanes<V: Vector, const U: usize, const M: usize>(
    gate: AndGate<'_>,
    delta: Block,
    shifts: [Block; 2],
    operands: [&[Block]; 2],
    out: &mut [Block],
    table: [&mut [u8]; 2],
) {
    let keys = V::keys(gate.key.aes());
    let mut offsets = gate.key.offsets::<V>(gate.first_lane / V::BLOCKS, POINTS_LOG2);
    let next_point = V::splat(gate.key.multiple(1));
    let [a_shift, b_shift] = shifts.map(V::splat);
    let delta = V::splat(delta);
    let sigma_delta = delta.sigma();
    let zero = V::splat(Block::ZERO);
    let [tg, te] = table;
    let group = U * V::BLOCKS;
    let rows = operands[0]
        .chunks_exact(group)
        .zip(operands[1].chunks_exact(group))
        .zip(out.chunks_exact_mut(group))
        .zip(tg.chunks_exact_mut(16 * group).zip(te.chunks_exact_mut(16 * group)));
    for (((a, b), out), (tg, te)) in rows {
        let mut states = [zero; M];
        let mut zeros = [[zero; 2]; U];
        let mut sigmas = [zero; U];
        for (((a, b), states), (zeros, sigma)) in a
            .chunks_exact(V::BLOCKS)
            .zip(b.chunks_exact(V::BLOCKS))
            .zip(states.as_chunks_mut::<4>().0)
            .zip(zeros.iter_mut().zip(&mut sigmas))
        {
            *zeros = [V::load(a).xor(a_shift), V::load(b).xor(b_shift)];
            let offset = offsets.step();
            let [ya, yb] = [zeros[0].xor(offset), zeros[1].xor(offset.xor(next_point))];
            *states = [ya, ya.xor(delta), yb, yb.xor(delta)];
            *sigma = ya.xor(yb).sigma();
        }
        let hashed = V::encrypt(&keys, states);
        for (((out, [ha0, ha1, hb0, hb1]), ([a0, b0], sigma)), (tg, te)) in out
            .chunks_exact_mut(V::BLOCKS)
            .zip(hashed.as_chunks::<4>().0)
            .zip(zeros.iter().zip(sigmas))
            .zip(tg.chunks_exact_mut(16 * V::BLOCKS).zip(te.chunks_exact_mut(16 * V::BLOCKS)))
        {
            let (pa, pb) = (a0.colours(), b0.colours());
            let ha1 = ha1.xor(sigma_delta).xor_and(pb, delta);
            let hb1 = hb1.xor(sigma_delta);
            ha0.xor(ha1).store_bytes(tg);
            hb0.xor(hb1).xor(*a0).store_bytes(te);
            V::select(pa, ha1, *ha0).xor(V::select(pb, hb1, *hb0)).xor(sigma).store(out);
        }
    }
}

struct Evaluate<'a> {
    gate: AndGate<'a>,
    a: &'a [Block],
    b: &'a [Block],
    table: &'a [u8],
    out: &'a mut [Block],
}

impl Kernel for Evaluate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let lanes = self.out.len();
        let whole = lanes - lanes % (4 * V::BLOCKS);
        let (a, a_tail) = self.a.split_at(whole);
        let (b, b_tail) = self.b.split_at(whole);
        let (out, out_tail) = self.out.split_at_mut(whole);
        let (tg, te) = self.table.split_at(16 * lanes);
        let (tg, tg_tail) = tg.split_at(16 * whole);
        let (te, te_tail) = te.split_at(16 * whole);
        let gate = self.gate;
        evaluate_lanes::<V, 4, 8>(gate, [a, b], [tg, te], out);
        if whole < lanes {
            let gate = AndGate { first_lane: gate.first_lane + whole, ..gate };
            evaluate_lanes::<V::Single, 1, 2>(gate, [a_tail, b_tail], [tg_tail, te_tail], out_tail);
        }
    }
}

/// `U` vectors of lanes at a time, `M = 2 U` hashes.
#[inline(always)]
fn evaluate_lanes<V: Vector, const U: usize, const M: usize>(
    gate: AndGate<'_>,
    operands: [&[Block]; 2],
    table: [&[u8]; 2],
    out: &mut [Block],
) {
    let keys = V::keys(gate.key.aes());
    let mut offsets = gate.key.offsets::<V>(gate.first_lane / V::BLOCKS, POINTS_LOG2);
    let next_point = V::splat(gate.key.multiple(1));
    let zero = V::splat(Block::ZERO);
    let group = U * V::BLOCKS;
    let rows = operands[0]
        .chunks_exact(group)
        .zip(operands[1].chunks_exact(group))
        .zip(out.chunks_exact_mut(group))
        .zip(table[0].chunks_exact(16 * group).zip(table[1].chunks_exact(16 * group)));
    for (((a, b), out), (tg, te)) in rows {
        let mut states = [zero; M];
        for ((a, b), states) in a
            .chunks_exact(V::BLOCKS)
            .zip(b.chunks_exact(V::BLOCKS))
            .zip(states.as_chunks_mut::<2>().0)
        {
            let offset = offsets.step();
            *states = [V::load(a).xor(offset), V::load(b).xor(offset.xor(next_point))];
        }
        let hashed = V::encrypt(&keys, states);
        for ((((out, [ha, hb]), [ya, yb]), (a, b)), (tg, te)) in out
            .chunks_exact_mut(V::BLOCKS)
            .zip(hashed.as_chunks::<2>().0)
            .zip(states.as_chunks::<2>().0)
            .zip(a.chunks_exact(V::BLOCKS).zip(b.chunks_exact(V::BLOCKS)))
            .zip(tg.chunks_exact(16 * V::BLOCKS).zip(te.chunks_exact(16 * V::BLOCKS)))
        {
            let (a, b) = (V::load(a), V::load(b));
            let (tg, te) = (V::load_bytes(tg), V::load_bytes(te));
            ha.xor(*hb)
                .xor(ya.xor(*yb).sigma())
                .xor_and(a.colours(), tg)
                .xor_and(b.colours(), te.xor(a))
                .store(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, Garbled};

    #[test]
    fn conformance_of_half_gates_on_every_instruction_set() {
        for isa in AesIsa::all() {
            testing::conformance(&HalfGates::with_isa(isa));
        }
    }

    #[test]
    fn conformance_all_instruction_sets_make_the_same_table() {
        let circuit = testing::mixed_circuit();
        let expected = Garbled::new(&HalfGates::with_isa(AesIsa::Portable), &circuit, 77, 1);
        for isa in AesIsa::all() {
            let got = Garbled::new(&HalfGates::with_isa(isa), &circuit, 77, 1);
            assert!(got.table == expected.table && got.output_zero == expected.output_zero);
        }
    }

    /// The table of one AND by the formulas of the module's chart, from the hash alone.
    #[test]
    fn known_answer_the_kernels_compute_the_chart() {
        let mut b = crate::Builder::new();
        let (x, y) = (b.input(), b.input());
        let not_y = b.not(y);
        let product = b.and(x, not_y);
        let circuit = b.finish(&[product]);
        let lanes = 11;
        let garbled = Garbled::new(&HalfGates::default(), &circuit, lanes, 2);
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
            assert_eq!(garbled.table[16 * n..][..16], tg.to_bytes());
            assert_eq!(garbled.table[16 * (lanes + n)..][..16], te.to_bytes());
            assert!(garbled.output_zero[n] == c);
        }
    }
}
