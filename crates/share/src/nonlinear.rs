//! The trait of non-linear protocols: shares of x in, shares of f(x) under the next mask out.
//!
//! | client | server |
//! |---|---|
//! | `client`: setup (base OT) | `server`: setup |
//! | `announce`; `prepare` for many steps, or per step: `offline(x_C, r)` | the same |
//! | where clients are audited: `answer`, `complete` | `challenge`, `audit` or `complete` |
//! | per step, or per wave of steps that do not depend on each other: `online` | `online(x_S)` -> f(x) - r |

use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::Arc;

use gazelle_wire::{Channel, Cost, Instant, Traffic};
use rand_core::CryptoRng;

use crate::error::{Misuse, ProtocolError};
use crate::shares::Shares;
use crate::step::Step;

/// Where the client's part of a result comes from or goes to; matches the step's `output`.
#[derive(Debug, Clone, Copy)]
pub enum Output<'a> {
    /// The next mask r, over the output ring: the client's share of the result.
    Masked(&'a Shares),
    /// The client learns the result.
    Reveal,
}

/// What a phase of a step took at one party.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StepCost {
    /// Offline, from the end of the step before to its own: steps overlap. Online, the step's own, or of a wave
    /// whose steps share their trips a part in proportion to the step's bytes.
    pub seconds: f64,
    /// Bytes that this party sent, headers included.
    pub sent: u64,
    /// Bytes that it received.
    pub received: u64,
}

impl StepCost {
    /// Since `start`, when the channel's traffic was `before`.
    pub fn since(start: Instant, before: Traffic, channel: &Channel) -> Self {
        let traffic = channel.traffic() - before;
        let (sent, received) = (traffic.sent, traffic.received);
        Self { seconds: start.elapsed().as_secs_f64(), sent, received }
    }
}

/// Where the client's shares come from while the steps of a network are prepared.
pub trait StepSource {
    /// The client's share of the input of `step`, and the mask of its output if it is not revealed; may
    /// wait until they are known. Is asked for steps in order.
    ///
    /// # Errors
    /// What kept the shares from being made.
    fn shares(&mut self, step: usize) -> Result<(Shares, Option<Shares>), ProtocolError>;

    /// A step is prepared; steps come in order.
    fn prepared(&mut self, _step: usize) {}
}

/// A step's material and what it took, for each of several steps.
pub type PreparedSteps<P> = Vec<(P, StepCost)>;

/// A step's result and what it took, for each step of a wave.
pub type OnlineSteps<R> = Vec<(R, StepCost)>;

/// Exact bytes of one inference over all steps in order, headers included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NonlinearTraffic {
    /// Once per session.
    pub setup: Cost,
    /// By step.
    pub offline: Vec<Cost>,
    /// By step.
    pub online: Vec<Cost>,
    /// What of `offline` moves in `complete`, and so never for an inference that is opened.
    pub kept_back: Cost,
}

/// A way to compute non-linear steps. The value is its configuration.
pub trait NonlinearProtocol: Send + Sync {
    /// Circuits or tables, shared by all sessions.
    type Compiled: Send + Sync;
    /// The client's session.
    type Client: NonlinearClient;
    /// The server's session.
    type Server: NonlinearServer;

    /// Which protocol computes this step, for reports: `garbled`, `gmw`, `ideal`, ..
    fn name(&self, compiled: &Self::Compiled, step: usize) -> &'static str;

    /// Names and parameters of the primitives: both parties' suites must agree in them (the
    /// handshake compares).
    fn primitives(&self) -> String;

    /// Checks all steps of a network and prepares what sessions share.
    ///
    /// # Errors
    /// [`ProtocolError::Plan`] if a step's ring conditions do not hold or it is not supported.
    fn compile(&self, steps: Arc<[Step]>) -> Result<Self::Compiled, ProtocolError>;

    /// Returns the exact traffic of an inference before which the session has prepared `earlier` ones: none before
    /// its first.
    fn traffic(&self, compiled: &Self::Compiled, earlier: usize) -> NonlinearTraffic;

