//! Extension and selection at once: `d max(x, 0)` modulo `2^l` from XOR shares of d = `[x >= 0]` and
//! shares of x modulo `2^b`, without a message between the two (protocol.md 5.4, fused).
//!
//! With s, c the top bits of the shares and `X_S`, `X_C` the shares read as signed,
//! `y = X_S + X_C + 2^b s c` is x modulo `2^l` whenever x >= 0. c is known offline, s is opened as
//! m = s ^ sigma in S's first message, and then `y_S = X_S + 2^b (1 - 2m) pi_S`,
//! `y_C(m) = X_C + 2^b (m c + (1 - 2m) pi_C)` with pi the shares of sigma c. What C needs of `y_C` in
//! the selection is prepared for both m: `y_C(1) - y_C(0) = 2^b (c - 2 pi_C)`.
//!
//! X = ROT(S->C, l), Y = ROT(C->S, l + (l - b)), Z = ROT(C->S, l - b); Y' is Y's upper part.
//!
//! | | client ([`ClientFused`]) | server ([`ServerFused`]) |
//! |---|---|---|
//! | offline, C->S 3 l - 2 b bits | `begin`: tau = c - (`kZ1` - `kZ0`), `pi` = - `kZ0`; `lC` = `rho_X`; tq = (1 - 2 `lC`) `y_C(0)` - (`kY1` - `kY0`); tq' = (1 - 2 `lC`)(c - 2 pi) - (`kY1'` - `kY0'`) | `begin`: sigma = `rho_Z`, `lS` = `rho_Y`; `correct`: `pi` = `kZ` + sigma tau; q = `kY` + `lS` tq; q' = `kY'` + `lS` tq' |
//! | opening 0, S->C l + 1 bits | `take_first` | `send_first`: m; V = (1 - 2 `lS`) `y_S` - (`kX1` - `kX0`) |
//! | opening 1 | `mask`: `d_C` ^ `lC` | `mask`: `d_S` ^ `lS` |
//! | | `select`: D `y_C` + (1 - 2D)(`kX` + `lC` V + `lC` `y_C` - `kY0` - m `2^b` `kY0'`) | `select`: D `y_S` + (1 - 2D)(`lS` `y_S` - `kX0` + q + m `2^b` q') |
//!
//! Security. m: sigma is S's choice, which C never sees, opened once. V, tau, tq, tq' are padded by
//! differences of strings of which the receiver got one; the halves of D by `lC`, `lS`.
//!
//! Cost: one ROT from S to C, two from C to S; 3 l - 2 b bits from C offline; l + 1 bits from S and
//! one bit each way online. Needs 2 l - b <= 64.

#![expect(clippy::indexing_slicing, reason = "a lane's word and bit lie in vectors of one length")]

use gazelle_prg::Prg;
use gazelle_share::shares::{ring_mask, to_signed};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::operation::{Begun, ClientShare, Known, Operation, Rots};
use crate::planes::{Planes, bit, negate_if, xor};
use crate::relu::{ReluExecution, compared};
use crate::rot::{RotRecv, RotSend};
use crate::select::SelectPart;
use crate::sign::Sign;

/// `max(x, 0)` modulo `2^to` of x modulo `2^bits`, compared without the lowest `drop` bits; the
/// client's share is known offline. Needs `bits < to` and `2 to - bits <= 64`.
#[derive(Debug, Clone)]
pub struct Fused {
    bits: u32,
    drop: u32,
    to: u32,
    sign: Sign,
}

impl Fused {
    /// From `2^bits` to `2^to`.
    pub fn new(bits: u32, drop: u32, to: u32) -> Self {
        Self { bits, drop, to, sign: Sign::new(bits - drop, ClientShare::Offline) }
    }
}

impl Operation for Fused {
    fn operand_bits(&self) -> u32 {
        self.bits
    }
    fn result_bits(&self) -> u32 {
        self.to
    }
    fn client_share(&self) -> ClientShare {
        ClientShare::Offline
    }
    fn openings(&self) -> usize {
        self.sign.openings() + 1
    }
    fn planes(&self, opening: usize) -> (usize, usize) {
        if opening == self.sign.openings() {
            return (1, 1);
        }
        let (server, client) = self.sign.planes(opening);
        (server + if opening == 0 { self.to as usize + 1 } else { 0 }, client)
    }
    fn offline_planes(&self) -> (usize, usize) {
        let (server, client) = self.sign.offline_planes();
        (server, client + offline_planes(self.bits, self.to))
    }
    fn rots(&self) -> (usize, usize) {
        let (down, up) = self.sign.rots();
        (down + 1, up + 2)
    }
    fn client(&self, rots: &mut Rots<'_>, known: Known<'_>) -> Begun {
        let x = known.operand;
        let (sign, mut corrections) = self.sign.begin_client(&compared(x, self.drop), rots);
        let (select, message) =
            ClientFused::begin(self.bits, self.to, x, &mut rots.recv, &mut rots.send);
        corrections.append(&message);
        Begun::new(ReluExecution::new(&self.sign, self.drop, sign, select), corrections)
    }
    fn server(&self, rots: &mut Rots<'_>, _: &mut Prg) -> Begun {
        let (sign, corrections) = self.sign.begin_server(rots);
        let select = ServerFused::begin(self.bits, self.to, &mut rots.send, &mut rots.recv);
        Begun::new(ReluExecution::new(&self.sign, self.drop, sign, select), corrections)
    }
}

