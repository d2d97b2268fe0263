//! `gazelle serve`: one loaded model, many clients.
//!
//! A connection shakes hands (a pool of its own), then takes a place for its session. Each has a
//! thread from beginning to end.

mod client;
mod handshakes;
mod places;
mod quotas;
mod strangers;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use gazelle::backend::DefaultService;
use gazelle::wire::Channel;
use gazelle::wire::tcp::{self, Exposure, Timeouts};
use gazelle::{GazelleError, Guest, ServerLimits, ServerReport, SessionStage};
use gazelle_service::{ServerTls, ServiceError};

use crate::Outcome;
use crate::arguments::Serve;
use crate::failure::Failure;
use crate::screen::{tell, visible};
use crate::serve::client::ServedClient;
use crate::serve::handshakes::{Handshakes, Pass};
use crate::serve::places::{Places, Visitor};
use crate::serve::quotas::{LOCAL_INFERENCES, Quotas};
use crate::serve::strangers::Strangers;
use crate::{link, model_file};

/// How long a handshake may let the server wait in all.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a client may wait for a place before it is told that the server is busy.
const HELLO_WAITS: Duration = Duration::from_secs(3);
/// How long one waits that has confirmed, and found that the place was taken by then.
const CONFIRMED_WAITS: Duration = Duration::from_secs(30);

/// Loads the model, then serves until the process ends (or one client is through with `--once`).
pub(crate) fn run(command: &Serve, quiet: bool) -> Outcome {
    let (tls, exposure) = link::server(&command.link_layer, quiet)?;
    // Before the model is loaded: a wrong address should fail at once.
    let listener = tcp::listen(command.listen.as_str(), exposure).map_err(|error| {
        if error.kind() == std::io::ErrorKind::PermissionDenied && exposure == Exposure::Loopback {
            Failure::Usage(format!(
                "{}: other machines can reach this address, and there are no keys: `gazelle keys \
                 new-ca`, `gazelle keys new-server NAME...` (docs/deploy.md); or give --insecure if \
                 something else protects the link",
                command.listen
            ))
        } else {
            Failure::Run(format!("{}: {error}", command.listen))
        }
    })?;
    let mut model = model_file::load(&command.model, command.model_name.as_deref(), command.link)
        .map_err(Failure::from)?;
    let local = !model.quantised.network.architecture().is_exact();
    model.choice.max_inferences = command.max_inferences.or(local.then_some(LOCAL_INFERENCES));
    let quotas = Quotas::new(model.choice.max_inferences);
    if !quiet {
        tell!("{}", model.summary());
        if let (true, Some(most)) = (local, model.choice.max_inferences) {
            tell!(
                "note: a client may make {most} inferences (--max-inferences): local rounding tells it \
                 a little about the weights in each"
            );
        }
        for remark in model.remarks() {
            tell!("note: {}", visible(&remark));
        }
    }
    let server = model.compile()?;
    if !quiet {
        tell!("model digest {}", model_file::hex(&model_file::digest(server.description())));
    }
    let progress = Duration::from_secs(command.timeout);
    let timeouts = Timeouts { handshake: HANDSHAKE.min(progress), progress, ..Timeouts::default() };
    let (ended, end) = channel();
    let house = Arc::new(House {
        server,
        tls,
        quotas,
        timeouts,
        handshakes: Arc::default(),
        places: Places::new(if command.once { 1 } else { command.sessions }),
        strangers: Strangers::default(),
        ended: command.once.then_some(ended.clone()),
    });
    tell!("listening on {}", listener.local_addr()?);
    std::thread::Builder::new()
        .name("accept".into())
        .spawn(move || accept(&listener, &house, &ended))?;
    match end.recv() {
        Ok(result) => result,
        Err(_) => Err(Failure::Run("the thread that accepts connections ended".into())),
    }
}

type Ended = Sender<Outcome>;

/// All that the threads of connections share.
struct House {
    server: DefaultService,
    tls: Option<ServerTls>,
    quotas: Quotas<ServedClient>,
    timeouts: Timeouts,
    handshakes: Arc<Handshakes>,
    places: Arc<Places>,
    strangers: Strangers,
    /// Is told of the first session's end, with `--once`.
    ended: Option<Ended>,
}

