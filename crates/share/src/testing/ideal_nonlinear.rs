//! The ideal non-linear protocol: exact and insecure, in the turns of the garbled one.
//!
//! | client | server |
//! |---|---|
//! | `offline`: keeps x_C and r | `offline` |
//! | `online`: receives x_S, computes f(x) | `online`: sends its share in the clear |
//! | sends f(x) - r (nothing if it reveals) | keeps f(x) - r |

use std::sync::Arc;

use gazelle_wire::{Channel, Cost, Packed, PackedShape, traffic::framed_len};
use rand_core::CryptoRng;

use crate::error::{Misuse, ProtocolError};
use crate::nonlinear::{
    NonlinearClient, NonlinearProtocol, NonlinearServer, NonlinearTraffic, Output,
};
use crate::shares::{Shares, to_signed};
use crate::step::{Step, StepOutput};

/// The ideal [`NonlinearProtocol`].
#[derive(Debug, Clone, Copy, Default)]
pub struct IdealNonlinear;

/// See [`IdealNonlinear`].
#[derive(Debug)]
pub struct IdealNonlinearClient(Arc<Arc<[Step]>>);

/// See [`IdealNonlinear`].
#[derive(Debug)]
pub struct IdealNonlinearServer(Arc<Arc<[Step]>>);

/// The client's share of x and the mask of f(x).
#[derive(Debug)]
pub struct IdealPrepared {
    input: Shares,
    mask: Option<Shares>,
}

impl NonlinearProtocol for IdealNonlinear {
    type Compiled = Arc<[Step]>;
    type Client = IdealNonlinearClient;
    type Server = IdealNonlinearServer;

    fn name(&self, _: &Arc<[Step]>, _: usize) -> &'static str {
        "ideal"
    }

    fn primitives(&self) -> String {
        "ideal".into()
    }

    fn compile(&self, steps: Arc<[Step]>) -> Result<Arc<[Step]>, ProtocolError> {
        for (index, step) in steps.iter().enumerate() {
            step.check().map_err(|why| ProtocolError::Plan(format!("step {index}: {why}")))?;
        }
        Ok(steps)
    }

    fn traffic(&self, compiled: &Arc<[Step]>, _earlier: usize) -> NonlinearTraffic {
        let online = |step: &Step| Cost {
            client_to_server: match step.output {
                StepOutput::Masked { .. } => framed_len(output_shape(step).bytes()),
                StepOutput::Reveal => 0,
            },
            server_to_client: framed_len(input_shape(step).bytes()),
        };
        NonlinearTraffic {
            setup: Cost::default(),
            offline: vec![Cost::default(); compiled.len()],
            online: compiled.iter().map(online).collect(),
            kept_back: Cost::default(),
        }
    }

    fn client(
        &self,
        compiled: Arc<Arc<[Step]>>,
        _: &mut Channel,
        _: &mut (dyn CryptoRng + Send),
    ) -> Result<IdealNonlinearClient, ProtocolError> {
        Ok(IdealNonlinearClient(compiled))
    }

    fn server(
        &self,
        compiled: Arc<Arc<[Step]>>,
        _: &mut Channel,
        _: &mut (dyn CryptoRng + Send),
    ) -> Result<IdealNonlinearServer, ProtocolError> {
        Ok(IdealNonlinearServer(compiled))
    }
}

impl NonlinearClient for IdealNonlinearClient {
    type Prepared = IdealPrepared;

    fn offline(
        &mut self,
        step: usize,
        input: &Shares,
        output: Output<'_>,
        _: &mut Channel,
        _: &mut (dyn CryptoRng + Send),
    ) -> Result<IdealPrepared, ProtocolError> {
        let step = find(&self.0, step)?;
        check(input, &input_shape(step))?;
        let mask = match (step.output, output) {
            (StepOutput::Masked { .. }, Output::Masked(r)) => {
                check(r, &output_shape(step))?;
                Some(r.clone())
            }
            (StepOutput::Reveal, Output::Reveal) => None,
            _ => return Err(Misuse::Unplanned("output").into()),
        };
        Ok(IdealPrepared { input: input.clone(), mask })
    }

    fn online(
        &mut self,
        step: usize,
        prepared: IdealPrepared,
        channel: &mut Channel,
    ) -> Result<Option<Vec<i64>>, ProtocolError> {
        let step = find(&self.0, step)?;
        let server: Packed = channel.recv(&input_shape(step))?;
        let server = Shares::new(step.input_bits, server.words);
        let values = reconstruct(step, prepared.input, server);
        let result = step.apply(&values);
        let Some(mask) = prepared.mask else { return Ok(Some(result)) };
        let shape = output_shape(step);
        let words = result.iter().map(|z| *z as u64).collect();
        let masked = Shares::new(shape.bits, words).sub(&mask);
        channel.send(&Packed { bits: shape.bits, words: masked.into_words() }, &shape)?;
        channel.flush()?;
        Ok(None)
    }
}

impl NonlinearServer for IdealNonlinearServer {
    type Prepared = ();

    fn offline(
        &mut self,
        step: usize,
        _: &mut Channel,
        _: &mut (dyn CryptoRng + Send),
    ) -> Result<(), ProtocolError> {
        find(&self.0, step).map(|_| ())
    }

    fn online(
        &mut self,
        step: usize,
        (): (),
        input: Shares,
        channel: &mut Channel,
    ) -> Result<Option<Shares>, ProtocolError> {
        let step = find(&self.0, step)?;
        let shape = input_shape(step);
        check(&input, &shape)?;
        channel.send(&Packed { bits: shape.bits, words: input.into_words() }, &shape)?;
        if step.output == StepOutput::Reveal {
            channel.flush()?;
            return Ok(None);
        }
        let shape = output_shape(step);
        let masked: Packed = channel.recv(&shape)?;
        Ok(Some(Shares::new(shape.bits, masked.words)))
    }
}

/// Returns the value that the step's function sees, with the real truncation's rounding.
fn reconstruct(step: &Step, client: Shares, server: Shares) -> Vec<i64> {
    let drop = step.carried_bits();
    let bits = (step.truncated_bits() + drop).min(step.input_bits);
    let sum = step.prepare_client(client, bits).add(&step.prepare_server(server, bits));
    sum.words().iter().map(|v| to_signed(*v, bits) >> drop).collect()
}

fn find(steps: &[Step], index: usize) -> Result<&Step, ProtocolError> {
    steps.get(index).ok_or_else(|| Misuse::Step(index).into())
}

fn check(shares: &Shares, shape: &PackedShape) -> Result<(), ProtocolError> {
    if (shares.bits(), shares.len()) == (shape.bits, shape.count) {
        return Ok(());
    }
    let (expected, got) = ((shape.count, shape.bits), (shares.len(), shares.bits()));
    Err(Misuse::Shares { what: "shares", expected, got }.into())
}

fn input_shape(step: &Step) -> PackedShape {
    PackedShape { count: step.input.len(), bits: step.input_bits }
}

fn output_shape(step: &Step) -> PackedShape {
    PackedShape { count: step.output_shape().len(), bits: step.output_bits() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conformance_of_the_ideal_nonlinear_protocol() {
        let turns = crate::testing::conformance_nonlinear(&IdealNonlinear);
        assert!(turns.online.iter().all(|t| *t <= 1));
        assert!(turns.offline.iter().all(|t| *t == 0));
        crate::testing::conformance_nonlinear_exact(&IdealNonlinear);
    }
}
