//! The server: hints at setup, evaluation and re-sharing per inference (docs/protocol.md, 3.2 and
//! 3.4).
//!
//! | server | |
//! |---|---|
//! | [`HintSource::hints`] | `c1_m = sum_i w_{m,i} a_i + pa t_m + e''_m`, rounded |
//! | [`RequestMessage::reshare`](super::message::RequestMessage::reshare) | nonce of c0' |
//! | [`EncryptedRequest::open`] | `b_i = beta 2^k + level of low`, `pb` |
//! | [`HintSource::shares`] | `c0_m = sum_i w_{m,i} b_i + pb t_m`; `v = -((c0' - c0 - F) >> (k - g))`; F = 0 if g > 0 |

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use gazelle_prg::Prg;
use gazelle_prg::sample::{self, Narrow};
use gazelle_ring::{Buffer, Fft, Fourier, Polys, RingError, Transform, WeightMatrix};
use gazelle_wire::packed;
use rand_core::CryptoRng;
use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::error::HeError;
use crate::public_coin::client::{check, check_useful, split_by};
use crate::public_coin::coins::PublicCoins;
use crate::public_coin::encrypted::EncryptedRequest;
use crate::public_coin::expand::{CoinKind, fresh, secret_stream};
use crate::public_coin::message::HintMessage;
use crate::public_coin::noise::{LOG2_SIGMA_FRESH, inferences_per_setup};
use crate::public_coin::parameters::Parameters;
use crate::public_coin::reshare::{Reshare, server_share};

/// 32 fresh secret bytes from which all hint secrets and errors of one setup follow. One per
/// setup (and one per inference for a revealed group, never stored). Whoever has it and the hints has
/// the weights: a server keeps it as it keeps those.
pub struct HintKey {
    key: Zeroizing<[u8; 32]>,
}

/// What the hint secrets are bound to, so that the same `t_m` never masks other weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HintBinding {
    /// Digest of the plan.
    pub plan: [u8; 32],
    /// Digest of the group's weights.
    pub weights: [u8; 32],
    /// The group's number in the plan.
    pub group: u64,
    /// Plan-wide index of the group's first request polynomial.
    pub first_index: u64,
    /// Number of this setup within the session: 0 for the hints sent at setup; for a revealed
    /// group 1 + the number of the inference.
    pub setup: u64,
}

/// `(t_m, e''_m) = PRF(K, H(seed, binding, parameters), m)` for one group; independent for every m.
pub struct HintSource {
    parameters: Parameters,
    coins: PublicCoins,
    first_index: u64,
    key: Zeroizing<[u8; 32]>,
    /// Inferences served so far.
    served: AtomicU64,
}

/// The seed of F for all responses of one group and inference; used once, then gone.
pub struct ResponseNoise {
    key: Zeroizing<[u8; 32]>,
}

impl ResponseNoise {
    /// Fresh from the operating system, mixed with `rng`.
    ///
    /// # Errors
    /// [`HeError::Entropy`].
    pub fn fresh(rng: &mut (dyn CryptoRng + Send)) -> Result<Self, HeError> {
        Ok(Self { key: fresh(rng)? })
    }
}

impl HintKey {
    /// Fresh from `rng`, mixed with fresh entropy of the operating system.
    ///
    /// # Errors
    /// [`HeError::Entropy`].
    pub fn fresh(rng: &mut (dyn CryptoRng + Send)) -> Result<Self, HeError> {
        Ok(Self { key: fresh(rng)? })
    }

    /// What a server keeps of it beyond a session.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        self.key.clone()
    }

    /// A key that was [kept](Self::to_bytes): with the same coins and binding it gives the same hints, bit for
    /// bit.
    pub fn kept(key: Zeroizing<[u8; 32]>) -> Self {
        Self { key }
    }

    /// The hint secrets of one group.
    pub fn source(
        &self,
        parameters: &Parameters,
        coins: &PublicCoins,
        binding: &HintBinding,
    ) -> HintSource {
        let mut hasher = blake3::Hasher::new_derive_key("gazelle-he 2026 hint binding");
        hasher.update(coins.seed()).update(&binding.plan).update(&binding.weights);
        let p = parameters;
        let numbers = [binding.group, binding.first_index, binding.setup, p.degree() as u64]
            .into_iter()
            .chain(
                [p.ring_bits(), p.noise_bits(), p.kept_quarters(), p.dropped_bits()].map(u64::from),
            )
            .chain([u64::from(p.guard_bits())]);
        for number in numbers {
            hasher.update(&number.to_le_bytes());
        }
        let bound = hasher.finalize();
        let key = Zeroizing::new(*blake3::keyed_hash(&self.key, bound.as_bytes()).as_bytes());
        HintSource {
            parameters: *parameters,
            coins: coins.clone(),
            first_index: binding.first_index,
            key,
            served: AtomicU64::new(0),
        }
    }
}

