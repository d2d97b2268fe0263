//! The rules of docs/protocol.md 3.1 to 3.5 that can be seen from outside; those about internal
//! secrets are beside the code (`client`, `server`, `coins`).

use std::collections::HashSet;

use gazelle_he::public_coin::{EncryptedRequest, HintBinding, HintKey, Parameters, Requested};
use gazelle_wire::Message;

use super::group::{Group, binding, coins, noise, random_terms, rng};

fn parameters() -> Parameters {
    Parameters::new(2048, 24, 24, 6, 17).unwrap()
}

fn group() -> Group {
    let (rows, _) = random_terms(2048, 2, 2, 20, 8);
    Group::new(parameters(), 2, rows, false)
}

#[test]
fn the_public_seed_is_that_of_the_joint_bytes() {
    assert_eq!(coins(1), coins(1));
    assert_ne!(coins(1), coins(2));
}

/// 3.1, 3.3: nothing of two requests is the same, within a group and across groups and inferences.
#[test]
fn requests_share_nothing() {
    let group = group();
    let mut random = rng(20);
    let mut payloads = HashSet::new();
    let mut masks = HashSet::new();
    for _ in 0..4 {
        let Requested { message, masks: r, .. } = group.request(&mut random);
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        // Seed, pb, and the kept bits of each polynomial.
        for part in [&bytes[..16], &bytes[16..16 + 2048 * 6], &bytes[16 + 2048 * 6..]] {
            assert!(payloads.insert(part.to_vec()));
        }
        assert!(r.iter().all(|r| masks.insert(r.to_vec())));
    }
}

/// 3.4: F is fresh from the operating system, even if every other coin is the same.
#[test]
fn the_servers_noise_is_fresh_even_under_a_rewound_generator() {
    let group = group();
    let Requested { message, .. } = group.request(&mut rng(21));
    let request = EncryptedRequest::open(&parameters(), &message, &group.positions()).unwrap();
    let useful = group.useful();
    let shares = || {
        let mut rewound = rng(22);
        let (_, reshare) = message.reshare(&group.coins, 0, &mut rewound);
        let matrix = group.matrix.as_ref();
        group.source.shares(&request, &reshare, matrix, &useful, noise(&mut rewound)).unwrap()
    };
    let (first, second) = (shares(), shares());
    // v = -((c0' - c0 - F) >> 24) with F of deviation 2^20: the two differ in few places, by one
    // unit. Equal shares would mean a repeated F; far ones another c0'.
    let differing: Vec<i64> = first
        .iter()
        .zip(second.iter())
        .map(|(a, b)| ((a.wrapping_sub(*b) << 40) as i64) >> 40)
        .filter(|d| *d != 0)
        .collect();
    // P(differ) = E|F - F'| / 2^24 = 2^20 * 2 / sqrt(pi) / 2^24 = 0.0705.
    let expected = 4096.0 * 0.0705;
    assert!((differing.len() as f64 - expected).abs() < 100.0, "{}", differing.len());
    assert!(differing.iter().all(|d| d.abs() == 1));
}

/// 3.4: c0' is fixed after the request, by the server's nonce, and bound to request and inference.
#[test]
fn re_sharing_is_bound_to_request_inference_and_nonce() {
    let group = group();
    let (first, second) =
        (group.request(&mut rng(23)).message, group.request(&mut rng(24)).message);
    let base = first.reshare(&group.coins, 0, &mut rng(1)).1;
    assert_eq!(base, first.reshare(&group.coins, 0, &mut rng(1)).1);
    assert_ne!(base, second.reshare(&group.coins, 0, &mut rng(1)).1);
    assert_ne!(base, first.reshare(&group.coins, 1, &mut rng(1)).1);
    assert_ne!(base, first.reshare(&group.coins, 0, &mut rng(2)).1);
    assert_ne!(base, first.reshare(&coins(9), 0, &mut rng(1)).1);
}

/// 3.2: hints of one setup are repeated bit for bit; every other setup masks afresh, so that even
/// the same weights never show a difference.
#[test]
fn hints_of_other_setups_and_weights_share_no_mask() {
    let group = group();
    let matrix = group.matrix.as_ref();
    let key = HintKey::fresh(&mut rng(25)).unwrap();
    let hints = |key: &HintKey, binding: HintBinding| {
        key.source(&parameters(), &group.coins, &binding).hints(matrix, 0..2).unwrap()
    };
    let base = hints(&key, binding());
    assert_eq!(base, hints(&key, binding()));
    let another = HintKey::fresh(&mut rng(25)).unwrap();
    let others = [
        hints(&key, HintBinding { setup: 1, ..binding() }),
        hints(&key, HintBinding { weights: [3; 32], ..binding() }),
        hints(&key, HintBinding { plan: [3; 32], ..binding() }),
        // A rewound caller's generator still gives another key: the system's entropy is in it.
        hints(&another, binding()),
    ];
    let bytes = |message: &gazelle_he::public_coin::HintMessage| {
        let mut out = Vec::new();
        message.encode(&mut out);
        out
    };
    for other in &others {
        let equal = bytes(&base).iter().zip(bytes(other)).filter(|(a, b)| **a == *b).count();
        // Independent bytes agree in one of 256 places.
        assert!(equal < base.len() / 128, "{equal} of {}", base.len());
    }
}

/// 3.6: the last layer's fresh hints work, and cannot be mixed up with others.
#[test]
fn a_fresh_response_per_inference_serves_the_revealed_layer() {
    let parameters = Parameters::new(2048, 24, 24, 24, 10).unwrap();
    let (rows, norm) = random_terms(2048, 1, 1, 20, 8);
    let mut group = Group::new(parameters, 1, rows, false);
    let bound = gazelle_he::public_coin::noise::error_bound(&parameters, norm, 8.0);
    let stale = group.hints.clone();
    for inference in 0..2 {
        let key = HintKey::fresh(&mut rng(26)).unwrap();
        let binding = HintBinding { setup: 1 + inference, ..binding() };
        group.source = key.source(&parameters, &group.coins, &binding);
        group.hints = group.source.hints(group.matrix.as_ref(), 0..1).unwrap();
        let (errors, _) = group.errors(inference, &mut rng(27));
        assert!(errors.iter().all(|e| (e.abs() as f64) <= bound));
    }
    group.hints = stale;
    let (errors, _) = group.errors(2, &mut rng(28));
    assert!(errors.iter().any(|e| (e.abs() as f64) > 1000.0 * bound));
}

#[test]
fn secrets_cannot_be_used_twice() {
    // A compile-time property: `shares` takes the secret by value and it is not `Clone`.
    fn consumes(
        secret: gazelle_he::public_coin::LayerSecret,
    ) -> Result<gazelle_ring::Buffer, gazelle_he::HeError> {
        let nonce = gazelle_wire::message::decode_all(&[0; 32], &()).unwrap();
        secret.shares(&gazelle_he::public_coin::HintMessage::default(), 0, &nonce, &[])
    }
    assert!(consumes(group().request(&mut rng(29)).secret).unwrap().is_empty());
}
