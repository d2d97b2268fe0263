//! The messages of an audit.

use gazelle_wire::{DecodeError, Message, Reader};
use zeroize::Zeroizing;

/// What the client is bound to: H(sigma), H(w).
pub(super) struct CoinCommitment {
    pub(super) coins: [u8; 32],
    pub(super) witness: [u8; 32],
}

impl Message for CoinCommitment {
    type Shape = ();
    const KIND: u16 = 0x0710;
    const NAME: &'static str = "commitment to coins";

    fn encoded_len((): &()) -> usize {
        64
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.coins);
        out.extend_from_slice(&self.witness);
    }
    fn decode(input: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        Ok(Self { coins: input.array()?, witness: input.array()? })
    }
}

/// The server's part of the client's coins.
pub(super) struct CoinNonce(pub(super) [u8; 32]);

impl Message for CoinNonce {
    type Shape = ();
    const KIND: u16 = 0x0711;
    const NAME: &'static str = "nonce of coins";

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

/// The seed of what the client is asked about its labels.
pub(super) struct AuditChallenge(pub(super) [u8; 16]);

impl Message for AuditChallenge {
    type Shape = ();
    const KIND: u16 = 0x0712;
    const NAME: &'static str = "challenge of an audit";

    fn encoded_len((): &()) -> usize {
        16
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
    fn decode(input: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        Ok(Self(input.array()?))
    }
}

/// The two strings of the client, each under its key.
pub(super) struct SealedOpening {
    /// w.
    pub(super) witness: [u8; 32],
    /// sigma, then the answer.
    pub(super) opening: Zeroizing<[u8; 48]>,
}

impl Message for SealedOpening {
    type Shape = ();
    const KIND: u16 = 0x0713;
    const NAME: &'static str = "sealed opening";

    fn encoded_len((): &()) -> usize {
        80
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.witness);
        out.extend_from_slice(&*self.opening);
    }
    fn decode(input: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        Ok(Self { witness: input.array()?, opening: Zeroizing::new(input.array()?) })
    }
}

/// What becomes of the inference.
pub(super) enum AuditVerdict {
    /// It was opened, and is gone.
    Opened,
    /// It is used: w.
    Used([u8; 32]),
}

impl Message for AuditVerdict {
    type Shape = ();
    const KIND: u16 = 0x0714;
    const NAME: &'static str = "verdict of an audit";

    fn encoded_len((): &()) -> usize {
        33
    }
    fn encode(&self, out: &mut Vec<u8>) {
        let (tag, bytes) = match self {
            Self::Opened => (0, [0; 32]),
            Self::Used(witness) => (1, *witness),
        };
        out.push(tag);
        out.extend_from_slice(&bytes);
    }
    fn decode(input: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        match (input.array()?, input.array()?) {
            ([0], bytes) if bytes == [0; 32] => Ok(Self::Opened),
            ([1], witness) => Ok(Self::Used(witness)),
            _ => Err(DecodeError::Invalid("neither opened nor used")),
        }
    }
}
