//! Shares with guard bits: after the truncation that drops them every output is exact.

use gazelle_linear::PublicCoin;
use gazelle_share::shares::{ring_mask, to_signed};
use gazelle_share::testing::test_rng;
use gazelle_share::{Guard, LinearGroup, LinearOp, LinearProtocol, LinearWeights, plain};
use gazelle_wire::testing::run_two;

use crate::networks::{conv, group, weights};
use crate::session::Setting;

fn guarded(ring_bits: u32, guard: Guard, ops: Vec<LinearOp>) -> LinearGroup {
    LinearGroup { guard, ..group(ring_bits, 10, ops) }
}

/// Errors `u + v - 2^g W r`, `[operator][inference and output]`, and the group's plan.
fn errors(group: &LinearGroup, weights: &[LinearWeights], inferences: usize) -> Vec<Vec<i64>> {
    let protocol = PublicCoin { inferences_per_setup: 100, ..PublicCoin::default() };
    let setting = Setting::new(protocol, vec![group.clone()], vec![weights.to_vec()]);
    let (client, server) = (setting.clone(), setting);
    let (client, server) = run_two(
        move |mut channel| client.client(inferences, &mut channel, 41).unwrap(),
        move |mut channel| server.server(inferences, &mut channel, 42).unwrap(),
    );
    let bits = group.output_bits();
    let mut errors = vec![Vec::new(); group.ops.len()];
    for (client, server) in client.iter().zip(&server) {
        let (r, u) = &client[0];
        for (i, (op, weights)) in group.ops.iter().zip(weights).enumerate() {
            let expected = plain::apply(op, weights, r.words(), group.ring_bits);
            for ((u, v), y) in u[i].words().iter().zip(server[0][i].words()).zip(&expected) {
                let error = u.wrapping_add(*v).wrapping_sub(y << group.guard.bits);
                errors[i].push(to_signed(error & ring_mask(bits), bits));
            }
        }
    }
    errors
}

/// What a truncation that drops the guard bits makes of an error: 0 if the value is exact.
fn dropped(error: i64, guard: Guard) -> i64 {
    (error + (1 << guard.bits >> 1)) >> guard.bits
}

#[test]
fn outputs_are_exact_with_as_few_guard_bits_as_there_may_be() {
    for (ring_bits, bits) in [(24, 2), (33, 2), (24, 3), (36, 2)] {
        let guard = Guard { bits, addends: 1 };
        let group = guarded(ring_bits, guard, vec![conv(8, 32, 10, 3, 1, 1)]);
        let weights = vec![weights(&group.ops[0], 10, &mut test_rng(43))];
        let errors = errors(&group, &weights, 34).remove(0);
        assert!(errors.len() > 340_000);
        let limit = guard.error_limit();
        assert!(errors.iter().all(|error| error.unsigned_abs() <= limit));
        assert!(errors.iter().all(|error| dropped(*error, guard) == 0));
        // The test would see an error: without guard bits there are some.
        assert!(errors.iter().any(|error| *error != 0));
    }
}

#[test]
fn a_sum_of_two_outputs_is_exact() {
    let guard = Guard { bits: 3, addends: 2 };
    let ops = vec![conv(6, 14, 8, 3, 1, 1), conv(6, 14, 8, 1, 1, 0)];
    let group = guarded(23, guard, ops);
    let mut rng = test_rng(44);
    let weights: Vec<_> = group.ops.iter().map(|op| weights(op, 10, &mut rng)).collect();
    let errors = errors(&group, &weights, 20);
    assert_eq!(errors[0].len(), 20 * 8 * 14 * 14);
    for (first, second) in errors[0].iter().zip(&errors[1]) {
        assert!(first.abs() <= 1 && second.abs() <= 1);
        assert_eq!(dropped(first + second, guard), 0);
    }
}

