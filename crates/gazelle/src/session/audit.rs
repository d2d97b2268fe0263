//! Audits of clients that are not trusted: an inference's offline phase is either opened and thrown away or
//! used, and the client does not learn which before it has said all that an audit needs (docs/protocol.md, 10).
//!
//! | client ([`commit`](client::commit), [`open`](client::open)) | server ([`begin`](server::begin), [`decide`](server::decide)) |
//! |---|---|
//! | H(sigma), H(w) -> | coin: open or use |
//! | | <- nu; base OT as its receiver, the coin as its choice |
//! | base OT as its sender: two keys -> | one of them |
//! | offline phase; its coins follow from sigma and nu | offline phase |
//! | | <- challenge |
//! | w under one key, sigma and its answer under the other -> | |
//! | | opens and does it all again, or <- w |

pub(super) mod client;
mod messages;
pub(crate) mod server;

use gazelle_prg::{Prg, Seed};
use gazelle_wire::traffic::framed_len;
use gazelle_wire::{Cost, Message};
use zeroize::Zeroizing;

use crate::error::GazelleError;
use crate::plan::Plan;
use crate::session::audit::messages::{
    AuditChallenge, AuditVerdict, CoinCommitment, CoinNonce, SealedOpening,
};
use crate::suite::OpeningOt;

/// A client goes on after so many openings in a row at most: honest servers reach that with 2^-64.
pub(super) const OPENINGS: u32 = 64;

/// PRG domains of the two pads.
const USED: u8 = 0x70;
const OPENED: u8 = 0x71;

/// What the parties of one run are bound to: the session, and the run's number in it.
#[derive(Clone, Copy)]
pub(super) struct AuditRun<'a> {
    pub(super) ot: OpeningOt,
    /// Of the session.
    pub(super) binding: &'a [u8; 32],
    /// Runs before this one.
    pub(super) number: u64,
}

impl AuditRun<'_> {
    /// What the base OT is for.
    fn purpose(&self) -> String {
        format!("opening {}", self.number)
    }

    /// All coins of the client's requests and masks.
    fn coins(&self, sigma: &[u8; 32], nonce: &[u8; 32]) -> ClientCoins {
        let mut hasher =
            blake3::Hasher::new_derive_key("gazelle 2026 coins of an audited inference");
        hasher.update(sigma).update(nonce).update(self.binding);
        hasher.update(&self.number.to_le_bytes());
        ClientCoins(Zeroizing::new(*hasher.finalize().as_bytes()))
    }
}

/// All coins of a client's requests and masks in one offline phase. Wiped on drop.
pub(crate) struct ClientCoins(Zeroizing<[u8; 32]>);

impl ClientCoins {
    fn derive(&self, what: &str, index: u64) -> Zeroizing<[u8; 32]> {
        let mut hasher = blake3::Hasher::new_derive_key(what);
        hasher.update(&*self.0).update(&index.to_le_bytes());
        Zeroizing::new(*hasher.finalize().as_bytes())
    }

    /// Those of a linear group's request.
    pub(crate) fn group(&self, group: usize) -> Zeroizing<[u8; 32]> {
        self.derive("gazelle 2026 coins of an audited group", group as u64)
    }

    /// The generator of the masks that no request defines.
    pub(crate) fn masks(&self) -> Prg {
        Prg::with_key(&self.derive("gazelle 2026 masks of an audited inference", 0), 0)
    }
}

/// What commits to 32 random bytes.
fn commitment(what: &str, bytes: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key(what, bytes)
}

fn commitment_to_coins(sigma: &[u8; 32]) -> [u8; 32] {
    commitment("gazelle 2026 commitment to coins", sigma)
}

fn commitment_to_witness(witness: &[u8; 32]) -> [u8; 32] {
    commitment("gazelle 2026 commitment to a witness", witness)
}

/// XORs the pad of a base OT's string onto `bytes`.
fn pad(bytes: &mut [u8], key: &Seed, domain: u8) {
    use rand_core::Rng;
    let mut pad = Zeroizing::new(vec![0; bytes.len()]);
    Prg::new(key, domain).fill_bytes(&mut pad);
    bytes.iter_mut().zip(pad.iter()).for_each(|(byte, pad)| *byte ^= pad);
}

/// What an audit's messages take in one run, headers included.
pub(crate) fn traffic(ot: OpeningOt) -> Cost {
    let ot = ot.traffic();
    let up = [CoinCommitment::encoded_len(&()), SealedOpening::encoded_len(&())];
    let down = [
        CoinNonce::encoded_len(&()),
        AuditChallenge::encoded_len(&()),
        AuditVerdict::encoded_len(&()),
    ];
    Cost {
        client_to_server: ot.client_to_server + up.into_iter().map(framed_len).sum::<u64>(),
        server_to_client: ot.server_to_client + down.into_iter().map(framed_len).sum::<u64>(),
    }
}

/// Whether a client that follows this plan leaves nothing to chance but its coins, and learns no error.
///
/// # Errors
/// [`GazelleError::Plan`] if a step or a group is not exact.
pub(crate) fn check_auditable(plan: &Plan) -> Result<(), GazelleError> {
    let exact = plan.groups().iter().all(|group| group.guard.bits > 0 && !group.revealed);
    if exact && plan.steps().iter().all(|step| !step.rounding.is_local()) {
        return Ok(());
    }
    Err(GazelleError::Plan("clients that are not trusted need exact rounding in every step".into()))
}
