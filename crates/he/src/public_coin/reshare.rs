//! The uniform `c0'` of one group and inference (docs/protocol.md, 3.4).

use gazelle_prg::sample;

use crate::public_coin::coins::PublicCoins;
use crate::public_coin::expand::{CoinKind, derive, first_stream};
use crate::public_coin::message::ReshareMessage;
use crate::public_coin::parameters::Parameters;

/// The seed of `c0'`: H(coins, inference, request digest, server's nonce). Public; fixed only after
/// the request was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reshare {
    seed: [u8; 32],
}

impl Reshare {
    /// What both parties derive once the server's nonce is out.
    pub(crate) fn new(
        coins: &PublicCoins,
        inference: u64,
        request: &[u8; 32],
        message: &ReshareMessage,
    ) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(coins.seed());
        hasher.update(&[CoinKind::Reshare as u8]);
        hasher.update(&inference.to_le_bytes()).update(request).update(&message.nonce);
        Self { seed: *hasher.finalize().as_bytes() }
    }

    /// `c0'_m` at the useful coefficients, in their order: uniform below `2^{l+k}`.
    pub(crate) fn words(&self, parameters: &Parameters, m: usize, out: &mut [u64]) {
        let mut prg = first_stream(&derive(&self.seed, CoinKind::ResharePolynomial, &[m as u64]));
        sample::uniform(&mut prg, parameters.modulus_bits(), out);
    }
}
