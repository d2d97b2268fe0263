//! ReLU and extension at once.

use gazelle_convert::Planes;
use gazelle_convert::fused::{ClientFused, ServerFused};
use gazelle_convert::sign::{ClientSign, ServerSign};
use zeroize::Zeroize;

use super::{OnlineOp, compared, single, split};

/// One party: its sign and its selection; the client's share is known offline.
pub(crate) struct Fused<S, F> {
    tree: S,
    select: F,
    bits: u32,
    drop: u32,
    levels: usize,
    x: Vec<u64>,
    opened: Vec<u64>,
}

impl<S, F> Fused<S, F> {
    pub(crate) fn new(tree: S, select: F, bits: u32, drop: u32, levels: usize) -> Self {
        Self { tree, select, bits, drop, levels, x: Vec::new(), opened: Vec::new() }
    }

    fn open(&mut self, peer: &Planes) {
        self.opened.iter_mut().zip(peer.plane(0)).for_each(|(d, peer)| *d ^= peer);
    }
}

impl<S, F> Drop for Fused<S, F> {
    fn drop(&mut self) {
        self.x.zeroize();
        self.opened.zeroize();
    }
}

impl OnlineOp for Fused<ClientSign, ClientFused> {
    fn start(&mut self, x: Vec<u64>) {
        self.x = x;
    }
    fn half(&mut self, opening: usize) -> Planes {
        if opening <= self.levels {
            return self.tree.half(opening);
        }
        self.opened = self.select.mask(&self.tree.sign());
        single(self.x.len(), &self.opened)
    }
    fn complete(&mut self, opening: usize, peer: &Planes) {
        if opening > self.levels {
            self.open(peer);
        } else if opening == 0 {
            let (m, first) = split(peer, (self.bits - self.drop) as usize - 1);
            self.select.set_first(&first);
            self.tree.complete(0, &m);
        } else {
            self.tree.complete(opening, peer);
        }
    }
    fn finish(&mut self) -> Vec<u64> {
        self.select.select(&self.opened, &self.x)
    }
}

impl OnlineOp for Fused<ServerSign, ServerFused> {
    fn start(&mut self, x: Vec<u64>) {
        self.tree.set_share(compared(&x, self.bits, self.drop));
        self.x = x;
    }
    fn half(&mut self, opening: usize) -> Planes {
        if opening > self.levels {
            // d = not msb: the server adds the constant.
            let d: Vec<u64> = self.tree.sign().iter().map(|sign| !sign).collect();
            self.opened = self.select.mask(&d);
            return single(self.x.len(), &self.opened);
        }
        let mut half = self.tree.half(opening);
        if opening == 0 {
            half.append(&self.select.first(&self.x));
        }
        half
    }
    fn complete(&mut self, opening: usize, peer: &Planes) {
        if opening > self.levels {
            self.open(peer);
        } else {
            self.tree.complete(opening, peer);
        }
    }
    fn finish(&mut self) -> Vec<u64> {
        self.select.select(&self.opened, &self.x)
    }
}