impl HintSource {
    /// The same source, that has served `used` inferences of earlier sessions.
    #[must_use]
    pub fn after(mut self, used: u64) -> Self {
        self.served = AtomicU64::new(used);
        self
    }

    /// The hints `c1_m = sum_i w_{m,i} a_i + pa t_m + e''_m`, rounded to l+k-d bits, for a run of
    /// rows of `weights`.
    ///
    /// Cost per row: the row's products, one exact product. Runs on all cores.
    ///
    /// # Errors
    /// [`HeError::Caller`] if `rows` is not within the matrix.
    pub fn hints(
        &self,
        weights: &dyn WeightMatrix,
        rows: Range<usize>,
    ) -> Result<HintMessage, HeError> {
        let p = &self.parameters;
        if rows.start > rows.end || rows.end > weights.responses() {
            let (expected, got) = (weights.responses(), rows.end);
            return Err(HeError::Caller { what: "rows of hints", expected, got });
        }
        let n = p.degree();
        let fft = Fft::new(n)?;
        let pa = fft.prepare_exact(
            self.coins.key_polynomial(p).words(),
            p.modulus_bits(),
            &mut fft.scratch(),
        )?;
        let a = self.coins.request_polynomials(p, self.first_index, weights.requests());
        let mut c1 = Polys::zeros(n, rows.len());
        weights.accumulate(&a, p.modulus_bits(), rows.clone(), &mut c1);
        let d = p.dropped_bits();
        let half = (1u64 << d) >> 1;
        let parts: Vec<Vec<u8>> = c1
            .par_iter_mut()
            .zip(rows)
            .map_init(
                || HintWork::new(&fft, 0),
                |work, (c1, m)| {
                    let mut errors = self.secret(m, work, &fft)?;
                    fft.exact_mul_add(&pa, &work.t, c1, &mut work.scratch)?;
                    sample::gaussian_narrow(&mut errors, hint_errors(p), &mut work.small);
                    for (c1, e) in c1.iter_mut().zip(work.small.iter()) {
                        *c1 = c1.wrapping_add(*e as u64).wrapping_add(half) >> d;
                    }
                    let mut bytes = Vec::new();
                    packed::pack(c1, p.hint_bits(), &mut bytes);
                    Ok(bytes)
                },
            )
            .collect::<Result<_, RingError>>()?;
        Ok(HintMessage { payload: parts.concat() })
    }

    /// The server's shares `v = -(rho >> (k - g)) mod 2^{l+g}`, `rho = c0' - c0_m - F`, at the useful
    /// coefficients, `c0_m = sum_i w_{m,i} b_i + pb t_m`; F from `noise`, or 0 with guard bits.
    ///
    /// - `useful[m]`: coefficient indices wanted of response m, all rows of `weights`.
    /// - returns the words of all responses one after another, in the order of `useful`.
    ///
    /// Cost per row: the row's products, one exact product. Runs on all cores.
    ///
    /// # Errors
    /// [`HeError::Caller`] if the numbers do not fit;
    /// [`HeError::Exhausted`] after [`inferences_per_setup`] inferences.
    pub fn shares(
        &self,
        request: &EncryptedRequest,
        reshare: &Reshare,
        weights: &dyn WeightMatrix,
        useful: &[&[u32]],
        noise: ResponseNoise,
    ) -> Result<Buffer, HeError> {
        let p = &self.parameters;
        check("responses", weights.responses(), useful.len())?;
        check("requests", weights.requests(), request.b.count())?;
        check("request parameters", 1, usize::from(request.parameters == *p))?;
        check_useful(p, useful)?;
        let limit = inferences_per_setup(p);
        if self.served.fetch_add(1, Ordering::Relaxed) >= limit {
            return Err(HeError::Exhausted { limit });
        }
        let n = p.degree();
        let fft = Fft::new(n)?;
        let private = noise.key;

        // v: first sum_i w b at the useful coefficients, in the end the shares.
        let mut v = Buffer::zeros(useful.iter().map(|list| list.len()).sum());
        weights.accumulate_at(&request.b, p.modulus_bits(), useful, &mut v);
        let longest = useful.iter().map(|list| list.len()).max().unwrap_or(0);
        let jobs: Vec<_> = split_by(&mut v, useful).collect();
        jobs.into_par_iter()
            .enumerate()
            .map_init(
                || (HintWork::new(&fft, longest), Buffer::zeros(n), Buffer::zeros(longest)),
                |(work, product, uniform), (m, (v, useful))| {
                    self.secret(m, work, &fft)?;
                    product.fill(0);
                    fft.exact_mul_add(&request.pb, &work.t, product, &mut work.scratch)?;
                    let (uniform, _) = uniform.split_at_mut(v.len());
                    reshare.words(p, m, uniform);
                    let (f, _) = work.small.split_at_mut(v.len());
                    if p.is_flooded() {
                        let m = [m as u64];
                        let mut noise = secret_stream(&private, CoinKind::ResponseNoise, &m);
                        sample::gaussian_wide(&mut noise, LOG2_SIGMA_FRESH, f);
                    } else {
                        f.fill(0);
                    }
                    for (v, index) in v.iter_mut().zip(useful) {
                        let product = product.get(*index as usize).copied().unwrap_or_default();
                        *v = v.wrapping_add(product);
                    }
                    reshare_into(p, uniform, f, v);
                    Ok(())
                },
            )
            .collect::<Result<(), RingError>>()?;
        Ok(v)
    }

