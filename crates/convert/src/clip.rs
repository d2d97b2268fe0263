//! A clip behind a faithful truncation: `min(max(floor(x / 2^T), 0), h)` from shares of x modulo
//! `2^(b+T)`, the client's known offline (protocol.md 5.9).
//!
//! Both comparisons run side by side, on trees over the same low bits: kappa is the carry out of bits
//! [0, T), v = (`x_S` >> T) + (`x_C` >> T) + kappa, and the trees over bits [T, T + b - 1) of x and of
//! x - `2^T` h (S subtracts) give `d1 = [v >= 0]` and `d2 = [v - h mod 2^b >= 0]`. d2 may be wrong where
//! v < 0, since v - h may wrap; e = d1 d2 = [v >= h] is right. `e` implies `d1`, so that f = d1 ^ e =
//! [0 <= v < h], and the result is f v + e h.
//!
//! | | client | server |
//! |---|---|---|
//! | offline | corrections of the three [`carries`](crate::carry) (then of the [`lift`](crate::lift)) | the same, then those of [`b2a`](crate::b2a) for kappa and e |
//! | openings 0..=L | the trees | the same (in opening 0 the lift's m) |
//! | opening L + 1 | p1 kappa, p2 kappa; kappa, masked | the same |
//! | opening L + 2 | d1 d2 | the same |
//! | opening L + 3 | f, masked; `V_C` of `v_C`; e, masked | f, masked; V of `v_S`; e, masked |
//! | | f v + e h | f v + e h |
//!
//! Modulo `2^b`, or extended modulo `2^l` as [`FaithfulRelu`](crate::FaithfulRelu). Security: that of its parts,
//! whose masks are distinct and opened once each; kappa is an operand of two ANDs and of a conversion, under masks
//! of their own.
//!
//! Cost: that of a carry over T bits, of two carries with p over b - 1 bits, three ANDs, two conversions
//! and a selection.

use gazelle_prg::Prg;
use gazelle_share::shares::ring_mask;
use zeroize::{Zeroize, Zeroizing};

use crate::and::AndPart;
use crate::b2a::{self, BitPart, ClientBit, ServerBit};
use crate::carry::{CarryPart, CarryTree, ClientCarry, ServerCarry};
use crate::faithful::FaithfulRelu;
use crate::lift::{self, ClientLift, LiftPart, ServerLift};
use crate::operation::{Begun, ClientShare, Execution, Known, Operation, Rots};
use crate::planes::{Planes, xor};
use crate::select::Select;

/// `min(max(floor(x / 2^drop), 0), high)` modulo `2^to`, from x modulo `2^(bits + drop)`.
#[derive(Debug, Clone)]
pub struct FaithfulClip {
    bits: u32,
    drop: u32,
    to: u32,
    high: u64,
    /// Over the low bits, and twice over those above.
    trees: [CarryTree; 3],
}

impl FaithfulClip {
    /// Of values of `bits` >= 2 bits below which `drop` >= 1 bits lie, at 0 < `high` < `2^(bits - 1)`; the result
    /// is extended if `to` > `bits`, and no narrower. `spare`: openings more than needed, which save bits.
    pub fn new((bits, drop, to): (u32, u32, u32), high: u64, spare: usize) -> Self {
        let levels = FaithfulRelu::least_levels(bits, drop) + spare;
        let above = CarryTree::within(bits - 1, true, levels);
        let trees = [CarryTree::within(drop, false, levels), above.clone(), above];
        Self { bits, drop, to, high, trees }
    }

    /// L.
    fn levels(&self) -> usize {
        self.trees.iter().map(CarryTree::levels).max().unwrap_or(0)
    }

    /// Whether the result is extended.
    fn lifts(&self) -> bool {
        self.to > self.bits
    }

    /// Planes of the trees' halves of an opening, each `(server, client)`.
    fn tree_planes(&self, opening: usize) -> [(usize, usize); 3] {
        self.trees.each_ref().map(|tree| match opening {
            opening if opening <= tree.levels() => tree.planes(ClientShare::Offline, opening),
            _ => (0, 0),
        })
    }

