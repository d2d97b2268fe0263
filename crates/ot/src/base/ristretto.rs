//! The Diffie-Hellman half of the base OTs.
//!
//! Every point on the wire is twice a point that its maker knows, because doubled points are encoded in
//! batches with one inversion.

use curve25519_dalek::constants::RISTRETTO_BASEPOINT_TABLE;
use curve25519_dalek::ristretto::CompressedRistretto;
use curve25519_dalek::traits::Identity;
use curve25519_dalek::{RistrettoPoint, Scalar};
use gazelle_wire::traffic::framed_len;
use gazelle_wire::{DecodeError, Message, Reader};
use rand_core::CryptoRng;
use rayon::prelude::*;
use subtle::{Choice, ConditionallySelectable};
use zeroize::Zeroize;

use super::{Key, oracle};
use crate::error::OtError;
use crate::traffic::OtTraffic;

/// Bytes of an encoded point.
const POINT_BYTES: usize = 32;
/// Label of the hash into the group.
const HASH: &str = "gazelle-ot 2026 base OT hash to Ristretto255 v2";

/// Encoded points on the wire, 32 bytes each. Validity is checked by the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointsMessage(pub Vec<CompressedRistretto>);

impl Message for PointsMessage {
    /// The number of points.
    type Shape = usize;
    const KIND: u16 = 0x0300;
    const NAME: &'static str = "base OT points";

    fn encoded_len(shape: &usize) -> usize {
        POINT_BYTES * shape
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.0.iter().flat_map(CompressedRistretto::to_bytes));
    }
    fn decode(input: &mut Reader<'_>, shape: &usize) -> Result<Self, DecodeError> {
        let (points, _) = input.take(POINT_BYTES * shape)?.as_chunks::<POINT_BYTES>();
        Ok(Self(points.iter().map(|bytes| CompressedRistretto(*bytes)).collect()))
    }
}

/// The sender's key of one run. Wiped on drop.
pub(super) struct SenderKey {
    secret: Scalar,
    message: CompressedRistretto,
}

impl SenderKey {
    pub(super) fn new(rng: &mut (dyn CryptoRng + Send)) -> Self {
        let secret = Scalar::random(rng);
        let half = RISTRETTO_BASEPOINT_TABLE * &secret;
        Self { secret, message: (half + half).compress() }
    }

    pub(super) fn message(&self) -> PointsMessage {
        PointsMessage(vec![self.message])
    }

    /// The keys agreed with both keys of each OT, `[OT][string]`.
    ///
    /// # Errors
    /// [`OtError::InvalidPoint`] with the OT's index.
    pub(super) fn agree(
        &self,
        binding: &[u8; 32],
        points: &PointsMessage,
    ) -> Result<Vec<Key>, OtError> {
        let pairs = points.0.as_chunks::<2>().0.par_iter().enumerate();
        let shared = pairs.map(|(index, [zero, one])| {
            let points = [decode(zero, index)?, decode(one, index)?];
            let half = |other, choice| hash(binding, index, choice, other);
            let [a, b] = [half(one, false), half(zero, true)];
            Ok([(points[0] + a + a) * self.secret, (points[1] + b + b) * self.secret])
        });
        let mut shared = shared.collect::<Result<Vec<_>, OtError>>()?;
        let keys = encode_doubled(shared.as_flattened());
        shared.iter_mut().flatten().for_each(Zeroize::zeroize);
        Ok(keys)
    }
}

impl Drop for SenderKey {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

/// The receiver's key pairs and what it says. Wiped on drop.
pub(super) struct ReceiverKeys {
    secrets: Vec<Scalar>,
    message: PointsMessage,
}

impl ReceiverKeys {
    pub(super) fn new(
        choices: &[bool],
        binding: &[u8; 32],
        rng: &mut (dyn CryptoRng + Send),
    ) -> Self {
        let secrets: Vec<Scalar> = choices.iter().map(|_| Scalar::random(rng)).collect();
        let mut random = vec![[0u8; 64]; choices.len()];
        rng.fill_bytes(random.as_flattened_mut());
        let decoys = random.par_iter().map(RistrettoPoint::from_uniform_bytes);
        let decoys = RistrettoPoint::double_and_compress_batch(&decoys.collect::<Vec<_>>());
        let halves = secrets.par_iter().zip(choices).zip(&decoys).enumerate();
        let halves = halves.map(|(index, ((secret, choice), decoy))| {
            RISTRETTO_BASEPOINT_TABLE * secret - hash(binding, index, *choice, decoy)
        });
        let own = RistrettoPoint::double_and_compress_batch(&halves.collect::<Vec<_>>());
        let pairs = own.iter().zip(&decoys).zip(choices).flat_map(|((own, decoy), choice)| {
            let choice = Choice::from(u8::from(*choice));
            let select = |zero: &CompressedRistretto, one: &CompressedRistretto| {
                CompressedRistretto(<[u8; 32]>::conditional_select(&zero.0, &one.0, choice))
            };
            [select(own, decoy), select(decoy, own)]
        });
        let message = PointsMessage(pairs.collect());
        Self { secrets, message }
    }

