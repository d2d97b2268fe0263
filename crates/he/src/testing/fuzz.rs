//! Bodies of the fuzz targets: any bytes end in a value or an error.

use gazelle_prg::{Prg, Seed};
use gazelle_ring::SparseWeights;
use gazelle_ring::weights::Term;
use gazelle_wire::Message;
use gazelle_wire::message::decode_all;

use crate::public_coin::{
    EncryptedRequest, HintBinding, HintKey, HintMessage, HintShape, LayerSecret, Parameters,
    Pinned, PublicCoins, RequestMessage, RequestShape, ReshareMessage, ResponseNoise,
};

/// One group with a request, hints and a nonce made of `data`, whose first five bytes choose the
/// parameters.
///
/// # Panics
/// Only on a defect.
pub fn messages(data: &[u8]) {
    let rng = &mut Prg::new(&Seed::from_bytes([9; 16]), 0);
    let coins = PublicCoins::from_joint(&[1; 32]);
    let Some(([ring, noise, kept, dropped, quarters], rest)) = data.split_first_chunk::<5>() else {
        return;
    };
    let [ring, noise, kept, dropped] = [ring, noise, kept, dropped].map(|bits| u32::from(*bits));
    let Ok(parameters) = Parameters::new(2048, ring, noise, kept, dropped) else { return };
    let quarters = parameters.kept_quarters().saturating_sub(u32::from(quarters % 4));
    let Ok(parameters) = parameters.with_kept_quarters(quarters) else { return };
    let _ = group(&parameters, &coins, rest, rng);
}

/// One request polynomial with two pinned coefficients, one response with two useful ones.
fn group(parameters: &Parameters, coins: &PublicCoins, data: &[u8], rng: &mut Prg) -> Option<()> {
    let positions: [u32; 2] = [3, 2047];
    let terms = vec![vec![Term { request: 0, shift: 5, weight: -3 }]];
    let weights = SparseWeights::new(2048, 1, terms).ok()?;
    let binding =
        HintBinding { plan: [2; 32], weights: [3; 32], group: 0, first_index: 0, setup: 0 };
    let useful: &[&[u32]] = &[&[0, 2047]];

    let shape = RequestShape { parameters: *parameters, requests: 1, pinned: positions.len() };
    let request: RequestMessage = decode_all(&fill::<RequestMessage>(data, &shape), &shape).ok()?;
    if let Ok(opened) = EncryptedRequest::open(parameters, &request, &[&positions]) {
        let source = HintKey::fresh(rng).ok()?.source(parameters, coins, &binding);
        let (_, reshare) = request.reshare(coins, 0, rng);
        let noise = ResponseNoise::fresh(rng).ok()?;
        source.shares(&opened, &reshare, &weights, useful, noise).ok()?;
    }

    let shape = HintShape { parameters: *parameters, responses: 1 };
    let hints: HintMessage = decode_all(&fill::<HintMessage>(data, &shape), &shape).ok()?;
    let nonce: ReshareMessage = decode_all(&fill::<ReshareMessage>(data, &()), &()).ok()?;
    let pinned = Pinned { positions: &positions, values: &[1, 2] };
    let requested = LayerSecret::request(parameters, coins, 0, &[pinned], rng).ok()?;
    let _ = requested.secret.shares(&hints, 0, &nonce, useful);
    Some(())
}

/// `data`, cut or filled up with its last byte to the agreed length.
fn fill<M: Message>(data: &[u8], shape: &M::Shape) -> Vec<u8> {
    let mut payload = data.to_vec();
    payload.resize(M::encoded_len(shape), data.last().copied().unwrap_or_default());
    payload
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]

        #[test]
        fn adversarial_any_messages_are_survived(data in prop::collection::vec(any::<u8>(), 0..300)) {
            super::messages(&data);
        }

        #[test]
        fn adversarial_any_group_is_survived(
            ring in 8u8..37, kept in 1u8..12, dropped in 0u8..30,
            data in prop::collection::vec(any::<u8>(), 96..300),
        ) {
            super::messages(&[&[ring, 12, kept, dropped, 0], data.as_slice()].concat());
        }
    }
}
