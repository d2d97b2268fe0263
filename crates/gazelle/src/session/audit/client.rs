//! The client's side of an audit.

use gazelle_prg::Seed;
use gazelle_share::NonlinearClient;
use gazelle_wire::Channel;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::messages::{AuditChallenge, AuditVerdict, CoinCommitment, CoinNonce, SealedOpening};
use super::{
    AuditRun, ClientCoins, OPENED, OPENINGS, USED, commitment_to_coins, commitment_to_witness, pad,
};
use crate::error::GazelleError;

/// What a client has said that it would open.
pub(in crate::session) struct Committed {
    pub(in crate::session) coins: ClientCoins,
    sigma: Zeroizing<[u8; 32]>,
    witness: Zeroizing<[u8; 32]>,
    keys: [Seed; 2],
}

/// Before the offline phase: coins that neither party chose, and the keys of what is said behind it.
pub(in crate::session) fn commit(
    run: &AuditRun<'_>,
    channel: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<Committed, GazelleError> {
    let (mut sigma, mut witness) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
    rng.fill_bytes(&mut *sigma);
    rng.fill_bytes(&mut *witness);
    let coins = commitment_to_coins(&sigma);
    let said = CoinCommitment { coins, witness: commitment_to_witness(&witness) };
    channel.send(&said, &())?;
    channel.flush()?;
    let CoinNonce(nonce) = channel.recv(&())?;
    let keys = run.ot.send(&run.purpose(), channel, rng)?;
    Ok(Committed { coins: run.coins(&sigma, &nonce), sigma, witness, keys })
}

/// Behind the offline phase: answers the challenge, sealed. Whether the inference is to be used; else it was
/// opened, and what was prepared must go.
pub(in crate::session) fn open<N: NonlinearClient>(
    committed: Committed,
    nonlinear: &N,
    prepared: &[N::Prepared],
    channel: &mut Channel,
) -> Result<bool, GazelleError> {
    let Committed { sigma, witness, keys: [used, opened], .. } = committed;
    let AuditChallenge(challenge) = channel.recv(&())?;
    let answer = nonlinear.answer(prepared, &challenge).map_err(GazelleError::layer("audit"))?;
    let mut opening = Zeroizing::new([0; 48]);
    let (left, right) = opening.split_at_mut(32);
    left.copy_from_slice(&*sigma);
    right.copy_from_slice(&answer);
    pad(&mut *opening, &opened, OPENED);
    let mut sealed = *witness;
    pad(&mut sealed, &used, USED);
    channel.send(&SealedOpening { witness: sealed, opening }, &())?;
    channel.flush()?;
    match channel.recv(&())? {
        AuditVerdict::Opened => Ok(false),
        AuditVerdict::Used(shown) if shown == *witness => Ok(true),
        AuditVerdict::Used(_) => {
            Err(GazelleError::Peer("it may have opened the inference that it would use".into()))
        }
    }
}

/// # Errors
/// [`GazelleError::Peer`] after more openings in a row than chance explains.
pub(in crate::session) fn bear(openings: u32) -> Result<(), GazelleError> {
    if openings < OPENINGS {
        return Ok(());
    }
    Err(GazelleError::Peer(format!("it opened {openings} inferences in a row")))
}
