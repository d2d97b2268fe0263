//! The joint public seed and its expansion to the `a_i` and `pa` (docs/protocol.md, 3.1).
//!
//! | client | server |
//! |---|---|
//! | [`PublicCoins::client`]: commit to `n_C` -> | [`PublicCoins::server`] |
//! | | <- `n_S` |
//! | open `n_C` -> | check |
//!
//! seed = H(label, `n_C`, `n_S`, context); the context binds plan and model.

use gazelle_ring::Polys;
use gazelle_wire::Channel;
use rand_core::CryptoRng;

use crate::error::HeError;
use crate::public_coin::parameters::Parameters;

/// The public seed of one client and model, from which both parties expand the uniform
/// polynomials. Nothing in it is secret; neither party chose it alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicCoins {
    seed: [u8; 32],
}

impl PublicCoins {
    /// The client's side of the joint choice. `context`: digest of plan and model.
    ///
    /// Cost: 32 bytes, then 32 bytes back, then 32 bytes.
    ///
    /// # Errors
    /// The link's.
    pub fn client(
        context: &[u8; 32],
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self, HeError> {
        let _ = (context, channel, rng);
        todo!()
    }

    /// The server's side.
    ///
    /// # Errors
    /// The link's; [`HeError::Commitment`] if the client opens another nonce.
    pub fn server(
        context: &[u8; 32],
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self, HeError> {
        let _ = (context, channel, rng);
        todo!()
    }

    /// The request polynomials `a_first .. a_{first + count}`, uniform below `2^{l+k}`;
    /// `first + count` at most 2^32. Indices run over the whole plan: every request polynomial of
    /// every group has its own.
    pub fn request_polynomials(&self, parameters: &Parameters, first: u64, count: usize) -> Polys {
        let _ = (parameters, first, count, self.seed);
        todo!()
    }

    /// The key polynomial `pa`, uniform below `2^{l+k}`.
    pub fn key_polynomial(&self, parameters: &Parameters) -> Polys {
        let _ = parameters;
        todo!()
    }
}
