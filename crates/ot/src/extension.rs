//! The one primitive: random correlated OT, extended from a few base OTs.
#![expect(clippy::inline_always, reason = "kernels are compiled per instruction set by inlining")]

use gazelle_block::aes::{AesIsa, Kernel, Vector, dispatch};
use gazelle_block::{BitVec, Block, Delta};
use gazelle_wire::{Channel, RecvHalf, SendHalf};
use rand_core::CryptoRng;
use zeroize::Zeroize;

use crate::base::{BaseOt, BaseReceiver, BaseSender};
use crate::error::OtError;
use crate::traffic::OtTraffic;

/// A way to extend OTs: a value that holds configuration (`Iknp`, `SoftSpoken`, `Ferret`).
///
/// Functionality, for OT `i` of the session: the sender holds Delta and gets `y_i`; the receiver gets
/// a random bit `b_i` and `z_i = y_i ^ b_i Delta`. The lowest bit of `y_i` is 0, so that of `z_i` is
/// `b_i`: **it is a choice bit, never a pad**; the other 127 bits of `y_i` are uniform.
///
/// Both parties call with the same sequence of counts. A call is announced and made: announcements
/// may talk both ways and go ahead of any number of calls; what makes the OTs is one-way, so that
/// sessions of both directions run at once over the halves of one channel.
pub trait OtExtension: Clone + Send + Sync {
    /// The party with Delta.
    type Sender: RcotSender;
    /// The party with the choices.
    type Receiver: RcotReceiver;

    /// Tells name and parameters: both parties' suites must agree in it (the handshake compares).
    fn name(&self) -> String;

    /// The extension of the session in the other direction, where a pair is set up
    /// ([`duplex`](crate::duplex)): this one, unless each direction has its own.
    #[must_use]
    fn second(&self) -> Self {
        self.clone()
    }

    /// The base OTs that [`sender`](Self::sender) and [`receiver`](Self::receiver) run.
    fn base(&self) -> BaseOt;

    /// How many of them; none if a session needs none.
    fn base_count(&self) -> usize;

