//! Material of other sessions at the server: stored, compared with the client's, taken to be used.

use std::io::Read;
use std::sync::Arc;

use gazelle_share::{LinearProtocol, NonlinearProtocol};

use super::{ServerMaterial, ServerSession};
use crate::description;
use crate::error::GazelleError;
use crate::report::Phase;
use crate::session::kept::ServerShelf;
use crate::session::stored::{self, WantedEntry};

impl<L: LinearProtocol, N: NonlinearProtocol> ServerSession<'_, L, N> {
    /// The protocols of stored material, and what it is bound to.
    pub(super) fn stored(&mut self) -> Result<[u8; 32], GazelleError> {
        let server = self.server;
        let failed = || GazelleError::layer("stored material");
        let (linear, digest) =
            server.suite.linear().server_of_stored(Arc::clone(&server.linear)).map_err(failed())?;
        if self.stored.is_none() {
            let nonlinear = server
                .suite
                .nonlinear()
                .server_of_stored(Arc::clone(&server.nonlinear))
                .map_err(failed())?;
            self.stored = Some((linear, nonlinear));
        }
        Ok(description::material_binding(&server.kept_binding(), &digest))
    }

    /// Stores material; whether it did.
    pub(super) fn keep(
        &mut self,
        shelf: Option<&dyn ServerShelf>,
        wanted: &WantedEntry,
        material: &ServerMaterial<N>,
    ) -> bool {
        let (Some(shelf), Ok(bound)) = (shelf, self.stored()) else { return false };
        let Some((_, nonlinear)) = &self.made else { return false };
        let (half, steps) = ((&wanted.pair, material.shares.as_slice()), &material.steps);
        shelf.keep_entry(&bound, &wanted.entry, &wanted.holder, &mut |out| {
            stored::write_server(nonlinear, half, steps, out)
        })
    }

    /// Takes an entry off the store: the tag of its half, and the rest.
    pub(super) fn take(
        &mut self,
        shelf: Option<&dyn ServerShelf>,
        entry: &[[u8; 32]],
    ) -> Option<([u8; 32], Box<dyn Read + Send>)> {
        let bound = self
            .stored()
            .inspect_err(|error| tracing::info!(%error, "an entry is not used"))
            .ok()?;
        let mut content = shelf?.take_entry(&bound, entry.first()?)?;
        let pair = stored::read_pair(&mut *content);
        let pair = pair.inspect_err(|error| tracing::warn!(%error, "an entry is lost")).ok()?;
        Some((pair, content))
    }

    /// Reads the rest of an entry that was taken, to its end.
    pub(super) fn read(&mut self, content: &mut dyn Read) -> Option<ServerMaterial<N>> {
        let (_, nonlinear) = self.stored.as_ref()?;
        let plan = &self.server.plan;
        let read = stored::read_server(nonlinear, plan, content);
        let (shares, steps) =
            read.inspect_err(|error| tracing::warn!(%error, "an entry is lost")).ok()?;
        Some(ServerMaterial {
            stored: true,
            shares,
            offline: Phase::default(),
            groups: vec![Phase::default(); plan.groups().len()],
            step_phases: vec![Phase::default(); steps.len()],
            steps,
        })
    }

    /// Which entries there are; drops the holder's others. `ids`: the holder's, then the entries'.
    pub(super) fn compare(
        &mut self,
        shelf: Option<&dyn ServerShelf>,
        ids: &[[u8; 32]],
    ) -> Vec<bool> {
        // optional: there is one id more than entries
        let (holder, entries) = ids.split_first().unwrap_or((&[0; 32], &[]));
        match (shelf, self.stored()) {
            (Some(shelf), Ok(bound)) => shelf.compare_entries(&bound, holder, entries),
            _ => vec![false; entries.len()],
        }
    }
}
