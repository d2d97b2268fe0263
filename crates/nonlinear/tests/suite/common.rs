//! Running one step over any link.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test: failing loudly is its job")]

use std::sync::Arc;

use gazelle_share::Rounding;
use gazelle_share::shares::to_signed;
use gazelle_share::step::{StepFunction, StepOutput};
use gazelle_share::testing::test_rng;
use gazelle_share::{
    NonlinearClient, NonlinearProtocol, NonlinearServer, Output, ProtocolError, Shares, Step,
    TensorShape,
};
use gazelle_wire::Channel;

/// A step on a vector or image.
pub(crate) fn step(function: StepFunction, shape: [usize; 3], widths: [u32; 4]) -> Step {
    let [b, t, l, next] = widths;
    Step {
        function,
        input: TensorShape::new(shape[0], shape[1], shape[2]),
        input_bits: l,
        truncate_bits: t,
        rounding: Rounding::Local,
        value_bits: b,
        sum_pool: None,
        output: StepOutput::Masked { bits: next },
    }
}

/// Both parties' inputs of one step.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) step: Step,
    pub(crate) client: Shares,
    pub(crate) server: Shares,
    pub(crate) mask: Option<Shares>,
}

impl Case {
    /// Shares of exact values, under a uniform client's share and mask.
    pub(crate) fn new(step: Step, exact: &[i64], seed: u64) -> Self {
        let mut rng = test_rng(seed);
        let client = Shares::random(step.input_bits, exact.len(), &mut rng);
        let words = exact.iter().map(|x| *x as u64).collect();
        let server = Shares::new(step.input_bits, words).sub(&client);
        let mask = match step.output {
            StepOutput::Masked { bits } => {
                Some(Shares::random(bits, step.output_shape().len(), &mut rng))
            }
            StepOutput::Reveal => None,
        };
        Self { step, client, server, mask }
    }

    /// Values within the range of the step.
    pub(crate) fn random(step: Step, seed: u64) -> (Self, Vec<i64>) {
        let bits = step.value_bits - 1 + step.truncate_bits;
        let words = Shares::random(bits, step.input.len(), &mut test_rng(seed ^ 0xabcd));
        let exact: Vec<i64> = words.words().iter().map(|w| to_signed(*w, bits)).collect();
        (Self::new(step, &exact, seed), exact)
    }

    pub(crate) fn run_client<P: NonlinearProtocol>(
        &self,
        protocol: &P,
        mut channel: Channel,
    ) -> Result<(Option<Vec<i64>>, Channel), ProtocolError> {
        let mut rng = test_rng(101);
        let compiled = Arc::new(protocol.compile(Arc::new([self.step.clone()]))?);
        let mut client = protocol.client(compiled, &mut channel, &mut rng)?;
        let output = self.mask.as_ref().map_or(Output::Reveal, Output::Masked);
        let prepared = client.offline(0, &self.client, output, &mut channel, &mut rng)?;
        let result = client.online(0, prepared, &mut channel)?;
        Ok((result, channel))
    }

    pub(crate) fn run_server<P: NonlinearProtocol>(
        &self,
        protocol: &P,
        mut channel: Channel,
    ) -> Result<(Option<Shares>, Channel), ProtocolError> {
        let mut rng = test_rng(102);
        let compiled = Arc::new(protocol.compile(Arc::new([self.step.clone()]))?);
        let mut server = protocol.server(compiled, &mut channel, &mut rng)?;
        let prepared = server.offline(0, &mut channel, &mut rng)?;
        let result = server.online(0, prepared, self.server.clone(), &mut channel)?;
        Ok((result, channel))
    }

    /// The results as signed values.
    pub(crate) fn results(&self, client: Option<Vec<i64>>, server: Option<Shares>) -> Vec<i64> {
        match (&self.mask, client, server) {
            (Some(mask), None, Some(share)) => {
                let sum = share.add(mask);
                sum.words().iter().map(|w| to_signed(*w, sum.bits())).collect()
            }
            (None, Some(values), None) => values,
            _ => panic!("the result went to the wrong party"),
        }
    }

    /// Runs both parties in memory.
    pub(crate) fn run<P: NonlinearProtocol + Clone + 'static>(&self, protocol: &P) -> Vec<i64> {
        let (a, b) = (self.clone(), self.clone());
        let (p, q) = (protocol.clone(), protocol.clone());
        let (client, server) = gazelle_wire::testing::run_two(
            move |channel| a.run_client(&p, channel).map(|(result, _)| result),
            move |channel| b.run_server(&q, channel).map(|(result, _)| result),
        );
        self.results(client.unwrap(), server.unwrap())
    }
}
