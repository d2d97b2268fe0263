//! Wrong, truncated and random messages: an error or a wrong result, never a panic.

use gazelle_he::HeError;
use gazelle_he::public_coin::{
    EncryptedRequest, HintMessage, HintShape, LayerSecret, Parameters, Pinned, RequestMessage,
    RequestShape, Requested, ReshareMessage,
};
use gazelle_wire::Message;
use gazelle_wire::message::decode_all;

use super::group::{Group, noise, random_terms, rng, uniform};

fn parameters() -> Parameters {
    Parameters::new(2048, 21, 27, 5, 18).unwrap()
}

fn shape() -> RequestShape {
    RequestShape { parameters: parameters(), requests: 2, pinned: 3 }
}

fn group() -> Group {
    let (rows, _) = random_terms(2048, 2, 2, 20, 8);
    let mut group = Group::new(parameters(), 2, rows, false);
    group.pinned = vec![(vec![1, 5], vec![3, 4]), (vec![2047], vec![0])];
    group
}

fn bytes(message: &impl Message) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode(&mut out);
    out
}

#[test]
fn requests_of_another_length_do_not_decode() {
    let group = group();
    let payload = bytes(&group.request(&mut rng(1)).message);
    assert!(decode_all::<RequestMessage>(&payload, &shape()).is_ok());
    for cut in [0, 15, 16, 1000, payload.len() - 1] {
        assert!(decode_all::<RequestMessage>(&payload[..cut], &shape()).is_err());
    }
    let mut longer = payload;
    longer.push(0);
    assert!(decode_all::<RequestMessage>(&longer, &shape()).is_err());
}

#[test]
fn an_unused_bit_in_a_request_is_malformed() {
    let group = group();
    let mut payload = bytes(&group.request(&mut rng(2)).message);
    // 3 pinned words of 21 bits: the last bit of 64 is unused.
    *payload.last_mut().unwrap() |= 0x80;
    let message = decode_all::<RequestMessage>(&payload, &shape()).unwrap();
    let opened = EncryptedRequest::open(&parameters(), &message, &group.positions());
    assert!(matches!(opened, Err(HeError::Malformed { .. })));
}

#[test]
fn random_messages_of_the_right_length_give_wrong_shares_and_no_panic() {
    let group = group();
    for tag in 0..4 {
        let length = RequestMessage::encoded_len(&shape());
        let mut payload: Vec<u8> =
            uniform(&mut rng(tag), 8, length).iter().map(|b| *b as u8).collect();
        *payload.last_mut().unwrap() &= 0x7f;
        let message = decode_all::<RequestMessage>(&payload, &shape()).unwrap();
        let request = EncryptedRequest::open(&parameters(), &message, &group.positions()).unwrap();
        let mut random = rng(tag);
        let (_, reshare) = message.reshare(&group.coins, 0, &mut random);
        let useful = group.useful();
        let v = group
            .source
            .shares(&request, &reshare, group.matrix.as_ref(), &useful, noise(&mut random))
            .unwrap();
        assert!(v.iter().all(|v| v >> 21 == 0));

        let hints: Vec<u8> =
            uniform(&mut random, 8, 2 * 2048 * 30 / 8).iter().map(|b| *b as u8).collect();
        let hints_shape = HintShape { parameters: parameters(), responses: 2 };
        let hints = decode_all::<HintMessage>(&hints, &hints_shape).unwrap();
        let nonce = decode_all::<ReshareMessage>(&[tag; 32], &()).unwrap();
        let secret = group.request(&mut random).secret;
        let u = secret.shares(&hints, 0, &nonce, &useful).unwrap();
        assert!(u.iter().all(|u| u >> 21 == 0));
    }
}

/// A flipped bit anywhere in a request changes the result but nothing else.
#[test]
fn a_flipped_request_gives_wrong_shares() {
    let group = group();
    for position in [3, 100, 16 + 2048 * 6 + 10] {
        let Requested { message, masks: _, secret } = group.request(&mut rng(3));
        let mut payload = bytes(&message);
        payload[position] ^= 0x80;
        let message = decode_all::<RequestMessage>(&payload, &shape()).unwrap();
        let request = EncryptedRequest::open(&parameters(), &message, &group.positions()).unwrap();
        let mut random = rng(4);
        let (nonce, reshare) = message.reshare(&group.coins, 0, &mut random);
        let useful = group.useful();
        let matrix = group.matrix.as_ref();
        let noise = noise(&mut random);
        let v = group.source.shares(&request, &reshare, matrix, &useful, noise).unwrap();
        let u = secret.shares(&group.hints, 0, &nonce, &useful).unwrap();
        // The digest differs, so c0' does: the shares are unrelated.
        assert_ne!(u, v);
    }
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let group = group();
    let random = &mut rng(5);
    let request = |pinned: &[Pinned<'_>]| {
        LayerSecret::request(&parameters(), &group.coins, 0, pinned, &mut rng(6)).is_ok()
    };
    assert!(request(&[Pinned { positions: &[1, 2], values: &[3, 4] }]));
    assert!(request(&[]));
    assert!(!request(&[Pinned { positions: &[1, 2], values: &[3] }]));
    assert!(!request(&[Pinned { positions: &[2, 1], values: &[3, 4] }]));
    assert!(!request(&[Pinned { positions: &[1, 1], values: &[3, 4] }]));
    assert!(!request(&[Pinned { positions: &[2048], values: &[3] }]));

    let message = group.request(random).message;
    let open = |pinned: &[&[u32]]| EncryptedRequest::open(&parameters(), &message, pinned).is_ok();
    assert!(open(&[&[1, 5], &[2047]]));
    assert!(!open(&[&[1, 5], &[2048]]) && !open(&[&[1, 5], &[]]) && !open(&[&[5, 1], &[2047]]));
    assert!(!open(&[&[1, 5, 9]]));

    let request = EncryptedRequest::open(&parameters(), &message, &group.positions()).unwrap();
    let (nonce, reshare) = message.reshare(&group.coins, 0, random);
    let matrix = group.matrix.as_ref();
    let mut serve = |useful: &[&[u32]]| {
        group.source.shares(&request, &reshare, matrix, useful, noise(random)).is_ok()
    };
    assert!(serve(&[&[0], &[2047]]) && serve(&[&[], &[]]));
    assert!(!serve(&[&[0]]) && !serve(&[&[0], &[2048]]));
    let (two, four) = (0..2, 0..4);
    assert!(group.source.hints(matrix, two).is_ok() && group.source.hints(matrix, four).is_err());
    for useful in [&[&[0u32][..]][..], &[&[0], &[2048]]] {
        let secret = group.request(&mut rng(7)).secret;
        assert!(secret.shares(&group.hints, 0, &nonce, useful).is_err());
    }
}
