//! Random access to the stream of a seed, in blocks.

use crate::ctr::{self, BLOCK, Cipher};
use crate::seed::Seed;

/// The same bytes as [`Prg::new(seed, domain)`](crate::Prg::new), addressed by block index: for the
/// many parallel streams of an OT extension, whose position the caller keeps. Wiped on drop.
pub struct Keystream {
    cipher: Cipher,
    domain: u8,
}

impl Keystream {
    /// The stream of `seed` for `domain` (0 to 254).
    pub fn new(seed: &Seed, domain: u8) -> Self {
        Self { cipher: Cipher::new(seed.bytes()), domain }
    }

    /// Overwrites `out` with blocks `first`, `first + 1`, ... of the stream.
    pub fn fill(&self, first: u64, out: &mut [[u8; BLOCK]]) {
        ctr::keystream(&self.cipher, self.domain, u128::from(first), out);
    }
}

impl std::fmt::Debug for Keystream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keystream(..)")
    }
}
