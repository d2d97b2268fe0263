//! The lattice half of the base OTs: encapsulation keys of ML-KEM-512 (FIPS 203) as elements of a group,
//! and a *programmable-once public function* of them, so that a receiver says one element for two OTs.
//!
//! An encapsulation key is a vector of 512 numbers modulo 3329 (12 bits each) and the 32 bytes from which
//! its matrix follows. Pairs of such a vector and 256 bits are added in both parts; a key is
//! indistinguishable from a uniform element by module LWE.
//!
//! ```text
//! F(s, T)(x) = T + H(x, s ^ H'(x, T)),  x = 0, 1, 2, 3        s: 384 bits, T: an element
//! so that F(c) = A:  r random, T = A - H(c, r), s = r ^ H'(c, T)
//! ```
//!
//! (s, T) looks random whatever c is, if A does; and whoever fixes the value at one x has no say in that
//! at the others: T and s fix their arguments of H.
//!
//! One of four strings gives two OTs, with choices `c_0`, `c_1` and c = 2 `c_0` + `c_1`:
//!
//! | sender | receiver |
//! |---|---|
//! | a key encapsulated to F(x, y), of two halves `a_xy`, `b_xy` -> | has `a_c`, `b_c` |
//! | `d_x = a_x0 ^ a_x1`, `e_y = b_0y ^ b_1y` -> | |
//! | strings `a_00`, `a_10` and `b_00`, `b_01` | `a_c ^ c_1 d_{c_0}`, `b_c ^ c_0 e_{c_1}` |
//!
//! Who has one key has one string of each OT: the other one's two halves are both unknown to it, and d or e says
//! their difference.
//!
//! Source: the Feistel POPF of `McQuoid`, Rosulek, Roy, "Minimal Symmetric PAKE and 1-out-of-N OT from
//! Programmable-Once Public Functions" (CCS 2020), which are for 1 of N; batches: their "Batching Base Oblivious
//! Transfers" (ASIACRYPT 2021).

use gazelle_wire::traffic::framed_len;
use gazelle_wire::{DecodeError, Message, Reader};
use libcrux_ml_kem::mlkem512::{self, MlKem512Ciphertext, MlKem512PrivateKey, MlKem512PublicKey};
use rand_core::CryptoRng;
use rayon::prelude::*;
use subtle::{Choice, ConditionallySelectable};
use zeroize::{Zeroize, Zeroizing};

use super::oracle;
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
/// Places of a function.
const PLACES: u8 = 4;
/// Bytes of the ciphertexts of a function's places, and of what makes two OTs of their keys.
const CIPHERTEXTS_BYTES: usize = PLACES as usize * CIPHERTEXT_BYTES;
const ANSWER_BYTES: usize = CIPHERTEXTS_BYTES + 4 * STRING_BYTES;
/// Bytes of a string: half a key.
const STRING_BYTES: usize = 16;
/// Labels of the hash into the group, H, and of that into salts, H'.
const HASH: &str = "gazelle-ot 2026 base OT hash to ML-KEM-512 keys v3";
const SALT: &str = "gazelle-ot 2026 base OT hash to salts v2";

/// What an OT gives.
pub(super) type LatticeString = [u8; STRING_BYTES];

/// Pairs of so many OTs. If they are odd the last pair's second choice is 0, which leaves the first OT's string what the
/// key says, whatever the differences are.
pub(super) const fn pairs(count: usize) -> usize {
    count.div_ceil(2)
}

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

/// What the sender says of each pair: a ciphertext for each place, then `d_0`, `d_1`, `e_0`, `e_1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LatticeAnswersMessage(pub Vec<[u8; ANSWER_BYTES]>);

impl Message for LatticeAnswersMessage {
    /// The number of pairs.
    type Shape = usize;
    const KIND: u16 = 0x0306;
    const NAME: &'static str = "base OT lattice ciphertexts";

