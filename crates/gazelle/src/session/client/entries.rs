//! Material that outlives the session in which it was made.

use std::io::{self, Read};
use std::sync::Arc;

use gazelle_share::{LinearProtocol, NonlinearProtocol};
use rand_core::CryptoRng;

use super::{Client, Prepared, no_setup};
use crate::error::GazelleError;
use crate::report::Phase;
use crate::session::apart::apart;
use crate::session::coins;
use crate::session::kept::WriteInto;
use crate::session::message::{ClientCommand, EntriesThere, EntryIds, EntryRead, EntryTaken};
use crate::session::stored;

/// An entry that the server has taken off its store for this session; single use.
#[derive(Debug)]
pub struct Claim {
    session: u64,
    id: u32,
    /// The tag of the server's half.
    pair: [u8; 32],
}

/// What a server says of an entry.
#[derive(Debug)]
pub enum Claimed {
    /// It has taken its half off its store.
    Taken(Claim),
    /// It has none: it is this one of several servers, and another may have it.
    Missing([u8; 32]),
}

/// What became of an entry that was to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKept {
    /// Both parties have stored their halves.
    Stored,
    /// The server had no room, and nothing was made; or it could not store its half.
    NoRoom,
}

/// Stores a client's half, given the server that has the other one, and what writes it.
pub type KeepHalf<'a> = dyn FnMut(&[u8; 32], &mut WriteInto<'_>) -> io::Result<()> + 'a;

impl<L: LinearProtocol, N: NonlinearProtocol> Client<L, N> {
    /// Makes the material of one inference to be stored under `entry`, 32 random bytes; `holder` names this
    /// client's store, of several with one certificate. `keep` stores what it is given, durably, before the
    /// server is asked whether it has stored its half.
    ///
    /// Cost: one round trip more than [`prepare`](Self::prepare), in which the server looks for room; none of
    /// the client's allowance if there is none.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare); [`GazelleError::Kept`] if `keep` fails, and the session is dead.
    pub fn prepare_to_keep(
        &mut self,
        (entry, holder): (&[u8; 32], &[u8; 32]),
        keep: &mut KeepHalf<'_>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<EntryKept, GazelleError> {
        self.alive()?;
        if self.allowance == 0 {
            return Err(GazelleError::Allowance);
        }
        let mut rng = coins::fresh(rng)?;
        let result = self.keep_inner((entry, holder), keep, &mut rng);
        self.bury(result)
    }

    fn keep_inner(
        &mut self,
        (entry, holder): (&[u8; 32], &[u8; 32]),
        keep: &mut KeepHalf<'_>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<EntryKept, GazelleError> {
        self.hear()?;
        self.channel.begin_phase();
        let id = self.next;
        self.next = id.wrapping_add(1);
        self.channel.send(&ClientCommand::Keep { id }, &())?;
        self.channel.send(&EntryIds(vec![*entry, *holder]), &2)?;
        self.channel.flush()?;
        let EntriesThere { there: room, replica } = self.channel.recv(&1)?;
        if room != [true] {
            return Ok(EntryKept::NoRoom);
        }
        self.charge()?;
        let pair = stored::pair_of(self.channel.binding(), entry);
        let prepared = apart(self.offline_start(), || self.make(id, true, rng))?;
        let (_, nonlinear) = self.made.as_ref().ok_or_else(no_setup)?;
        let (half, steps) = ((&pair, &prepared.input_mask), &prepared.steps);
        keep(&replica, &mut |out| stored::write_client(nonlinear, half, steps, out))
            .map_err(|error| GazelleError::Kept(error.to_string()))?;
        let EntriesThere { there, .. } = self.channel.recv(&1)?;
        Ok(if there == [true] { EntryKept::Stored } else { EntryKept::NoRoom })
    }

