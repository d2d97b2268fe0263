//! Every OT extension behind one type, so that a plan can choose by size.

use gazelle_block::Delta;
use gazelle_ot::{Auto, Either, Iknp, OtError, OtExtension, OtTraffic};
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

/// What [`AnyOt`] stands for.
type Chosen = Either<Iknp, Auto>;

impl AnyOt {
    fn chosen(self) -> Chosen {
        match self {
            Self::Iknp => Either::First(Iknp::default()),
            Self::For(expected) => Either::Second(Auto::for_count(expected as usize)),
        }
    }
}

impl OtExtension for AnyOt {
    type Sender = <Chosen as OtExtension>::Sender;
    type Receiver = <Chosen as OtExtension>::Receiver;

    fn sender(
        &self,
        delta: Delta,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Sender, OtError> {
        self.chosen().sender(delta, ch, rng)
    }

    fn receiver(
        &self,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Receiver, OtError> {
        self.chosen().receiver(ch, rng)
    }

    fn setup_traffic(&self) -> OtTraffic {
        self.chosen().setup_traffic()
    }

    fn extend_traffic(&self, already_made: usize, count: usize) -> OtTraffic {
        self.chosen().extend_traffic(already_made, count)
    }
}
