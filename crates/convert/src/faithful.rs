//! ReLU behind a faithful truncation: `max(floor(x / 2^T), 0)` modulo `2^b` from shares of x modulo
//! `2^(b+T)`, the client's known offline (protocol.md 5.9).
//!
//! Two trees run side by side: the low one over bits [0, T) gives kappa, the carry out of them; the
//! high one over bits [T, T + b - 1) gives (g, p). The final merge g ^ p kappa is the carry into the
//! sign bit. v = (`x_S` >> T) + (`x_C` >> T) + kappa, once kappa is converted, is selected by
//! d = `[v >= 0]`.
//!
//! | | client | server |
//! |---|---|---|
//! | offline | corrections of both [`carries`](crate::carry) | the same, then those of [`b2a`](crate::b2a) for kappa |
//! | openings 0..=L | low tree, high tree | the same |
//! | opening L + 1 | the final merge: p ^ al, kappa ^ be; F: kappa, masked | the same |
//! | opening L + 2 | D: `d_C` ^ `lC`; `V_C` of `v_C` | D: `d_S` ^ `lS`; V of `v_S` |
//! | | D `v_C` + (1 - 2 D)(w + q) | D `v_S` + (1 - 2 D)(w + q) |
//!
//! L is the larger number of levels. Security: that of its parts, whose masks are distinct and opened
//! once each: carries, [`and`](crate::and), `b2a`, [`select`](crate::select).
//!
//! Cost: that of a carry over T bits, of a carry with p over b - 1 bits, one AND, the conversion of
//! one bit modulo `2^b`, and a selection of b bits.

use gazelle_prg::Prg;
use gazelle_share::shares::ring_mask;
use zeroize::{Zeroize, Zeroizing};

use crate::and::AndPart;
use crate::b2a::{self, BitPart, ClientBit, ServerBit};
use crate::carry::shape::least_levels;
use crate::carry::{CarryPart, CarryTree, ClientCarry, ServerCarry};
use crate::operation::{Begun, ClientShare, Execution, Known, Operation, Rots};
use crate::planes::{Planes, xor};
use crate::select::Select;

/// `max(floor(x / 2^drop), 0)` modulo `2^bits`, from x modulo `2^(bits + drop)`.
#[derive(Debug, Clone)]
pub struct FaithfulRelu {
    bits: u32,
    drop: u32,
    low: CarryTree,
    high: CarryTree,
}

impl FaithfulRelu {
    /// Of values of `bits` >= 2 bits below which `drop` >= 1 bits lie.
    pub fn new(bits: u32, drop: u32) -> Self {
        Self::with_spare(bits, drop, 0)
    }

    /// As [`new`](Self::new), with up to `spare` openings more than needed, which save bits.
    pub fn with_spare(bits: u32, drop: u32, spare: usize) -> Self {
        let levels = least_levels(drop).max(least_levels(bits - 1)) + spare;
        let low = CarryTree::within(drop, false, levels);
        Self { bits, drop, low, high: CarryTree::within(bits - 1, true, levels) }
    }

    /// L.
    fn levels(&self) -> usize {
        self.low.levels().max(self.high.levels())
    }

    /// Planes of both trees' halves of an opening, `(low, high)`, each `(server, client)`.
    fn tree_planes(&self, opening: usize) -> [(usize, usize); 2] {
        [&self.low, &self.high].map(|tree| match opening {
            opening if opening <= tree.levels() => tree.planes(ClientShare::Offline, opening),
            _ => (0, 0),
        })
    }

    /// The bits of a share that the trees compare, and the sign bit.
    fn bits_of(&self, x: &[u64]) -> (Planes, Planes, Vec<u64>) {
        let above = Zeroizing::new(x.iter().map(|x| x >> self.drop).collect::<Vec<u64>>());
        let high = Planes::from_words(&above, self.bits);
        let top = high.plane(self.bits as usize - 1).to_vec();
        (Planes::from_words(x, self.drop), high, top)
    }
}