/// Planes that C sends offline, besides the sign's.
fn offline_planes(from: u32, to: u32) -> usize {
    (3 * to - 2 * from) as usize
}

/// The client, single use.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct ClientFused {
    from: u32,
    to: u32,
    /// `lC`.
    choice: Vec<u64>,
    /// `kX`, `kY0`, `kY0'`, pi.
    k: Planes,
    k0: Planes,
    k0_upper: Planes,
    pi: Planes,
    /// m and V.
    m: Vec<u64>,
    received: Planes,
}

/// The server, single use.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct ServerFused {
    from: u32,
    to: u32,
    /// `lS` and sigma.
    choice: Vec<u64>,
    sigma: Vec<u64>,
    /// `kX0`, `kX1 - kX0`; `kY`, `kY'`, `kZ`, then q, q', pi.
    k0: Planes,
    delta: Planes,
    q: Planes,
    q_upper: Planes,
    pi: Planes,
    /// m.
    m: Vec<u64>,
}

impl ClientFused {
    /// Offline: takes one position from S and two to S. x is this party's share modulo `2^from`.
    /// Gives tau, tq, tq' for S.
    pub(crate) fn begin(
        from: u32,
        to: u32,
        x: &[u64],
        from_server: &mut RotRecv<'_>,
        to_server: &mut RotSend<'_>,
    ) -> (Self, Planes) {
        let (choice, k) = from_server.words(to);
        let (y0, y1) = to_server.words(2 * to - from);
        let (z0, z1) = to_server.words(to - from);
        let strings = [k, y0, y1, z0, z1].map(Zeroizing::new);
        let [k, y0, y1, z0, z1] = &strings;
        let width = to - from;
        let mut words: [Zeroizing<Vec<u64>>; 4] = Default::default();
        let [pi, tau, tq, upper] = &mut words;
        for (lane, x) in x.iter().enumerate() {
            let c = x >> (from - 1) & 1;
            let p = z0[lane].wrapping_neg();
            pi.push(p);
            tau.push(c.wrapping_sub(z1[lane].wrapping_sub(z0[lane])));
            let y = (to_signed(*x, from) as u64).wrapping_add(p << from);
            let l = bit(&choice, lane);
            tq.push(negate_if(l, y).wrapping_sub(y1[lane].wrapping_sub(y0[lane])));
            let difference = c.wrapping_sub(p << 1);
            let pad = (y1[lane] >> to).wrapping_sub(y0[lane] >> to);
            upper.push(negate_if(l, difference).wrapping_sub(pad));
        }
        let mut message = Planes::from_words(tau, width);
        message.append(&Planes::from_words(tq, to));
        message.append(&Planes::from_words(upper, width));
        let k0_upper: Zeroizing<Vec<u64>> = Zeroizing::new(y0.iter().map(|y| y >> to).collect());
        let client = Self {
            from,
            to,
            k: Planes::from_words(k, to),
            k0: Planes::from_words(y0, to),
            k0_upper: Planes::from_words(&k0_upper, width),
            pi: Planes::from_words(pi, width),
            choice,
            m: Vec::new(),
            received: Planes::default(),
        };
        (client, message)
    }
}

impl SelectPart for ClientFused {
    /// Takes m and V: `to + 1` planes.
    fn take_first(&mut self, first: &Planes) {
        self.m = first.plane(0).to_vec();
        self.received = Planes::zeros(first.lanes(), 0);
        for i in 1..first.count() {
            self.received.push(first.plane(i));
        }
    }

    /// This party's half of D, from its share of d: one plane.
    fn mask(&self, d: &[u64]) -> Vec<u64> {
        xor(d, &self.choice)
    }

    /// This party's share of d x modulo `2^to`, from D and its share of x.
    fn select(&self, opened: &[u64], x: &[u64]) -> Vec<u64> {
        let mask = ring_mask(self.to);
        let planes = [&self.k, &self.k0, &self.k0_upper, &self.pi, &self.received];
        let [k, k0, upper, pi, v] = planes.map(|planes| Zeroizing::new(planes.to_words()));
        let select = |(lane, x): (usize, &u64)| {
            let (m, d, l) = (bit(&self.m, lane), bit(opened, lane), bit(&self.choice, lane));
            let product = (m & (x >> (self.from - 1))).wrapping_add(negate_if(m, pi[lane]));
            let y = (to_signed(*x, self.from) as u64).wrapping_add(product << self.from);
            let own = l.wrapping_neg() & v[lane].wrapping_add(y);
            let pads = k0[lane].wrapping_add((m.wrapping_neg() & upper[lane]) << self.from);
            let sum = k[lane].wrapping_add(own).wrapping_sub(pads);
            (d.wrapping_neg() & y).wrapping_add(negate_if(d, sum)) & mask
        };
        x.iter().enumerate().map(select).collect()
    }
}

