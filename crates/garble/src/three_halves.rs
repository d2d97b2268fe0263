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
#![expect(clippy::indexing_slicing, reason = "loops over lanes; all slices have the same lanes")]

mod kernel;

use gazelle_block::Block;
use gazelle_block::aes::{AesIsa, dispatch};
use zeroize::Zeroize;

use kernel::{COIN_BLOCKS, EvaluateThreeHalves, GarbleThreeHalves};

use crate::garbling::STRIP;
use crate::scheme::{AndGate, GarblingScheme, Operand, Secrets};

/// Control bits per lane.
const CONTROL_BITS: usize = 5;

/// The control bits of a lane.
const CONTROL_MASK: u64 = (1 << CONTROL_BITS) - 1;

const _: () = assert!(STRIP <= 16 * COIN_BLOCKS, "16 coins of each kind per block");

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
        let mut coins = [Block::ZERO; COIN_BLOCKS];
        Block::fill_random(&mut coins, secrets.coins);
        let (halves, rest) = table.split_at_mut(16 * lanes);
        let (g2, control) = rest.split_at_mut(8 * lanes);
        // Per lane, G2 above the control bits.
        let mut mixed = [Block::ZERO; STRIP];
        let delta = secrets.delta.block();
        dispatch(
            self.isa,
            GarbleThreeHalves {
                gate,
                delta,
                shifts: [delta.select(a.inverted), delta.select(b.inverted)],
                rows: [a.rows[0], a.rows[1], b.rows[0], b.rows[1], add],
                coins: &coins,
                out,
                halves,
                mixed: &mut mixed[..lanes],
            },
        );
        coins.zeroize();
        for (g2, mixed) in g2.as_chunks_mut::<8>().0.iter_mut().zip(&mixed) {
            *g2 = ((mixed.0 >> 64) as u64).to_le_bytes();
        }
        let pack = |mixed: &[Block]| {
            mixed.iter().enumerate().fold(0u64, |word, (n, block)| {
                word | (block.0 as u64 & CONTROL_MASK) << (CONTROL_BITS * n)
            })
        };
        let (groups, last) = control.split_at_mut(lanes / 8 * CONTROL_BITS);
        let groups = groups.as_chunks_mut::<CONTROL_BITS>().0;
        let (mixed_groups, mixed_last) = mixed[..lanes].as_chunks::<8>();
        for (bytes, mixed) in groups.iter_mut().zip(mixed_groups) {
            let [b0, b1, b2, b3, b4, ..] = pack(mixed).to_le_bytes();
            *bytes = [b0, b1, b2, b3, b4];
        }
        for (byte, packed) in last.iter_mut().zip(pack(mixed_last).to_le_bytes()) {
            *byte = packed;
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
        // Per lane, G2 above the control bits.
        let mut mixed = [Block::ZERO; STRIP];
        let unpack = |word: u64, g2: &[[u8; 8]], mixed: &mut [Block]| {
            for (n, (mixed, g2)) in mixed.iter_mut().zip(g2).enumerate() {
                let z = word >> (CONTROL_BITS * n) & CONTROL_MASK;
                *mixed = Block(u128::from(u64::from_le_bytes(*g2)) << 64 | u128::from(z));
            }
        };
        let (groups, last) = control.split_at(lanes / 8 * CONTROL_BITS);
        let groups = groups.as_chunks::<CONTROL_BITS>().0;
        let (g2_groups, g2_last) = g2.as_chunks::<8>().0.as_chunks::<8>();
        let (mixed_groups, mixed_last) = mixed[..lanes].as_chunks_mut::<8>();
        for (([b0, b1, b2, b3, b4], g2), mixed) in groups.iter().zip(g2_groups).zip(mixed_groups) {
            unpack(u64::from_le_bytes([*b0, *b1, *b2, *b3, *b4, 0, 0, 0]), g2, mixed);
        }
        let word = last.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        unpack(word, g2_last, mixed_last);
        dispatch(
            self.isa,
            EvaluateThreeHalves {
                gate,
                rows: [a.rows[0], a.rows[1], b.rows[0], b.rows[1], add],
                halves,
                mixed: &mixed[..lanes],
                out,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, GarbledCircuit};

    #[test]
    fn conformance_of_three_halves_on_every_instruction_set() {
        testing::conformance_on_every_isa(ThreeHalves::with_isa);
    }

    /// The table and the output by the formulas of the module's chart, from the hash alone; the
    /// coins are read off the control bits.
    #[test]
    fn known_answer_the_kernels_compute_the_chart() {
        let mut builder = crate::Builder::new();
        let (x, y) = (builder.input(), builder.input());
        let not_x = builder.not(x);
        let product = builder.and(not_x, y);
        let circuit = builder.finish(&[product]);
        let lanes = 37;
        let garbled = GarbledCircuit::new(&ThreeHalves::default(), &circuit, lanes, 6);
        let key =
            gazelle_block::hash::HashKey::new(&garbled.hash_seed, garbled.tweaks.first_batch());
        let sigma = gazelle_block::hash::sigma;
        // AES(y) ^ t(y), from AES(y) ^ sigma(y); its high half, and its low half.
        let hash = |x: Block, point: usize| {
            let mut out = [Block::ZERO];
            key.hash(point as u64, &[x], &mut out);
            let y = x ^ key.multiple(point);
            let mixed = out[0] ^ sigma(y) ^ Block(double_halves(y.0));
            [(mixed.0 >> 64) as u64, mixed.0 as u64]
        };
        let halves = |block: Block| [(block.0 >> 64) as u64, block.0 as u64];
        let join = |high: u64, low: u64| Block(u128::from(high) << 64 | u128::from(low));
        let d = garbled.delta.block();
        let (w_d, w2_d) = (sigma(d), sigma(d) ^ d);
        let mut coins_seen = [0; 4];
        for n in 0..lanes {
            let (a0, b0) = (garbled.input_zero[n] ^ d, garbled.input_zero[lanes + n]);
            let (a, b) = (!a0.lsb(), !b0.lsb());
            let (la, lb) = (a0 ^ d.select(!a), b0 ^ d.select(!b));
            let ha = [la, la ^ d].map(|x| hash(x, 4 * n));
            let hb = [lb, lb ^ d].map(|x| hash(x, 4 * n + 1));
            let hc = [la ^ lb, la ^ lb ^ d].map(|x| hash(x, 4 * n + 2));
            // Of A the high half is used, of B the low one, of A ^ B the high one.
            let (bit_a, bit_b, bit_c) = (
                ha.map(|[_, low]| low & 1 == 1),
                hb.map(|[high, _]| high & 1 == 1),
                hc.map(|[_, low]| low & 1 == 1),
            );
            let control = &garbled.table[24 * lanes..];
            let z = [0, 1, 2, 3, 4]
                .map(|i: usize| control[(5 * n + i) / 8] >> ((5 * n + i) % 8) & 1 == 1);
            let (p, q) = (z[0] ^ bit_a[0] ^ bit_c[0], z[1] ^ bit_b[0] ^ bit_c[0]);
            coins_seen[2 * usize::from(p) + usize::from(q)] += 1;
            assert_eq!(z[2], a ^ bit_a[0] ^ bit_a[1]);
            assert_eq!(z[3], b ^ bit_b[0] ^ bit_b[1]);
            assert_eq!(z[4], a ^ b ^ bit_c[0] ^ bit_c[1]);
            let crossed = join(halves(lb)[0], halves(la)[1]);
            let (first, second) = (lb ^ sigma(la), la ^ sigma(lb) ^ lb);
            let g01 = join(ha[0][0] ^ ha[1][0], hb[0][1] ^ hb[1][1])
                ^ crossed
                ^ d
                ^ (first ^ w_d).select(a)
                ^ (second ^ w2_d).select(b)
                ^ w2_d.select(p)
                ^ w_d.select(q);
            assert_eq!(garbled.table[16 * n..][..16], g01.to_bytes());
            let swapped = Block(d.0.rotate_left(64));
            let rest = (first ^ second).select(a)
                ^ first.select(b)
                ^ d.select(p ^ b)
                ^ swapped.select(q ^ a);
            let g2 = hc[0][0] ^ hc[1][0] ^ halves(rest)[0];
            assert_eq!(garbled.table[16 * lanes + 8 * n..][..8], g2.to_le_bytes());
            let c0 = join(ha[0][0] ^ hc[0][0], hb[0][1] ^ hc[0][0])
                ^ crossed
                ^ first.select(p)
                ^ second.select(q)
                ^ d.select(!(a || b));
            assert!(garbled.output_zero[n] == c0);
        }
        assert!(coins_seen.iter().all(|&count| count > 0), "{coins_seen:?}");
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
        let t = double_halves;
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
        let garbled = GarbledCircuit::new(&ThreeHalves::default(), &circuit, lanes, 4);
        let strip = ThreeHalves::default().table_len(STRIP);
        let ones: u32 = garbled
            .table
            .chunks(strip)
            .map(|table| table[24 * STRIP..].iter().map(|byte| byte.count_ones()).sum::<u32>())
            .sum();
        // 5 · 4096 bits, 6 standard deviations.
        assert!(ones.abs_diff(10240) < 6 * 72, "{ones}");
    }

    fn double_halves(x: u128) -> u128 {
        let double = |x: u64| (x << 1) ^ ((x >> 63) * 0x1b);
        u128::from(double((x >> 64) as u64)) << 64 | u128::from(double(x as u64))
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
