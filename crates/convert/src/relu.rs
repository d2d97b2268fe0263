//! ReLU: `max(x, 0)` modulo `2^b`, the sign of x and then a selection by it (protocol.md 5.2, 5.3).
//!
//! | | client | server |
//! |---|---|---|
//! | offline | corrections d of the sign; tq of the selection, if `x_C` is known | corrections t of the sign |
//! | opening 0 | the sign's (e, and `V_C`, if `x_C` is only known online) | the sign's: m; V |
//! | openings 1..=L | the sign's merges | the same |
//! | opening L + 1 | D: `d_C` ^ `lC` | D: `d_S` ^ `lS` |
//! | | D `x_C` + (1 - 2 D)(w + q) | D `x_S` + (1 - 2 D)(w + q) |
//!
//! d = `[x >= 0]`. A coarse ReLU compares without the lowest bits: the sign of
//! `(x_S >> s) + (x_C >> s)`, so that an x in `[0, 2^s)` may become 0.
//!
//! Cost: that of [`sign`](crate::sign) and of [`select`](crate::select).

use gazelle_prg::Prg;
use zeroize::{Zeroize, Zeroizing};

use crate::carry::CarryPart;
use crate::operation::{Begun, ClientShare, Execution, Known, Operation, Rots};
use crate::planes::{Planes, xor};
use crate::select::{Select, SelectPart};
use crate::sign::{Sign, SignPart};

/// `max(x, 0)` modulo `2^bits`.
#[derive(Debug, Clone)]
pub struct Relu {
    bits: u32,
    /// Low bits that are not compared.
    drop: u32,
    share: ClientShare,
    sign: Sign,
}

impl Relu {
    /// Of words of `bits` >= 2 bits.
    pub fn new(bits: u32, share: ClientShare) -> Self {
        Self::coarse(bits, 0, share)
    }

    /// Compared without the lowest `drop` bits: at most `bits - 2`.
    pub fn coarse(bits: u32, drop: u32, share: ClientShare) -> Self {
        Self { bits, drop, share, sign: Sign::new(bits - drop, share) }
    }

    /// Levels of the tree of a comparison of `bits` bits.
    pub fn levels(bits: u32) -> usize {
        Sign::new(bits, ClientShare::Offline).levels()
    }

    /// V's planes, if it is sent then.
    fn first(&self, share: ClientShare) -> usize {
        if self.share == share { self.bits as usize } else { 0 }
    }
}

/// The bits of a share that are compared: without the lowest `drop`.
pub(crate) fn compared(x: &[u64], drop: u32) -> Zeroizing<Vec<u64>> {
    Zeroizing::new(x.iter().map(|x| x >> drop).collect())
}

impl Operation for Relu {
    fn operand_bits(&self) -> u32 {
        self.bits
    }
    fn result_bits(&self) -> u32 {
        self.bits
    }
    fn client_share(&self) -> ClientShare {
        self.share
    }
    fn openings(&self) -> usize {
        self.sign.openings() + 1
    }
    fn planes(&self, opening: usize) -> (usize, usize) {
        if opening == self.sign.openings() {
            return (1, 1);
        }
        let (server, client) = self.sign.planes(opening);
        if opening > 0 {
            return (server, client);
        }
        (server + self.bits as usize, client + self.first(ClientShare::Online))
    }
    fn offline_planes(&self) -> (usize, usize) {
        let (server, client) = self.sign.offline_planes();
        (server, client + self.first(ClientShare::Offline))
    }
    fn rots(&self) -> (usize, usize) {
        let (down, up) = self.sign.rots();
        (down + 1, up + 1)
    }
    fn client(&self, rots: &mut Rots<'_>, known: Known<'_>) -> Begun {
        let (sign, mut corrections) =
            self.sign.begin_client(&compared(known.operand, self.drop), rots);
        let mut select = Select::begin(self.bits, &mut rots.send, &mut rots.recv);
        if self.share == ClientShare::Offline {
            corrections.append(&select.first(known.operand));
        }
        Begun::new(ReluExecution::new(&self.sign, self.drop, sign, select), corrections)
    }
    fn server(&self, rots: &mut Rots<'_>, _: &mut Prg) -> Begun {
        let (sign, corrections) = self.sign.begin_server(rots);
        let select = Select::begin(self.bits, &mut rots.send, &mut rots.recv);
        Begun::new(ReluExecution::new(&self.sign, self.drop, sign, select), corrections)
    }
}

