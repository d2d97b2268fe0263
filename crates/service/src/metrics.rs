//! What a monitoring system may know: counts, seconds, bytes. No client is named, no secret is near.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;

use prometheus::{
    CounterVec, Encoder, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use tiny_http::{Header, Method, Request, Response, Server};

use crate::error::ServiceError;

/// One phase of a session, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PhaseCount {
    /// `setup`, `offline` or `online`.
    pub phase: &'static str,
    /// Wall-clock time.
    pub seconds: f64,
    /// Bytes to the client.
    pub sent: u64,
    /// Bytes from it.
    pub received: u64,
}

/// All that is counted, and whether the server takes new sessions.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    sessions: IntGauge,
    waiting: IntGauge,
    memory: IntGaugeVec,
    stored_entries: IntGauge,
    stored_bytes: IntGauge,
    files: IntGauge,
    inferences: IntCounterVec,
    seconds: CounterVec,
    bytes: IntCounterVec,
    refusals: IntCounterVec,
    ready: AtomicBool,
}

impl Metrics {
    /// Everything at zero, and not ready.
    ///
    /// # Errors
    /// [`ServiceError::Caller`] if two metrics had one name: a defect.
    pub fn new() -> Result<Self, ServiceError> {
        let defect = |error: prometheus::Error| ServiceError::Caller(error.to_string());
        let name = |name: &str, help: &str| Opts::new(format!("gazelle_{name}"), help);
        let gauge = |n, h| IntGauge::with_opts(name(n, h)).map_err(defect);
        let counter =
            |n, h, labels: &[&str]| IntCounterVec::new(name(n, h), labels).map_err(defect);
        let metrics = Self {
            registry: Registry::new(),
            sessions: gauge("sessions", "Sessions that run now")?,
            waiting: gauge("waiting_clients", "Clients that wait in line for a session")?,
            memory: IntGaugeVec::new(
                name("memory_bytes", "Memory: resident, or predicted for the sessions that run"),
                &["kind"],
            )
            .map_err(defect)?,
            stored_entries: gauge("stored_entries", "Inferences whose material is in the store")?,
            stored_bytes: gauge("stored_bytes", "Bytes of material in the store")?,
            files: gauge("open_files", "Open file descriptors")?,
            inferences: counter("inferences_total", "Completed inferences", &["model"])?,
            seconds: CounterVec::new(
                name("phase_seconds_total", "Seconds by phase"),
                &["model", "phase"],
            )
            .map_err(defect)?,
            bytes: counter(
                "phase_bytes_total",
                "Bytes by phase, as the protocol counts them",
                &["model", "phase", "direction"],
            )?,
            refusals: counter("refusals_total", "Clients not served, by reason", &["reason"])?,
            ready: AtomicBool::new(false),
        };
        let all: [Box<dyn prometheus::core::Collector>; 10] = [
            Box::new(metrics.sessions.clone()),
            Box::new(metrics.waiting.clone()),
            Box::new(metrics.memory.clone()),
            Box::new(metrics.stored_entries.clone()),
            Box::new(metrics.stored_bytes.clone()),
            Box::new(metrics.files.clone()),
            Box::new(metrics.inferences.clone()),
            Box::new(metrics.seconds.clone()),
            Box::new(metrics.bytes.clone()),
            Box::new(metrics.refusals.clone()),
        ];
        for collector in all {
            metrics.registry.register(collector).map_err(defect)?;
        }
        Ok(metrics)
    }

    /// Sessions that run, clients in line, and the memory that is predicted for the sessions.
    pub fn crowd(&self, sessions: usize, waiting: usize, predicted_bytes: u64) {
        self.sessions.set(sessions as i64);
        self.waiting.set(waiting as i64);
        self.memory.with_label_values(&["predicted"]).set(predicted_bytes as i64);
    }

    /// Material in the store: of so many inferences, so many bytes.
    pub fn stored(&self, entries: usize, bytes: u64) {
        self.stored_entries.set(entries as i64);
        self.stored_bytes.set(bytes as i64);
    }

    /// A phase of a session with `model`.
    pub fn phase(&self, model: &str, count: &PhaseCount) {
        let PhaseCount { phase, seconds, sent, received } = *count;
        self.seconds.with_label_values(&[model, phase]).inc_by(seconds.max(0.0));
        self.bytes.with_label_values(&[model, phase, "sent"]).inc_by(sent);
        self.bytes.with_label_values(&[model, phase, "received"]).inc_by(received);
    }

    /// An inference is complete.
    pub fn inference(&self, model: &str) {
        self.inferences.with_label_values(&[model]).inc();
    }

