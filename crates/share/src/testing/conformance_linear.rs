//! What every [`LinearProtocol`] must do.

use std::sync::{Arc, mpsc};

use gazelle_wire::{Channel, Cost, Traffic, testing::run_two};
use rand_core::Rng;

use super::test_rng;
use crate::error::ProtocolError;
use crate::linear::{
    Guard, LinearClient, LinearGroup, LinearProtocol, LinearServer, Mask, MaskKind,
};
use crate::op::{Conv2d, LinearOp, LinearWeights};
use crate::plain;
use crate::shape::{Pads, TensorShape};
use crate::shares::{Shares, ring_mask, to_signed};

/// Runs setup and three inferences over nine groups of all kinds (stride, asymmetric padding,
/// dilation, channel groups, fully connected, two operators on one mask, given masks, the revealed
/// last layer, guard bits) on random data and checks
///
/// - `u + v = W r` up to `max(1, 2^t / 2)`, t = the group's `truncate_bits` of that operator;
/// - `u + v = 2^g W r` up to the limit of the group's guard bits, where it has any;
/// - the server's plaintext half is `2^g (W x + b) + v`;
/// - masks of different inferences and shares look random; given masks come back unchanged;
/// - bytes on the wire equal `traffic` exactly, on both sides;
/// - a mask of the wrong kind or size is refused before anything is sent.
///
/// # Panics
/// If one of these does not hold.
pub fn conformance_linear<P: LinearProtocol + Clone + 'static>(protocol: &P) {
    run(protocol, |truncate_bits| (1u64 << truncate_bits >> 1).max(1));
}

/// As [`conformance_linear`], with `u + v = W r` exactly.
///
/// # Panics
/// If something does not hold.
pub fn conformance_linear_exact<P: LinearProtocol + Clone + 'static>(protocol: &P) {
    run(protocol, |_| 0);
}

const INFERENCES: usize = 3;

type ClientOf<P> = <P as LinearProtocol>::Client;

#[expect(clippy::unwrap_used, reason = "a test suite: failing loudly is its job")]
fn run<P: LinearProtocol + Clone + 'static>(protocol: &P, bound: impl Fn(u32) -> u64) {
    let (groups, weights) = sample();
    let borrowed: Vec<Vec<&LinearWeights>> = weights.iter().map(|w| w.iter().collect()).collect();
    let plan = Arc::new(protocol.plan(&groups, &borrowed).unwrap());
    protocol.validate(&groups, &plan).unwrap();
    let traffic = protocol.traffic(&groups, &plan);
    let compiled =
        Arc::new(protocol.compile(Arc::clone(&groups), Arc::clone(&plan), &borrowed).unwrap());

    let (client_protocol, server_protocol) = (protocol.clone(), protocol.clone());
    let (client_groups, server_groups) = (Arc::clone(&groups), Arc::clone(&groups));
    let (client, server) =
        run_two(move |channel| client_side(&client_protocol, &client_groups, &plan, channel), {
            let weights = weights.clone();
            move |channel| {
                server_side(&server_protocol, &server_groups, &weights, compiled, channel)
            }
        });
    let (client_setup, client_runs) = client.unwrap();
    let (server_setup, server_runs) = server.unwrap();
    check_cost("setup", traffic.setup, client_setup, server_setup);
    let total: Cost = traffic.offline.iter().copied().sum();
    for ((client, client_cost), (server, server_cost)) in client_runs.iter().zip(&server_runs) {
        check_cost("offline", total, *client_cost, *server_cost);
        for (i, ((r, u), v)) in client.iter().zip(server).enumerate() {
            let (Some(group), Some(weights)) = (groups.get(i), weights.get(i)) else { continue };
            for (((op, w), t), (u, v)) in
                group.ops.iter().zip(weights).zip(&group.truncate_bits).zip(u.iter().zip(v))
            {
                let limit = match group.guard {
                    Guard::NONE if group.revealed => bound(*t).max(bound(1)),
                    Guard::NONE => bound(*t),
                    guard => guard.error_limit().min(bound(62)),
                };
                check_sum(group, op, w, r, u, v, limit);
            }
        }
    }
    for (i, group) in groups.iter().enumerate() {
        let masks: Vec<&Shares> =
            client_runs.iter().filter_map(|(run, _)| run.get(i).map(|(r, _)| r)).collect();
        assert_eq!(masks.len(), INFERENCES);
        for pair in masks.windows(2) {
            assert_ne!(pair.first(), pair.last(), "group {}: a mask was used twice", group.name);
        }
        for mask in &masks {
            looks_random(&group.name, mask);
        }
    }
}

