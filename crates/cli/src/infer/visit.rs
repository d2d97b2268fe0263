//! A client's sessions with its server: when the link is lost, another begins where the last one ended.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gazelle::backend::{Choice, DefaultClient, DefaultPrepared, DefaultSuite};
use gazelle::wire::ChannelError;
use gazelle::wire::handshake::Line;
use gazelle::wire::tcp::Timeouts;
use gazelle::{Asking, Claimed, ClientShelf, GazelleError, Inference, Limits, Offer};
use gazelle_host::Niceness;
use rand_core::CryptoRng;

use crate::arguments::Infer;
use crate::failure::Failure;
use crate::infer::shelf::{ClientSetups, OwnEntry};
use crate::link;
use crate::progress::BatchProgress;
use crate::screen::tell;

/// After so many entries in a row that a server should have and has not, the others are left alone.
const UNKNOWN: usize = 4;

/// The first pause before a new attempt; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest.
const LONGEST: Duration = Duration::from_secs(30);

/// How to reach the server, again and again.
pub(super) struct Visit<'a> {
    command: &'a Infer,
    batch: &'a BatchProgress,
    /// Setups of earlier sessions.
    shelf: Option<Arc<ClientSetups>>,
    /// Of threads that set up or make material.
    nice: Option<Niceness>,
    /// Material that was made ahead.
    entries: VecDeque<OwnEntry>,
    /// The only model that is accepted: the first session's, from the second on.
    digest: Option<[u8; 32]>,
    /// Sessions are set up before their first input is there.
    sets_up_first: bool,
    /// There has been a session: what it was told was no misunderstanding about TLS.
    known: bool,
    /// Attempts that have failed since something worked.
    failed: u32,
}

/// An attempt that came to nothing, and whether another may succeed.
struct Attempt {
    failure: Failure,
    again: bool,
    /// The server was there, and the link was lost before it made its offer.
    crowd: bool,
}

impl From<Failure> for Attempt {
    fn from(failure: Failure) -> Self {
        Self { again: false, crowd: false, failure }
    }
}

impl From<link::Unconnected> for Attempt {
    fn from(unconnected: link::Unconnected) -> Self {
        let link::Unconnected { failure, lost, reached } = unconnected;
        Self { failure, again: lost, crowd: lost && reached }
    }
}

/// Whether a new session may do better: the link was lost, or the server was full or is being exchanged.
fn may_pass(error: &GazelleError) -> bool {
    matches!(
        error,
        GazelleError::Busy
            | GazelleError::Channel(
                ChannelError::Closed | ChannelError::TimedOut | ChannelError::Io(_)
            )
    )
}

impl<'a> Visit<'a> {
    pub(super) fn new(
        command: &'a Infer,
        batch: &'a BatchProgress,
        shelf: Option<ClientSetups>,
        nice: Option<Niceness>,
    ) -> Self {
        let (shelf, entries) = (shelf.map(Arc::new), VecDeque::new());
        let (digest, known) = (command.pin, false);
        let sets_up_first = false;
        Self { command, batch, shelf, nice, entries, digest, sets_up_first, known, failed: 0 }
    }

    /// Whether sessions are set up before their first input is there, for others to go on with their setup; else a new
    /// setup's hints come beside the first inference.
    pub(super) fn set_up_first(&mut self, first: bool) {
        self.sets_up_first = first;
    }

    /// The same server and model again, for a session beside this one's.
    pub(super) fn another(&self) -> Self {
        let Self { command, batch, nice, digest, known, .. } = *self;
        let (shelf, entries, sets_up_first) = (self.shelf.clone(), VecDeque::new(), false);
        Self { command, batch, shelf, nice, entries, digest, sets_up_first, known, failed: 0 }
    }

    /// A session beside others; none, with a word of why, if the server has no place for it now. It sets up
    /// with its first inference: one that comes when nothing is left to do costs a handshake.
    pub(super) fn join(&mut self) -> Option<DefaultClient> {
        let joined = self.ask(&mut |_| false).and_then(|offer| self.accept_known(offer));
        let note = |attempt: &Attempt| {
            self.batch.suspend(|| tell!("one session less: {}", attempt.failure));
        };
        joined.inspect_err(note).ok()
    }

