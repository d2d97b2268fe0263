//! The lattice half of the base OTs: encapsulation keys of ML-KEM-512 (FIPS 203) as elements of a group,
//! and functions into it (`popf`).
//!
//! An encapsulation key is a vector of 512 numbers modulo 3329 (12 bits each) and the 32 bytes from which
//! its matrix follows. Pairs of such a vector and 256 bits are added in both parts; a key is
//! indistinguishable from a uniform element by module LWE.

use gazelle_wire::traffic::framed_len;
use gazelle_wire::{DecodeError, Message, Reader};
use libcrux_ml_kem::mlkem512::{self, MlKem512Ciphertext, MlKem512PrivateKey, MlKem512PublicKey};
use rand_core::CryptoRng;
use rayon::prelude::*;
use zeroize::{Zeroize, Zeroizing};

use super::pair::{PLACES, PairKey, chosen};
use super::popf::{At, HashLabels, SALT_BYTES, Salt};
use crate::traffic::OtTraffic;

/// The modulus.
const Q: u16 = 3329;
/// Numbers of a key.
const NUMBERS: usize = 512;
/// Bytes of an encoded element: 12 bits a number, and the seed.
const ELEMENT_BYTES: usize = NUMBERS * 12 / 8 + 32;
/// Bytes of a ciphertext.
const CIPHERTEXT_BYTES: usize = 768;
/// Bytes of the ciphertexts of a function's places.
const CIPHERTEXTS_BYTES: usize = PLACES as usize * CIPHERTEXT_BYTES;
/// Bytes of a function: T, then s.
const FUNCTION_BYTES: usize = ELEMENT_BYTES + SALT_BYTES;
/// Labels of the hashes into the group and into salts.
const LABELS: HashLabels = HashLabels {
    hash: "gazelle-ot 2026 base OT hash to ML-KEM-512 keys v3",
    salt: "gazelle-ot 2026 base OT hash of ML-KEM-512 keys to salts v2",
};

/// Functions on the wire, one per pair of OTs: T, every number below 3329, and s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatticeKeysMessage(pub Vec<[u8; FUNCTION_BYTES]>);

impl Message for LatticeKeysMessage {
    /// The number of pairs.
    type Shape = usize;
    const KIND: u16 = 0x0305;
    const NAME: &'static str = "base OT lattice keys";

    fn encoded_len(shape: &usize) -> usize {
        FUNCTION_BYTES * shape
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_flattened());
    }
    fn decode(input: &mut Reader<'_>, shape: &usize) -> Result<Self, DecodeError> {
        let (functions, _) = input.take(FUNCTION_BYTES * shape)?.as_chunks::<FUNCTION_BYTES>();
        let reduced = |function| Element::decode(split(function).0).numbers.iter().all(|x| *x < Q);
        if !functions.iter().all(reduced) {
            return Err(DecodeError::Invalid("a number is not reduced"));
        }
        Ok(Self(functions.to_vec()))
    }
}

/// A ciphertext for each place of each pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LatticeCiphertextsMessage(pub(super) Vec<[u8; CIPHERTEXTS_BYTES]>);

impl Message for LatticeCiphertextsMessage {
    /// The number of pairs.
    type Shape = usize;
    const KIND: u16 = 0x0306;
    const NAME: &'static str = "base OT lattice ciphertexts";

    fn encoded_len(shape: &usize) -> usize {
        CIPHERTEXTS_BYTES * shape
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_flattened());
    }
    fn decode(input: &mut Reader<'_>, shape: &usize) -> Result<Self, DecodeError> {
        let bytes = input.take(CIPHERTEXTS_BYTES * shape)?;
        Ok(Self(bytes.as_chunks::<CIPHERTEXTS_BYTES>().0.to_vec()))
    }
}

