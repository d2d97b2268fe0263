//! One of two extensions behind one type, so that a value can choose between them.

use gazelle_block::{BitVec, Block, Delta};
use gazelle_wire::Channel;
use rand_core::CryptoRng;

use crate::base::{BaseOt, BaseReceiver, BaseSender};
use crate::error::OtError;
use crate::extension::{Half, OtExtension, RcotReceiver, RcotSender, Speaker};
use crate::traffic::OtTraffic;

/// One of two extensions, or of their sessions' senders, or receivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first.
    First(A),
    /// The second.
    Second(B),
}

/// The same call of whichever it is.
macro_rules! forward {
    ($either:expr, $inner:ident => $call:expr) => {
        match $either {
            Self::First($inner) => $call,
            Self::Second($inner) => $call,
        }
    };
}

impl<A: OtExtension, B: OtExtension> OtExtension for Either<A, B> {
    type Sender = Either<Box<A::Sender>, Box<B::Sender>>;
    type Receiver = Either<Box<A::Receiver>, Box<B::Receiver>>;

    fn name(&self) -> String {
        forward!(self, inner => inner.name())
    }

    fn second(&self) -> Self {
        match self {
            Self::First(inner) => Self::First(inner.second()),
            Self::Second(inner) => Self::Second(inner.second()),
        }
    }

    fn base(&self) -> BaseOt {
        forward!(self, inner => inner.base())
    }

    fn base_count(&self) -> usize {
        forward!(self, inner => inner.base_count())
    }

    fn sender_over(
        &self,
        base: &mut dyn BaseReceiver,
        delta: Delta,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Sender, OtError> {
        Ok(match self {
            Self::First(inner) => Either::First(Box::new(inner.sender_over(base, delta, ch, rng)?)),
            Self::Second(inner) => {
                Either::Second(Box::new(inner.sender_over(base, delta, ch, rng)?))
            }
        })
    }

    fn receiver_over(
        &self,
        base: &mut dyn BaseSender,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Receiver, OtError> {
        Ok(match self {
            Self::First(inner) => Either::First(Box::new(inner.receiver_over(base, ch, rng)?)),
            Self::Second(inner) => Either::Second(Box::new(inner.receiver_over(base, ch, rng)?)),
        })
    }

    fn setup_traffic_over(&self) -> OtTraffic {
        forward!(self, inner => inner.setup_traffic_over())
    }

    fn extend_traffic(&self, already_made: usize, count: usize) -> OtTraffic {
        forward!(self, inner => inner.extend_traffic(already_made, count))
    }
}

impl<A: RcotSender, B: RcotSender> RcotSender for Either<Box<A>, Box<B>> {
    fn delta(&self) -> &Delta {
        forward!(self, inner => inner.delta())
    }

    fn speaker(&self) -> Speaker {
        forward!(self, inner => inner.speaker())
    }

    fn announce(
        &mut self,
        count: usize,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        forward!(self, inner => inner.announce(count, ch, rng))
    }

    fn ready(&mut self, out: &mut [Block]) -> bool {
        forward!(self, inner => inner.ready(out))
    }

    fn make(
        &mut self,
        out: &mut [Block],
        half: Half<'_>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        forward!(self, inner => inner.make(out, half, rng))
    }
}

impl<A: RcotReceiver, B: RcotReceiver> RcotReceiver for Either<Box<A>, Box<B>> {
    fn speaker(&self) -> Speaker {
        forward!(self, inner => inner.speaker())
    }

    fn announce(
        &mut self,
        count: usize,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        forward!(self, inner => inner.announce(count, ch, rng))
    }

    fn ready(&mut self, choices: &mut BitVec, out: &mut [Block]) -> bool {
        forward!(self, inner => inner.ready(choices, out))
    }

    fn make(
        &mut self,
        choices: &mut BitVec,
        out: &mut [Block],
        half: Half<'_>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        forward!(self, inner => inner.make(choices, out, half, rng))
    }
}
