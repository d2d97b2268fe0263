//! Faithful truncation: shares of floor(x / 2^T) modulo `2^w` from shares of x modulo `2^(w+T)`, for
//! every sharing of x (protocol.md 5.9).
//!
//! floor(x / 2^T) = (`x_S` >> T) + (`x_C` >> T) + kappa, kappa the carry out of the low T bits.
//!
//! | | client | server |
//! |---|---|---|
//! | offline | corrections of the [`carry`](crate::carry) over the low T bits | the same, then those of [`b2a`](crate::b2a) for kappa |
//! | openings 0..=L | the carry's | the same |
//! | opening L + 1 | F: its share of kappa, masked | the same |
//! | | (`x_C` >> T) + kappa's share modulo `2^w` | (`x_S` >> T) + kappa's share |
//!
//! Cost: that of the carry over T bits, and of the conversion of one bit: one ROT from S to C, w - 1
//! bits from S offline, one bit each way.

use gazelle_prg::Prg;
use gazelle_share::shares::ring_mask;
use zeroize::Zeroize;

use crate::b2a::{self, BitPart, ClientBit, ServerBit};
use crate::carry::shape::least_levels;
use crate::carry::{CarryPart, CarryTree, ClientCarry, ServerCarry};
use crate::operation::{Begun, ClientShare, Execution, Known, Operation, Rots};
use crate::planes::{Planes, xor};

/// floor(x / `2^drop`), from x modulo `2^from`, modulo `2^(from - drop)`.
#[derive(Debug, Clone)]
pub struct Truncate {
    from: u32,
    drop: u32,
    share: ClientShare,
    tree: CarryTree,
}

impl Truncate {
    /// Drops `drop` >= 1 bits of words of `from` >= `drop + 2` bits.
    pub fn new(from: u32, drop: u32, share: ClientShare) -> Self {
        Self::with_spare(from, drop, share, 0)
    }

    /// As [`new`](Self::new), with up to `spare` openings more than needed, which save bits.
    pub fn with_spare(from: u32, drop: u32, share: ClientShare, spare: usize) -> Self {
        let levels = least_levels(drop) + spare;
        Self { from, drop, share, tree: CarryTree::within(drop, false, levels) }
    }

    fn execution<C: CarryPart, B: BitPart>(&self, carry: C, bit: B) -> TruncateExecution<C, B> {
        let (server, client) = self.tree.offline_planes(self.share);
        TruncateExecution {
            carry,
            bit,
            truncate: self.clone(),
            peer_planes: if C::SERVER { client } else { server },
            x: Vec::new(),
            opened: Vec::new(),
        }
    }
}

impl Operation for Truncate {
    fn operand_bits(&self) -> u32 {
        self.from
    }
    fn result_bits(&self) -> u32 {
        self.from - self.drop
    }
    fn client_share(&self) -> ClientShare {
        self.share
    }
    fn openings(&self) -> usize {
        self.tree.levels() + 2
    }
    fn planes(&self, opening: usize) -> (usize, usize) {
        if opening > self.tree.levels() {
            return (1, 1);
        }
        self.tree.planes(self.share, opening)
    }
    fn offline_planes(&self) -> (usize, usize) {
        let (server, client) = self.tree.offline_planes(self.share);
        (server + b2a::offline_planes(self.result_bits()), client)
    }
    fn rots(&self) -> (usize, usize) {
        let (down, up) = self.tree.rots();
        (down + 1, up)
    }
    fn client(&self, rots: &mut Rots<'_>, known: Known<'_>) -> Begun {
        let low = Planes::from_words(known.operand, self.drop);
        let (carry, d) = ClientCarry::begin(self.tree.clone(), self.share, low, rots);
        let bit = ClientBit::begin(self.result_bits(), &mut rots.recv);
        Begun::new(self.execution(carry, bit), d)
    }
    fn server(&self, rots: &mut Rots<'_>, coins: &mut Prg) -> Begun {
        let (carry, mut corrections) = ServerCarry::begin(self.tree.clone(), self.share, rots);
        let (bit, t) = ServerBit::begin(self.result_bits(), &mut rots.send, coins);
        corrections.append(&t);
        Begun::new(self.execution(carry, bit), corrections)
    }
}

