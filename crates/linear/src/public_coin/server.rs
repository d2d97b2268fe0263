//! The server's session.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, mpsc};

use gazelle_he::public_coin::{
    EncryptedRequest, HintBinding, HintKey, HintMessage, HintSource, PublicCoins, RequestMessage,
    RequestShape, Reshare, ReshareMessage, ResponseNoise,
};
use gazelle_share::{
    KeptSetup, LinearServer, LinearWeights, Mask, Misuse, ProtocolError, RequestTrace, Shares,
};
use gazelle_wire::{RecvHalf, SendHalf};
use rand_core::CryptoRng;

use super::client::hint_shape;
use super::compiled::{Compiled, CompiledGroup, GroupState, check_inference};
use super::kept::{self, KeptDigest};
use super::request::{RequestCoins, from_he, make, shares};
use crate::plain_kernels;
use crate::traffic::{MESSAGE_ROWS, hint_messages, hint_runs};

/// One server's session with one client: the public coins and the key of the hint secrets.
pub struct PublicCoinServer {
    compiled: Arc<Compiled>,
    coins: PublicCoins,
    /// As many as the model's.
    groups: Vec<ServerGroup>,
    /// The key of the hint secrets; nothing where there was no setup.
    key: Option<HintKey>,
    /// What later sessions need, once all hints are said.
    kept: OnceLock<KeptSetup>,
}

/// What a session keeps of one group.
struct ServerGroup {
    /// Nothing for a revealed group.
    source: Option<HintSource>,
    /// Inferences received so far.
    inferences: AtomicU64,
    /// The hints that were sent, once an audit has asked for them.
    hints: OnceLock<HintMessage>,
}

/// A request that was answered but not yet computed with; single use.
pub struct Received {
    message: RequestMessage,
    inference: u64,
    nonce: ReshareMessage,
    reshare: Reshare,
    noise: ResponseNoise,
    /// Of a revealed group: the secrets of the hints that were sent with the answer.
    fresh: Option<HintSource>,
}

impl std::fmt::Debug for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Received {{ .. }}")
    }
}

impl std::fmt::Debug for PublicCoinServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicCoinServer {{ {} groups, .. }}", self.groups.len())
    }
}

