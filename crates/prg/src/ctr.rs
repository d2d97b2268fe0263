//! AES-128 in counter mode, the one stream cipher of the workspace.
//!
//! Block `i` of domain `d` under key `K` is `AES_K(d * 2^120 + i)`, the counter written big-endian:
//! what `openssl enc -aes-128-ctr -K <seed> -iv <d>000...0` produces for an all-zero input.

#[cfg(target_feature = "simd128")]
mod sliced;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(any(test, not(target_feature = "simd128")))]
use aes::Aes128Enc;
#[cfg(any(test, not(target_feature = "simd128")))]
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit, consts::U16};

/// One expanded key; wiped on drop.
pub(crate) struct Cipher {
    #[cfg(not(target_feature = "simd128"))]
    aes: Aes128Enc,
    /// The same round keys in memory, where the processor has VAES.
    #[cfg(target_arch = "x86_64")]
    vaes: Option<x86::RoundKeys>,
    #[cfg(target_feature = "simd128")]
    sliced: sliced::CounterKeys,
}

impl Cipher {
    pub(crate) fn new(key: &[u8; 16]) -> Self {
        Self {
            #[cfg(not(target_feature = "simd128"))]
            aes: Aes128Enc::new(key.into()),
            #[cfg(target_arch = "x86_64")]
            vaes: x86::RoundKeys::new(key),
            #[cfg(target_feature = "simd128")]
            sliced: sliced::CounterKeys::new(key),
        }
    }
}

/// Bytes of one AES block.
pub(crate) const BLOCK: usize = 16;

/// Blocks whose counters differ in the lowest byte only.
const RUN: u128 = 256;

/// The counter block of `domain` and `index`; `index < 2^120`.
pub(crate) fn counter(domain: u8, index: u128) -> [u8; BLOCK] {
    ((u128::from(domain) << 120) | index).to_be_bytes()
}

/// Overwrites `out` with keystream blocks `first`, `first + 1`, ... of `domain`.
pub(crate) fn keystream(cipher: &Cipher, domain: u8, first: u128, out: &mut [[u8; BLOCK]]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(keys) = &cipher.vaes {
        return x86::keystream(keys, domain, first, out);
    }
    #[cfg(not(target_feature = "simd128"))]
    encrypt_counters(domain, first, out, |blocks| encrypt(&cipher.aes, blocks));
    #[cfg(target_feature = "simd128")]
    cipher.sliced.with(|keys| encrypt_counters(domain, first, out, |blocks| keys.encrypt(blocks)));
}

/// The definition, with whatever the `aes` crate finds.
#[cfg(any(test, not(target_feature = "simd128")))]
fn encrypt(aes: &Aes128Enc, blocks: &mut [[u8; BLOCK]]) {
    aes.encrypt_blocks(Array::<u8, U16>::cast_slice_from_core_mut(blocks));
}

/// Writes the counters to `out`, and has them encrypted in parts.
fn encrypt_counters(
    domain: u8,
    first: u128,
    out: &mut [[u8; BLOCK]],
    encrypt: impl Fn(&mut [[u8; BLOCK]]),
) {
    let (mut index, mut rest) = (first, out);
    while !rest.is_empty() {
        // Within a run only the last byte of the counter changes: one addition per block.
        let run = (RUN - index % RUN).min(128).min(rest.len() as u128);
        let (now, later) = rest.split_at_mut(run as usize);
        let mut block = u128::from_le_bytes(counter(domain, index));
        for slot in now.iter_mut() {
            *slot = block.to_le_bytes();
            block = block.wrapping_add(1 << 120);
        }
        encrypt(now);
        index += run;
        rest = later;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_gives_the_portable_stream() {
        let key = std::array::from_fn(|i| i as u8);
        let (cipher, aes) = (Cipher::new(&key), Aes128Enc::new(&key.into()));
        let wrap = u128::from(u64::MAX);
        for (domain, first) in
            [(0, 0), (7, 250), (255, 1 << 70), (3, wrap - 20), (9, (5 << 64) + wrap)]
        {
            for len in [0, 1, 3, 31, 32, 33, 300] {
                let (mut fast, mut plain) = (vec![[1; BLOCK]; len], vec![[2; BLOCK]; len]);
                keystream(&cipher, domain, first, &mut fast);
                encrypt_counters(domain, first, &mut plain, |blocks| encrypt(&aes, blocks));
                assert_eq!(fast, plain, "domain {domain}, block {first}, {len} blocks");
            }
        }
    }
}
