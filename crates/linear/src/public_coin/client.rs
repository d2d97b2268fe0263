//! The client's session.

use std::sync::atomic::{AtomicU64, Ordering};

use gazelle_he::public_coin::{
    HintMessage, HintShape, LayerSecret, PublicCoins, RequestShape, ReshareMessage,
};
use gazelle_share::{LinearClient, LinearGroup, Mask, MaskKind, Misuse, ProtocolError, Shares};
use gazelle_wire::{Channel, RecvHalf, SendHalf};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::compiled::{GroupState, check_inference, find, states};
use crate::layout::Slots;
use crate::packing::PackingScheme;
use crate::plan::Plan;
use crate::traffic::hint_runs;

/// One client's session with one server: the public coins and the stored hints.
pub struct PublicCoinClient {
    groups: Vec<GroupState>,
    coins: PublicCoins,
    /// By group; empty for revealed groups.
    hints: Vec<HintMessage>,
    /// Inferences requested so far, by group.
    inferences: Vec<AtomicU64>,
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
    /// Of a revealed group; empty otherwise.
    fresh: HintMessage,
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
    pub(super) fn setup(
        scheme: &dyn PackingScheme,
        (groups, plan): (&[LinearGroup], &Plan),
        context: &[u8; 32],
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self, ProtocolError> {
        let groups = states(scheme, groups, plan)?;
        let coins = PublicCoins::client(context, channel, rng).map_err(from_he)?;
        let mut hints = Vec::with_capacity(groups.len());
        for group in &groups {
            let mut of_group = HintMessage::default();
            if !group.group.revealed {
                for run in hint_runs(group.layout.responses) {
                    of_group.append(channel.recv(&hint_shape(group, run.len()))?);
                }
            }
            hints.push(of_group);
        }
        let inferences = groups.iter().map(|_| AtomicU64::new(0)).collect();
        Ok(Self { groups, coins, hints, inferences })
    }

    /// Bytes of hints held.
    pub fn hint_bytes(&self) -> usize {
        self.hints.iter().map(HintMessage::len).sum()
    }
}

impl LinearClient for PublicCoinClient {
    type Pending = Pending;
    type Collected = Collected;

    fn request(
        &self,
        group: usize,
        mask: Mask<'_>,
        channel: &mut SendHalf,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(Shares, Pending), ProtocolError> {
        let state = find(&self.groups, group)?;
        let counter = self.inferences.get(group);
        let slots = state.layout.slots();
        let mut r = initial_mask(state, &slots, mask, rng)?;
        let inference = counter.map_or(0, |counter| counter.fetch_add(1, Ordering::Relaxed));
        check_inference(state, inference)?;
        let positions: Vec<&[u32]> = slots.iter().map(|slots| slots.pinned.as_slice()).collect();
        let mut settle = |request: usize, polynomial: &mut [u64]| {
            if let Some(slots) = slots.get(request) {
                settle_polynomial(slots, polynomial, &mut r);
            }
        };
        let requested = LayerSecret::request_with(
            &state.parameters,
            &self.coins,
            state.first_index,
            &positions,
            &mut settle,
            rng,
        )
        .map_err(from_he)?;
        let shape = RequestShape {
            parameters: state.parameters,
            requests: state.layout.requests,
            pinned: state.pinned,
        };
        channel.send(&requested.message, &shape)?;
        channel.flush()?;
        let r = Shares::new(state.group.ring_bits, std::mem::take(&mut *r));
        Ok((r, Pending { secret: requested.secret, inference }))
    }

    fn collect(
        &self,
        group: usize,
        pending: Pending,
        channel: &mut RecvHalf,
    ) -> Result<Collected, ProtocolError> {
        let state = find(&self.groups, group)?;
        let nonce: ReshareMessage = channel.recv(&())?;
        let mut fresh = HintMessage::default();
        if state.group.revealed {
            for run in hint_runs(state.layout.responses) {
                fresh.append(channel.recv(&hint_shape(state, run.len()))?);
            }
        }
        Ok(Collected { pending, nonce, fresh })
    }

    fn finish(&self, group: usize, collected: Collected) -> Result<Vec<Shares>, ProtocolError> {
        let state = find(&self.groups, group)?;
        let Collected { pending, nonce, fresh } = collected;
        let stored = self.hints.get(group).filter(|_| !state.group.revealed).unwrap_or(&fresh);
        let useful = state.layout.useful();
        let words = pending
            .secret
            .shares(stored, pending.inference, &nonce, &useful.rows())
            .map_err(from_he)?;
        let per_op = useful.scatter(&words, &state.layout.outputs);
        Ok(per_op
            .into_iter()
            .map(|words| Shares::new(state.parameters.share_bits(), words))
            .collect())
    }
}

/// r before the request defines it: the given mask, or coins where no request holds the element.
fn initial_mask(
    state: &GroupState,
    slots: &[Slots],
    mask: Mask<'_>,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<Zeroizing<Vec<u64>>, ProtocolError> {
    let elements = state.layout.elements;
    match (state.group.mask, mask) {
        (MaskKind::Given, Mask::Given(given))
            if given.len() == elements && given.bits() == state.group.ring_bits =>
        {
            Ok(Zeroizing::new(given.words().to_vec()))
        }
        (MaskKind::Fresh, Mask::Fresh) => {
            let held: usize = slots.iter().map(|slots| slots.masks.len()).sum();
            if held == elements {
                return Ok(Zeroizing::new(vec![0; elements]));
            }
            Ok(Zeroizing::new(Shares::random(state.group.ring_bits, elements, rng).into_words()))
        }
        _ => Err(Misuse::Unplanned("mask").into()),
    }
}

/// Pins what is to be pinned, then reads the masks that this polynomial defines.
fn settle_polynomial(slots: &Slots, polynomial: &mut [u64], r: &mut [u64]) {
    for (&position, source) in slots.pinned.iter().zip(&slots.sources) {
        let wanted = source.and_then(|element| r.get(element as usize).copied()).unwrap_or(0);
        if let Some(word) = polynomial.get_mut(position as usize) {
            *word = wanted;
        }
    }
    for &(position, element) in &slots.masks {
        if let (Some(to), Some(from)) =
            (r.get_mut(element as usize), polynomial.get(position as usize))
        {
            *to = *from;
        }
    }
}

pub(super) fn hint_shape(group: &GroupState, responses: usize) -> HintShape {
    HintShape { parameters: group.parameters, responses }
}

/// The link's errors stay the link's.
pub(super) fn from_he(error: gazelle_he::HeError) -> ProtocolError {
    use gazelle_he::HeError;
    match error {
        HeError::Channel(error) => ProtocolError::Channel(error),
        HeError::Malformed { .. } | HeError::Commitment => ProtocolError::Peer(error.to_string()),
        other => ProtocolError::backend(other),
    }
}