    /// Setup at the client.
    ///
    /// # Errors
    /// The link's, or a primitive's.
    fn client(
        &self,
        compiled: Arc<Self::Compiled>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Client, ProtocolError>;

    /// Setup at the server.
    ///
    /// # Errors
    /// The link's, or a primitive's.
    fn server(
        &self,
        compiled: Arc<Self::Compiled>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Server, ProtocolError>;

    /// A session at the client that uses stored material ([`NonlinearClient::load`]) and makes none: no setup, no
    /// message.
    ///
    /// # Errors
    /// [`ProtocolError::Caller`] from protocols whose material cannot be stored.
    fn client_of_stored(
        &self,
        _compiled: Arc<Self::Compiled>,
    ) -> Result<Self::Client, ProtocolError> {
        Err(Misuse::Unplanned("stored material").into())
    }

    /// The same at the server.
    ///
    /// # Errors
    /// As [`client_of_stored`](Self::client_of_stored).
    fn server_of_stored(
        &self,
        _compiled: Arc<Self::Compiled>,
    ) -> Result<Self::Server, ProtocolError> {
        Err(Misuse::Unplanned("stored material").into())
    }
}

/// The client's session.
pub trait NonlinearClient: Send {
    /// Single-use material of one step of one inference; refers to no session.
    type Prepared: Send;

    /// Makes the material of `step`. `input` is the client's share of x, known offline.
    ///
    /// # Errors
    /// The link's, a primitive's, or [`ProtocolError::Caller`] if a shape does not fit.
    fn offline(
        &mut self,
        step: usize,
        input: &Shares,
        output: Output<'_>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Prepared, ProtocolError>;

    /// Says and hears what goes ahead of the offline phase of `steps`, before anything else of it; the
    /// server calls [`NonlinearServer::announce`].
    ///
    /// # Errors
    /// The link's.
    fn announce(
        &mut self,
        _steps: Range<usize>,
        _channel: &mut Channel,
        _rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), ProtocolError> {
        Ok(())
    }

    /// Makes the material of `steps`, in as few turns as the protocol can; [`announce`](Self::announce)
    /// may have gone before. The server calls [`NonlinearServer::prepare`] or its `prepare_each`: protocols override
    /// [`prepare_each`](Self::prepare_each) at both parties, not this.
    ///
    /// # Errors
    /// As [`offline`](Self::offline), and those of `source`.
    fn prepare(
        &mut self,
        steps: Range<usize>,
        source: &mut dyn StepSource,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<PreparedSteps<Self::Prepared>, ProtocolError> {
        let mut all = Vec::with_capacity(steps.len());
        let costs =
            self.prepare_each(steps, source, channel, rng, &mut |prepared| all.push(prepared))?;
        Ok(all.into_iter().zip(costs).collect())
    }

    /// As [`prepare`](Self::prepare), giving each step's material to `ready` as soon as it is made, in the steps'
    /// order; what each took, at the end. The server calls [`NonlinearServer::prepare_each`] or `prepare`.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    fn prepare_each(
        &mut self,
        steps: Range<usize>,
        source: &mut dyn StepSource,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
        ready: &mut dyn FnMut(Self::Prepared),
    ) -> Result<Vec<StepCost>, ProtocolError> {
        let mut costs = Vec::with_capacity(steps.len());
        for step in steps {
            let (start, before) = (Instant::now(), channel.traffic());
            let (input, mask) = source.shares(step)?;
            let output = match &mask {
                Some(mask) => Output::Masked(mask),
                None => Output::Reveal,
            };
            ready(self.offline(step, &input, output, channel, rng)?);
            costs.push(StepCost::since(start, before, channel));
            source.prepared(step);
        }
        Ok(costs)
    }

    /// What is prepared from now on is to be [stored](Self::store), and loaded before it is used.
    fn record(&mut self, _on: bool) {}

    /// Writes a step's material, made under [`record`](Self::record); no state of an OT session is part of it but
    /// Delta, of garbled steps at the server.
    ///
    /// # Errors
    /// The writer's; [`io::ErrorKind::Unsupported`] for material that was made to be used at once, and from
    /// protocols that store none.
    fn store(&self, _prepared: &Self::Prepared, _out: &mut dyn Write) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Reads the material of `step` again.
    ///
    /// # Errors
    /// The reader's, or [`ProtocolError::Caller`] if it is none of this step.
    fn load(&self, _step: usize, _input: &mut dyn Read) -> Result<Self::Prepared, ProtocolError> {
        Err(Misuse::Material.into())
    }

    /// Answers the server's [challenge](NonlinearServer::challenge) to the material of all steps of one
    /// inference, in order.
    ///
    /// # Errors
    /// [`ProtocolError::Caller`] from protocols that cannot be audited.
    fn answer(
        &self,
        _prepared: &[Self::Prepared],
        _challenge: &[u8; 16],
    ) -> Result<[u8; 16], ProtocolError> {
        Err(Misuse::Unplanned("audit").into())
    }

    /// Completes the material of all steps of one inference, in order, that has been audited and is to be used.
    /// The server calls [`NonlinearServer::complete`].
    ///
    /// # Errors
    /// The link's, or [`ProtocolError::Caller`] from protocols that cannot be audited.
    fn complete(
        &mut self,
        _prepared: Vec<Self::Prepared>,
        _channel: &mut Channel,
    ) -> Result<PreparedSteps<Self::Prepared>, ProtocolError> {
        Err(Misuse::Unplanned("audit").into())
    }

    /// Computes `step`; the revealed values if it reveals.
    ///
    /// # Errors
    /// The link's, or [`ProtocolError::Peer`].
    fn online(
        &mut self,
        step: usize,
        prepared: Self::Prepared,
        channel: &mut Channel,
    ) -> Result<Option<Vec<i64>>, ProtocolError>;

    /// Computes a wave: steps of which none needs another's result, each with its material. One after the other here;
    /// protocols that can have them share their trips. The server calls [`NonlinearServer::online_wave`] with the
    /// same steps in the same order.
    ///
    /// # Errors
    /// As [`online`](Self::online).
    fn online_wave(
        &mut self,
        steps: Vec<(usize, Self::Prepared)>,
        channel: &mut Channel,
    ) -> Result<OnlineSteps<Option<Vec<i64>>>, ProtocolError> {
        let mut results = Vec::with_capacity(steps.len());
        for (step, prepared) in steps {
            let (start, before) = (Instant::now(), channel.traffic());
            let values = self.online(step, prepared, channel)?;
            results.push((values, StepCost::since(start, before, channel)));
        }
        Ok(results)
    }
}

/// The server's session.
pub trait NonlinearServer: Send {
    /// Single-use material of one step of one inference; refers to no session.
    type Prepared: Send;

    /// Makes the material of `step`.
    ///
    /// # Errors
    /// The link's, or a primitive's.
    fn offline(
        &mut self,
        step: usize,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Prepared, ProtocolError>;

    /// As [`NonlinearClient::announce`].
    ///
    /// # Errors
    /// The link's.
    fn announce(
        &mut self,
        _steps: Range<usize>,
        _channel: &mut Channel,
        _rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), ProtocolError> {
        Ok(())
    }

    /// As [`NonlinearClient::prepare`].
    ///
    /// # Errors
    /// As [`offline`](Self::offline).
    fn prepare(
        &mut self,
        steps: Range<usize>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<PreparedSteps<Self::Prepared>, ProtocolError> {
        let mut all = Vec::with_capacity(steps.len());
        let costs = self.prepare_each(steps, channel, rng, &mut |prepared| all.push(prepared))?;
        Ok(all.into_iter().zip(costs).collect())
    }

    /// As [`NonlinearClient::prepare_each`].
    ///
    /// # Errors
    /// As [`offline`](Self::offline).
    fn prepare_each(
        &mut self,
        steps: Range<usize>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
        ready: &mut dyn FnMut(Self::Prepared),
    ) -> Result<Vec<StepCost>, ProtocolError> {
        let mut costs = Vec::with_capacity(steps.len());
        for step in steps {
            let (start, before) = (Instant::now(), channel.traffic());
            ready(self.offline(step, channel, rng)?);
            costs.push(StepCost::since(start, before, channel));
        }
        Ok(costs)
    }

    /// As [`NonlinearClient::record`].
    fn record(&mut self, _on: bool) {}

    /// As [`NonlinearClient::store`].
    ///
    /// # Errors
    /// The same.
    fn store(&self, _prepared: &Self::Prepared, _out: &mut dyn Write) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// As [`NonlinearClient::load`].
    ///
    /// # Errors
    /// The same.
    fn load(&self, _step: usize, _input: &mut dyn Read) -> Result<Self::Prepared, ProtocolError> {
        Err(Misuse::Material.into())
    }

    /// What the client is asked about the material of all steps of one inference, in order, when it has
    /// said all of their offline phase. Secret before.
    ///
    /// # Errors
    /// [`ProtocolError::Caller`] from protocols that cannot be audited.
    fn challenge(&self, _prepared: &[Self::Prepared]) -> Result<[u8; 16], ProtocolError> {
        Err(Misuse::Unplanned("audit").into())
    }

    /// Whether the client's [answer](NonlinearClient::answer) is that of one which put the shares and masks of
    /// `source` into all steps. Nothing of the material may be used afterwards.
    ///
    /// # Errors
    /// [`ProtocolError::Cheating`] if it is not; those of `source`.
    fn audit(
        &self,
        _prepared: &[Self::Prepared],
        _source: &mut dyn StepSource,
        _answer: &[u8; 16],
    ) -> Result<(), ProtocolError> {
        Err(Misuse::Unplanned("audit").into())
    }

    /// What the client gets only for an inference that is used: whether one is opened shows in nothing that the
    /// server does before. As [`NonlinearClient::complete`].
    ///
    /// # Errors
    /// The same.
    fn complete(
        &mut self,
        _prepared: Vec<Self::Prepared>,
        _channel: &mut Channel,
    ) -> Result<PreparedSteps<Self::Prepared>, ProtocolError> {
        Err(Misuse::Unplanned("audit").into())
    }

    /// Computes `step` on the server's share of x; gives `f(x) - r`, or nothing if it reveals.
    ///
    /// # Errors
    /// The link's, or [`ProtocolError::Peer`].
    fn online(
        &mut self,
        step: usize,
        prepared: Self::Prepared,
        input: Shares,
        channel: &mut Channel,
    ) -> Result<Option<Shares>, ProtocolError>;

    /// As [`NonlinearClient::online_wave`], each step with the server's share of its x.
    ///
    /// # Errors
    /// As [`online`](Self::online).
    fn online_wave(
        &mut self,
        steps: Vec<(usize, Self::Prepared, Shares)>,
        channel: &mut Channel,
    ) -> Result<OnlineSteps<Option<Shares>>, ProtocolError> {
        let mut results = Vec::with_capacity(steps.len());
        for (step, prepared, input) in steps {
            let (start, before) = (Instant::now(), channel.traffic());
            let share = self.online(step, prepared, input, channel)?;
            results.push((share, StepCost::since(start, before, channel)));
        }
        Ok(results)
    }
}