impl ServerFused {
    /// Offline: takes one position to C and two from C.
    pub(crate) fn begin(
        from: u32,
        to: u32,
        to_client: &mut RotSend<'_>,
        from_client: &mut RotRecv<'_>,
    ) -> Self {
        let (k0, k1) = to_client.words(to);
        let (choice, y) = from_client.words(2 * to - from);
        let (sigma, z) = from_client.words(to - from);
        let strings = [k0, k1, y, z].map(Zeroizing::new);
        let [k0, k1, y, z] = &strings;
        let delta: Zeroizing<Vec<u64>> =
            Zeroizing::new(k1.iter().zip(k0.iter()).map(|(k1, k0)| k1.wrapping_sub(*k0)).collect());
        let upper: Zeroizing<Vec<u64>> = Zeroizing::new(y.iter().map(|y| y >> to).collect());
        Self {
            from,
            to,
            choice,
            sigma,
            k0: Planes::from_words(k0, to),
            delta: Planes::from_words(&delta, to),
            q: Planes::from_words(y, to),
            q_upper: Planes::from_words(&upper, to - from),
            pi: Planes::from_words(z, to - from),
            m: Vec::new(),
        }
    }

    fn y(&self, x: u64, pi: u64, m: u64) -> u64 {
        (to_signed(x, self.from) as u64).wrapping_add(negate_if(m, pi) << self.from)
    }
}

impl SelectPart for ServerFused {
    /// Offline, with tau, tq, tq'.
    fn correct(&mut self, message: &Planes) {
        let (width, to) = ((self.to - self.from) as usize, self.to as usize);
        let add = |string: &Planes, plane: &[u64], start: usize, count: usize| {
            let mut words = Zeroizing::new(string.to_words());
            let parts = Zeroizing::new(message.range_to_words(start, count));
            for (lane, (word, part)) in words.iter_mut().zip(parts.iter()).enumerate() {
                *word = word.wrapping_add(bit(plane, lane).wrapping_neg() & part);
            }
            Planes::from_words(&words, count as u32)
        };
        self.pi = add(&self.pi, &self.sigma, 0, width);
        self.q = add(&self.q, &self.choice, width, to);
        self.q_upper = add(&self.q_upper, &self.choice, width + to, width);
    }

    /// m and V of this party's share, for C: `to + 1` planes. Once only.
    fn send_first(&mut self, x: &[u64]) -> Planes {
        let top = Planes::from_words(
            &Zeroizing::new(x.iter().map(|x| x >> (self.from - 1)).collect::<Vec<u64>>()),
            1,
        );
        self.m = xor(top.plane(0), &self.sigma);
        let mut first = Planes::zeros(x.len(), 0);
        if !x.is_empty() {
            first.push(&self.m);
            first.trim();
            self.m = first.plane(0).to_vec();
        }
        let mut v = Zeroizing::new(std::mem::take(&mut self.delta).to_words());
        let pi = Zeroizing::new(self.pi.to_words());
        for (lane, (v, x)) in v.iter_mut().zip(x).enumerate() {
            let y = self.y(*x, pi[lane], bit(&self.m, lane));
            *v = negate_if(bit(&self.choice, lane), y).wrapping_sub(*v);
        }
        first.append(&Planes::from_words(&v, self.to));
        first
    }

    /// This party's half of D, from its share of d: one plane.
    fn mask(&self, d: &[u64]) -> Vec<u64> {
        xor(d, &self.choice)
    }

    /// This party's share of d x modulo `2^to`, from D and its share of x.
    fn select(&self, opened: &[u64], x: &[u64]) -> Vec<u64> {
        let mask = ring_mask(self.to);
        let planes = [&self.k0, &self.q, &self.q_upper, &self.pi];
        let [k0, q, upper, pi] = planes.map(|planes| Zeroizing::new(planes.to_words()));
        let select = |(lane, x): (usize, &u64)| {
            let (m, d, l) = (bit(&self.m, lane), bit(opened, lane), bit(&self.choice, lane));
            let y = self.y(*x, pi[lane], m);
            let other = q[lane].wrapping_add((m.wrapping_neg() & upper[lane]) << self.from);
            let sum = (l.wrapping_neg() & y).wrapping_sub(k0[lane]).wrapping_add(other);
            (d.wrapping_neg() & y).wrapping_add(negate_if(d, sum)) & mask
        };
        x.iter().enumerate().map(select).collect()
    }
}

#[cfg(test)]
/// The ideal version: the server's share of d x modulo `2^to` under the client's share `mask`, for
/// shares of x modulo `2^from` and d that is 0 wherever x is negative. Insecure: it sees all.
pub(crate) fn ideal(from: u32, to: u32, d: &[bool], x: &[u64], mask: &[u64]) -> Vec<u64> {
    let value = |(d, x): (&bool, &u64)| u64::from(*d) * (x & ring_mask(from));
    d.iter().zip(x).map(value).zip(mask).map(|(z, r)| z.wrapping_sub(*r) & ring_mask(to)).collect()
}

#[cfg(test)]
mod tests;
