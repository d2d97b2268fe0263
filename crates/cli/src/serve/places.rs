//! The sessions that run at once: a bounded number of places, and a session that asks for nothing
//! gives way when others wait.

use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gazelle::wire::pace::Pace;
use gazelle::{Activity, SessionStage};

use crate::serve::client::ServedClient;

/// How long a session may let the server wait, while others wait for its place, before it asks
/// for something; an honest client decodes its next picture in that time.
const IDLE: Duration = Duration::from_secs(5);
/// The same in the setup, where a slow machine computes for a while.
const SETUP: Duration = Duration::from_secs(10);
/// The same within an inference, of which layers may take long.
const BUSY: Duration = Duration::from_secs(30);
/// How often waiting connections look for a session that has become idle.
const LOOK: Duration = Duration::from_millis(100);

/// The places of a server.
#[derive(Debug)]
pub(crate) struct Places {
    all: usize,
    taken: Mutex<Taken>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    sessions: Vec<Session>,
}

/// A session as others see it.
#[derive(Debug)]
pub(crate) struct Visitor {
    /// Whose session it is.
    pub(crate) client: ServedClient,
    /// Its socket, to close it.
    pub(crate) stream: TcpStream,
    /// What its link waits for.
    pub(crate) pace: Option<Pace>,
    /// What it does.
    pub(crate) stage: SessionStage,
}

#[derive(Debug)]
struct Session {
    id: u64,
    visitor: Visitor,
    /// It has been closed, and its thread is about to notice.
    closing: bool,
}

/// A place; free again on drop.
#[derive(Debug)]
pub(crate) struct SessionPlace {
    places: Arc<Places>,
    id: u64,
}

impl Visitor {
    /// For how much longer than allowed it has let the server wait.
    fn overdue(&self) -> Option<Duration> {
        let allowed = match self.stage.activity() {
            Activity::Setup => SETUP,
            Activity::Idle => IDLE,
            Activity::Busy => BUSY,
        };
        self.pace.as_ref()?.silent()?.checked_sub(allowed)
    }
}

