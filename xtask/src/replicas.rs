//! `cargo xtask replicas`: three servers behind a proxy (`haproxy`), eight clients, one server killed while they work.
//!
//! Shows that every client finishes with the answers that a single server gives. The configuration is
//! deploy/haproxy.cfg, as it is.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::fleet::{self, Fleet, FleetServer};

const MODEL: &str = "mnist_d_minionn";
const SERVERS: usize = 3;
const CLIENTS: usize = 8;

/// Runs; `arguments` are empty.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    if !arguments.is_empty() {
        return Err("usage: cargo xtask replicas".into());
    }
    if !has_haproxy() {
        return Err("HAProxy is not installed (Debian: apt-get install haproxy)".into());
    }
    let fleet = Fleet::new(root, "replicas", CLIENTS)?;
    let inputs = fleet.samples(MODEL)?;
    let mut servers = (0..SERVERS)
        .map(|_| fleet.serve(MODEL, &["--sessions", "8"]))
        .collect::<Result<Vec<FleetServer>, Failure>>()?;
    let first = servers.first().ok_or("no server")?.address.clone();
    let expected = fleet::answers(fleet.infer(0, &first, &[], &inputs)?, &inputs)?;
    println!("{SERVERS} servers; one alone answers {} inputs", expected.len());

    let (bind, mut proxy) = start_proxy(root, &fleet, &servers)?;
    let begin = Instant::now();
    let clients = (0..CLIENTS)
        .map(|client| fleet.infer(client, &bind, &[], &inputs))
        .collect::<Result<Vec<_>, Failure>>()?;
    // The one with most sessions dies once some inferences are through.
    let done = "gazelle_inferences_total{model=\"mnist_d_minionn\"}";
    let victim = loop {
        std::thread::sleep(Duration::from_millis(20));
        let mut busiest = (0.0, 0);
        for (index, server) in servers.iter().enumerate() {
            let through = server.metric(done).unwrap_or(0.0);
            let alone = if index == 0 { inputs.len() as f64 } else { 0.0 };
            if server.metric("gazelle_sessions")? > busiest.0 && through > alone {
                busiest = (server.metric("gazelle_sessions")?, index);
            }
        }
        if busiest.0 > 0.0 {
            println!("killing server {} with {} sessions", busiest.1, busiest.0);
            break busiest.1;
        }
        if begin.elapsed() > Duration::from_mins(2) {
            return Err("no session began".into());
        }
    };
    servers.get_mut(victim).ok_or("no server")?.kill()?;
    let mut returned = 0;
    for client in clients {
        let output = client.wait_with_output()?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        returned += usize::from(told.contains("attempt 1 of"));
        let found = fleet::read(&output, &inputs)?;
        if found != expected {
            return Err("a client got other answers than a single server's".into());
        }
    }
    proxy.kill()?;
    proxy.wait()?;
    if returned == 0 {
        return Err("nobody lost a connection: the server that was killed had no client".into());
    }
    println!(
        "{CLIENTS} clients x {} inputs: all answered, all the same; {returned} lost their server \
         and went on with another",
        inputs.len()
    );
    Ok(())
}

/// Whether the proxy can be started here.
pub(crate) fn has_haproxy() -> bool {
    let haproxy = Command::new("haproxy").arg("-v").stdout(Stdio::null()).status();
    haproxy.is_ok_and(|status| status.success())
}

/// A proxy with the repository's configuration; where it listens.
fn start_proxy(
    root: &Path,
    fleet: &Fleet,
    servers: &[FleetServer],
) -> Result<(String, std::process::Child), Failure> {
    let bind = format!("127.0.0.1:{}", fleet::free_port()?);
    let mut command = Command::new("haproxy");
    command.arg("-f").arg(root.join("deploy/haproxy.cfg")).current_dir(fleet.folder());
    command.env("GAZELLE_BIND", &bind);
    for (index, server) in servers.iter().enumerate() {
        let metrics = FleetServer::port(&server.metrics)?;
        command.env(format!("GAZELLE_{}", index + 1), &server.address);
        command.env(format!("GAZELLE_{}_METRICS", index + 1), metrics.to_string());
    }
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let until = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(&bind).is_err() {
        if Instant::now() > until {
            return Err("HAProxy does not listen: haproxy -c -f deploy/haproxy.cfg".into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok((bind, child))
}
