//! B2A: a bit f that is shared by XOR, as additive shares modulo `2^w` (protocol.md 5.9).
//!
//! sigma (S) and rho (C) mask the two shares of f: phi = sigma ^ rho. X = ROT(S->C, w - 1)
//!
//! | | client ([`ClientBit`]) | server ([`ServerBit`]) |
//! |---|---|---|
//! | offline, S->C w - 1 bits | rho = `rho_X`; A = rho - 2 (k + rho t) | sigma random; t = sigma - (k1 - k0) mod `2^(w-1)`; A = sigma + 2 k0 |
//! | opening | `half`: `f_C` ^ rho | `half`: `f_S` ^ sigma; F = XOR of both |
//! | | `bit`: (1 - 2 F) A | `bit`: F + (1 - 2 F) A |
//!
//! `(k + rho t) - k0 = sigma rho`, so that the two A add up to sigma + rho - 2 sigma rho = phi, and
//! f = F ^ phi = F + (1 - 2 F) phi.
//!
//! Security: t is padded by k1 - k0, of whose strings C saw one; sigma and rho are opened once each,
//! in F. Cost: one ROT from S to C; w - 1 bits from S offline; one bit each way.

use rand_core::Rng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use gazelle_share::shares::ring_mask;

use crate::planes::{Planes, bit, negate_if, xor};
use crate::rot::{RotRecv, RotSend};

/// Planes that S sends offline.
pub(crate) fn offline_planes(bits: u32) -> usize {
    bits as usize - 1
}

/// The client, single use.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct ClientBit {
    bits: u32,
    rho: Vec<u64>,
    /// A.
    share: Planes,
}

/// The server, single use.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct ServerBit {
    bits: u32,
    sigma: Vec<u64>,
    /// A.
    share: Planes,
}

impl ClientBit {
    /// Offline, before the exchange, modulo `2^bits`; takes one position.
    pub(crate) fn begin(bits: u32, from_server: &mut RotRecv<'_>) -> Self {
        let (rho, k) = from_server.words(bits);
        let k = Zeroizing::new(k);
        let share = |(lane, k): (usize, &u64)| bit(&rho, lane).wrapping_sub(k << 1);
        let share = Zeroizing::new(k.iter().enumerate().map(share).collect::<Vec<u64>>());
        Self { bits, share: Planes::from_words(&share, bits), rho }
    }

    /// Offline, with S's t.
    pub(crate) fn correct(&mut self, t: &Planes) {
        let (mut share, t) = (Zeroizing::new(self.share.to_words()), Zeroizing::new(t.to_words()));
        for (lane, (share, t)) in share.iter_mut().zip(t.iter()).enumerate() {
            *share = share.wrapping_sub((bit(&self.rho, lane).wrapping_neg() & t) << 1);
        }
        self.share = Planes::from_words(&share, self.bits);
    }

    /// This party's half of F, from its share of f: one plane, once only.
    pub(crate) fn half(&self, f: &[u64]) -> Vec<u64> {
        xor(f, &self.rho)
    }

    /// This party's share of f, from F.
    pub(crate) fn bit(&self, opened: &[u64]) -> Vec<u64> {
        let mask = ring_mask(self.bits);
        let share = Zeroizing::new(self.share.to_words());
        let bit = |(lane, a): (usize, &u64)| negate_if(bit(opened, lane), *a) & mask;
        share.iter().enumerate().map(bit).collect()
    }
}

impl ServerBit {
    /// Offline, before the exchange; takes one position. Gives t for C.
    pub(crate) fn begin(
        bits: u32,
        to_client: &mut RotSend<'_>,
        coins: &mut impl Rng,
    ) -> (Self, Planes) {
        let (k0, k1) = to_client.words(bits);
        let (k0, k1) = (Zeroizing::new(k0), Zeroizing::new(k1));
        let sigma: Vec<u64> = (0..k0.len().div_ceil(64)).map(|_| coins.next_u64()).collect();
        let (mut t, mut share) = (Zeroizing::new(Vec::new()), Zeroizing::new(Vec::new()));
        for (lane, (k0, k1)) in k0.iter().zip(k1.iter()).enumerate() {
            let sigma = bit(&sigma, lane);
            t.push(sigma.wrapping_sub(k1.wrapping_sub(*k0)));
            share.push(sigma.wrapping_add(k0 << 1));
        }
        let share = Planes::from_words(&share, bits);
        (Self { bits, sigma, share }, Planes::from_words(&t, bits - 1))
    }

