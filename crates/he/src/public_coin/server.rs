//! The server: hints at setup, evaluation and re-sharing per inference (docs/protocol.md, 3.2 and
//! 3.4).

use std::ops::Range;

use gazelle_ring::WeightMatrix;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::error::HeError;
use crate::public_coin::coins::PublicCoins;
use crate::public_coin::message::{HintMessage, RequestMessage, ReshareMessage};
use crate::public_coin::parameters::Parameters;

/// 32 fresh secret bytes from which all hint secrets and errors of one setup follow. One per
/// session (and one per inference for a revealed group); never stored.
pub struct HintKey {
    #[expect(dead_code, reason = "filled in by the next commit")]
    key: Zeroizing<[u8; 32]>,
}

/// What the hint secrets are bound to, so that the same `t_m` never masks other weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HintBinding {
    /// Digest of the plan.
    pub plan: [u8; 32],
    /// Digest of the group's weights.
    pub weights: [u8; 32],
    /// The group's number in the plan.
    pub group: u64,
    /// Plan-wide index of the group's first request polynomial.
    pub first_index: u64,
    /// Number of this setup within the session: 0 for the hints sent at setup; for a revealed
    /// group 1 + the number of the inference.
    pub setup: u64,
}

/// `(t_m, e''_m) = PRF(K, H(seed, binding, modulus), m)` for one group; independent for every m.
pub struct HintSource {
    #[expect(dead_code, reason = "filled in by the next commit")]
    key: Zeroizing<[u8; 32]>,
}

/// A request as the server reads it: ciphertext halves `b_i`, and `pb`.
pub struct EncryptedRequest {
    #[expect(dead_code, reason = "filled in by the next commit")]
    parameters: Parameters,
}

/// The uniform `c0'` of one group and inference, as a seed; public.
pub struct Reshare {
    #[expect(dead_code, reason = "filled in by the next commit")]
    seed: [u8; 32],
}

impl HintKey {
    /// Fresh from `rng`, mixed with fresh entropy of the operating system.
    ///
    /// # Errors
    /// [`HeError::Entropy`].
    pub fn fresh(rng: &mut (dyn CryptoRng + Send)) -> Result<Self, HeError> {
        let _ = rng;
        todo!()
    }

    /// The hint secrets of one group.
    pub fn source(
        &self,
        parameters: &Parameters,
        coins: &PublicCoins,
        binding: &HintBinding,
    ) -> HintSource {
        let _ = (parameters, coins, binding);
        todo!()
    }
}

impl HintSource {
    /// The hints `c1_m = sum_i w_{m,i} a_i + pa t_m + e''_m`, rounded to l+k-d bits, for a run of
    /// rows of `weights`.
    ///
    /// Cost per row: the row's products, two exact products. Runs on all cores.
    ///
    /// # Errors
    /// [`HeError::Caller`] if `rows` is not within the matrix.
    pub fn hints(
        &self,
        weights: &dyn WeightMatrix,
        rows: Range<usize>,
    ) -> Result<HintMessage, HeError> {
        let _ = (weights, rows);
        todo!()
    }

    /// The server's shares `v = -(rho >> k) mod 2^l`, `rho = c0' - c0_m - F`, at the useful
    /// coefficients, `c0_m = sum_i w_{m,i} b_i + pb t_m`; F fresh from the operating system.
    ///
    /// - `useful[m]`: coefficient indices wanted of response m, all rows of `weights`.
    /// - returns the words of all responses one after another, in the order of `useful`.
    ///
    /// # Errors
    /// [`HeError::Caller`] if the numbers do not fit; [`HeError::Entropy`].
    pub fn shares(
        &self,
        request: &EncryptedRequest,
        reshare: &Reshare,
        weights: &dyn WeightMatrix,
        useful: &[&[u32]],
    ) -> Result<Zeroizing<Vec<u64>>, HeError> {
        let _ = (request, reshare, weights, useful);
        todo!()
    }
}

impl EncryptedRequest {
    /// Rebuilds `b_i = beta 2^k + kept bits of low + midpoint`.
    ///
    /// `pinned[i]`: the pinned coefficient indices of request polynomial i (the plan's).
    ///
    /// # Errors
    /// [`HeError::Malformed`] if an unused bit is set; [`HeError::Caller`] if `pinned` does not
    /// fit the message.
    pub fn open(
        parameters: &Parameters,
        message: &RequestMessage,
        pinned: &[&[u32]],
    ) -> Result<Self, HeError> {
        let _ = (parameters, message, pinned);
        todo!()
    }

    /// Draws the nonce for `c0'` (after the request, so that the client did not know it) and
    /// derives its seed: H(coins, inference, request digest, nonce).
    pub fn reshare(
        &self,
        coins: &PublicCoins,
        inference: u64,
        rng: &mut (dyn CryptoRng + Send),
    ) -> (ReshareMessage, Reshare) {
        let _ = (coins, inference, rng);
        todo!()
    }
}
