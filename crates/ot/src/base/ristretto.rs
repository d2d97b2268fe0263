//! The Diffie-Hellman half of the base OTs: public keys in Ristretto255, and functions into it (`popf`).
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
use zeroize::{Zeroize, Zeroizing};

use super::pair::{PLACES, PairKey};
use super::popf::{At, HashLabels, SALT_BYTES, Salt};
use crate::error::OtError;
use crate::traffic::OtTraffic;

/// Bytes of an encoded point.
const POINT_BYTES: usize = 32;
/// Bytes of a function: T, then s.
const FUNCTION_BYTES: usize = POINT_BYTES + SALT_BYTES;
/// Labels of the hashes into the group (half of it) and into salts.
const LABELS: HashLabels = HashLabels {
    hash: "gazelle-ot 2026 base OT hash to Ristretto255 v3",
    salt: "gazelle-ot 2026 base OT hash of Ristretto255 to salts v1",
};

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

/// Functions on the wire, one per pair of OTs: T and s. Validity of T is checked by the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointFunctionsMessage(pub Vec<[u8; FUNCTION_BYTES]>);

impl Message for PointFunctionsMessage {
    /// The number of pairs.
    type Shape = usize;
    const KIND: u16 = 0x0307;
    const NAME: &'static str = "base OT functions of points";

