//! TCP links: no delay, keep-alive probes, time-outs on progress and on a peer that trickles.
//!
//! Plain TCP hides and authenticates nothing: it is for one machine, or below TLS, which takes a
//! stream's [`Directions`] and makes a channel of its own.

use std::io::{self, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use crate::channel::Channel;
use crate::pace::{Pace, Patient};

/// How long to wait on a TCP link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection to come about.
    pub connect: Duration,
    /// For the handshake, in which the peer is still a stranger: all waits together, except what
    /// its bytes are worth at the minimum rate.
    pub handshake: Duration,
    /// For each later phase (setup, one offline or online phase, the wait for a command), in the
    /// same way: longer than the peer's longest computation.
    pub progress: Duration,
    /// Bytes per second at which bytes prolong a phase: see [`crate::pace`].
    pub minimum_rate: u64,
    /// Idle time before the first keep-alive probe; a peer whose machine is gone is noticed
    /// within about twice this, however long `progress` is.
    pub keep_alive: Duration,
}

impl Default for Timeouts {
    /// 10 s to connect, 30 s for the handshake, 120 s for progress, 8 KiB per second, probes after
    /// 20 s.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(30),
            progress: Duration::from_mins(2),
            minimum_rate: 8 << 10,
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
    channel(dial(address, timeouts)?, timeouts)
}

/// As [`connect`]; gives the bare stream, for what is spoken below a channel (proxies, TLS).
///
/// # Errors
/// As [`connect`].
pub fn dial(address: impl ToSocketAddrs, timeouts: &Timeouts) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeouts.connect) {
            Ok(stream) => return Ok(stream),
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
pub fn channel(stream: impl Into<Arc<TcpStream>>, timeouts: &Timeouts) -> io::Result<Channel> {
    let Directions { reader, writer, pace } = directions(stream, timeouts)?;
    // The buffer serves headers and small messages; long reads pass it by.
    let reader = BufReader::with_capacity(64 << 10, reader);
    Ok(Channel::new(Box::new(reader), writer).paced(pace, timeouts.progress))
}

/// Both directions of a stream, each paid from its purse: waits are bounded however a layer above
/// groups the bytes.
pub struct Directions {
    /// What the peer sends.
    pub reader: Box<dyn Read + Send>,
    /// What the peer gets.
    pub writer: Box<dyn Write + Send>,
    /// Counts the waits and bytes of both.
    pub pace: Pace,
}

/// The directions of a connected stream, with the patience of a handshake. Both are one file descriptor, and so
/// is whatever else holds the stream.
///
/// # Errors
/// The system's, from setting the socket's options.
pub fn directions(
    stream: impl Into<Arc<TcpStream>>,
    timeouts: &Timeouts,
) -> io::Result<Directions> {
    let stream = stream.into();
    stream.set_nodelay(true)?;
    stream.set_nonblocking(false)?;
    let interval = (timeouts.keep_alive / 4).max(Duration::from_secs(1));
    let probes = TcpKeepalive::new().with_time(timeouts.keep_alive).with_interval(interval);
    SockRef::from(&*stream).set_tcp_keepalive(&probes)?;
    let pace = Pace::new(timeouts.handshake.min(timeouts.progress), timeouts.minimum_rate);
    let writer = Box::new(pace.writer(WriteSide(Arc::clone(&stream))));
    let reader = Box::new(pace.reader(ReadSide(stream)));
    Ok(Directions { reader, writer, pace })
}

/// A socket's reading direction.
struct ReadSide(Arc<TcpStream>);
/// A socket's writing direction.
struct WriteSide(Arc<TcpStream>);

impl Patient for ReadSide {
    fn wait_at_most(&self, timeout: Duration) -> io::Result<()> {
        self.0.set_read_timeout(Some(timeout))
    }
}

impl Patient for WriteSide {
    fn wait_at_most(&self, timeout: Duration) -> io::Result<()> {
        self.0.set_write_timeout(Some(timeout))
    }
}

impl Read for ReadSide {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(bytes)
    }
}

impl Write for WriteSide {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.0).flush()
    }
}

/// True if packets to `ip` never leave this machine, mapped IPv4 addresses included.
pub fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}
