//! `gazelle serve`: models for many clients.
//!
//! A connection shakes hands (a pool of its own), stands in line, then takes a place for its session.
//! Each has a thread from beginning to end.

mod models;
mod signals;
mod web;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use gazelle::wire::tcp::{self, Exposure, Timeouts};
use gazelle_host::{Ended, House, HouseRules, Ledger, Models, Setups};
use gazelle_service::{AuditLog, BlockedClients, Home, Metrics, QuotaStore};

use crate::arguments::{OnCheating, Serve, ServeOrders};
use crate::failure::Failure;
use crate::link;
use crate::screen::tell;
use crate::serve::web::WebPort;
use crate::{Outcome, allocator, arguments, stores};

/// How long a handshake may let the server wait in all.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Loads the models, then serves until the process is told to stop (or one client is through with
/// `--once`).
pub(crate) fn run(orders: &ServeOrders, quiet: bool) -> Outcome {
    let command = &orders.server;
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
    let web = WebPort::open(&command.web, tls.as_ref(), exposure)?;
    check_files(command.sessions)?;
    let offline_nice = arguments::niceness(command.offline_nice)?;
    let mut ledger = ledger(command, quiet)?;
    let store = command.store.as_deref();
    let store = store.map(|folder| stores::server(folder, &command.link_layer)).transpose()?;
    let setups = Setups::open(store, command.material_bytes())?;
    let models = models::load_all(orders, quiet)?;
    if models.iter().any(|model| model.quota().limits()) {
        let own = || Home::of_user().map(|home| home.folder().join("quota.redb"));
        let file = command.quota_file.clone().map_or_else(own, Ok)?;
        ledger.quota = Some(QuotaStore::open(&file)?);
    }
    if command.on_cheating == OnCheating::Block {
        let untrusted = models.iter().any(|model| !model.trusts_clients());
        let own = || Home::of_user().map(|home| home.folder().join("blocked.tsv"));
        match command.blocked.clone().map_or_else(own, Ok) {
            // Opened where all clients are trusted too: a reload may bring a model that trusts none.
            Ok(file) => ledger.blocked = Some(BlockedClients::open(&file)?),
            Err(error) if untrusted => return Err(error.into()),
            Err(_) => {}
        }
    }
    let models = Models::new(models)?;
    // Importing and quantising take more than the compiled models do: half a gigabyte for ResNet-50.
    allocator::give_back();
    let progress = Duration::from_secs(command.timeout);
    let rules = HouseRules {
        tls,
        timeouts: Timeouts { handshake: HANDSHAKE.min(progress), progress, ..Timeouts::default() },
        sessions: if command.once { 1 } else { command.sessions },
        memory_bytes: command.memory_bytes(),
        wait: Duration::from_secs(command.wait),
        failures_per_second: command.failures_per_second,
        offline_nice,
    };
    let house = Arc::new(House::new(models, setups, ledger, rules));
    guard(&house, &listener);
    let (ended, end) = channel();
    signals::follow(Arc::clone(&house), orders.clone(), ended.clone())?;
    // Whoever reads the line may ask at once; connections wait in the listener until they are accepted.
    house.metrics().set_ready(true);
    tell!("listening on {}", listener.local_addr()?);
    if let Some(web) = web {
        web.start(Arc::clone(&house))?;
    }
    let once = command.once;
    std::thread::Builder::new()
        .name("accept".into())
        .spawn(move || accept(&listener, &house, once, &ended))?;
    match end.recv() {
        Ok(result) => result,
        Err(_) => Err(Failure::Run("the thread that accepts connections ended".into())),
    }
}

/// Has the system turn floods away where it can.
fn guard(house: &House, listener: &TcpListener) {
    if let Err(error) = house.guard(listener) {
        tracing::warn!(%error, "floods are turned away without the system's help");
    }
}

/// Metrics and the audit log, as the command line wants them; quotas are the models'.
fn ledger(command: &Serve, quiet: bool) -> Result<Ledger, Failure> {
    let audit = command.audit.as_ref();
    let audit = audit.map(|file| AuditLog::open(file, command.audit_mib << 20)).transpose()?;
    let metrics = Arc::new(Metrics::new()?);
    if let Some(address) = &command.metrics {
        let bound = metrics.serve(address)?;
        if !quiet {
            tell!("metrics on http://{bound}/metrics");
        }
    }
    Ok(Ledger { metrics, audit, blocked: None, quota: None })
}

/// Whether the system gives enough file descriptors: two for each connection.
fn check_files(sessions: usize) -> Result<(), Failure> {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits.lines().find_map(|line| {
        line.strip_prefix("Max open files")?.split_whitespace().next()?.parse::<usize>().ok()
    });
    let needed = House::files(sessions);
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
    each(listener, |stream, peer| {
        let alarm = Alarm(once.then(|| ended.clone()));
        house.admit(stream, peer, move |result| {
            allocator::give_back();
            alarm.tell(result);
        });
    });
}

/// Hands over every connection.
fn each(listener: &TcpListener, admit: impl Fn(TcpStream, SocketAddr)) {
    loop {
        match listener.accept() {
            Ok((stream, peer)) => admit(stream, peer),
            Err(error) => {
                tracing::warn!(%error, "a connection failed");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

/// With `--once`, who is told of the session's end; a thread that panics ends the program: nobody would
/// hear of it else.
struct Alarm(Option<Sender<Outcome>>);

impl Alarm {
    fn tell(&self, result: Ended) {
        if let Some(ended) = &self.0 {
            // Nobody listens any more if another session has ended the program.
            let _ = ended.send(result.map_err(Failure::from));
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(ended) = &self.0
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
            let alarm = Alarm(Some(ended));
            alarm.tell(Ok(()));
            assert!(alarm.0.is_none(), "there is a receiver");
        });
        assert!(panics.join().is_err());
        assert!(end.recv().unwrap().is_ok());
        assert!(end.recv().unwrap().is_err());
    }
}