    /// A share without its low bits.
    fn shifted(&self, x: &[u64]) -> Zeroizing<Vec<u64>> {
        Zeroizing::new(x.iter().map(|x| x >> self.drop).collect())
    }

    /// The bits of a share that the trees compare, and the sign bits of it and of it less `high` (the
    /// server's; the client subtracts nothing).
    fn numbers(&self, x: &[u64], high: u64) -> ([Planes; 3], [Vec<u64>; 2]) {
        let above = self.shifted(x);
        let less: Zeroizing<Vec<u64>> =
            Zeroizing::new(above.iter().map(|x| x.wrapping_sub(high)).collect());
        let [above, less] = [&above, &less].map(|words| Planes::from_words(words, self.bits));
        let top = |planes: &Planes| planes.plane(self.bits as usize - 1).to_vec();
        let tops = [top(&above), top(&less)];
        ([Planes::from_words(x, self.drop), above, less], tops)
    }
}

/// The sum of pairs.
fn sum(pairs: impl IntoIterator<Item = (usize, usize)>) -> (usize, usize) {
    pairs.into_iter().fold((0, 0), |(a, b), (x, y)| (a + x, b + y))
}

impl Operation for FaithfulClip {
    fn operand_bits(&self) -> u32 {
        self.bits + self.drop
    }
    fn result_bits(&self) -> u32 {
        self.to
    }
    fn client_share(&self) -> ClientShare {
        ClientShare::Offline
    }
    fn openings(&self) -> usize {
        self.levels() + 4
    }
    fn planes(&self, opening: usize) -> (usize, usize) {
        let (levels, both) = (self.levels(), |planes| (planes, planes));
        match opening {
            opening if opening == levels + 1 => both(5),
            opening if opening == levels + 2 => both(2),
            opening if opening == levels + 3 => both(2 + self.to as usize),
            opening => {
                let (server, client) = sum(self.tree_planes(opening));
                (server + usize::from(opening == 0 && self.lifts()), client)
            }
        }
    }
    fn offline_planes(&self) -> (usize, usize) {
        let trees = self.trees.iter().map(|tree| tree.offline_planes(ClientShare::Offline));
        let (server, client) = sum(trees);
        let lift = lift::offline_planes(self.bits, self.to);
        (server + 2 * b2a::offline_planes(self.to), client + lift)
    }
    fn rots(&self) -> (usize, usize) {
        let (down, up) = sum(self.trees.iter().map(CarryTree::rots));
        (down + 6, up + 4 + usize::from(self.lifts()))
    }
    fn client(&self, rots: &mut Rots<'_>, known: Known<'_>) -> Begun {
        let ([low, over, less], tops) = self.numbers(known.operand, 0);
        let mut corrections = Planes::zeros(known.operand.len(), 0);
        let mut begin = |tree: &CarryTree, bits| {
            let (carry, d) = ClientCarry::begin(tree.clone(), ClientShare::Offline, bits, rots);
            corrections.append(&d);
            carry
        };
        let [below, above, again] = &self.trees;
        let carries = [begin(below, low), begin(above, over), begin(again, less)];
        let ands = std::array::from_fn(|_| AndPart::begin(false, &mut rots.send, &mut rots.recv));
        let [kappa, above] = std::array::from_fn(|_| ClientBit::begin(self.to, &mut rots.recv));
        let select = Select::begin(self.to, &mut rots.send, &mut rots.recv);
        let lift = self.lifts().then(|| {
            let x = self.shifted(known.operand);
            let (lift, tau) = ClientLift::begin((self.bits, self.to), &x, &mut rots.send);
            corrections.append(&tau);
            lift
        });
        let parts = ClipParts { carries, ands, kappa, above, select, lift };
        Begun::new(ClipExecution::new(self, parts, tops), corrections)
    }
    fn server(&self, rots: &mut Rots<'_>, coins: &mut Prg) -> Begun {
        let mut corrections = Planes::zeros(rots.lanes(), 0);
        let carries = self.trees.each_ref().map(|tree| {
            let (carry, t) = ServerCarry::begin(tree.clone(), ClientShare::Offline, rots);
            corrections.append(&t);
            carry
        });
        let ands = std::array::from_fn(|_| AndPart::begin(true, &mut rots.send, &mut rots.recv));
        let [kappa, above] = std::array::from_fn(|_| {
            let (bit, t) = ServerBit::begin(self.to, &mut rots.send, coins);
            corrections.append(&t);
            bit
        });
        let select = Select::begin(self.to, &mut rots.send, &mut rots.recv);
        let lift = self.lifts().then(|| ServerLift::begin((self.bits, self.to), &mut rots.recv));
        let parts = ClipParts { carries, ands, kappa, above, select, lift };
        Begun::new(ClipExecution::new(self, parts, Default::default()), corrections)
    }
}

