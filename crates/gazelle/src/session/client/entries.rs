//! Material that outlives the session in which it was made.

use std::io::{self, Read};
use std::sync::Arc;

use gazelle_share::{LinearProtocol, NonlinearProtocol};
use rand_core::CryptoRng;

use super::{Client, Prepared, no_setup};
use crate::error::GazelleError;
use crate::report::Phase;
use crate::session::message::{ClientCommand, EntriesThere, EntryIds};
use crate::session::stored::{self, WriteInto};

/// An entry that the server has taken off its store for this session; single use.
#[derive(Debug)]
pub struct Claim {
    session: u64,
    id: u32,
}

impl<L: LinearProtocol, N: NonlinearProtocol> Client<L, N> {
    /// Makes the material of one inference to be stored under `entry`, 32 random bytes. `keep` stores what it is
    /// given, durably, before the server is asked whether it has stored its half. Whether both have.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare); [`GazelleError::Kept`] if `keep` fails, and the session is dead.
    pub fn prepare_to_keep(
        &mut self,
        entry: &[u8; 32],
        keep: &mut dyn FnMut(&mut WriteInto<'_>) -> io::Result<()>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<bool, GazelleError> {
        self.alive()?;
        self.charge()?;
        let mut rng = gazelle_prg::refreshed(rng)?;
        let result = self.keep_inner(entry, keep, &mut rng);
        self.bury(result)
    }

    fn keep_inner(
        &mut self,
        entry: &[u8; 32],
        keep: &mut dyn FnMut(&mut WriteInto<'_>) -> io::Result<()>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<bool, GazelleError> {
        let prepared = self.prepare_inner(Some(entry), rng)?;
        let (_, nonlinear) = self.made.as_ref().ok_or_else(no_setup)?;
        let (mask, steps) = (&prepared.input_mask, &prepared.steps);
        keep(&mut |out| stored::write_client(nonlinear, mask, steps, out))
            .map_err(|error| GazelleError::Kept(error.to_string()))?;
        let EntriesThere(there) = self.channel.recv(&1)?;
        Ok(there == [true])
    }

    /// Asks the server to take an entry off its store. If it has, the client takes it off its own, durably, and
    /// then [loads](Self::load) it; if not, another replica behind the same address may have it.
    ///
    /// Cost: a round trip.
    ///
    /// # Errors
    /// The link's, and the session is dead.
    pub fn claim(&mut self, entry: &[u8; 32]) -> Result<Option<Claim>, GazelleError> {
        self.alive()?;
        let result = self.claim_inner(entry);
        self.bury(result)
    }

    fn claim_inner(&mut self, entry: &[u8; 32]) -> Result<Option<Claim>, GazelleError> {
        self.channel.begin_phase();
        let id = self.next;
        self.next = id.wrapping_add(1);
        self.channel.send(&ClientCommand::Use { id }, &())?;
        self.channel.send(&EntryIds(vec![*entry]), &1)?;
        self.channel.flush()?;
        let EntriesThere(there) = self.channel.recv(&1)?;
        Ok((there == [true]).then_some(Claim { session: self.session, id }))
    }

    /// Reads an entry that was claimed, to its end.
    ///
    /// # Errors
    /// [`GazelleError::Kept`] if it cannot be read or is none of this model: it is lost, the session lives on.
    pub fn load(
        &mut self,
        Claim { session, id }: Claim,
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
        let (input_mask, steps) = stored::read_client(protocol, &self.plan, content)?;
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

    /// Which of these entries the server has; it drops all others of this client and model. At most 4,096.
    ///
    /// # Errors
    /// The link's, and the session is dead.
    pub fn compare(&mut self, entries: &[[u8; 32]]) -> Result<Vec<bool>, GazelleError> {
        self.alive()?;
        let result = self.compare_inner(entries);
        self.bury(result)
    }

    fn compare_inner(&mut self, entries: &[[u8; 32]]) -> Result<Vec<bool>, GazelleError> {
        self.channel.begin_phase();
        let count = entries.len();
        self.channel.send(&ClientCommand::Compare { entries: count as u32 }, &())?;
        self.channel.send(&EntryIds(entries.to_vec()), &count)?;
        self.channel.flush()?;
        let EntriesThere(there) = self.channel.recv(&count)?;
        Ok(there)
    }
}
