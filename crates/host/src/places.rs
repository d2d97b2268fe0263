//! The sessions that run at once: a bounded number of places and a bounded memory; a line for those who
//! wait; and a session that asks for nothing gives way when others do.

use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gazelle::wire::pace::Pace;
use gazelle::{Activity, SessionStage};

use crate::client::ServedClient;

/// How long a session may let the server wait, while others wait for its place, before it asks
/// for something; an honest client decodes its next picture in that time.
const IDLE: Duration = Duration::from_secs(5);
/// The same in the setup, where a slow machine computes for a while.
const SETUP: Duration = Duration::from_secs(10);
/// The same within an inference, of which layers may take long.
const BUSY: Duration = Duration::from_secs(30);
/// How often waiting connections look for a session that has become idle.
const LOOK: Duration = Duration::from_millis(100);
/// How often a waiting client is told its place, at least.
const TELL: Duration = Duration::from_secs(1);
/// Clients in line at most, and of one client.
const LINE: usize = 64;
const LINE_EACH: usize = 8;

/// The places of a server.
#[derive(Debug)]
pub(crate) struct Places {
    all: usize,
    /// Bytes that all sessions together may be predicted to take.
    memory: u64,
    crowd: Mutex<Crowd>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Crowd {
    next: u64,
    sessions: Vec<Session>,
    /// Who waits at this moment, the first to come first.
    line: Vec<Waiter>,
    /// No more sessions begin.
    closed: bool,
}

/// A session as others see it.
#[derive(Debug)]
pub(crate) struct Visitor {
    /// Its socket, to close it.
    pub(crate) stream: Arc<TcpStream>,
    /// What its link waits for.
    pub(crate) pace: Option<Pace>,
    /// What it does.
    pub(crate) stage: SessionStage,
}

#[derive(Debug)]
struct Session {
    number: u64,
    client: ServedClient,
    bytes: u64,
    visitor: Visitor,
    /// It has been closed, and its thread is about to notice.
    closing: bool,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    client: ServedClient,
    bytes: u64,
}

/// A client's right to its turn: before those that came later.
#[derive(Debug)]
pub(crate) struct Ticket {
    places: Arc<Places>,
    number: u64,
    client: ServedClient,
    bytes: u64,
}

/// A place; free again on drop.
#[derive(Debug)]
pub(crate) struct SessionPlace {
    places: Arc<Places>,
    number: u64,
}

/// Is told the place in line, 1 for the next; whether the client still waits.
pub(crate) type Told<'a> = dyn FnMut(u32) -> bool + 'a;

impl Visitor {
    /// For how much longer than allowed it has let the server wait.
    fn overdue(&self) -> Option<Duration> {
        let allowed = match self.stage.activity() {
            Activity::Setup => SETUP,
            Activity::Idle | Activity::Prepared => IDLE,
            Activity::Busy | Activity::Online => BUSY,
        };
        self.pace.as_ref()?.silent()?.checked_sub(allowed)
    }
}

impl Places {
    /// `all` places for sessions that take `memory` bytes together.
    pub(crate) fn new(all: usize, memory: u64) -> Arc<Self> {
        Arc::new(Self { all, memory, crowd: Mutex::default(), changed: Condvar::new() })
    }

    fn crowd(&self) -> MutexGuard<'_, Crowd> {
        self.crowd.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A ticket for a session of `client` that is predicted to take `bytes`; its number tells sessions
    /// apart.
    pub(crate) fn ticket(self: &Arc<Self>, client: &ServedClient, bytes: u64) -> Ticket {
        let mut crowd = self.crowd();
        crowd.next += 1;
        let number = crowd.next;
        drop(crowd);
        Ticket { places: Arc::clone(self), number, client: client.clone(), bytes }
    }

    /// Sessions that run, clients in line, bytes that the sessions are predicted to take.
    pub(crate) fn count(&self) -> (usize, usize, u64) {
        let crowd = self.crowd();
        (crowd.sessions.len(), crowd.line.len(), crowd.bytes())
    }

    /// No more sessions begin, who waits is sent away, and sessions between two inferences end; how many
    /// are left.
    pub(crate) fn close(&self) -> usize {
        let mut crowd = self.crowd();
        crowd.closed = true;
        for session in &mut crowd.sessions {
            let between =
                matches!(session.visitor.stage.activity(), Activity::Idle | Activity::Setup);
            if between && !session.closing {
                session.close();
            }
        }
        self.changed.notify_all();
        crowd.sessions.len()
    }

    /// Places that one client may hold: all but one, unless many may be behind it.
    fn share(&self, client: &ServedClient) -> usize {
        if client.is_crowd() { self.all } else { self.all.saturating_sub(1).max(1) }
    }
}

impl Ticket {
    /// Which session this is.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Waits until there is a place for this client, and all who came earlier and could use it have
    /// theirs; whether that is so within `wait`. It is not kept for it.
    pub(crate) fn turn(&self, wait: Duration, told: &mut Told<'_>) -> bool {
        self.wait(wait, told).is_some()
    }

