//! A non-linear protocol that also writes down the shares that go into and come out of its steps:
//! together they show what the parties really computed.

use std::sync::{Arc, Mutex};

use gazelle_share::{
    NonlinearClient, NonlinearProtocol, NonlinearServer, NonlinearTraffic, Output, ProtocolError,
    Shares, Step,
};
use gazelle_wire::Channel;
use rand_core::CryptoRng;

/// One party's shares of one step of one inference.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) input: Shares,
    /// Nothing if the step reveals.
    pub(crate) output: Option<Shares>,
}

/// `[step][inference]`, of either party.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Vec<Seen>>>>);

impl Log {
    fn push(&self, step: usize, seen: Seen) {
        let mut log = self.0.lock().unwrap();
        if log.len() <= step {
            log.resize(step + 1, Vec::new());
        }
        log[step].push(seen);
    }
}

/// `inner`, recorded.
#[derive(Clone)]
pub(crate) struct Recorded<N> {
    inner: N,
    client: Log,
    server: Log,
}

/// A party's session, recorded.
pub(crate) struct Session<S> {
    inner: S,
    log: Log,
}

impl<N> Recorded<N> {
    pub(crate) fn new(inner: N) -> Self {
        Self { inner, client: Log::default(), server: Log::default() }
    }

    /// What the client and the server saw: `[step][inference]`.
    pub(crate) fn seen(&self) -> (Vec<Vec<Seen>>, Vec<Vec<Seen>>) {
        (self.client.0.lock().unwrap().clone(), self.server.0.lock().unwrap().clone())
    }
}

impl<N: NonlinearProtocol> NonlinearProtocol for Recorded<N> {
    type Compiled = N::Compiled;
    type Client = Session<N::Client>;
    type Server = Session<N::Server>;

    fn name(&self, compiled: &Self::Compiled, step: usize) -> &'static str {
        self.inner.name(compiled, step)
    }

    fn primitives(&self) -> String {
        self.inner.primitives()
    }

    fn compile(&self, steps: Arc<[Step]>) -> Result<Self::Compiled, ProtocolError> {
        self.inner.compile(steps)
    }

    fn traffic(&self, compiled: &Self::Compiled, earlier: usize) -> NonlinearTraffic {
        self.inner.traffic(compiled, earlier)
    }

    fn client(
        &self,
        compiled: Arc<Self::Compiled>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Client, ProtocolError> {
        let inner = self.inner.client(compiled, channel, rng)?;
        Ok(Session { inner, log: self.client.clone() })
    }

    fn server(
        &self,
        compiled: Arc<Self::Compiled>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Server, ProtocolError> {
        let inner = self.inner.server(compiled, channel, rng)?;
        Ok(Session { inner, log: self.server.clone() })
    }
}

impl<C: NonlinearClient> NonlinearClient for Session<C> {
    type Prepared = C::Prepared;

    fn offline(
        &mut self,
        step: usize,
        input: &Shares,
        output: Output<'_>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Prepared, ProtocolError> {
        let mask = match output {
            Output::Masked(mask) => Some(mask.clone()),
            Output::Reveal => None,
        };
        self.log.push(step, Seen { input: input.clone(), output: mask });
        self.inner.offline(step, input, output, channel, rng)
    }

    fn online(
        &mut self,
        step: usize,
        prepared: Self::Prepared,
        channel: &mut Channel,
    ) -> Result<Option<Vec<i64>>, ProtocolError> {
        self.inner.online(step, prepared, channel)
    }
}

impl<S: NonlinearServer> NonlinearServer for Session<S> {
    type Prepared = S::Prepared;

    fn offline(
        &mut self,
        step: usize,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Prepared, ProtocolError> {
        self.inner.offline(step, channel, rng)
    }

    fn online(
        &mut self,
        step: usize,
        prepared: Self::Prepared,
        input: Shares,
        channel: &mut Channel,
    ) -> Result<Option<Shares>, ProtocolError> {
        let output = self.inner.online(step, prepared, input.clone(), channel)?;
        self.log.push(step, Seen { input, output: output.clone() });
        Ok(output)
    }
}
