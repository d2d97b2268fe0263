//! Squares of shared values, `x^2 = x_S^2 + x_C^2 + 2 x_S x_C` modulo `2^w`, and their local
//! truncation (protocol.md 5.6).
//!
//! | | client | server |
//! |---|---|---|
//! | offline, opening 0 | those of [`product`](crate::product) for `x_S x_C` modulo `2^(w-1)` | the same |
//! | | `x_C^2 + 2 P_C`, shifted right by d bits | `x_S^2 + 2 P_S` + a constant, shifted |
//!
//! The product is doubled, so that w - 1 bits of it are enough. With the constant `2^d - 1` the shift
//! rounds up or down, without bias if the client's share is uniform.
//!
//! Cost: that of the product of w - 1 bits.

use gazelle_prg::Prg;
use gazelle_share::shares::ring_mask;
use zeroize::{Zeroize, Zeroizing};

use crate::operation::{Begun, ClientShare, Execution, Known, Operation, Rots};
use crate::planes::Planes;
use crate::product::{self, ClientProduct, ServerProduct};

/// `x^2 + add` modulo `2^bits`, from x modulo `2^(bits - 1)`, less its lowest `drop` bits.
#[derive(Debug, Clone)]
pub struct Square {
    /// Width of the square.
    pub bits: u32,
    /// Added to the square before bits are dropped.
    pub add: u64,
    /// Bits of it that are dropped, fewer than `bits`.
    pub drop: u32,
    /// When the client knows its share of x.
    pub share: ClientShare,
}

impl Operation for Square {
    fn operand_bits(&self) -> u32 {
        self.bits - 1
    }
    fn result_bits(&self) -> u32 {
        self.bits - self.drop
    }
    fn client_share(&self) -> ClientShare {
        self.share
    }
    fn planes(&self, _: usize) -> (usize, usize) {
        let width = self.bits as usize - 1;
        (width, if self.share == ClientShare::Online { width } else { 0 })
    }
    fn offline_planes(&self) -> (usize, usize) {
        let known = if self.share == ClientShare::Offline { self.bits as usize - 1 } else { 0 };
        (product::offline_planes(self.bits - 1), known)
    }
    fn rots(&self) -> (usize, usize) {
        (self.bits as usize - 1, 0)
    }
    fn client(&self, rots: &mut Rots<'_>, known: Known<'_>) -> Begun {
        let cross = ClientProduct::begin(self.bits - 1, rots.lanes(), &mut rots.recv);
        let corrections = match self.share {
            ClientShare::Offline => cross.mask(known.operand),
            ClientShare::Online => Planes::default(),
        };
        Begun::new(SquareExecution::new(self, cross), corrections)
    }
    fn server(&self, rots: &mut Rots<'_>, _: &mut Prg) -> Begun {
        let (cross, u) = ServerProduct::begin(self.bits - 1, rots.lanes(), &mut rots.send);
        Begun::new(SquareExecution::new(self, cross), u)
    }
}

/// One party, with its end of the product.
struct SquareExecution<P> {
    cross: P,
    square: Square,
    x: Vec<u64>,
}

impl<P> SquareExecution<P> {
    fn new(square: &Square, cross: P) -> Self {
        Self { cross, square: square.clone(), x: Vec::new() }
    }

    /// `(x^2 + 2 p + add) >> drop`, in place of x.
    fn square(&mut self, products: Vec<u64>, add: u64) {
        let (mask, drop) = (ring_mask(self.square.bits), self.square.drop);
        for (x, p) in self.x.iter_mut().zip(Zeroizing::new(products).iter()) {
            let square = x.wrapping_mul(*x).wrapping_add(p << 1).wrapping_add(add);
            *x = (square & mask) >> drop;
        }
    }
}

impl<P> Drop for SquareExecution<P> {
    fn drop(&mut self) {
        self.x.zeroize();
    }
}

impl Execution for SquareExecution<ClientProduct> {
    fn correct(&mut self, corrections: &Planes) {
        self.cross.finish(corrections);
    }
    fn start(&mut self, x: Vec<u64>) {
        self.x = x;
    }
    fn half(&mut self, _: usize) -> Planes {
        self.cross.mask(&self.x)
    }
    fn complete(&mut self, _: usize, peer: &Planes) {
        let products = self.cross.product(peer);
        self.square(products, 0);
    }
    fn result(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.x)
    }
}

impl Execution for SquareExecution<ServerProduct> {
    fn correct(&mut self, corrections: &Planes) {
        if self.square.share == ClientShare::Offline {
            self.cross.set_mask(corrections.clone());
        }
    }
    fn start(&mut self, x: Vec<u64>) {
        self.x = x;
    }
    fn half(&mut self, _: usize) -> Planes {
        self.cross.half(&self.x)
    }
    fn complete(&mut self, _: usize, peer: &Planes) {
        if self.square.share == ClientShare::Online {
            self.cross.set_mask(peer.clone());
        }
        let products = self.cross.product(&self.x);
        self.square(products, self.square.add);
    }
    fn result(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{all_pairs, execute};

    #[test]
    fn conformance_every_pair_of_shares_squares_and_rounds_up_or_down() {
        for share in [ClientShare::Offline, ClientShare::Online] {
            for (bits, drop) in [(4, 0), (6, 0), (6, 2)] {
                let (xs, xc) = all_pairs(bits - 1);
                let run = execute(
                    &Square { bits, add: (1 << drop) - 1, drop, share },
                    5,
                    (&xs, &xc),
                    &[],
                );
                for (lane, (s, c)) in xs.iter().zip(&xc).enumerate() {
                    let x = (s + c) & ring_mask(bits - 1);
                    // x + 2^(bits-1) has the same square modulo 2^bits.
                    let square = (x * x) & ring_mask(bits);
                    let kept = ring_mask(bits - drop);
                    let z = run.server[lane].wrapping_add(run.client[lane]) & kept;
                    let (low, up) = (square >> drop, (square + (1 << drop) - 1) >> drop);
                    assert!(z == low & kept || z == up & kept, "{s} + {c}: {z}");
                }
            }
        }
    }
}