/// Accepts connections until the program ends. The sender is held so that the main thread waits
/// as long.
fn accept(listener: &TcpListener, house: &Arc<House>, _ended: &Ended) {
    loop {
        match listener.accept() {
            Ok((stream, peer)) => admit(house, stream, peer),
            Err(error) => {
                tracing::warn!(%error, "a connection failed");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

/// Gives a connection a thread, unless too many are waiting.
fn admit(house: &Arc<House>, stream: TcpStream, peer: SocketAddr) {
    let address = peer.ip().to_canonical();
    let pass = match house.handshakes.admit(&stream, address) {
        Ok(Some(pass)) => pass,
        Ok(None) => return house.strangers.turned_away(peer, &"too many are waiting"),
        Err(error) => return tracing::warn!(%peer, %error, "a connection failed"),
    };
    let host = Arc::clone(house);
    let thread = std::thread::Builder::new().name("session".into());
    let spawned = thread.spawn(move || {
        let _alarm = Alarm(host.ended.as_ref());
        if let Some(result) = host.receive(stream, peer, pass)
            && let Some(ended) = &host.ended
        {
            // Nobody listens any more if another session has ended the program.
            let _ = ended.send(result.map(drop).map_err(Failure::from));
        }
    });
    if let Err(error) = spawned {
        tracing::error!(%error, "no thread for a session");
    }
}

/// With `--once`, a session's thread that panics ends the program: nobody would hear of it else.
struct Alarm<'a>(Option<&'a Ended>);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(ended) = self.0
        {
            let _ = ended.send(Err(Failure::Run("the session's thread panicked".into())));
        }
    }
}

impl House {
    /// A connection from its first byte to its last; `None` if it never became a session.
    fn receive(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        pass: Pass,
    ) -> Option<Result<ServerReport, GazelleError>> {
        let (channel, copy, client) = self.open(stream, peer)?;
        let pace = channel.pace();
        let failed = |error: &GazelleError| {
            // TLS has heard a whole handshake.
            let silent = pace.as_ref().is_some_and(|pace| pace.moved().1 == 0);
            if silent {
                Strangers::silent(peer, error);
            } else {
                self.strangers.failed(peer, error);
            }
        };
        let mut guest = match Guest::greet(channel) {
            Ok(guest) => guest,
            Err(error) => {
                failed(&error);
                return None;
            }
        };
        pass.in_line();
        if !self.places.room(&client, HELLO_WAITS) {
            self.strangers.turned_away(peer, &"all sessions are taken");
            // A stranger who is turned away may be rude about it.
            let _ = guest.turn_away();
            return None;
        }
        pass.considering();
        if let Err(error) = self.server.welcome(&mut guest) {
            failed(&error);
            return None;
        }
        pass.in_line();
        let stage = SessionStage::default();
        let visitor = Visitor { client: client.clone(), stream: copy, pace, stage: stage.clone() };
        let Some(place) = self.places.take(visitor, CONFIRMED_WAITS) else {
            self.strangers.turned_away(peer, &"all sessions are taken");
            guest.dismiss();
            return None;
        };
        drop(pass);
        guest.limit(self.quotas.of(client.account()));
        tracing::debug!(%peer, %client, "session begins");
        let result = self.attend(guest, &stage);
        match &result {
            Ok(report) => {
                let inferences = report.inferences.len();
                let online: f64 = report.inferences.iter().map(|i| i.online.seconds).sum();
                let online_seconds = rounded(online);
                tracing::info!(%peer, %client, inferences, online_seconds, "session ended");
            }
            Err(_) if place.gave_way() => {
                tracing::warn!(%peer, %client, "session closed: it asked for nothing while others waited");
            }
            Err(error @ GazelleError::Quota { .. }) => {
                tracing::warn!(%peer, %client, %error, "session closed: --max-inferences");
            }
            Err(error) => tracing::warn!(%peer, %client, %error, "session failed"),
        }
        Some(result)
    }

    /// A channel to the client, with TLS if there are keys; a copy of the socket, to close it; and who the
    /// client is.
    fn open(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Option<(Channel, TcpStream, ServedClient)> {
        let copy = stream.try_clone();
        let opened = copy.map_err(ServiceError::from).and_then(|copy| {
            if let Some(tls) = &self.tls {
                let (channel, id) = tls.accept(stream, &self.timeouts)?;
                return Ok((channel, copy, ServedClient::Certificate(id)));
            }
            let channel = tcp::channel(stream, &self.timeouts)?;
            Ok((channel, copy, ServedClient::Address(peer.ip().to_canonical())))
        });
        match opened {
            Ok(opened) => return Some(opened),
            Err(ServiceError::Link(error)) if self.tls.is_some() => {
                Strangers::silent(peer, &error);
            }
            Err(error @ ServiceError::Tls(_)) => self.strangers.failed(peer, &error),
            Err(error) => tracing::error!(%peer, %error, "a connection failed"),
        }
        None
    }

    fn attend(&self, guest: Guest, stage: &SessionStage) -> Result<ServerReport, GazelleError> {
        let mut rng = gazelle::system_rng()?;
        self.server.attend(guest, &ServerLimits::default(), stage, &mut rng)
    }
}

/// Milliseconds are enough for a log.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_a_session_is_heard_of() {
        let (ended, end) = channel();
        let panics = std::thread::spawn(move || {
            let _alarm = Alarm(Some(&ended));
            assert!(ended.send(Ok(())).is_err(), "the receiver lives");
        });
        assert!(panics.join().is_err());
        assert!(end.recv().unwrap().is_ok());
        assert!(end.recv().unwrap().is_err());
    }
}