    /// This party's half of F, from its share of f: one plane, once only.
    pub(crate) fn half(&self, f: &[u64]) -> Vec<u64> {
        xor(f, &self.sigma)
    }

    /// This party's share of f, from F.
    pub(crate) fn bit(&self, opened: &[u64]) -> Vec<u64> {
        let mask = ring_mask(self.bits);
        let share = Zeroizing::new(self.share.to_words());
        let bit = |(lane, a): (usize, &u64)| {
            let opened = bit(opened, lane);
            opened.wrapping_add(negate_if(opened, *a)) & mask
        };
        share.iter().enumerate().map(bit).collect()
    }
}

/// One party of the conversion, as operations see it.
pub(crate) trait BitPart: Send {
    /// Offline: takes the other party's corrections.
    fn correct(&mut self, corrections: &Planes);
    /// This party's half of F.
    fn half(&self, f: &[u64]) -> Vec<u64>;
    /// This party's share of f.
    fn bit(&self, opened: &[u64]) -> Vec<u64>;
}

impl BitPart for ClientBit {
    fn correct(&mut self, corrections: &Planes) {
        Self::correct(self, corrections);
    }
    fn half(&self, f: &[u64]) -> Vec<u64> {
        Self::half(self, f)
    }
    fn bit(&self, opened: &[u64]) -> Vec<u64> {
        Self::bit(self, opened)
    }
}

impl BitPart for ServerBit {
    fn correct(&mut self, _: &Planes) {}
    fn half(&self, f: &[u64]) -> Vec<u64> {
        Self::half(self, f)
    }
    fn bit(&self, opened: &[u64]) -> Vec<u64> {
        Self::bit(self, opened)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Modulo 8, all coins: both strings, both masks. The shares add up to f, and each party's view is
    /// the same for every share of the other's.
    #[test]
    fn conformance_and_transcript_over_all_coins() {
        type View = BTreeMap<[u64; 5], usize>;
        let bits = 3;
        let mut client_views: BTreeMap<u64, View> = BTreeMap::new();
        let mut server_views: BTreeMap<u64, View> = BTreeMap::new();
        for (fs, fc) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let (mut of_client, mut of_server) = (View::new(), View::new());
            for coins in 0..1u64 << 6 {
                let (k0, k1) = (coins & 3, coins >> 2 & 3);
                let (rho, sigma) = (coins >> 4 & 1, coins >> 5);
                let k = if rho == 1 { k1 } else { k0 };
                let words = |word: u64, bits: u32| Planes::from_words(&[word], bits);
                // As in `begin`, on these strings.
                let share = words(rho.wrapping_sub(k << 1), bits);
                let mut client = ClientBit { bits, rho: vec![rho], share };
                let share = words(sigma.wrapping_add(k0 << 1), bits);
                let server = ServerBit { bits, sigma: vec![sigma], share };
                let t = sigma.wrapping_sub(k1.wrapping_sub(k0)) & 3;
                client.correct(&words(t, bits - 1));
                let (c, s) = (client.half(&[fc]), server.half(&[fs]));
                *of_client.entry([rho, k, t, s[0], fc]).or_default() += 1;
                *of_server.entry([k0, k1, sigma, c[0], fs]).or_default() += 1;
                let opened = xor(&c, &s);
                let sum = client.bit(&opened)[0].wrapping_add(server.bit(&opened)[0]) & 7;
                assert_eq!(sum, fs ^ fc, "{coins:b}");
            }
            assert!(*client_views.entry(fc).or_insert_with(|| of_client.clone()) == of_client);
            assert!(*server_views.entry(fs).or_insert_with(|| of_server.clone()) == of_server);
        }
        assert_eq!((client_views.len(), server_views.len()), (2, 2));
    }
}