    /// A client was not served: `busy`, `quota`, `handshake`, ..
    pub fn refusal(&self, reason: &str) {
        self.refusals(reason, 1);
    }

    /// So many clients were not served.
    pub fn refusals(&self, reason: &str, count: u64) {
        self.refusals.with_label_values(&[reason]).inc_by(count);
    }

    /// Whether new sessions are taken: what `/readyz` says.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// In the text form of Prometheus.
    ///
    /// # Errors
    /// [`ServiceError::Caller`] if it cannot be written: a defect.
    pub fn text(&self) -> Result<String, ServiceError> {
        let (resident, files) = process();
        self.memory.with_label_values(&["resident"]).set(resident as i64);
        self.files.set(files as i64);
        let mut bytes = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut bytes)
            .map_err(|error| ServiceError::Caller(error.to_string()))?;
        String::from_utf8(bytes).map_err(|error| ServiceError::Caller(error.to_string()))
    }

    /// Serves `/metrics`, `/healthz` and `/readyz` by HTTP from a thread of its own; gives the address.
    ///
    /// # Errors
    /// The system's, on the address.
    pub fn serve(self: &Arc<Self>, address: &str) -> Result<SocketAddr, ServiceError> {
        let unreachable =
            |source: io::Error| ServiceError::Unreachable { address: address.into(), source };
        let listener = TcpListener::bind(address).map_err(unreachable)?;
        let bound = listener.local_addr()?;
        let server = Server::from_listener(listener, None)
            .map_err(|error| unreachable(io::Error::other(error.to_string())))?;
        let metrics = Arc::clone(self);
        Builder::new().name("metrics".into()).spawn(move || {
            for request in server.incoming_requests() {
                metrics.answer(request);
            }
        })?;
        Ok(bound)
    }

    fn answer(&self, request: Request) {
        let (status, text) = match (request.method(), request.url()) {
            (Method::Get | Method::Head, "/metrics") => match self.text() {
                Ok(text) => (200, text),
                Err(error) => (500, format!("{error}\n")),
            },
            (Method::Get | Method::Head, "/healthz") => (200, "ok\n".into()),
            (Method::Get | Method::Head, "/readyz") if self.ready.load(Ordering::Relaxed) => {
                (200, "ready\n".into())
            }
            (Method::Get | Method::Head, "/readyz") => (503, "not ready\n".into()),
            _ => (404, "/metrics, /healthz, /readyz\n".into()),
        };
        let mut response = Response::from_string(text).with_status_code(status);
        if let Ok(header) = Header::from_bytes("Content-Type", "text/plain; version=0.0.4") {
            response.add_header(header);
        }
        // A scraper that went away comes again.
        let _ = request.respond(response);
    }
}

/// Resident bytes and open files of this process; 0 where the system does not say.
fn process() -> (u64, usize) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| {
        let kib = line.strip_prefix("VmRSS:")?.split_whitespace().next()?;
        kib.parse::<u64>().ok()
    });
    let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    (resident.map_or(0, |kib| kib * 1024), files)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn what_was_counted_is_served_in_prometheus_text() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let address = metrics.serve("127.0.0.1:0").unwrap();
        metrics.crowd(3, 2, 1000);
        metrics.inference("digits");
        metrics.refusal("busy");
        let count = PhaseCount { phase: "online", seconds: 0.5, sent: 10, received: 20 };
        metrics.phase("digits", &count);
        metrics.phase("digits", &count);
        let text = get(address, "/metrics");
        for line in [
            "gazelle_sessions 3",
            "gazelle_waiting_clients 2",
            "gazelle_memory_bytes{kind=\"predicted\"} 1000",
            "gazelle_inferences_total{model=\"digits\"} 1",
            "gazelle_phase_seconds_total{model=\"digits\",phase=\"online\"} 1",
            "gazelle_phase_bytes_total{direction=\"received\",model=\"digits\",phase=\"online\"} 40",
            "gazelle_refusals_total{reason=\"busy\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let resident = text.lines().find(|line| line.contains("kind=\"resident\"")).unwrap();
        assert!(resident.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap() > 1 << 20);
    }

    #[test]
    fn health_and_readiness_are_told_apart() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let address = metrics.serve("127.0.0.1:0").unwrap();
        assert!(get(address, "/healthz").starts_with("HTTP/1.1 200"));
        assert!(get(address, "/readyz").starts_with("HTTP/1.1 503"));
        metrics.set_ready(true);
        assert!(get(address, "/readyz").starts_with("HTTP/1.1 200"));
        assert!(get(address, "/").starts_with("HTTP/1.1 404"));
    }
}