    /// Sets up a session as the party with Delta, on base OTs in which it is the receiver.
    ///
    /// # Errors
    /// [`OtError`] if the link fails, the peer's messages are malformed, or it is caught cheating.
    fn sender_over(
        &self,
        base: &mut dyn BaseReceiver,
        delta: Delta,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Sender, OtError>;

    /// Sets up a session as the party with the choices, on base OTs in which it is the sender.
    ///
    /// # Errors
    /// As [`sender_over`](Self::sender_over).
    fn receiver_over(
        &self,
        base: &mut dyn BaseSender,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Receiver, OtError>;

    /// Exact bytes of the setup without its base OTs.
    fn setup_traffic_over(&self) -> OtTraffic;

    /// Exact bytes of extending by `count` when the session has made `already_made`, announcements
    /// included: the bytes of these do not depend on how many calls are announced together.
    fn extend_traffic(&self, already_made: usize, count: usize) -> OtTraffic;

    /// Sets up a session as the party with Delta (runs the base OTs).
    ///
    /// # Errors
    /// As [`sender_over`](Self::sender_over).
    fn sender(
        &self,
        delta: Delta,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Sender, OtError> {
        self.sender_over(&mut self.base(), delta, ch, rng)
    }

    /// Sets up a session as the party with the choices (runs the base OTs).
    ///
    /// # Errors
    /// As [`sender_over`](Self::sender_over).
    fn receiver(
        &self,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Receiver, OtError> {
        self.receiver_over(&mut self.base(), ch, rng)
    }

    /// Exact bytes of the setup.
    fn setup_traffic(&self) -> OtTraffic {
        match self.base_count() {
            0 => self.setup_traffic_over(),
            // The extension's sender is the base OTs' receiver.
            count => self.setup_traffic_over() + self.base().traffic(count).reversed(),
        }
    }
}

/// Which party's messages make OTs that have been announced; the other one only listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The party with Delta.
    Sender,
    /// The party with the choices.
    Receiver,
}

/// The half of a channel over which a party makes OTs: the speaker sends, the other one receives.
pub enum Half<'a> {
    /// The speaker's.
    Send(&'a mut SendHalf),
    /// The listener's.
    Receive(&'a mut RecvHalf),
}

impl<'a> Half<'a> {
    /// The half of `ch` of a party that speaks, or of one that does not.
    ///
    /// # Errors
    /// The link's: what is queued is flushed before a party listens.
    pub fn of(ch: &'a mut Channel, speaks: bool) -> Result<Self, OtError> {
        Ok(if speaks { Self::Send(ch.send_half()) } else { Self::Receive(ch.recv_half()?) })
    }

    /// The speaker's half.
    ///
    /// # Errors
    /// [`OtError::Half`] if it is the other one.
    pub fn sending(&mut self) -> Result<&mut SendHalf, OtError> {
        match self {
            Self::Send(half) => Ok(half),
            Self::Receive(_) => Err(OtError::Half),
        }
    }

    /// The listener's half.
    ///
    /// # Errors
    /// [`OtError::Half`] if it is the other one.
    pub fn receiving(&mut self) -> Result<&mut RecvHalf, OtError> {
        match self {
            Self::Receive(half) => Ok(half),
            Self::Send(_) => Err(OtError::Half),
        }
    }
}

/// The session of the party with Delta.
pub trait RcotSender: Send {
    /// The correlation.
    fn delta(&self) -> &Delta;

    /// Who speaks in [`make`](Self::make).
    fn speaker(&self) -> Speaker;

    /// Says and hears what goes ahead of the next `count` OTs, as far as it has not yet been: both
    /// parties call alike.
    ///
    /// # Errors
    /// [`OtError`] if the link fails; the session is dead then.
    fn announce(
        &mut self,
        _count: usize,
        _ch: &mut Channel,
        _rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        Ok(())
    }

    /// Fills `out` with OTs that are there already, if that many are: nobody says anything for them. Both
    /// parties' sessions answer alike.
    fn ready(&mut self, _out: &mut [Block]) -> bool {
        false
    }

    /// Makes the next `out.len()` OTs, which have been announced: `y_i`, lowest bit 0. What is sent is
    /// flushed.
    ///
    /// # Errors
    /// [`OtError`] if the link fails, the peer is caught cheating, or `half` is the wrong one; the
    /// session is dead then.
    fn make(
        &mut self,
        out: &mut [Block],
        half: Half<'_>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError>;

    /// Announces and makes the next `out.len()` OTs.
    ///
    /// # Errors
    /// As [`make`](Self::make).
    fn extend(
        &mut self,
        out: &mut [Block],
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        self.announce(out.len(), ch, rng)?;
        if out.is_empty() || self.ready(out) {
            return Ok(());
        }
        let speaks = self.speaker() == Speaker::Sender;
        self.make(out, Half::of(ch, speaks)?, rng)
    }
}

/// The session of the party with the choices.
pub trait RcotReceiver: Send {
    /// Who speaks in [`make`](Self::make).
    fn speaker(&self) -> Speaker;

    /// As [`RcotSender::announce`].
    ///
    /// # Errors
    /// [`OtError`] if the link fails; the session is dead then.
    fn announce(
        &mut self,
        _count: usize,
        _ch: &mut Channel,
        _rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        Ok(())
    }

    /// As [`RcotSender::ready`]; `choices` as in [`make`](Self::make).
    fn ready(&mut self, _choices: &mut BitVec, _out: &mut [Block]) -> bool {
        false
    }

    /// Makes the next `out.len()` OTs, which have been announced: `choices` is resized to as many bits
    /// `b_i`, and `z_i = y_i ^ b_i Delta`, whose lowest bit is `b_i`. What is sent is flushed.
    ///
    /// # Errors
    /// As [`RcotSender::make`].
    fn make(
        &mut self,
        choices: &mut BitVec,
        out: &mut [Block],
        half: Half<'_>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError>;

    /// Announces and makes the next `out.len()` OTs.
    ///
    /// # Errors
    /// As [`make`](Self::make).
    fn extend(
        &mut self,
        choices: &mut BitVec,
        out: &mut [Block],
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        self.announce(out.len(), ch, rng)?;
        if out.is_empty() {
            choices.resize(0);
            return Ok(());
        }
        if self.ready(choices, out) {
            return Ok(());
        }
        let speaks = self.speaker() == Speaker::Receiver;
        self.make(choices, out, Half::of(ch, speaks)?, rng)
    }
}

/// Packs the lowest bits of `blocks` into `choices`: a correlated OT's choice bit is its string's lowest.
pub fn lowest_bits(blocks: &[Block], choices: &mut BitVec) {
    choices.resize(blocks.len());
    dispatch(AesIsa::best(), LowestBits { blocks, words: choices.words_mut() });
}

struct LowestBits<'a> {
    blocks: &'a [Block],
    words: &'a mut [u64],
}

impl Kernel for LowestBits<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let mut bytes = [0; 64];
        for (word, blocks) in self.words.iter_mut().zip(self.blocks.chunks(64)) {
            if blocks.len() < 64 {
                bytes = [0; 64];
            }
            for (byte, block) in bytes.iter_mut().zip(blocks) {
                *byte = block.0 as u8;
            }
            let [plane, ..] = V::byte_planes(&bytes);
            *word = plane;
        }
        bytes.zeroize();
    }
}
