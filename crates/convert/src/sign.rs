//! The sign of a shared value: `[x < 0]` as XOR shares, from shares of x modulo `2^b`
//! (protocol.md 5.2).
//!
//! `msb(x) = msb(x_S) ^ msb(x_C) ^ carry` of the low n = b - 1 bits.
//!
//! | | client | server |
//! |---|---|---|
//! | offline, and openings 0..=L | those of [`carry`](crate::carry) over the low bits | the same |
//! | | g ^ msb(`x_C`) | g ^ msb(`x_S`) |
//!
//! Cost: that of the carry, nothing more.

use gazelle_prg::Prg;
use zeroize::Zeroize;

use crate::carry::{CarryPart, CarryTree, ClientCarry, ServerCarry};
use crate::operation::{Begun, ClientShare, Execution, Known, Operation, Rots};
use crate::planes::{Planes, xor};

/// XOR shares of `[x < 0]`, x modulo `2^bits`: words 0 or 1.
#[derive(Debug, Clone)]
pub struct Sign {
    bits: u32,
    share: ClientShare,
    tree: CarryTree,
}

impl Sign {
    /// Of words of `bits` >= 2 bits.
    pub fn new(bits: u32, share: ClientShare) -> Self {
        Self { bits, share, tree: CarryTree::new(bits - 1, false) }
    }

    /// Levels of merges, which are openings.
    pub(crate) fn levels(&self) -> usize {
        self.tree.levels()
    }

    /// The client's part, from its share of x if that is known.
    pub(crate) fn begin_client(
        &self,
        x: &[u64],
        rots: &mut Rots<'_>,
    ) -> (SignPart<ClientCarry>, Planes) {
        let planes = Planes::from_words(x, self.bits);
        let top = planes.plane(self.bits as usize - 1).to_vec();
        let (carry, d) = ClientCarry::begin(self.tree.clone(), self.share, planes, rots);
        (SignPart { carry, bits: self.bits, top }, d)
    }

    /// The server's part.
    pub(crate) fn begin_server(&self, rots: &mut Rots<'_>) -> (SignPart<ServerCarry>, Planes) {
        let (carry, t) = ServerCarry::begin(self.tree.clone(), self.share, rots);
        (SignPart { carry, bits: self.bits, top: Vec::new() }, t)
    }
}

impl Operation for Sign {
    fn operand_bits(&self) -> u32 {
        self.bits
    }
    fn result_bits(&self) -> u32 {
        1
    }
    fn client_share(&self) -> ClientShare {
        self.share
    }
    fn openings(&self) -> usize {
        self.levels() + 1
    }
    fn planes(&self, opening: usize) -> (usize, usize) {
        self.tree.planes(self.share, opening)
    }
    fn offline_planes(&self) -> (usize, usize) {
        self.tree.offline_planes(self.share)
    }
    fn rots(&self) -> (usize, usize) {
        self.tree.rots()
    }
    fn client(&self, rots: &mut Rots<'_>, known: Known<'_>) -> Begun {
        let (sign, d) = self.begin_client(known.operand, rots);
        Begun::new(SignExecution { sign, lanes: rots.lanes() }, d)
    }
    fn server(&self, rots: &mut Rots<'_>, _: &mut Prg) -> Begun {
        let (sign, t) = self.begin_server(rots);
        Begun::new(SignExecution { sign, lanes: rots.lanes() }, t)
    }
}

/// One party of a sign, for the operations that need one.
pub(crate) struct SignPart<C> {
    carry: C,
    bits: u32,
    /// The top bits of this party's share.
    top: Vec<u64>,
}

impl<C: CarryPart> SignPart<C> {
    /// Offline: takes the other party's corrections.
    pub(crate) fn correct(&mut self, corrections: &Planes) {
        self.carry.correct(corrections);
    }

    /// Whether this party's share was given offline; otherwise it must [`start`](Self::start).
    pub(crate) fn knows_share(&self) -> bool {
        self.carry.knows_share()
    }

    /// Takes this party's share.
    pub(crate) fn start(&mut self, x: &[u64]) {
        let planes = Planes::from_words(x, self.bits);
        self.top = planes.plane(self.bits as usize - 1).to_vec();
        self.carry.set_share(planes);
    }

    /// This party's half of an opening.
    pub(crate) fn half(&mut self, opening: usize) -> Planes {
        self.carry.half(opening)
    }

    /// Takes the other party's half.
    pub(crate) fn complete(&mut self, opening: usize, peer: &Planes) {
        self.carry.complete(opening, peer);
    }

    /// This party's share of `[x < 0]`, after all openings.
    pub(crate) fn negative(&self) -> Vec<u64> {
        xor(self.carry.g(), &self.top)
    }

    /// This party's share of `[x >= 0]`: the server adds the constant 1.
    pub(crate) fn positive(&self) -> Vec<u64> {
        let one = if C::SERVER { u64::MAX } else { 0 };
        self.negative().iter().map(|sign| sign ^ one).collect()
    }
}

impl<C> Drop for SignPart<C> {
    fn drop(&mut self) {
        self.top.zeroize();
    }
}

struct SignExecution<C> {
    sign: SignPart<C>,
    lanes: usize,
}

impl<C: CarryPart> Execution for SignExecution<C> {
    fn correct(&mut self, corrections: &Planes) {
        self.sign.correct(corrections);
    }
    fn start(&mut self, mut x: Vec<u64>) {
        if !self.sign.knows_share() {
            self.sign.start(&x);
        }
        x.zeroize();
    }
    fn half(&mut self, opening: usize) -> Planes {
        self.sign.half(opening)
    }
    fn complete(&mut self, opening: usize, peer: &Planes) {
        self.sign.complete(opening, peer);
    }
    fn result(&mut self) -> Vec<u64> {
        Planes::of(self.lanes, &[&self.sign.negative()]).to_words()
    }
}

#[cfg(test)]
mod tests {
    use gazelle_share::shares::ring_mask;

    use super::*;
    use crate::testing::{all_pairs, execute};

    #[test]
    fn conformance_every_pair_of_shares_of_small_rings_gives_the_sign() {
        for share in [ClientShare::Offline, ClientShare::Online] {
            for bits in 2..=5 {
                let (xs, xc) = all_pairs(bits);
                let run = execute(&Sign::new(bits, share), 3, (&xs, &xc), &[]);
                for (lane, (s, c)) in xs.iter().zip(&xc).enumerate() {
                    let sign = (s.wrapping_add(*c) & ring_mask(bits)) >> (bits - 1);
                    assert_eq!(run.server[lane] ^ run.client[lane], sign, "{s} + {c}");
                }
            }
        }
    }
}