impl PublicCoinServer {
    /// A session whose hints are still to be said.
    pub(super) fn before_hints(
        compiled: Arc<Compiled>,
        context: &[u8; 32],
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self, ProtocolError> {
        let coins = PublicCoins::from_joint(context);
        let key = HintKey::fresh(rng).map_err(from_he)?;
        let groups = server_groups(&compiled, &coins, &key, 0);
        Ok(Self { compiled, coins, groups, key: Some(key), kept: OnceLock::new() })
    }

    /// Goes on with a setup that was kept, after `used` inferences.
    pub(super) fn resume(
        compiled: Arc<Compiled>,
        used: u64,
        kept: &KeptSetup,
    ) -> Result<Self, ProtocolError> {
        let (coins, key) = kept::unpack(&compiled, kept)?;
        let groups = server_groups(&compiled, &coins, &key, used);
        Ok(Self { compiled, coins, groups, key: Some(key), kept: kept.clone().into() })
    }

    /// Without a setup: computes online alone.
    pub(super) fn of_stored(compiled: Arc<Compiled>) -> Self {
        let (coins, kept) = (PublicCoins::kept([0; 32]), OnceLock::new());
        Self { compiled, coins, groups: Vec::new(), key: None, kept }
    }

    fn find(&self, group: usize) -> Result<(&CompiledGroup, &ServerGroup), ProtocolError> {
        let found = self.compiled.groups.get(group).zip(self.groups.get(group));
        found.ok_or_else(|| Misuse::Group(group).into())
    }

    /// Fresh hints for one inference of a revealed group, sent at once.
    fn reveal(
        &self,
        (number, group): (usize, &CompiledGroup),
        inference: u64,
        send: &mut SendHalf,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<HintSource, ProtocolError> {
        let key = HintKey::fresh(rng).map_err(from_he)?;
        let CompiledGroup { state, matrix, .. } = group;
        let binding = binding(&self.compiled, (number, group), 1 + inference);
        let source = key.source(&state.parameters, &self.coins, &binding);
        for run in hint_runs(state.layout.responses) {
            let rows = run.len();
            send_cut(&source.hints(matrix, run).map_err(from_he)?, (state, rows), send)?;
        }
        Ok(source)
    }
}

/// What a session keeps of all groups, after `used` inferences of their setup.
fn server_groups(
    compiled: &Compiled,
    coins: &PublicCoins,
    key: &HintKey,
    used: u64,
) -> Vec<ServerGroup> {
    let group = |(number, group): (usize, &CompiledGroup)| {
        let bound = binding(compiled, (number, group), 0);
        let source = || key.source(&group.state.parameters, coins, &bound).after(used);
        ServerGroup {
            source: (!group.state.group.revealed).then(source),
            inferences: AtomicU64::new(used),
            hints: OnceLock::new(),
        }
    };
    compiled.groups.iter().enumerate().map(group).collect()
}

/// Runs of hints computed ahead of the one that is sent: some layers take longer to compute than to
/// send, others the other way round, and neither is to wait for the other.
const AHEAD: usize = 12;

/// Computes all hints of a setup and sends them as they are made: one thread computes the next rows
/// while this one sends. The digest of what was sent.
fn send_hints(
    compiled: &Compiled,
    groups: &[ServerGroup],
    coins: &PublicCoins,
    channel: &mut SendHalf,
) -> Result<[u8; 32], ProtocolError> {
    let (made, next) = mpsc::sync_channel(AHEAD);
    std::thread::scope(|scope| {
        let worker = scope.spawn(move || {
            for (CompiledGroup { state, matrix, .. }, group) in compiled.groups.iter().zip(groups) {
                let Some(source) = &group.source else { continue };
                for run in hint_runs(state.layout.responses) {
                    let rows = run.len();
                    let hints = source.hints(matrix, run).map_err(from_he);
                    let failed = hints.is_err();
                    // The receiver is gone only after an error of its own.
                    if made.send((hints, (state, rows))).is_err() || failed {
                        return;
                    }
                }
            }
        });
        let mut sent = Ok(());
        let mut digest = KeptDigest::new(coins);
        while sent.is_ok() {
            let made = next.try_recv().or_else(|_| {
                // What is there leaves before this waits for more.
                sent = channel.flush().map_err(ProtocolError::from);
                next.recv()
            });
            let (Ok((hints, run)), true) = (made, sent.is_ok()) else { break };
            sent = hints.and_then(|hints| {
                digest.add(&hints);
                send_cut(&hints, run, channel)
            });
        }
        drop(next);
        match worker.join() {
            Ok(()) => sent.map(|()| digest.finish()),
            Err(_) => Err(ProtocolError::Panicked),
        }
    })
}

/// Sends the hints of a run of so many rows, cut into messages.
fn send_cut(
    hints: &HintMessage,
    (state, rows): (&GroupState, usize),
    channel: &mut SendHalf,
) -> Result<(), ProtocolError> {
    let messages = hints.cut(hint_shape(state, MESSAGE_ROWS));
    for (message, rows) in messages.zip(hint_messages(rows)) {
        channel.send(&message, &hint_shape(state, rows))?;
    }
    Ok(())
}

/// What the hint secrets of a group are bound to.
fn binding(
    compiled: &Compiled,
    (number, group): (usize, &CompiledGroup),
    setup: u64,
) -> HintBinding {
    HintBinding {
        plan: compiled.plan_digest,
        weights: group.weight_digest,
        group: number as u64,
        first_index: group.state.first_index,
        setup,
    }
}

impl LinearServer for PublicCoinServer {
    type Received = Received;

    fn say_hints(&self, channel: &mut SendHalf) -> Result<(), ProtocolError> {
        let Self { compiled, coins, groups, key, kept } = self;
        let key = key.as_ref().ok_or(Misuse::Unplanned("hint"))?;
        let digest = send_hints(compiled, groups, coins, channel)?;
        channel.flush()?;
        // Who says them again says the same.
        kept.get_or_init(|| kept::pack(compiled, coins, key, digest));
        Ok(())
    }

    fn receive(
        &self,
        group: usize,
        (send, recv): (&mut SendHalf, &mut RecvHalf),
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Received, ProtocolError> {
        let (compiled, session) = self.find(group)?;
        let state = &compiled.state;
        let inference = session.inferences.fetch_add(1, Ordering::Relaxed);
        check_inference(state, inference)?;
        let shape = RequestShape {
            parameters: state.parameters,
            requests: state.layout.requests,
            pinned: state.pinned,
        };
        let message: RequestMessage = recv.recv(&shape)?;
        let (nonce, reshare) = message.reshare(&self.coins, inference, rng);
        send.send(&nonce, &())?;
        send.flush()?;
        let mut fresh = None;
        if state.group.revealed {
            fresh = Some(self.reveal((group, compiled), inference, send, rng)?);
            send.flush()?;
        }
        let noise = ResponseNoise::fresh(rng).map_err(from_he)?;
        Ok(Received { message, inference, nonce, reshare, noise, fresh })
    }

    fn finish(&self, group: usize, received: Received) -> Result<Vec<Shares>, ProtocolError> {
        let (CompiledGroup { state, matrix, .. }, session) = self.find(group)?;
        let Received { message, reshare, noise, fresh, .. } = received;
        // A request of another group brings other secrets, or none.
        let source =
            fresh.as_ref().or(session.source.as_ref()).ok_or(Misuse::Unplanned("request"))?;
        let slots = state.layout.slots();
        let positions: Vec<&[u32]> = slots.iter().map(|slots| slots.pinned.as_slice()).collect();
        let request =
            EncryptedRequest::open(&state.parameters, &message, &positions).map_err(from_he)?;
        drop(message);
        let useful = state.layout.useful();
        let words =
            source.shares(&request, &reshare, matrix, &useful.rows(), noise).map_err(from_he)?;
        let per_op = useful.scatter(&words, &state.layout.outputs);
        Ok(per_op
            .into_iter()
            .map(|words| Shares::new(state.parameters.share_bits(), words))
            .collect())
    }

    fn online(
        &self,
        group: usize,
        op: usize,
        weights: &LinearWeights,
        x: &Shares,
        v: &Shares,
    ) -> Result<Shares, ProtocolError> {
        let compiled = self.compiled.groups.get(group).ok_or(Misuse::Group(group))?;
        let CompiledGroup { state, .. } = compiled;
        let group = &state.group;
        let operator = group.ops.get(op).ok_or(Misuse::Unplanned("operator"))?;
        if x.len() != operator.input_len() {
            let expected = (operator.input_len(), group.ring_bits);
            return Err(Misuse::Shares { what: "input", expected, got: (x.len(), x.bits()) }.into());
        }
        if weights.weights.len() != operator.weight_len() {
            return Err(Misuse::Unplanned("operator's weights").into());
        }
        let product = plain_kernels::apply(operator, weights, x.words(), group.ring_bits);
        group.add_share(op, weights, product, v)
    }

    fn trace(&self, received: &Received) -> Option<RequestTrace> {
        let Received { message, inference, nonce, .. } = received;
        let (digest, inference) = (message.digest(), *inference);
        Some(RequestTrace { digest, nonce: nonce.nonce, inference })
    }

    fn replay(
        &self,
        group: usize,
        mask: Mask<'_>,
        coins: &[u8; 32],
        trace: &RequestTrace,
    ) -> Result<(Shares, Vec<Shares>), ProtocolError> {
        let (CompiledGroup { state, matrix, .. }, session) = self.find(group)?;
        let source = session.source.as_ref().ok_or(Misuse::Unplanned("audit"))?;
        if session.hints.get().is_none() {
            let mut hints = HintMessage::default();
            for run in hint_runs(state.layout.responses) {
                hints.append(source.hints(matrix, run).map_err(from_he)?);
            }
            // Another thread may have been faster; both have the same.
            let _ = session.hints.set(hints);
        }
        let hints = session.hints.get().ok_or(Misuse::Unplanned("audit"))?;
        let (made, r) = make(state, &self.coins, mask, RequestCoins::All(coins))?;
        if made.message.digest() != trace.digest {
            return Err(ProtocolError::Cheating("the audit of a request"));
        }
        let nonce = ReshareMessage { nonce: trace.nonce };
        Ok((r, shares(state, made.secret, hints, trace.inference, &nonce)?))
    }

    fn keep(&self) -> Option<KeptSetup> {
        self.kept.get().cloned()
    }
}
