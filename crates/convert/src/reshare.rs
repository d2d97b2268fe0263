//! Sharing a word anew under the client's mask r: C ends with r, S with z - r (protocol.md 5.4).
//!
//! | client | server |
//! |---|---|
//! | opening 0: f = `z_C` - r | z - r = `z_S` + f |
//!
//! Security: r is fresh and pseudorandom for S, and each r is used once. Cost: l bits from C.

use gazelle_prg::Prg;

use crate::operation::{Begun, Known, Operation, Rots};
use crate::planes::Planes;
use crate::reveal::{Hear, Sharing, Tell};

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
        Begun::silent(Tell::new(self.bits, Some(mask)))
    }
    fn server(&self, _: &mut Rots<'_>, _: &mut Prg) -> Begun {
        Begun::silent(Hear::new(self.bits, Sharing::Additive))
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