    fn encoded_len(shape: &usize) -> usize {
        FUNCTION_BYTES * shape
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_flattened());
    }
    fn decode(input: &mut Reader<'_>, shape: &usize) -> Result<Self, DecodeError> {
        let bytes = input.take(FUNCTION_BYTES * shape)?;
        Ok(Self(bytes.as_chunks::<FUNCTION_BYTES>().0.to_vec()))
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

    /// The keys agreed with all values of each function, `[pair][place]`.
    ///
    /// # Errors
    /// [`OtError::InvalidPoint`] with the pair's index.
    pub(super) fn agree(
        &self,
        binding: &[u8; 32],
        functions: &PointFunctionsMessage,
    ) -> Result<Vec<[PairKey; PLACES as usize]>, OtError> {
        let points = functions.0.iter().enumerate();
        let points = points.map(|(index, function)| decode(&split(function).0, index));
        let points = points.collect::<Result<Vec<_>, OtError>>()?;
        let pairs = functions.0.par_iter().zip(&points).enumerate();
        let shared = pairs.map(|(index, (function, point))| {
            let at = At { binding, index };
            let (element, salt) = split(function);
            let value = |x| *point + doubled(hash(at, x, &at.salted(&LABELS, x, &element.0, salt)));
            [0, 1, 2, 3].map(|x| value(x) * self.secret)
        });
        // Indexed: a vector that grows leaves secrets behind.
        let mut shared: Vec<[RistrettoPoint; PLACES as usize]> = shared.collect();
        let mut keys = encode_doubled(shared.as_flattened());
        shared.iter_mut().flatten().for_each(Zeroize::zeroize);
        let all = keys.as_chunks().0.to_vec();
        keys.zeroize();
        Ok(all)
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
    message: PointFunctionsMessage,
}

impl ReceiverKeys {
    /// Fresh pairs, for the choices of each pair of OTs.
    pub(super) fn new(
        choices: &[[u8; 2]],
        binding: &[u8; 32],
        rng: &mut (dyn CryptoRng + Send),
    ) -> Self {
        let secrets: Vec<Scalar> = choices.iter().map(|_| Scalar::random(rng)).collect();
        let mut salts = Zeroizing::new(vec![[0u8; SALT_BYTES]; choices.len()]);
        rng.fill_bytes(salts.as_flattened_mut());
        let halves = secrets.par_iter().zip(choices).zip(salts.par_iter()).enumerate();
        let halves = halves.map(|(index, ((secret, [c0, c1]), r))| {
            RISTRETTO_BASEPOINT_TABLE * secret - hash(At { binding, index }, 2 * c0 + c1, r)
        });
        let mut halves: Vec<RistrettoPoint> = halves.collect();
        let points = RistrettoPoint::double_and_compress_batch(&halves);
        halves.zeroize();
        let functions = points.iter().zip(choices).zip(salts.iter()).enumerate();
        let functions = functions.map(|(index, ((point, [c0, c1]), r))| {
            let salt = At { binding, index }.salted(&LABELS, 2 * c0 + c1, &point.0, r);
            function(point, &salt)
        });
        let message = PointFunctionsMessage(functions.collect());
        Self { secrets, message }
    }

    pub(super) fn message(&self) -> &PointFunctionsMessage {
        &self.message
    }

    /// The key agreed for the choices of each pair.
    ///
    /// # Errors
    /// [`OtError::InvalidPoint`] if the sender's point is not one, or the identity.
    pub(super) fn agree(&self, sender: &PointsMessage) -> Result<Vec<PairKey>, OtError> {
        let sender = sender.0.first().copied().unwrap_or_default();
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

/// Exact bytes of so many pairs of OTs.
pub(super) fn traffic(pairs: usize) -> OtTraffic {
    OtTraffic {
        sender_to_receiver: framed_len(POINT_BYTES),
        receiver_to_sender: framed_len(FUNCTION_BYTES * pairs),
    }
}

/// Half of H(x, argument).
fn hash(at: At<'_>, x: u8, argument: &Salt) -> RistrettoPoint {
    let mut bytes = [0u8; 64];
    let mut stream = at.hash(&LABELS, x, argument);
    stream.fill(&mut bytes);
    stream.zeroize();
    let point = RistrettoPoint::from_uniform_bytes(&bytes);
    bytes.zeroize();
    point
}

fn doubled(point: RistrettoPoint) -> RistrettoPoint {
    point + point
}

/// T and s.
fn split(function: &[u8; FUNCTION_BYTES]) -> (CompressedRistretto, &[u8]) {
    let (element, salt) = function.split_at(POINT_BYTES);
    let mut point = [0; POINT_BYTES];
    point.copy_from_slice(element);
    (CompressedRistretto(point), salt)
}

fn function(point: &CompressedRistretto, salt: &Salt) -> [u8; FUNCTION_BYTES] {
    let mut function = [0; FUNCTION_BYTES];
    let (element, rest) = function.split_at_mut(POINT_BYTES);
    element.copy_from_slice(&point.0);
    rest.copy_from_slice(salt);
    function
}

fn encode_doubled(points: &[RistrettoPoint]) -> Vec<PairKey> {
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

    fn rng() -> Prg {
        Prg::new(&Seed::from_bytes([29; 16]), 1)
    }

    /// A receiver that wants two strings has key pairs of its own for both places: a function has room for one, and
    /// put together of two it has room for none. Points that the sender takes as they come open both.
    #[test]
    fn adversarial_two_key_pairs_open_one_place_of_a_function_and_both_of_bare_points() {
        let (mut rng, binding) = (rng(), [5; 32]);
        let sender = SenderKey::new(&mut rng);
        let own: [Scalar; 2] = std::array::from_fn(|_| Scalar::random(&mut rng));
        let public = decode(&sender.message, 0).unwrap();
        let hoped = encode_doubled(&own.map(|secret| public * secret));
        let opens = |key: &PairKey| [0, 1].map(|at: usize| hoped[at] == *key);
        let program = |x, secret: &Scalar, r: &Salt| {
            let at = At { binding: &binding, index: 0 };
            let half = RISTRETTO_BASEPOINT_TABLE * secret - hash(at, x, r);
            let point = doubled(half).compress();
            function(&point, &at.salted(&LABELS, x, &point.0, r))
        };
        let r = [[8; SALT_BYTES], [9; SALT_BYTES]];
        let (first, last) = (program(0, &own[0], &r[0]), program(3, &own[1], &r[1]));
        let mut mixed = first;
        let at = At { binding: &binding, index: 0 };
        let salt = at.salted(&LABELS, 3, &first[..POINT_BYTES], &r[1]);
        mixed[POINT_BYTES..].copy_from_slice(&salt);
        let none = [false; 2];
        let cases = [
            (first, [[true, false], none, none, none]),
            (last, [none, none, none, [false, true]]),
            (mixed, [none; 4]),
        ];
        for (function, opened) in cases {
            let agreed = sender.agree(&binding, &PointFunctionsMessage(vec![function])).unwrap();
            assert_eq!(agreed[0].each_ref().map(opens), opened);
        }
        // The function off: the sender takes the points as they come.
        let bare = own.map(|secret| doubled(RISTRETTO_BASEPOINT_TABLE * &secret).compress());
        let bare = bare.map(|point| decode(&point, 0).unwrap() * sender.secret);
        assert_eq!(encode_doubled(&bare), hoped, "both");
    }

    #[test]
    fn conformance_both_agree_on_the_chosen_place_and_no_other() {
        let (mut rng, binding) = (rng(), [6; 32]);
        let choices = [[0, 0], [0, 1], [1, 0], [1, 1]];
        let receiver = ReceiverKeys::new(&choices, &binding, &mut rng);
        let sender = SenderKey::new(&mut rng);
        let theirs = sender.agree(&binding, receiver.message()).unwrap();
        let own = receiver.agree(&sender.message()).unwrap();
        for (place, (keys, own)) in theirs.iter().zip(&own).enumerate() {
            for (x, key) in keys.iter().enumerate() {
                assert_eq!(key == own, x == place);
            }
        }
        // Another run, another pair: other values.
        assert!(sender.agree(&[7; 32], receiver.message()).unwrap()[0][0] != own[0]);
        let PointFunctionsMessage(functions) = receiver.message();
        let moved = PointFunctionsMessage(vec![functions[1], functions[0]]);
        let keys = sender.agree(&binding, &moved).unwrap();
        assert!(keys.as_flattened().iter().all(|key| !own.contains(key)));
    }
}