/// One party's material.
struct ClipParts<C, B, F> {
    carries: [C; 3],
    /// p1 kappa, p2 kappa, d1 d2.
    ands: [AndPart; 3],
    kappa: B,
    /// e's conversion.
    above: B,
    select: Select,
    /// If the result is extended.
    lift: Option<F>,
}

struct ClipExecution<C, B, F> {
    parts: ClipParts<C, B, F>,
    clip: FaithfulClip,
    x: Vec<u64>,
    /// The sign bits of this party's shares of v and v - h.
    tops: [Vec<u64>; 2],
    /// This party's shares of d1 and d2.
    signs: [Vec<u64>; 2],
    /// This party's share of f, then its half, then both.
    between: Vec<u64>,
    /// The same of e.
    above: Vec<u64>,
    /// This party's half of kappa's opening, then both.
    kappa: Vec<u64>,
    /// This party's share of v.
    v: Vec<u64>,
}

impl<C: CarryPart, B: BitPart, F: LiftPart> ClipExecution<C, B, F> {
    fn new(clip: &FaithfulClip, parts: ClipParts<C, B, F>, tops: [Vec<u64>; 2]) -> Self {
        let [x, between, above, kappa, v] = [const { Vec::new() }; 5];
        let signs = Default::default();
        Self { parts, clip: clip.clone(), x, tops, signs, between, above, kappa, v }
    }

    /// The other party's of the server's and the client's.
    fn peer((server, client): (usize, usize)) -> usize {
        if C::SERVER { client } else { server }
    }

    /// Opening L + 1 is complete: signs, and this party's share of v.
    fn compare(&mut self, peer: &Planes) {
        let parts = &mut self.parts;
        let (first, rest) = peer.split(2);
        let (second, kappa) = rest.split(2);
        let [_, over, less] = &parts.carries;
        let [first_and, second_and, _] = &parts.ands;
        let [top, top_less] = &self.tops;
        // The server adds the constant: a sign is 0 where the value is not negative.
        let one = if C::SERVER { u64::MAX } else { 0 };
        let sign = |carry: &C, and: &AndPart, half: &Planes, top: &[u64]| -> Vec<u64> {
            xor(carry.g(), &and.and(half)).iter().zip(top).map(|(c, top)| c ^ top ^ one).collect()
        };
        self.signs =
            [sign(over, first_and, &first, top), sign(less, second_and, &second, top_less)];
        self.kappa = xor(&self.kappa, kappa.plane(0));
        let kappa = Zeroizing::new(parts.kappa.bit(&self.kappa));
        let mut shifted = self.clip.shifted(&self.x);
        if let Some(lift) = &parts.lift {
            shifted = Zeroizing::new(lift.lifted(&shifted));
        }
        let mask = ring_mask(self.clip.to);
        let sum = |(x, kappa): (&u64, &u64)| x.wrapping_add(*kappa) & mask;
        self.v = shifted.iter().zip(kappa.iter()).map(sum).collect();
    }
}

impl<C: CarryPart, B: BitPart, F: LiftPart> Execution for ClipExecution<C, B, F> {
    fn correct(&mut self, corrections: &Planes) {
        let mut rest = corrections.clone();
        for (tree, carry) in self.clip.trees.iter().zip(&mut self.parts.carries) {
            let (own, left) = rest.split(Self::peer(tree.offline_planes(ClientShare::Offline)));
            carry.correct(&own);
            rest = left;
        }
        // What is left is the server's of kappa and e, or the client's of the lift.
        let (kappa, above) = rest.split(b2a::offline_planes(self.clip.to));
        self.parts.kappa.correct(&kappa);
        self.parts.above.correct(&above);
        if let Some(lift) = &mut self.parts.lift {
            lift.correct(&rest);
        }
    }

