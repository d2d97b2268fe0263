//! What every [`NonlinearProtocol`] must do.

use std::sync::Arc;

use gazelle_wire::{Channel, Traffic, testing::run_two};
use rand_core::Rng;

use super::test_rng;
use crate::error::ProtocolError;
use crate::nonlinear::{NonlinearClient, NonlinearProtocol, NonlinearServer, Output};
use crate::rounding::Rounding;
use crate::shape::{Pads, TensorShape, Window};
use crate::shares::{Shares, ring_mask, to_signed};
use crate::step::{Step, StepFunction, StepOutput};

/// The client's turns, by step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turns {
    /// Of the offline phase.
    pub offline: Vec<u64>,
    /// Of the online phase.
    pub online: Vec<u64>,
}

/// Runs setup and two inferences over [`conformance_steps`] on random data and its edges and checks
///
/// - every result lies between the function of the values rounded down and up ([`check_result`]),
///   and the rounding has no bias; [`StepFunction::Round`] is exact;
/// - bytes on the wire equal `traffic` exactly, on both sides, for setup, offline and online;
/// - shares and masks of the wrong length or width, and outputs of the wrong kind, are refused.
///
/// Gives the turns of the last inference for the caller to compare.
///
/// # Panics
/// If one of these does not hold.
pub fn conformance_nonlinear<P: NonlinearProtocol + Clone + 'static>(protocol: &P) -> Turns {
    let steps = conformance_steps();
    let turns = run(protocol, &steps);
    refuses_wrong_shares(protocol, &steps);
    turns
}

/// As [`conformance_nonlinear`], over [`exact_steps`]: every result equals the reference.
///
/// # Panics
/// If one does not, or bytes differ from `traffic`.
pub fn conformance_nonlinear_exact<P: NonlinearProtocol + Clone + 'static>(protocol: &P) -> Turns {
    run(protocol, &exact_steps())
}

/// The [`conformance_steps`] that may be exact, with two guard bits.
pub fn exact_steps() -> Arc<[Step]> {
    let exact = |step: &Step| {
        let rounding = Rounding::Exact { guard_bits: 2 };
        Step { input_bits: step.input_bits + 2, rounding, ..step.clone() }
    };
    let coarse = |step: &&Step| matches!(step.function, StepFunction::CoarseRelu { .. });
    conformance_steps().iter().filter(|step| !coarse(step)).map(exact).collect()
}

/// Steps of all kinds that fit the ring conditions, some of them tightly.
pub fn conformance_steps() -> Arc<[Step]> {
    let step = |function, shape: [usize; 3], truncate_bits, value_bits| Step {
        function,
        input: TensorShape::new(shape[0], shape[1], shape[2]),
        input_bits: truncate_bits + value_bits,
        truncate_bits,
        rounding: Rounding::Local,
        value_bits,
        sum_pool: None,
        output: StepOutput::Masked { bits: 22 },
    };
    let window = |kernel, stride, pads| Window { kernel: [kernel; 2], stride: [stride; 2], pads };
    let half = window(2, 2, Pads::default());
    let overlapping = window(3, 2, Pads::all(1));
    let pool = |window, relu| StepFunction::MaxPool { window, relu };
    let wider = |step: Step| Step { input_bits: step.input_bits + 1, ..step };
    let reveal = |step: Step| Step { output: StepOutput::Reveal, ..step };
    Arc::new([
        step(StepFunction::Relu, [3, 20, 20], 10, 12),
        step(StepFunction::Relu, [40, 5, 1], 12, 17),
        step(StepFunction::Relu, [100, 1, 1], 0, 10),
        Step {
            sum_pool: Some(half),
            input_bits: 27,
            output: StepOutput::Masked { bits: 14 },
            ..step(StepFunction::Relu, [2, 8, 8], 10, 12)
        },
        wider(step(pool(half, true), [4, 8, 8], 10, 12)),
        wider(step(pool(overlapping, true), [2, 9, 7], 8, 10)),
        wider(step(pool(half, false), [3, 4, 6], 9, 11)),
        step(StepFunction::Square { drop_bits: 9 }, [300, 1, 1], 10, 12),
        wider(step(StepFunction::Square { drop_bits: 9 }, [300, 1, 1], 10, 12)),
        Step {
            input_bits: 41,
            sum_pool: Some(half),
            ..step(StepFunction::Square { drop_bits: 7 }, [2, 6, 8], 10, 12)
        },
        Step {
            output: StepOutput::Masked { bits: 24 },
            ..step(StepFunction::Square { drop_bits: 0 }, [50, 1, 1], 10, 10)
        },
        step(StepFunction::CoarseRelu { drop_bits: 3 }, [300, 1, 1], 10, 12),
        step(StepFunction::Relu, [300, 1, 1], 8, 9),
        step(StepFunction::Clip { high: 1234 }, [200, 1, 1], 10, 12),
        wider(step(StepFunction::Rescale, [700, 1, 1], 10, 12)),
        Step {
            sum_pool: Some(window(5, 5, Pads::default())),
            output: StepOutput::Masked { bits: 20 },
            ..wider(step(StepFunction::Rescale, [8, 5, 5], 10, 12))
        },
        reveal(Step { input_bits: 29, ..step(StepFunction::Round, [10, 1, 1], 12, 14) }),
        reveal(wider(step(StepFunction::ArgMax, [10, 1, 1], 10, 12))),
        reveal(wider(step(StepFunction::TopK { k: 5 }, [9, 3, 2], 7, 10))),
        reveal(wider(step(StepFunction::ArgMax, [1000, 1, 1], 8, 12))),
    ])
}

