//! 128-bit seeds: the only form in which randomness is stored or sent.

use aes::Aes128Enc;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::ctr;

/// The counter's top byte under which seeds are forked; not available to [`Prg::new`](crate::Prg::new).
pub(crate) const FORK_DOMAIN: u8 = 0xff;

/// A 128-bit key. Wiped on drop; never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Seed([u8; 16]);

impl Seed {
    /// A uniform seed.
    pub fn random(rng: &mut (dyn CryptoRng + Send)) -> Self {
        let mut bytes = [0u8; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The seed with these bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, for sending a public seed or storing a secret one.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// An independent seed for (`domain`, `index`):
    /// `AES_seed(0xff || domain || 0^6 || index)`, all big-endian.
    ///
    /// Distinct (domain, index) give seeds that are pseudorandom together, and independent of every
    /// stream [`Prg::new(self, d)`](crate::Prg::new) with `d != 0xff`.
    #[must_use]
    pub fn fork(&self, domain: u8, index: u64) -> Self {
        let input = ctr::counter(FORK_DOMAIN, (u128::from(domain) << 112) | u128::from(index));
        let mut block = input.into();
        Aes128Enc::new(&self.0.into()).encrypt_block(&mut block);
        Self(block.into())
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(..)")
    }
}
