//! A request as the server reads it, and the nonce that answers it (docs/protocol.md, 3.2).

use gazelle_prg::Seed;
use gazelle_prg::sample;
use gazelle_ring::{ExactOperand, Fft, Fourier, Polys, Transform};
use gazelle_wire::{DecodeError, Message, packed};
use rand_core::CryptoRng;
use rayon::prelude::*;

use crate::error::HeError;
use crate::public_coin::client::{check, check_positions};
use crate::public_coin::coins::PublicCoins;
use crate::public_coin::expand::{FORK_BETA, stream};
use crate::public_coin::levels;
use crate::public_coin::message::{RequestMessage, RequestShape, ReshareMessage, kept_bytes};
use crate::public_coin::parameters::Parameters;
use crate::public_coin::reshare::Reshare;

/// A request as the server reads it: ciphertext halves `b_i`, and `pb`.
pub struct EncryptedRequest {
    pub(super) parameters: Parameters,
    pub(super) b: Polys,
    pub(super) pb: ExactOperand<Fourier>,
}

impl EncryptedRequest {
    /// Rebuilds `b_i = beta 2^k + the middle of low's level`. Where that lies between two numbers
    /// beta's lowest bit settles it, which is uniform whatever low is.
    ///
    /// `pinned[i]`: the pinned coefficient indices of request polynomial i (the plan's).
    ///
    /// # Errors
    /// [`HeError::Malformed`] if an unused bit is set or a level is too large; [`HeError::Caller`] if `pinned` does not
    /// fit the message.
    pub fn open(
        parameters: &Parameters,
        message: &RequestMessage,
        pinned: &[&[u32]],
    ) -> Result<Self, HeError> {
        let p = parameters;
        let n = p.degree();
        let shape = RequestShape {
            parameters: *p,
            requests: pinned.len(),
            pinned: pinned.iter().map(|list| list.len()).sum(),
        };
        check("bytes of a request", RequestMessage::encoded_len(&shape), message.payload.len())?;
        for positions in pinned {
            check_positions(p, positions)?;
        }
        let mut reader = gazelle_wire::Reader::new(&message.payload);
        let seed = Seed::from_bytes(reader.array().map_err(malformed)?);
        let bytes = |bits: u32| n * bits as usize / 8;
        let key = reader.take(bytes(p.modulus_bits())).map_err(malformed)?;
        let key = packed::unpack(key, p.modulus_bits(), n).map_err(malformed)?;
        let kept_bytes = kept_bytes(p);
        let kept = reader.take(pinned.len() * kept_bytes).map_err(malformed)?;
        let betas = reader
            .take((shape.pinned * p.ring_bits() as usize).div_ceil(8))
            .and_then(|betas| packed::unpack(betas, p.ring_bits(), shape.pinned))
            .map_err(malformed)?;

        let fft = Fft::new(n)?;
        let pb = fft.prepare_exact(&key, p.modulus_bits(), &mut fft.scratch())?;
        let mut b = Polys::zeros(n, pinned.len());
        let mut rest = betas.as_slice();
        let jobs: Vec<_> = pinned
            .iter()
            .map(|positions| {
                let (own, tail) = rest.split_at(positions.len());
                rest = tail;
                (*positions, own)
            })
            .collect();
        b.par_iter_mut()
            .zip(kept.par_chunks(kept_bytes))
            .zip(jobs)
            .enumerate()
            .map(|(i, ((b, kept), (positions, betas)))| {
                let low = levels::unpack(p, kept)?;
                sample::uniform(&mut stream(&seed.fork(FORK_BETA, i as u64)), p.ring_bits(), b);
                for (index, beta) in positions.iter().zip(betas) {
                    if let Some(slot) = b.get_mut(*index as usize) {
                        *slot = *beta;
                    }
                }
                for (b, doubled) in b.iter_mut().zip(low) {
                    *b = (*b << p.noise_bits()) | levels::complete(doubled, *b & 1);
                }
                Ok(())
            })
            .collect::<Result<(), DecodeError>>()
            .map_err(malformed)?;
        Ok(Self { parameters: *p, b, pb })
    }
}

impl RequestMessage {
    /// The server draws the nonce for `c0'` (after the request, so that the client did not know it)
    /// and derives its seed: H(coins, inference, request digest, nonce).
    pub fn reshare(
        &self,
        coins: &PublicCoins,
        inference: u64,
        rng: &mut (dyn CryptoRng + Send),
    ) -> (ReshareMessage, Reshare) {
        let mut nonce = [0u8; 32];
        rng.fill_bytes(&mut nonce);
        let message = ReshareMessage { nonce };
        let reshare = Reshare::new(coins, inference, &self.digest(), &message);
        (message, reshare)
    }
}

fn malformed(source: DecodeError) -> HeError {
    HeError::Malformed { what: RequestMessage::NAME, source }
}
