//! What a client computes for one request: without talking, so that a server that audits it can do the same.

use gazelle_he::public_coin::{HintMessage, LayerSecret, PublicCoins, Requested, ReshareMessage};
use gazelle_prg::Prg;
use gazelle_share::{Mask, MaskKind, Misuse, ProtocolError, Shares};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::compiled::GroupState;
use crate::layout::Slots;

/// Labels of what follows from an audited request's coins: its ciphertexts, and masks that none of them holds.
const REQUEST_COINS: &str = "gazelle-linear 2026 audited request";
const MASK_COINS: &str = "gazelle-linear 2026 masks beside an audited request";

/// Where a request's coins come from.
pub(super) enum RequestCoins<'a> {
    /// From here and the operating system.
    Fresh(&'a mut (dyn CryptoRng + Send)),
    /// All from these.
    All(&'a [u8; 32]),
    /// The same, but for a secret that is out of range: a client that cheats.
    #[cfg(feature = "testing")]
    Stretched(&'a [u8; 32]),
}

/// A request and its mask.
pub(super) fn make(
    state: &GroupState,
    public: &PublicCoins,
    mask: Mask<'_>,
    coins: RequestCoins<'_>,
) -> Result<(Requested, Shares), ProtocolError> {
    let slots = state.layout.slots();
    let positions: Vec<&[u32]> = slots.iter().map(|slots| slots.pinned.as_slice()).collect();
    let (parameters, first) = (&state.parameters, state.first_index);
    let mut r;
    let settle_into = |r: &mut [u64], request: usize, polynomial: &mut [u64]| {
        if let Some(slots) = slots.get(request) {
            settle(slots, polynomial, r);
        }
    };
    let made = match coins {
        RequestCoins::Fresh(rng) => {
            r = initial_mask(state, &slots, mask, rng)?;
            let settle =
                &mut |request: usize, words: &mut [u64]| settle_into(&mut r, request, words);
            LayerSecret::request_with(parameters, public, first, &positions, settle, rng)
        }
        RequestCoins::All(coins) => {
            let private = |what: &str| Zeroizing::new(blake3::derive_key(what, coins));
            r = initial_mask(state, &slots, mask, &mut Prg::with_key(&private(MASK_COINS), 0))?;
            let settle =
                &mut |request: usize, words: &mut [u64]| settle_into(&mut r, request, words);
            let private = private(REQUEST_COINS);
            LayerSecret::request_of(parameters, public, first, &positions, settle, &private)
        }
        #[cfg(feature = "testing")]
        RequestCoins::Stretched(coins) => {
            let private = |what: &str| Zeroizing::new(blake3::derive_key(what, coins));
            r = initial_mask(state, &slots, mask, &mut Prg::with_key(&private(MASK_COINS), 0))?;
            let settle =
                &mut |request: usize, words: &mut [u64]| settle_into(&mut r, request, words);
            let coins = private(REQUEST_COINS);
            LayerSecret::request_of_stretched_secret(
                parameters, public, first, &positions, settle, &coins,
            )
        }
    };
    let r = Shares::new(state.group.ring_bits, std::mem::take(&mut *r));
    Ok((made.map_err(from_he)?, r))
}

/// u per operator, once the server's nonce is there.
pub(super) fn shares(
    state: &GroupState,
    secret: LayerSecret,
    hints: &HintMessage,
    inference: u64,
    nonce: &ReshareMessage,
) -> Result<Vec<Shares>, ProtocolError> {
    let useful = state.layout.useful();
    let words = secret.shares(hints, inference, nonce, &useful.rows()).map_err(from_he)?;
    let per_op = useful.scatter(&words, &state.layout.outputs).into_iter();
    Ok(per_op.map(|words| Shares::new(state.parameters.share_bits(), words)).collect())
}

/// r before the request defines it: the given mask, or coins where no request holds the element.
fn initial_mask(
    state: &GroupState,
    slots: &[Slots],
    mask: Mask<'_>,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<Zeroizing<Vec<u64>>, ProtocolError> {
    let elements = state.layout.elements;
    match (state.group.mask, mask) {
        (MaskKind::Given, Mask::Given(given))
            if given.len() == elements && given.bits() == state.group.ring_bits =>
        {
            Ok(Zeroizing::new(given.words().to_vec()))
        }
        (MaskKind::Fresh, Mask::Fresh) => {
            let held: usize = slots.iter().map(|slots| slots.masks.len()).sum();
            if held == elements {
                return Ok(Zeroizing::new(vec![0; elements]));
            }
            Ok(Zeroizing::new(Shares::random(state.group.ring_bits, elements, rng).into_words()))
        }
        _ => Err(Misuse::Unplanned("mask").into()),
    }
}

/// Pins what is to be pinned, then reads the masks that this polynomial defines.
#[expect(
    clippy::indexing_slicing,
    reason = "positions are below N and elements below the tensor's length, as the layout made them"
)]
fn settle(slots: &Slots, polynomial: &mut [u64], r: &mut [u64]) {
    for (&position, source) in slots.pinned.iter().zip(&slots.sources) {
        polynomial[position as usize] = source.map_or(0, |element| r[element as usize]);
    }
    for &(position, element) in &slots.masks {
        r[element as usize] = polynomial[position as usize];
    }
}

/// The link's errors stay the link's.
pub(super) fn from_he(error: gazelle_he::HeError) -> ProtocolError {
    use gazelle_he::HeError;
    match error {
        HeError::Channel(error) => ProtocolError::Channel(error),
        HeError::Malformed { .. } => ProtocolError::Peer(error.to_string()),
        other => ProtocolError::backend(other),
    }
}
