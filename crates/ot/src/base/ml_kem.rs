//! The lattice half of the base OTs: encapsulation keys of ML-KEM-512 (FIPS 203) as elements of a group,
//! and a *programmable-once public function* of them, so that a receiver says one element per OT.
//!
//! An encapsulation key is a vector of 512 numbers modulo 3329 (12 bits each) and the 32 bytes from which
//! its matrix follows. Pairs of such a vector and 256 bits are added in both parts; a key is
//! indistinguishable from a uniform element by module LWE.
//!
//! ```text
//! F(s, T)(x) = T + H(x, s ^ H'(x, T)),  x = 0, 1        s: 384 bits, T: an element
//! so that F(c) = A:  r random, T = A - H(c, r), s = r ^ H'(c, T)
//! ```
//!
//! (s, T) looks random whatever c is, if A does; and whoever fixes the value at one x has no say in that
//! at the other: T and s fix its argument of H.
//!
//! Source: the Feistel POPF of `McQuoid`, Rosulek, Roy, "Minimal Symmetric PAKE and 1-out-of-N OT from
//! Programmable-Once Public Functions" (CCS 2020); batches: their "Batching Base Oblivious
//! Transfers" (ASIACRYPT 2021).

use gazelle_wire::traffic::framed_len;
use gazelle_wire::{DecodeError, Message, Reader};
use libcrux_ml_kem::mlkem512::{self, MlKem512Ciphertext, MlKem512PrivateKey, MlKem512PublicKey};
use rand_core::CryptoRng;
use rayon::prelude::*;
use subtle::{Choice, ConditionallySelectable};
use zeroize::{Zeroize, Zeroizing};

use super::{Key, oracle};
use crate::traffic::OtTraffic;

/// The modulus.
const Q: u16 = 3329;
/// Numbers of a key.
const NUMBERS: usize = 512;
/// Bytes of an encoded element: 12 bits a number, and the seed.
const ELEMENT_BYTES: usize = NUMBERS * 12 / 8 + 32;
/// Bytes of a ciphertext.
const CIPHERTEXT_BYTES: usize = 768;
/// Bytes of s.
const SALT_BYTES: usize = 48;
/// Bytes of a function: T, then s.
const FUNCTION_BYTES: usize = ELEMENT_BYTES + SALT_BYTES;
/// Labels of the hash into the group, H, and of that into salts, H'.
const HASH: &str = "gazelle-ot 2026 base OT hash to ML-KEM-512 keys v2";
const SALT: &str = "gazelle-ot 2026 base OT hash to salts v1";

/// Functions on the wire, one per OT: T, every number below 3329, and s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatticeKeysMessage(pub Vec<[u8; FUNCTION_BYTES]>);

impl Message for LatticeKeysMessage {
    /// The number of OTs.
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

/// `LatticeCiphertextsMessage` on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LatticeCiphertextsMessage(pub Vec<[u8; CIPHERTEXT_BYTES]>);

impl Message for LatticeCiphertextsMessage {
    /// The number of ciphertexts.
    type Shape = usize;
    const KIND: u16 = 0x0306;
    const NAME: &'static str = "base OT lattice ciphertexts";

    fn encoded_len(shape: &usize) -> usize {
        CIPHERTEXT_BYTES * shape
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_flattened());
    }
    fn decode(input: &mut Reader<'_>, shape: &usize) -> Result<Self, DecodeError> {
        let (parts, _) = input.take(CIPHERTEXT_BYTES * shape)?.as_chunks::<CIPHERTEXT_BYTES>();
        Ok(Self(parts.to_vec()))
    }
}

/// Encapsulates to both values of each OT's function: the ciphertexts and the keys, `[OT][string]`. The
/// functions' numbers are reduced, as their decoding has checked.
pub(super) fn encapsulate(
    binding: &[u8; 32],
    functions: &LatticeKeysMessage,
    rng: &mut (dyn CryptoRng + Send),
) -> (LatticeCiphertextsMessage, Vec<Key>) {
    let mut coins = Zeroizing::new(vec![[0u8; 32]; 2 * functions.0.len()]);
    rng.fill_bytes(coins.as_flattened_mut());
    let pairs = functions.0.par_iter().zip(coins.as_chunks::<2>().0);
    let made = pairs.enumerate().map(|(index, (function, coins))| {
        [(false, coins[0]), (true, coins[1])].map(|(x, coins)| {
            let key = evaluate(binding, index, function, x).encode();
            let (ciphertext, shared) = mlkem512::encapsulate(&MlKem512PublicKey::from(key), coins);
            (<[u8; CIPHERTEXT_BYTES]>::from(ciphertext), shared)
        })
    });
    let made: Vec<[_; 2]> = made.collect();
    let (ciphertexts, keys) = made.into_iter().flatten().unzip();
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
    /// Fresh pairs.
    pub(super) fn new(
        choices: &[bool],
        binding: &[u8; 32],
        rng: &mut (dyn CryptoRng + Send),
    ) -> Self {
        let mut seeds = Zeroizing::new(vec![[0u8; 64]; choices.len()]);
        rng.fill_bytes(seeds.as_flattened_mut());
        let mut salts = Zeroizing::new(vec![[0u8; SALT_BYTES]; choices.len()]);
        rng.fill_bytes(salts.as_flattened_mut());
        let pairs = choices.par_iter().zip(seeds.par_iter()).zip(salts.par_iter()).enumerate();
        let made = pairs.map(|(index, ((choice, seed), salt))| {
            let (secret, public) = mlkem512::generate_key_pair(*seed).into_parts();
            (SecretKey(secret), program(binding, index, *choice, public.as_slice(), salt))
        });
        let (secrets, message) = made.collect();
        Self { secrets, message: LatticeKeysMessage(message) }
    }

    pub(super) fn message(&self) -> &LatticeKeysMessage {
        &self.message
    }

    /// The key of the choice of each OT; a ciphertext that is none gives a random key.
    pub(super) fn decapsulate(
        &self,
        choices: &[bool],
        ciphertexts: &LatticeCiphertextsMessage,
    ) -> Vec<Key> {
        let pairs = ciphertexts.0.as_chunks::<2>().0.par_iter().zip(choices).zip(&self.secrets);
        let keys = pairs.map(|(([zero, one], choice), secret)| {
            let choice = Choice::from(u8::from(*choice));
            let chosen = <[u8; CIPHERTEXT_BYTES]>::conditional_select(zero, one, choice);
            mlkem512::decapsulate(&secret.0, &MlKem512Ciphertext::from(chosen))
        });
        keys.collect()
    }
}

