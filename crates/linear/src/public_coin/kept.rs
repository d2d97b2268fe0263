//! What both parties say of a setup that they keep.

use gazelle_he::public_coin::{HintKey, HintMessage, PublicCoins};
use gazelle_share::{KeptSetup, ProtocolError};
use zeroize::Zeroizing;

use super::compiled::Compiled;

/// BLAKE3 of the joint seed and of all hints, in the order of the plan: what a client holds, and what a server
/// has sent.
pub(super) struct KeptDigest(blake3::Hasher);

impl KeptDigest {
    pub(super) fn new(coins: &PublicCoins) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("gazelle 2026 kept linear setup");
        hasher.update(&coins.to_bytes());
        Self(hasher)
    }

    /// The hints that come next, all or some of a group's.
    pub(super) fn add(&mut self, hints: &HintMessage) {
        self.0.update(hints.bytes());
    }

    pub(super) fn finish(self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

/// The server's part: joint seed, key of the hint secrets, and for what they may be used.
pub(super) fn pack(
    compiled: &Compiled,
    coins: &PublicCoins,
    key: &HintKey,
    digest: [u8; 32],
) -> KeptSetup {
    let mut secret = Zeroizing::new(Vec::with_capacity(96));
    secret.extend_from_slice(&coins.to_bytes());
    secret.extend_from_slice(&*key.to_bytes());
    secret.extend_from_slice(&compiled.digest());
    KeptSetup { digest, secret }
}

/// The reverse. The same hint secrets must never mask other weights (docs/protocol.md, 3.2): a setup of other
/// weights is refused.
pub(super) fn unpack(
    compiled: &Compiled,
    kept: &KeptSetup,
) -> Result<(PublicCoins, HintKey), ProtocolError> {
    let refuse = |why: &str| ProtocolError::Peer(format!("a kept setup {why}"));
    let ([seed, key, bound], []) = kept.secret.as_chunks::<32>() else {
        return Err(refuse("of another length"));
    };
    if *bound != compiled.digest() {
        return Err(refuse("was made for other weights or another plan"));
    }
    Ok((PublicCoins::kept(*seed), HintKey::kept(Zeroizing::new(*key))))
}
