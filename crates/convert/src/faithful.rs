//! ReLU behind a faithful truncation: `max(floor(x / 2^T), 0)` modulo `2^b` from shares of x modulo
//! `2^(b+T)`, the client's known offline (protocol.md 5.9).
//!
//! Two trees run side by side: the low one over bits [0, T) gives kappa, the carry out of them; the
//! high one over bits [T, T + b - 1) gives (g, p). The final merge g ^ p kappa is the carry into the
//! sign bit. v = (`x_S` >> T) + (`x_C` >> T) + kappa, once kappa is converted, is selected by
//! d = `[v >= 0]`.
//!
//! *Extended*, for links where a trip is dear: v modulo `2^l` in place of `2^b`, by a
//! [`lift`](crate::lift) of the shifted shares in opening 0 and kappa converted modulo `2^l`. Where v is
//! negative the lift is wrong, and d is 0. No extension follows: an opening less.
//!
//! | | client | server |
//! |---|---|---|
//! | offline | corrections of both [`carries`](crate::carry) (then of the lift) | the same, then those of [`b2a`](crate::b2a) for kappa |
//! | openings 0..=L | low tree, high tree | the same (in opening 0 the lift's m) |
//! | opening L + 1 | the final merge: p ^ al, kappa ^ be; F: kappa, masked | the same |
//! | opening L + 2 | D: `d_C` ^ `lC`; `V_C` of `v_C` | D: `d_S` ^ `lS`; V of `v_S` |
//! | | D `v_C` + (1 - 2 D)(w + q) | D `v_S` + (1 - 2 D)(w + q) |
//!
//! L is the larger number of levels. Security: that of its parts, whose masks are distinct and opened
//! once each: carries, [`and`](crate::and), `b2a`, [`select`](crate::select), the lift.
//!
//! Cost: that of a carry over T bits, of a carry with p over b - 1 bits, one AND, the conversion of
//! one bit modulo `2^b`, and a selection of b bits; extended, of l bits both, and a lift.

use gazelle_prg::Prg;
use gazelle_share::shares::ring_mask;
use zeroize::{Zeroize, Zeroizing};

use crate::and::AndPart;
use crate::b2a::{self, BitPart, ClientBit, ServerBit};
use crate::carry::shape::least_levels;
use crate::carry::{CarryPart, CarryTree, ClientCarry, ServerCarry};
use crate::lift::{self, ClientLift, LiftPart, ServerLift};
use crate::operation::{Begun, ClientShare, Execution, Known, Operation, Rots};
use crate::planes::{Planes, xor};
use crate::select::Select;

/// `max(floor(x / 2^drop), 0)` modulo `2^bits`, or extended modulo `2^to`, from x modulo
/// `2^(bits + drop)`.
#[derive(Debug, Clone)]
pub struct FaithfulRelu {
    bits: u32,
    drop: u32,
    to: u32,
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
        Self::extended(bits, drop, bits, spare)
    }

    /// As [`with_spare`](Self::with_spare); the result is modulo `2^to`, `to` >= `bits`.
    pub fn extended(bits: u32, drop: u32, to: u32, spare: usize) -> Self {
        let levels = Self::least_levels(bits, drop) + spare;
        let low = CarryTree::within(drop, false, levels);
        Self { bits, drop, to, low, high: CarryTree::within(bits - 1, true, levels) }
    }

    /// Levels that both trees have without any to spare, at most.
    pub fn least_levels(bits: u32, drop: u32) -> usize {
        least_levels(drop).max(least_levels(bits - 1))
    }

    /// Whether the result is extended.
    fn lifts(&self) -> bool {
        self.to > self.bits
    }

    /// From which ring to which.
    fn rings(&self) -> (u32, u32) {
        (self.bits, self.to)
    }

    /// A share without its low bits.
    fn shifted(&self, x: &[u64]) -> Zeroizing<Vec<u64>> {
        Zeroizing::new(x.iter().map(|x| x >> self.drop).collect())
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
        let above = self.shifted(x);
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
        self.to
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
            opening if opening == levels + 2 => both(1 + self.to as usize),
            opening => {
                let [low, high] = self.tree_planes(opening);
                let m = usize::from(opening == 0 && self.lifts());
                (low.0 + high.0 + m, low.1 + high.1)
            }
        }
    }
    fn offline_planes(&self) -> (usize, usize) {
        let [low, high] =
            [&self.low, &self.high].map(|tree| tree.offline_planes(ClientShare::Offline));
        let lift = lift::offline_planes(self.bits, self.to);
        (low.0 + high.0 + b2a::offline_planes(self.to), low.1 + high.1 + lift)
    }
    fn rots(&self) -> (usize, usize) {
        let [low, high] = [self.low.rots(), self.high.rots()];
        (low.0 + high.0 + 3, low.1 + high.1 + 2 + usize::from(self.lifts()))
    }
    fn client(&self, rots: &mut Rots<'_>, known: Known<'_>) -> Begun {
        let (low, high, top) = self.bits_of(known.operand);
        let share = ClientShare::Offline;
        let (low, mut corrections) = ClientCarry::begin(self.low.clone(), share, low, rots);
        let (high, d) = ClientCarry::begin(self.high.clone(), share, high, rots);
        corrections.append(&d);
        let and = AndPart::begin(false, &mut rots.send, &mut rots.recv);
        let bit = ClientBit::begin(self.to, &mut rots.recv);
        let select = Select::begin(self.to, &mut rots.send, &mut rots.recv);
        let lift = self.lifts().then(|| {
            let x = self.shifted(known.operand);
            let (lift, tau) = ClientLift::begin(self.rings(), &x, &mut rots.send);
            corrections.append(&tau);
            lift
        });
        let parts = ReluParts { low, high, and, bit, select, lift };
        Begun::new(FaithfulExecution::new(self, parts, top), corrections)
    }
    fn server(&self, rots: &mut Rots<'_>, coins: &mut Prg) -> Begun {
        let share = ClientShare::Offline;
        let (low, mut corrections) = ServerCarry::begin(self.low.clone(), share, rots);
        let (high, t) = ServerCarry::begin(self.high.clone(), share, rots);
        corrections.append(&t);
        let and = AndPart::begin(true, &mut rots.send, &mut rots.recv);
        let (bit, t) = ServerBit::begin(self.to, &mut rots.send, coins);
        corrections.append(&t);
        let select = Select::begin(self.to, &mut rots.send, &mut rots.recv);
        let lift = self.lifts().then(|| ServerLift::begin(self.rings(), &mut rots.recv));
        let parts = ReluParts { low, high, and, bit, select, lift };
        Begun::new(FaithfulExecution::new(self, parts, Vec::new()), corrections)
    }
}