    /// Asks the server to take an entry off its store. If it has, it reads its half now, while the client takes the
    /// entry off its own store, durably, and [loads](Self::load) it; if not, another replica behind the same address may have it.
    ///
    /// Cost: a round trip.
    ///
    /// # Errors
    /// The link's, and the session is dead.
    pub fn claim(&mut self, entry: &[u8; 32]) -> Result<Claimed, GazelleError> {
        self.alive()?;
        let result = self.claim_inner(entry);
        self.bury(result)
    }

    fn claim_inner(&mut self, entry: &[u8; 32]) -> Result<Claimed, GazelleError> {
        self.hear()?;
        self.channel.begin_phase();
        let id = self.next;
        self.next = id.wrapping_add(1);
        self.channel.send(&ClientCommand::Use { id }, &())?;
        self.channel.send(&EntryIds(vec![*entry]), &1)?;
        self.channel.flush()?;
        let EntryTaken { pair, replica } = self.channel.recv(&())?;
        let session = self.session;
        self.unheard = pair.is_some();
        Ok(match pair {
            Some(pair) => Claimed::Taken(Claim { session, id, pair }),
            None => Claimed::Missing(replica),
        })
    }

    /// Whether the server could read the entry that it took last, if that was not heard yet.
    pub(super) fn hear(&mut self) -> Result<Option<bool>, GazelleError> {
        if !self.unheard {
            return Ok(None);
        }
        let EntryRead(read) = self.channel.recv(&())?;
        self.unheard = false;
        Ok(Some(read))
    }

    /// Reads an entry that was claimed, to its end, and hears whether the server could read its half: both hold the
    /// whole entry before the input moves.
    ///
    /// # Errors
    /// [`GazelleError::Kept`] if either half cannot be read, is none of this model, or the server's was made in
    /// another session: it is lost, this session lives on. The link's: the session is dead.
    pub fn load(
        &mut self,
        Claim { session, id, pair }: Claim,
        content: &mut dyn Read,
    ) -> Result<Prepared<N>, GazelleError> {
        if session != self.session {
            return Err(GazelleError::Material);
        }
        let protocol = self.suite.nonlinear();
        if self.stored.is_none() {
            let session = protocol.client_of_stored(Arc::clone(&self.compiled));
            self.stored = Some(session.map_err(|error| GazelleError::Kept(error.to_string()))?);
        }
        let protocol = self.stored.as_ref().ok_or_else(no_setup)?;
        let read = stored::read_client(protocol, (&self.plan, &pair), content);
        let heard = self.hear();
        let heard = self.bury(heard)?;
        let (input_mask, steps) = read?;
        if heard == Some(false) {
            return Err(GazelleError::Kept("the server cannot read its half".into()));
        }
        Ok(Prepared {
            session: self.session,
            id,
            stored: true,
            input_mask,
            offline: Phase::default(),
            groups_offline: vec![Phase::default(); self.plan.groups().len()],
            steps_offline: vec![Phase::default(); steps.len()],
            steps,
        })
    }

    /// Which of these entries the server has, and which of several servers it is; it drops all others of this
    /// `holder` and model. At most 4,096.
    ///
    /// # Errors
    /// The link's, and the session is dead.
    pub fn compare(
        &mut self,
        holder: &[u8; 32],
        entries: &[[u8; 32]],
    ) -> Result<(Vec<bool>, [u8; 32]), GazelleError> {
        self.alive()?;
        let result = self.compare_inner(holder, entries);
        self.bury(result)
    }

    fn compare_inner(
        &mut self,
        holder: &[u8; 32],
        entries: &[[u8; 32]],
    ) -> Result<(Vec<bool>, [u8; 32]), GazelleError> {
        self.hear()?;
        self.channel.begin_phase();
        let count = entries.len();
        self.channel.send(&ClientCommand::Compare { entries: count as u32 }, &())?;
        let ids = std::iter::once(holder).chain(entries).copied().collect();
        self.channel.send(&EntryIds(ids), &(count + 1))?;
        self.channel.flush()?;
        let EntriesThere { there, replica } = self.channel.recv(&count)?;
        Ok((there, replica))
    }
}