/// Checks results of a step: between the function of `x` rounded down and up, elementwise before a
/// sum-pool; one of the two where no window is involved. `inputs` are exact, signed, untruncated.
///
/// # Panics
/// If a result lies elsewhere.
pub fn check_result(step: &Step, inputs: &[i64], results: &[i64]) {
    let t = step.truncate_bits;
    if step.function == StepFunction::Round || !step.rounding.is_local() {
        let values: Vec<i64> = inputs.iter().map(|x| step.rounded(*x)).collect();
        assert_eq!(results, step.apply(&values), "{step:?}");
        return;
    }
    let unpooled = Step { sum_pool: None, ..step.clone() };
    let floor: Vec<i64> = inputs.iter().map(|x| x >> t).collect();
    let ceiling: Vec<i64> = inputs.iter().map(|x| (x + (1i64 << t) - 1) >> t).collect();
    if let Some(k) = step.ranked() {
        assert_eq!(results.len(), k, "{step:?}");
        check_ranking(&floor, &ceiling, results);
        return;
    }
    // A square's own dropped bits are rounded up or down too.
    let below = match step.function {
        StepFunction::Square { drop_bits } => (1i64 << drop_bits) - 1,
        _ => 0,
    };
    let both = |values: &[i64]| {
        (unpooled.apply_rounded(values, || 0), unpooled.apply_rounded(values, || below))
    };
    let ((a, a_up), (b, b_up)) = (both(&floor), both(&ceiling));
    let low: Vec<i64> = a.iter().zip(&b).map(|(a, b)| *a.min(b)).collect();
    let high: Vec<i64> = a_up.iter().zip(&b_up).map(|(a, b)| *a.max(b)).collect();
    let sums = |values: Vec<i64>| match &step.sum_pool {
        Some(pool) => pool.fold(step.function_shape(), &values, |a, b| a + b),
        None => values,
    };
    let (low, high) = (sums(low), sums(high));
    assert_eq!(results.len(), low.len(), "{step:?}");
    let pointwise =
        step.sum_pool.is_none() && !matches!(step.function, StepFunction::MaxPool { .. });
    for (i, ((z, low), high)) in results.iter().zip(&low).zip(&high).enumerate() {
        // A small positive value may be lost.
        let lost = matches!(step.function, StepFunction::CoarseRelu { drop_bits }
            if pointwise && *z == 0 && floor.get(i).is_some_and(|v| v >> drop_bits <= 0));
        let fits = lost
            || if pointwise {
                [&a, &a_up, &b, &b_up].into_iter().any(|list| list.get(i) == Some(z))
            } else {
                (low..=high).contains(&z)
            };
        assert!(fits, "{step:?}: element {i} is {z}, expected {low} to {high}");
    }
}