fn check_sum(
    group: &LinearGroup,
    op: &LinearOp,
    weights: &LinearWeights,
    r: &Shares,
    u: &Shares,
    v: &Shares,
    limit: u64,
) {
    let bits = group.output_bits();
    assert_eq!((r.bits(), u.bits(), v.bits()), (group.ring_bits, bits, bits));
    let expected = plain::apply(op, weights, r.words(), group.ring_bits);
    let expected: Vec<u64> = expected.iter().map(|y| y << group.guard.bits).collect();
    assert_eq!((expected.len(), expected.len()), (u.len(), v.len()), "group {}", group.name);
    for (index, ((u, v), e)) in u.words().iter().zip(v.words()).zip(&expected).enumerate() {
        let error = to_signed(u.wrapping_add(*v).wrapping_sub(*e) & ring_mask(bits), bits);
        assert!(
            error.unsigned_abs() <= limit,
            "group {}, output {index}: u + v is off by {error}, more than {limit}",
            group.name
        );
    }
    looks_random(&group.name, u);
    looks_random(&group.name, v);
}

/// Returns the words' mean lies within 8 sigma of a uniform distribution's.
fn looks_random(name: &str, shares: &Shares) {
    let scale = 2f64.powi(shares.bits() as i32);
    let mean = shares.words().iter().map(|w| *w as f64 / scale).sum::<f64>() / shares.len() as f64;
    let deviation = (1.0 / 12.0 / shares.len() as f64).sqrt();
    assert!((mean - 0.5).abs() < 8.0 * deviation, "group {name}: shares do not look uniform");
    assert!(shares.len() < 8 || shares.words().iter().any(|w| Some(w) != shares.words().first()));
}

fn check_cost(what: &str, planned: Cost, client: Traffic, server: Traffic) {
    let seen = (client.sent, client.received, server.sent, server.received);
    let (up, down) = (planned.client_to_server, planned.server_to_client);
    assert_eq!(seen, (up, down, down, up), "{what}: traffic differs from the plan");
}

/// Per inference: per group r and u; and the traffic.
type ClientRuns = Vec<(Vec<(Shares, Vec<Shares>)>, Traffic)>;
/// Per inference: per group v; and the traffic.
type ServerRuns = Vec<(Vec<Vec<Shares>>, Traffic)>;

