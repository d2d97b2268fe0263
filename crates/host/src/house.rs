//! A connection from its first byte to its last: handshake, line, session.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gazelle::wire::Channel;
use gazelle::wire::tcp::{self, Timeouts};
use gazelle::{GazelleError, Guest, ServerLimits, SessionStage};
use gazelle_service::{ClientId, Leave, Metrics, ServerTls, ServiceError, WebDoor};

use crate::client::{ServedClient, network};
use crate::error::HostError;
use crate::guard::FloodGuard;
use crate::handshakes::{self, Handshakes, Pass};
use crate::ledger::Ledger;
use crate::models::{Models, ServedModel};
use crate::niceness::Niceness;
use crate::places::{Places, Ticket, Visitor};
use crate::setups::Setups;
use crate::strangers::Strangers;
use crate::throttle::{self, Arriving, Throttle};
use crate::turns::SessionTurns;

/// How long one waits that has confirmed, and found that the place was taken by then.
const CONFIRMED_WAITS: Duration = Duration::from_secs(30);
/// How often a draining house looks whether all sessions have ended.
const LOOK: Duration = Duration::from_millis(50);

/// What a house allows.
#[derive(Debug)]
pub struct HouseRules {
    /// Mutual TLS; none where something else protects the link.
    pub tls: Option<ServerTls>,
    /// Of links.
    pub timeouts: Timeouts,
    /// Sessions at once.
    pub sessions: usize,
    /// Bytes that all sessions together may be predicted to take.
    pub memory_bytes: u64,
    /// How long a client may stand in line.
    pub wait: Duration,
    /// Connections of one address (IPv6: of a network of 64 bits) that may end, each second, before their client is
    /// known; 0: any number.
    pub failures_per_second: u32,
    /// Of threads that set up or make material, beside those that online phases have.
    pub offline_nice: Option<Niceness>,
}

/// All that the threads of connections share.
pub struct House {
    models: Models,
    tls: Option<ServerTls>,
    timeouts: Timeouts,
    throttle: Throttle<Caller>,
    handshakes: Arc<Handshakes>,
    places: Arc<Places>,
    strangers: Strangers,
    setups: Setups,
    ledger: Ledger,
    guard: FloodGuard,
    /// Who works when.
    turns: Arc<SessionTurns>,
    /// What one session may use.
    limits: ServerLimits,
    /// How long a client may stand in line.
    wait: Duration,
}

/// A connection that nothing was read from.
struct Caller {
    peer: SocketAddr,
    /// Of browsers.
    door: Option<Arc<WebDoor>>,
    ended: Box<dyn FnOnce(Ended) + Send>,
}

/// A client on its way in.
struct Arrival {
    guest: Guest,
    client: ServedClient,
    peer: SocketAddr,
    /// Its socket, to close it from elsewhere.
    socket: Arc<TcpStream>,
}

/// How a session ended that had begun.
pub type Ended = Result<(), GazelleError>;

impl House {
    /// A house with some models.
    pub fn new(models: Models, setups: Setups, ledger: Ledger, rules: HouseRules) -> Self {
        let HouseRules { tls, timeouts, sessions, memory_bytes, wait, .. } = rules;
        Self {
            models,
            tls,
            timeouts,
            throttle: Throttle::new(rules.failures_per_second),
            guard: FloodGuard::default(),
            handshakes: Arc::default(),
            places: Places::new(sessions, memory_bytes),
            strangers: Strangers::default(),
            setups,
            ledger,
            turns: SessionTurns::of_machine(rules.offline_nice),
            limits: ServerLimits {
                memory_bytes: memory_bytes / sessions.max(1) as u64,
                ..ServerLimits::default()
            },
            wait,
        }
    }

    /// Open files that a house of so many sessions may take: a connection and a stored file for each, and those held.
    pub fn files(sessions: usize) -> usize {
        64 + 2 * (sessions + handshakes::ALL) + throttle::ALL
    }

    /// The models.
    pub fn models(&self) -> &Models {
        &self.models
    }

    /// Exchanges the models.
    ///
    /// # Errors
    /// [`HostError::Caller`] if two have one name, or one has a quota and the house counts nothing: then
    /// nothing is exchanged.
    pub fn exchange(&self, models: Vec<ServedModel>) -> Result<(), HostError> {
        let limited = models.iter().find(|model| model.quota.limits());
        if let (None, Some(limited)) = (&self.ledger.quota, limited) {
            return Err(HostError::Caller(format!(
                "{:?} has a quota now, and nothing was counted so far: start the server again",
                limited.name
            )));
        }
        self.models.exchange(models)
    }

