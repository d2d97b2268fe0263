//! Signs alone, elections, and what the client learns.

use gazelle_convert::Planes;
use gazelle_convert::elect::{ClientElect, ServerElect};
use gazelle_convert::sign::{ClientShare, ClientSign, ServerSign};
use gazelle_share::shares::ring_mask;
use zeroize::Zeroize;

use super::{OnlineOp, single};

/// A plane of bits as words 0 or 1.
fn bits(lanes: usize, plane: &[u64]) -> Vec<u64> {
    single(lanes, plane).to_words()
}

/// The sign of x: its shares as words 0 or 1.
pub(crate) struct Sign<S> {
    tree: S,
    bits: u32,
    share: ClientShare,
    lanes: usize,
}

impl<S> Sign<S> {
    pub(crate) fn new(tree: S, bits: u32, share: ClientShare) -> Self {
        Self { tree, bits, share, lanes: 0 }
    }
}

impl OnlineOp for Sign<ClientSign> {
    fn start(&mut self, mut x: Vec<u64>) {
        self.lanes = x.len();
        if self.share == ClientShare::Online {
            self.tree.set_share(Planes::from_words(&x, self.bits));
        }
        x.zeroize();
    }
    fn half(&mut self, opening: usize) -> Planes {
        self.tree.half(opening)
    }
    fn complete(&mut self, opening: usize, peer: &Planes) {
        self.tree.complete(opening, peer);
    }
    fn finish(&mut self) -> Vec<u64> {
        bits(self.lanes, &self.tree.sign())
    }
}

impl OnlineOp for Sign<ServerSign> {
    fn start(&mut self, mut x: Vec<u64>) {
        self.lanes = x.len();
        self.tree.set_share(Planes::from_words(&x, self.bits));
        x.zeroize();
    }
    fn half(&mut self, opening: usize) -> Planes {
        self.tree.half(opening)
    }
    fn complete(&mut self, opening: usize, peer: &Planes) {
        self.tree.complete(opening, peer);
    }
    fn finish(&mut self) -> Vec<u64> {
        bits(self.lanes, &self.tree.sign())
    }
}

/// The client of an election.
pub(crate) struct ClientElection {
    elect: ClientElect,
    /// Its share of the comparisons, one plane.
    c: Planes,
}

impl ClientElection {
    pub(crate) fn new(elect: ClientElect) -> Self {
        Self { elect, c: Planes::default() }
    }
}

impl OnlineOp for ClientElection {
    fn start(&mut self, mut x: Vec<u64>) {
        self.c = Planes::from_words(&x, 1);
        x.zeroize();
    }
    fn half(&mut self, _opening: usize) -> Planes {
        single(self.c.lanes(), &self.elect.half(self.c.plane(0)))
    }
    fn complete(&mut self, _opening: usize, _peer: &Planes) {}
    fn finish(&mut self) -> Vec<u64> {
        self.elect.rows()
    }
}

/// The server of an election.
pub(crate) struct ServerElection {
    elect: ServerElect,
    c: Planes,
}

impl ServerElection {
    pub(crate) fn new(elect: ServerElect) -> Self {
        Self { elect, c: Planes::default() }
    }
}

impl OnlineOp for ServerElection {
    fn start(&mut self, mut x: Vec<u64>) {
        self.c = Planes::from_words(&x, 1);
        x.zeroize();
    }
    fn half(&mut self, _opening: usize) -> Planes {
        Planes::default()
    }
    fn complete(&mut self, _opening: usize, peer: &Planes) {
        self.elect.complete(self.c.plane(0), peer.plane(0));
    }
    fn finish(&mut self) -> Vec<u64> {
        self.elect.rows()
    }
}

/// The client's end of a reveal: it learns the words.
pub(crate) struct ClientReveal {
    bits: u32,
    xor: bool,
    x: Vec<u64>,
}

impl ClientReveal {
    pub(crate) fn new(bits: u32, xor: bool) -> Self {
        Self { bits, xor, x: Vec::new() }
    }
}

impl OnlineOp for ClientReveal {
    fn start(&mut self, x: Vec<u64>) {
        self.x = x;
    }
    fn half(&mut self, _opening: usize) -> Planes {
        Planes::default()
    }
    fn complete(&mut self, _opening: usize, peer: &Planes) {
        let mask = ring_mask(self.bits);
        for (x, peer) in self.x.iter_mut().zip(peer.to_words()) {
            *x = if self.xor { *x ^ peer } else { x.wrapping_add(peer) } & mask;
        }
    }
    fn finish(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.x)
    }
}

impl Drop for ClientReveal {
    fn drop(&mut self) {
        self.x.zeroize();
    }
}

/// The server's end: it sends its share.
pub(crate) struct ServerReveal {
    bits: u32,
    x: Vec<u64>,
}

impl ServerReveal {
    pub(crate) fn new(bits: u32) -> Self {
        Self { bits, x: Vec::new() }
    }
}

impl OnlineOp for ServerReveal {
    fn start(&mut self, x: Vec<u64>) {
        self.x = x;
    }
    fn half(&mut self, _opening: usize) -> Planes {
        Planes::from_words(&self.x, self.bits)
    }
    fn complete(&mut self, _opening: usize, _peer: &Planes) {}
    fn finish(&mut self) -> Vec<u64> {
        Vec::new()
    }
}

impl Drop for ServerReveal {
    fn drop(&mut self) {
        self.x.zeroize();
    }
}