    pub(super) fn message(&self) -> &PointsMessage {
        &self.message
    }

    /// The key agreed for the choice of each OT.
    ///
    /// # Errors
    /// [`OtError::InvalidPoint`] if the sender's point is not one, or the identity.
    pub(super) fn agree(&self, sender: &PointsMessage) -> Result<Vec<Key>, OtError> {
        let sender = sender.0.first().copied().unwrap_or_default();
        // One by one: with AVX-512 that takes less than products of a table and making the table.
        let sender = decode(&sender, 0)?;
        let shared = self.secrets.par_iter().map(|secret| sender * secret);
        let mut shared: Vec<RistrettoPoint> = shared.collect();
        let keys = encode_doubled(&shared);
        shared.zeroize();
        Ok(keys)
    }
}

impl Drop for ReceiverKeys {
    fn drop(&mut self) {
        self.secrets.zeroize();
    }
}

/// Exact bytes of `count` OTs.
pub(super) fn traffic(count: usize) -> OtTraffic {
    OtTraffic {
        sender_to_receiver: framed_len(POINT_BYTES),
        receiver_to_sender: framed_len(2 * POINT_BYTES * count),
    }
}

/// Half of `H_choice(other)`.
fn hash(
    binding: &[u8; 32],
    index: usize,
    choice: bool,
    other: &CompressedRistretto,
) -> RistrettoPoint {
    let mut bytes = [0u8; 64];
    oracle(HASH, binding, index, u8::from(choice), other.as_bytes()).fill(&mut bytes);
    RistrettoPoint::from_uniform_bytes(&bytes)
}

fn encode_doubled(points: &[RistrettoPoint]) -> Vec<Key> {
    let encoded = RistrettoPoint::double_and_compress_batch(points);
    encoded.into_iter().map(|point| point.0).collect()
}

/// A valid point that is not the identity.
fn decode(point: &CompressedRistretto, index: usize) -> Result<RistrettoPoint, OtError> {
    point
        .decompress()
        .filter(|point| *point != RistrettoPoint::identity())
        .ok_or(OtError::InvalidPoint { index })
}

#[cfg(test)]
mod tests {
    use super::*;
    use gazelle_prg::{Prg, Seed};

    /// A receiver that wants both strings: it sends key pairs of its own in both places. The hash of
    /// each place moves the other one, so that it agrees on neither key; without the hash, on both.
    #[test]
    fn adversarial_two_key_pairs_open_both_strings_without_the_hash_and_neither_with_it() {
        let mut rng = Prg::new(&Seed::from_bytes([29; 16]), 1);
        let sender = SenderKey::new(&mut rng);
        let own: Vec<Scalar> = (0..2).map(|_| Scalar::random(&mut rng)).collect();
        let halves: Vec<RistrettoPoint> =
            own.iter().map(|secret| RISTRETTO_BASEPOINT_TABLE * secret).collect();
        let points = PointsMessage(RistrettoPoint::double_and_compress_batch(&halves));
        let public = decode(&sender.message, 0).unwrap();
        let shared: Vec<RistrettoPoint> = own.iter().map(|secret| public * secret).collect();
        let hoped = encode_doubled(&shared);
        let agreed = sender.agree(&[5; 32], &points).unwrap();
        assert!(agreed.len() == 2 && agreed.iter().all(|key| !hoped.contains(key)));
        // The check off: the sender takes the points as they come.
        let bare = points.0.iter().map(|point| decode(point, 0).unwrap() * sender.secret);
        assert!(encode_doubled(&bare.collect::<Vec<_>>()) == hoped, "both strings");
    }
}