    /// Counts and times of all sessions.
    pub fn metrics(&self) -> &Metrics {
        &self.ledger.metrics
    }

    /// Gives a connection a thread, unless too many are waiting or failed; it may have to wait for it. `ended` is called in it when the session
    /// has ended, if there was one; else it is dropped.
    pub fn admit(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        ended: impl FnOnce(Ended) + Send + 'static,
    ) {
        self.admit_by(None, stream, peer, ended);
    }

    /// As [`admit`](Self::admit), for a browser, which may ask for the page instead of a session.
    pub fn admit_browser(
        self: &Arc<Self>,
        door: &Arc<WebDoor>,
        stream: TcpStream,
        peer: SocketAddr,
        ended: impl FnOnce(Ended) + Send + 'static,
    ) {
        self.admit_by(Some(Arc::clone(door)), stream, peer, ended);
    }

    fn admit_by(
        self: &Arc<Self>,
        door: Option<Arc<WebDoor>>,
        stream: TcpStream,
        peer: SocketAddr,
        ended: impl FnOnce(Ended) + Send + 'static,
    ) {
        let caller = Caller { peer, door, ended: Box::new(ended) };
        let address = network(peer.ip());
        match self.throttle.arrive(address, Arc::new(stream), caller, Instant::now()) {
            Arriving::LetIn(stream, caller) => self.let_in(stream, caller),
            Arriving::Held => {}
            Arriving::HeldFirst => self.sweep(),
            Arriving::Closed => {
                self.ledger.metrics.refusal("throttled");
                self.strangers.turned_away(peer, &"too many of its address have failed");
            }
        }
    }

    /// Lets in those that are held, in a thread that ends when nobody is held any more.
    fn sweep(self: &Arc<Self>) {
        let house = Arc::clone(self);
        let spawned = std::thread::Builder::new().name("held".into()).spawn(move || {
            while let Some(swept) = house.throttle.sweep(Instant::now()) {
                house.ledger.metrics.refusals("held", swept.closed as u64);
                for (stream, caller) in swept.let_in {
                    house.let_in(stream, caller);
                }
                if let Some(flooding) = swept.flooding {
                    house.guard.set(&flooding);
                }
                std::thread::sleep(throttle::SWEEP);
            }
            house.guard.set(&[]);
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "no thread for connections that are held");
            self.throttle.close();
        }
    }

    /// From now on the system drops every second request to connect to `listener` of addresses that flood it, while
    /// they do: those without a token that come 256 times a second and more. On Linux; elsewhere nothing is dropped.
    ///
    /// # Errors
    /// [`HostError::System`] if the socket cannot be shared.
    pub fn guard(&self, listener: &TcpListener) -> Result<(), HostError> {
        Ok(self.guard.add(listener)?)
    }

    fn let_in(self: &Arc<Self>, stream: Arc<TcpStream>, caller: Caller) {
        let Caller { peer, door, ended } = caller;
        let Some(pass) = self.handshakes.admit(&stream, peer.ip().to_canonical()) else {
            // It did not fail.
            self.throttle.give_back(network(peer.ip()), Instant::now());
            self.ledger.metrics.refusal("crowded");
            return self.strangers.turned_away(peer, &"too many are waiting");
        };
        let house = Arc::clone(self);
        let thread = std::thread::Builder::new().name("session".into());
        let spawned = thread.spawn(move || {
            if let Some(result) = house.receive(door.as_deref(), stream, peer, pass) {
                ended(result);
            }
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "no thread for a session");
        }
    }

    /// No new sessions; how many are left.
    pub fn close(&self) -> usize {
        self.ledger.metrics.set_ready(false);
        let left = self.places.close();
        self.count();
        left
    }

    /// Lets running inferences finish for so long; how many sessions are left then.
    pub fn drain(&self, patience: Duration) -> usize {
        let until = Instant::now() + patience;
        let mut left = self.close();
        while left > 0 && Instant::now() < until {
            std::thread::sleep(LOOK);
            left = self.close();
        }
        left
    }

