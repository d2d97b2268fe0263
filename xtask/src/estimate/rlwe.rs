//! Ring-LWE: the primal attack (unique SVP by BKZ), on the ring read as a plain LWE problem.
//!
//! - Block size: the smallest beta for which a projected secret is shorter than the shortest vector that
//!   BKZ-beta would find elsewhere (geometric series assumption; Alkim, Ducas, Pöppelmann, Schwabe 2016;
//!   Albrecht, Göpfert, Virdia, Wunderer 2017), over all numbers of samples; secrets narrower than errors
//!   are scaled to them.
//! - Cost: gates of one sieve in dimension beta with "dimensions for free", times the sieves of a tour
//!   (MATZOV 2022, list decoding): `a (beta - d4f) + b + log2(C (d - beta))`.

use std::f64::consts::{E, LN_2, PI};

use super::Figure;

/// MATZOV's linear fit of the gates of a sieve, in classical circuits.
const SLOPE: f64 = 0.296_135_003_082_053_65;
const OFFSET: f64 = 20.387_885_985_467_914;

/// (N, log2 q, deviation of errors, of secrets, samples at most, documented bits): requests, and hints.
const SETS: [(usize, u32, f64, Option<f64>, f64); 9] = [
    (2048, 36, 3.2, None, 195.1),
    (2048, 44, 3.2, None, 156.1),
    (2048, 46, 3.2, None, 148.7),
    (2048, 48, 3.2, None, 142.0),
    (2048, 50, 3.2, None, 135.6),
    (2048, 53, 3.2, None, 127.3),
    (4096, 62, 3.2, None, 231.3),
    (2048, 48, 3.2, Some(3.2), 148.7),
    (4096, 62, 3.2, Some(3.2), 240.0),
];

pub(super) fn figures() -> Vec<Figure> {
    let figure = |&(n, log_q, error, secret, documented): &(usize, u32, f64, Option<f64>, f64)| {
        let (kind, samples) = match secret {
            None => ("ternary secrets", 3 * n),
            Some(_) => ("hints: Gaussian secrets, one sample", n),
        };
        let ternary = (2.0f64 / 3.0).sqrt();
        Figure {
            name: format!("RLWE N = {n}, log2 q = {log_q}, {kind}"),
            bits: primal(n, log_q, error, secret.unwrap_or(ternary), samples),
            documented,
        }
    };
    SETS.iter().map(figure).collect()
}

/// log2 of the root Hermite factor's base: the quality of BKZ-beta.
fn delta(beta: f64) -> f64 {
    ((beta / (2.0 * PI * E)) * (PI * beta).powf(1.0 / beta)).powf(1.0 / (2.0 * (beta - 1.0)))
}

fn gates(beta: f64, dimension: f64) -> f64 {
    let free = (beta * (4.0f64 / 3.0).ln() / (beta / (2.0 * PI * E)).ln()).max(0.0);
    let tours = 1.0 / (1.0 - (-SLOPE).exp2()) * (dimension - beta).max(1.0);
    tours.log2() + SLOPE * (beta - free) + OFFSET
}

/// The least cost over the number of samples.
fn primal(n: usize, log_q: u32, error: f64, secret: f64, most: usize) -> f64 {
    let scale = (error / secret).max(1.0);
    let mut best: Option<(usize, usize)> = None;
    for samples in (n / 4..=most).step_by((n / 64).max(1)) {
        let dimension = n + samples + 1;
        let d = dimension as f64;
        let volume = (samples as f64 * f64::from(log_q) * LN_2 + n as f64 * scale.ln()) / d;
        let succeeds = |beta: usize| {
            let b = beta as f64;
            (2.0 * b - d - 1.0) * delta(b).ln() + volume >= (b.sqrt() * error).ln()
        };
        let (mut low, mut high) = (60, dimension);
        if !succeeds(high) {
            continue;
        }
        while high - low > 1 {
            let middle = usize::midpoint(low, high);
            if succeeds(middle) { high = middle } else { low = middle }
        }
        if best.is_none_or(|(beta, _)| high < beta) {
            best = Some((high, dimension));
        }
    }
    best.map_or(f64::INFINITY, |(beta, dimension)| gates(beta as f64, dimension as f64))
}