impl Places {
    /// `all` places.
    pub(crate) fn new(all: usize) -> Arc<Self> {
        Arc::new(Self { all, taken: Mutex::default(), freed: Condvar::new() })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is a place for a client, within `wait`. It is not kept for it.
    pub(crate) fn room(&self, client: &ServedClient, wait: Duration) -> bool {
        self.wait(client, wait).is_some()
    }

    /// Takes a place, within `wait`.
    pub(crate) fn take(self: &Arc<Self>, visitor: Visitor, wait: Duration) -> Option<SessionPlace> {
        let mut taken = self.wait(&visitor.client, wait)?;
        let id = taken.next;
        taken.next += 1;
        taken.sessions.push(Session { id, visitor, closing: false });
        Some(SessionPlace { places: Arc::clone(self), id })
    }

    /// Waits until a client would get a place; sessions that are overdue give way.
    fn wait(&self, client: &ServedClient, wait: Duration) -> Option<MutexGuard<'_, Taken>> {
        let until = Instant::now() + wait;
        let mut taken = self.taken();
        loop {
            let own = taken.sessions.iter().filter(|s| s.visitor.client == *client).count();
            let full = taken.sessions.len() >= self.all;
            if !full && own < self.share(client) {
                return Some(taken);
            }
            // Who has its share already can only take over its own places.
            taken.close_overdue(if full { None } else { Some(client) });
            let left =
                until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            taken = self
                .freed
                .wait_timeout(taken, left.min(LOOK))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Places that one client may hold: all but one, unless many may be behind it.
    fn share(&self, client: &ServedClient) -> usize {
        if client.is_crowd() { self.all } else { self.all.saturating_sub(1).max(1) }
    }
}

impl Taken {
    /// Closes the session that is overdue longest (of one client), unless one is closing already.
    fn close_overdue(&mut self, client: Option<&ServedClient>) {
        if self.sessions.iter().any(|session| session.closing) {
            return;
        }
        let longest = self
            .sessions
            .iter_mut()
            .filter(|session| client.is_none_or(|client| session.visitor.client == *client))
            .filter_map(|session| Some((session.visitor.overdue()?, session)))
            .max_by_key(|(overdue, _)| *overdue);
        if let Some((_, session)) = longest {
            session.closing = true;
            // Its thread notices, and ends. A socket that is closed already is as good.
            let _ = session.visitor.stream.shutdown(Shutdown::Both);
        }
    }
}

impl SessionPlace {
    /// Whether the session was closed because others were waiting.
    pub(crate) fn gave_way(&self) -> bool {
        self.places.taken().sessions.iter().any(|session| session.id == self.id && session.closing)
    }
}

impl Drop for SessionPlace {
    fn drop(&mut self) {
        self.places.taken().sessions.retain(|session| session.id != self.id);
        self.places.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use gazelle::wire::tcp::{self, Timeouts};

    use super::*;

    const SHORT: Duration = Duration::from_millis(30);

    fn client(address: [u8; 4]) -> ServedClient {
        ServedClient::Address(address.into())
    }

    /// A visitor whose link waits for nothing.
    fn visitor(address: [u8; 4]) -> Visitor {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Visitor { client: client(address), stream, pace: None, stage: SessionStage::default() }
    }

    #[test]
    fn places_are_bounded_and_come_free_again() {
        let places = Places::new(2);
        let first = places.take(visitor([127, 0, 0, 1]), SHORT).unwrap();
        let second = places.take(visitor([127, 0, 0, 1]), SHORT);
        assert!(second.is_some());
        assert!(places.take(visitor([127, 0, 0, 1]), SHORT).is_none());
        assert!(!places.room(&client([192, 0, 2, 1]), SHORT));
        let again = Arc::clone(&places);
        let waiter = std::thread::spawn(move || {
            again.take(visitor([127, 0, 0, 1]), Duration::from_secs(20)).is_some()
        });
        std::thread::sleep(SHORT);
        assert!(!first.gave_way());
        drop(first);
        assert!(waiter.join().unwrap());
    }

    #[test]
    fn adversarial_one_client_cannot_take_every_place() {
        let places = Places::new(3);
        let _held = [1, 2].map(|_| places.take(visitor([192, 0, 2, 1]), SHORT).unwrap());
        assert!(places.take(visitor([192, 0, 2, 1]), SHORT).is_none());
        let other = places.take(visitor([192, 0, 2, 2]), SHORT);
        assert!(other.is_some());
        // With one place only there is nothing to share.
        assert!(Places::new(1).take(visitor([192, 0, 2, 1]), SHORT).is_some());
    }

    #[test]
    fn adversarial_a_session_that_asks_for_nothing_gives_way() {
        let places = Places::new(1);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let copy = stream.try_clone().unwrap();
        let channel = tcp::channel(stream, &Timeouts::default()).unwrap();
        let silent = Visitor {
            client: client([127, 0, 0, 1]),
            stream: copy,
            pace: channel.pace(),
            stage: SessionStage::default(),
        };
        let place = places.take(silent, SHORT).unwrap();
        // The session's thread: waits for the peer, in the setup.
        let session = std::thread::spawn(move || {
            let mut channel = channel;
            let result = channel.recv_half().and_then(|half| half.recv::<gazelle::wire::Bytes>(&1));
            (result.is_err(), place.gave_way())
        });
        let begin = Instant::now();
        assert!(!places.room(&client([127, 0, 0, 1]), SHORT), "it has its time");
        assert!(places.take(visitor([127, 0, 0, 1]), 3 * SETUP).is_some());
        let waited = begin.elapsed();
        assert!((SETUP / 2..2 * SETUP).contains(&waited), "{waited:?}");
        assert_eq!(session.join().unwrap(), (true, true));
        drop(peer);
    }
}
