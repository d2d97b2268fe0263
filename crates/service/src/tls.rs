//! Mutual TLS 1.3 below a channel.
//!
//! | client | server |
//! |---|---|
//! | [`ClientTls::secure`]: key shares of X25519MLKEM768 and X25519, ALPN `gazelle/1` -> | [`ServerTls::accept`] |
//! | checks name, CA, time; its own certificate -> | <- certificate; checks CA, time, revocation |
//! | a [`Channel`] bound to what TLS exports | the same, and the client's [`ClientId`] |
//!
//! Nothing else is offered: no TLS 1.2, no tickets, no early data, no anonymous client.

mod explain;
mod stream;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use gazelle_wire::Channel;
use gazelle_wire::pace::Pace;
use gazelle_wire::tcp::{self, Directions, Timeouts};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
};

use crate::error::ServiceError;
use crate::identity::{ClientId, Identity, IdentityFiles};
use explain::{at_client, at_server};
use stream::Explain;

/// The one application protocol.
const ALPN: &[u8] = b"gazelle/1";
/// What browsers speak above TLS.
const HTTP: &[u8] = b"http/1.1";
/// For which purpose TLS exports what sessions are bound to.
const EXPORT: &[u8] = b"EXPORTER-gazelle-session";
/// How long, and how many bytes, a refused client may still talk, so that it reads why.
const LINGER: (Duration, usize) = (Duration::from_secs(1), 64 << 10);

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn roots(identity: &Identity) -> Result<RootCertStore, ServiceError> {
    let mut roots = RootCertStore::empty();
    roots.add(identity.anchor.clone()).map_err(|error| {
        ServiceError::identity(identity.path(), format!("the last certificate is no CA's: {error}"))
    })?;
    Ok(roots)
}

/// A client's side of TLS: whose server it believes, and who it is.
#[derive(Debug, Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
}

impl ClientTls {
    /// With the client's identity.
    ///
    /// # Errors
    /// [`ServiceError::Identity`] if key and certificates do not fit.
    pub fn new(identity: &Identity) -> Result<Self, ServiceError> {
        let unfit = |error: rustls::Error| {
            ServiceError::identity(identity.path(), format!("no usable identity: {error}"))
        };
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unfit)?
            .with_root_certificates(roots(identity)?)
            .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(unfit)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config) })
    }

    /// Shakes hands with the server at the other end of `stream`, which has to be called `name` (a DNS
    /// name or an address).
    ///
    /// Cost: one round trip.
    ///
    /// # Errors
    /// [`ServiceError::Tls`] with what to do if the two do not come to terms, else the link's.
    pub fn secure(
        &self,
        stream: TcpStream,
        name: &str,
        timeouts: &Timeouts,
    ) -> Result<Channel, ServiceError> {
        let server = ServerName::try_from(name.to_owned()).map_err(|_| {
            ServiceError::Tls(format!("{name:?} is no name that a server can have"))
        })?;
        let connection = ClientConnection::new(Arc::clone(&self.config), server)
            .map_err(|error| ServiceError::Tls(error.to_string()))?;
        let name = name.to_owned();
        let explain: Explain = Arc::new(move |error| at_client(error, &name));
        let directions = tcp::directions(stream, timeouts)?;
        secured(connection.into(), directions, &explain, ALPN).map(|link| link.channel(timeouts))
    }
}

/// Whom a server's TLS is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsPeers {
    /// The program's clients, each with a certificate.
    Programs,
    /// Browsers, each with a certificate that its user has installed.
    Browsers,
    /// Browsers of anybody.
    Anybody,
}

/// A server's side of TLS. Its files are read again when they change: certificates are renewed and
/// revoked without a restart.
#[derive(Debug)]
pub struct ServerTls {
    identity: IdentityFiles,
    revoked: PathBuf,
    peers: TlsPeers,
    loaded: Mutex<Option<CurrentTls>>,
}

#[derive(Debug)]
struct CurrentTls {
    stamps: Vec<Option<(SystemTime, u64)>>,
    config: Arc<ServerConfig>,
}

impl ServerTls {
    /// With the server's identity, and a revocation list if there is a file.
    pub fn new(identity: impl Into<IdentityFiles>, revoked: PathBuf) -> Self {
        let identity = identity.into();
        Self { identity, revoked, peers: TlsPeers::Programs, loaded: Mutex::new(None) }
    }

    /// With the same files, for others.
    #[must_use]
    pub fn with_peers(&self, peers: TlsPeers) -> Self {
        let (identity, revoked) = (self.identity.clone(), self.revoked.clone());
        Self { identity, revoked, peers, loaded: Mutex::new(None) }
    }

    /// Reads the files, unless that was done since they changed.
    ///
    /// # Errors
    /// [`ServiceError::File`] or [`ServiceError::Identity`]: nobody is let in then.
    pub fn check(&self) -> Result<(), ServiceError> {
        self.config().map(drop)
    }

