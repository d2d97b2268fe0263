//! An extension for each direction of a pair of sessions ([`duplex`](crate::duplex)), which may make very
//! different numbers of OTs.

use gazelle_block::Delta;
use gazelle_wire::Channel;
use rand_core::CryptoRng;

use crate::base::{BaseOt, BaseReceiver, BaseSender};
use crate::error::OtError;
use crate::extension::OtExtension;
use crate::traffic::OtTraffic;

/// An extension for the first session, and one for the session in the other direction. As an extension
/// itself it is the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerDirection<O> {
    /// Of the first session.
    pub first: O,
    /// Of the session set up over it.
    pub second: O,
}

impl<O: OtExtension> OtExtension for PerDirection<O> {
    type Sender = O::Sender;
    type Receiver = O::Receiver;

    fn name(&self) -> String {
        format!("{}; back: {}", self.first.name(), self.second.name())
    }

    fn second(&self) -> Self {
        Self { first: self.second.clone(), second: self.first.clone() }
    }

    fn base(&self) -> BaseOt {
        self.first.base()
    }

    fn base_count(&self) -> usize {
        self.first.base_count()
    }

    fn sender_over(
        &self,
        base: &mut dyn BaseReceiver,
        delta: Delta,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Sender, OtError> {
        self.first.sender_over(base, delta, ch, rng)
    }

    fn receiver_over(
        &self,
        base: &mut dyn BaseSender,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Receiver, OtError> {
        self.first.receiver_over(base, ch, rng)
    }

    fn setup_traffic_over(&self) -> OtTraffic {
        self.first.setup_traffic_over()
    }

    fn extend_traffic(&self, already_made: usize, count: usize) -> OtTraffic {
        self.first.extend_traffic(already_made, count)
    }
}
