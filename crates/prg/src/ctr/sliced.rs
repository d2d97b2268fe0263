//! The keystream in the vectors of WebAssembly.

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::BLOCK;
use crate::bitslice::{self, BLOCKS, Lanes, ROUND_KEYS, Simd128, SlicedRounds};

/// The round keys of one key. Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct CounterKeys([[u8; BLOCK]; ROUND_KEYS]);

/// The same, sliced, for as long as blocks are made.
pub(super) struct LentKeys(SlicedRounds<Simd128>);

impl CounterKeys {
    pub(super) fn new(key: &[u8; BLOCK]) -> Self {
        let mut rounds = bitslice::expand::<Simd128>(&[*key; BLOCKS]);
        let first = rounds.map(|[first, ..]| first);
        rounds.as_flattened_mut().as_flattened_mut().zeroize();
        Self(first)
    }

    /// Lends the sliced keys, and wipes them.
    pub(super) fn with(&self, act: impl FnOnce(&LentKeys)) {
        let mut keys = LentKeys(SlicedRounds::new(&self.0));
        act(&keys);
        keys.0.wipe();
    }
}

impl LentKeys {
    /// Encrypts blocks in place.
    pub(super) fn encrypt(&self, blocks: &mut [[u8; BLOCK]]) {
        for blocks in blocks.chunks_mut(BLOCKS) {
            let mut state = [Simd128::load(&[0; BLOCK]); BLOCKS];
            for (state, block) in state.iter_mut().zip(blocks.iter()) {
                *state = Simd128::load(block);
            }
            bitslice::encrypt(&self.0, &mut state);
            for (state, block) in state.into_iter().zip(blocks) {
                state.store(block);
            }
        }
    }
}
