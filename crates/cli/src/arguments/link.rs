//! How the two parties reach and recognise each other.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Clone, Args)]
pub(crate) struct ServerLink {
    /// A PEM file with this server's private key, its certificate chain and last the CA of its clients
    /// (default: server.pem of `gazelle keys new-server`, if that is there; then the link is mutual
    /// TLS 1.3)
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(crate) identity: Option<PathBuf>,
    /// Revoked clients: a PEM file, read again when it changes (default: revoked.pem of `gazelle keys
    /// revoke`)
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(crate) revoked: Option<PathBuf>,
    /// No TLS, on any address: something else protects the link, and tells who may connect
    #[arg(long)]
    pub(crate) insecure: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ClientLink {
    /// The server's address, such as models.example:7764
    #[arg(long, value_name = "HOST[:PORT]", default_value = "127.0.0.1:7764")]
    pub(crate) server: String,
    /// A PEM file with this client's private key, its certificate chain and last the server's CA
    /// (default: client.pem of `gazelle keys install`, if that is there; then the link is mutual
    /// TLS 1.3)
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(crate) identity: Option<PathBuf>,
    /// The name that the server's certificate must have, if it is reached by another (a tunnel)
    #[arg(long, value_name = "NAME", conflicts_with = "insecure")]
    pub(crate) server_name: Option<String>,
    /// An HTTP proxy, http://[user:password@]host:port (default: what `HTTPS_PROXY` says, and
    /// `NO_PROXY` does not except)
    #[arg(long, value_name = "URL")]
    pub(crate) proxy: Option<String>,
    /// No TLS, to any address: something else protects the link
    #[arg(long)]
    pub(crate) insecure: bool,
}
