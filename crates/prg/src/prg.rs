//! The pseudorandom generator: AES-128-CTR with a domain byte.

use std::convert::Infallible;

use aes::Aes128Enc;
use aes::cipher::KeyInit;
use getrandom::SysRng;
use rand_core::{Rng, TryCryptoRng, TryRng};
use zeroize::Zeroize;

use crate::ctr::{self, BLOCK};
use crate::error::PrgError;
use crate::seed::{FORK_DOMAIN, Seed};

/// Blocks kept ready for small reads.
const BUFFERED: usize = 32;

/// The stream of one seed and domain: bytes of `AES_seed(domain * 2^120 + i)`, i = 0, 1, ...
///
/// A byte stream: how it is cut into reads changes nothing. Wiped on drop; never printed.
pub struct Prg {
    cipher: Aes128Enc,
    domain: u8,
    /// Index of the next block that has not been produced.
    next: u128,
    buffer: [u8; BUFFERED * BLOCK],
    /// Bytes of `buffer` already handed out.
    used: usize,
}

impl Prg {
    /// The stream of `seed` for `domain` (0 to 254; 255 belongs to [`Seed::fork`]).
    pub fn new(seed: &Seed, domain: u8) -> Self {
        debug_assert_ne!(domain, FORK_DOMAIN, "domain 255 is reserved for forking");
        Self {
            cipher: Aes128Enc::new(seed.bytes().into()),
            domain,
            next: 0,
            buffer: [0; BUFFERED * BLOCK],
            used: BUFFERED * BLOCK,
        }
    }

    /// The next 16 bytes as a little-endian integer.
    pub fn next_u128(&mut self) -> u128 {
        let mut bytes = [0u8; 16];
        self.fill_bytes(&mut bytes);
        u128::from_le_bytes(bytes)
    }

    fn refill(&mut self) {
        let (blocks, _) = self.buffer.as_chunks_mut::<BLOCK>();
        ctr::keystream(&self.cipher, self.domain, self.next, blocks);
        self.next += BUFFERED as u128;
        self.used = 0;
    }

    /// Copies from the buffer as much as it has; returns what is left of `out`.
    fn drain<'a>(&mut self, out: &'a mut [u8]) -> &'a mut [u8] {
        let ready = self.buffer.get(self.used..).unwrap_or_default();
        let count = ready.len().min(out.len());
        let (now, later) = out.split_at_mut(count);
        if let Some(ready) = ready.get(..count) {
            now.copy_from_slice(ready);
        }
        self.used += count;
        later
    }
}

impl TryRng for Prg {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0u8; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0u8; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        let rest = self.drain(out);
        if rest.is_empty() {
            return Ok(());
        }
        // Long reads go straight to the caller's memory; a partial last block passes the buffer.
        let (blocks, tail) = rest.as_chunks_mut::<BLOCK>();
        let direct = if blocks.len() >= BUFFERED { blocks.len() } else { 0 };
        let (bulk, small) = blocks.split_at_mut(direct);
        ctr::keystream(&self.cipher, self.domain, self.next, bulk);
        self.next += bulk.len() as u128;
        for part in [small.as_flattened_mut(), tail] {
            let mut part = part;
            while !part.is_empty() {
                if self.used == self.buffer.len() {
                    self.refill();
                }
                part = self.drain(part);
            }
        }
        Ok(())
    }
}

impl TryCryptoRng for Prg {}

impl Drop for Prg {
    fn drop(&mut self) {
        self.buffer.zeroize();
    }
}

impl std::fmt::Debug for Prg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prg(..)")
    }
}

/// A generator keyed by fresh entropy of the operating system.
///
/// # Errors
/// [`PrgError::Entropy`] if the operating system gives none.
pub fn system_rng() -> Result<Prg, PrgError> {
    let mut bytes = [0u8; 16];
    SysRng.try_fill_bytes(&mut bytes)?;
    let prg = Prg::new(&Seed::from_bytes(bytes), 0);
    bytes.zeroize();
    Ok(prg)
}