    /// Connects and receives the server's offer. A server that cannot be reached at all is not asked again;
    /// one that was, and lost us (a crowd at its door pushes out whoever waits longest), is.
    pub(super) fn offer(&mut self) -> Result<Offer, Failure> {
        loop {
            match self.ask(&mut in_line(self.command, self.batch)) {
                Ok(offer) => {
                    (self.digest, self.known, self.failed) = (Some(offer.digest()), true, 0);
                    return Ok(offer);
                }
                Err(attempt) if attempt.crowd && self.failed < self.command.retries => {
                    self.pause(&attempt.failure);
                }
                Err(attempt) => return Err(attempt.failure),
            }
        }
    }

    /// Pauses before another attempt, longer each time, and says so.
    fn pause(&mut self, failure: &Failure) {
        let pause = PAUSE.saturating_mul(1 << self.failed.min(8)).min(LONGEST);
        self.failed += 1;
        let (attempt, of) = (self.failed, self.command.retries);
        let seconds = pause.as_secs_f64();
        self.batch.suspend(|| {
            tell!("{failure}; attempt {attempt} of {of} to go on, in {seconds} s");
        });
        std::thread::sleep(pause);
    }

    fn ask(&self, line: &mut Line<'_>) -> Result<Offer, Attempt> {
        let command = self.command;
        let timeouts =
            Timeouts { progress: Duration::from_secs(command.timeout), ..Timeouts::default() };
        let channel = link::connect(&command.link_layer, timeouts)?;
        self.batch.follow(channel.pace());
        self.batch.begin("handshake");
        let limits = Limits {
            traffic_bytes: command.max_traffic << 20,
            memory_bytes: command.max_memory << 20,
        };
        let asking = Asking { limits, pinned: self.digest, model: &command.model };
        let mut rng = gazelle::system_rng().map_err(Failure::run("random numbers"))?;
        Offer::ask(channel, &asking, line, &mut rng).map_err(|error| {
            let hint = if self.known { "" } else { link::hint(&command.link_layer, &error) };
            let again = may_pass(&error);
            let lost =
                matches!(error, GazelleError::Channel(ChannelError::Closed | ChannelError::Io(_)));
            let crowd = again && lost;
            let failure = match hint {
                "" => self.explain(error),
                hint => Failure::Run(format!("{error}{hint}")),
            };
            Attempt { failure, again, crowd }
        })
    }

