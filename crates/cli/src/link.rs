//! What protects the link, as the command line and the user's folder say.

use gazelle::wire::Channel;
use gazelle::wire::ChannelError;
use gazelle::wire::tcp::Timeouts;
use gazelle::{GazelleError, wire::tcp::Exposure};
use gazelle_service::{ClientTls, Dialling, Home, Identity, Proxy, ServerTls, ServiceError};

use crate::arguments::{ClientLink, ServerLink};
use crate::failure::Failure;
use crate::screen::{tell, visible};

/// The server's TLS, if it has an identity; and which addresses it may listen on.
pub(crate) fn server(
    link: &ServerLink,
    quiet: bool,
) -> Result<(Option<ServerTls>, Exposure), Failure> {
    if link.insecure {
        return Ok((None, Exposure::Network));
    }
    let home = Home::of_user()?;
    let identity = match &link.identity {
        Some(identity) => identity.clone(),
        None if home.server().exists() => home.server(),
        None => return Ok((None, Exposure::Loopback)),
    };
    let revoked = link.revoked.clone().unwrap_or_else(|| home.revoked());
    let tls = ServerTls::new(identity, revoked);
    tls.check()?;
    if !quiet {
        tell!("mutual TLS 1.3 as {}", visible(&tls.identity()?.summary()));
    }
    Ok((Some(tls), Exposure::Network))
}

/// No connection came about; whether another attempt may succeed.
#[derive(Debug)]
pub(crate) struct Unconnected {
    pub(crate) failure: Failure,
    pub(crate) lost: bool,
    /// There was a connection.
    pub(crate) reached: bool,
}

impl From<Failure> for Unconnected {
    fn from(failure: Failure) -> Self {
        Self { failure, lost: false, reached: false }
    }
}

impl From<ServiceError> for Unconnected {
    fn from(error: ServiceError) -> Self {
        Self::from(Failure::from(error))
    }
}

/// Whether the link to the server is TLS, with certificates on both sides.
pub(crate) fn is_secured(link: &ClientLink) -> Result<bool, Failure> {
    Ok(!link.insecure && client(link)?.is_some())
}

/// Connects as the command line says.
pub(crate) fn connect(link: &ClientLink, timeouts: Timeouts) -> Result<Channel, Unconnected> {
    let proxy = match &link.proxy {
        Some(proxy) => Some(Proxy::parse(proxy)?),
        None => Proxy::of_environment(&link.server)?,
    };
    let dialling = Dialling {
        server: &link.server,
        server_name: link.server_name.as_deref(),
        proxy: proxy.as_ref(),
        timeouts,
    };
    let tls = if link.insecure { None } else { client(link)? };
    if tls.is_none() && !link.insecure && !dialling.is_local() {
        return Err(Unconnected::from(Failure::Usage(format!(
            "the link to {} would be open to everybody on the way. Ask the server's owner for a \
             client's file (`gazelle keys new-client NAME`) and run `gazelle keys install FILE`; or \
             give --insecure if something else protects the link",
            visible(&link.server)
        ))));
    }
    gazelle_service::connect(&dialling, tls.as_ref()).map_err(|error| {
        let (lost, reached, hint) = match &error {
            ServiceError::Unreachable { source, .. } => {
                let refused = source.kind() == std::io::ErrorKind::ConnectionRefused;
                (true, false, if refused { "; is `gazelle serve` running there?" } else { "" })
            }
            ServiceError::Link(_) => (true, true, ""),
            ServiceError::Proxy { .. } => (true, false, ""),
            _ => (false, false, ""),
        };
        Unconnected { failure: Failure::Run(format!("{error}{hint}")), lost, reached }
    })
}

fn client(link: &ClientLink) -> Result<Option<ClientTls>, Failure> {
    let home = Home::of_user()?;
    let identity = match &link.identity {
        Some(identity) => identity.clone(),
        None if home.client().exists() => home.client(),
        None => return Ok(None),
    };
    Ok(Some(ClientTls::new(&Identity::read(&identity)?)?))
}

/// What a client without TLS may have run into when its first answer is `error`: a server with keys
/// answers a stranger's bytes by a record of TLS, or not at all; a crowded one closes the door as well, and is worth
/// another attempt.
pub(crate) fn hint(link: &ClientLink, error: &GazelleError) -> &'static str {
    let plain = link.insecure || client(link).is_ok_and(|tls| tls.is_none());
    match error {
        GazelleError::Channel(ChannelError::Frame { .. } | ChannelError::Closed) if plain => {
            "; a server with keys wants TLS: its owner gives you a file (`gazelle keys new-client \
             NAME`) for `gazelle keys install FILE`"
        }
        _ => "",
    }
}
