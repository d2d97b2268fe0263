//! The blocking two-party channel: two halves, a turn counter, and the ways to use them.

pub(crate) mod recv;
pub(crate) mod send;

use std::io::{self, Read, Write};
use std::time::Duration;

use crate::error::ChannelError;
use crate::message::Message;
use crate::pace::Pace;
use crate::traffic::Traffic;
use recv::{Incoming, RecvHalf};
use send::{EXCHANGE_BYTES, Outgoing, SendHalf};

/// One end of a two-party link.
///
/// Deadlock rule: a protocol step is one-way, an [`exchange`](Self::exchange), or runs on
/// [`halves`](Self::halves) with one thread each (unless the channel is
/// [single-threaded](Self::single_threaded)); never two plain sends of more than 64 KiB facing each
/// other.
///
/// After an error of the link or the peer the half that saw it is dead: every further use returns
/// [`ChannelError::Dead`] at once.
pub struct Channel {
    send: SendHalf,
    recv: RecvHalf,
    turns: u64,
    sent_since_received: bool,
    /// How long each phase may wait for the peer, where the link keeps count.
    pace: Option<(Pace, Duration)>,
    /// This party has one thread; see [`Channel::single_threaded`].
    single_threaded: bool,
    binding: [u8; 32],
    link_binding: [u8; 32],
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").field("traffic", &self.traffic()).finish_non_exhaustive()
    }
}

impl Channel {
    /// A channel over any byte streams; time-outs are theirs (an `io::Error` of kind `TimedOut`
    /// or `WouldBlock` becomes [`ChannelError::TimedOut`]).
    pub fn new(reader: Box<dyn Read + Send>, writer: Box<dyn Write + Send>) -> Self {
        Self {
            send: SendHalf::new(writer),
            recv: RecvHalf::new(reader),
            turns: 0,
            sent_since_received: false,
            pace: None,
            single_threaded: false,
            binding: [0; 32],
            link_binding: [0; 32],
        }
    }

    /// A lane over this channel's link, bound as it is.
    pub(crate) fn lane(
        &self,
        reader: Box<dyn Read + Send>,
        writer: Box<dyn Write + Send>,
        mark: u16,
    ) -> Self {
        Self {
            send: SendHalf::of_lane(writer, mark),
            recv: RecvHalf::of_lane(reader, mark),
            pace: self.pace.clone(),
            binding: self.binding,
            link_binding: self.link_binding,
            ..Self::new(Box::new(io::empty()), Box::new(io::sink()))
        }
    }

    /// Takes the link away: the channel is dead until it gets it back.
    pub(crate) fn take_link(&mut self) -> (Box<dyn Read + Send>, Box<dyn Write + Send>) {
        (self.recv.take_link(), self.send.take_link())
    }

    /// Gives the link back.
    pub(crate) fn give_link(
        &mut self,
        reader: Box<dyn Read + Send>,
        writer: Box<dyn Write + Send>,
    ) {
        self.recv.give_link(reader);
        self.send.give_link(writer);
    }

    /// Counts what a lane has sent and received; a half is dead if the lane's is.
    pub(crate) fn count(&mut self, lane: &Self) {
        self.send.count(&lane.send);
        self.recv.count(&lane.recv);
        self.turns += lane.turns;
    }

    /// The same channel over a link whose waits `pace` counts: [`begin_phase`](Self::begin_phase)
    /// allows `patience` anew.
    #[must_use]
    pub fn paced(mut self, pace: Pace, patience: Duration) -> Self {
        self.pace = Some((pace, patience));
        self
    }

    /// The same channel, of a client that has no other threads (a server's branch serves tests), over a link that takes whatever either
    /// party sends without waiting for its reader: sections on [`halves`](Self::halves) are run by one
    /// thread, which sends first and receives then. What goes over the link is the same.
    ///
    /// For WebAssembly, where another worker of the page keeps what comes in.
    #[must_use]
    pub fn single_threaded(mut self) -> Self {
        self.single_threaded = true;
        self
    }

    /// Whether sections on [`halves`](Self::halves) must be run by one thread.
    pub fn is_single_threaded(&self) -> bool {
        self.single_threaded
    }

    /// The same channel over a link that has a secret in common with the peer's end alone, such as
    /// what TLS exports: sessions hash it into their digest, so that they cannot be carried over
    /// from one link to another.
    #[must_use]
    pub fn over_link(mut self, exported: [u8; 32]) -> Self {
        self.link_binding = exported;
        self
    }

    /// What the link has in common with the peer's end alone; zero for links without such.
    pub fn link_binding(&self) -> &[u8; 32] {
        &self.link_binding
    }

    /// What counts this link's waits and bytes, to be watched from elsewhere; none on links that
    /// do not count.
    pub fn pace(&self) -> Option<Pace> {
        self.pace.as_ref().map(|(pace, _)| pace.clone())
    }

    /// Binds what runs over this channel from here on to a session: both parties give the same digest
    /// of what they agreed on (suite and description), and protocols hash it into what they derive.
    pub fn bind(&mut self, digest: [u8; 32]) {
        self.binding = digest;
    }