    /// Takes a place, within `wait`.
    pub(crate) fn take(self, visitor: Visitor, wait: Duration) -> Option<SessionPlace> {
        let mut crowd = self.wait(wait, &mut |_| true)?;
        let (number, client, bytes) = (self.number, self.client.clone(), self.bytes);
        crowd.sessions.push(Session { number, client, bytes, visitor, closing: false });
        Some(SessionPlace { places: Arc::clone(&self.places), number })
    }

    fn wait(&self, wait: Duration, told: &mut Told<'_>) -> Option<MutexGuard<'_, Crowd>> {
        let places = &*self.places;
        let until = Instant::now() + wait;
        let mut crowd = places.crowd();
        if !crowd.queue(self) {
            return None;
        }
        let mut last: Option<(u32, Instant)> = None;
        loop {
            if !crowd.closed && places.open(&crowd, self) {
                crowd.leave(self.number);
                // The next may find a place as well.
                places.changed.notify_all();
                return Some(crowd);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || crowd.closed {
                break;
            }
            // Who has its share already can only take over its own places.
            let full =
                crowd.sessions.len() >= places.all || crowd.bytes() + self.bytes > places.memory;
            crowd.close_overdue(if full { None } else { Some(&self.client) });
            let place = crowd.place(self.number);
            if last.is_none_or(|(was, when)| was != place || when.elapsed() >= TELL) {
                last = Some((place, Instant::now()));
                // A client that is slow to hear it holds nobody up.
                drop(crowd);
                let waits = told(place);
                crowd = places.crowd();
                if !waits {
                    break;
                }
                continue;
            }
            let look = left.min(LOOK);
            crowd =
                places.changed.wait_timeout(crowd, look).unwrap_or_else(PoisonError::into_inner).0;
        }
        crowd.leave(self.number);
        None
    }
}

impl Places {
    /// Whether there is room for a ticket, beside those earlier in line that could use it.
    fn open(&self, crowd: &Crowd, ticket: &Ticket) -> bool {
        let holds = |client: &ServedClient| {
            crowd.sessions.iter().filter(|session| session.client == *client).count()
        };
        if holds(&ticket.client) >= self.share(&ticket.client) {
            return false;
        }
        let earlier = crowd.line.iter().filter(|waiter| {
            waiter.number < ticket.number && holds(&waiter.client) < self.share(&waiter.client)
        });
        let (mut count, mut bytes) = (crowd.sessions.len(), crowd.bytes());
        for waiter in earlier {
            count += 1;
            bytes += waiter.bytes;
        }
        // One session is always allowed: the model was admitted when the server started.
        count < self.all && (bytes + ticket.bytes <= self.memory || count == 0)
    }
}

impl Crowd {
    fn bytes(&self) -> u64 {
        self.sessions.iter().map(|session| session.bytes).sum()
    }

    /// Puts a ticket into the line, where its number says; not if the line is full.
    fn queue(&mut self, ticket: &Ticket) -> bool {
        let own = self.line.iter().filter(|waiter| waiter.client == ticket.client).count();
        if self.line.len() >= LINE || (own >= LINE_EACH && !ticket.client.is_crowd()) {
            return false;
        }
        let at = self.line.partition_point(|waiter| waiter.number < ticket.number);
        let Ticket { number, client, bytes, .. } = ticket;
        self.line.insert(at, Waiter { number: *number, client: client.clone(), bytes: *bytes });
        true
    }

    fn leave(&mut self, number: u64) {
        self.line.retain(|waiter| waiter.number != number);
    }

    /// 1 for the next.
    fn place(&self, number: u64) -> u32 {
        1 + self.line.iter().filter(|waiter| waiter.number < number).count() as u32
    }

    /// Closes the session that is overdue longest (of one client), unless one is closing already.
    fn close_overdue(&mut self, client: Option<&ServedClient>) {
        if self.sessions.iter().any(|session| session.closing) {
            return;
        }
        let longest = self
            .sessions
            .iter_mut()
            .filter(|session| client.is_none_or(|client| session.client == *client))
            .filter_map(|session| Some((session.visitor.overdue()?, session)))
            .max_by_key(|(overdue, _)| *overdue);
        if let Some((_, session)) = longest {
            session.close();
        }
    }
}

impl Session {
    fn close(&mut self) {
        self.closing = true;
        // Its thread notices, and ends. A socket that is closed already is as good.
        let _ = self.visitor.stream.shutdown(Shutdown::Both);
    }
}

impl SessionPlace {
    /// Whether the server closed the session: others were waiting, or it is about to stop.
    pub(crate) fn gave_way(&self) -> bool {
        let crowd = self.places.crowd();
        crowd.sessions.iter().any(|session| session.number == self.number && session.closing)
    }
}

impl Drop for SessionPlace {
    fn drop(&mut self) {
        self.places.crowd().sessions.retain(|session| session.number != self.number);
        self.places.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
