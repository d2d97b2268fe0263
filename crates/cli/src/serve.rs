//! `gazelle serve`: models for many clients.
//!
//! A connection shakes hands (a pool of its own), stands in line, then takes a place for its session.
//! Each has a thread from beginning to end.

mod client;
mod handshakes;
mod house;
mod ledger;
pub(crate) mod models;
mod places;
mod setups;
mod signals;
mod strangers;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use gazelle::ServerLimits;
use gazelle::wire::tcp::{self, Exposure, Timeouts};
use gazelle_service::{AuditLog, Home, Metrics, Quota, QuotaStore};

use crate::arguments::Serve;
use crate::failure::Failure;
use crate::link;
use crate::screen::tell;
use crate::serve::house::House;
use crate::serve::ledger::Ledger;
use crate::serve::models::Models;
use crate::serve::places::Places;
use crate::serve::setups::Setups;
use crate::serve::strangers::Strangers;
use crate::{Outcome, allocator, stores};

/// How long a handshake may let the server wait in all.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Loads the models, then serves until the process is told to stop (or one client is through with
/// `--once`).
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
    check_files(command.sessions)?;
    let ledger = ledger(command, quiet)?;
    let store = command.store.as_deref();
    let store = store.map(|folder| stores::server(folder, &command.link_layer)).transpose()?;
    let setups = Setups::open(store, command.store_mib << 20)?;
    let models = Models::load(command, quiet)?;
    let progress = Duration::from_secs(command.timeout);
    let sessions = if command.once { 1 } else { command.sessions };
    let house = Arc::new(House {
        models,
        tls,
        timeouts: Timeouts { handshake: HANDSHAKE.min(progress), progress, ..Timeouts::default() },
        handshakes: Arc::default(),
        places: Places::new(sessions, command.memory_bytes()),
        strangers: Strangers::default(),
        setups,
        ledger,
        limits: ServerLimits {
            memory_bytes: command.memory_bytes() / sessions as u64,
            ..ServerLimits::default()
        },
        wait: Duration::from_secs(command.wait),
    });
    let (ended, end) = channel();
    signals::follow(Arc::clone(&house), command.clone(), ended.clone())?;
    tell!("listening on {}", listener.local_addr()?);
    house.ledger.metrics.set_ready(true);
    let once = command.once;
    std::thread::Builder::new()
        .name("accept".into())
        .spawn(move || accept(&listener, &house, once, &ended))?;
    match end.recv() {
        Ok(result) => result,
        Err(_) => Err(Failure::Run("the thread that accepts connections ended".into())),
    }
}

/// Quotas, metrics, the audit log, as the command line wants them.
fn ledger(command: &Serve, quiet: bool) -> Result<Ledger, Failure> {
    let quota = Quota {
        in_all: command.inferences_in_all(),
        per_day: command.per_day,
        per_minute: command.per_minute,
        bytes_per_day: command.mib_per_day.map(|mib| mib.saturating_mul(1 << 20)),
    };
    let quota = if quota.limits() {
        let file = match &command.quota_file {
            Some(file) => file.clone(),
            None => Home::of_user()?.folder().join("quota.redb"),
        };
        Some((quota, QuotaStore::open(&file)?))
    } else {
        None
    };
    let audit = command.audit.as_ref();
    let audit = audit.map(|file| AuditLog::open(file, command.audit_mib << 20)).transpose()?;
    let metrics = Arc::new(Metrics::new()?);
    if let Some(address) = &command.metrics {
        let bound = metrics.serve(address)?;
        if !quiet {
            tell!("metrics on http://{bound}/metrics");
        }
    }
    Ok(Ledger { metrics, audit, quota })
}

/// Whether the system gives enough file descriptors: four for each connection that there may be.
fn check_files(sessions: usize) -> Result<(), Failure> {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits.lines().find_map(|line| {
        line.strip_prefix("Max open files")?.split_whitespace().next()?.parse::<usize>().ok()
    });
    let needed = 64 + 4 * (sessions + handshakes::ALL);
    match soft {
        Some(soft) if soft < needed => Err(Failure::Run(format!(
            "{sessions} sessions take up to {needed} open files, this process may have {soft}: raise \
             it (`ulimit -n {needed}`), or give fewer --sessions"
        ))),
        _ => Ok(()),
    }
}

/// Accepts connections until the program ends. The sender is held so that the main thread waits
/// as long.
fn accept(listener: &TcpListener, house: &Arc<House>, once: bool, ended: &Sender<Outcome>) {
    loop {
        match listener.accept() {
            Ok((stream, peer)) => {
                let ended = once.then(|| ended.clone());
                admit(house, stream, peer, ended);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection failed");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

/// Gives a connection a thread, unless too many are waiting. `ended` is told of the session's end.
fn admit(house: &Arc<House>, stream: TcpStream, peer: SocketAddr, ended: Option<Sender<Outcome>>) {
    let address = peer.ip().to_canonical();
    let pass = match house.handshakes.admit(&stream, address) {
        Ok(Some(pass)) => pass,
        Ok(None) => {
            house.ledger.metrics.refusal("crowded");
            return house.strangers.turned_away(peer, &"too many are waiting");
        }
        Err(error) => return tracing::warn!(%peer, %error, "a connection failed"),
    };
    let host = Arc::clone(house);
    let thread = std::thread::Builder::new().name("session".into());
    let spawned = thread.spawn(move || {
        let _alarm = Alarm(ended.as_ref());
        let Some(result) = host.receive(stream, peer, pass) else { return };
        allocator::give_back();
        if let Some(ended) = &ended {
            // Nobody listens any more if another session has ended the program.
            let _ = ended.send(result.map_err(Failure::from));
        }
    });
    if let Err(error) = spawned {
        tracing::error!(%error, "no thread for a session");
    }
}

/// With `--once`, a session's thread that panics ends the program: nobody would hear of it else.
struct Alarm<'a>(Option<&'a Sender<Outcome>>);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(ended) = self.0
        {
            let _ = ended.send(Err(Failure::Run("the session's thread panicked".into())));
        }
    }
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
