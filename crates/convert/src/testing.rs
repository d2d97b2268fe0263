//! An ideal dealer of correlated OTs for one chunk. Insecure: one place sees everything.

use gazelle_block::hash::HashSeed;
use gazelle_block::{BitVec, Block, Delta};
use gazelle_prg::{Prg, Seed};

use crate::rot::{RotRecv, RotSend};

/// Correlated OTs in one direction, from a dealer.
pub struct Dealt {
    hash: HashSeed,
    y: Vec<Block>,
    z: Vec<Block>,
    choices: BitVec,
    delta: Delta,
}

impl Dealt {
    /// `count` OTs from `seed`.
    pub fn new(seed: u64, count: usize) -> Self {
        let mut bytes = [0x5a; 16];
        bytes.iter_mut().zip(seed.to_le_bytes()).for_each(|(b, s)| *b = s);
        let mut rng = Prg::new(&Seed::from_bytes(bytes), 1);
        let hash = HashSeed::new(&Seed::random(&mut rng));
        let delta = Delta::random(&mut rng);
        let mut y = vec![Block::ZERO; count];
        Block::fill_random(&mut y, &mut rng);
        for y in &mut y {
            *y = y.without_lsb();
        }
        let choices = BitVec::random(count, &mut rng);
        let z = y
            .iter()
            .zip(choices.iter())
            .map(|(y, choice)| *y ^ delta.block().select(choice))
            .collect();
        Self { hash, y, z, choices, delta }
    }

    /// The sender's view.
    pub fn send(&self, lanes: usize) -> RotSend<'_> {
        let mut send = RotSend::new(&self.hash, 0, &self.y, self.delta.block());
        send.set_lanes(lanes);
        send
    }

    /// The receiver's view.
    pub fn recv(&self, lanes: usize) -> RotRecv<'_> {
        let mut recv = RotRecv::new(&self.hash, 0, &self.z, &self.choices, 0);
        recv.set_lanes(lanes);
        recv
    }
}
