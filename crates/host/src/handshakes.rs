//! Connections on their way to a session: bounded in all and per address, and the silent give way.
//!
//! A connection costs nothing to open. So it holds no session's place before its handshake is
//! through, and when too many wait in the handshake, the one is closed that has let us wait longest:
//! first among those that have not even said hello, which an honest client does at once.

use std::cmp::Reverse;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Connections in the handshake at most.
pub(crate) const ALL: usize = 128;
/// Of these, from one address.
const EACH: usize = 32;
/// So long a client may look at the description before it has to give way to newcomers.
const CONSIDER: Duration = Duration::from_secs(2);

/// All connections in the handshake.
#[derive(Debug, Default)]
pub(crate) struct Handshakes {
    pending: Mutex<PendingHandshakes>,
}

#[derive(Debug, Default)]
struct PendingHandshakes {
    next: u64,
    connections: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    id: u64,
    address: IpAddr,
    stream: Arc<TcpStream>,
    state: HandshakeState,
    since: Instant,
}

/// Whom a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HandshakeState {
    /// We wait for its hello.
    Silent,
    /// We wait for its confirmation of the description.
    Considering,
    /// It waits for a place.
    InLine,
}

impl Connection {
    /// How strongly it should give way; `None` if it should not.
    fn rudeness(&self, now: Instant) -> Option<(bool, Duration)> {
        let waited = now.saturating_duration_since(self.since);
        match self.state {
            HandshakeState::Silent => Some((true, waited)),
            HandshakeState::Considering if waited >= CONSIDER => Some((false, waited)),
            HandshakeState::Considering | HandshakeState::InLine => None,
        }
    }
}

/// A connection's leave to shake hands; given back on drop.
#[derive(Debug)]
pub(crate) struct Pass {
    handshakes: Arc<Handshakes>,
    id: u64,
}

impl Handshakes {
    fn pending(&self) -> MutexGuard<'_, PendingHandshakes> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a connection in; closes another if there are too many. `None` if there are too many and
    /// all of them wait for us.
    pub(crate) fn admit(
        self: &Arc<Self>,
        stream: &Arc<TcpStream>,
        address: IpAddr,
    ) -> Option<Pass> {
        let stream = Arc::clone(stream);
        let mut pending = self.pending();
        let own = pending.connections.iter().filter(|c| c.address == address).count();
        let crowded = if own >= EACH {
            Some(address)
        } else if pending.connections.len() >= ALL {
            pending.most_frequent()
        } else {
            None
        };
        if let Some(address) = crowded
            && !pending.make_way(address)
        {
            return None;
        }
        let id = pending.next;
        pending.next += 1;
        let (state, since) = (HandshakeState::Silent, Instant::now());
        pending.connections.push(Connection { id, address, stream, state, since });
        Some(Pass { handshakes: Arc::clone(self), id })
    }
}

impl PendingHandshakes {
    /// The address with the most connections.
    fn most_frequent(&self) -> Option<IpAddr> {
        let count = |address| self.connections.iter().filter(|c| c.address == address).count();
        self.connections.iter().map(|c| c.address).max_by_key(|address| count(*address))
    }

    /// Closes the rudest connection of an address; whether there was one.
    fn make_way(&mut self, address: IpAddr) -> bool {
        // One moment for all: who came first has waited longest, however long it takes to look.
        let now = Instant::now();
        let rudest = self
            .connections
            .iter()
            .enumerate()
            .filter(|(_, c)| c.address == address)
            .filter_map(|(index, c)| Some((c.rudeness(now)?, Reverse(c.id), index)))
            .max();
        let Some((.., index)) = rudest else { return false };
        // Its thread notices, and ends. A socket that is closed already is as good.
        let _ = self.connections.swap_remove(index).stream.shutdown(Shutdown::Both);
        true
    }
}

impl Pass {
    /// It has said hello, and waits for a place from now on.
    pub(crate) fn in_line(&self) {
        self.turn(HandshakeState::InLine);
    }

    /// It has the description, and we wait for it.
    pub(crate) fn considering(&self) {
        self.turn(HandshakeState::Considering);
    }

    fn turn(&self, state: HandshakeState) {
        let mut pending = self.handshakes.pending();
        if let Some(connection) = pending.connections.iter_mut().find(|c| c.id == self.id) {
            (connection.state, connection.since) = (state, Instant::now());
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.handshakes.pending().connections.retain(|connection| connection.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::net::TcpListener;

    use super::*;

    /// Connected sockets: (client's, server's).
    fn pair(listener: &TcpListener) -> (TcpStream, Arc<TcpStream>) {
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0.into())
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// Whether it ends, however busy the machine is.
    fn closes(mut client: &TcpStream) -> bool {
        client.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        matches!(client.read(&mut [0]), Ok(0))
    }

    fn is_open(mut client: &TcpStream) -> bool {
        client.set_nonblocking(true).unwrap();
        let open = client.read(&mut [0]).is_err_and(|e| e.kind() == ErrorKind::WouldBlock);
        client.set_nonblocking(false).unwrap();
        open
    }

    #[test]
    fn adversarial_the_oldest_silent_connection_of_the_address_gives_way() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let handshakes = Arc::new(Handshakes::default());
        let pairs: Vec<_> = (0..=EACH).map(|_| pair(&listener)).collect();
        let mut passes = Vec::new();
        for (_, server) in &pairs[..EACH] {
            passes.push(handshakes.admit(server, address(1)).unwrap());
        }
        // The first has said hello.
        passes[0].considering();
        passes.push(handshakes.admit(&pairs[EACH].1, address(1)).unwrap());
        assert!(closes(&pairs[1].0) && is_open(&pairs[0].0) && is_open(&pairs[2].0));
        assert_eq!(handshakes.pending().connections.len(), EACH);
        passes.clear();
        assert!(handshakes.pending().connections.is_empty());
    }

    #[test]
    fn adversarial_one_address_does_not_push_out_another() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let handshakes = Arc::new(Handshakes::default());
        let mut kept = Vec::new();
        let mut admit = |last: u8| {
            let (client, server) = pair(&listener);
            let pass = handshakes.admit(&server, address(last));
            kept.push((client, server, pass, last));
        };
        (0..3).for_each(|_| admit(9));
        for last in 1..=4 {
            (0..2 * EACH).for_each(|_| admit(last));
        }
        admit(10);
        let open = |address: u8| {
            kept.iter().filter(|(client, .., last)| *last == address && is_open(client)).count()
        };
        assert_eq!((open(9), open(10)), (3, 1));
        assert!(handshakes.pending().connections.len() <= ALL);
    }

    #[test]
    fn adversarial_those_in_line_are_not_pushed_out() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let handshakes = Arc::new(Handshakes::default());
        let pairs: Vec<_> = (0..=EACH).map(|_| pair(&listener)).collect();
        let passes: Vec<_> = pairs[..EACH]
            .iter()
            .map(|(_, server)| handshakes.admit(server, address(1)).unwrap())
            .collect();
        passes.iter().for_each(Pass::in_line);
        assert!(handshakes.admit(&pairs[EACH].1, address(1)).is_none());
        assert!(handshakes.admit(&pairs[EACH].1, address(2)).is_some());
    }
}
