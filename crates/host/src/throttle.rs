//! Addresses whose connections fail again and again have to wait, before anything is computed for them.
//!
//! | a connection | its address's bucket of tokens |
//! |---|---|
//! | is let in | one less |
//! | greets, behind TLS with a good certificate | it is given back |
//! | ends before that | it comes back with time |
//!
//! Who finds no token is held: nothing is read from it and it has no thread. Of one address those that are held get
//! in one after the other, as tokens come back. (Rate limiters of crates.io keep all addresses there ever were, and
//! take no token back.)

mod buckets;
mod floods;

use std::collections::VecDeque;
use std::net::{IpAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use buckets::Buckets;
use floods::Floods;
use socket2::SockRef;

/// Connections that are held at most.
pub(crate) const ALL: usize = 256;
/// Of these, from one address.
const EACH: usize = 128;
/// So long a connection is held at most: with the rate that is the default, all of one address get in by then.
const HOLD: Duration = Duration::from_secs(4);
/// How often to look who gets in, and who has left.
pub(crate) const SWEEP: Duration = Duration::from_millis(10);

/// Who may come in now, and who is held; with each connection, what its owner wants to know of it.
#[derive(Debug)]
pub(crate) struct Throttle<T> {
    /// None: everybody gets in.
    throttled: Option<Mutex<Throttled<T>>>,
}

#[derive(Debug)]
struct Throttled<T> {
    buckets: Buckets,
    /// In the order in which they came.
    held: VecDeque<Held<T>>,
    /// Whether somebody sweeps.
    is_swept: bool,
    floods: Floods,
}

#[derive(Debug)]
struct Held<T> {
    address: IpAddr,
    stream: Arc<TcpStream>,
    about: T,
    since: Instant,
}

/// What becomes of a connection.
#[derive(Debug)]
pub(crate) enum Arriving<T> {
    /// It gets in.
    LetIn(Arc<TcpStream>, T),
    /// It is held, and somebody sweeps.
    Held,
    /// It is held, and from now on the caller has to [sweep](Throttle::sweep).
    HeldFirst,
    /// Too many are held: it is closed.
    Closed,
}

/// Connections that were held.
#[derive(Debug)]
pub(crate) struct Swept<T> {
    /// These get in now.
    pub(crate) let_in: Vec<(Arc<TcpStream>, T)>,
    /// So many were closed: they have left, or were held long enough.
    pub(crate) closed: usize,
    /// Once a second, the addresses that flood.
    pub(crate) flooding: Option<Vec<IpAddr>>,
}

impl<T> Throttle<T> {
    /// With so many failures a second of one address; 0: without a bound.
    pub(crate) fn new(failures_per_second: u32) -> Self {
        let throttled = |buckets| Throttled {
            buckets,
            held: VecDeque::new(),
            is_swept: false,
            floods: Floods::default(),
        };
        Self { throttled: Buckets::new(failures_per_second).map(throttled).map(Mutex::new) }
    }

    fn throttled(&self) -> Option<MutexGuard<'_, Throttled<T>>> {
        let throttled = self.throttled.as_ref()?;
        Some(throttled.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A connection from `address`, or from the network that counts as one.
    pub(crate) fn arrive(
        &self,
        address: IpAddr,
        stream: Arc<TcpStream>,
        about: T,
        now: Instant,
    ) -> Arriving<T> {
        let Some(mut throttled) = self.throttled() else { return Arriving::LetIn(stream, about) };
        let ahead = throttled.held.iter().filter(|held| held.address == address).count();
        if ahead == 0 && throttled.buckets.take(address, now) {
            return Arriving::LetIn(stream, about);
        }
        throttled.floods.came(address);
        if ahead >= EACH || throttled.held.len() >= ALL {
            reset(&stream);
            return Arriving::Closed;
        }
        throttled.held.push_back(Held { address, stream, about, since: now });
        if std::mem::replace(&mut throttled.is_swept, true) {
            Arriving::Held
        } else {
            Arriving::HeldFirst
        }
    }

    /// The client of a connection that was let in is known: it has cost its address nothing.
    pub(crate) fn give_back(&self, address: IpAddr, now: Instant) {
        if let Some(mut throttled) = self.throttled() {
            throttled.buckets.give_back(address, now);
        }
    }

    /// Who of those held gets in by now, and who does not; `None` once nobody is held: whoever is held next is the
    /// [first](Arriving::HeldFirst).
    pub(crate) fn sweep(&self, now: Instant) -> Option<Swept<T>> {
        let mut throttled = self.throttled()?;
        let Throttled { buckets, held, is_swept, floods } = &mut *throttled;
        if held.is_empty() {
            *is_swept = false;
            *floods = Floods::default();
            return None;
        }
        let gone = gone(held);
        let flooding = floods.flooding(now);
        let mut swept = Swept { let_in: Vec::new(), closed: 0, flooding };
        for (one, gone) in std::mem::take(held).into_iter().zip(gone) {
            if gone || now.saturating_duration_since(one.since) >= HOLD {
                reset(&one.stream);
                swept.closed += 1;
            } else if buckets.take(one.address, now) {
                swept.let_in.push((one.stream, one.about));
            } else {
                held.push_back(one);
            }
        }
        Some(swept)
    }

    /// Closes all that are held: there is nobody to sweep.
    pub(crate) fn close(&self) {
        if let Some(mut throttled) = self.throttled() {
            throttled.held.clear();
            throttled.is_swept = false;
        }
    }
}

/// Lets the connection end by one segment instead of four, once it is closed: a flood is turned away for less.
fn reset(stream: &TcpStream) {
    // Where the system does not, it ends as all others do.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Of each whether its peer has left.
#[cfg(target_os = "linux")]
fn gone<T>(held: &VecDeque<Held<T>>) -> Vec<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut polled: Vec<_> =
        held.iter().map(|one| PollFd::new(&one.stream, PollFlags::RDHUP)).collect();
    match poll(&mut polled, Some(&Timespec::default())) {
        Ok(_) => polled.iter().map(|one| !one.revents().is_empty()).collect(),
        // They are let in or closed in their time.
        Err(_) => vec![false; held.len()],
    }
}

/// Those that have left are let in or closed in their time.
#[cfg(not(target_os = "linux"))]
fn gone<T>(held: &VecDeque<Held<T>>) -> Vec<bool> {
    vec![false; held.len()]
}

#[cfg(test)]
mod tests;
