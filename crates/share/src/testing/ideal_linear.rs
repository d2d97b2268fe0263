//! The ideal linear protocol: exact and insecure.
//!
//! | client | server |
//! |---|---|
//! | `request`: sends r in the clear | `receive`: receives r, draws v |
//! | `collect`: receives u | sends u = W r - v |

use std::sync::Arc;

use gazelle_wire::{Channel, Cost, Packed, PackedShape, RecvHalf, SendHalf, traffic::framed_len};
use rand_core::CryptoRng;

use crate::error::{Misuse, ProtocolError};
use crate::linear::{
    LinearClient, LinearGroup, LinearProtocol, LinearServer, LinearTraffic, Mask, MaskKind,
};
use crate::op::{LinearOp, LinearWeights};
use crate::plain;
use crate::shares::Shares;

/// The ideal [`LinearProtocol`].
#[derive(Debug, Clone, Copy, Default)]
pub struct IdealLinear;

/// See [`IdealLinear`].
#[derive(Debug)]
pub struct IdealLinearClient {
    groups: Arc<[LinearGroup]>,
}

/// Groups and weights.
#[derive(Debug)]
pub struct IdealCompiled {
    groups: Arc<[LinearGroup]>,
    weights: Vec<Vec<LinearWeights>>,
}

/// See [`IdealLinear`].
#[derive(Debug)]
pub struct IdealLinearServer(Arc<IdealCompiled>);

impl LinearProtocol for IdealLinear {
    type Plan = ();
    type Compiled = IdealCompiled;
    type Client = IdealLinearClient;
    type Server = IdealLinearServer;

    fn name(&self) -> &'static str {
        "ideal"
    }

    fn plan(
        &self,
        groups: &[LinearGroup],
        weights: &[Vec<&LinearWeights>],
    ) -> Result<(), ProtocolError> {
        self.validate(groups, &())?;
        check_weights(groups, weights)
    }

    fn validate(&self, groups: &[LinearGroup], (): &()) -> Result<(), ProtocolError> {
        for group in groups {
            let plan = |why: String| ProtocolError::Plan(format!("group {:?}: {why}", group.name));
            let Some(first) = group.ops.first() else { return Err(plan("no operators".into())) };
            for op in &group.ops {
                op.check().map_err(plan)?;
                if op.input_len() != first.input_len() {
                    return Err(plan("operators with different inputs".into()));
                }
            }
            if group.ops.len() != group.truncate_bits.len() || !(1..=64).contains(&group.ring_bits)
            {
                return Err(plan("widths are missing or out of range".into()));
            }
        }
        Ok(())
    }

    fn traffic(&self, groups: &[LinearGroup], (): &()) -> LinearTraffic {
        let cost = |group: &LinearGroup| Cost {
            client_to_server: framed_len(request_shape(group).bytes()),
            server_to_client: group
                .ops
                .iter()
                .map(|op| framed_len(answer(group, op).bytes()))
                .sum(),
        };
        LinearTraffic { setup: Cost::default(), offline: groups.iter().map(cost).collect() }
    }

    fn compile(
        &self,
        groups: Arc<[LinearGroup]>,
        _: Arc<()>,
        weights: &[Vec<&LinearWeights>],
    ) -> Result<IdealCompiled, ProtocolError> {
        self.plan(&groups, weights)?;
        let weights = weights.iter().map(|ws| ws.iter().map(|w| (*w).clone()).collect()).collect();
        Ok(IdealCompiled { groups, weights })
    }

    fn client(
        &self,
        groups: Arc<[LinearGroup]>,
        plan: Arc<()>,
        _: &[u8; 32],
        _: &mut Channel,
        _: &mut (dyn CryptoRng + Send),
    ) -> Result<IdealLinearClient, ProtocolError> {
        self.validate(&groups, &plan)?;
        Ok(IdealLinearClient { groups })
    }

    fn server(
        &self,
        compiled: Arc<IdealCompiled>,
        _: &[u8; 32],
        _: &mut Channel,
        _: &mut (dyn CryptoRng + Send),
    ) -> Result<IdealLinearServer, ProtocolError> {
        Ok(IdealLinearServer(compiled))
    }
}

impl LinearClient for IdealLinearClient {
    type Pending = ();
    type Collected = Vec<Shares>;

