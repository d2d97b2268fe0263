//! Revealing words to the client: S sends its share.
//!
//! | client | server |
//! |---|---|
//! | z = `z_C` + `z_S`, or their XOR | opening 0: `z_S` |
//!
//! What C learns is z and nothing else: given z and its own share, S's share follows. Cost: the
//! word's bits, from S.

use gazelle_prg::Prg;
use gazelle_share::shares::ring_mask;
use zeroize::Zeroize;

use crate::operation::{Begun, Execution, Known, Operation, Rots};
use crate::planes::Planes;

/// How the parties share a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// By addition modulo a power of two.
    Additive,
    /// By XOR.
    Xor,
}

/// The client learns the words; the server ends with nothing.
#[derive(Debug, Clone)]
pub struct Reveal {
    /// Width of the words.
    pub bits: u32,
    /// How they are shared.
    pub sharing: Sharing,
}

impl Operation for Reveal {
    fn operand_bits(&self) -> u32 {
        self.bits
    }
    fn result_bits(&self) -> u32 {
        self.bits
    }
    fn planes(&self, _: usize) -> (usize, usize) {
        (self.bits as usize, 0)
    }
    fn client(&self, _: &mut Rots<'_>, _: Known<'_>) -> Begun {
        Begun::silent(Hear::new(self.bits, self.sharing))
    }
    fn server(&self, _: &mut Rots<'_>, _: &mut Prg) -> Begun {
        Begun::silent(Tell::new(self.bits, None))
    }
}

/// Whoever tells its words: less a mask, where there is one.
pub(crate) struct Tell {
    bits: u32,
    mask: Option<Planes>,
    x: Vec<u64>,
}

impl Tell {
    pub(crate) fn new(bits: u32, mask: Option<Planes>) -> Self {
        Self { bits, mask, x: Vec::new() }
    }
}

impl Execution for Tell {
    fn start(&mut self, x: Vec<u64>) {
        self.x = x;
    }
    fn half(&mut self, _: usize) -> Planes {
        if let Some(mask) = &self.mask {
            self.x.iter_mut().zip(mask.to_words()).for_each(|(z, r)| *z = z.wrapping_sub(r));
        }
        Planes::from_words(&self.x, self.bits)
    }
    fn result(&mut self) -> Vec<u64> {
        Vec::new()
    }
}

impl Drop for Tell {
    fn drop(&mut self) {
        self.x.zeroize();
    }
}

/// Whoever hears them: adds them to its own.
pub(crate) struct Hear {
    bits: u32,
    sharing: Sharing,
    x: Vec<u64>,
}

impl Hear {
    pub(crate) fn new(bits: u32, sharing: Sharing) -> Self {
        Self { bits, sharing, x: Vec::new() }
    }
}

impl Execution for Hear {
    fn start(&mut self, x: Vec<u64>) {
        self.x = x;
    }
    fn complete(&mut self, _: usize, peer: &Planes) {
        let mask = ring_mask(self.bits);
        for (x, peer) in self.x.iter_mut().zip(peer.to_words()) {
            let sum = match self.sharing {
                Sharing::Additive => x.wrapping_add(peer),
                Sharing::Xor => *x ^ peer,
            };
            *x = sum & mask;
        }
    }
    fn result(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.x)
    }
}

impl Drop for Hear {
    fn drop(&mut self) {
        self.x.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{all_pairs, execute};

    #[test]
    fn conformance_every_pair_of_shares_is_revealed_to_the_client_alone() {
        let (xs, xc) = all_pairs(4);
        for sharing in [Sharing::Additive, Sharing::Xor] {
            let run = execute(&Reveal { bits: 4, sharing }, 1, (&xs, &xc), &[]);
            assert!(run.server.is_empty());
            for (z, (s, c)) in run.client.iter().zip(xs.iter().zip(&xc)) {
                let sum = if sharing == Sharing::Xor { s ^ c } else { (s + c) & 15 };
                assert_eq!(*z, sum);
            }
        }
    }
}
