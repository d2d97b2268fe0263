//! Operations online, for either party: halves of openings in, shares out.

mod election;
mod fused;
mod pairs;
mod square;

use gazelle_convert::Planes;
use gazelle_convert::extend::{ClientExtend, ServerExtend};
use gazelle_convert::select::Select;
use gazelle_convert::sign::{ClientShare, ClientSign, ServerSign};
use gazelle_share::shares::ring_mask;
use zeroize::{Zeroize, Zeroizing};

pub(crate) use election::{ClientElection, ClientReveal, ServerElection, ServerReveal, Sign};
pub(crate) use fused::Fused;
pub(crate) use pairs::{And, KEPT, Keep};
pub(crate) use square::Square;

/// One operation of one chunk at one party. Openings come in order: `half`, then `complete`.
pub(crate) trait OnlineOp: Send {
    /// Takes this party's share.
    fn start(&mut self, x: Vec<u64>);
    /// This party's half of an opening; not called for empty ones.
    fn half(&mut self, opening: usize) -> Planes;
    /// Takes the peer's half (without planes if it has none).
    fn complete(&mut self, opening: usize, peer: &Planes);
    /// This party's share of the result.
    fn finish(&mut self) -> Vec<u64>;
}

/// One plane as planes.
fn single(lanes: usize, plane: &[u64]) -> Planes {
    let mut planes = Planes::zeros(lanes, 0);
    planes.push(plane);
    planes
}

/// The first `count` planes, and the rest.
fn split(planes: &Planes, count: usize) -> (Planes, Planes) {
    let (mut head, mut tail) = (Planes::zeros(planes.lanes(), 0), Planes::zeros(planes.lanes(), 0));
    for i in 0..planes.count() {
        if i < count { head.push(planes.plane(i)) } else { tail.push(planes.plane(i)) }
    }
    (head, tail)
}

/// The bits of a share that are compared: without the lowest `drop`.
pub(crate) fn compared(x: &[u64], bits: u32, drop: u32) -> Planes {
    let shifted = Zeroizing::new(x.iter().map(|x| x >> drop).collect::<Vec<u64>>());
    Planes::from_words(&shifted, bits - drop)
}

/// What client and server have in common.
pub(crate) struct Relu<S> {
    pub(crate) sign: S,
    pub(crate) select: Select,
    pub(crate) bits: u32,
    pub(crate) drop: u32,
    pub(crate) share: ClientShare,
    pub(crate) levels: usize,
    x: Vec<u64>,
    /// This party's half of D, then D.
    opened: Vec<u64>,
}

impl<S> Relu<S> {
    pub(crate) fn new(
        sign: S,
        select: Select,
        (bits, drop): (u32, u32),
        share: ClientShare,
        levels: usize,
    ) -> Self {
        Self { sign, select, bits, drop, share, levels, x: Vec::new(), opened: Vec::new() }
    }

    fn open(&mut self, peer: &Planes) {
        self.opened.iter_mut().zip(peer.plane(0)).for_each(|(d, peer)| *d ^= peer);
    }

    fn selected(&mut self) -> Vec<u64> {
        self.select.select(&self.opened, &self.x)
    }

    fn mask(&mut self, d: &[u64]) -> Planes {
        self.opened = self.select.mask(d);
        single(self.x.len(), &self.opened)
    }
}

impl<S> Drop for Relu<S> {
    fn drop(&mut self) {
        self.x.zeroize();
        self.opened.zeroize();
    }
}

impl OnlineOp for Relu<ClientSign> {
    fn start(&mut self, x: Vec<u64>) {
        if self.share == ClientShare::Online {
            self.sign.set_share(compared(&x, self.bits, self.drop));
        }
        self.x = x;
    }

    fn half(&mut self, opening: usize) -> Planes {
        if opening > self.levels {
            let sign = self.sign.sign();
            return self.mask(&sign);
        }
        let mut half = self.sign.half(opening);
        if opening == 0 {
            half.append(&self.select.first(&self.x));
        }
        half
    }

