//! Two channels over one link for a while: each goes on while the other's reader or writer waits for something else.
//!
//! | sender | link | receiver |
//! |---|---|---|
//! | a lane's frame, its kind marked with the lane | whole frames of either lane, in turn where both have some | whoever needs bytes reads; what is the other lane's is kept for it |
//!
//! No byte is added: the mark is the highest bit of a frame's kind, the second lane's. Each lane numbers its frames
//! from 0. A frame of the first lane that nobody takes keeps the link's reader waiting, as it would without lanes, once
//! so many bytes are kept for it as the caller says; of the second lane a peer may have so many under way, and the lanes
//! end if it sends more. Who takes the first lane only when something has come on the second has all of it kept:
//! else each would wait for the other.
//!
//! When either lane gives up, both do ([`LanesHandle::give_up`]), and the peer is told, between two frames.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::channel::Channel;
use crate::error::{ChannelError, Overrun};
use crate::frame::{ERROR_KIND, Header};
use crate::traffic::HEADER_BYTES;

/// The bit of a frame's kind that says that it is the second lane's.
pub(crate) const SECOND: u16 = 0x8000;
/// How long who gives up waits for the end of the other lane's frame, whose writer may be gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that are read at a time for the other lane.
const PIECE: usize = 64 << 10;

/// The link of two lanes; see [`Channel::lanes`]. Ends both if it is dropped before they are joined: the channel stays
/// dead then.
pub struct TwoLanes<'a> {
    channel: &'a mut Channel,
    shared: Arc<SharedLink>,
    joined: bool,
}

/// What is kept of a lane while its reader is busy, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct LaneLimits {
    /// Of the first lane: then the second one's reader waits for the first one's.
    pub first: usize,
    /// Of the second lane: then the peer has said more than it may.
    pub second: usize,
}

impl LaneLimits {
    /// As much of the first lane as is needed for the link to be read in long pieces.
    pub const FIRST: usize = 1 << 20;
}

/// Ends both lanes of a link.
#[derive(Clone)]
pub struct LanesHandle(Arc<SharedLink>);

struct SharedLink {
    reading: Mutex<Reading>,
    /// Something came, was taken or failed.
    moved: Condvar,
    writing: Mutex<Writing>,
    /// A lane's frame is complete, or all is over.
    free: Condvar,
}

struct Reading {
    /// Gone while a thread reads from it.
    link: Option<Box<dyn Read + Send>>,
    /// The frame that is being read: its lane, and the bytes that are to come.
    frame: (usize, usize),
    kept: [VecDeque<u8>; 2],
    limits: LaneLimits,
    /// All that is due on the first lane has been taken.
    first_through: bool,
    failed: Option<LaneFailure>,
}

/// Why nothing more is read.
#[derive(Clone, Copy)]
enum LaneFailure {
    Link(io::ErrorKind),
    /// The peer sent more than it may.
    Overrun,
}

impl LaneFailure {
    fn error(self) -> io::Error {
        match self {
            Self::Link(kind) => kind.into(),
            Self::Overrun => io::Error::other(Overrun),
        }
    }
}

struct Writing {
    /// Gone while a thread writes to it.
    link: Option<Box<dyn Write + Send>>,
    /// The lane whose frames are being written, or whose frame is not complete.
    holder: Option<usize>,
    /// Who waits to begin a frame, and which lane has begun one last.
    waits: [bool; 2],
    last: usize,
    /// No frame begins any more.
    ending: bool,
    /// None goes on.
    over: bool,
}

