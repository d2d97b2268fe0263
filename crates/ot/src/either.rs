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

impl<A: OtExtension, B: OtExtension> OtExtension for Either<A, B> {
    type Sender = Either<Box<A::Sender>, Box<B::Sender>>;
    type Receiver = Either<Box<A::Receiver>, Box<B::Receiver>>;

    fn name(&self) -> String {
        match self {
            Self::First(inner) => inner.name(),
            Self::Second(inner) => inner.name(),
        }
    }

    fn base(&self) -> BaseOt {
        match self {
            Self::First(inner) => inner.base(),
            Self::Second(inner) => inner.base(),
        }
    }

    fn base_count(&self) -> usize {
        match self {
            Self::First(inner) => inner.base_count(),
            Self::Second(inner) => inner.base_count(),
        }
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
        match self {
            Self::First(inner) => inner.setup_traffic_over(),
            Self::Second(inner) => inner.setup_traffic_over(),
        }
    }

    fn extend_traffic(&self, already_made: usize, count: usize) -> OtTraffic {
        match self {
            Self::First(inner) => inner.extend_traffic(already_made, count),
            Self::Second(inner) => inner.extend_traffic(already_made, count),
        }
    }
}

impl<A: RcotSender, B: RcotSender> RcotSender for Either<Box<A>, Box<B>> {
    fn delta(&self) -> &Delta {
        match self {
            Self::First(inner) => inner.delta(),
            Self::Second(inner) => inner.delta(),
        }
    }

    fn speaker(&self) -> Speaker {
        match self {
            Self::First(inner) => inner.speaker(),
            Self::Second(inner) => inner.speaker(),
        }
    }

    fn announce(
        &mut self,
        count: usize,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        match self {
            Self::First(inner) => inner.announce(count, ch, rng),
            Self::Second(inner) => inner.announce(count, ch, rng),
        }
    }

    fn make(
        &mut self,
        out: &mut [Block],
        half: Half<'_>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        match self {
            Self::First(inner) => inner.make(out, half, rng),
            Self::Second(inner) => inner.make(out, half, rng),
        }
    }
}

impl<A: RcotReceiver, B: RcotReceiver> RcotReceiver for Either<Box<A>, Box<B>> {
    fn speaker(&self) -> Speaker {
        match self {
            Self::First(inner) => inner.speaker(),
            Self::Second(inner) => inner.speaker(),
        }
    }

    fn announce(
        &mut self,
        count: usize,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        match self {
            Self::First(inner) => inner.announce(count, ch, rng),
            Self::Second(inner) => inner.announce(count, ch, rng),
        }
    }

    fn make(
        &mut self,
        choices: &mut BitVec,
        out: &mut [Block],
        half: Half<'_>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        match self {
            Self::First(inner) => inner.make(choices, out, half, rng),
            Self::Second(inner) => inner.make(choices, out, half, rng),
        }
    }
}