/// Tells whether some rounding of each value, down or up, ranks `indices` first, in this order.
fn check_ranking(floor: &[i64], ceiling: &[i64], indices: &[i64]) {
    let at = |list: &[i64], index: i64| {
        usize::try_from(index).ok().and_then(|index| list.get(index)).copied()
    };
    // The largest value that the last index may have had: the next one is smaller, or has a larger
    // index. (value, -index) orders as the ranking does.
    let mut last = (i64::MAX, 0);
    let distinct: std::collections::BTreeSet<_> = indices.iter().collect();
    assert_eq!(distinct.len(), indices.len(), "an index twice in {indices:?}");
    for index in indices {
        let candidates = [at(ceiling, *index), at(floor, *index)];
        let mut keys = candidates.into_iter().flatten().map(|value| (value, -index));
        let next = keys.find(|key| *key < last);
        assert!(next.is_some(), "index {index} does not follow {last:?} in {indices:?}");
        last = next.into_iter().fold(last, |_, key| key);
    }
    for (index, low) in floor.iter().enumerate() {
        let key = (*low, -(index as i64));
        let named = indices.contains(&(index as i64));
        assert!(named || key < last, "index {index} is missing from {indices:?}");
    }
}

struct Case {
    exact: Vec<i64>,
    client: Shares,
    server: Shares,
    mask: Option<Shares>,
}

impl Case {
    fn output(&self) -> Output<'_> {
        match &self.mask {
            Some(mask) => Output::Masked(mask),
            None => Output::Reveal,
        }
    }
}

/// Random sharings of random values and of the edges of the range.
fn cases(steps: &[Step], seed: u64) -> Vec<Case> {
    let mut rng = test_rng(seed);
    let mut cases = Vec::new();
    for step in steps {
        let (l, t, b) = (step.input_bits, step.dropped_bits(), step.value_bits);
        let limit = (1i64 << (b - 1)) - 1;
        let least = match step.function {
            StepFunction::CoarseRelu { drop_bits } => (1 << drop_bits) - limit - 1,
            _ => -limit,
        };
        let edges = [least << t, (limit - 1) << t, 0, 1, -1, 1 << t, -(1 << t), limit];
        let exact: Vec<i64> = (0..step.input.len())
            .map(|i| match edges.get(i) {
                Some(edge) if i % 2 == 0 || step.input.len() > 50 => *edge,
                _ => {
                    let value = to_signed(rng.next_u64() & ring_mask(b), b);
                    let fraction = rng.next_u64() as i64 & ((1i64 << t) - 1);
                    (value.clamp(least, limit - 1) << t) + fraction
                }
            })
            .collect();
        let client = Shares::random(l, exact.len(), &mut rng);
        let server = Shares::new(l, exact.iter().map(|x| *x as u64).collect()).sub(&client);
        let mask = match step.output {
            StepOutput::Masked { bits } => {
                Some(Shares::random(bits, step.output_shape().len(), &mut rng))
            }
            StepOutput::Reveal => None,
        };
        cases.push(Case { exact, client, server, mask });
    }
    cases
}

#[derive(Default)]
struct Log {
    setup: Traffic,
    offline: Vec<Traffic>,
    online: Vec<Traffic>,
}

const INFERENCES: u64 = 2;