    fn request(
        &self,
        group: usize,
        mask: Mask<'_>,
        channel: &mut SendHalf,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(Shares, ()), ProtocolError> {
        let group = find(&self.groups, group)?;
        let shape = request_shape(group);
        let r = match (group.mask, mask) {
            (MaskKind::Fresh, Mask::Fresh) => Shares::random(shape.bits, shape.count, rng),
            (MaskKind::Given, Mask::Given(r))
                if (r.bits(), r.len()) == (shape.bits, shape.count) =>
            {
                r.clone()
            }
            _ => return Err(Misuse::Unplanned("mask").into()),
        };
        channel.send(&Packed { bits: shape.bits, words: r.words().to_vec() }, &shape)?;
        Ok((r, ()))
    }

    fn collect(
        &self,
        group: usize,
        (): (),
        channel: &mut RecvHalf,
    ) -> Result<Vec<Shares>, ProtocolError> {
        let group = find(&self.groups, group)?;
        let mut shares = Vec::with_capacity(group.ops.len());
        for op in &group.ops {
            let u: Packed = channel.recv(&answer(group, op))?;
            shares.push(Shares::new(group.output_bits(), u.words));
        }
        Ok(shares)
    }

    fn finish(&self, _: usize, u: Vec<Shares>) -> Result<Vec<Shares>, ProtocolError> {
        Ok(u)
    }
}

impl LinearServer for IdealLinearServer {
    type Received = Vec<Shares>;

    fn receive(
        &self,
        group: usize,
        (send, recv): (&mut SendHalf, &mut RecvHalf),
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Vec<Shares>, ProtocolError> {
        let weights = self.0.weights.get(group).ok_or(Misuse::Group(group))?;
        let group = find(&self.0.groups, group)?;
        let r: Packed = recv.recv(&request_shape(group))?;
        let mut shares = Vec::with_capacity(group.ops.len());
        for (op, weights) in group.ops.iter().zip(weights) {
            let mut product = plain::apply(op, weights, &r.words, group.ring_bits);
            for word in &mut product {
                *word <<= group.guard.bits;
            }
            let product = Shares::new(group.output_bits(), product);
            let v = Shares::random(group.output_bits(), product.len(), rng);
            let u = product.sub(&v);
            send.send(&Packed { bits: u.bits(), words: u.into_words() }, &answer(group, op))?;
            shares.push(v);
        }
        send.flush()?;
        Ok(shares)
    }

    fn finish(&self, _: usize, v: Vec<Shares>) -> Result<Vec<Shares>, ProtocolError> {
        Ok(v)
    }

    fn online(
        &self,
        group: usize,
        op: usize,
        weights: &LinearWeights,
        x: &Shares,
        v: &Shares,
    ) -> Result<Shares, ProtocolError> {
        let group = find(&self.0.groups, group)?;
        let operator = group.ops.get(op).ok_or(Misuse::Unplanned("operator"))?;
        let product = plain::apply(operator, weights, x.words(), group.ring_bits);
        group.add_share(op, weights, product, v)
    }
}

fn find(groups: &[LinearGroup], index: usize) -> Result<&LinearGroup, ProtocolError> {
    groups.get(index).ok_or_else(|| Misuse::Group(index).into())
}

fn request_shape(group: &LinearGroup) -> PackedShape {
    let count = group.input_len();
    PackedShape { count, bits: group.ring_bits }
}

fn answer(group: &LinearGroup, op: &LinearOp) -> PackedShape {
    PackedShape { count: op.output_shape().len(), bits: group.output_bits() }
}

fn check_weights(
    groups: &[LinearGroup],
    weights: &[Vec<&LinearWeights>],
) -> Result<(), ProtocolError> {
    let fits = groups.len() == weights.len()
        && groups.iter().zip(weights).all(|(group, weights)| {
            group.ops.len() == weights.len()
                && group.ops.iter().zip(weights).all(|(op, w)| op.weight_len() == w.weights.len())
        });
    if fits { Ok(()) } else { Err(Misuse::Unplanned("weights").into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conformance_of_the_ideal_linear_protocol() {
        crate::testing::conformance_linear(&IdealLinear);
        crate::testing::conformance_linear_exact(&IdealLinear);
    }
}