struct TruncateExecution<C, B> {
    carry: C,
    bit: B,
    truncate: Truncate,
    /// Planes of the other party's corrections that are the carry's.
    peer_planes: usize,
    x: Vec<u64>,
    /// This party's half of F, then F.
    opened: Vec<u64>,
}

impl<C: CarryPart, B: BitPart> Execution for TruncateExecution<C, B> {
    fn correct(&mut self, corrections: &Planes) {
        let (carry, bit) = corrections.split(self.peer_planes);
        self.carry.correct(&carry);
        self.bit.correct(&bit);
    }

    fn start(&mut self, x: Vec<u64>) {
        if !self.carry.knows_share() {
            self.carry.set_share(Planes::from_words(&x, self.truncate.drop));
        }
        self.x = x;
    }

    fn half(&mut self, opening: usize) -> Planes {
        if opening <= self.truncate.tree.levels() {
            return self.carry.half(opening);
        }
        self.opened = self.bit.half(self.carry.g());
        Planes::of(self.x.len(), &[&self.opened])
    }

    fn complete(&mut self, opening: usize, peer: &Planes) {
        if opening <= self.truncate.tree.levels() {
            return self.carry.complete(opening, peer);
        }
        self.opened = xor(&self.opened, peer.plane(0));
    }

    fn result(&mut self) -> Vec<u64> {
        let (drop, mask) = (self.truncate.drop, ring_mask(self.truncate.result_bits()));
        let mut kappa = self.bit.bit(&self.opened);
        let sum = |(x, kappa): (&u64, &u64)| (x >> drop).wrapping_add(*kappa) & mask;
        let result = self.x.iter().zip(&kappa).map(sum).collect();
        kappa.zeroize();
        result
    }
}

impl<C, B> Drop for TruncateExecution<C, B> {
    fn drop(&mut self) {
        self.x.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{all_pairs, assert_balanced, execute};

    #[test]
    fn conformance_every_pair_of_shares_of_small_rings_is_truncated_exactly() {
        for share in [ClientShare::Offline, ClientShare::Online] {
            for (from, drop) in [(3, 1), (4, 2), (5, 3), (6, 3), (6, 4), (7, 5)] {
                let (xs, xc) = all_pairs(from);
                for seed in 0..4 {
                    let run = execute(&Truncate::new(from, drop, share), seed, (&xs, &xc), &[]);
                    let mask = ring_mask(from - drop);
                    for (lane, (s, c)) in xs.iter().zip(&xc).enumerate() {
                        let floor = ((s + c) & ring_mask(from)) >> drop;
                        let got = run.server[lane].wrapping_add(run.client[lane]) & mask;
                        assert_eq!(got, floor, "{s} + {c}, {drop} of {from} bits");
                    }
                }
            }
        }
    }

    #[test]
    fn properties_wide_rings_truncate_exactly() {
        for (from, drop) in [(21, 9), (37, 20), (48, 30), (20, 1)] {
            let words = |salt: u64| -> Vec<u64> {
                let mix = |i: u64| (i + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7;
                (0..2000).map(|i| mix(i) & ring_mask(from)).collect()
            };
            let (xs, xc) = (words(3), words(1 << 20));
            let run = execute(&Truncate::new(from, drop, ClientShare::Offline), 1, (&xs, &xc), &[]);
            for (lane, (s, c)) in xs.iter().zip(&xc).enumerate() {
                let floor = ((s + c) & ring_mask(from)) >> drop;
                let got = run.server[lane].wrapping_add(run.client[lane]);
                assert_eq!(got & ring_mask(from - drop), floor);
            }
        }
    }

    #[test]
    fn transcript_every_sent_plane_is_balanced_for_fixed_shares() {
        for share in [ClientShare::Offline, ClientShare::Online] {
            for (s, c) in [(0, 0), (127, 127), (85, 43)] {
                let operation = Truncate::new(7, 4, share);
                let run = execute(&operation, 2, (&vec![s; 4096], &vec![c; 4096]), &[]);
                assert_balanced(&run.sent.0);
                assert_balanced(&run.sent.1);
            }
        }
    }
}