    fn encoded_len(shape: &usize) -> usize {
        ANSWER_BYTES * shape
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_flattened());
    }
    fn decode(input: &mut Reader<'_>, shape: &usize) -> Result<Self, DecodeError> {
        let (answers, _) = input.take(ANSWER_BYTES * shape)?.as_chunks::<ANSWER_BYTES>();
        Ok(Self(answers.to_vec()))
    }
}

/// Encapsulates to all values of each function: what to say, and both strings of each OT, `[OT][string]`. The
/// functions' numbers are reduced, as their decoding has checked.
pub(super) fn encapsulate(
    binding: &[u8; 32],
    functions: &LatticeKeysMessage,
    rng: &mut (dyn CryptoRng + Send),
) -> (LatticeAnswersMessage, Vec<LatticeString>) {
    let mut coins = Zeroizing::new(vec![[[0u8; 32]; PLACES as usize]; functions.0.len()]);
    rng.fill_bytes(coins.as_flattened_mut().as_flattened_mut());
    let pairs = functions.0.par_iter().zip(coins.par_iter()).enumerate();
    let made = pairs.map(|(index, (function, coins))| {
        let mut answer = [0; ANSWER_BYTES];
        let (ciphertexts, differences) = answer.split_at_mut(CIPHERTEXTS_BYTES);
        let mut halves = [[[0; STRING_BYTES]; 2]; PLACES as usize];
        let places = coins.iter().zip(ciphertexts.as_chunks_mut().0).zip(&mut halves);
        for (x, ((coins, slot), halves)) in (0..PLACES).zip(places) {
            let key = MlKem512PublicKey::from(evaluate(binding, index, function, x).encode());
            let (ciphertext, mut shared) = mlkem512::encapsulate(&key, *coins);
            *slot = ciphertext.into();
            halves.copy_from_slice(shared.as_chunks().0);
            shared.zeroize();
        }
        let [[a00, b00], [a01, b01], [a10, b10], [a11, b11]] = &halves;
        let said = [xor(a00, a01), xor(a10, a11), xor(b00, b10), xor(b01, b11)];
        differences.copy_from_slice(said.as_flattened());
        let strings = [*a00, *a10, *b00, *b01];
        halves.zeroize();
        (answer, strings)
    });
    let (answers, strings): (_, Vec<_>) = made.unzip();
    let strings = Zeroizing::new(strings);
    (LatticeAnswersMessage(answers), strings.as_flattened().to_vec())
}

fn xor(a: &LatticeString, b: &LatticeString) -> LatticeString {
    (u128::from_le_bytes(*a) ^ u128::from_le_bytes(*b)).to_le_bytes()
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
    /// Of each pair of OTs.
    choices: Zeroizing<Vec<[u8; 2]>>,
    secrets: Vec<SecretKey>,
    message: LatticeKeysMessage,
    /// OTs.
    count: usize,
}

impl KeyPairs {
    /// Fresh pairs.
    pub(super) fn new(
        choices: &[bool],
        binding: &[u8; 32],
        rng: &mut (dyn CryptoRng + Send),
    ) -> Self {
        let count = choices.len();
        let mut pairs = Zeroizing::new(vec![[0u8; 2]; pairs(count)]);
        pairs.as_flattened_mut().iter_mut().zip(choices).for_each(|(slot, c)| *slot = (*c).into());
        let choices = pairs;
        let mut seeds = Zeroizing::new(vec![[0u8; 64]; choices.len()]);
        rng.fill_bytes(seeds.as_flattened_mut());
        let mut salts = Zeroizing::new(vec![[0u8; SALT_BYTES]; choices.len()]);
        rng.fill_bytes(salts.as_flattened_mut());
        let pairs = choices.par_iter().zip(seeds.par_iter()).zip(salts.par_iter()).enumerate();
        let made = pairs.map(|(index, (([c0, c1], seed), salt))| {
            let (secret, public) = mlkem512::generate_key_pair(*seed).into_parts();
            let place = 2 * c0 + c1;
            (SecretKey(secret), program(binding, index, place, public.as_slice(), salt))
        });
        let (secrets, message) = made.collect();
        Self { choices, secrets, message: LatticeKeysMessage(message), count }
    }