    /// What the channel is bound to; zero before [`bind`](Self::bind).
    pub fn binding(&self) -> &[u8; 32] {
        &self.binding
    }

    /// A new phase begins: what the last one made this party wait for no longer counts.
    pub fn begin_phase(&mut self) {
        if let Some((pace, patience)) = &self.pace {
            pace.begin(*patience);
        }
    }

    /// A peer that says `data`, cut into frames as the protocol wants them, so that fuzzers get
    /// past the headers; what is sent to it is dropped.
    #[cfg(any(test, feature = "testing"))]
    pub fn from_payloads(data: Vec<u8>) -> Self {
        let mut channel = Self::new(Box::new(io::Cursor::new(data)), Box::new(io::sink()));
        channel.recv.assume_headers();
        channel
    }

    /// Queues a message; it leaves at the next flush, receive, or when 64 KiB are waiting.
    ///
    /// # Errors
    /// [`ChannelError::Shape`] if `message` does not encode to the agreed length, else the link's.
    pub fn send<M: Message>(&mut self, message: &M, shape: &M::Shape) -> Result<(), ChannelError> {
        self.sent_since_received = true;
        self.send.send(message, shape)
    }

    /// Flushes, then waits for a message of the agreed shape.
    ///
    /// # Errors
    /// [`ChannelError`] if the link fails or the frame is not the expected one.
    pub fn recv<M: Message>(&mut self, shape: &M::Shape) -> Result<M, ChannelError> {
        self.recv_half()?.recv(shape)
    }

    /// Both parties send at once, in turns of 64 KiB, so that neither blocks the other. The two
    /// messages may differ in kind and length.
    ///
    /// A turn waits for the peer's, so that a long link carries at most 64 KiB per half round
    /// trip each way: large messages that need not cross go through [`send`](Self::send) or
    /// [`halves`](Self::halves).
    ///
    /// # Errors
    /// As [`send`](Self::send) and [`recv`](Self::recv).
    pub fn exchange<A: Message, B: Message>(
        &mut self,
        out: &A,
        out_shape: &A::Shape,
        in_shape: &B::Shape,
    ) -> Result<B, ChannelError> {
        self.send.flush()?;
        let mut outgoing = Outgoing::new(out, out_shape)?;
        self.sent_since_received = true;
        self.begin_receive();
        let mut incoming = Incoming::new::<B>(in_shape);
        loop {
            let sending = self.send.advance(&mut outgoing, EXCHANGE_BYTES)?;
            let receiving = incoming.read(&mut self.recv, EXCHANGE_BYTES)?;
            if !sending && !receiving {
                break;
            }
        }
        self.recv.decode(incoming, in_shape)
    }

    /// Sends everything that is queued.
    ///
    /// # Errors
    /// The link's.
    pub fn flush(&mut self) -> Result<(), ChannelError> {
        self.send.flush()
    }

    /// Both halves, for sections in which one thread sends while another receives. The sending
    /// half must be flushed by its user. A section counts as one turn.
    pub fn halves(&mut self) -> (&mut SendHalf, &mut RecvHalf) {
        self.turns += 1;
        self.sent_since_received = false;
        (&mut self.send, &mut self.recv)
    }

    /// Both halves, for a section of trips that go in pieces: one thread sends this party's while another
    /// receives the peer's, so that some pieces are further on than others. `own` says of each trip, in
    /// order, whether this party sends it. Turns are counted as if every trip went as a whole, one after
    /// the other: that is how often each piece waits.
    ///
    /// # Errors
    /// The link's: what is queued leaves first.
    pub fn trips(
        &mut self,
        own: impl IntoIterator<Item = bool>,
    ) -> Result<(&mut SendHalf, &mut RecvHalf), ChannelError> {
        self.send.flush()?;
        for own in own {
            if own {
                self.sent_since_received = true;
            } else {
                self.begin_receive();
            }
        }
        Ok((&mut self.send, &mut self.recv))
    }

    /// The sending half alone, for a section in which this party only sends; turns are counted as
    /// by [`send`](Self::send).
    pub fn send_half(&mut self) -> &mut SendHalf {
        self.sent_since_received = true;
        &mut self.send
    }

    /// The receiving half alone, for a section in which this party only receives; flushes, and
    /// turns are counted as by [`recv`](Self::recv).
    ///
    /// # Errors
    /// The link's.
    pub fn recv_half(&mut self) -> Result<&mut RecvHalf, ChannelError> {
        self.send.flush()?;
        self.begin_receive();
        Ok(&mut self.recv)
    }

    /// Tells the peer that this party gave up; best effort, nothing is said about why. The
    /// sending half is dead afterwards.
    pub fn send_error(&mut self) {
        self.send.send_error();
    }

    /// What went over the link so far; queued bytes count as sent.
    pub fn traffic(&self) -> Traffic {
        Traffic { sent: self.send.sent(), received: self.recv.received(), turns: self.turns }
    }

    fn begin_receive(&mut self) {
        if self.sent_since_received {
            self.turns += 1;
            self.sent_since_received = false;
        }
    }
}