fn client_side<P: LinearProtocol>(
    protocol: &P,
    groups: &Arc<[LinearGroup]>,
    plan: &Arc<P::Plan>,
    mut channel: Channel,
) -> Result<(Traffic, ClientRuns), ProtocolError> {
    let mut rng = test_rng(1);
    let client =
        protocol.client(Arc::clone(groups), Arc::clone(plan), &[7; 32], &mut channel, &mut rng)?;
    channel.flush()?;
    let setup = channel.traffic();
    refuses_wrong_masks::<P>(&client, groups, &mut channel);
    let mut runs = Vec::new();
    for inference in 0..INFERENCES {
        let before = channel.traffic();
        let given: Vec<Shares> =
            groups.iter().map(|g| Shares::random(g.ring_bits, g.input_len(), &mut rng)).collect();
        let (send, recv) = channel.halves();
        // Pending material goes from the requesting thread to the finishing one.
        let (pass, pending) = mpsc::channel();
        let finished = std::thread::scope(|scope| {
            let requests = scope.spawn(|| -> Result<(), ProtocolError> {
                let mut rng = test_rng(100 + inference as u64);
                for (i, (group, given)) in groups.iter().zip(&given).enumerate() {
                    let mask = match group.mask {
                        MaskKind::Fresh => Mask::Fresh,
                        MaskKind::Given => Mask::Given(given),
                    };
                    let (r, material) = client.request(i, mask, send, &mut rng)?;
                    assert!(
                        group.mask == MaskKind::Fresh || r == *given,
                        "group {}: the given mask was changed",
                        group.name
                    );
                    if pass.send((r, material)).is_err() {
                        break;
                    }
                }
                drop(pass);
                send.flush().map_err(ProtocolError::from)
            });
            let mut finished = Vec::new();
            for (i, (r, material)) in pending.into_iter().enumerate() {
                finished.push((r, client.collect(i, material, recv)?));
            }
            // Finished in another order than they were collected.
            let mut done = Vec::new();
            for (i, (r, collected)) in finished.into_iter().enumerate().rev() {
                done.push((r, client.finish(i, collected)?));
            }
            done.reverse();
            match requests.join() {
                Ok(result) => result.map(|()| done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })?;
        runs.push((finished, channel.traffic() - before));
    }
    Ok((setup, runs))
}

fn refuses_wrong_masks<P: LinearProtocol>(
    client: &ClientOf<P>,
    groups: &[LinearGroup],
    channel: &mut Channel,
) {
    let before = channel.traffic();
    let mut rng = test_rng(3);
    for (i, group) in groups.iter().enumerate() {
        let len = group.input_len();
        let short = Shares::random(group.ring_bits, len - 1, &mut rng);
        let wide = Shares::random(group.ring_bits + 1, len, &mut rng);
        let right = Shares::random(group.ring_bits, len, &mut rng);
        let wrong = match group.mask {
            MaskKind::Fresh => [Mask::Given(&right), Mask::Given(&short)],
            MaskKind::Given => [Mask::Given(&wide), Mask::Given(&short)],
        };
        for mask in wrong {
            let refused = client.request(i, mask, channel.halves().0, &mut rng);
            assert!(
                matches!(refused, Err(ProtocolError::Caller(_))),
                "group {}: a mask of the wrong kind or size was accepted",
                group.name
            );
        }
    }
    let beyond = client.request(groups.len(), Mask::Fresh, channel.halves().0, &mut rng);
    assert!(matches!(beyond, Err(ProtocolError::Caller(_))), "a group that is not there");
    assert_eq!(channel.traffic().sent, before.sent, "a refused request was sent");
}

fn server_side<P: LinearProtocol>(
    protocol: &P,
    groups: &Arc<[LinearGroup]>,
    weights: &[Vec<LinearWeights>],
    compiled: Arc<P::Compiled>,
    mut channel: Channel,
) -> Result<(Traffic, ServerRuns), ProtocolError> {
    let mut rng = test_rng(2);
    let server = protocol.server(compiled, &[7; 32], &mut channel, &mut rng)?;
    channel.flush()?;
    let setup = channel.traffic();
    let mut runs = Vec::new();
    for _ in 0..INFERENCES {
        let before = channel.traffic();
        // All requests first, then the results from the last on, while another thread waits.
        let mut received = Vec::new();
        for i in 0..groups.len() {
            received.push(server.receive(i, channel.halves(), &mut rng)?);
        }
        let finish = || {
            let last_first = received.into_iter().enumerate().rev();
            last_first.map(|(i, received)| server.finish(i, received)).collect()
        };
        let finished: Result<Vec<_>, _> =
            match std::thread::scope(|scope| scope.spawn(finish).join()) {
                Ok(finished) => finished,
                Err(panic) => std::panic::resume_unwind(panic),
            };
        let mut shares = finished?;
        shares.reverse();
        for (i, ((group, shares), weights)) in groups.iter().zip(&shares).zip(weights).enumerate() {
            check_online(&server, (i, group), weights, shares)?;
        }
        runs.push((shares, channel.traffic() - before));
    }
    Ok((setup, runs))
}

/// The plaintext half against the definition; operators and lengths that are not there are refused.
fn check_online<S: LinearServer>(
    server: &S,
    (index, group): (usize, &LinearGroup),
    weights: &[LinearWeights],
    shares: &[Shares],
) -> Result<(), ProtocolError> {
    let mut rng = test_rng(9);
    for (op, ((operator, weights), v)) in group.ops.iter().zip(weights).zip(shares).enumerate() {
        let x = Shares::random(group.ring_bits, operator.input_len(), &mut rng);
        let y = server.online(index, op, weights, &x, v)?;
        let mut expected = plain::apply(operator, weights, x.words(), group.ring_bits);
        plain::add_bias(operator, weights, &mut expected, group.ring_bits);
        let expected: Vec<u64> = expected.iter().map(|y| y << group.guard.bits).collect();
        assert_eq!(y, Shares::new(group.output_bits(), expected).add(v), "group {}", group.name);
        let short = Shares::zero(group.output_bits(), v.len() - 1);
        for refused in [
            server.online(index, op, weights, &x, &short),
            server.online(index, group.ops.len(), weights, &x, v),
        ] {
            assert!(matches!(refused, Err(ProtocolError::Caller(_))), "group {}", group.name);
        }
    }
    Ok(())
}

/// Groups of all kinds with random weights of up to 10 bits.
fn sample() -> (Arc<[LinearGroup]>, Vec<Vec<LinearWeights>>) {
    let conv = |input: [usize; 3], maps, kernel, stride, pads| Conv2d {
        input: TensorShape::new(input[0], input[1], input[2]),
        maps,
        kernel: [kernel, kernel],
        stride: [stride, stride],
        pads,
        dilation: [1, 1],
        groups: 1,
    };
    let group = |name: &str, ring_bits, ops: Vec<LinearOp>| LinearGroup {
        name: name.into(),
        ring_bits,
        truncate_bits: vec![10; ops.len()],
        ops,
        mask: MaskKind::Fresh,
        revealed: false,
        guard: Guard::NONE,
    };
    let shortcut = vec![
        LinearOp::Conv(conv([4, 9, 9], 6, 3, 2, Pads::all(1))),
        LinearOp::Conv(conv([4, 9, 9], 6, 1, 2, Pads::default())),
    ];
    let uneven = Pads { top: 1, left: 1, bottom: 0, right: 2 };
    let depthwise = Conv2d { groups: 6, ..conv([6, 8, 7], 6, 3, 1, Pads::all(1)) };
    let dilated = Conv2d { dilation: [2, 3], ..conv([2, 10, 12], 3, 3, 1, Pads::all(2)) };
    let groups = [
        group("3x3", 22, vec![LinearOp::Conv(conv([3, 12, 12], 5, 3, 1, Pads::all(1)))]),
        group(
            "5x5 stride 2, uneven padding",
            24,
            vec![LinearOp::Conv(conv([1, 28, 28], 5, 5, 2, uneven))],
        ),
        group("two readers", 23, shortcut),
        LinearGroup {
            mask: MaskKind::Given,
            ..group("depthwise, given mask", 21, vec![LinearOp::Conv(depthwise)])
        },
        group("dilated", 25, vec![LinearOp::Conv(dilated)]),
        LinearGroup {
            mask: MaskKind::Given,
            ..group(
                "fully connected, given mask",
                22,
                vec![LinearOp::FullyConnected { inputs: 300, outputs: 40 }],
            )
        },
        LinearGroup {
            guard: Guard { bits: 2, addends: 1 },
            ..group(
                "3x3, two guard bits",
                22,
                vec![LinearOp::Conv(conv([3, 12, 12], 5, 3, 1, Pads::all(1)))],
            )
        },
        LinearGroup {
            guard: Guard { bits: 3, addends: 2 },
            mask: MaskKind::Given,
            ..group(
                "fully connected, three guard bits for a sum of two",
                24,
                vec![LinearOp::FullyConnected { inputs: 60, outputs: 40 }],
            )
        },
        LinearGroup {
            revealed: true,
            ..group(
                "fully connected, revealed",
                29,
                vec![LinearOp::FullyConnected { inputs: 100, outputs: 10 }],
            )
        },
    ];
    let mut rng = test_rng(5);
    let weights = groups.iter().map(|group| {
        let weights = group.ops.iter().map(|op| LinearWeights {
            weights: (0..op.weight_len()).map(|_| (rng.next_u32() as i32) >> 22).collect(),
            bias: (0..op.output_shape().channels as i64).map(|map| 1000 - 700 * map).collect(),
        });
        weights.collect()
    });
    let weights = weights.collect();
    (groups.into(), weights)
}