    /// Accepts an offer: a session.
    pub(super) fn begin(
        &mut self,
        offer: Offer,
        suite: DefaultSuite,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<DefaultClient, Failure> {
        let begun = self.accept(offer, suite).and_then(|client| self.set_up(client, rng));
        match begun {
            Ok(client) => Ok(client),
            Err(attempt) if attempt.again => self.return_after(attempt.failure, rng),
            Err(attempt) => Err(attempt.failure),
        }
    }

    /// A session that is not set up yet.
    fn accept(&mut self, offer: Offer, suite: DefaultSuite) -> Result<DefaultClient, Attempt> {
        self.batch.begin("setup");
        let accepted = offer.accept_unprepared(suite);
        let mut client: DefaultClient = accepted.map_err(|error| self.attempt(error))?;
        let shelf = self.shelf.as_ref();
        self.entries = shelf.map(|shelf| shelf.entries(client.bound())).unwrap_or_default();
        client.observe(self.batch.observer());
        if let Some(nice) = self.nice {
            client.start_offline_by(Arc::new(move || nice.enter()));
        }
        Ok(client)
    }

    /// Sets a session up if that is to be done first, unless there is material that was made ahead.
    fn set_up(
        &self,
        mut client: DefaultClient,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<DefaultClient, Attempt> {
        if self.sets_up_first && self.entries.is_empty() {
            client.set_up(self.setups(), rng).map_err(|error| self.attempt(error))?;
        }
        Ok(client)
    }

    fn attempt(&self, error: GazelleError) -> Attempt {
        let again = may_pass(&error);
        Attempt { failure: self.explain(error), again, crowd: false }
    }

    /// Accepts the same description as before, by its digest: the same suite.
    fn accept_known(&mut self, offer: Offer) -> Result<DefaultClient, Attempt> {
        let choice = Choice::parse(offer.description()).map_err(Failure::from)?;
        let suite = choice.suite(offer.description().nonlinear.len());
        self.accept(offer, suite)
    }

    fn setups(&self) -> Option<&dyn ClientShelf> {
        self.shelf.as_ref().map(|shelf| &**shelf as &dyn ClientShelf)
    }

    /// Says that there is material that was made ahead.
    pub(super) fn tell_stored(&self, quiet: bool) {
        let count = self.entries.len();
        if !quiet && count > 0 {
            self.batch
                .suspend(|| tell!("with material that was made ahead, for {count} inferences"));
        }
    }

    /// Material for one inference that was made ahead, if there is any.
    fn stored(
        &mut self,
        client: &mut DefaultClient,
    ) -> Result<Option<DefaultPrepared>, GazelleError> {
        let mut unknown = 0;
        while let (Some(shelf), Some(entry)) = (&self.shelf, self.entries.pop_front()) {
            let id = data_id(&entry.id);
            // It stays here until the server has taken its half: another replica may be the one that has it.
            let claim = match client.claim(&entry.id)? {
                Claimed::Taken(claim) => claim,
                Claimed::Missing(replica) => {
                    tracing::info!(id, "the server does not have this material");
                    self.entries.retain(|entry| entry.replica == replica);
                    unknown += 1;
                    if unknown == UNKNOWN {
                        self.entries.clear();
                    }
                    continue;
                }
            };
            let taken = shelf.take(client.bound(), &entry.id).inspect_err(|error| {
                tracing::warn!(id, %error, "material that was made ahead is lost");
            });
            let Ok(Some(mut content)) = taken else { continue };
            match client.load(claim, &mut *content) {
                Ok(prepared) => {
                    tracing::info!(id, "material that was made ahead is used");
                    return Ok(Some(prepared));
                }
                Err(error @ GazelleError::Kept(_)) => {
                    tracing::warn!(id, %error, "material that was made ahead is lost");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// One prediction, with material that was made ahead or at once.
    fn predict(
        &mut self,
        client: &mut DefaultClient,
        values: &[i64],
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Inference, GazelleError> {
        if let Some(prepared) = self.stored(client)? {
            return client.infer(prepared, values);
        }
        client.set_up_and_infer(self.setups(), values, rng)
    }

    /// One prediction; in a new session of the same model if the link is lost, as often as the command line
    /// allows in a row. An input's material is made anew each time: none is used twice.
    pub(super) fn infer(
        &mut self,
        client: &mut DefaultClient,
        values: &[i64],
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Inference, Failure> {
        loop {
            match self.predict(client, values, rng) {
                Ok(inference) => {
                    self.failed = 0;
                    return Ok(inference);
                }
                Err(error) if may_pass(&error) && self.failed < self.command.retries => {
                    let failure = self.explain(error);
                    *client = self.return_after(failure, rng)?;
                }
                Err(error) => return Err(self.explain(error)),
            }
        }
    }

    /// A new session, after pauses that grow.
    fn return_after(
        &mut self,
        mut failure: Failure,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<DefaultClient, Failure> {
        while self.failed < self.command.retries {
            self.pause(&failure);
            let again = self
                .ask(&mut in_line(self.command, self.batch))
                .and_then(|offer| self.accept_known(offer))
                .and_then(|client| self.set_up(client, rng));
            match again {
                Ok(client) => {
                    self.batch.begin("offline");
                    return Ok(client);
                }
                Err(attempt) if attempt.again => failure = attempt.failure,
                Err(attempt) => return Err(attempt.failure),
            }
        }
        Err(failure)
    }

    fn explain(&self, error: GazelleError) -> Failure {
        self.batch.explain(error, self.command.timeout)
    }
}

/// An entry in logs: the beginning of its id.
fn data_id(entry: &[u8; 32]) -> String {
    // optional: 32 bytes begin with 8
    let first = entry.first_chunk().copied().unwrap_or_default();
    format!("{:016x}", u64::from_be_bytes(first))
}

/// Stands in line for as long as the command line says, and tells the place when it changes.
fn in_line<'a>(command: &Infer, batch: &'a BatchProgress) -> impl FnMut(u32) -> bool + 'a {
    let until = Instant::now() + Duration::from_secs(command.wait);
    let mut told = None;
    move |place| {
        if told != Some(place) {
            told = Some(place);
            batch.suspend(|| tell!("the server is full: place {place} in line"));
        }
        Instant::now() < until
    }
}