impl Operation for FaithfulRelu {
    fn operand_bits(&self) -> u32 {
        self.bits + self.drop
    }
    fn result_bits(&self) -> u32 {
        self.bits
    }
    fn client_share(&self) -> ClientShare {
        ClientShare::Offline
    }
    fn openings(&self) -> usize {
        self.levels() + 3
    }
    fn planes(&self, opening: usize) -> (usize, usize) {
        let (levels, both) = (self.levels(), |planes| (planes, planes));
        match opening {
            opening if opening == levels + 1 => both(3),
            opening if opening == levels + 2 => both(1 + self.bits as usize),
            opening => {
                let [low, high] = self.tree_planes(opening);
                (low.0 + high.0, low.1 + high.1)
            }
        }
    }
    fn offline_planes(&self) -> (usize, usize) {
        let [low, high] =
            [&self.low, &self.high].map(|tree| tree.offline_planes(ClientShare::Offline));
        (low.0 + high.0 + b2a::offline_planes(self.bits), low.1 + high.1)
    }
    fn rots(&self) -> (usize, usize) {
        let [low, high] = [self.low.rots(), self.high.rots()];
        (low.0 + high.0 + 3, low.1 + high.1 + 2)
    }
    fn client(&self, rots: &mut Rots<'_>, known: Known<'_>) -> Begun {
        let (low, high, top) = self.bits_of(known.operand);
        let share = ClientShare::Offline;
        let (low, mut corrections) = ClientCarry::begin(self.low.clone(), share, low, rots);
        let (high, d) = ClientCarry::begin(self.high.clone(), share, high, rots);
        corrections.append(&d);
        let and = AndPart::begin(false, &mut rots.send, &mut rots.recv);
        let bit = ClientBit::begin(self.bits, &mut rots.recv);
        let select = Select::begin(self.bits, &mut rots.send, &mut rots.recv);
        let parts = Parts { low, high, and, bit, select };
        Begun::new(FaithfulExecution::new(self, parts, top), corrections)
    }
    fn server(&self, rots: &mut Rots<'_>, coins: &mut Prg) -> Begun {
        let share = ClientShare::Offline;
        let (low, mut corrections) = ServerCarry::begin(self.low.clone(), share, rots);
        let (high, t) = ServerCarry::begin(self.high.clone(), share, rots);
        corrections.append(&t);
        let and = AndPart::begin(true, &mut rots.send, &mut rots.recv);
        let (bit, t) = ServerBit::begin(self.bits, &mut rots.send, coins);
        corrections.append(&t);
        let select = Select::begin(self.bits, &mut rots.send, &mut rots.recv);
        let parts = Parts { low, high, and, bit, select };
        Begun::new(FaithfulExecution::new(self, parts, Vec::new()), corrections)
    }
}

/// One party's material.
struct Parts<C, B> {
    low: C,
    high: C,
    and: AndPart,
    bit: B,
    select: Select,
}

struct FaithfulExecution<C, B> {
    parts: Parts<C, B>,
    relu: FaithfulRelu,
    x: Vec<u64>,
    /// The sign bit of this party's share.
    top: Vec<u64>,
    /// This party's share of d, then its half of D, then D.
    d: Vec<u64>,
    /// This party's half of F, then F.
    f: Vec<u64>,
    /// This party's share of v.
    v: Vec<u64>,
}

impl<C: CarryPart, B: BitPart> FaithfulExecution<C, B> {
    fn new(relu: &FaithfulRelu, parts: Parts<C, B>, top: Vec<u64>) -> Self {
        let [x, d, f, v] = [const { Vec::new() }; 4];
        Self { parts, relu: relu.clone(), x, top, d, f, v }
    }

    /// The other party's of the server's and the client's.
    fn peer((server, client): (usize, usize)) -> usize {
        if C::SERVER { client } else { server }
    }
}

