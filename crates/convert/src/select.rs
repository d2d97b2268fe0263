//! Selection: `d x` modulo `2^b` from XOR shares of the bit d and additive shares of x
//! (protocol.md 5.3, 5.8).
//!
//! | | client ([`ClientSelect`]) | server ([`ServerSelect`]) |
//! |---|---|---|
//! | offline | `begin`: tq = (1 - 2 `lC`) `x_C` - (k1 - k0), to S (if `x_C` is known) | `finish` with tq: q = k + `lS` tq |
//! | opening 0 | `first`, `set_first`: `V_C` like tq (if `x_C` is only known online) | `first`: V = (1 - 2 `lS`) `x_S` - (k1 - k0) |
//! | opening 1 | `mask`: `d_C` ^ `lC` | `mask`: `d_S` ^ `lS` |
//! | | `select`: D `x_C` + (1 - 2 D)(w + q) | `select` |
//!
//! Cost per element: b bits from S online, b bits from C (offline or online), one opened bit each
//! way, one ROT of b bits in each direction.

#![expect(clippy::indexing_slicing, reason = "a lane's word and bit lie in vectors of one length")]

use gazelle_share::shares::ring_mask;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::planes::Planes;
use crate::rot::{RotRecv, RotSend};

/// `-bit`, so all ones or zero, of each lane.
fn spread(plane: &[u64], lane: usize) -> u64 {
    (plane[lane / 64] >> (lane % 64) & 1).wrapping_neg()
}

/// `(1 - 2 bit) word`.
fn negate_if(minus_bit: u64, word: u64) -> u64 {
    (word ^ minus_bit).wrapping_sub(minus_bit)
}

/// The part that both parties have.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Half {
    bits: u32,
    /// `lC` or `lS`.
    choice: Vec<u64>,
    /// The received string, b planes.
    string: Planes,
    /// k0 of the sent strings, b planes.
    k0: Planes,
    /// k1 - k0, b planes.
    delta: Planes,
}

impl Half {
    fn begin(bits: u32, send: &mut RotSend<'_>, recv: &mut RotRecv<'_>, sends_first: bool) -> Self {
        let (k0, k1, choice, string);
        // The order of positions is per direction; only the calls' order within one matters.
        if sends_first {
            (k0, k1) = send.words();
            (choice, string) = recv.words();
        } else {
            (choice, string) = recv.words();
            (k0, k1) = send.words();
        }
        let delta: Vec<u64> = k0.iter().zip(&k1).map(|(k0, k1)| k1.wrapping_sub(*k0)).collect();
        Self {
            bits,
            choice,
            string: Planes::from_words(&string, bits),
            k0: Planes::from_words(&k0, bits),
            delta: Planes::from_words(&delta, bits),
        }
    }

    /// `(1 - 2 l) x - (k1 - k0)`.
    fn transfer(&self, x: &[u64]) -> Planes {
        let mut words = self.delta.to_words();
        for (lane, (word, x)) in words.iter_mut().zip(x).enumerate() {
            *word = negate_if(spread(&self.choice, lane), *x).wrapping_sub(*word);
        }
        Planes::from_words(&words, self.bits)
    }

    /// `l x - k0 + k + l V`: this party's share of both cross products.
    fn products(&self, x: &[u64], received: &Planes) -> Vec<u64> {
        let (k0, received) = (self.k0.to_words(), received.to_words());
        let mut words = self.string.to_words();
        for (lane, word) in words.iter_mut().enumerate() {
            let bit = spread(&self.choice, lane);
            let own = (bit & x[lane]).wrapping_sub(k0[lane]);
            *word = word.wrapping_add(own).wrapping_add(bit & received[lane]);
        }
        words
    }
}

/// `D x + (1 - 2 D) products mod 2^b`.
fn combine(bits: u32, opened: &[u64], x: &[u64], products: &[u64]) -> Vec<u64> {
    let mask = ring_mask(bits);
    x.iter()
        .zip(products)
        .enumerate()
        .map(|(lane, (x, product))| {
            let d = spread(opened, lane);
            (d & x).wrapping_add(negate_if(d, *product)) & mask
        })
        .collect()
}

/// One party of one selection, single use. Client and server are alike but for what is known when.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Select {
    half: Half,
    /// What the other party sent: V, `V_C` or tq.
    received: Planes,
}

/// The client of a selection.
pub type ClientSelect = Select;
/// The server of a selection.
pub type ServerSelect = Select;

impl Select {
    /// Offline at the client: takes one position of each direction.
    pub fn begin_client(
        bits: u32,
        from_server: &mut RotRecv<'_>,
        to_server: &mut RotSend<'_>,
    ) -> Self {
        Self { half: Half::begin(bits, to_server, from_server, false), received: Planes::default() }
    }

    /// Offline at the server: takes one position of each direction.
    pub fn begin_server(
        bits: u32,
        to_client: &mut RotSend<'_>,
        from_client: &mut RotRecv<'_>,
    ) -> Self {
        Self { half: Half::begin(bits, to_client, from_client, true), received: Planes::default() }
    }

    /// V, `V_C` or tq of this party's share x, for the other party: b planes.
    #[must_use]
    pub fn first(&self, x: &[u64]) -> Planes {
        self.half.transfer(x)
    }

    /// Takes the other party's [`first`](Self::first).
    pub fn set_first(&mut self, received: Planes) {
        self.received = received;
    }

    /// This party's half of D, from its share of d: one plane.
    #[must_use]
    pub fn mask(&self, d: &[u64]) -> Vec<u64> {
        d.iter().zip(&self.half.choice).map(|(d, l)| d ^ l).collect()
    }

    /// This party's share of d x, from the opened D and its share x.
    #[must_use]
    pub fn select(&self, opened: &[u64], x: &[u64]) -> Vec<u64> {
        combine(self.half.bits, opened, x, &self.half.products(x, &self.received))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dealt;

    #[test]
    fn conformance_selection_of_every_value_by_every_sharing_of_the_bit() {
        let bits = 5;
        let (mut xs, mut xc) = (Vec::new(), Vec::new());
        for s in 0..32u64 {
            for c in 0..32u64 {
                for _ in 0..4 {
                    xs.push(s);
                    xc.push(c);
                }
            }
        }
        let lanes = xs.len();
        let ds = vec![
                0b1100_1100_1100_1100_1100_1100_1100_1100_1100_1100_1100_1100_1100_1100_1100_1100;
                lanes / 64
            ];
        let dc = vec![0xaaaa_aaaa_aaaa_aaaa; lanes / 64];
        for seed in 0..4 {
            let (down, up) = (Dealt::new(2 * seed, lanes), Dealt::new(2 * seed + 1, lanes));
            let mut client = Select::begin_client(bits, &mut down.recv(lanes), &mut up.send(lanes));
            let mut server = Select::begin_server(bits, &mut down.send(lanes), &mut up.recv(lanes));
            let (tq, v) = (client.first(&xc), server.first(&xs));
            server.set_first(tq);
            client.set_first(v);
            let opened: Vec<u64> =
                client.mask(&dc).iter().zip(server.mask(&ds)).map(|(a, b)| a ^ b).collect();
            let (zc, zs) = (client.select(&opened, &xc), server.select(&opened, &xs));
            for lane in 0..lanes {
                let d = (dc[lane / 64] ^ ds[lane / 64]) >> (lane % 64) & 1;
                let expected = (d * (xs[lane] + xc[lane])) & 31;
                assert_eq!(zc[lane].wrapping_add(zs[lane]) & 31, expected);
            }
        }
    }
}
