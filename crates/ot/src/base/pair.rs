//! Two OTs of one of four keys.
//!
//! | sender | receiver, choices `c_0`, `c_1`, c = 2 `c_0` + `c_1` |
//! |---|---|
//! | keys of four places, each of two halves `a_xy`, `b_xy` | has `a_c`, `b_c` |
//! | `d_x = a_x0 ^ a_x1`, `e_y = b_0y ^ b_1y` -> | |
//! | strings `a_00`, `a_10` and `b_00`, `b_01` | `a_c ^ c_1 d_{c_0}`, `b_c ^ c_0 e_{c_1}` |
//!
//! Who has one key has one string of each OT: the other one's two halves are both unknown to it, and d or e says
//! their difference. What a sender gains that lies: docs/protocol.md, 7.1; all views: `cargo xtask views`.

use gazelle_wire::traffic::framed_len;
use gazelle_wire::{DecodeError, Message, Reader};
use subtle::{Choice, ConditionallySelectable};
use zeroize::Zeroize;

use crate::traffic::OtTraffic;

/// Bytes of a string: half a key.
const STRING_BYTES: usize = 16;
/// Bytes of `d_0`, `d_1`, `e_0`, `e_1`.
const DIFFERENCES_BYTES: usize = 4 * STRING_BYTES;
/// Places of a pair: its choices as one number.
pub(super) const PLACES: u8 = 4;

/// What an OT gives.
pub(super) type OtString = [u8; STRING_BYTES];
/// A key of a place.
pub(super) type PairKey = [u8; 2 * STRING_BYTES];

/// Pairs of so many OTs. If they are odd the last pair's second choice is 0, which leaves the first OT's string what the
/// key says, whatever the differences are.
pub(super) const fn pairs(count: usize) -> usize {
    count.div_ceil(2)
}

/// What the sender says of each pair: `d_0`, `d_1`, `e_0`, `e_1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DifferencesMessage(pub(super) Vec<[u8; DIFFERENCES_BYTES]>);

impl Message for DifferencesMessage {
    /// The number of pairs.
    type Shape = usize;
    const KIND: u16 = 0x0308;
    const NAME: &'static str = "base OT differences";

    fn encoded_len(shape: &usize) -> usize {
        DIFFERENCES_BYTES * shape
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_flattened());
    }
    fn decode(input: &mut Reader<'_>, shape: &usize) -> Result<Self, DecodeError> {
        let bytes = input.take(DIFFERENCES_BYTES * shape)?;
        Ok(Self(bytes.as_chunks::<DIFFERENCES_BYTES>().0.to_vec()))
    }
}

/// Exact bytes of the differences of so many pairs of OTs.
pub(super) fn traffic(pairs: usize) -> OtTraffic {
    let sender_to_receiver = framed_len(DIFFERENCES_BYTES * pairs);
    OtTraffic { sender_to_receiver, receiver_to_sender: 0 }
}

/// The sender's part of one pair: what to say, and both strings of each OT.
pub(super) fn split(
    keys: &[PairKey; PLACES as usize],
) -> ([u8; DIFFERENCES_BYTES], [[OtString; 2]; 2]) {
    let [[a00, b00], [a01, b01], [a10, b10], [a11, b11]] = keys.each_ref().map(halves);
    let said = [xor(a00, a01), xor(a10, a11), xor(b00, b10), xor(b01, b11)];
    let mut differences = [0; DIFFERENCES_BYTES];
    differences.copy_from_slice(said.as_flattened());
    (differences, [[*a00, *a10], [*b00, *b01]])
}

/// The receiver's part of one pair: its string of each OT.
pub(super) fn join(
    key: &PairKey,
    differences: &[u8; DIFFERENCES_BYTES],
    choices: [u8; 2],
) -> [OtString; 2] {
    let [a, b] = halves(key);
    let [c0, c1] = choices.map(Choice::from);
    let mut parts = [[0; STRING_BYTES]; 4];
    parts.as_flattened_mut().copy_from_slice(differences);
    let [d0, d1, e0, e1] = parts;
    let (mut d, mut e) = (select(&d0, &d1, c0), select(&e0, &e1, c1));
    d = select(&[0; STRING_BYTES], &d, c1);
    e = select(&[0; STRING_BYTES], &e, c0);
    let strings = [xor(a, &d), xor(b, &e)];
    d.zeroize();
    e.zeroize();
    strings
}

/// `values[2 c_0 + c_1]`, all of which are read.
pub(super) fn chosen<T: ConditionallySelectable>(
    [v00, v01, v10, v11]: [&T; 4],
    choices: [u8; 2],
) -> T {
    let [c0, c1] = choices.map(Choice::from);
    T::conditional_select(
        &T::conditional_select(v00, v01, c1),
        &T::conditional_select(v10, v11, c1),
        c0,
    )
}

fn select(zero: &OtString, one: &OtString, choice: Choice) -> OtString {
    OtString::conditional_select(zero, one, choice)
}

fn halves(key: &PairKey) -> [&OtString; 2] {
    match key.as_chunks().0 {
        [a, b] => [a, b],
        // A key has two.
        _ => [&[0; STRING_BYTES]; 2],
    }
}

fn xor(a: &OtString, b: &OtString) -> OtString {
    (u128::from_le_bytes(*a) ^ u128::from_le_bytes(*b)).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHOICES: [[u8; 2]; 4] = [[0, 0], [0, 1], [1, 0], [1, 1]];

    fn keys() -> [PairKey; 4] {
        [1, 2, 3, 4].map(|tag: u8| *blake3::hash(&[tag]).as_bytes())
    }

    #[test]
    fn conformance_the_receiver_has_the_chosen_string_of_each_ot_and_no_other() {
        let keys = keys();
        let (differences, strings) = split(&keys);
        for choices in CHOICES {
            let key = chosen(keys.each_ref(), choices);
            assert_eq!(key, keys[usize::from(2 * choices[0] + choices[1])]);
            let got = join(&key, &differences, choices);
            for ((pair, got), choice) in strings.iter().zip(got).zip(choices) {
                assert_eq!(pair[usize::from(choice)], got);
                assert_ne!(pair[usize::from(1 - choice)], got);
            }
        }
    }

    /// What docs/protocol.md, 7.1 says of a sender that lies: with a wrong difference an OT's string is another one for
    /// one choice of the other OT of its pair, and that alone.
    #[test]
    fn adversarial_a_wrong_difference_spoils_one_string_for_one_choice_of_its_neighbour() {
        let keys = keys();
        let (differences, strings) = split(&keys);
        for (place, (ot, string)) in [(0, 0), (0, 1), (1, 0), (1, 1)].into_iter().enumerate() {
            let mut wrong = differences;
            wrong[place * STRING_BYTES] ^= 1;
            for choices in CHOICES {
                let got = join(&chosen(keys.each_ref(), choices), &wrong, choices);
                for (index, got) in got.iter().enumerate() {
                    let choice = usize::from(choices[index]);
                    let spoilt = index == ot && choice == string && choices[1 - ot] == 1;
                    assert_eq!(strings[index][choice] != *got, spoilt, "{place} {choices:?}");
                }
            }
        }
    }

    /// A second choice of 0: no difference moves the first OT's string.
    #[test]
    fn adversarial_differences_do_not_reach_an_odd_ot() {
        let keys = keys();
        let (_, strings) = split(&keys);
        for choice in [0, 1] {
            let key = chosen(keys.each_ref(), [choice, 0]);
            let [got, _] = join(&key, &[0xff; DIFFERENCES_BYTES], [choice, 0]);
            assert_eq!(got, strings[0][usize::from(choice)]);
        }
    }
}