/// One party's material.
struct ReluParts<C, B, F> {
    low: C,
    high: C,
    and: AndPart,
    bit: B,
    select: Select,
    /// If the result is extended.
    lift: Option<F>,
}

struct FaithfulExecution<C, B, F> {
    parts: ReluParts<C, B, F>,
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

impl<C: CarryPart, B: BitPart, F: LiftPart> FaithfulExecution<C, B, F> {
    fn new(relu: &FaithfulRelu, parts: ReluParts<C, B, F>, top: Vec<u64>) -> Self {
        let [x, d, f, v] = [const { Vec::new() }; 4];
        Self { parts, relu: relu.clone(), x, top, d, f, v }
    }

    /// The other party's of the server's and the client's.
    fn peer((server, client): (usize, usize)) -> usize {
        if C::SERVER { client } else { server }
    }
}

impl<C: CarryPart, B: BitPart, F: LiftPart> Execution for FaithfulExecution<C, B, F> {
    fn correct(&mut self, corrections: &Planes) {
        let planes = |tree: &CarryTree| Self::peer(tree.offline_planes(ClientShare::Offline));
        let (low, rest) = corrections.split(planes(&self.relu.low));
        // What is left is the server's of kappa, or the client's of the lift.
        let (high, rest) = rest.split(planes(&self.relu.high));
        self.parts.low.correct(&low);
        self.parts.high.correct(&high);
        self.parts.bit.correct(&rest);
        if let Some(lift) = &mut self.parts.lift {
            lift.correct(&rest);
        }
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
            let masked = parts.select.mask(&self.d);
            // The share itself: a vector that is replaced is not wiped.
            self.d.zeroize();
            self.d = masked;
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
        if let (0, Some(lift)) = (opening, &mut parts.lift) {
            half.append(&lift.half(&self.relu.shifted(&self.x)));
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
            let mask = ring_mask(self.relu.to);
            let kappa = Zeroizing::new(parts.bit.bit(&self.f));
            let mut shifted = self.relu.shifted(&self.x);
            if let Some(lift) = &parts.lift {
                shifted = Zeroizing::new(lift.lifted(&shifted));
            }
            let sum = |(x, kappa): (&u64, &u64)| x.wrapping_add(*kappa) & mask;
            self.v = shifted.iter().zip(kappa.iter()).map(sum).collect();
            return;
        }
        if opening == levels + 2 {
            let (d, first) = peer.split(1);
            self.d = xor(&self.d, d.plane(0));
            parts.select.set_first(first);
            return;
        }
        let [low, high] = self.relu.tree_planes(opening).map(Self::peer);
        let (low, rest) = peer.split(low);
        let (high, m) = rest.split(high);
        if let (0, Some(lift), 1..) = (opening, &mut parts.lift, m.count()) {
            lift.take(&m);
        }
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

impl<C, B, F> Drop for FaithfulExecution<C, B, F> {
    fn drop(&mut self) {
        for words in [&mut self.x, &mut self.top, &mut self.d, &mut self.v] {
            words.zeroize();
        }
    }
}

#[cfg(test)]
mod tests;
