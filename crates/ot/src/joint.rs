//! Public keys of a session that neither party chose alone.
//!
//! ```text
//! sender (Delta)                               receiver
//! nonce n_S                             ──►
//!                                       ◄──    nonce n_R
//! keys = H(binding, purpose, n_S, n_R)         the same
//! ```
//!
//! The receiver speaks last and could try nonces until the keys please it. That harms nobody else: the
//! code of an LPN instance hides the *receiver's* choices from the sender, and the sender's y and Delta
//! are hidden by the trees whatever the code is. The sender, whom a weak code would serve, is bound to
//! its nonce before it sees the receiver's. So no commitment is needed.

use gazelle_block::Block;
use gazelle_wire::traffic::framed_len;
use gazelle_wire::{Channel, DecodeError, Message, Reader};
use rand_core::CryptoRng;

use crate::error::OtError;
use crate::traffic::OtTraffic;

/// Label of the derivation; a change of the protocol changes it.
const LABEL: &str = "gazelle-ot 2026 joint keys of a session v2";

/// Label of [`following`].
const FOLLOWING: &str = "gazelle-ot 2026 joint keys that follow others v1";

/// A party's share of the joint keys.
pub(crate) struct SessionNonce([u8; 32]);

impl Message for SessionNonce {
    type Shape = ();
    const KIND: u16 = 0x0302;
    const NAME: &'static str = "nonce of an OT session";

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

/// Two public keys that follow from both nonces.
pub(crate) type JointKeys = [Block; 2];

/// The sender's nonce, sent: it goes with the first that a session sends, so that it costs no flight.
///
/// # Errors
/// The link's.
pub(crate) fn open(
    ch: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<SessionNonce, OtError> {
    let own = nonce(rng);
    ch.send(&own, &())?;
    Ok(own)
}

/// The sender's nonce, received.
///
/// # Errors
/// The link's.
pub(crate) fn opened(ch: &mut Channel) -> Result<SessionNonce, OtError> {
    Ok(ch.recv(&())?)
}

/// The sender's side, after [`open`]: the receiver's nonce comes with what it sends next.
///
/// # Errors
/// The link's.
pub(crate) fn sender(
    own: &SessionNonce,
    purpose: &str,
    ch: &mut Channel,
) -> Result<JointKeys, OtError> {
    let other = ch.recv::<SessionNonce>(&())?;
    Ok(keys(ch.binding(), purpose, own, &other))
}

/// The receiver's side, after [`opened`]: it draws its nonce once the sender's is here.
///
/// # Errors
/// The link's.
pub(crate) fn receiver(
    other: &SessionNonce,
    purpose: &str,
    ch: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<JointKeys, OtError> {
    let own = nonce(rng);
    ch.send(&own, &())?;
    Ok(keys(ch.binding(), purpose, other, &own))
}

/// Bytes of both nonces.
pub(crate) fn traffic() -> OtTraffic {
    OtTraffic { sender_to_receiver: framed_len(32), receiver_to_sender: framed_len(32) }
}

fn nonce(rng: &mut (dyn CryptoRng + Send)) -> SessionNonce {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    SessionNonce(bytes)
}

fn keys(
    binding: &[u8; 32],
    purpose: &str,
    sender: &SessionNonce,
    receiver: &SessionNonce,
) -> JointKeys {
    let mut hasher = blake3::Hasher::new_derive_key(LABEL);
    hasher.update(binding).update(&(purpose.len() as u64).to_le_bytes()).update(purpose.as_bytes());
    hasher.update(&sender.0).update(&receiver.0);
    let mut bytes = [[0u8; 16]; 2];
    hasher.finalize_xof().fill(bytes.as_flattened_mut());
    bytes.map(Block::from_bytes)
}

/// Keys for what runs after a use of `keys`, independent of them.
pub(crate) fn following(keys: JointKeys) -> JointKeys {
    let mut hasher = blake3::Hasher::new_derive_key(FOLLOWING);
    hasher.update(keys.map(Block::to_bytes).as_flattened());
    let mut bytes = [[0u8; 16]; 2];
    hasher.finalize_xof().fill(bytes.as_flattened_mut());
    bytes.map(Block::from_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_keys_depend_on_session_purpose_and_both_nonces() {
        let of = |binding, purpose, [sender, receiver]: [u8; 2]| {
            let nonce = |byte| SessionNonce([byte; 32]);
            keys(&[binding; 32], purpose, &nonce(sender), &nonce(receiver))
        };
        let all = [
            of(0, "a", [1, 2]),
            of(9, "a", [1, 2]),
            of(0, "b", [1, 2]),
            of(0, "a", [3, 2]),
            of(0, "a", [1, 3]),
            of(0, "a", [2, 1]),
            following(of(0, "a", [1, 2])),
            following(of(0, "b", [1, 2])),
        ];
        let mut seen: Vec<u128> = all.iter().flatten().map(|block| block.0).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 16);
    }
}
