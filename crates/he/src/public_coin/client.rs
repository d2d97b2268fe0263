//! The client: requests with share-seeded encryption, and its shares from the hints
//! (docs/protocol.md, 3.3 and 3.4).

use gazelle_ring::Polys;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::error::HeError;
use crate::public_coin::coins::PublicCoins;
use crate::public_coin::message::{HintMessage, RequestMessage, ReshareMessage};
use crate::public_coin::parameters::Parameters;

/// The coefficients of one request polynomial whose mask must have a given value; all others are
/// free (uniform, they follow from the encryption).
#[derive(Clone, Copy, Default)]
pub struct Pinned<'a> {
    /// Coefficient indices, strictly increasing; public, part of the plan.
    pub positions: &'a [u32],
    /// The mask wanted at each position, in `Z_{2^l}`; secret.
    pub values: &'a [u64],
}

/// What [`LayerSecret::request`] gives.
pub struct Requested {
    /// For the server; shape [`RequestShape`](crate::public_coin::RequestShape).
    pub message: RequestMessage,
    /// The masks r, one polynomial per request, words below `2^l`.
    pub masks: Zeroizing<Polys>,
    /// What [`LayerSecret::shares`] needs.
    pub secret: LayerSecret,
}

/// The client's secret for one group and one inference: a ternary polynomial. Drawn fresh by every
/// request, consumed by [`shares`](Self::shares), wiped on drop, neither cloned nor stored.
pub struct LayerSecret {
    #[expect(dead_code, reason = "filled in by the next commit")]
    s: Zeroizing<Vec<i64>>,
}

impl LayerSecret {
    /// Draws a fresh secret and encrypts one random mask polynomial per element of `pinned`.
    ///
    /// - `first_index`: plan-wide index of the group's first request polynomial (its `a_i`).
    /// - `pinned`: one element per request polynomial; `Pinned::default()` pins nothing.
    /// - returns the message, the masks `r` (pinned coefficients as wanted) and the secret.
    ///
    /// Cost: two exact products for `pb` and each polynomial; `h N + l * pinned` bits per
    /// polynomial and `(l + k) N + 128` per group. Runs on all cores.
    ///
    /// # Errors
    /// [`HeError::Caller`] if positions and values do not fit.
    pub fn request(
        parameters: &Parameters,
        coins: &PublicCoins,
        first_index: u64,
        pinned: &[Pinned<'_>],
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Requested, HeError> {
        let _ = (parameters, coins, first_index, pinned, rng);
        todo!()
    }

    /// The client's shares `u = ((c0' + c1_m s) >> k) mod 2^l` at the useful coefficients.
    ///
    /// - `hints`: all rows of the group, in order (stored since setup, or fresh if revealed).
    /// - `inference`: number of the inference within the session, as the server counts.
    /// - `useful[m]`: coefficient indices wanted of response m.
    /// - returns the words of all responses one after another, in the order of `useful`.
    ///
    /// # Errors
    /// [`HeError::Caller`] if `hints` and `useful` differ in number or an index is not below N.
    pub fn shares(
        self,
        hints: &HintMessage,
        inference: u64,
        reshare: &ReshareMessage,
        useful: &[&[u32]],
    ) -> Result<Zeroizing<Vec<u64>>, HeError> {
        let _ = (hints, inference, reshare, useful);
        todo!()
    }
}