    /// Tells the metrics how many there are.
    fn count(&self) {
        let (sessions, waiting, bytes) = self.places.count();
        self.ledger.metrics.crowd(sessions, waiting, bytes);
        let (entries, bytes) = self.setups.stored();
        self.ledger.metrics.stored(entries, bytes);
    }

    /// Receives a connection; `None` if it never became a session.
    fn receive(
        &self,
        door: Option<&WebDoor>,
        stream: Arc<TcpStream>,
        peer: SocketAddr,
        pass: Pass,
    ) -> Option<Ended> {
        let arrival = self.greet(door, stream, peer)?;
        if arrival.guest.wants_catalogue() {
            self.catalogue(arrival);
            return None;
        }
        let Some(model) = self.models.find(arrival.guest.model()) else {
            self.turn_away(&arrival, "model");
            // A stranger who is turned away may be rude about it.
            let _ = arrival.guest.refuse_model();
            return None;
        };
        if self.ledger.is_blocked(&arrival.client) {
            self.turn_away(&arrival, "blocked");
            // A stranger who is turned away may be rude about it.
            let _ = arrival.guest.refuse();
            return None;
        }
        let (arrival, ticket) = self.line(arrival, &model, &pass)?;
        let result = self.session(arrival, ticket, &model, pass);
        self.count();
        result
    }

    /// A channel to the client, with TLS if there are keys, and its hello.
    fn greet(
        &self,
        door: Option<&WebDoor>,
        stream: Arc<TcpStream>,
        peer: SocketAddr,
    ) -> Option<Arrival> {
        let opened = || {
            let socket = Arc::clone(&stream);
            let address = ServedClient::Address(peer.ip().to_canonical());
            let client = |id: Option<ClientId>| id.map_or(address, ServedClient::Certificate);
            if let Some(door) = door {
                let guest = door.open(stream, &self.timeouts)?;
                return Ok(guest.map(|guest| (guest.channel, socket, client(guest.id))));
            }
            if let Some(tls) = &self.tls {
                let (channel, id) = tls.accept(stream, &self.timeouts)?;
                return Ok(Some((channel, socket, client(Some(id)))));
            }
            Ok(Some((tcp::channel(stream, &self.timeouts)?, socket, client(None))))
        };
        let known = || self.throttle.give_back(network(peer.ip()), Instant::now());
        match opened() {
            Ok(Some((channel, socket, client))) => {
                self.hello(channel, socket, client, peer).inspect(|_| known())
            }
            // A browser has got a file.
            Ok(None) => {
                known();
                None
            }
            Err(ServiceError::Link(error)) if self.tls.is_some() || door.is_some() => {
                Strangers::silent(peer, &error);
                None
            }
            Err(error @ ServiceError::Tls(_)) => {
                self.strangers.failed(peer, &error);
                self.ledger.refused(&peer.ip().to_canonical().to_string(), "tls");
                None
            }
            Err(error) => {
                tracing::error!(%peer, %error, "a connection failed");
                None
            }
        }
    }

    fn hello(
        &self,
        channel: Channel,
        socket: Arc<TcpStream>,
        client: ServedClient,
        peer: SocketAddr,
    ) -> Option<Arrival> {
        let pace = channel.pace();
        match Guest::greet(channel) {
            Ok(guest) => Some(Arrival { guest, client, peer, socket }),
            // TLS has heard a whole handshake.
            Err(error) if pace.is_some_and(|pace| pace.moved().1 == 0) => {
                Strangers::silent(peer, &error);
                None
            }
            Err(error) => {
                self.strangers.failed(peer, &error);
                self.ledger.metrics.refusal("handshake");
                None
            }
        }
    }

    /// Says what models there are, and what of them this client may use.
    fn catalogue(&self, arrival: Arrival) {
        let Arrival { guest, client, peer, .. } = arrival;
        let entry = |model: &Arc<ServedModel>| {
            let left = match self.ledger.left(&client, model)? {
                Leave::Granted { left } => left,
                Leave::Later(_) | Leave::Exhausted(_) => 0,
            };
            Ok(model.entry(left))
        };
        let entries = self.models.all().iter().map(entry).collect::<Result<Vec<_>, ServiceError>>();
        let bytes = entries
            .map_err(|error| error.to_string())
            .and_then(|entries| serde_json::to_vec(&entries).map_err(|error| error.to_string()));
        match bytes {
            // Who asked and left has lost nothing.
            Ok(bytes) => drop(guest.give_catalogue(&bytes)),
            Err(error) => tracing::error!(%peer, %error, "no list of models"),
        }
    }