/// Encapsulates to all values of each function: the ciphertexts and the keys, `[pair][place]`. The functions' numbers
/// are reduced, as their decoding has checked.
pub(super) fn encapsulate(
    binding: &[u8; 32],
    functions: &LatticeKeysMessage,
    rng: &mut (dyn CryptoRng + Send),
) -> (LatticeCiphertextsMessage, Vec<[PairKey; PLACES as usize]>) {
    let mut coins = Zeroizing::new(vec![[[0u8; 32]; PLACES as usize]; functions.0.len()]);
    rng.fill_bytes(coins.as_flattened_mut().as_flattened_mut());
    let pairs = functions.0.par_iter().zip(coins.par_iter()).enumerate();
    let made = pairs.map(|(index, (function, coins))| {
        let mut ciphertexts = [0; CIPHERTEXTS_BYTES];
        let mut keys = [[0; 32]; PLACES as usize];
        let places = coins.iter().zip(ciphertexts.as_chunks_mut().0).zip(&mut keys);
        for (x, ((coins, slot), key)) in (0..PLACES).zip(places) {
            let value = evaluate(At { binding, index }, function, x).encode();
            let (ciphertext, mut shared) =
                mlkem512::encapsulate(&MlKem512PublicKey::from(value), *coins);
            (*slot, *key) = (ciphertext.into(), shared);
            shared.zeroize();
        }
        let made = (ciphertexts, keys);
        keys.zeroize();
        made
    });
    let (ciphertexts, keys) = made.unzip();
    (LatticeCiphertextsMessage(ciphertexts), keys)
}

/// A secret key. Wiped on drop.
struct SecretKey(MlKem512PrivateKey);

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.0[..MlKem512PrivateKey::len()].zeroize();
    }
}

/// The receiver's key pairs and what it says.
pub(super) struct KeyPairs {
    secrets: Vec<SecretKey>,
    message: LatticeKeysMessage,
}

impl KeyPairs {
    /// Fresh pairs, for the choices of each pair of OTs.
    pub(super) fn new(
        choices: &[[u8; 2]],
        binding: &[u8; 32],
        rng: &mut (dyn CryptoRng + Send),
    ) -> Self {
        let mut seeds = Zeroizing::new(vec![[0u8; 64]; choices.len()]);
        rng.fill_bytes(seeds.as_flattened_mut());
        let mut salts = Zeroizing::new(vec![[0u8; SALT_BYTES]; choices.len()]);
        rng.fill_bytes(salts.as_flattened_mut());
        let pairs = choices.par_iter().zip(seeds.par_iter()).zip(salts.par_iter()).enumerate();
        let made = pairs.map(|(index, (([c0, c1], seed), salt))| {
            let (secret, public) = mlkem512::generate_key_pair(*seed).into_parts();
            let at = At { binding, index };
            (SecretKey(secret), program(at, 2 * c0 + c1, public.as_slice(), salt))
        });
        let (secrets, message) = made.collect();
        Self { secrets, message: LatticeKeysMessage(message) }
    }

    pub(super) fn message(&self) -> &LatticeKeysMessage {
        &self.message
    }

    /// The key of each pair's choices; a ciphertext that is none gives a random one.
    pub(super) fn decapsulate(
        &self,
        choices: &[[u8; 2]],
        ciphertexts: &LatticeCiphertextsMessage,
    ) -> Vec<PairKey> {
        let pairs = ciphertexts.0.par_iter().zip(choices).zip(&self.secrets);
        let keys = pairs.map(|((ciphertexts, choices), secret)| {
            let mut parts = [[0; CIPHERTEXT_BYTES]; PLACES as usize];
            parts.as_flattened_mut().copy_from_slice(ciphertexts);
            let mut chosen = chosen(parts.each_ref(), *choices);
            let key = mlkem512::decapsulate(&secret.0, &MlKem512Ciphertext::from(chosen));
            chosen.zeroize();
            key
        });
        keys.collect()
    }
}

/// Exact bytes of so many pairs of OTs.
pub(super) fn traffic(pairs: usize) -> OtTraffic {
    OtTraffic {
        sender_to_receiver: framed_len(CIPHERTEXTS_BYTES * pairs),
        receiver_to_sender: framed_len(FUNCTION_BYTES * pairs),
    }
}

/// An element of the group.
struct Element {
    numbers: [u16; NUMBERS],
    seed: [u8; 32],
}

/// T and s.
fn split(function: &[u8; FUNCTION_BYTES]) -> (&[u8; ELEMENT_BYTES], &[u8]) {
    let (element, _) = function.as_chunks::<ELEMENT_BYTES>();
    let (_, salt) = function.split_at(ELEMENT_BYTES);
    (element.first().unwrap_or(&[0; ELEMENT_BYTES]), salt)
}

