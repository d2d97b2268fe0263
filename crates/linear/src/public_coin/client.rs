//! The client's session.

use std::io::{self, Read, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use gazelle_he::public_coin::{
    HintMessage, HintShape, LayerSecret, PublicCoins, RequestShape, ReshareMessage,
};
use gazelle_share::{LinearClient, LinearGroup, Mask, Misuse, ProtocolError, Shares};
use gazelle_wire::{Message, RecvHalf, SendHalf};
use rand_core::CryptoRng;

use super::compiled::{GroupState, check_inference, states};
use super::kept::KeptDigest;
use super::request::{RequestCoins, make, shares};
use crate::packing::PackingScheme;
use crate::plan::LinearPlan;
use crate::traffic::hint_messages;

/// One client's session with one server: the public coins and the stored hints.
pub struct PublicCoinClient {
    groups: Vec<ClientGroup>,
    coins: PublicCoins,
}

/// What the client keeps of one group.
struct ClientGroup {
    state: GroupState,
    /// The stored hints, once they are here; those of a revealed group come with every answer.
    hints: OnceLock<HintMessage>,
    /// Inferences requested so far.
    inferences: AtomicU64,
}

/// The secret of one request; single use.
pub struct Pending {
    secret: LayerSecret,
    inference: u64,
}

/// A request's secret with the server's answer; single use.
pub struct Collected {
    pending: Pending,
    nonce: ReshareMessage,
    /// Of a revealed group; nothing otherwise.
    fresh: Option<HintMessage>,
}

impl std::fmt::Debug for PublicCoinClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicCoinClient {{ {} groups, .. }}", self.groups.len())
    }
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pending {{ inference: {}, .. }}", self.inference)
    }
}

impl std::fmt::Debug for Collected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Collected {{ inference: {}, .. }}", self.pending.inference)
    }
}

impl PublicCoinClient {
    /// A session whose hints are still to come.
    pub(super) fn before_hints(
        scheme: &dyn PackingScheme,
        (groups, plan): (&[LinearGroup], &LinearPlan),
        context: &[u8; 32],
    ) -> Result<Self, ProtocolError> {
        let states = states(scheme, groups, plan)?;
        let group =
            |state| ClientGroup { state, hints: OnceLock::new(), inferences: AtomicU64::new(0) };
        let groups = states.into_iter().map(group).collect();
        Ok(Self { groups, coins: PublicCoins::from_joint(context) })
    }

    /// Goes on with a setup that was kept, after `used` inferences.
    pub(super) fn resume(
        scheme: &dyn PackingScheme,
        (groups, plan): (&[LinearGroup], &LinearPlan),
        used: u64,
        kept: &mut dyn Read,
    ) -> Result<Self, ProtocolError> {
        let unreadable = |error: io::Error| ProtocolError::Peer(format!("a kept setup: {error}"));
        let mut seed = [0; 32];
        kept.read_exact(&mut seed).map_err(unreadable)?;
        let states = states(scheme, groups, plan)?;
        let mut groups = Vec::with_capacity(states.len());
        for state in states {
            let mut hints = OnceLock::new();
            if !state.group.revealed {
                let shape = hint_shape(&state, state.layout.responses);
                let mut bytes = vec![0; HintMessage::encoded_len(&shape)];
                kept.read_exact(&mut bytes).map_err(unreadable)?;
                hints = HintMessage::kept(bytes, &shape)?.into();
            }
            groups.push(ClientGroup { state, hints, inferences: AtomicU64::new(used) });
        }
        if kept.read(&mut [0]).map_err(unreadable)? > 0 {
            return Err(ProtocolError::Peer("a kept setup with more than its hints".into()));
        }
        Ok(Self { groups, coins: PublicCoins::kept(seed) })
    }

    /// Makes a request and sends it.
    fn send(
        &self,
        group: usize,
        mask: Mask<'_>,
        channel: &mut SendHalf,
        coins: RequestCoins<'_>,
    ) -> Result<(Shares, Pending), ProtocolError> {
        let ClientGroup { state, inferences, .. } = self.find(group)?;
        let (made, r) = make(state, &self.coins, mask, coins)?;
        // A mask that was refused counts for nothing, here as at the server.
        let inference = inferences.fetch_add(1, Ordering::Relaxed);
        check_inference(state, inference)?;
        let shape = RequestShape {
            parameters: state.parameters,
            requests: state.layout.requests,
            pinned: state.pinned,
        };
        channel.send(&made.message, &shape)?;
        channel.flush()?;
        Ok((r, Pending { secret: made.secret, inference }))
    }

