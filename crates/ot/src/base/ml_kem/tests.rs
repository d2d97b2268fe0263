//! The group, the function and what two OTs are made of.

use gazelle_prg::{Prg, Seed};
use ml_kem::array::Array;
use ml_kem::{Decapsulate, KeyExport};

use super::*;

fn element(tag: u8) -> Element {
    Element::sample(At { binding: &[tag; 32], index: 0 }.hash(&LABELS, 0, &[0; SALT_BYTES]))
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
        let other = theirs.encapsulation_key().encapsulate_deterministic(&ml_kem::B32::from(coins));
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
    let decode = |bytes: &[u8]| gazelle_wire::message::decode_all::<LatticeKeysMessage>(bytes, &1);
    assert!(decode(&bytes(Q - 1)).is_ok());
    assert!(decode(&bytes(Q)).is_err() && decode(&bytes(4095)).is_err());
}

const AT: At<'static> = At { binding: &[5; 32], index: 0 };

/// As in `ristretto`: a receiver that wants two strings has key pairs of its own for both places. A
/// function has room for one of them; whichever way it is put together, no secret key that the
/// receiver has opens another string. Keys that the sender takes as they come open all.
#[test]
fn adversarial_two_key_pairs_open_one_place_of_a_function_and_both_of_bare_keys() {
    let pairs = [[1; 64], [2; 64]].map(|seed| mlkem512::generate_key_pair(seed).into_parts());
    let keys = [0, 1].map(|at: usize| *pairs[at].1.as_slice());
    let r = [[8; SALT_BYTES], [9; SALT_BYTES]];
    let opens = |key: &MlKem512PublicKey| {
        let (ciphertext, shared) = mlkem512::encapsulate(key, [6; 32]);
        pairs.each_ref().map(|(secret, _)| mlkem512::decapsulate(secret, &ciphertext) == shared)
    };
    // Honest at one place; T for the one place and the salt for the other.
    let first = program(AT, 0, &keys[0], &r[0]);
    let last = program(AT, 3, &keys[1], &r[1]);
    let mut mixed = first;
    let salt = AT.salted(&LABELS, 3, split(&first).0, &r[1]);
    mixed.iter_mut().skip(ELEMENT_BYTES).zip(salt).for_each(|(slot, byte)| *slot = byte);
    let none = [false; 2];
    let cases = [
        (first, [[true, false], none, none, none]),
        (last, [none, none, none, [false, true]]),
        (mixed, [none; 4]),
    ];
    for (function, opened) in cases {
        let places = [0, 1, 2, 3]
            .map(|x| opens(&MlKem512PublicKey::from(evaluate(AT, &function, x).encode())));
        assert_eq!(places, opened);
    }
    // The function off: the sender takes the keys as they come.
    for (at, (_, public)) in pairs.iter().enumerate() {
        assert!(opens(public)[at], "string {at}");
    }
}

/// Both agree on the key of the place that was chosen, and on no other; a ciphertext that is none spoils the key of its
/// place alone.
#[test]
fn adversarial_a_ciphertext_that_is_none_spoils_its_place_alone() {
    let mut rng = Prg::new(&Seed::from_bytes([31; 16]), 1);
    let choices = [[0, 0], [0, 1], [1, 0], [1, 1]];
    let receiver = KeyPairs::new(&choices, AT.binding, &mut rng);
    let (honest, sent) = encapsulate(AT.binding, receiver.message(), &mut rng);
    for wrong in 0..=4usize {
        let mut ciphertexts = honest.clone();
        if wrong < 4 {
            ciphertexts.0.iter_mut().for_each(|pair| pair[wrong * CIPHERTEXT_BYTES + 100] ^= 1);
        }
        let received = receiver.decapsulate(&choices, &ciphertexts);
        for (place, (keys, got)) in sent.iter().zip(&received).enumerate() {
            for (x, key) in keys.iter().enumerate() {
                assert_eq!(key == got, x == place && x != wrong, "{wrong} {place} {x}");
            }
        }
    }
}

#[test]
fn properties_a_function_has_the_programmed_value_at_its_place_and_another_elsewhere() {
    let place = |index| At { binding: &[3; 32], index };
    let key = element(4).encode();
    for x in 0..PLACES {
        let (function, other) = (program(place(5), x, &key, &[8; SALT_BYTES]), (x + 1) % PLACES);
        assert_eq!(evaluate(place(5), &function, x).encode(), key);
        for other in (0..PLACES).filter(|other| *other != x) {
            assert_ne!(evaluate(place(5), &function, other).encode(), key);
        }
        assert_ne!(evaluate(place(6), &function, x).encode(), key);
        // Every bit of s and T moves another value: nothing of it can be chosen afterwards.
        let value = evaluate(place(5), &function, other).encode();
        for at in [0, ELEMENT_BYTES - 1, ELEMENT_BYTES, FUNCTION_BYTES - 1] {
            let mut changed = function;
            changed[at] ^= 1;
            let moved = evaluate(place(5), &changed, other).encode();
            let same = moved.iter().zip(&value).filter(|(a, b)| a == b).count();
            assert!(same < ELEMENT_BYTES / 16, "{at}: {same}");
        }
    }
}
