//! Runs both parties of a session in memory.

use std::sync::Arc;

use gazelle_linear::{LinearPlan, PublicCoin};
use gazelle_share::testing::test_rng;
use gazelle_share::{
    LinearClient, LinearGroup, LinearProtocol, LinearServer, LinearWeights, Mask, MaskKind,
    ProtocolError, Shares,
};
use gazelle_wire::Channel;

/// Everything both parties need.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) protocol: PublicCoin,
    pub(crate) groups: Arc<[LinearGroup]>,
    pub(crate) plan: Arc<LinearPlan>,
    pub(crate) weights: Arc<Vec<Vec<LinearWeights>>>,
}

/// Per inference and group: r and u at the client, v at the server.
pub(crate) type ClientShares = Vec<Vec<(Shares, Vec<Shares>)>>;
pub(crate) type ServerShares = Vec<Vec<Vec<Shares>>>;

impl Setting {
    pub(crate) fn new(
        protocol: PublicCoin,
        groups: Vec<LinearGroup>,
        weights: Vec<Vec<LinearWeights>>,
    ) -> Self {
        let borrowed: Vec<Vec<&LinearWeights>> =
            weights.iter().map(|group| group.iter().collect()).collect();
        let plan = protocol.plan(&groups, &borrowed).unwrap();
        protocol.validate(&groups, &plan).unwrap();
        Self { protocol, groups: groups.into(), plan: Arc::new(plan), weights: Arc::new(weights) }
    }

    pub(crate) fn client(
        &self,
        inferences: usize,
        channel: &mut Channel,
        seed: u64,
    ) -> Result<ClientShares, ProtocolError> {
        let mut rng = test_rng(seed);
        let (groups, plan) = (Arc::clone(&self.groups), Arc::clone(&self.plan));
        let client = self.protocol.client(groups, plan, &[3; 32], channel, &mut rng)?;
        channel.flush()?;
        let mut runs = Vec::new();
        for _ in 0..inferences {
            let mut run = Vec::new();
            for (i, group) in self.groups.iter().enumerate() {
                let given = Shares::random(group.ring_bits, group.ops[0].input_len(), &mut rng);
                let mask = match group.mask {
                    MaskKind::Fresh => Mask::Fresh,
                    MaskKind::Given => Mask::Given(&given),
                };
                let (send, recv) = channel.halves();
                let (r, pending) = client.request(i, mask, send, &mut rng)?;
                send.flush()?;
                run.push((r, client.finish(i, client.collect(i, pending, recv)?)?));
            }
            runs.push(run);
        }
        Ok(runs)
    }

    pub(crate) fn server(
        &self,
        inferences: usize,
        channel: &mut Channel,
        seed: u64,
    ) -> Result<ServerShares, ProtocolError> {
        let mut rng = test_rng(seed);
        let borrowed: Vec<Vec<&LinearWeights>> =
            self.weights.iter().map(|group| group.iter().collect()).collect();
        let (groups, plan) = (Arc::clone(&self.groups), Arc::clone(&self.plan));
        let compiled = Arc::new(self.protocol.compile(groups, plan, &borrowed)?);
        let server = self.protocol.server(compiled, &[3; 32], channel, &mut rng)?;
        let mut runs = Vec::new();
        for _ in 0..inferences {
            let groups = 0..self.groups.len();
            let run =
                groups.map(|i| server.finish(i, server.receive(i, channel.halves(), &mut rng)?));
            runs.push(run.collect::<Result<_, _>>()?);
        }
        Ok(runs)
    }
}
