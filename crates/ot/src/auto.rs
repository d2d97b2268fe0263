//! The extension that suits a session's size.

use gazelle_block::{BitVec, Block, Delta};
use gazelle_wire::Channel;
use rand_core::CryptoRng;

use crate::error::OtError;
use crate::extension::{OtExtension, OtTraffic, RcotReceiver, RcotSender};
use crate::ferret::{Ferret, FerretReceiver, FerretSender, Parameters};
use crate::softspoken::{SoftSpoken, SoftSpokenReceiver, SoftSpokenSender};

/// Chooses by the number of OTs that a session will make, which both parties know from the plan:
/// small sessions do not pay for a large LPN instance.
///
/// | OTs | extension | why |
/// |---|---|---|
/// | under 3·2^16 | SoftSpokenOT, k = 8 | 1.9 bytes each; Ferret's setup alone costs 0.15 MB |
/// | under 2^20 | Ferret, 870 k | least setup: its first batch covers most of it |
/// | more | Ferret, 2.4 M | 0.09 bytes each; the code's secret (2 MB) stays near the core |
///
/// The set of 15.6 M is never chosen: it saves 0.04 bytes per OT, but its secret of 8 MB lies in the
/// last-level cache or beyond, which costs more time than the bytes on any link above 100 Mbit/s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Auto {
    expected: usize,
}

/// What [`Auto`] chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Choice {
    /// SoftSpokenOT.
    SoftSpoken(SoftSpoken),
    /// Ferret.
    Ferret(Ferret),
}

/// The sender of [`Auto`].
pub enum AutoSender {
    /// SoftSpokenOT's.
    SoftSpoken(Box<SoftSpokenSender>),
    /// Ferret's.
    Ferret(Box<FerretSender>),
}

/// The receiver of [`Auto`].
pub enum AutoReceiver {
    /// SoftSpokenOT's.
    SoftSpoken(Box<SoftSpokenReceiver>),
    /// Ferret's.
    Ferret(Box<FerretReceiver>),
}

impl Auto {
    /// For a session of about `expected` OTs; making more is allowed.
    pub const fn for_count(expected: usize) -> Self {
        Self { expected }
    }

    /// What it takes.
    pub const fn choice(&self) -> Choice {
        match self.expected {
            0..0x3_0000 => Choice::SoftSpoken(SoftSpoken::K8),
            0x3_0000..0x10_0000 => Choice::Ferret(Ferret::new(Parameters::SMALL)),
            _ => Choice::Ferret(Ferret::new(Parameters::MEDIUM)),
        }
    }
}

impl OtExtension for Auto {
    type Sender = AutoSender;
    type Receiver = AutoReceiver;

    fn sender(
        &self,
        delta: Delta,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<AutoSender, OtError> {
        Ok(match self.choice() {
            Choice::SoftSpoken(inner) => {
                AutoSender::SoftSpoken(Box::new(inner.sender(delta, ch, rng)?))
            }
            Choice::Ferret(inner) => AutoSender::Ferret(Box::new(inner.sender(delta, ch, rng)?)),
        })
    }

    fn receiver(
        &self,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<AutoReceiver, OtError> {
        Ok(match self.choice() {
            Choice::SoftSpoken(inner) => {
                AutoReceiver::SoftSpoken(Box::new(inner.receiver(ch, rng)?))
            }
            Choice::Ferret(inner) => AutoReceiver::Ferret(Box::new(inner.receiver(ch, rng)?)),
        })
    }

    fn setup_traffic(&self) -> OtTraffic {
        match self.choice() {
            Choice::SoftSpoken(inner) => inner.setup_traffic(),
            Choice::Ferret(inner) => inner.setup_traffic(),
        }
    }

    fn extend_traffic(&self, already_made: usize, count: usize) -> OtTraffic {
        match self.choice() {
            Choice::SoftSpoken(inner) => inner.extend_traffic(already_made, count),
            Choice::Ferret(inner) => inner.extend_traffic(already_made, count),
        }
    }
}

impl RcotSender for AutoSender {
    fn delta(&self) -> &Delta {
        match self {
            Self::SoftSpoken(inner) => inner.delta(),
            Self::Ferret(inner) => inner.delta(),
        }
    }

    fn extend(
        &mut self,
        out: &mut [Block],
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        match self {
            Self::SoftSpoken(inner) => inner.extend(out, ch, rng),
            Self::Ferret(inner) => inner.extend(out, ch, rng),
        }
    }
}

impl RcotReceiver for AutoReceiver {
    fn extend(
        &mut self,
        choices: &mut BitVec,
        out: &mut [Block],
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        match self {
            Self::SoftSpoken(inner) => inner.extend(choices, out, ch, rng),
            Self::Ferret(inner) => inner.extend(choices, out, ch, rng),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_small_sessions_do_not_pay_for_large_instances() {
        for log2 in 10..28 {
            let count = 1usize << log2;
            let auto = Auto::for_count(count);
            let bytes = |setup: OtTraffic, extend: OtTraffic| setup.total() + extend.total();
            let chosen = bytes(auto.setup_traffic(), auto.extend_traffic(0, count));
            let others = [
                bytes(SoftSpoken::K8.setup_traffic(), SoftSpoken::K8.extend_traffic(0, count)),
                ferret(Parameters::SMALL, count),
                ferret(Parameters::MEDIUM, count),
            ];
            let best = others.into_iter().min().unwrap();
            assert!(chosen <= best + best / 2, "2^{log2}: {chosen} bytes against {best}");
        }
    }

    fn ferret(parameters: Parameters, count: usize) -> u64 {
        let ferret = Ferret::new(parameters);
        ferret.setup_traffic().total() + ferret.extend_traffic(0, count).total()
    }
}
