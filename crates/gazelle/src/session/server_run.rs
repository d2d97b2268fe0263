//! The server's session: handshake, setup, then the client's commands, offline and online phases.

mod at_once;
mod entries;
mod online;
mod prepare;

use std::collections::HashMap;
use std::sync::Arc;

use gazelle_share::{LinearProtocol, NonlinearProtocol, NonlinearServer, Shares};
use gazelle_wire::Channel;
use rand_core::CryptoRng;

use crate::description;
use crate::error::GazelleError;
use crate::report::{Meter, Phase};
use crate::session::apart::apart;
use crate::session::audit::server::CheatingEvidence;
use crate::session::coins;
use crate::session::guest::{Activity, Guest, SessionStage};
use crate::session::kept::{self, Count, ServerShelf, SetupAsked};
use crate::session::message::{ClientCommand, EntriesThere, EntryIds, EntryRead, EntryTaken};
use crate::session::server::{ServerLimits, ServerReport, Service};
use crate::session::stored::{self, WantedEntry};
use crate::session::watcher::{Recorder, SessionWatcher};
use crate::suite::Clients;

impl<L: LinearProtocol, N: NonlinearProtocol> Service<L, N> {
    /// Serves one client from its hello until it closes the session or the link. After an error the
    /// peer is told only that there was one.
    ///
    /// # Errors
    /// What went wrong, in detail, for the log.
    pub fn serve(
        &self,
        channel: Channel,
        limits: &ServerLimits,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<ServerReport, GazelleError> {
        let mut guest = Guest::greet(channel)?;
        self.welcome(&mut guest, u64::MAX, rng)?;
        let recorder = Recorder::default();
        self.attend(guest, limits, &SessionStage::default(), &recorder, rng)?;
        let (setup, inferences) = recorder.into_parts();
        Ok(ServerReport { setup, inferences })
    }

    /// Serves a client that has been [welcomed](Self::welcome) until it closes the session or the
    /// link; `stage` says to others what the session is doing, `watcher` answers for it.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    pub fn attend(
        &self,
        mut guest: Guest,
        limits: &ServerLimits,
        stage: &SessionStage,
        watcher: &dyn SessionWatcher,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), GazelleError> {
        let result = self.attend_inner(&mut guest, limits, (stage, watcher), rng);
        if result.is_err() {
            guest.channel.send_error();
        }
        result
    }

    fn attend_inner(
        &self,
        guest: &mut Guest,
        limits: &ServerLimits,
        (stage, watcher): (&SessionStage, &dyn SessionWatcher),
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), GazelleError> {
        let Guest { channel, meter, coin, .. } = guest;
        let coin =
            coin.ok_or_else(|| GazelleError::Defect("a guest who was not welcomed".into()))?;
        stage.set(Activity::Setup);
        channel.begin_phase();
        let link = channel.link_binding();
        let context = description::context(&coin, &self.suite_bytes, &self.description, link);
        channel.bind(context);
        let each = self.session_memory().max(1);
        let fit = (limits.memory_bytes / each).clamp(1, usize::MAX as u64) as usize;
        let limits = ServerLimits { prepared: limits.prepared.min(fit), ..*limits };
        let mut session = ServerSession::new(self, context);
        let result = session.run(channel, meter, &limits, (stage, watcher), rng);
        if let Err(GazelleError::Cheating(check)) = &result {
            watcher.caught(&session.evidence(check));
        }
        result
    }
}

/// One client's session.
pub(crate) struct ServerSession<'a, L: LinearProtocol, N: NonlinearProtocol> {
    server: &'a Service<L, N>,
    /// What the first linear setup is bound to.
    context: [u8; 32],
    /// The session's protocols, once they are set up.
    made: Option<Protocols<L, N>>,
    /// For stored material.
    stored: Option<Protocols<L, N>>,
    /// Where the inferences of a kept setup are counted.
    count: Option<Count<'a>>,
    /// The setup's hints are still to be said, beside the first inference.
    late: bool,
    /// The last material's number: numbers rise, so that none names two setups of `--hints fresh`.
    last: Option<u32>,
    /// What the client may still ask for.
    prepared: HashMap<u32, ServerMaterial<N>>,
    /// Offline phases so far.
    runs: u64,
    /// Of the audit that goes on.
    evidence: Option<CheatingEvidence>,
}