impl<C: CarryPart, B: BitPart> Execution for FaithfulExecution<C, B> {
    fn correct(&mut self, corrections: &Planes) {
        let planes = |tree: &CarryTree| Self::peer(tree.offline_planes(ClientShare::Offline));
        let (low, rest) = corrections.split(planes(&self.relu.low));
        let (high, bit) = rest.split(planes(&self.relu.high));
        self.parts.low.correct(&low);
        self.parts.high.correct(&high);
        self.parts.bit.correct(&bit);
    }

    fn start(&mut self, x: Vec<u64>) {
        if !self.parts.low.knows_share() {
            let (low, high, top) = self.relu.bits_of(&x);
            self.parts.low.set_share(low);
            self.parts.high.set_share(high);
            self.top = top;
        }
        self.x = x;
    }

    fn half(&mut self, opening: usize) -> Planes {
        let (levels, lanes) = (self.relu.levels(), self.x.len());
        let parts = &mut self.parts;
        if opening == levels + 1 {
            let mut half = parts.and.half(lanes, parts.high.p(), parts.low.g());
            self.f = parts.bit.half(parts.low.g());
            half.append(&Planes::of(lanes, &[&self.f]));
            return half;
        }
        if opening == levels + 2 {
            self.d = parts.select.mask(&self.d);
            let mut half = Planes::of(lanes, &[&self.d]);
            half.append(&parts.select.first(&self.v));
            return half;
        }
        let mut half = Planes::zeros(lanes, 0);
        for (tree, part) in
            [&self.relu.low, &self.relu.high].into_iter().zip([&mut parts.low, &mut parts.high])
        {
            if opening <= tree.levels() {
                half.append(&part.half(opening));
            }
        }
        half
    }

    fn complete(&mut self, opening: usize, peer: &Planes) {
        let levels = self.relu.levels();
        let parts = &mut self.parts;
        if opening == levels + 1 {
            let (and, f) = peer.split(2);
            self.f = xor(&self.f, f.plane(0));
            let carry = xor(parts.high.g(), &parts.and.and(&and));
            // d = not the sign: the server adds the constant.
            let one = if C::SERVER { u64::MAX } else { 0 };
            self.d = carry.iter().zip(&self.top).map(|(carry, top)| carry ^ top ^ one).collect();
            let (drop, mask) = (self.relu.drop, ring_mask(self.relu.bits));
            let kappa = Zeroizing::new(parts.bit.bit(&self.f));
            let sum = |(x, kappa): (&u64, &u64)| (x >> drop).wrapping_add(*kappa) & mask;
            self.v = self.x.iter().zip(kappa.iter()).map(sum).collect();
            return;
        }
        if opening == levels + 2 {
            let (d, first) = peer.split(1);
            self.d = xor(&self.d, d.plane(0));
            parts.select.set_first(first);
            return;
        }
        let [low, high] = self.relu.tree_planes(opening).map(Self::peer);
        let (low, high) = (peer.split(low).0, peer.split(low).1.split(high).0);
        for (tree, part, half) in
            [(&self.relu.low, &mut parts.low, low), (&self.relu.high, &mut parts.high, high)]
        {
            if opening <= tree.levels() {
                part.complete(opening, &half);
            }
        }
    }

    fn result(&mut self) -> Vec<u64> {
        self.parts.select.select(&self.d, &self.v)
    }
}

impl<C, B> Drop for FaithfulExecution<C, B> {
    fn drop(&mut self) {
        for words in [&mut self.x, &mut self.top, &mut self.d, &mut self.v] {
            words.zeroize();
        }
    }
}

#[cfg(test)]
mod tests {
    use gazelle_share::shares::to_signed;

    use super::*;
    use crate::testing::{Dealt, all_pairs, assert_balanced, execute};