/// A sign, and a selection by it: either party.
pub(crate) struct ReluExecution<C, F> {
    sign: SignPart<C>,
    select: F,
    drop: u32,
    /// Openings of the sign; the one after them is D.
    openings: usize,
    /// Planes of the other party's corrections, and half of opening 0, that are the sign's.
    sign_planes: (usize, usize),
    x: Vec<u64>,
    /// This party's half of D, then D.
    opened: Vec<u64>,
}

impl<C: CarryPart, F> ReluExecution<C, F> {
    /// - `of`: the sign's operation, of words without their lowest `drop` bits.
    pub(crate) fn new(of: &Sign, drop: u32, sign: SignPart<C>, select: F) -> Self {
        let peer = |(server, client): (usize, usize)| if C::SERVER { client } else { server };
        let sign_planes = (peer(of.offline_planes()), peer(of.planes(0)));
        let openings = of.openings();
        Self { sign, select, drop, openings, sign_planes, x: Vec::new(), opened: Vec::new() }
    }
}

impl<C: CarryPart, F: SelectPart> Execution for ReluExecution<C, F> {
    fn correct(&mut self, corrections: &Planes) {
        let (sign, first) = corrections.split(self.sign_planes.0);
        self.sign.correct(&sign);
        self.select.correct(&first);
    }

    fn start(&mut self, x: Vec<u64>) {
        if !self.sign.knows_share() {
            self.sign.start(&compared(&x, self.drop));
        }
        self.x = x;
    }

    fn half(&mut self, opening: usize) -> Planes {
        if opening == self.openings {
            self.opened = self.select.mask(&self.sign.positive());
            return Planes::of(self.x.len(), &[&self.opened]);
        }
        let mut half = self.sign.half(opening);
        if opening == 0 {
            half.append(&self.select.send_first(&self.x));
        }
        half
    }

    fn complete(&mut self, opening: usize, peer: &Planes) {
        if opening == self.openings {
            self.opened = xor(&self.opened, peer.plane(0));
        } else if opening == 0 {
            let (leaves, first) = peer.split(self.sign_planes.1);
            self.select.take_first(&first);
            self.sign.complete(0, &leaves);
        } else {
            self.sign.complete(opening, peer);
        }
    }

    fn result(&mut self) -> Vec<u64> {
        self.select.select(&self.opened, &self.x)
    }
}

impl<C, F> Drop for ReluExecution<C, F> {
    fn drop(&mut self) {
        self.x.zeroize();
        self.opened.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use gazelle_share::shares::{ring_mask, to_signed};

    use super::*;
    use crate::testing::{all_pairs, assert_balanced, execute};

    #[test]
    fn conformance_every_pair_of_shares_of_small_rings_gives_the_relu() {
        for share in [ClientShare::Offline, ClientShare::Online] {
            for bits in 2..=5 {
                let (xs, xc) = all_pairs(bits);
                for seed in 0..4 {
                    let run = execute(&Relu::new(bits, share), seed, (&xs, &xc), &[]);
                    for (lane, (s, c)) in xs.iter().zip(&xc).enumerate() {
                        let x = to_signed((s + c) & ring_mask(bits), bits);
                        let z = run.server[lane].wrapping_add(run.client[lane]) & ring_mask(bits);
                        assert_eq!(z as i64, x.max(0), "{s} + {c} of {bits} bits");
                    }
                }
            }
        }
    }

    #[test]
    fn transcript_every_sent_plane_is_balanced_for_fixed_shares() {
        for (s, c) in [(0, 0), (63, 63), (21, 43)] {
            let run = execute(
                &Relu::new(6, ClientShare::Offline),
                1,
                (&vec![s; 4096], &vec![c; 4096]),
                &[],
            );
            assert_balanced(&run.sent.0);
            assert_balanced(&run.sent.1);
        }
    }
}