    fn start(&mut self, x: Vec<u64>) {
        if C::SERVER {
            let (numbers, tops) = self.clip.numbers(&x, self.clip.high);
            for (carry, bits) in self.parts.carries.iter_mut().zip(numbers) {
                carry.set_share(bits);
            }
            self.tops = tops;
        }
        self.x = x;
    }

    fn half(&mut self, opening: usize) -> Planes {
        let (levels, lanes) = (self.clip.levels(), self.x.len());
        let parts = &mut self.parts;
        let ([low, over, less], [first, second, last]) = (&parts.carries, &mut parts.ands);
        if opening == levels + 1 {
            let mut half = first.half(lanes, over.p(), low.g());
            half.append(&second.half(lanes, less.p(), low.g()));
            self.kappa = parts.kappa.half(low.g());
            half.append(&Planes::of(lanes, &[&self.kappa]));
            return half;
        }
        if opening == levels + 2 {
            let [d1, d2] = &self.signs;
            return last.half(lanes, d1, d2);
        }
        if opening == levels + 3 {
            let (between, above) =
                (parts.select.mask(&self.between), parts.above.half(&self.above));
            // The shares themselves: a vector that is replaced is not wiped.
            self.between.zeroize();
            self.above.zeroize();
            (self.between, self.above) = (between, above);
            let mut half = Planes::of(lanes, &[&self.between, &self.above]);
            half.append(&parts.select.first(&self.v));
            return half;
        }
        let mut half = Planes::zeros(lanes, 0);
        for (tree, carry) in self.clip.trees.iter().zip(&mut parts.carries) {
            if opening <= tree.levels() {
                half.append(&carry.half(opening));
            }
        }
        if let (0, Some(lift)) = (opening, &mut parts.lift) {
            half.append(&lift.half(&self.clip.shifted(&self.x)));
        }
        half
    }

    fn complete(&mut self, opening: usize, peer: &Planes) {
        let levels = self.clip.levels();
        if opening == levels + 1 {
            return self.compare(peer);
        }
        let parts = &mut self.parts;
        if opening == levels + 2 {
            let [_, _, last] = &parts.ands;
            self.above = last.and(peer);
            let [d1, _] = &self.signs;
            self.between = xor(d1, &self.above);
            return;
        }
        if opening == levels + 3 {
            let (bits, first) = peer.split(2);
            self.between = xor(&self.between, bits.plane(0));
            self.above = xor(&self.above, bits.plane(1));
            parts.select.set_first(first);
            return;
        }
        let planes = self.clip.tree_planes(opening).map(Self::peer);
        let mut rest = peer.clone();
        for ((tree, carry), count) in self.clip.trees.iter().zip(&mut parts.carries).zip(planes) {
            let (own, left) = rest.split(count);
            if opening <= tree.levels() {
                carry.complete(opening, &own);
            }
            rest = left;
        }
        if let (0, Some(lift), 1..) = (opening, &mut parts.lift, rest.count()) {
            lift.take(&rest);
        }
    }

    fn result(&mut self) -> Vec<u64> {
        let (high, mask) = (self.clip.high, ring_mask(self.clip.to));
        let above = Zeroizing::new(self.parts.above.bit(&self.above));
        let mut result = self.parts.select.select(&self.between, &self.v);
        for (word, e) in result.iter_mut().zip(above.iter()) {
            *word = word.wrapping_add(e.wrapping_mul(high)) & mask;
        }
        result
    }
}

impl<C, B, F> Drop for ClipExecution<C, B, F> {
    fn drop(&mut self) {
        self.tops.zeroize();
        self.signs.zeroize();
        for words in [&mut self.x, &mut self.between, &mut self.above, &mut self.kappa, &mut self.v]
        {
            words.zeroize();
        }
    }
}

#[cfg(test)]
mod tests;
