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
/// How long a place is kept for a client that was told to come in: a slow one reads the description in that time.
const KEPT: Duration = Duration::from_secs(10);
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
    /// Who was told to come in, and has not.
    invited: Vec<Invitation>,
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

/// A place that is kept for a ticket until it is taken, the ticket is gone or time has passed.
#[derive(Debug)]
struct Invitation {
    number: u64,
    client: ServedClient,
    bytes: u64,
    until: Instant,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    client: ServedClient,
    bytes: u64,
}

/// A client's right to its turn: before those that came later. Its place is kept no more when this is dropped.
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
        let bytes = crowd.sessions.iter().map(|session| session.bytes).sum();
        (crowd.sessions.len(), crowd.line.len(), bytes)
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
    /// theirs; whether that is so within `wait`. The place is kept for it for [`KEPT`], in which it should
    /// [`take`](Self::take) it.
    pub(crate) fn turn(&self, wait: Duration, told: &mut Told<'_>) -> bool {
        let Some(mut crowd) = self.wait(wait, told) else { return false };
        let Self { number, client, bytes, .. } = self;
        let until = Instant::now() + KEPT;
        let (number, client, bytes) = (*number, client.clone(), *bytes);
        crowd.invited.push(Invitation { number, client, bytes, until });
        true
    }

    /// Takes the place that is kept for it; or another, within `wait`.
    pub(crate) fn take(self, visitor: Visitor, wait: Duration) -> Option<SessionPlace> {
        let mut crowd = self.wait(wait, &mut |_| true)?;
        let (number, client, bytes) = (self.number, self.client.clone(), self.bytes);
        crowd.invited.retain(|invitation| invitation.number != number);
        crowd.sessions.push(Session { number, client, bytes, visitor, closing: false });
        Some(SessionPlace { places: Arc::clone(&self.places), number })
    }

    fn wait(&self, wait: Duration, told: &mut Told<'_>) -> Option<MutexGuard<'_, Crowd>> {
        let places = &*self.places;
        let until = Instant::now() + wait;
        let mut crowd = places.crowd();
        if !crowd.closed && crowd.keeps(self.number) {
            return Some(crowd);
        }
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
            let taken = crowd.taken();
            let full = taken.len() >= places.all || bytes(&taken) + self.bytes > places.memory;
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
        let taken = crowd.taken();
        let holds =
            |client: &ServedClient| taken.iter().filter(|(holder, _)| *holder == client).count();
        if holds(&ticket.client) >= self.share(&ticket.client) {
            return false;
        }
        let earlier = crowd.line.iter().filter(|waiter| {
            waiter.number < ticket.number && holds(&waiter.client) < self.share(&waiter.client)
        });
        let (mut count, mut bytes) = (taken.len(), bytes(&taken));
        for waiter in earlier {
            count += 1;
            bytes += waiter.bytes;
        }
        // One session is always allowed: the model was admitted when the server started.
        count < self.all && (bytes + ticket.bytes <= self.memory || count == 0)
    }
}

/// Of all holders of places.
fn bytes(taken: &[(&ServedClient, u64)]) -> u64 {
    taken.iter().map(|(_, bytes)| bytes).sum()
}

impl Crowd {
    /// Places that are kept at this moment.
    fn kept(&self) -> impl Iterator<Item = &Invitation> {
        let now = Instant::now();
        self.invited.iter().filter(move |kept| now < kept.until)
    }

    /// Whether a place is kept for this ticket. It stays its own, whoever has come into the line before it since.
    fn keeps(&self, number: u64) -> bool {
        self.kept().any(|kept| kept.number == number)
    }

    /// Who holds a place, a session's or a kept one, and for how many bytes.
    fn taken(&self) -> Vec<(&ServedClient, u64)> {
        let kept = self.kept().map(|kept| (&kept.client, kept.bytes));
        self.sessions.iter().map(|session| (&session.client, session.bytes)).chain(kept).collect()
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

impl Drop for Ticket {
    fn drop(&mut self) {
        self.places.crowd().invited.retain(|kept| kept.number != self.number);
        self.places.changed.notify_all();
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