/// Both protocols' sessions.
type Protocols<L, N> = (<L as LinearProtocol>::Server, <N as NonlinearProtocol>::Server);

/// The server's half of one prepared inference.
struct ServerMaterial<N: NonlinearProtocol> {
    /// It was made in another session.
    stored: bool,
    shares: Vec<Vec<Shares>>,
    steps: Vec<<N::Server as NonlinearServer>::Prepared>,
    offline: Phase,
    groups: Vec<Phase>,
    step_phases: Vec<Phase>,
}

impl<'a, L: LinearProtocol, N: NonlinearProtocol> ServerSession<'a, L, N> {
    pub(crate) fn new(server: &'a Service<L, N>, context: [u8; 32]) -> Self {
        Self {
            server,
            context,
            made: None,
            stored: None,
            count: None,
            late: false,
            last: None,
            prepared: HashMap::new(),
            runs: 0,
            evidence: None,
        }
    }

    /// Follows the client's commands until it leaves.
    pub(crate) fn run(
        &mut self,
        channel: &mut Channel,
        meter: &Meter,
        limits: &ServerLimits,
        (stage, watcher): (&SessionStage, &'a dyn SessionWatcher),
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), GazelleError> {
        let (mut made, mut begun) = (0usize, false);
        loop {
            let waits = !self.prepared.is_empty();
            if begun {
                stage.set(if waits { Activity::Prepared } else { Activity::Idle });
            }
            channel.begin_phase();
            let command = match channel.recv::<ClientCommand>(&()) {
                Ok(command) => command,
                Err(gazelle_wire::ChannelError::Closed) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            stage.set(Activity::Busy);
            channel.begin_phase();
            if self.late {
                command.behind_late_setup()?;
            }
            match command {
                ClientCommand::Close => return Ok(()),
                ClientCommand::SetUp { names, late } => {
                    stage.set(Activity::Setup);
                    let (names, context) = (names as usize, self.context);
                    let asked = SetupAsked { names, late, context: &context };
                    let work = || self.set_up(asked, watcher.shelf(), channel, rng);
                    self.late = apart(watcher.offline_start(), work)?;
                    if !std::mem::replace(&mut begun, true) {
                        watcher.set_up(&meter.stop(channel));
                    }
                }
                ClientCommand::Compare { entries } => {
                    self.answer(entries as usize, channel, watcher.shelf())?;
                }
                ClientCommand::Use { id } => {
                    if !std::mem::replace(&mut begun, true) {
                        watcher.set_up(&meter.stop(channel));
                    }
                    self.use_entry(id, channel, limits, watcher)?;
                }
                ClientCommand::Prepare { id } | ClientCommand::Keep { id } => {
                    let mut wanted = None;
                    if matches!(command, ClientCommand::Keep { .. }) {
                        wanted = WantedEntry::receive(watcher.shelf(), channel)?;
                        if wanted.is_none() {
                            self.number(id)?;
                            continue;
                        }
                    }
                    made += 1;
                    if self.prepared.len() >= limits.prepared || made > limits.inferences {
                        return Err(GazelleError::Peer("more inferences than allowed".into()));
                    }
                    if !watcher.admit() {
                        return Err(GazelleError::Allowance);
                    }
                    self.number(id)?;
                    watcher.offline_begins();
                    let work = || self.make(id, wanted.as_ref(), watcher.shelf(), channel, rng);
                    let (prepared, kept) = apart(watcher.offline_start(), work)?;
                    watcher.offline_ends();
                    if let Some(kept) = kept {
                        let (there, replica) = (vec![kept], stored::replica(watcher.shelf()));
                        channel.send(&EntriesThere { there, replica }, &1)?;
                        channel.flush()?;
                        watcher.kept(&prepared.offline);
                    } else {
                        self.prepared.insert(id, prepared);
                    }
                }
                ClientCommand::AtOnce { id } => {
                    if self.server.suite.clients() != Clients::Trusted {
                        let why = "an inference at once where clients are audited";
                        return Err(GazelleError::Peer(why.into()));
                    }
                    made += 1;
                    if self.prepared.len() >= limits.prepared || made > limits.inferences {
                        return Err(GazelleError::Peer("more inferences than allowed".into()));
                    }
                    if !watcher.serves() || !watcher.admit() {
                        return Err(GazelleError::Allowance);
                    }
                    self.number(id)?;
                    watcher.offline_begins();
                    let report = self.at_once(id, channel, (stage, watcher), rng)?;
                    watcher.inferred(&report);
                }
                ClientCommand::Infer { id } => {
                    stage.set(Activity::Online);
                    if !watcher.serves() {
                        return Err(GazelleError::Allowance);
                    }
                    let prepared = self
                        .prepared
                        .remove(&id)
                        .ok_or_else(|| GazelleError::Peer(format!("no inference {id}")))?;
                    let mut rng = coins::fresh(rng)?;
                    watcher.inferred(&self.online(prepared, channel, &mut rng)?);
                }
            }
        }
    }

    /// Says which of so many entries there are.
    fn answer(
        &mut self,
        count: usize,
        channel: &mut Channel,
        shelf: Option<&dyn ServerShelf>,
    ) -> Result<(), GazelleError> {
        let EntryIds(ids) = channel.recv(&(count + 1))?;
        let there = self.compare(shelf, &ids);
        channel.send(&EntriesThere { there, replica: stored::replica(shelf) }, &count)?;
        Ok(channel.flush()?)
    }

    /// Takes the entry that the client names off the store, and reads it.
    fn use_entry(
        &mut self,
        id: u32,
        channel: &mut Channel,
        limits: &ServerLimits,
        watcher: &dyn SessionWatcher,
    ) -> Result<(), GazelleError> {
        let EntryIds(entry) = channel.recv(&1)?;
        if !watcher.serves() {
            return Err(GazelleError::Allowance);
        }
        if self.prepared.len() >= limits.prepared {
            return Err(GazelleError::Peer("more inferences than allowed".into()));
        }
        self.number(id)?;
        let taken = self.take(watcher.shelf(), &entry);
        let pair = taken.as_ref().map(|(pair, _)| *pair);
        let replica = stored::replica(watcher.shelf());
        channel.send(&EntryTaken { pair, replica }, &())?;
        channel.flush()?;
        if let Some((_, mut content)) = taken {
            // While the client reads its half.
            let material = self.read(&mut *content);
            channel.send(&EntryRead(material.is_some()), &())?;
            channel.flush()?;
            self.prepared.extend(material.map(|material| (id, material)));
        }
        Ok(())
    }

    /// A number that was not there before.
    fn number(&mut self, id: u32) -> Result<(), GazelleError> {
        if self.last.is_some_and(|last| id <= last) {
            return Err(GazelleError::Peer(format!("inference {id} after a later one")));
        }
        self.last = Some(id);
        Ok(())
    }

    /// Both protocols' setup, once; whether its hints are still to be said.
    fn set_up(
        &mut self,
        asked: SetupAsked<'_>,
        shelf: Option<&'a dyn ServerShelf>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<bool, GazelleError> {
        if self.made.is_some() {
            return Err(GazelleError::Peer("a second setup".into()));
        }
        let rng = &mut coins::fresh(rng)?;
        let server = self.server;
        let kept = (shelf, server.kept_binding());
        let begun = kept::server(&server.suite, &server.linear, asked, kept, channel, rng)?;
        let nonlinear = server
            .suite
            .nonlinear()
            .server(Arc::clone(&server.nonlinear), channel, rng)
            .map_err(GazelleError::layer("setup of the non-linear layers"))?;
        channel.flush()?;
        let new = (asked, kept);
        let linear = begun.settle(&server.suite, &server.linear, new, channel, rng)?;
        channel.flush()?;
        let (linear, count, late) = linear.keep();
        (self.made, self.count) = (Some((linear, nonlinear)), count);
        Ok(late)
    }
}

/// A client that prepares without a setup.
fn no_setup() -> GazelleError {
    GazelleError::Peer("a command before the setup".into())
}