#[test]
fn parameters_that_miss_the_bound_are_refused() {
    let protocol = PublicCoin::default();
    let guard = Guard { bits: 2, addends: 1 };
    let op = conv(8, 12, 10, 3, 1, 1);
    let weights = weights(&op, 10, &mut test_rng(45));
    let groups = [guarded(22, guard, vec![op])];
    let plan = protocol.plan(&groups, &[vec![&weights]]).unwrap();
    protocol.validate(&groups, &plan).unwrap();
    let p = plan.groups[0].parameters;
    assert_eq!(p.guard_bits(), 2);
    // The choice lies at the edge: one more bit dropped from the hints, or a norm four times as
    // large, and the bound is missed.
    let refused = |change: &dyn Fn(&mut gazelle_linear::GroupPlan)| {
        let mut changed = plan.clone();
        change(&mut changed.groups[0]);
        protocol.validate(&groups, &changed).unwrap_err().to_string()
    };
    let hints = refused(&|plan| {
        let (n, l, k) = (p.degree(), p.ring_bits(), p.noise_bits());
        let parameters =
            gazelle_he::public_coin::Parameters::new(n, l, k, k, p.dropped_bits() + 1).unwrap();
        let parameters = parameters.with_kept_quarters(p.kept_quarters()).unwrap();
        plan.parameters = parameters.with_guard_bits(2).unwrap();
    });
    assert!(hints.contains("error bound"), "{hints}");
    assert!(refused(&|plan| plan.norm_quarter_bits[0] += 8).contains("error bound"));
    // Guard bits that are not the group's.
    assert!(
        refused(&|plan| plan.parameters = p.with_guard_bits(3).unwrap()).contains("guard bits")
    );
    assert!(
        refused(&|plan| plan.parameters = p.with_guard_bits(0).unwrap()).contains("guard bits")
    );
    // Nor may a group whose readers round locally be served without F.
    let local = [LinearGroup { guard: Guard::NONE, ..groups[0].clone() }];
    assert!(protocol.validate(&local, &plan).unwrap_err().to_string().contains("guard bits"));
    assert!(
        protocol
            .compile(local.into(), plan.clone().into(), &[vec![&weights]])
            .is_err_and(|error| error.to_string().contains("guard bits"))
    );
    // A sum of two has no room in two guard bits; of three, none for more than three addends.
    for (bits, addends, fits) in
        [(1, 1, false), (2, 1, true), (2, 2, false), (3, 2, true), (3, 3, true), (3, 4, false)]
    {
        let groups = [LinearGroup { guard: Guard { bits, addends }, ..groups[0].clone() }];
        assert_eq!(protocol.plan(&groups, &[vec![&weights]]).is_ok(), fits, "{bits} {addends}");
    }
}

/// What the server completes of a request is right on average, or else weights of one sign would add up
/// the offsets: half a unit each is twice the limit here.
#[test]
fn weights_of_one_sign_have_no_mean_error() {
    let op = LinearOp::FullyConnected { inputs: 131_072, outputs: 4 };
    let weights = LinearWeights { weights: vec![63; op.weight_len()], bias: vec![0; 4] };
    for ring_bits in [24, 27] {
        let guard = Guard { bits: 2, addends: 1 };
        let group = guarded(ring_bits, guard, vec![op.clone()]);
        let errors = errors(&group, std::slice::from_ref(&weights), 100).remove(0);
        assert!(errors.iter().all(|error| error.unsigned_abs() <= guard.error_limit()));
        let mean = errors.iter().sum::<i64>() as f64 / errors.len() as f64;
        assert!(mean.abs() < 0.2, "{mean}");
    }
}

/// The client's own product c1 s is an FFT product, whose error grows with the modulus.
#[test]
fn rings_too_wide_for_the_clients_own_product_are_refused() {
    let op = LinearOp::FullyConnected { inputs: 3000, outputs: 16 };
    let weights = weights(&op, 4, &mut test_rng(46));
    let guard = Guard { bits: 2, addends: 1 };
    let group = |ring_bits| guarded(ring_bits, guard, vec![op.clone()]);
    let errors = errors(&group(41), std::slice::from_ref(&weights), 100).remove(0);
    assert!(errors.iter().all(|error| error.unsigned_abs() <= guard.error_limit()));
    for ring_bits in [44, 45, 46] {
        let plan = PublicCoin::default().plan(&[group(ring_bits)], &[vec![&weights]]);
        assert!(plan.is_err(), "{ring_bits}");
    }
}
