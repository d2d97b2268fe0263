//! TCP links: no delay, keep-alive probes, a time-out on progress.
//!
//! Plain TCP hides and authenticates nothing: it is for one machine, or below TLS.

use std::io::{self, BufReader};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use crate::channel::Channel;

/// How long to wait on a TCP link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection to come about.
    pub connect: Duration,
    /// For any byte to move, in a read or a write: longer than the peer's longest computation.
    pub progress: Duration,
    /// Idle time before the first keep-alive probe; a peer whose machine is gone is noticed
    /// within about twice this, however long `progress` is.
    pub keep_alive: Duration,
}

impl Default for Timeouts {
    /// 10 s to connect, 120 s for progress, probes after 20 s.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            progress: Duration::from_mins(2),
            keep_alive: Duration::from_secs(20),
        }
    }
}

/// Where a listener may be reached from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// This machine alone.
    Loopback,
    /// Any network: the caller answers for what protects the link.
    Network,
}

/// Connects to the first address that answers.
///
/// # Errors
/// The last address' `io::Error`, or `InvalidInput` if there is none.
pub fn connect(address: impl ToSocketAddrs, timeouts: &Timeouts) -> io::Result<Channel> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeouts.connect) {
            Ok(stream) => return channel(stream, timeouts),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Listens; accepted streams become channels by [`channel`].
///
/// # Errors
/// `PermissionDenied` if an address can be reached from elsewhere against `exposure`, else the
/// system's.
pub fn listen(address: impl ToSocketAddrs, exposure: Exposure) -> io::Result<TcpListener> {
    let addresses: Vec<SocketAddr> = address.to_socket_addrs()?.collect();
    if exposure == Exposure::Loopback && !addresses.iter().all(|a| is_loopback(a.ip())) {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the address can be reached from other machines, and plain TCP protects nothing",
        ));
    }
    TcpListener::bind(addresses.as_slice())
}

/// A channel over a connected stream.
///
/// # Errors
/// The system's, from setting the socket's options.
pub fn channel(stream: TcpStream, timeouts: &Timeouts) -> io::Result<Channel> {
    stream.set_nodelay(true)?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(timeouts.progress))?;
    stream.set_write_timeout(Some(timeouts.progress))?;
    let interval = (timeouts.keep_alive / 4).max(Duration::from_secs(1));
    let probes = TcpKeepalive::new().with_time(timeouts.keep_alive).with_interval(interval);
    SockRef::from(&stream).set_tcp_keepalive(&probes)?;
    let writer = stream.try_clone()?;
    // The buffer serves headers and small messages; long reads pass it by.
    Ok(Channel::new(Box::new(BufReader::with_capacity(64 << 10, stream)), Box::new(writer)))
}

/// True if packets to `ip` never leave this machine, mapped IPv4 addresses included.
pub fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}
