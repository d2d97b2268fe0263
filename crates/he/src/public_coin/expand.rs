//! Hashes and seeds: how every polynomial follows from 32-byte keys.
//!
//! A key K and a tag (kind byte, numbers) give 32 bytes, BLAKE3 keyed. Public ones: the first half keys an
//! AES-128-CTR stream. Secret ones: both halves do, and the streams are added, so that no guess of 128
//! bits can be tested against all that a session publishes. Kinds never overlap, numbers are of fixed
//! width: no two uses share an input.

use gazelle_prg::{Prg, Seed};
use rand_core::{CryptoRng, Rng};
use zeroize::{Zeroize, Zeroizing};

use crate::error::HeError;

/// What a derived value is for; the first byte hashed.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum CoinKind {
    RequestPolynomial = 1,
    KeyPolynomial = 2,
    HintSecrets = 3,
    Reshare = 4,
    ResharePolynomial = 5,
    HintErrors = 6,
    RequestSecret = 7,
    RequestKeyError = 8,
    RequestError = 9,
    RequestPublicSeed = 10,
    ResponseNoise = 11,
}

/// The stream domain of every polynomial of this crate; seeds are never used for anything else.
const POLYNOMIAL: u8 = 0x20;
/// Fork domain under a request's public seed.
pub(crate) const FORK_BETA: u8 = 0x24;

/// `BLAKE3_key(kind || numbers)`.
pub(crate) fn derive(key: &[u8; 32], kind: CoinKind, numbers: &[u64]) -> Zeroizing<[u8; 32]> {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&[kind as u8]);
    for number in numbers {
        hasher.update(&number.to_le_bytes());
    }
    let digest = Zeroizing::new(*hasher.finalize().as_bytes());
    hasher.zeroize();
    digest
}

/// The seeds that the two halves of 32 bytes are.
pub(crate) fn halves(bytes: &[u8; 32]) -> (Seed, Seed) {
    let half = |from: usize| {
        let mut half = [0u8; 16];
        half.iter_mut().zip(bytes.iter().skip(from)).for_each(|(to, from)| *to = *from);
        let seed = Seed::from_bytes(half);
        half.zeroize();
        seed
    };
    (half(0), half(16))
}

/// The stream of the first half of 32 bytes.
pub(crate) fn first_stream(bytes: &[u8; 32]) -> Prg {
    stream(&halves(bytes).0)
}

/// The stream of a secret polynomial: of all 32 bytes derived from `key`.
pub(crate) fn secret_stream(key: &[u8; 32], kind: CoinKind, numbers: &[u64]) -> Prg {
    Prg::with_key(&derive(key, kind, numbers), POLYNOMIAL)
}

/// The stream of a polynomial's own seed.
pub(crate) fn stream(seed: &Seed) -> Prg {
    Prg::new(seed, POLYNOMIAL)
}

/// 32 bytes that are fresh even if `rng` is a generator whose state was restored: the operating
/// system's entropy hashed with the caller's.
pub(crate) fn fresh(rng: &mut (dyn CryptoRng + Send)) -> Result<Zeroizing<[u8; 32]>, HeError> {
    let mut bytes = Zeroizing::new([0u8; 64]);
    let (system, own) = bytes.split_at_mut(32);
    gazelle_prg::system_rng()?.fill_bytes(system);
    rng.fill_bytes(own);
    let mut hasher = blake3::Hasher::new_derive_key("gazelle-he 2026 fresh entropy");
    hasher.update(bytes.as_slice());
    let fresh = Zeroizing::new(*hasher.finalize().as_bytes());
    hasher.zeroize();
    Ok(fresh)
}
