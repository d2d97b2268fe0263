//! Every OT extension behind one type, so that a plan can choose by size.

use gazelle_block::{BitVec, Block, Delta};
use gazelle_ot::{Auto, Iknp, OtError, OtExtension, OtTraffic, RcotReceiver, RcotSender};
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
    /// What suits a session of about so many OTs: SoftSpokenOT for small ones, Ferret for large.
    For(u32),
}

/// The party with Delta.
pub enum AnySender {
    /// See [`AnyOt::Iknp`].
    Iknp(Box<<Iknp as OtExtension>::Sender>),
    /// See [`AnyOt::For`].
    Auto(<Auto as OtExtension>::Sender),
}

/// The party with the choices.
pub enum AnyReceiver {
    /// See [`AnyOt::Iknp`].
    Iknp(Box<<Iknp as OtExtension>::Receiver>),
    /// See [`AnyOt::For`].
    Auto(<Auto as OtExtension>::Receiver),
}

fn auto(expected: u32) -> Auto {
    Auto::for_count(expected as usize)
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
        Ok(match self {
            Self::Iknp => AnySender::Iknp(Box::new(Iknp::default().sender(delta, ch, rng)?)),
            Self::For(count) => AnySender::Auto(auto(*count).sender(delta, ch, rng)?),
        })
    }

    fn receiver(
        &self,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<AnyReceiver, OtError> {
        Ok(match self {
            Self::Iknp => AnyReceiver::Iknp(Box::new(Iknp::default().receiver(ch, rng)?)),
            Self::For(count) => AnyReceiver::Auto(auto(*count).receiver(ch, rng)?),
        })
    }

    fn setup_traffic(&self) -> OtTraffic {
        match self {
            Self::Iknp => Iknp::default().setup_traffic(),
            Self::For(count) => auto(*count).setup_traffic(),
        }
    }

    fn extend_traffic(&self, already_made: usize, count: usize) -> OtTraffic {
        match self {
            Self::Iknp => Iknp::default().extend_traffic(already_made, count),
            Self::For(expected) => auto(*expected).extend_traffic(already_made, count),
        }
    }
}

impl RcotSender for AnySender {
    fn delta(&self) -> &Delta {
        match self {
            Self::Iknp(sender) => sender.delta(),
            Self::Auto(sender) => sender.delta(),
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
            Self::Auto(sender) => sender.extend(out, ch, rng),
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
            Self::Auto(receiver) => receiver.extend(choices, out, ch, rng),
        }
    }
}
