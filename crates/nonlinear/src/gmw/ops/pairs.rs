//! ANDs of shared bits, and words kept by shared bits.

use gazelle_convert::Planes;
use gazelle_convert::and::And as Masks;
use gazelle_convert::select::Select;
use zeroize::Zeroize;

use super::{OnlineOp, single, split};

/// The bit of [`Keep`]'s operand that tells whether the word is kept.
pub(crate) const KEPT: u32 = 63;

/// x y of bits 0 and 1 of each word.
pub(crate) struct And {
    masks: Masks,
    operands: Planes,
    product: Vec<u64>,
}

impl And {
    pub(crate) fn new(masks: Masks) -> Self {
        Self { masks, operands: Planes::default(), product: Vec::new() }
    }
}

impl OnlineOp for And {
    fn start(&mut self, mut x: Vec<u64>) {
        self.operands = Planes::from_words(&x, 2);
        x.zeroize();
    }
    fn half(&mut self, _opening: usize) -> Planes {
        self.masks.half(self.operands.lanes(), self.operands.plane(0), self.operands.plane(1))
    }
    fn complete(&mut self, _opening: usize, peer: &Planes) {
        self.product = self.masks.and(peer);
    }
    fn finish(&mut self) -> Vec<u64> {
        single(self.operands.lanes(), &self.product).to_words()
    }
}

impl Drop for And {
    fn drop(&mut self) {
        self.product.zeroize();
    }
}

/// d x; d is bit [`KEPT`] of each word. The client's x is known offline.
pub(crate) struct Keep {
    select: Select,
    bits: u32,
    server: bool,
    x: Vec<u64>,
    opened: Vec<u64>,
}

impl Keep {
    pub(crate) fn new(select: Select, bits: u32, server: bool) -> Self {
        Self { select, bits, server, x: Vec::new(), opened: Vec::new() }
    }
}

impl OnlineOp for Keep {
    fn start(&mut self, x: Vec<u64>) {
        self.x = x;
    }
    fn half(&mut self, _opening: usize) -> Planes {
        let d: Vec<u64> = self.x.iter().map(|x| x >> KEPT).collect();
        self.opened = self.select.mask(Planes::from_words(&d, 1).plane(0));
        let mut half = single(self.x.len(), &self.opened);
        if self.server {
            half.append(&self.select.first(&self.x));
        }
        half
    }
    fn complete(&mut self, _opening: usize, peer: &Planes) {
        let (d, first) = split(peer, 1);
        self.opened.iter_mut().zip(d.plane(0)).for_each(|(d, peer)| *d ^= peer);
        if !self.server {
            self.select.set_first(first);
        }
    }
    fn finish(&mut self) -> Vec<u64> {
        let mask = gazelle_share::shares::ring_mask(self.bits);
        self.x.iter_mut().for_each(|x| *x &= mask);
        self.select.select(&self.opened, &self.x)
    }
}

impl Drop for Keep {
    fn drop(&mut self) {
        self.x.zeroize();
        self.opened.zeroize();
    }
}
