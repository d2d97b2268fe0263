//! Who a client is: its certificate where it has one, else the address it comes from.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use gazelle::wire::tcp::is_loopback;
use gazelle_service::ClientId;

/// A client as the server tells it from others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum ServedClient {
    /// By certificate.
    Certificate(ClientId),
    /// By address, on links without TLS.
    Address(IpAddr),
}

impl ServedClient {
    /// What counts and logs know it by: the certificate's SHA-256, or the address.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Certificate(id) => id.hex(),
            Self::Address(address) => address.to_string(),
        }
    }

    /// The certificate's name.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Certificate(id) => Some(id.name()),
            Self::Address(_) => None,
        }
    }

    /// Whether many may be behind it: behind a tunnel everybody comes from this machine.
    pub(crate) fn is_crowd(&self) -> bool {
        matches!(self, Self::Address(address) if is_loopback(*address))
    }

    /// Under what its inferences are counted: an owner of IPv6 addresses has a network of 64 bits of them.
    pub(crate) fn account(&self) -> Self {
        match self {
            Self::Address(address) => Self::Address(network(*address)),
            Self::Certificate(_) => self.clone(),
        }
    }
}

/// All addresses that one owner is supposed to have: one of IPv4, a network of 64 bits of IPv6.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// For logs: `alice (3f0c9a51)`, the beginning of the certificate's SHA-256; or the address.
impl fmt::Display for ServedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(id) => {
                let hex = id.hex();
                write!(f, "{} ({})", id.name(), hex.get(..8).unwrap_or(&hex))
            }
            Self::Address(address) => address.fmt(f),
        }
    }
}
