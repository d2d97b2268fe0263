//! Sharing a word anew under the client's mask r: C ends with r, S with z - r (protocol.md 5.4).
//!
//! | client | server |
//! |---|---|
//! | opening 0: f = `z_C` - r | z - r = `z_S` + f |
//!
//! Security: r is fresh and pseudorandom for S, and each r is used once. Cost: l bits from C.

use gazelle_prg::Prg;
use gazelle_share::shares::ring_mask;
use zeroize::Zeroize;

use crate::operation::{Begun, Execution, Known, Operation, Rots};
use crate::planes::Planes;

/// z - r modulo `2^bits`, for the server; r is [`Known::mask`], and the client ends with nothing.
#[derive(Debug, Clone)]
pub struct Reshare {
    /// Width of the ring.
    pub bits: u32,
}

impl Operation for Reshare {
    fn operand_bits(&self) -> u32 {
        self.bits
    }
    fn result_bits(&self) -> u32 {
        self.bits
    }
    fn planes(&self, _: usize) -> (usize, usize) {
        (0, self.bits as usize)
    }
    fn client(&self, _: &mut Rots<'_>, known: Known<'_>) -> Begun {
        let mask = Planes::from_words(known.mask, self.bits);
        Begun::silent(Client { mask, bits: self.bits, x: Vec::new() })
    }
    fn server(&self, _: &mut Rots<'_>, _: &mut Prg) -> Begun {
        Begun::silent(Server { bits: self.bits, x: Vec::new() })
    }
}

struct Client {
    mask: Planes,
    bits: u32,
    x: Vec<u64>,
}

impl Execution for Client {
    fn start(&mut self, x: Vec<u64>) {
        self.x = x;
    }
    fn half(&mut self, _: usize) -> Planes {
        self.x.iter_mut().zip(self.mask.to_words()).for_each(|(z, r)| *z = z.wrapping_sub(r));
        Planes::from_words(&self.x, self.bits)
    }
    fn result(&mut self) -> Vec<u64> {
        Vec::new()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.x.zeroize();
    }
}

struct Server {
    bits: u32,
    x: Vec<u64>,
}

impl Execution for Server {
    fn start(&mut self, x: Vec<u64>) {
        self.x = x;
    }
    fn complete(&mut self, _: usize, peer: &Planes) {
        let mask = ring_mask(self.bits);
        let f = peer.to_words();
        self.x.iter_mut().zip(&f).for_each(|(z, f)| *z = z.wrapping_add(*f) & mask);
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
    fn conformance_every_pair_of_shares_is_shared_anew_under_the_mask() {
        let (xs, xc) = all_pairs(4);
        let masks: Vec<u64> = (0..xs.len() as u64).map(|i| (i * 7) & 15).collect();
        let run = execute(&Reshare { bits: 4 }, 1, (&xs, &xc), &masks);
        assert!(run.client.is_empty());
        for (lane, (s, c)) in xs.iter().zip(&xc).enumerate() {
            assert_eq!(run.server[lane].wrapping_add(masks[lane]) & 15, (s + c) & 15);
        }
    }
}