/// The function's value at x.
fn evaluate(at: At<'_>, function: &[u8; FUNCTION_BYTES], x: u8) -> Element {
    let (element, salt) = split(function);
    let argument = at.salted(&LABELS, x, element, salt);
    Element::decode(element).plus(&Element::sample(at.hash(&LABELS, x, &argument)))
}

/// The function whose value at x is `key`, from a random r: `T = key - H(x, r)`, `s = r ^ H'(x, T)`.
fn program(at: At<'_>, x: u8, key: &[u8; ELEMENT_BYTES], r: &Salt) -> [u8; FUNCTION_BYTES] {
    let element = Element::decode(key).minus(&Element::sample(at.hash(&LABELS, x, r))).encode();
    let salt = at.salted(&LABELS, x, &element, r);
    let mut function = [0; FUNCTION_BYTES];
    function.iter_mut().zip(element.into_iter().chain(salt)).for_each(|(slot, byte)| *slot = byte);
    function
}

impl Element {
    /// Uniform: pieces of 12 bits that are too large are passed over. One in 4096 / 3329 is not.
    fn sample(mut stream: blake3::OutputReader) -> Self {
        let mut element = Self { numbers: [0; NUMBERS], seed: [0; 32] };
        stream.fill(&mut element.seed);
        // 704 pieces, where 630 +- 12 are needed: long reads are hashed many blocks at a time.
        let mut bytes = [0u8; 1056];
        let mut count = 0;
        while count < NUMBERS {
            stream.fill(&mut bytes);
            for number in bytes.as_chunks::<3>().0.iter().copied().flat_map(unpack) {
                // Written in any case: which ones are too large is not to be branched on.
                if let Some(slot) = element.numbers.get_mut(count) {
                    *slot = number;
                    count += usize::from(number < Q);
                }
            }
        }
        stream.zeroize();
        bytes.zeroize();
        element
    }

    fn decode(bytes: &[u8; ELEMENT_BYTES]) -> Self {
        let mut element = Self { numbers: [0; NUMBERS], seed: [0; 32] };
        let (numbers, seed) = bytes.split_at(ELEMENT_BYTES - 32);
        element.seed.copy_from_slice(seed);
        let numbers = numbers.as_chunks::<3>().0.iter().copied().flat_map(unpack);
        element.numbers.iter_mut().zip(numbers).for_each(|(slot, number)| *slot = number);
        element
    }

    fn encode(&self) -> [u8; ELEMENT_BYTES] {
        let mut bytes = [0u8; ELEMENT_BYTES];
        let (numbers, seed) = bytes.split_at_mut(ELEMENT_BYTES - 32);
        seed.copy_from_slice(&self.seed);
        for (out, [a, b]) in
            numbers.as_chunks_mut::<3>().0.iter_mut().zip(self.numbers.as_chunks().0)
        {
            *out = [*a as u8, (a >> 8 | b << 4) as u8, (b >> 4) as u8];
        }
        bytes
    }

    fn plus(mut self, other: &Self) -> Self {
        self.zip(other, |a, b| reduce(a + b));
        self
    }

    fn minus(mut self, other: &Self) -> Self {
        self.zip(other, |a, b| reduce(a + Q - b));
        self
    }

    /// XOR undoes itself, so seeds are added and taken away alike.
    fn zip(&mut self, other: &Self, with: impl Fn(u16, u16) -> u16) {
        self.numbers.iter_mut().zip(&other.numbers).for_each(|(a, b)| *a = with(*a, *b));
        self.seed.iter_mut().zip(&other.seed).for_each(|(a, b)| *a ^= b);
    }
}

impl Drop for Element {
    fn drop(&mut self) {
        self.numbers.zeroize();
        self.seed.zeroize();
    }
}

/// Two numbers of 12 bits.
const fn unpack([a, b, c]: [u8; 3]) -> [u16; 2] {
    [a as u16 | (b as u16 & 15) << 8, b as u16 >> 4 | (c as u16) << 4]
}

/// `x mod 3329` for x below twice that, without a branch.
const fn reduce(x: u16) -> u16 {
    let lower = x.wrapping_sub(Q);
    let borrow = (lower >> 15).wrapping_neg();
    lower.wrapping_add(Q & borrow)
}

#[cfg(test)]
mod tests;