impl Writing {
    /// Whether a lane may write now: its own frame goes on, or none does and it is its turn.
    fn is_free_for(&self, lane: usize) -> bool {
        match self.holder {
            Some(holder) => holder == lane,
            None => !(self.last == lane && self.waits.get(1 - lane) == Some(&true)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Channel {
    /// Two channels over this one's link, which is theirs until they are joined. Both are bound as this one is. No [`exchange`](Self::exchange) on them: it stops for
    /// the peer within a frame, behind which the other lane would wait.
    ///
    /// # Errors
    /// The link's: what is queued leaves first.
    pub fn lanes(
        &mut self,
        limits: LaneLimits,
    ) -> Result<(TwoLanes<'_>, [Channel; 2]), ChannelError> {
        self.flush()?;
        let (reader, writer) = self.take_link();
        let shared = Arc::new(SharedLink {
            reading: Mutex::new(Reading {
                link: Some(reader),
                frame: (0, 0),
                kept: Default::default(),
                limits,
                first_through: false,
                failed: None,
            }),
            moved: Condvar::new(),
            writing: Mutex::new(Writing {
                link: Some(writer),
                holder: None,
                waits: [false; 2],
                last: 0,
                ending: false,
                over: false,
            }),
            free: Condvar::new(),
        });
        let lanes = [0, 1].map(|lane| {
            let reader = LaneReader { shared: Arc::clone(&shared), lane };
            let writer = LaneWriter {
                shared: Arc::clone(&shared),
                lane,
                header: [0; HEADER_BYTES],
                begun: 0,
                left: 0,
            };
            self.lane(Box::new(reader), Box::new(writer), if lane == 0 { 0 } else { SECOND })
        });
        Ok((TwoLanes { channel: self, shared, joined: false }, lanes))
    }
}

impl TwoLanes<'_> {
    /// What ends both lanes from any thread.
    pub fn handle(&self) -> LanesHandle {
        LanesHandle(Arc::clone(&self.shared))
    }

    /// All that is due on the first lane has been taken: more of it is an error, also what has come already.
    pub fn first_is_through(&self) {
        let mut reading = lock(&self.shared.reading);
        reading.first_through = true;
        let more = reading.kept.first().is_some_and(|kept| !kept.is_empty());
        if more || (reading.frame.0 == 0 && reading.frame.1 > 0) {
            reading.failed.get_or_insert(LaneFailure::Overrun);
        }
        drop(reading);
        self.shared.moved.notify_all();
    }

    /// Both lanes are through: the link is the channel's again, which has sent and received what they have.
    ///
    /// # Errors
    /// The link's: what is queued leaves first. [`ChannelError::Overrun`] if the peer has said more than was heard.
    pub fn join(mut self, lanes: [Channel; 2]) -> Result<(), ChannelError> {
        let mut lanes = lanes;
        for lane in &mut lanes {
            lane.flush()?;
        }
        let mut reading = lock(&self.shared.reading);
        if reading.frame.1 > 0 || reading.kept.iter().any(|kept| !kept.is_empty()) {
            return Err(ChannelError::Overrun);
        }
        let reader = reading.link.take();
        drop(reading);
        let writer = lock(&self.shared.writing).link.take();
        let (Some(reader), Some(writer)) = (reader, writer) else { return Err(ChannelError::Dead) };
        self.channel.give_link(reader, writer);
        for lane in &lanes {
            self.channel.count(lane);
        }
        self.joined = true;
        Ok(())
    }
}

impl Drop for TwoLanes<'_> {
    fn drop(&mut self) {
        if !self.joined {
            self.handle().give_up();
        }
    }
}

impl LanesHandle {
    /// Keeps no more of either lane than this from now on; what is kept already stays.
    pub fn limit(&self, limits: LaneLimits) {
        lock(&self.0.reading).limits = limits;
        self.0.moved.notify_all();
    }

    /// Ends both lanes here, and tells the peer; best effort. Waits for the end of a frame that is being written.
    pub fn give_up(&self) {
        let shared = &self.0;
        let aborted = LaneFailure::Link(io::ErrorKind::ConnectionAborted);
        lock(&shared.reading).failed.get_or_insert(aborted);
        shared.moved.notify_all();
        let mut writing = lock(&shared.writing);
        if std::mem::replace(&mut writing.ending, true) {
            return;
        }
        let unfinished = |writing: &mut Writing| writing.holder.is_some() && !writing.over;
        let waited = shared.free.wait_timeout_while(writing, PATIENCE, unfinished);
        (writing, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut writing.over, true)
            && writing.holder.is_none()
            && let Some(link) = &mut writing.link
        {
            let header = Header { kind: ERROR_KIND, sequence: 0, length: 0 };
            // The link may be gone already: then the peer sees that instead.
            let _ = link.write_all(&header.bytes()).and_then(|()| link.flush());
        }
        drop(writing);
        shared.free.notify_all();
    }
}

struct LaneReader {
    shared: Arc<SharedLink>,
    lane: usize,
}

/// What a thread has read off the link.
enum LinkPiece {
    /// A frame's header.
    Header([u8; HEADER_BYTES]),
    /// So many bytes of this lane, in place.
    Own(usize),
    /// Bytes of the other lane.
    Other(Vec<u8>),
}

impl LaneReader {
    /// Reads one piece off the link: a header, or a part of the `frame` that is under way.
    fn piece(
        &self,
        link: &mut (dyn Read + Send),
        frame: (usize, usize),
        own: &mut [u8],
    ) -> io::Result<LinkPiece> {
        let (lane, left) = frame;
        if left == 0 {
            let mut header = [0; HEADER_BYTES];
            link.read_exact(&mut header)?;
            return Ok(LinkPiece::Header(header));
        }
        if lane == self.lane {
            let count = left.min(own.len());
            link.read_exact(own.get_mut(..count).unwrap_or_default())?;
            return Ok(LinkPiece::Own(count));
        }
        let mut bytes = vec![0; left.min(PIECE)];
        link.read_exact(&mut bytes)?;
        Ok(LinkPiece::Other(bytes))
    }
}

impl Reading {
    /// Takes note of what has come; how many bytes of `own` are filled.
    fn take(&mut self, came: LinkPiece, lane: usize) -> Result<usize, LaneFailure> {
        match came {
            LinkPiece::Header(bytes) => {
                let header = Header::from_bytes(bytes);
                if header.kind == ERROR_KIND {
                    // Who has failed itself need not hear that the peer gave up because of it.
                    if self.failed.is_none() {
                        self.kept.iter_mut().for_each(|kept| kept.extend(bytes));
                    }
                    return Ok(0);
                }
                let of = usize::from(header.kind & SECOND != 0);
                self.frame = (of, header.length as usize);
                self.keep(of, &bytes)?;
                Ok(0)
            }
            LinkPiece::Own(count) => {
                self.frame.1 -= count;
                Ok(count)
            }
            LinkPiece::Other(bytes) => {
                self.frame.1 -= bytes.len();
                self.keep(1 - lane, &bytes)?;
                Ok(0)
            }
        }
    }

    fn keep(&mut self, lane: usize, bytes: &[u8]) -> Result<(), LaneFailure> {
        let Some(kept) = self.kept.get_mut(lane) else { return Ok(()) };
        let may = if lane == 0 {
            !self.first_through
        } else {
            kept.len() + bytes.len() <= self.limits.second
        };
        if !may {
            return Err(LaneFailure::Overrun);
        }
        kept.extend(bytes);
        Ok(())
    }

    /// Whether so much of the first lane is kept that the second one's reader must wait for the first one's.
    fn is_full(&self, lane: usize) -> bool {
        lane == 1
            && self.frame.0 == 0
            && !self.first_through
            && self.kept.first().is_some_and(|kept| kept.len() >= self.limits.first)
    }
}

impl Read for LaneReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let shared = &*self.shared;
        let mut reading = lock(&shared.reading);
        loop {
            if out.is_empty() {
                return Ok(0);
            }
            let kept = reading.kept.get_mut(self.lane).filter(|kept| !kept.is_empty());
            if let Some(kept) = kept {
                let count = kept.read(out)?;
                shared.moved.notify_all();
                return Ok(count);
            }
            if let Some(failed) = reading.failed {
                return Err(failed.error());
            }
            let link = if reading.is_full(self.lane) { None } else { reading.link.take() };
            let Some(mut link) = link else {
                // The other lane reads, or has to take what is kept for it; if it fails, this one does.
                reading = shared.moved.wait(reading).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let frame = reading.frame;
            drop(reading);
            let came = self.piece(&mut *link, frame, out);
            reading = lock(&shared.reading);
            reading.link = Some(link);
            let done = match came {
                Ok(came) => reading.take(came, self.lane).map_err(|why| (why, why.error())),
                // The other lane hears of what kind it was.
                Err(error) => Err((LaneFailure::Link(error.kind()), error)),
            };
            if let Err((failed, _)) = &done {
                reading.failed.get_or_insert(*failed);
            }
            shared.moved.notify_all();
            match done {
                Ok(0) => {}
                done => return done.map_err(|(_, error)| error),
            }
        }
    }
}

struct LaneWriter {
    shared: Arc<SharedLink>,
    lane: usize,
    /// A header of which not all has come, and how much of it has.
    header: [u8; HEADER_BYTES],
    begun: usize,
    /// Bytes of the frame that are to come.
    left: usize,
}

impl LaneWriter {
    /// Follows the frames in `bytes`: how many to write now, up to the end of the last frame that ends there, and
    /// whether one does.
    fn follow(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut ends = None;
        let (header, begun, left) = (self.header, self.begun, self.left);
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if self.left > 0 {
                let count = self.left.min(rest.len());
                self.left -= count;
                at += count;
            } else {
                let more = rest.get(..HEADER_BYTES - self.begun).unwrap_or(rest);
                let room = self.header.iter_mut().skip(self.begun);
                room.zip(more).for_each(|(slot, byte)| *slot = *byte);
                self.begun += more.len();
                at += more.len();
                if self.begun == HEADER_BYTES {
                    self.begun = 0;
                    self.left = Header::from_bytes(self.header).length as usize;
                }
            }
            if self.begun == 0 && self.left == 0 {
                ends = Some(at);
            }
        }
        let Some(end) = ends else { return (bytes.len(), false) };
        if end < bytes.len() {
            // What begins behind it comes again.
            (self.header, self.begun, self.left) = (header, begun, left);
            let (now, _) = bytes.split_at(end);
            self.follow(now);
        }
        (end, true)
    }
}

impl Write for LaneWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (shared, lane) = (Arc::clone(&self.shared), self.lane);
        let mut writing = lock(&shared.writing);
        while !writing.over && !writing.is_free_for(lane) {
            if let Some(waits) = writing.waits.get_mut(lane) {
                *waits = true;
            }
            writing = shared.free.wait(writing).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(waits) = writing.waits.get_mut(lane) {
            *waits = false;
        }
        let begins = writing.holder.is_none();
        if writing.over || (writing.ending && begins) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let Some(mut link) = writing.link.take() else {
            return Err(io::ErrorKind::ConnectionAborted.into());
        };
        (writing.last, writing.holder) = (lane, Some(lane));
        drop(writing);
        let (count, ends) = self.follow(bytes);
        let (now, _) = bytes.split_at(count);
        let result = link.write_all(now).and_then(|()| link.flush());
        let mut writing = lock(&shared.writing);
        writing.link = Some(link);
        writing.holder = if ends { None } else { Some(lane) };
        writing.over |= result.is_err();
        drop(writing);
        shared.free.notify_all();
        result.map(|()| count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