/// Exact bytes of `count` OTs.
pub(super) fn traffic(count: usize) -> OtTraffic {
    OtTraffic {
        sender_to_receiver: framed_len(2 * CIPHERTEXT_BYTES * count),
        receiver_to_sender: framed_len(FUNCTION_BYTES * count),
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

/// The value at x of the function of OT `index`.
fn evaluate(binding: &[u8; 32], index: usize, function: &[u8; FUNCTION_BYTES], x: bool) -> Element {
    let (element, salt) = split(function);
    let mut argument = salt_hash(binding, index, x, element);
    argument.iter_mut().zip(salt).for_each(|(a, b)| *a ^= b);
    Element::decode(element).plus(&hash(binding, index, x, &argument))
}

/// The function whose value at x is `key`, from a random r: `T = key - H(x, r)`, `s = r ^ H'(x, T)`.
fn program(
    binding: &[u8; 32],
    index: usize,
    x: bool,
    key: &[u8; ELEMENT_BYTES],
    r: &[u8; SALT_BYTES],
) -> [u8; FUNCTION_BYTES] {
    let element = Element::decode(key).minus(&hash(binding, index, x, r)).encode();
    let hashed = salt_hash(binding, index, x, &element);
    let salt = hashed.iter().zip(r).map(|(a, b)| a ^ b);
    let mut function = [0; FUNCTION_BYTES];
    function.iter_mut().zip(element.into_iter().chain(salt)).for_each(|(slot, byte)| *slot = byte);
    function
}

/// H: into the group.
fn hash(binding: &[u8; 32], index: usize, x: bool, argument: &[u8]) -> Element {
    Element::sample(oracle(HASH, binding, index, x, argument))
}

/// H': into salts.
fn salt_hash(binding: &[u8; 32], index: usize, x: bool, element: &[u8]) -> [u8; SALT_BYTES] {
    let mut salt = [0; SALT_BYTES];
    oracle(SALT, binding, index, x, element).fill(&mut salt);
    salt
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
mod tests {
    use gazelle_prg::{Prg, Seed};
    use ml_kem::array::Array;
    use ml_kem::{Decapsulate, KeyExport};

    use super::*;

    fn element(tag: u8) -> Element {
        Element::sample(oracle(HASH, &[tag; 32], 0, false, b""))
    }

    #[test]
    fn properties_elements_form_a_group_and_survive_encoding() {
        let (a, b) = (element(1).encode(), element(2).encode());
        let sum = Element::decode(&a).plus(&Element::decode(&b));
        assert!(sum.numbers.iter().all(|x| *x < Q));
        assert_eq!(sum.minus(&Element::decode(&b)).encode(), a);
        assert_ne!(a, b);
        for x in 0..2 * Q {
            assert_eq!(reduce(x), x % Q);
        }
        let mean = f64::from(element(3).numbers.iter().map(|x| u32::from(*x)).sum::<u32>()) / 512.0;
        assert!((mean - 1664.0).abs() < 6.0 * 961.0 / 512f64.sqrt(), "{mean}");
    }

    #[test]
    fn conformance_keys_of_the_library_are_elements() {
        let (_, public) = mlkem512::generate_key_pair([7; 64]).into_parts();
        let element = Element::decode(public.as_slice());
        assert!(element.numbers.iter().all(|x| *x < Q));
        assert_eq!(element.encode(), *public.as_slice());
    }

    /// The same keys, ciphertexts and shared keys as `ml-kem`, another implementation of FIPS 203.
    #[test]
    fn conformance_the_library_agrees_with_another_one() {
        for round in 0..32u8 {
            let (seed, coins) = ([round; 64], [round ^ 0xa5; 32]);
            let theirs = ml_kem::DecapsulationKey512::from_seed(Array(seed));
            let (secret, public) = mlkem512::generate_key_pair(seed).into_parts();
            assert_eq!(theirs.encapsulation_key().to_bytes().0, *public.as_slice());
            let (ciphertext, shared) = mlkem512::encapsulate(&public, coins);
            let other =
                theirs.encapsulation_key().encapsulate_deterministic(&ml_kem::B32::from(coins));
            assert_eq!((other.0.0, other.1.0), (*ciphertext.as_slice(), shared));
            assert_eq!(mlkem512::decapsulate(&secret, &ciphertext), shared);
            // What is no ciphertext gives a key that both derive alike.
            let mut wrong = *ciphertext.as_slice();
            wrong[usize::from(round) * 23] ^= 1;
            let rejected = mlkem512::decapsulate(&secret, &MlKem512Ciphertext::from(wrong));
            assert_eq!(theirs.decapsulate(&Array(wrong)).0, rejected);
            assert_ne!(rejected, shared);
        }
    }

    #[test]
    fn adversarial_numbers_that_are_not_reduced_are_refused() {
        let bytes = |numbers: u16| {
            let element = Element { numbers: [numbers; NUMBERS], seed: [9; 32] }.encode();
            [&element[..], &[7; SALT_BYTES]].concat()
        };
        let decode =
            |bytes: &[u8]| gazelle_wire::message::decode_all::<LatticeKeysMessage>(bytes, &1);
        assert!(decode(&bytes(Q - 1)).is_ok());
        assert!(decode(&bytes(Q)).is_err() && decode(&bytes(4095)).is_err());
    }

    /// As in `ristretto`: a receiver that wants both strings has key pairs of its own for both places. A
    /// function has room for one of them; whichever way it is put together, no secret key that the
    /// receiver has opens the other string. Keys that the sender takes as they come open both.
    #[test]
    fn adversarial_two_key_pairs_open_both_strings_of_bare_keys_and_one_of_a_function() {
        let mut rng = Prg::new(&Seed::from_bytes([31; 16]), 1);
        let binding = [5; 32];
        let pairs = [[1; 64], [2; 64]].map(|seed| mlkem512::generate_key_pair(seed).into_parts());
        let keys = [0, 1].map(|at: usize| *pairs[at].1.as_slice());
        let r = [[8; SALT_BYTES], [9; SALT_BYTES]];
        let opens = |ciphertext: &[u8; CIPHERTEXT_BYTES], shared: &Key| {
            pairs.each_ref().map(|(secret, _)| {
                mlkem512::decapsulate(secret, &MlKem512Ciphertext::from(*ciphertext)) == *shared
            })
        };
        // Honest at one place; T for the one place and the salt for the other.
        let zero = program(&binding, 0, false, &keys[0], &r[0]);
        let one = program(&binding, 0, true, &keys[1], &r[1]);
        let mut mixed = zero;
        let salt = salt_hash(&binding, 0, true, split(&zero).0);
        let salt = salt.iter().zip(&r[1]).map(|(hashed, r)| hashed ^ r);
        mixed.iter_mut().skip(ELEMENT_BYTES).zip(salt).for_each(|(slot, byte)| *slot = byte);
        let none = [false; 2];
        let cases =
            [(zero, [[true, false], none]), (one, [none, [false, true]]), (mixed, [none, none])];
        for (function, opened) in cases {
            let message = LatticeKeysMessage(vec![function]);
            let (ciphertexts, shared) = encapsulate(&binding, &message, &mut rng);
            let strings = [0, 1].map(|j: usize| opens(&ciphertexts.0[j], &shared[j]));
            assert_eq!(strings, opened);
        }
        // The function off: the sender takes the keys as they come.
        for (at, (_, public)) in pairs.iter().enumerate() {
            let (ciphertext, shared) = mlkem512::encapsulate(public, [at as u8; 32]);
            assert!(opens(ciphertext.as_slice(), &shared)[at], "string {at}");
        }
    }

    #[test]
    fn properties_a_function_has_the_programmed_value_at_its_place_and_another_elsewhere() {
        let binding = [3; 32];
        let key = element(4).encode();
        for x in [false, true] {
            let function = program(&binding, 5, x, &key, &[8; SALT_BYTES]);
            assert_eq!(evaluate(&binding, 5, &function, x).encode(), key);
            assert_ne!(evaluate(&binding, 5, &function, !x).encode(), key);
            assert_ne!(evaluate(&binding, 6, &function, x).encode(), key);
            // Every bit of s and T moves the other value: nothing of it can be chosen afterwards.
            let other = evaluate(&binding, 5, &function, !x).encode();
            for at in [0, ELEMENT_BYTES - 1, ELEMENT_BYTES, FUNCTION_BYTES - 1] {
                let mut changed = function;
                changed[at] ^= 1;
                let moved = evaluate(&binding, 5, &changed, !x).encode();
                let same = moved.iter().zip(&other).filter(|(a, b)| a == b).count();
                assert!(same < ELEMENT_BYTES / 16, "{at}: {same}");
            }
        }
    }
}