#[expect(clippy::unwrap_used, reason = "a test suite: failing loudly is its job")]
fn run<P: NonlinearProtocol + Clone + 'static>(protocol: &P, steps: &Arc<[Step]>) -> Turns {
    let compiled = Arc::new(protocol.compile(Arc::clone(steps)).unwrap());
    let planned: Vec<_> =
        (0..INFERENCES as usize).map(|earlier| protocol.traffic(&compiled, earlier)).collect();
    assert!((0..steps.len()).all(|i| !protocol.name(&compiled, i).is_empty()));
    let (client_protocol, server_protocol) = (protocol.clone(), protocol.clone());
    let (client_compiled, server_compiled) = (Arc::clone(&compiled), compiled);
    let (client_steps, server_steps) = (Arc::clone(steps), Arc::clone(steps));
    let (client, server) = run_two(
        move |channel| client_side(&client_protocol, &client_steps, client_compiled, channel),
        move |channel| server_side(&server_protocol, &server_steps, server_compiled, channel),
    );
    let (revealed, client_logs) = client.unwrap();
    let (shares, server_logs) = server.unwrap();
    for (inference, (revealed, shares)) in revealed.iter().zip(&shares).enumerate() {
        for (i, case) in cases(steps, inference as u64).iter().enumerate() {
            let step = steps.get(i).unwrap();
            let results = match (&case.mask, revealed.get(i).unwrap(), shares.get(i).unwrap()) {
                (Some(r), None, Some(share)) => {
                    let sum = share.clone().add(r);
                    sum.words().iter().map(|z| to_signed(*z, r.bits())).collect()
                }
                (None, Some(values), None) => values.clone(),
                _ => panic_wrong_output(step),
            };
            check_result(step, &case.exact, &results);
            if step.rounding.is_local()
                && step.function == StepFunction::Rescale
                && step.sum_pool.is_none()
            {
                check_bias(step, &case.exact, &results);
            }
        }
    }
    let setups = [&client_logs, &server_logs].map(|logs| logs.first().unwrap().setup);
    check_cost("setup", planned.first().unwrap().setup, setups);
    for ((planned, client), server) in planned.iter().zip(&client_logs).zip(&server_logs) {
        for i in 0..steps.len() {
            let at = |log: &[Traffic]| *log.get(i).unwrap();
            let seen = [&client.offline, &server.offline].map(|log| at(log));
            check_cost("offline", *planned.offline.get(i).unwrap(), seen);
            let seen = [&client.online, &server.online].map(|log| at(log));
            check_cost("online", *planned.online.get(i).unwrap(), seen);
        }
    }
    let last = client_logs.last().unwrap();
    let turns = |log: &[Traffic]| log.iter().map(|traffic| traffic.turns).collect();
    Turns { offline: turns(&last.offline), online: turns(&last.online) }
}

#[expect(clippy::panic, reason = "a test suite: failing loudly is its job")]
fn panic_wrong_output(step: &Step) -> Vec<i64> {
    panic!("{step:?}: the result went to the wrong party")
}

/// Stochastic rounding is unbiased: the mean error lies within 8 sigma of zero.
fn check_bias(step: &Step, inputs: &[i64], results: &[i64]) {
    let unit = 2f64.powi(step.truncate_bits as i32);
    let errors = inputs.iter().zip(results).map(|(x, z)| *z as f64 - *x as f64 / unit);
    let mean = errors.sum::<f64>() / inputs.len() as f64;
    let deviation = 0.5 / (inputs.len() as f64).sqrt();
    assert!(mean.abs() < 8.0 * deviation, "{step:?}: truncation is off by {mean} on average");
}

fn check_cost(what: &str, planned: gazelle_wire::Cost, [client, server]: [Traffic; 2]) {
    let seen = (client.sent, client.received, server.sent, server.received);
    let (up, down) = (planned.client_to_server, planned.server_to_client);
    assert_eq!(seen, (up, down, down, up), "{what}: traffic differs from the plan");
}

type Revealed = Vec<Vec<Option<Vec<i64>>>>;

fn client_side<P: NonlinearProtocol>(
    protocol: &P,
    steps: &[Step],
    compiled: Arc<P::Compiled>,
    mut channel: Channel,
) -> Result<(Revealed, Vec<Log>), ProtocolError> {
    let mut rng = test_rng(11);
    let mut client = protocol.client(compiled, &mut channel, &mut rng)?;
    channel.flush()?;
    let setup = channel.traffic();
    let (mut revealed, mut logs) = (Vec::new(), Vec::new());
    for inference in 0..INFERENCES {
        let mut log = Log { setup, ..Log::default() };
        let cases = cases(steps, inference);
        let mut prepared = Vec::new();
        for (i, case) in cases.iter().enumerate() {
            let before = channel.traffic();
            let output = case.output();
            prepared.push(client.offline(i, &case.client, output, &mut channel, &mut rng)?);
            channel.flush()?;
            log.offline.push(channel.traffic() - before);
        }
        let mut results = Vec::new();
        for (i, prepared) in prepared.into_iter().enumerate() {
            let before = channel.traffic();
            results.push(client.online(i, prepared, &mut channel)?);
            channel.flush()?;
            log.online.push(channel.traffic() - before);
        }
        revealed.push(results);
        logs.push(log);
    }
    Ok((revealed, logs))
}