    /// The identity as it is now.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn identity(&self) -> Result<Identity, ServiceError> {
        self.identity.read()
    }

    fn config(&self) -> Result<Arc<ServerConfig>, ServiceError> {
        let stamp = |path: &Path| {
            let data = std::fs::metadata(path).ok()?;
            Some((data.modified().ok()?, data.len()))
        };
        let mut stamps: Vec<_> = self.identity.paths().into_iter().map(stamp).collect();
        let complete = !stamps.contains(&None);
        stamps.push(stamp(&self.revoked));
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        match &*loaded {
            Some(now) if now.stamps == stamps && complete => Ok(Arc::clone(&now.config)),
            _ => {
                let config = Arc::new(self.read()?);
                *loaded = Some(CurrentTls { stamps, config: Arc::clone(&config) });
                Ok(config)
            }
        }
    }

    fn read(&self) -> Result<ServerConfig, ServiceError> {
        let identity = self.identity.read()?;
        let unfit = |error: &dyn std::fmt::Display| {
            ServiceError::identity(identity.path(), format!("no usable identity: {error}"))
        };
        let roots = Arc::new(roots(&identity)?);
        let mut verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
            .only_check_end_entity_revocation();
        if self.revoked.exists() {
            let text = std::fs::read(&self.revoked).map_err(ServiceError::file(&self.revoked))?;
            let lists = rustls::pki_types::CertificateRevocationListDer::pem_slice_iter(&text)
                .collect::<Result<Vec<_>, _>>()
                .ok()
                .filter(|lists| !lists.is_empty())
                .ok_or_else(|| {
                    ServiceError::identity(&self.revoked, "no revocation list in PEM form")
                })?;
            verifier = verifier.with_crls(lists);
        }
        let verifier = verifier
            .build()
            .map_err(|error| ServiceError::identity(&self.revoked, error.to_string()))?;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| unfit(&error))?;
        let builder = match self.peers {
            TlsPeers::Programs | TlsPeers::Browsers => builder.with_client_cert_verifier(verifier),
            TlsPeers::Anybody => builder.with_no_client_auth(),
        };
        let mut config = builder
            .with_single_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(|error| unfit(&error))?;
        config.alpn_protocols = vec![self.protocol().to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    fn protocol(&self) -> &'static [u8] {
        if self.peers == TlsPeers::Programs { ALPN } else { HTTP }
    }

    /// Shakes hands with the client at the other end of `stream`; one that is refused is told why.
    ///
    /// # Errors
    /// [`ServiceError::Tls`] with the reason for the log, [`ServiceError::Identity`] if our own files
    /// are broken, else the link's.
    pub fn accept(
        &self,
        stream: impl Into<Arc<TcpStream>>,
        timeouts: &Timeouts,
    ) -> Result<(Channel, ClientId), ServiceError> {
        let mut link = self.secure(&stream.into(), timeouts)?;
        let id = link.id.take();
        let id = id.ok_or_else(|| ServiceError::Tls("a certificate that cannot be read".into()))?;
        Ok((link.channel(timeouts), id))
    }

    /// As [`accept`](Self::accept); gives what is above TLS, for other protocols than a channel's.
    pub(crate) fn secure(
        &self,
        stream: &Arc<TcpStream>,
        timeouts: &Timeouts,
    ) -> Result<Secured, ServiceError> {
        let config = self.config()?;
        let connection =
            ServerConnection::new(config).map_err(|error| ServiceError::Tls(error.to_string()))?;
        let explain: Explain = Arc::new(at_server);
        let directions = tcp::directions(Arc::clone(stream), timeouts)?;
        let link = secured(connection.into(), directions, &explain, self.protocol());
        let link = link.inspect_err(|error| {
            if matches!(error, ServiceError::Tls(_)) {
                linger(stream);
            }
        })?;
        if self.peers != TlsPeers::Anybody && link.id.is_none() {
            // Its address must not stand for it.
            return Err(ServiceError::Tls("a certificate that cannot be read".into()));
        }
        Ok(link)
    }
}

/// What is above TLS.
pub(crate) struct Secured {
    pub(crate) reader: Box<dyn Read + Send>,
    pub(crate) writer: Box<dyn Write + Send>,
    pub(crate) pace: Pace,
    /// Whose certificate the peer showed.
    pub(crate) id: Option<ClientId>,
    /// What both ends of this link have in common.
    pub(crate) exported: [u8; 32],
}

impl Secured {
    fn channel(self, timeouts: &Timeouts) -> Channel {
        let Self { reader, writer, pace, exported, .. } = self;
        Channel::new(reader, writer).paced(pace, timeouts.progress).over_link(exported)
    }
}

/// The handshake; above it the application protocol `speaks`.
fn secured(
    mut connection: Connection,
    directions: Directions,
    explain: &Explain,
    speaks: &[u8],
) -> Result<Secured, ServiceError> {
    let Directions { mut reader, mut writer, pace } = directions;
    stream::shake_hands(&mut connection, &mut *reader, &mut *writer, explain)?;
    // HTTP need not be named.
    let unnamed = connection.alpn_protocol().is_none() && speaks == HTTP;
    if connection.alpn_protocol() != Some(speaks) && !unnamed {
        return Err(ServiceError::Tls(explain(&rustls::Error::NoApplicationProtocol)));
    }
    let id = connection.peer_certificates().and_then(<[_]>::first).and_then(ClientId::of);
    let exported = connection
        .export_keying_material([0u8; 32], EXPORT, None)
        .map_err(|error| ServiceError::Tls(error.to_string()))?;
    let (reader, writer) = stream::split(connection, reader, writer, explain);
    Ok(Secured { reader: Box::new(reader), writer: Box::new(writer), pace, id, exported })
}

/// Closes the writing direction and reads on for a moment: a socket that is closed with unread bytes
/// takes back what was said last, which is why the client was refused.
pub(crate) fn linger(mut stream: &TcpStream) {
    let (time, bytes) = LINGER;
    let until = Instant::now() + time;
    // Courtesy to a peer that is leaving; nothing depends on it.
    let _ = stream.shutdown(Shutdown::Write);
    let (mut buffer, mut read) = ([0u8; 4096], 0);
    while read < bytes {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            return;
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(more) => read += more,
        }
    }
}
