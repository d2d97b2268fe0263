//! `gazelle serve`: one loaded model, many clients.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gazelle::backend::DefaultService;
use gazelle::wire::tcp::{self, Exposure, Timeouts};
use gazelle::{GazelleError, ServerLimits, ServerReport};

use crate::Outcome;
use crate::arguments::Serve;
use crate::failure::Failure;
use crate::{model_file, output};

/// Connections that are being turned away at once; more are just closed.
const TURNED_AWAY: usize = 16;

/// Loads the model, then serves until the process ends (or one client is through with `--once`).
pub(crate) fn run(command: &Serve, quiet: bool) -> Outcome {
    if command.sessions == 0 {
        return Err(Failure::Usage("--sessions must be at least 1".into()));
    }
    let exposure = if command.insecure { Exposure::Network } else { Exposure::Loopback };
    // Before the model is loaded: a wrong address should fail at once.
    let listener = tcp::listen(command.listen.as_str(), exposure).map_err(|error| {
        if error.kind() == std::io::ErrorKind::PermissionDenied && !command.insecure {
            Failure::Usage(format!(
                "{}: {error}; give --insecure if something else protects the link (TLS is not \
                 available yet)",
                command.listen
            ))
        } else {
            Failure::Run(format!("{}: {error}", command.listen))
        }
    })?;
    let model = model_file::load(&command.model, command.model_name.as_deref(), command.link)
        .map_err(Failure::from)?;
    if !quiet {
        eprintln!("{}", model.summary());
    }
    let server = Arc::new(model.compile()?);
    if !quiet {
        eprintln!("model digest {}", model_file::hex(&model_file::digest(server.description())));
    }
    let timeouts =
        Timeouts { progress: Duration::from_secs(command.timeout.max(1)), ..Timeouts::default() };
    eprintln!("listening on {}", listener.local_addr()?);
    std::io::stderr().flush()?;
    let slots =
        SessionSlots { taken: Arc::default(), turning: Arc::default(), all: command.sessions };
    loop {
        let (stream, peer) = match listener.accept() {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!(%error, "a connection failed");
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
        };
        if command.once {
            return serve_one(&server, stream, peer, &timeouts, quiet)
                .map(drop)
                .map_err(Failure::from);
        }
        slots.dispatch(&server, stream, peer, timeouts, quiet);
    }
}

/// Bounds the sessions that run at once.
struct SessionSlots {
    taken: Arc<AtomicUsize>,
    turning: Arc<AtomicUsize>,
    all: usize,
}

/// Gives its place back when the session ends, however it ends.
struct Taken(Arc<AtomicUsize>);

impl Taken {
    fn take(counter: &Arc<AtomicUsize>, all: usize) -> Option<Self> {
        counter
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < all).then_some(n + 1))
            .ok()
            .map(|_| Self(Arc::clone(counter)))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl SessionSlots {
    fn dispatch(
        &self,
        server: &Arc<DefaultService>,
        stream: TcpStream,
        peer: SocketAddr,
        timeouts: Timeouts,
        quiet: bool,
    ) {
        let spawned = if let Some(slot) = Taken::take(&self.taken, self.all) {
            let server = Arc::clone(server);
            std::thread::Builder::new().name("session".into()).spawn(move || {
                let _slot = slot;
                // The error has been logged; the others are served on.
                let _ = serve_one(&server, stream, peer, &timeouts, quiet);
            })
        } else if let Some(slot) = Taken::take(&self.turning, TURNED_AWAY) {
            std::thread::Builder::new().name("busy".into()).spawn(move || {
                let _slot = slot;
                let short = Timeouts { progress: Duration::from_secs(2), ..timeouts };
                if let Ok(channel) = tcp::channel(stream, &short) {
                    // A stranger who is turned away may be rude about it.
                    let _ = DefaultService::turn_away(channel);
                }
                tracing::info!(%peer, "turned away: all sessions are taken");
            })
        } else {
            return;
        };
        if let Err(error) = spawned {
            tracing::error!(%error, "no thread for a session");
        }
    }
}

fn serve_one(
    server: &DefaultService,
    stream: TcpStream,
    peer: SocketAddr,
    timeouts: &Timeouts,
    quiet: bool,
) -> Result<ServerReport, GazelleError> {
    let result = session(server, stream, timeouts);
    match &result {
        Ok(report) => {
            tracing::info!(%peer, inferences = report.inferences.len(), "session ended");
            if !quiet {
                let online: f64 = report.inferences.iter().map(|i| i.online.seconds).sum();
                eprintln!(
                    "{peer}: {} inferences, {} online",
                    report.inferences.len(),
                    output::seconds(online)
                );
            }
        }
        Err(error) => tracing::warn!(%peer, %error, "session failed"),
    }
    result
}

fn session(
    server: &DefaultService,
    stream: TcpStream,
    timeouts: &Timeouts,
) -> Result<ServerReport, GazelleError> {
    let channel = tcp::channel(stream, timeouts)
        .map_err(|error| GazelleError::Channel(gazelle::wire::ChannelError::Io(error)))?;
    let mut rng = gazelle::system_rng()?;
    server.serve(channel, &ServerLimits::default(), &mut rng)
}
