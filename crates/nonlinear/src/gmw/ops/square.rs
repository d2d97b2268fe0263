//! Squares of shared values: `x_S^2 + x_C^2 + 2 x_S x_C` modulo `2^bits`.

use gazelle_convert::Planes;
use gazelle_convert::product::{ClientProduct, ServerProduct};
use gazelle_convert::sign::ClientShare;
use gazelle_share::shares::ring_mask;
use zeroize::Zeroize;

use super::OnlineOp;

/// One party of a square, with its product's end `P`.
pub(crate) struct Square<P> {
    cross: P,
    bits: u32,
    share: ClientShare,
    x: Vec<u64>,
}

impl<P> Square<P> {
    pub(crate) fn new(cross: P, bits: u32, share: ClientShare) -> Self {
        Self { cross, bits, share, x: Vec::new() }
    }

    /// `x^2 + 2 p`, in place of x.
    fn add(&mut self, mut products: Vec<u64>) {
        let mask = ring_mask(self.bits);
        for (x, p) in self.x.iter_mut().zip(&products) {
            *x = x.wrapping_mul(*x).wrapping_add(p << 1) & mask;
        }
        products.zeroize();
    }
}

impl<P> Drop for Square<P> {
    fn drop(&mut self) {
        self.x.zeroize();
    }
}

impl OnlineOp for Square<ClientProduct> {
    fn start(&mut self, x: Vec<u64>) {
        self.x = x;
    }
    fn half(&mut self, _opening: usize) -> Planes {
        self.cross.mask(&self.x)
    }
    fn complete(&mut self, _opening: usize, peer: &Planes) {
        let products = self.cross.product(peer);
        self.add(products);
    }
    fn finish(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.x)
    }
}

impl OnlineOp for Square<ServerProduct> {
    fn start(&mut self, x: Vec<u64>) {
        self.x = x;
    }
    fn half(&mut self, _opening: usize) -> Planes {
        self.cross.half(&self.x)
    }
    fn complete(&mut self, _opening: usize, peer: &Planes) {
        if self.share == ClientShare::Online {
            self.cross.set_mask(peer.clone());
        }
        let products = self.cross.product(&self.x);
        self.add(products);
    }
    fn finish(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.x)
    }
}