    /// Looks at the quota, then stands in line.
    fn line(
        &self,
        mut arrival: Arrival,
        model: &ServedModel,
        pass: &Pass,
    ) -> Option<(Arrival, (Ticket, u64))> {
        let allowance = match self.ledger.left(&arrival.client, model) {
            Ok(Leave::Granted { left }) if left > 0 => left,
            Ok(Leave::Granted { .. } | Leave::Later(_)) => 0,
            // What it made ahead was counted when it was made: it may use that, and make no more.
            Ok(Leave::Exhausted(_)) if self.setups.has_material(&arrival.client) => 0,
            Ok(Leave::Exhausted(time)) => {
                self.turn_away(&arrival, "quota");
                let seconds = time.map(|time| u32::try_from(time.as_secs()).unwrap_or(u32::MAX));
                // A stranger who is turned away may be rude about it.
                let _ = arrival.guest.refuse_exhausted(seconds);
                return None;
            }
            Err(error) => {
                tracing::error!(%error, "quotas cannot be read");
                let _ = arrival.guest.turn_away();
                return None;
            }
        };
        pass.in_line();
        let ticket = self.places.ticket(&arrival.client, model.session_bytes);
        let guest = &mut arrival.guest;
        let turn = ticket.turn(self.wait, &mut |place| {
            self.count();
            guest.hold(place).is_ok()
        });
        if !turn {
            self.turn_away(&arrival, "busy");
            let _ = arrival.guest.turn_away();
            return None;
        }
        Some((arrival, (ticket, allowance)))
    }

    fn turn_away(&self, arrival: &Arrival, reason: &'static str) {
        self.strangers.turned_away(arrival.peer, &reason);
        self.ledger.refused(&arrival.client.key(), reason);
        self.count();
    }

    fn session(
        &self,
        arrival: Arrival,
        (ticket, allowance): (Ticket, u64),
        model: &ServedModel,
        pass: Pass,
    ) -> Option<Ended> {
        let Arrival { mut guest, client, peer, socket } = arrival;
        pass.considering();
        let welcomed = gazelle::system_rng()
            .map_err(GazelleError::from)
            .and_then(|mut rng| model.service.welcome(&mut guest, allowance, &mut rng));
        if let Err(error) = welcomed {
            self.strangers.failed(peer, &error);
            self.ledger.metrics.refusal("handshake");
            return None;
        }
        pass.in_line();
        let number = ticket.number();
        let stage = SessionStage::default();
        let pace = guest.pace();
        let visitor = Visitor { stream: socket, pace: pace.clone(), stage: stage.clone() };
        let Some(place) = ticket.take(visitor, CONFIRMED_WAITS) else {
            self.strangers.turned_away(peer, &"all sessions are taken");
            self.ledger.refused(&client.key(), "busy");
            guest.dismiss();
            return None;
        };
        drop(pass);
        let turn = self.turns.of_session(stage.clone(), pace.clone());
        let link = turn.of_link();
        self.count();
        let Some(record) = self.ledger.begin(number, &client, model, &self.setups, turn) else {
            guest.dismiss();
            return None;
        };
        // The record ends the turn: before there is one, nothing would.
        if let Some(pace) = pace {
            pace.take_turns(link);
        }
        tracing::debug!(%peer, %client, model = model.name, "session begins");
        let result = gazelle::system_rng().map_err(GazelleError::from).and_then(|mut rng| {
            model.service.attend(guest, &self.limits, &stage, &record, &mut rng)
        });
        match &result {
            Ok(()) => {
                let sums = record.end("completed");
                let online_seconds = rounded(sums.online_seconds);
                let inferences = sums.inferences;
                tracing::info!(%peer, %client, inferences, online_seconds, "session ended");
            }
            Err(_) if place.gave_way() => {
                record.end("gave-way");
                tracing::warn!(%peer, %client, "session closed: others waited, or the server stops");
            }
            Err(error) => {
                record.end(&error.to_string());
                tracing::warn!(%peer, %client, %error, "session failed");
            }
        }
        Some(result)
    }
}

/// Milliseconds are enough for a log.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}