    fn complete(&mut self, opening: usize, peer: &Planes) {
        if opening > self.levels {
            self.open(peer);
        } else if opening == 0 {
            let (m, first) = split(peer, (self.bits - self.drop) as usize - 1);
            self.select.set_first(first);
            self.sign.complete(0, &m);
        } else {
            self.sign.complete(opening, peer);
        }
    }

    fn finish(&mut self) -> Vec<u64> {
        self.selected()
    }
}

impl OnlineOp for Relu<ServerSign> {
    fn start(&mut self, x: Vec<u64>) {
        self.sign.set_share(compared(&x, self.bits, self.drop));
        self.x = x;
    }

    fn half(&mut self, opening: usize) -> Planes {
        if opening > self.levels {
            // d = not msb: the server adds the constant.
            let d: Vec<u64> = self.sign.sign().iter().map(|sign| !sign).collect();
            return self.mask(&d);
        }
        let mut half = self.sign.half(opening);
        if opening == 0 {
            half.append(&self.select.first(&self.x));
        }
        half
    }

    fn complete(&mut self, opening: usize, peer: &Planes) {
        if opening > self.levels {
            self.open(peer);
        } else if opening == 0 && self.share == ClientShare::Online {
            let (e, first) = split(peer, (self.bits - self.drop) as usize - 1);
            self.select.set_first(first);
            self.sign.complete(0, &e);
        } else {
            self.sign.complete(opening, peer);
        }
    }

    fn finish(&mut self) -> Vec<u64> {
        self.selected()
    }
}

/// An extension.
pub(crate) struct Extend<E> {
    op: E,
    x: Vec<u64>,
    peer: Vec<u64>,
}

impl<E> Extend<E> {
    pub(crate) fn new(op: E) -> Self {
        Self { op, x: Vec::new(), peer: Vec::new() }
    }
}

impl<E> Drop for Extend<E> {
    fn drop(&mut self) {
        self.x.zeroize();
    }
}

macro_rules! extend_op {
    ($name:ident) => {
        impl OnlineOp for Extend<$name> {
            fn start(&mut self, x: Vec<u64>) {
                self.x = x;
            }
            fn half(&mut self, _opening: usize) -> Planes {
                single(self.x.len(), &self.op.half(&self.x))
            }
            fn complete(&mut self, _opening: usize, peer: &Planes) {
                self.peer = peer.plane(0).to_vec();
            }
            fn finish(&mut self) -> Vec<u64> {
                self.op.extend(&self.x, &self.peer)
            }
        }
    };
}

extend_op!(ClientExtend);
extend_op!(ServerExtend);

/// The client's end of re-sharing: sends Z - r.
pub(crate) struct ClientReshare {
    /// r.
    pub(crate) mask: Planes,
    pub(crate) bits: u32,
    pub(crate) x: Vec<u64>,
}

impl OnlineOp for ClientReshare {
    fn start(&mut self, x: Vec<u64>) {
        self.x = x;
    }
    fn half(&mut self, _opening: usize) -> Planes {
        let mask = self.mask.to_words();
        self.x.iter_mut().zip(&mask).for_each(|(z, r)| *z = z.wrapping_sub(*r));
        Planes::from_words(&self.x, self.bits)
    }
    fn complete(&mut self, _opening: usize, _peer: &Planes) {}
    fn finish(&mut self) -> Vec<u64> {
        Vec::new()
    }
}

impl Drop for ClientReshare {
    fn drop(&mut self) {
        self.x.zeroize();
    }
}

/// The server's end: z - r = Z + f.
#[derive(Default)]
pub(crate) struct ServerReshare {
    pub(crate) bits: u32,
    x: Vec<u64>,
}

impl ServerReshare {
    pub(crate) fn new(bits: u32) -> Self {
        Self { bits, x: Vec::new() }
    }
}

impl OnlineOp for ServerReshare {
    fn start(&mut self, x: Vec<u64>) {
        self.x = x;
    }
    fn half(&mut self, _opening: usize) -> Planes {
        Planes::default()
    }
    fn complete(&mut self, _opening: usize, peer: &Planes) {
        let mask = ring_mask(self.bits);
        let f = peer.to_words();
        self.x.iter_mut().zip(&f).for_each(|(z, f)| *z = z.wrapping_add(*f) & mask);
    }
    fn finish(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.x)
    }
}
