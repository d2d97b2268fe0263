//! The error of u + v against W r, on real masks, noise and keys.

use gazelle_he::public_coin::noise::{WeightNorm, error_variance};
use gazelle_linear::PublicCoin;
use gazelle_share::shares::{ring_mask, to_signed};
use gazelle_share::testing::test_rng;
use gazelle_share::{LinearOp, LinearWeights, plain};
use gazelle_wire::testing::run_two;

use crate::networks::{conv, group, weights};
use crate::session::Setting;
use crate::trained;

/// Errors of 100 inferences of one layer, and the deviation that the model computes for it.
fn errors(
    op: &LinearOp,
    weights: &LinearWeights,
    ring_bits: u32,
    truncate_bits: u32,
) -> (Vec<i64>, f64, Setting) {
    let group = group(ring_bits, truncate_bits, vec![op.clone()]);
    let maps = op.output_shape().channels;
    let setting = Setting::new(
        PublicCoin { inferences_per_setup: 100, ..PublicCoin::default() },
        vec![group],
        vec![vec![weights.clone()]],
    );
    let (client, server) = (setting.clone(), setting.clone());
    let (client, server) = run_two(
        move |mut channel| client.client(100, &mut channel, 21).unwrap(),
        move |mut channel| server.server(100, &mut channel, 22).unwrap(),
    );
    let mut errors = Vec::new();
    for (client, server) in client.iter().zip(&server) {
        let (r, u) = &client[0];
        let expected = plain::apply(op, weights, r.words(), ring_bits);
        for ((u, v), e) in u[0].words().iter().zip(server[0][0].words()).zip(&expected) {
            let error = u.wrapping_add(*v).wrapping_sub(*e) & ring_mask(ring_bits);
            errors.push(to_signed(error, ring_bits));
        }
    }
    // The exact norm of the weights that meet in the largest response.
    let plan = &setting.plan.groups[0];
    let together = plan.packings[0].maps[0] as usize * op.weight_len() / maps;
    let norm = |block: &[i32]| block.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>();
    let largest = weights.weights.chunks(together).map(norm).fold(0.0, f64::max);
    let weight_norm = WeightNorm { squared: largest, fft: plan.fourier };
    (errors, error_variance(&plan.parameters, weight_norm).sqrt(), setting)
}

fn check(op: &LinearOp, weights: &LinearWeights, ring_bits: u32, truncate_bits: u32) {
    let (errors, sigma, setting) = errors(op, weights, ring_bits, truncate_bits);
    assert!(errors.len() >= 1_000_000);
    let largest = errors.iter().map(|e| e.unsigned_abs()).max().unwrap();
    let square = |e: &i64| (*e as f64).powi(2);
    let measured = (errors.iter().map(square).sum::<f64>() / errors.len() as f64).sqrt();
    let mean = errors.iter().map(|e| *e as f64).sum::<f64>() / errors.len() as f64;
    let ratio = measured / sigma;
    println!("measured {measured:.2}, computed {sigma:.2}, largest {largest}, mean {mean:.2}");
    assert!((0.7..=1.1).contains(&ratio), "measured {measured}, computed {sigma}");
    assert!((largest as f64) < 8.0 * sigma, "largest {largest}, sigma {sigma}");
    // floor((low + noise) / 2^k) has mean 0 up to the half that rounding up adds.
    assert!(mean.abs() < 1.0 + sigma / 50.0, "mean {mean}, sigma {sigma}");
    // The plan's promise: a quarter of the last place that is kept, at 6 deviations.
    let quarter = f64::from(truncate_bits).exp2() / 4.0;
    assert!(6.0 * sigma <= quarter, "sigma {sigma}, {:?}", setting.plan);
}

#[test]
fn ten_thousand_outputs_under_a_hundred_keys_keep_the_computed_deviation() {
    for (maps, ring_bits, truncate_bits) in [(10, 24, 10), (12, 37, 12)] {
        let op = conv(8, 32, maps, 3, 1, 1);
        let weights = weights(&op, truncate_bits, &mut test_rng(11));
        check(&op, &weights, ring_bits, truncate_bits);
    }
}

#[test]
fn trained_weights_keep_the_computed_deviation() {
    // The second pair of convolutions of the network in the shared data: 16,384 outputs.
    let op = conv(64, 16, 64, 3, 1, 1);
    match trained::weights("cifar10_minionn_gazelle", &op, 10) {
        Some(weights) => check(&op, &weights, 24, 10),
        None => println!("skipped: the shared data is not there"),
    }
}
