//! Every OT extension behind one type, so that a plan can choose by size.

use gazelle_block::{BitVec, Block, Delta};
use gazelle_ot::{Iknp, OtError, OtExtension, OtTraffic, RcotReceiver, RcotSender};
use gazelle_wire::Channel;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

/// An OT extension, chosen by the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnyOt {
    /// IKNP: 16 bytes per OT, the simplest.
    #[default]
    Iknp,
}

/// The party with Delta.
pub enum AnySender {
    /// See [`AnyOt::Iknp`].
    Iknp(<Iknp as OtExtension>::Sender),
}

/// The party with the choices.
pub enum AnyReceiver {
    /// See [`AnyOt::Iknp`].
    Iknp(<Iknp as OtExtension>::Receiver),
}

impl OtExtension for AnyOt {
    type Sender = AnySender;
    type Receiver = AnyReceiver;

    fn sender(
        &self,
        delta: Delta,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<AnySender, OtError> {
        match self {
            Self::Iknp => Iknp {}.sender(delta, ch, rng).map(AnySender::Iknp),
        }
    }

    fn receiver(
        &self,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<AnyReceiver, OtError> {
        match self {
            Self::Iknp => Iknp {}.receiver(ch, rng).map(AnyReceiver::Iknp),
        }
    }

    fn setup_traffic(&self) -> OtTraffic {
        match self {
            Self::Iknp => Iknp {}.setup_traffic(),
        }
    }

    fn extend_traffic(&self, already_made: usize, count: usize) -> OtTraffic {
        match self {
            Self::Iknp => Iknp {}.extend_traffic(already_made, count),
        }
    }
}

impl RcotSender for AnySender {
    fn delta(&self) -> &Delta {
        match self {
            Self::Iknp(sender) => sender.delta(),
        }
    }

    fn extend(
        &mut self,
        out: &mut [Block],
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        match self {
            Self::Iknp(sender) => sender.extend(out, ch, rng),
        }
    }
}

impl RcotReceiver for AnyReceiver {
    fn extend(
        &mut self,
        choices: &mut BitVec,
        out: &mut [Block],
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        match self {
            Self::Iknp(receiver) => receiver.extend(choices, out, ch, rng),
        }
    }
}
