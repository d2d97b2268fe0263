//! The joint public seed and its expansion to the `a_i` and `pa` (docs/protocol.md, 3.1).
//!
//! | client | server |
//! |---|---|
//! | [`PublicCoins::client`]: commit to `n_C` -> | [`PublicCoins::server`] |
//! | | <- `n_S` |
//! | open `n_C` -> | check |
//!
//! seed = H(label, `n_C`, `n_S`, context); the context binds plan and model. The server fixes its
//! nonce before it sees the client's, the client before it sees the server's: neither chooses.

use gazelle_prg::sample;
use gazelle_ring::Polys;
use gazelle_wire::{Channel, Cost, DecodeError, Message, Reader, traffic::framed_len};
use rand_core::CryptoRng;
use rayon::prelude::*;
use subtle::ConstantTimeEq;

use crate::error::HeError;
use crate::public_coin::expand::{CoinKind, derive, first_stream};
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
    /// Cost: 32 bytes, 32 bytes back, 32 bytes; see [`PublicCoins::traffic`].
    ///
    /// # Errors
    /// The link's.
    pub fn client(
        context: &[u8; 32],
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self, HeError> {
        let mut nonce = [0u8; 32];
        rng.fill_bytes(&mut nonce);
        channel.send(&Commitment(commitment(&nonce, context)), &())?;
        let Nonce(server) = channel.recv(&())?;
        channel.send(&Nonce(nonce), &())?;
        channel.flush()?;
        Ok(Self::joint(&nonce, &server, context))
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
        let Commitment(committed) = channel.recv(&())?;
        let mut nonce = [0u8; 32];
        rng.fill_bytes(&mut nonce);
        channel.send(&Nonce(nonce), &())?;
        let Nonce(client) = channel.recv(&())?;
        if !bool::from(commitment(&client, context).ct_eq(&committed)) {
            return Err(HeError::Commitment);
        }
        Ok(Self::joint(&client, &nonce, context))
    }

    /// What both parties keep of the choice beyond a session: 32 public bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.seed
    }

    /// A choice that was [kept](Self::to_bytes).
    pub fn kept(seed: [u8; 32]) -> Self {
        Self { seed }
    }

    /// Bytes of the joint choice.
    pub fn traffic() -> Cost {
        Cost { client_to_server: 2 * framed_len(32), server_to_client: framed_len(32) }
    }

    /// The request polynomials `a_first .. a_{first + count}`, uniform below `2^{l+k}`. Indices run
    /// over the whole plan: every request polynomial of every group has its own.
    pub(crate) fn request_polynomials(
        &self,
        parameters: &Parameters,
        first: u64,
        count: usize,
    ) -> Polys {
        let mut polys = Polys::zeros(parameters.degree(), count);
        polys.par_iter_mut().enumerate().for_each(|(i, poly)| {
            let index = first.wrapping_add(i as u64);
            self.expand(parameters, CoinKind::RequestPolynomial, index, poly);
        });
        polys
    }

    /// The key polynomial `pa`, uniform below `2^{l+k}`.
    pub(crate) fn key_polynomial(&self, parameters: &Parameters) -> Polys {
        let mut polys = Polys::zeros(parameters.degree(), 1);
        self.expand(parameters, CoinKind::KeyPolynomial, 0, polys.words_mut());
        polys
    }

    /// What other hashes bind to.
    pub(crate) fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    fn joint(client: &[u8; 32], server: &[u8; 32], context: &[u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("gazelle-he 2026 joint public seed");
        hasher.update(client).update(server).update(context);
        Self { seed: *hasher.finalize().as_bytes() }
    }

    /// Separated by kind, N, log2 q and index.
    fn expand(&self, parameters: &Parameters, kind: CoinKind, index: u64, out: &mut [u64]) {
        let bits = parameters.modulus_bits();
        let numbers = [parameters.degree() as u64, u64::from(bits), index];
        sample::uniform(&mut first_stream(&derive(&self.seed, kind, &numbers)), bits, out);
    }
}

fn commitment(nonce: &[u8; 32], context: &[u8; 32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("gazelle-he 2026 commitment to a nonce");
    hasher.update(nonce).update(context);
    *hasher.finalize().as_bytes()
}

/// The client's commitment.
struct Commitment([u8; 32]);

/// A nonce, or the opening of the commitment to it.
struct Nonce([u8; 32]);

macro_rules! thirty_two_bytes {
    ($type:ident, $kind:literal, $name:literal) => {
        impl Message for $type {
            type Shape = ();
            const KIND: u16 = $kind;
            const NAME: &'static str = $name;

            fn encoded_len((): &()) -> usize {
                32
            }
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.0);
            }
            fn decode(input: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
                Ok(Self(input.array()?))
            }
        }
    };
}
thirty_two_bytes!(Commitment, 0x0200, "commitment to a nonce");
thirty_two_bytes!(Nonce, 0x0201, "nonce of the public seed");

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn coins(tag: u8) -> PublicCoins {
        PublicCoins::joint(&[tag; 32], &[7; 32], &[8; 32])
    }

    #[test]
    fn the_seed_depends_on_both_nonces_and_the_context() {
        let joint = PublicCoins::joint(&[1; 32], &[2; 32], &[3; 32]);
        assert_ne!(joint, PublicCoins::joint(&[9; 32], &[2; 32], &[3; 32]));
        assert_ne!(joint, PublicCoins::joint(&[1; 32], &[9; 32], &[3; 32]));
        assert_ne!(joint, PublicCoins::joint(&[1; 32], &[2; 32], &[9; 32]));
        assert_ne!(commitment(&[1; 32], &[3; 32]), commitment(&[2; 32], &[3; 32]));
        assert_ne!(commitment(&[1; 32], &[3; 32]), commitment(&[1; 32], &[4; 32]));
    }

    #[test]
    fn polynomials_are_uniform_and_distinct_by_index_degree_modulus_and_kind() {
        let narrow = Parameters::new(2048, 30, 18, 6, 10).unwrap();
        let wider = Parameters::new(2048, 31, 18, 6, 10).unwrap();
        let longer = Parameters::new(4096, 30, 18, 6, 10).unwrap();
        // The same modulus with another split into l and k is the same ring.
        let split = Parameters::new(2048, 29, 19, 3, 9).unwrap();
        let coins = coins(1);
        let a = coins.request_polynomials(&narrow, 5, 3);
        let tail = coins.request_polynomials(&narrow, 6, 2);
        assert_eq!(a.poly(1), tail.poly(0));
        assert_eq!(a, coins.request_polynomials(&split, 5, 3));
        let low = |words: &[u64]| words.iter().take(2048).map(|w| w & 0xffff).collect::<Vec<_>>();
        let all = [
            low(a.poly(0)),
            low(a.poly(1)),
            low(a.poly(2)),
            low(coins.request_polynomials(&wider, 5, 1).poly(0)),
            low(coins.request_polynomials(&longer, 5, 1).poly(0)),
            low(coins.key_polynomial(&narrow).poly(0)),
            low(tests::coins(2).request_polynomials(&narrow, 5, 1).poly(0)),
        ];
        for (i, x) in all.iter().enumerate() {
            assert!(all.iter().skip(i + 1).all(|y| x != y));
        }
        assert!(a.words().iter().all(|word| word >> 48 == 0));
        let ones: u32 = a.words().iter().map(|word| word.count_ones()).sum();
        let expected = 3.0 * 2048.0 * 24.0;
        assert!((f64::from(ones) - expected).abs() < 6.0 * (expected / 2.0).sqrt());
    }
}