    /// As `request_from`, with a secret that is out of range: for tests of who looks at it.
    ///
    /// # Errors
    /// As `request_from`.
    #[cfg(feature = "testing")]
    pub fn request_stretched(
        &self,
        group: usize,
        mask: Mask<'_>,
        channel: &mut SendHalf,
        coins: &[u8; 32],
    ) -> Result<(Shares, Pending), ProtocolError> {
        self.send(group, mask, channel, RequestCoins::Stretched(coins))
    }

    fn find(&self, group: usize) -> Result<&ClientGroup, ProtocolError> {
        self.groups.get(group).ok_or_else(|| Misuse::Group(group).into())
    }

    /// Bytes of hints held.
    pub fn hint_bytes(&self) -> usize {
        self.hints().map(HintMessage::len).sum()
    }

    /// The stored hints, in the order of the plan.
    fn hints(&self) -> impl Iterator<Item = &HintMessage> {
        self.groups.iter().filter_map(|group| group.hints.get())
    }
}

impl LinearClient for PublicCoinClient {
    type Pending = Pending;
    type Collected = Collected;

    fn hear_hints(
        &self,
        channel: &mut RecvHalf,
        heard: &mut dyn FnMut(usize),
    ) -> Result<(), ProtocolError> {
        for (number, ClientGroup { state, hints, .. }) in self.groups.iter().enumerate() {
            if !state.group.revealed {
                let stored = receive_hints(state, channel)?;
                hints.set(stored).map_err(|_| Misuse::Unplanned("second hint"))?;
            }
            heard(number);
        }
        Ok(())
    }

    fn request(
        &self,
        group: usize,
        mask: Mask<'_>,
        channel: &mut SendHalf,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(Shares, Pending), ProtocolError> {
        self.send(group, mask, channel, RequestCoins::Fresh(rng))
    }

    fn request_from(
        &self,
        group: usize,
        mask: Mask<'_>,
        channel: &mut SendHalf,
        coins: &[u8; 32],
    ) -> Result<(Shares, Pending), ProtocolError> {
        if self.find(group)?.state.group.revealed {
            return Err(Misuse::Unplanned("audited request").into());
        }
        self.send(group, mask, channel, RequestCoins::All(coins))
    }

    fn collect(
        &self,
        group: usize,
        pending: Pending,
        channel: &mut RecvHalf,
    ) -> Result<Collected, ProtocolError> {
        let ClientGroup { state, .. } = self.find(group)?;
        let nonce: ReshareMessage = channel.recv(&())?;
        let mut fresh = None;
        if state.group.revealed {
            fresh = Some(receive_hints(state, channel)?);
        }
        Ok(Collected { pending, nonce, fresh })
    }

    fn finish(&self, group: usize, collected: Collected) -> Result<Vec<Shares>, ProtocolError> {
        let ClientGroup { state, hints, .. } = self.find(group)?;
        let Collected { pending, nonce, fresh } = collected;
        // A request of another group brings other hints, or none.
        let hints = fresh.as_ref().or(hints.get()).ok_or(Misuse::Unplanned("answer"))?;
        shares(state, pending.secret, hints, pending.inference, &nonce)
    }

    fn kept_digest(&self) -> Option<[u8; 32]> {
        let mut digest = KeptDigest::new(&self.coins);
        for group in self.groups.iter().filter(|group| !group.state.group.revealed) {
            // Nothing is kept of a setup whose hints are not all here.
            digest.add(group.hints.get()?);
        }
        Some(digest.finish())
    }

    fn keep(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.coins.to_bytes())?;
        for hints in self.hints() {
            out.write_all(hints.bytes())?;
        }
        Ok(())
    }
}

/// All hints of a group.
fn receive_hints(state: &GroupState, channel: &mut RecvHalf) -> Result<HintMessage, ProtocolError> {
    let responses = state.layout.responses;
    let mut hints = HintMessage::with_room(&hint_shape(state, responses));
    for rows in hint_messages(responses) {
        hints.append(channel.recv(&hint_shape(state, rows))?);
    }
    Ok(hints)
}

pub(super) fn hint_shape(group: &GroupState, responses: usize) -> HintShape {
    HintShape { parameters: group.parameters, responses }
}
