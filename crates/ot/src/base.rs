//! Base OTs over Ristretto255: "the simplest OT" of Chou and Orlandi (LATINCRYPT 2015), random strings.
//!
//! ```text
//! sender: send                                 receiver, choices c_i: receive
//! random a
//! A = a G                               ──►
//!                                              random b_i
//!                                       ◄──    P_i = 2 (b_i G + c_i A)
//! k0_i = H(i, A, P_i, 2 a P_i)                 k_i = H(i, A, P_i, 4 b_i A)
//! k1_i = H(i, A, P_i, 2 (a P_i - 2 a A))
//! ```
//!
//! The factors of two let many points be encoded with one inversion (`double_and_compress_batch`).
//!
//! H is BLAKE3 keyed by derivation from a fixed label, over the session's context, the index, both
//! messages and the shared point. Semi-honest security: under the gap-free computational
//! Diffie-Hellman assumption in Ristretto255 with H a random oracle; the receiver's choices are hidden
//! perfectly (a point is uniform for either). Invalid encodings and the identity are refused, so a peer
//! cannot force both strings to be equal or known by a degenerate point.
//!
//! Source: Chou, Orlandi, "The Simplest Protocol for Oblivious Transfer"; transcript in the hash as in
//! Doerner, Kondi, Lee, shelat (S&P 2018), section 5.

use curve25519_dalek::constants::RISTRETTO_BASEPOINT_TABLE;
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoBasepointTable};
use curve25519_dalek::traits::Identity;
use curve25519_dalek::{RistrettoPoint, Scalar};
use gazelle_prg::Seed;
use gazelle_wire::traffic::framed_len;
use gazelle_wire::{Channel, DecodeError, Message, Reader};
use rand_core::CryptoRng;
use subtle::{Choice, ConditionallySelectable};
use zeroize::Zeroize;

use crate::error::OtError;
use crate::extension::OtTraffic;

/// Bytes of an encoded point.
const POINT_BYTES: usize = 32;
/// Label of the key derivation; a change of the protocol changes it.
const LABEL: &str = "gazelle-ot 2026 base OT over Ristretto255 v1";

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

/// Makes `count` random OTs as the sender: both strings of each.
///
/// - `context`: what the session is for; both parties give the same.
///
/// Cost: one message each way, [`traffic`]; `count` multiplications of a received point.
///
/// # Errors
/// [`OtError::InvalidPoint`] if a point does not decode or is the identity, [`OtError::Channel`].
pub fn send(
    count: usize,
    context: &str,
    ch: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<Vec<[Seed; 2]>, OtError> {
    let mut secret = Scalar::random(rng);
    let first = RISTRETTO_BASEPOINT_TABLE * &secret;
    let encoded = first.compress();
    ch.send(&PointsMessage(vec![encoded]), &1)?;
    let points = ch.recv::<PointsMessage>(&count)?.0;
    let correction = (first + first) * secret;
    let mut shared = Vec::with_capacity(2 * count);
    for (index, encoded) in points.iter().enumerate() {
        let zero = decode(encoded, index)? * secret;
        shared.extend([zero, zero - correction]);
    }
    secret.zeroize();
    let mut keys = RistrettoPoint::double_and_compress_batch(&shared);
    shared.zeroize();
    let hash = Kdf::new(context, &encoded);
    let (pairs, _) = keys.as_chunks::<2>();
    let strings = pairs.iter().zip(&points).enumerate();
    let strings =
        strings.map(|(i, (pair, point))| pair.each_ref().map(|key| hash.string(i, point, key)));
    let strings = strings.collect();
    for key in &mut keys {
        key.0.zeroize();
    }
    Ok(strings)
}

/// Makes one random OT per choice as the receiver: the chosen string of each.
///
/// Cost: one message each way, [`traffic`]; two multiplications of a tabled point per OT.
///
/// # Errors
/// As [`send`].
pub fn receive(
    choices: &[bool],
    context: &str,
    ch: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<Vec<Seed>, OtError> {
    let encoded = ch.recv::<PointsMessage>(&1)?.0.into_iter().next().unwrap_or_default();
    let first = decode(&encoded, 0)?;
    let mut secrets: Vec<Scalar> = choices.iter().map(|_| Scalar::random(rng)).collect();
    let halves: Vec<RistrettoPoint> = secrets
        .iter()
        .zip(choices)
        .map(|(secret, choice)| {
            let masked = RISTRETTO_BASEPOINT_TABLE * secret;
            let choice = Choice::from(u8::from(*choice));
            masked + RistrettoPoint::conditional_select(&RistrettoPoint::identity(), &first, choice)
        })
        .collect();
    let points = PointsMessage(RistrettoPoint::double_and_compress_batch(&halves));
    ch.send(&points, &choices.len())?;
    ch.flush()?;
    // One table for the sender's point; it pays from a handful of OTs on.
    let table = RistrettoBasepointTable::create(&first);
    let mut shared: Vec<RistrettoPoint> =
        secrets.iter().map(|secret| &table * &(secret + secret)).collect();
    secrets.zeroize();
    let mut keys = RistrettoPoint::double_and_compress_batch(&shared);
    shared.zeroize();
    let hash = Kdf::new(context, &encoded);
    let strings = keys.iter().zip(&points.0).enumerate();
    let strings = strings.map(|(i, (key, point))| hash.string(i, point, key)).collect();
    for key in &mut keys {
        key.0.zeroize();
    }
    Ok(strings)
}

/// Exact bytes of `count` base OTs; "sender" and "receiver" are those of the base OTs.
pub fn traffic(count: usize) -> OtTraffic {
    OtTraffic {
        sender_to_receiver: framed_len(POINT_BYTES),
        receiver_to_sender: framed_len(POINT_BYTES * count),
    }
}

/// A valid point that is not the identity.
fn decode(point: &CompressedRistretto, index: usize) -> Result<RistrettoPoint, OtError> {
    point
        .decompress()
        .filter(|point| *point != RistrettoPoint::identity())
        .ok_or(OtError::InvalidPoint { index })
}

/// The random oracle of one run.
struct Kdf(blake3::Hasher);

impl Kdf {
    fn new(context: &str, first: &CompressedRistretto) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(LABEL);
        hasher.update(&(context.len() as u64).to_le_bytes());
        hasher.update(context.as_bytes());
        hasher.update(first.as_bytes());
        Self(hasher)
    }

    fn string(&self, index: usize, point: &CompressedRistretto, key: &CompressedRistretto) -> Seed {
        let mut hasher = self.0.clone();
        hasher.update(&(index as u64).to_le_bytes());
        hasher.update(point.as_bytes());
        hasher.update(key.as_bytes());
        let mut bytes = [0u8; 16];
        hasher.finalize_xof().fill(&mut bytes);
        hasher.zeroize();
        Seed::from_bytes(bytes)
    }
}
