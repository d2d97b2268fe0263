//! The server's side of an audit.

use gazelle_prg::Seed;
use gazelle_share::{LinearServer, NonlinearServer, ProtocolError, RequestTrace, Shares};
use gazelle_wire::Channel;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::messages::{AuditChallenge, AuditVerdict, CoinCommitment, CoinNonce, SealedOpening};
use super::{AuditRun, OPENED, USED, commitment_to_coins, pad};
use crate::error::GazelleError;
use crate::plan::Plan;
use crate::session::linear_client::walk_masks;
use crate::session::step_shares::{GroupShares, StepShares};
use crate::suite::AuditRate;

/// What a client that was caught has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheatingEvidence {
    /// The check that it failed.
    pub check: &'static str,
    /// BLAKE3 of commitments, nonces, requests, challenge and sealed opening of the inference, as far as they
    /// were said.
    pub transcript: [u8; 32],
    /// The seed that it opened, in an audit.
    pub opened: Option<[u8; 32]>,
}

/// An inference between coin and verdict.
pub(in crate::session) struct TossedRun {
    commitment: [u8; 32],
    nonce: [u8; 32],
    opens: bool,
    key: Seed,
    /// Of what both have said.
    transcript: blake3::Hasher,
}

/// Before the offline phase.
pub(in crate::session) fn begin(
    run: &AuditRun<'_>,
    rate: AuditRate,
    channel: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<TossedRun, GazelleError> {
    let said: CoinCommitment = channel.recv(&())?;
    let mut nonce = [0; 32];
    rng.fill_bytes(&mut nonce);
    let opens = rate.toss(rng);
    channel.send(&CoinNonce(nonce), &())?;
    let key = run.ot.receive(opens, &run.purpose(), channel, rng)?;
    let mut transcript = blake3::Hasher::new_derive_key("gazelle 2026 transcript of an audit");
    transcript.update(run.binding).update(&run.number.to_le_bytes());
    transcript.update(&said.coins).update(&said.witness).update(&nonce);
    Ok(TossedRun { commitment: said.coins, nonce, opens, key, transcript })
}

/// What an audit looks at.
pub(in crate::session) struct Examined<'a, L, N: NonlinearServer> {
    pub(in crate::session) plan: &'a Plan,
    pub(in crate::session) linear: &'a L,
    pub(in crate::session) nonlinear: &'a N,
    pub(in crate::session) traces: &'a [RequestTrace],
    pub(in crate::session) steps: &'a [N::Prepared],
}

/// Behind the offline phase: whether the inference is to be used. Else it was opened, nothing was wrong, and what
/// was prepared must go. `evidence` is filled before anything can be found.
pub(in crate::session) fn decide<L: LinearServer, N: NonlinearServer>(
    run: &AuditRun<'_>,
    begun: TossedRun,
    examined: &Examined<'_, L, N>,
    evidence: &mut Option<CheatingEvidence>,
    channel: &mut Channel,
) -> Result<bool, GazelleError> {
    let TossedRun { commitment, nonce, opens, key, mut transcript } = begun;
    let challenge = examined.nonlinear.challenge(examined.steps);
    let challenge = challenge.map_err(GazelleError::layer("audit"))?;
    channel.send(&AuditChallenge(challenge), &())?;
    channel.flush()?;
    let SealedOpening { mut witness, mut opening } = channel.recv(&())?;
    for trace in examined.traces {
        transcript.update(&trace.digest).update(&trace.nonce);
    }
    transcript.update(&challenge).update(&witness).update(&*opening);
    let transcript = *transcript.finalize().as_bytes();
    *evidence = Some(CheatingEvidence { check: "", transcript, opened: None });
    let verdict = if opens {
        pad(&mut *opening, &key, OPENED);
        let (sigma, answer) = opening.split_at(32);
        let (mut seed, mut said) = (Zeroizing::new([0; 32]), [0; 16]);
        seed.copy_from_slice(sigma);
        said.copy_from_slice(answer);
        *evidence = Some(CheatingEvidence { check: "", transcript, opened: Some(*seed) });
        if commitment_to_coins(&seed) != commitment {
            return Err(GazelleError::Cheating("the audit of its commitment"));
        }
        examined.replay(&run.coins(&seed, &nonce), &said)?;
        AuditVerdict::Opened
    } else {
        pad(&mut witness, &key, USED);
        AuditVerdict::Used(witness)
    };
    *evidence = None;
    channel.send(&verdict, &())?;
    channel.flush()?;
    Ok(!opens)
}

impl<L: LinearServer, N: NonlinearServer> Examined<'_, L, N> {
    /// Does all that the client should have done.
    fn replay(&self, coins: &super::ClientCoins, answer: &[u8; 16]) -> Result<(), GazelleError> {
        let mut shares = vec![Vec::new(); self.plan.groups().len()];
        let mut masks = coins.masks();
        let tensors = walk_masks(self.plan, &mut masks, |group, _, mask, _| {
            let defect = || GazelleError::Defect(format!("trace of linear group {group}"));
            let trace = self.traces.get(group).ok_or_else(defect)?;
            let replayed = self.linear.replay(group, mask, &coins.group(group), trace);
            let (r, u) = replayed.map_err(GazelleError::layer("audit"))?;
            *shares.get_mut(group).ok_or_else(defect)? = u;
            Ok(r)
        })?;
        let mut source = StepShares::new(self.plan, Replayed(shares), tensors, None);
        let audited = self.nonlinear.audit(self.steps, &mut source, answer);
        audited.map_err(|error: ProtocolError| source.cause(GazelleError::layer("audit")(error)))
    }
}

/// The client's shares of all groups, as it should have computed them.
struct Replayed(Vec<Vec<Shares>>);

impl GroupShares for Replayed {
    fn wait(&mut self, group: usize) -> Result<&mut Vec<Shares>, GazelleError> {
        let missing = || GazelleError::Defect(format!("linear group {group}"));
        self.0.get_mut(group).ok_or_else(missing)
    }
}