    pub(super) fn message(&self) -> &LatticeKeysMessage {
        &self.message
    }

    /// The chosen string of each OT; a ciphertext that is none gives random ones.
    pub(super) fn decapsulate(&self, answers: &LatticeAnswersMessage) -> Vec<LatticeString> {
        let pairs = answers.0.par_iter().zip(self.choices.par_iter()).zip(&self.secrets);
        let strings = pairs.map(|((answer, choices), secret)| {
            let (ciphertexts, differences) = answer.split_at(CIPHERTEXTS_BYTES);
            let [c0, c1] = choices.map(Choice::from);
            let ciphertext = chosen_of_four::<CIPHERTEXT_BYTES>(ciphertexts, [c0, c1]);
            let mut key = mlkem512::decapsulate(&secret.0, &MlKem512Ciphertext::from(ciphertext));
            let zero = [0; STRING_BYTES];
            let (differences, _) = differences.as_chunks::<STRING_BYTES>();
            let [a, b] = match (key.as_chunks().0, differences) {
                ([a, b], [d0, d1, e0, e1]) => {
                    let d = LatticeString::conditional_select(d0, d1, c0);
                    let e = LatticeString::conditional_select(e0, e1, c1);
                    let d = LatticeString::conditional_select(&zero, &d, c1);
                    let e = LatticeString::conditional_select(&zero, &e, c0);
                    [xor(a, &d), xor(b, &e)]
                }
                // Their lengths are constants.
                _ => [zero; 2],
            };
            key.zeroize();
            [a, b]
        });
        // Collected where it stays: a vector that grows leaves strings behind.
        let strings: Zeroizing<Vec<[LatticeString; 2]>> = Zeroizing::new(strings.collect());
        let strings = strings.as_flattened();
        strings.get(..self.count).unwrap_or(strings).to_vec()
    }
}

/// Part 2 `c_0` + `c_1` of four, all of which are read.
fn chosen_of_four<const BYTES: usize>(parts: &[u8], [c0, c1]: [Choice; 2]) -> [u8; BYTES] {
    match parts.as_chunks::<BYTES>().0 {
        [p00, p01, p10, p11] => {
            let zero = <[u8; BYTES]>::conditional_select(p00, p01, c1);
            let one = <[u8; BYTES]>::conditional_select(p10, p11, c1);
            <[u8; BYTES]>::conditional_select(&zero, &one, c0)
        }
        _ => [0; BYTES],
    }
}

/// Exact bytes of `count` OTs.
pub(super) fn traffic(count: usize) -> OtTraffic {
    OtTraffic {
        sender_to_receiver: framed_len(ANSWER_BYTES * pairs(count)),
        receiver_to_sender: framed_len(FUNCTION_BYTES * pairs(count)),
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

/// The value at x of the function of pair `index`.
fn evaluate(binding: &[u8; 32], index: usize, function: &[u8; FUNCTION_BYTES], x: u8) -> Element {
    let (element, salt) = split(function);
    let mut argument = salt_hash(binding, index, x, element);
    argument.iter_mut().zip(salt).for_each(|(a, b)| *a ^= b);
    Element::decode(element).plus(&hash(binding, index, x, &argument))
}

/// The function whose value at x is `key`, from a random r: `T = key - H(x, r)`, `s = r ^ H'(x, T)`.
fn program(
    binding: &[u8; 32],
    index: usize,
    x: u8,
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
fn hash(binding: &[u8; 32], index: usize, x: u8, argument: &[u8]) -> Element {
    Element::sample(oracle(HASH, binding, index, x, argument))
}

/// H': into salts.
fn salt_hash(binding: &[u8; 32], index: usize, x: u8, element: &[u8]) -> [u8; SALT_BYTES] {
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
mod tests;