    #[test]
    fn conformance_every_pair_of_shares_of_small_rings_gives_the_exact_relu() {
        for (bits, drop) in [(2, 1), (2, 3), (3, 2), (4, 1), (4, 3), (3, 4), (5, 2)] {
            let (xs, xc) = all_pairs(bits + drop);
            for seed in 0..3 {
                let relu = FaithfulRelu::with_spare(bits, drop, seed as usize % 2);
                let run = execute(&relu, seed, (&xs, &xc), &[]);
                for (lane, (s, c)) in xs.iter().zip(&xc).enumerate() {
                    let x = to_signed((s + c) & ring_mask(bits + drop), bits + drop);
                    let got = run.server[lane].wrapping_add(run.client[lane]) & ring_mask(bits);
                    assert_eq!(got as i64, (x >> drop).max(0), "{s} + {c}: {bits} above {drop}");
                }
            }
        }
    }

    #[test]
    fn properties_wide_rings_give_the_exact_relu() {
        for (bits, drop) in [(12, 9), (17, 14), (10, 20), (12, 3)] {
            let words = |salt: u64| -> Vec<u64> {
                let mix = |i: u64| (i + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7;
                (0..2000).map(|i| mix(i) & ring_mask(bits + drop)).collect()
            };
            let (xs, xc) = (words(3), words(1 << 20));
            let spare = drop as usize % 2;
            let run = execute(&FaithfulRelu::with_spare(bits, drop, spare), 1, (&xs, &xc), &[]);
            for (lane, (s, c)) in xs.iter().zip(&xc).enumerate() {
                let x = to_signed((s + c) & ring_mask(bits + drop), bits + drop);
                let got = run.server[lane].wrapping_add(run.client[lane]) & ring_mask(bits);
                assert_eq!(got as i64, (x >> drop).max(0));
            }
        }
    }

    #[test]
    fn transcript_every_sent_plane_is_balanced_for_fixed_shares() {
        for (s, c) in [(0, 0), (127, 127), (85, 43)] {
            let run = execute(&FaithfulRelu::new(4, 3), 2, (&vec![s; 4096], &vec![c; 4096]), &[]);
            assert_balanced(&run.sent.0);
            assert_balanced(&run.sent.1);
        }
    }

    /// b = 2, T = 1: all messages that a party receives and all choices that it made are together
    /// uniform, whatever both shares are.
    #[test]
    fn transcript_a_partys_messages_and_choices_are_jointly_uniform_for_every_pair_of_shares() {
        let lanes = 1 << 19;
        let operation = FaithfulRelu::new(2, 1);
        let seed = 7;
        for (s, c) in [(0, 0), (7, 7), (1, 1), (3, 0), (0, 3), (5, 6), (4, 4)] {
            let run = execute(&operation, seed, (&vec![s; lanes], &vec![c; lanes]), &[]);
            let choices = |seed: u64, positions: usize| -> Vec<Vec<u64>> {
                let dealt = Dealt::new(seed, positions * lanes);
                let mut recv = dealt.recv(lanes);
                (0..positions).map(|_| recv.bits(1).0).collect()
            };
            let (down, up) = operation.rots();
            let views = [
                (choices(2 * seed, down), &run.sent.0, 14),
                (choices(2 * seed + 1, up), &run.sent.1, 10),
            ];
            for (mut view, received, bits) in views {
                for message in received {
                    view.extend((0..message.count()).map(|i| message.plane(i).to_vec()));
                }
                assert_eq!(view.len(), bits);
                let mut counts = vec![0u32; 1 << bits];
                for lane in 0..lanes {
                    let bit = |plane: &Vec<u64>| (plane[lane / 64] >> (lane % 64) & 1) as usize;
                    counts[view.iter().fold(0, |value, plane| value << 1 | bit(plane))] += 1;
                }
                let (mean, free) = ((lanes >> bits) as f64, f64::from((1u32 << bits) - 1));
                let square = |n: &u32| (f64::from(*n) - mean).powi(2) / mean;
                let chi: f64 = counts.iter().map(square).sum();
                assert!((chi - free).abs() < 6.0 * (2.0 * free).sqrt(), "{s} {c}: {chi}");
            }
        }
    }
}
