//! The public-coin protocol: linear layers whose responses went ahead as hints.
//!
//! | client | server |
//! |---|---|
//! | [`client`](PublicCoin): stores the hints | [`server`](PublicCoin): sends the hints <- |
//! | [`request`](PublicCoinClient): pb, seed of beta, kept bits -> | [`receive`](PublicCoinServer) |
//! | [`collect`](PublicCoinClient) | <- nonce of c0' (and fresh hints, if revealed) |
//! | [`finish`](PublicCoinClient): u | [`finish`](PublicCoinServer): v |
//!
//! Both may keep a setup for later sessions: the joint seed with the hints, or with the key of the hint
//! secrets.
//!
//! Source: docs/protocol.md, section 3.

mod client;
mod compiled;
mod kept;
mod request;
mod server;

use std::io::Read;
use std::sync::Arc;

use gazelle_share::{
    KeptSetup, LinearClient, LinearGroup, LinearProtocol, LinearServer, LinearTraffic,
    LinearWeights, ProtocolError,
};
use gazelle_wire::Channel;
use rand_core::CryptoRng;
use rayon::prelude::*;

pub(crate) use client::PublicCoinClient;
pub(crate) use compiled::Compiled;
pub(crate) use server::PublicCoinServer;

use crate::error::LinearError;
use crate::operator::map_norms;
use crate::packing::{PackingScheme, Tiles};
use crate::plan::{GroupPlan, LinearPlan};
use crate::planner::{self, Prices};
use crate::traffic;

/// Power-of-two RLWE with hints. The value is its configuration.
#[derive(Debug, Clone, Copy)]
pub struct PublicCoin {
    /// Inferences that share one setup: hints are weighed against requests with it. 1 is a single
    /// cold inference.
    pub inferences_per_setup: u32,
    /// What the planner weighs.
    pub prices: Prices,
    /// Memory that a compiled model may spend on transforms of weights, in bytes. What does not stay
    /// in a cache is hardly faster to load than to make anew, so that little is enough.
    pub transform_bytes: usize,
    /// How tensors are packed. Both parties need the same; its name is the protocol's.
    pub scheme: &'static dyn PackingScheme,
}

impl Default for PublicCoin {
    fn default() -> Self {
        Self {
            inferences_per_setup: 1,
            prices: Prices::default(),
            transform_bytes: 64 << 20,
            scheme: &Tiles,
        }
    }
}

impl LinearProtocol for PublicCoin {
    type Plan = LinearPlan;
    type Compiled = Compiled;
    type Client = PublicCoinClient;
    type Server = PublicCoinServer;

    fn name(&self) -> &'static str {
        self.scheme.name()
    }

    fn plan(
        &self,
        groups: &[LinearGroup],
        weights: &[Vec<&LinearWeights>],
    ) -> Result<LinearPlan, ProtocolError> {
        check_counts(groups, weights)?;
        let inferences = f64::from(self.inferences_per_setup.max(1));
        let plan_group = |(group, weights): (&LinearGroup, &Vec<&LinearWeights>)| {
            let norms = group
                .ops
                .iter()
                .zip(weights)
                .map(|(op, weights)| map_norms(op, weights))
                .collect::<Result<Vec<_>, _>>()?;
            let (_, plan) =
                planner::plan_group(self.scheme, group, &norms, &self.prices, inferences)?;
            Ok(plan)
        };
        let planned: Result<Vec<GroupPlan>, LinearError> =
            groups.par_iter().zip(weights).map(plan_group).collect();
        Ok(LinearPlan { inferences_per_setup: self.inferences_per_setup, groups: planned? })
    }

    fn validate(&self, groups: &[LinearGroup], plan: &LinearPlan) -> Result<(), ProtocolError> {
        plan.check(self.scheme, groups)?;
        Ok(())
    }

    fn traffic(&self, groups: &[LinearGroup], plan: &LinearPlan) -> LinearTraffic {
        match plan.check(self.scheme, groups) {
            Ok(layouts) => traffic::traffic(groups, plan, &layouts),
            Err(_) => LinearTraffic::default(),
        }
    }

    fn compile(
        &self,
        groups: Arc<[LinearGroup]>,
        plan: Arc<LinearPlan>,
        weights: &[Vec<&LinearWeights>],
    ) -> Result<Compiled, ProtocolError> {
        check_counts(&groups, weights)?;
        Ok(Compiled::new(self, &groups, &plan, weights)?)
    }

    fn client(
        &self,
        groups: Arc<[LinearGroup]>,
        plan: Arc<LinearPlan>,
        context: &[u8; 32],
        channel: &mut Channel,
        _rng: &mut (dyn CryptoRng + Send),
    ) -> Result<PublicCoinClient, ProtocolError> {
        let session = self.client_before_hints(groups, plan, context)?;
        session.hear_hints(channel.recv_half()?, &mut |_| {})?;
        Ok(session)
    }

    fn server(
        &self,
        compiled: Arc<Compiled>,
        context: &[u8; 32],
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<PublicCoinServer, ProtocolError> {
        let session = self.server_before_hints(compiled, context, rng)?;
        session.say_hints(channel.send_half())?;
        Ok(session)
    }

    fn has_late_hints(&self) -> bool {
        true
    }

    fn client_before_hints(
        &self,
        groups: Arc<[LinearGroup]>,
        plan: Arc<LinearPlan>,
        context: &[u8; 32],
    ) -> Result<PublicCoinClient, ProtocolError> {
        PublicCoinClient::before_hints(self.scheme, (&groups, &plan), context)
    }

    fn server_before_hints(
        &self,
        compiled: Arc<Compiled>,
        context: &[u8; 32],
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<PublicCoinServer, ProtocolError> {
        PublicCoinServer::before_hints(compiled, context, rng)
    }

    fn resume_client(
        &self,
        groups: Arc<[LinearGroup]>,
        plan: Arc<LinearPlan>,
        used: u64,
        kept: &mut dyn Read,
    ) -> Result<PublicCoinClient, ProtocolError> {
        PublicCoinClient::resume(self.scheme, (&groups, &plan), used, kept)
    }

    fn resume_server(
        &self,
        compiled: Arc<Compiled>,
        used: u64,
        kept: &KeptSetup,
    ) -> Result<PublicCoinServer, ProtocolError> {
        PublicCoinServer::resume(compiled, used, kept)
    }

    fn server_of_stored(
        &self,
        compiled: Arc<Compiled>,
    ) -> Result<(PublicCoinServer, [u8; 32]), ProtocolError> {
        let digest = compiled.digest();
        Ok((PublicCoinServer::of_stored(compiled), digest))
    }
}

fn check_counts(
    groups: &[LinearGroup],
    weights: &[Vec<&LinearWeights>],
) -> Result<(), LinearError> {
    let fits = groups.len() == weights.len()
        && groups.iter().zip(weights).all(|(group, weights)| {
            group.ops.len() == weights.len() && group.ops.len() == group.truncate_bits.len()
        });
    if fits { Ok(()) } else { Err(LinearError::Plan("weights do not fit the groups".into())) }
}