    /// Evaluates `t_m` into `work.t`; returns the stream of `e''_m`.
    fn secret(&self, m: usize, work: &mut HintWork, fft: &Fft) -> Result<Prg, RingError> {
        let mut secret = secret_stream(&self.key, CoinKind::HintSecrets, &[m as u64]);
        let (t, _) = work.small.split_at_mut(fft.degree());
        sample::gaussian_narrow(&mut secret, hint_errors(&self.parameters), t);
        fft.forward_small(t, &mut work.t, &mut work.scratch)?;
        Ok(secret_stream(&self.key, CoinKind::HintErrors, &[m as u64]))
    }
}

/// The distribution of t and e''.
fn hint_errors(p: &Parameters) -> Narrow {
    if p.is_flooded() { Narrow::S6_4 } else { Narrow::S3_2 }
}

/// `v = -((c0' - c0 - F) >> (k - g)) mod 2^{l+g}`; `v` holds `c0`, `uniform` `c0'`.
fn reshare_into(p: &Parameters, uniform: &[u64], f: &[i64], v: &mut [u64]) {
    for ((v, c), f) in v.iter_mut().zip(uniform).zip(f) {
        let rho = c.wrapping_sub(*v).wrapping_sub(*f as u64);
        *v = server_share(p, rho);
    }
}

/// One thread's buffers for hint secrets.
struct HintWork {
    scratch: gazelle_ring::FftScratch,
    t: Zeroizing<Fourier>,
    small: Zeroizing<Vec<i64>>,
}

