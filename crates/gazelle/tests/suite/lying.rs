//! A client that lies about what its linear layers gave it: everything else follows the protocol.

use std::sync::{Arc, Mutex};

use gazelle_linear::PublicCoin;
use gazelle_share::{
    LinearClient, LinearGroup, LinearProtocol, LinearTraffic, LinearWeights, Mask, ProtocolError,
    Shares,
};
use gazelle_wire::{Channel, RecvHalf, SendHalf};
use rand_core::CryptoRng;

type Inner = <PublicCoin as LinearProtocol>::Client;

/// What it lies about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Lie {
    /// Nothing.
    #[default]
    None,
    /// Its shares of the first operator of this group: these words are added.
    Shares(usize, Vec<u64>),
    /// The mask of this group, which it goes on with: a unit more in element 0.
    Mask(usize),
    /// The coins of this group's request: others.
    Coins(usize),
    /// The secret of this group's request: three times as large.
    Secret(usize),
}

/// The program's linear layers, with a client that lies.
#[derive(Clone, Default)]
pub(crate) struct Lying {
    inner: PublicCoin,
    pub(crate) lie: Arc<Mutex<Lie>>,
}

impl Lying {
    pub(crate) fn with(lie: Lie) -> Self {
        Self { inner: PublicCoin::default(), lie: Arc::new(Mutex::new(lie)) }
    }
}

/// Its client.
pub(crate) struct LyingClient {
    inner: Inner,
    lie: Arc<Mutex<Lie>>,
}

impl LyingClient {
    fn lie(&self) -> Lie {
        self.lie.lock().unwrap().clone()
    }

    fn mask(&self, group: usize, r: Shares) -> Shares {
        if self.lie() != Lie::Mask(group) {
            return r;
        }
        let bits = r.bits();
        let mut words = r.into_words();
        words[0] = words[0].wrapping_add(1) & ((1 << bits) - 1);
        Shares::new(bits, words)
    }
}

impl LinearProtocol for Lying {
    type Plan = <PublicCoin as LinearProtocol>::Plan;
    type Compiled = <PublicCoin as LinearProtocol>::Compiled;
    type Client = LyingClient;
    type Server = <PublicCoin as LinearProtocol>::Server;

    fn name(&self) -> &'static str {
        self.inner.name()
    }
    fn plan(
        &self,
        groups: &[LinearGroup],
        weights: &[Vec<&LinearWeights>],
    ) -> Result<Self::Plan, ProtocolError> {
        self.inner.plan(groups, weights)
    }
    fn validate(&self, groups: &[LinearGroup], plan: &Self::Plan) -> Result<(), ProtocolError> {
        self.inner.validate(groups, plan)
    }
    fn traffic(&self, groups: &[LinearGroup], plan: &Self::Plan) -> LinearTraffic {
        self.inner.traffic(groups, plan)
    }
    fn compile(
        &self,
        groups: Arc<[LinearGroup]>,
        plan: Arc<Self::Plan>,
        weights: &[Vec<&LinearWeights>],
    ) -> Result<Self::Compiled, ProtocolError> {
        self.inner.compile(groups, plan, weights)
    }
    fn client(
        &self,
        groups: Arc<[LinearGroup]>,
        plan: Arc<Self::Plan>,
        context: &[u8; 32],
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<LyingClient, ProtocolError> {
        let inner = self.inner.client(groups, plan, context, channel, rng)?;
        Ok(LyingClient { inner, lie: Arc::clone(&self.lie) })
    }
    fn server(
        &self,
        compiled: Arc<Self::Compiled>,
        context: &[u8; 32],
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Server, ProtocolError> {
        self.inner.server(compiled, context, channel, rng)
    }
}

impl LinearClient for LyingClient {
    type Pending = <Inner as LinearClient>::Pending;
    type Collected = <Inner as LinearClient>::Collected;

    fn request(
        &self,
        group: usize,
        mask: Mask<'_>,
        channel: &mut SendHalf,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(Shares, Self::Pending), ProtocolError> {
        let (r, pending) = self.inner.request(group, mask, channel, rng)?;
        Ok((self.mask(group, r), pending))
    }
    fn request_from(
        &self,
        group: usize,
        mask: Mask<'_>,
        channel: &mut SendHalf,
        coins: &[u8; 32],
    ) -> Result<(Shares, Self::Pending), ProtocolError> {
        if self.lie() == Lie::Secret(group) {
            return self.inner.request_stretched(group, mask, channel, coins);
        }
        let mut coins = *coins;
        coins[31] ^= u8::from(self.lie() == Lie::Coins(group));
        let (r, pending) = self.inner.request_from(group, mask, channel, &coins)?;
        Ok((self.mask(group, r), pending))
    }
    fn collect(
        &self,
        group: usize,
        pending: Self::Pending,
        channel: &mut RecvHalf,
    ) -> Result<Self::Collected, ProtocolError> {
        self.inner.collect(group, pending, channel)
    }
    fn finish(
        &self,
        group: usize,
        collected: Self::Collected,
    ) -> Result<Vec<Shares>, ProtocolError> {
        let mut u = self.inner.finish(group, collected)?;
        if let Lie::Shares(lied, offsets) = self.lie()
            && lied == group
        {
            let bits = u[0].bits();
            let words = u[0].words().iter().zip(&offsets);
            let words = words.map(|(u, offset)| u.wrapping_add(*offset) & ((1 << bits) - 1));
            u[0] = Shares::new(bits, words.collect());
        }
        Ok(u)
    }
}
