//! A server with threads of its own, from Python.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gazelle::wire::tcp::{self, Exposure, Timeouts};
use gazelle_host::{House, HouseRules, Ledger, MaterialBytes, Models, Setups};
use gazelle_service::{AuditLog, BlockedClients, Home, Metrics, Quota, QuotaStore, ServerTls};
use pyo3::prelude::*;
use serde::Deserialize;

use crate::client::seconds;
use crate::failures::Failure;
use crate::lock;
use crate::model::Model;
use crate::tls::{self, TlsPaths};
use crate::waiting::wait_for;

/// How long a handshake may let the server wait in all.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What a server was told; the words of `gazelle serve`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerSettings {
    listen: String,
    insecure: bool,
    sessions: usize,
    memory_mib: u64,
    wait: f64,
    failures_per_second: u32,
    timeout: f64,
    max_inferences: Option<u64>,
    per_day: Option<u64>,
    per_minute: Option<u64>,
    quota_file: Option<PathBuf>,
    metrics: Option<String>,
    audit: Option<PathBuf>,
    blocked: Option<PathBuf>,
}

/// A running server.
#[pyclass(frozen, module = "gazelle._native")]
pub(crate) struct Server {
    open: Mutex<Option<Open>>,
    address: SocketAddr,
}

/// Its door and what is behind it.
struct Open {
    house: Arc<House>,
    closing: Arc<AtomicBool>,
    accepting: std::thread::JoinHandle<()>,
}

#[pymethods]
impl Server {
    /// Compiles the models and begins to serve; `settings` is JSON.
    #[new]
    #[pyo3(signature = (models, settings, *, tls, revoked))]
    fn new(
        py: Python<'_>,
        models: Vec<Py<Model>>,
        settings: &str,
        tls: Option<TlsPaths>,
        revoked: Option<PathBuf>,
    ) -> PyResult<Self> {
        let settings: ServerSettings = serde_json::from_str(settings).map_err(Failure::from)?;
        wait_for(py, move || {
            let tls = tls.map(|paths| tls::server(paths, revoked)).transpose()?;
            open(&models, &settings, tls)
        })
    }

    /// Where it listens.
    #[getter]
    fn address(&self) -> String {
        self.address.to_string()
    }

    /// No new sessions; those that compute may finish for so many seconds. How many are left then, which end
    /// with the process.
    fn close(&self, py: Python<'_>, patience: f64) -> PyResult<usize> {
        let patience = seconds("patience", patience)?;
        let Some(open) = lock(&self.open).take() else { return Ok(0) };
        let address = self.address;
        wait_for(py, move || {
            open.closing.store(true, Ordering::SeqCst);
            let left = open.house.drain(patience);
            // Wakes the thread that accepts; if nobody answers, it has ended.
            drop(TcpStream::connect_timeout(&reachable(address), HANDSHAKE));
            if open.accepting.join().is_err() {
                return Err(Failure::Defect("the thread that accepts connections panicked".into()));
            }
            Ok(left)
        })
    }
}

/// A server that nobody closed takes no more clients; it waits for nobody.
impl Drop for Server {
    fn drop(&mut self) {
        let Some(open) = lock(&self.open).take() else { return };
        open.closing.store(true, Ordering::SeqCst);
        open.house.close();
        drop(TcpStream::connect_timeout(&reachable(self.address), Duration::from_millis(200)));
    }
}

/// Loopback stands for all addresses.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn open(
    models: &[Py<Model>],
    settings: &ServerSettings,
    tls: Option<ServerTls>,
) -> Result<Server, Failure> {
    let secure = tls.is_some() || settings.insecure;
    let exposure = if secure { Exposure::Network } else { Exposure::Loopback };
    // Before anything is compiled: a wrong address should fail at once.
    let listener = tcp::listen(settings.listen.as_str(), exposure).map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::PermissionDenied if !secure => {
                ": other machines can reach this address: give tls=gazelle.Tls(ca, cert, key), or \
                 insecure=True if something else protects the link"
            }
            _ => "",
        };
        Failure::Caller(format!("{}: {error}{hint}", settings.listen))
    })?;
    let address = listener.local_addr()?;
    let memory_bytes = settings.memory_mib.saturating_mul(1 << 20);
    let mut served = Vec::with_capacity(models.len());
    let (mut limited, mut untrusted) = (false, false);
    for model in models {
        let quota = Quota {
            in_all: settings.max_inferences.or(model.get().most()),
            per_day: settings.per_day,
            per_minute: settings.per_minute,
            bytes_per_day: None,
        };
        limited |= quota.limits();
        let model = model.get().serve(quota)?;
        if model.session_bytes() > memory_bytes {
            let needed = model.session_bytes().div_ceil(1 << 20);
            return Err(Failure::Caller(format!(
                "a session takes about {needed} MiB, more than memory_mib={}",
                settings.memory_mib
            )));
        }
        untrusted |= !model.trusts_clients();
        served.push(model);
    }
    let progress = seconds("timeout", settings.timeout)?;
    let rules = HouseRules {
        tls,
        timeouts: Timeouts { handshake: HANDSHAKE.min(progress), progress, ..Timeouts::default() },
        sessions: settings.sessions,
        memory_bytes,
        wait: seconds("wait", settings.wait)?,
        failures_per_second: settings.failures_per_second,
        offline_nice: None,
    };
    let ledger = ledger(settings, limited, untrusted)?;
    let nothing = MaterialBytes { all: 0, each: 0 };
    let setups = Setups::open(None, nothing)?;
    let house = House::new(Models::new(served)?, setups, ledger, rules);
    let house = Arc::new(house);
    house.metrics().set_ready(true);
    let closing = Arc::new(AtomicBool::new(false));
    let (host, end) = (Arc::clone(&house), Arc::clone(&closing));
    let thread = std::thread::Builder::new().name("accept".into());
    let accepting = thread.spawn(move || accept(&listener, &host, &end))?;
    Ok(Server { open: Mutex::new(Some(Open { house, closing, accepting })), address })
}

/// `limited`: some model's quota limits its clients; `untrusted`: some model's clients are audited.
fn ledger(settings: &ServerSettings, limited: bool, untrusted: bool) -> Result<Ledger, Failure> {
    let quota = if limited {
        Some(QuotaStore::open(&place(settings.quota_file.as_ref(), "quota.redb")?)?)
    } else {
        None
    };
    let blocked = if untrusted {
        Some(BlockedClients::open(&place(settings.blocked.as_ref(), "blocked.tsv")?)?)
    } else {
        None
    };
    let audit = settings.audit.as_ref();
    let audit = audit.map(|file| AuditLog::open(file, 64 << 20)).transpose()?;
    let metrics = Arc::new(Metrics::new()?);
    if let Some(address) = &settings.metrics {
        metrics.serve(address)?;
    }
    Ok(Ledger { metrics, audit, blocked, quota })
}

/// The file that a caller named, or the one of this name in the folder of keys.
fn place(named: Option<&PathBuf>, own: &str) -> Result<PathBuf, Failure> {
    match named {
        Some(file) => Ok(file.clone()),
        None => Ok(Home::of_user()?.folder().join(own)),
    }
}

/// Until the server is closing; every connection gets a thread.
fn accept(listener: &TcpListener, house: &Arc<House>, closing: &AtomicBool) {
    while !closing.load(Ordering::SeqCst) {
        match listener.accept() {
            // How a session ended is in the ledger.
            Ok((stream, peer)) if !closing.load(Ordering::SeqCst) => {
                house.admit(stream, peer, drop);
            }
            Ok(_) => {}
            // None that is worth more than another attempt: too many open files, a peer that left.
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