type ServerShares = Vec<Vec<Option<Shares>>>;

fn server_side<P: NonlinearProtocol>(
    protocol: &P,
    steps: &[Step],
    compiled: Arc<P::Compiled>,
    mut channel: Channel,
) -> Result<(ServerShares, Vec<Log>), ProtocolError> {
    let mut rng = test_rng(12);
    let mut server = protocol.server(compiled, &mut channel, &mut rng)?;
    channel.flush()?;
    let setup = channel.traffic();
    let (mut shares, mut logs) = (Vec::new(), Vec::new());
    for inference in 0..INFERENCES {
        let mut log = Log { setup, ..Log::default() };
        let mut prepared = Vec::new();
        for i in 0..steps.len() {
            let before = channel.traffic();
            prepared.push(server.offline(i, &mut channel, &mut rng)?);
            channel.flush()?;
            log.offline.push(channel.traffic() - before);
        }
        let mut results = Vec::new();
        for ((i, prepared), case) in prepared.into_iter().enumerate().zip(cases(steps, inference)) {
            let before = channel.traffic();
            results.push(server.online(i, prepared, case.server, &mut channel)?);
            channel.flush()?;
            log.online.push(channel.traffic() - before);
        }
        shares.push(results);
        logs.push(log);
    }
    Ok((shares, logs))
}

/// Returns the client's wrong shares at every step, then the server's at step 0.
#[expect(clippy::unwrap_used, reason = "a test suite: failing loudly is its job")]
fn refuses_wrong_shares<P: NonlinearProtocol + Clone + 'static>(protocol: &P, steps: &Arc<[Step]>) {
    let compiled = Arc::new(protocol.compile(Arc::clone(steps)).unwrap());
    let (client_protocol, server_protocol) = (protocol.clone(), protocol.clone());
    let (client_compiled, server_compiled) = (Arc::clone(&compiled), compiled);
    let (client_steps, server_steps) = (Arc::clone(steps), Arc::clone(steps));
    let (client, server) = run_two(
        move |mut channel| -> Result<bool, ProtocolError> {
            let mut rng = test_rng(21);
            let mut client = client_protocol.client(client_compiled, &mut channel, &mut rng)?;
            channel.flush()?;
            let mut all_refused = true;
            let cases = cases(&client_steps, 9);
            let before = channel.traffic().sent;
            for (i, (step, case)) in client_steps.iter().zip(&cases).enumerate() {
                let right = case.output();
                let (l, len) = (step.input_bits, step.input.len());
                let short = Shares::random(l, len - 1, &mut rng);
                let narrow = Shares::random(l - 1, len, &mut rng);
                let long_mask =
                    Shares::random(step.output_bits(), step.output_shape().len() + 1, &mut rng);
                let other_kind = match &case.mask {
                    Some(_) => Output::Reveal,
                    None => Output::Masked(&long_mask),
                };
                for (input, output) in [
                    (&short, right),
                    (&narrow, right),
                    (&case.client, other_kind),
                    (&case.client, Output::Masked(&long_mask)),
                ] {
                    let result = client.offline(i, input, output, &mut channel, &mut rng);
                    all_refused &= matches!(result, Err(ProtocolError::Caller(_)));
                }
            }
            let nothing_sent = channel.traffic().sent == before;
            let case = cases.into_iter().next().unwrap();
            let output = case.output();
            client.offline(0, &case.client, output, &mut channel, &mut rng)?;
            channel.flush()?;
            Ok(all_refused && nothing_sent)
        },
        move |mut channel| -> Result<bool, ProtocolError> {
            let mut rng = test_rng(22);
            let mut server = server_protocol.server(server_compiled, &mut channel, &mut rng)?;
            channel.flush()?;
            let prepared = server.offline(0, &mut channel, &mut rng)?;
            channel.flush()?;
            let step = server_steps.first().unwrap();
            let short = Shares::random(step.input_bits, step.input.len() - 1, &mut rng);
            let result = server.online(0, prepared, short, &mut channel);
            Ok(matches!(result, Err(ProtocolError::Caller(_))))
        },
    );
    assert!(client.unwrap(), "wrong shares or masks were accepted, or something was sent for them");
    assert!(server.unwrap(), "the server's wrong share was accepted");
}
