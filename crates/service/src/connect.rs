//! A client's way to its server: name, proxy, TLS.

use gazelle_wire::Channel;
use gazelle_wire::tcp::{self, Timeouts};

use crate::error::ServiceError;
use crate::proxy::{Proxy, host_of, port_of};
use crate::tls::ClientTls;

/// Where a client wants to go.
#[derive(Debug, Clone)]
pub struct Dialling<'a> {
    /// `host:port`, `[v6]:port`; or a host alone, for port 7764.
    pub server: &'a str,
    /// The name that its certificate has to have, if it is not the host's.
    pub server_name: Option<&'a str>,
    /// Through this proxy.
    pub proxy: Option<&'a Proxy>,
    /// How long to wait.
    pub timeouts: Timeouts,
}

/// The port where nothing else is said.
const PORT: u16 = 7764;

/// Connects: with TLS if the client has an identity, without if it has none.
///
/// # Errors
/// [`ServiceError::Unreachable`], [`ServiceError::Proxy`] or [`ServiceError::Tls`], by where it
/// failed.
pub fn connect(dialling: &Dialling<'_>, tls: Option<&ClientTls>) -> Result<Channel, ServiceError> {
    let Dialling { server, server_name, proxy, timeouts } = dialling;
    let host = host_of(server);
    let address = match port_of(server) {
        Some(_) => (*server).to_owned(),
        None if host.contains(':') => format!("[{host}]:{PORT}"),
        None => format!("{host}:{PORT}"),
    };
    let stream = match proxy {
        Some(proxy) => proxy.connect(&address, timeouts)?,
        None => tcp::dial(address.as_str(), timeouts)
            .map_err(|source| ServiceError::Unreachable { address, source })?,
    };
    match tls {
        Some(tls) => tls.secure(stream, server_name.unwrap_or(host), timeouts),
        None => Ok(tcp::channel(stream, timeouts)?),
    }
}

impl Dialling<'_> {
    /// Whether all bytes stay on this machine.
    pub fn is_local(&self) -> bool {
        let host = host_of(self.server);
        let local =
            host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(tcp::is_loopback);
        local && self.proxy.is_none()
    }
}