impl HintWork {
    /// Room for `samples` or N small values.
    fn new(fft: &Fft, samples: usize) -> Self {
        Self {
            scratch: fft.scratch(),
            t: Zeroizing::new(fft.zero()),
            small: Zeroizing::new(vec![0; fft.degree().max(samples)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use gazelle_prg::Seed;

    use super::*;
    use crate::public_coin::coins::tests::coins;

    fn rng(tag: u8) -> Prg {
        Prg::new(&Seed::from_bytes([tag; 16]), 0)
    }

    fn binding() -> HintBinding {
        HintBinding { plan: [1; 32], weights: [2; 32], group: 3, first_index: 4, setup: 0 }
    }

    /// (t, e'') of response m.
    fn secrets(source: &HintSource, m: usize) -> (Vec<u8>, Vec<i64>, Vec<i64>) {
        let fft = Fft::new(source.parameters.degree()).unwrap();
        let mut work = HintWork::new(&fft, 0);
        let mut errors = source.secret(m, &mut work, &fft).unwrap();
        let t = work.small.to_vec();
        sample::gaussian_narrow(&mut errors, hint_errors(&source.parameters), &mut work.small);
        let key =
            crate::public_coin::expand::derive(&source.key, CoinKind::HintSecrets, &[m as u64])
                .to_vec();
        (key, t, work.small.to_vec())
    }

    #[test]
    fn hint_secrets_are_distinct_for_every_response_and_binding() {
        let parameters = Parameters::new(2048, 30, 18, 6, 10).unwrap();
        let key = HintKey::fresh(&mut rng(1)).unwrap();
        let mut sources = vec![
            key.source(&parameters, &coins(1), &binding()),
            // Another joint seed, plan, weights, group, index, setup; other parameters; another key.
            key.source(&parameters, &coins(2), &binding()),
            key.source(&parameters, &coins(1), &HintBinding { plan: [9; 32], ..binding() }),
            key.source(&parameters, &coins(1), &HintBinding { weights: [9; 32], ..binding() }),
            key.source(&parameters, &coins(1), &HintBinding { group: 9, ..binding() }),
            key.source(&parameters, &coins(1), &HintBinding { first_index: 9, ..binding() }),
            key.source(&parameters, &coins(1), &HintBinding { setup: 9, ..binding() }),
            HintKey::fresh(&mut rng(1)).unwrap().source(&parameters, &coins(1), &binding()),
        ];
        for (l, k, h, d) in [(29, 18, 6, 10), (30, 17, 6, 10), (30, 18, 7, 10), (30, 18, 6, 11)] {
            let other = Parameters::new(2048, l, k, h, d).unwrap();
            sources.push(key.source(&other, &coins(1), &binding()));
        }
        let (mut keys, mut seen) = (HashSet::new(), HashSet::new());
        for source in &sources {
            for m in [0, 1, 2, 1000] {
                let (key, t, e) = secrets(source, m);
                assert!(keys.insert(key));
                assert!(seen.insert(t) && seen.insert(e));
            }
        }
        // The same setup again: bit for bit the same, so that a retry reveals nothing.
        let again = key.source(&parameters, &coins(1), &binding());
        assert_eq!(secrets(&again, 2), secrets(&sources[0], 2));
    }

    /// The noise F covers a bounded number of inferences, and so does the bound on exact errors
    /// (protocol.md 3.8, 3.9).
    #[test]
    fn hints_refuse_to_serve_more_inferences_than_the_noise_covers() {
        for (degree, limit) in [(2048, 1 << 20), (4096, 1 << 19), (8192, 1 << 18)] {
            let parameters = Parameters::new(degree, 30, 18, 18, 0).unwrap();
            assert_eq!(inferences_per_setup(&parameters), limit);
            let exact = parameters.with_guard_bits(2).unwrap();
            assert_eq!(inferences_per_setup(&exact), 1 << 20);
        }
        let parameters = Parameters::new(2048, 30, 18, 18, 0).unwrap();
        let coins = coins(1);
        let mut rng = rng(5);
        let source = HintKey::fresh(&mut rng).unwrap().source(&parameters, &coins, &binding());
        let requested =
            crate::public_coin::LayerSecret::request(&parameters, &coins, 4, &[], &mut rng);
        let message = requested.unwrap().message;
        let request = EncryptedRequest::open(&parameters, &message, &[]).unwrap();
        let (_, reshare) = message.reshare(&coins, 0, &mut rng);
        let weights = gazelle_ring::SparseWeights::new(2048, 0, vec![Vec::new()]).unwrap();
        source.served.store((1 << 20) - 1, Ordering::Relaxed);
        let mut serve = || {
            let noise = ResponseNoise::fresh(&mut rng)?;
            source.shares(&request, &reshare, &weights, &[&[3]], noise)
        };
        assert!(serve().is_ok());
        assert!(matches!(serve(), Err(HeError::Exhausted { limit: 1_048_576 })));
        assert!(serve().is_err());
    }

    #[test]
    fn hint_secrets_have_deviation_6_4_or_with_guard_bits_3_2() {
        for (guard_bits, expected) in [(0, 6.4), (2, 3.2)] {
            let parameters = Parameters::new(2048, 30, 18, 6, 10).unwrap();
            let parameters = parameters.with_guard_bits(guard_bits).unwrap();
            let source =
                HintKey::fresh(&mut rng(2)).unwrap().source(&parameters, &coins(1), &binding());
            let square = |x: &[i64]| x.iter().map(|x| (x * x) as f64).sum::<f64>();
            let sum: f64 = (0..32)
                .map(|m| secrets(&source, m))
                .map(|(_, t, e)| square(&t) + square(&e))
                .sum::<f64>();
            let deviation = (sum / (64.0 * 2048.0)).sqrt();
            assert!((deviation / expected - 1.0).abs() < 0.02, "{deviation}");
        }
    }
}
