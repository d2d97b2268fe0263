//! The client: requests with share-seeded encryption, and its shares from the hints
//! (docs/protocol.md, 3.3 and 3.4).
//!
//! | client | |
//! |---|---|
//! | [`LayerSecret::request`] | s, e fresh; `v = -a s + e`; `r = beta - (v >> k)`; sends levels of `v mod 2^k` |
//! | [`LayerSecret::shares`] | `u = ((c0' + c1 s) >> (k - g))`; s is gone |

#[cfg(feature = "testing")]
mod stretched;

use gazelle_prg::Prg;
use gazelle_prg::sample::{self, Narrow};
use gazelle_ring::{Buffer, ExactOperand, Fft, FftScratch, Fourier, Polys, RingError, Transform};
use gazelle_wire::{Message, packed};
use rand_core::CryptoRng;
use rayon::prelude::*;
use zeroize::{Zeroize, Zeroizing};

use crate::error::HeError;
use crate::public_coin::coins::PublicCoins;
use crate::public_coin::expand::{
    CoinKind, FORK_BETA, derive, fresh, halves, secret_stream, stream,
};
use crate::public_coin::levels;
use crate::public_coin::message::{
    HintMessage, HintShape, RequestMessage, RequestShape, ReshareMessage, kept_bytes,
};
use crate::public_coin::parameters::Parameters;
use crate::public_coin::reshare::{Reshare, client_share};

/// The coefficients of one request polynomial whose mask must have a given value; all others are
/// free (uniform, they follow from the encryption).
#[derive(Clone, Copy, Default)]
pub struct Pinned<'a> {
    /// Coefficient indices, strictly increasing; public, part of the plan.
    pub positions: &'a [u32],
    /// The mask wanted at each position, in `Z_{2^l}`; secret.
    pub values: &'a [u64],
}

/// What [`LayerSecret::request`] gives.
pub struct Requested {
    /// For the server; shape [`RequestShape`].
    pub message: RequestMessage,
    /// The masks r, one polynomial per request, words below `2^l`.
    pub masks: Polys,
    /// What [`LayerSecret::shares`] needs.
    pub secret: LayerSecret,
}

/// The client's secret for one group and one inference: a ternary polynomial. Drawn fresh by every
/// request, consumed by [`shares`](Self::shares), wiped on drop, neither cloned nor stored.
pub struct LayerSecret {
    parameters: Parameters,
    coins: PublicCoins,
    /// In evaluation form.
    s: Zeroizing<Fourier>,
    request: [u8; 32],
    /// Whether `c1 s` is computed exactly, so that every machine gives the same u.
    exact: bool,
}

impl LayerSecret {
    /// Draws a fresh secret and encrypts one random mask polynomial per element of `pinned`.
    ///
    /// - `first_index`: plan-wide index of the group's first request polynomial (its `a_i`).
    /// - `pinned`: one element per request polynomial; `Pinned::default()` pins nothing.
    /// - returns the message, the masks r (pinned coefficients as wanted) and the secret.
    ///
    /// Cost: one exact product for `pb` and for each polynomial; `h N + l * pinned` bits per
    /// polynomial and `(l + k) N + 128` per group. Runs on all cores.
    ///
    /// # Errors
    /// [`HeError::Caller`] if positions and values do not fit; [`HeError::Entropy`].
    pub fn request(
        parameters: &Parameters,
        coins: &PublicCoins,
        first_index: u64,
        pinned: &[Pinned<'_>],
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Requested, HeError> {
        check_pinned(parameters, pinned)?;
        let positions: Vec<&[u32]> = pinned.iter().map(|pinned| pinned.positions).collect();
        let mut settle = |request: usize, mask: &mut [u64]| {
            let Some(pinned) = pinned.get(request) else { return };
            for (index, value) in pinned.positions.iter().zip(pinned.values) {
                if let Some(r) = mask.get_mut(*index as usize) {
                    *r = *value;
                }
            }
        };
        Self::request_with(parameters, coins, first_index, &positions, &mut settle, rng)
    }

    /// As [`request`](Self::request), where a polynomial may be pinned to masks that an earlier one
    /// of the same request defines (halo pixels of neighbouring tiles).
    ///
    /// - `pinned[i]`: pinned positions of polynomial i, strictly increasing.
    /// - `settle(i, mask)`: called for i = 0, 1, .. in order with the N words of the free mask;
    ///   overwrites the pinned ones with the masks wanted.
    ///
    /// # Errors
    /// [`HeError::Caller`] if positions do not fit; [`HeError::Entropy`].
    pub fn request_with(
        parameters: &Parameters,
        coins: &PublicCoins,
        first_index: u64,
        pinned: &[&[u32]],
        settle: &mut dyn FnMut(usize, &mut [u64]),
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Requested, HeError> {
        for positions in pinned {
            check_positions(parameters, positions)?;
        }
        // Fresh even where a session's state was cloned or restored.
        let private = fresh(rng)?;
        Self::request_from(parameters, coins, first_index, pinned, settle, &private)
    }

    /// As [`request_with`](Self::request_with), but everything follows from `private`: 32 uniform bytes of this
    /// request alone. Whoever has them makes the same request and, by an exact product, the same
    /// [`shares`](Self::shares) on any machine.
    ///
    /// # Errors
    /// [`HeError::Caller`] if positions do not fit.
    pub fn request_of(
        parameters: &Parameters,
        coins: &PublicCoins,
        first_index: u64,
        pinned: &[&[u32]],
        settle: &mut dyn FnMut(usize, &mut [u64]),
        private: &[u8; 32],
    ) -> Result<Requested, HeError> {
        for positions in pinned {
            check_positions(parameters, positions)?;
        }
        let mut made = Self::request_from(parameters, coins, first_index, pinned, settle, private)?;
        made.secret.exact = true;
        Ok(made)
    }

    /// All of a request follows from `private`, whatever the schedule.
    fn request_from(
        parameters: &Parameters,
        coins: &PublicCoins,
        first_index: u64,
        pinned: &[&[u32]],
        settle: &mut dyn FnMut(usize, &mut [u64]),
        private: &[u8; 32],
    ) -> Result<Requested, HeError> {
        let small = ternary_secret(parameters, private);
        let secret = (private, &small[..]);
        Self::request_under(parameters, coins, first_index, pinned, settle, secret)
    }

    /// A request under the secret `small`, all else from `private`.
    fn request_under(
        parameters: &Parameters,
        coins: &PublicCoins,
        first_index: u64,
        pinned: &[&[u32]],
        settle: &mut dyn FnMut(usize, &mut [u64]),
        (private, small): (&[u8; 32], &[i64]),
    ) -> Result<Requested, HeError> {
        let n = parameters.degree();
        let fft = Fft::new(n)?;
        let (public, _) = halves(&derive(private, CoinKind::RequestPublicSeed, &[]));
        let mut scratch = fft.scratch();

        let mut s = Zeroizing::new(fft.zero());
        fft.forward_small(small, &mut s, &mut scratch)?;

        let mut payload = Vec::with_capacity(RequestMessage::encoded_len(&RequestShape {
            parameters: *parameters,
            requests: pinned.len(),
            pinned: pinned.iter().map(|positions| positions.len()).sum(),
        }));
        payload.extend_from_slice(public.bytes());

        // pb = -pa s + e_pk.
        let pa = coins.key_polynomial(parameters);
        let mut error_stream = secret_stream(private, CoinKind::RequestKeyError, &[]);
        let mut pb = Buffer::zeros(n);
        encrypt_zero(&fft, parameters, pa.words(), &s, &mut error_stream, &mut scratch, &mut pb)?;
        packed::pack(&pb, parameters.modulus_bits(), &mut payload);

        let a = coins.request_polynomials(parameters, first_index, pinned.len());
        let mut masks = Polys::zeros(n, pinned.len());
        let parts: Vec<(Vec<u8>, Zeroizing<Vec<u64>>)> = masks
            .par_iter_mut()
            .zip(pinned)
            .enumerate()
            .map_init(
                || (fft.scratch(), Buffer::zeros(n)),
                |(scratch, v), (i, (mask, pinned))| {
                    let mut errors = secret_stream(private, CoinKind::RequestError, &[i as u64]);
                    encrypt_zero(&fft, parameters, a.poly(i), &s, &mut errors, scratch, v)?;
                    let mut beta = stream(&public.fork(FORK_BETA, i as u64));
                    Ok(share_seeded(parameters, v, &mut beta, pinned, mask))
                },
            )
            .collect::<Result<_, RingError>>()?;
        let ring = (1u64 << parameters.ring_bits()) - 1;
        let mut betas = Vec::new();
        for (i, (mask, (kept, highs))) in masks.iter_mut().zip(&parts).enumerate() {
            payload.extend_from_slice(kept);
            settle(i, mask);
            let positions = pinned.get(i).copied().unwrap_or_default();
            for (index, high) in positions.iter().zip(highs.iter()) {
                if let Some(r) = mask.get_mut(*index as usize) {
                    *r &= ring;
                    betas.push(r.wrapping_add(*high) & ring);
                }
            }
        }
        packed::pack(&betas, parameters.ring_bits(), &mut payload);

        let message = RequestMessage { payload };
        let (parameters, coins) = (*parameters, coins.clone());
        let secret = Self { parameters, coins, s, request: message.digest(), exact: false };
        Ok(Requested { message, masks, secret })
    }

    /// The client's shares `u = ((c0' + c1_m s) >> (k - g)) mod 2^{l+g}` at the useful coefficients.
    ///
    /// - `hints`: all rows of the group, in order (stored since setup, or fresh if revealed).
    /// - `inference`: number of the inference within the session, as the server counts.
    /// - `useful[m]`: coefficient indices wanted of response m.
    /// - returns the words of all responses one after another, in the order of `useful`.
    ///
    /// Cost: one FFT product per response, two for [`request_of`](Self::request_of). Runs on all cores.
    ///
    /// # Errors
    /// [`HeError::Caller`] if `hints` and `useful` differ in number or an index is not below N.
    pub fn shares(
        self,
        hints: &HintMessage,
        inference: u64,
        reshare: &ReshareMessage,
        useful: &[&[u32]],
    ) -> Result<Buffer, HeError> {
        let parameters = &self.parameters;
        let shape = HintShape { parameters: *parameters, responses: useful.len() };
        check("bytes of hints", HintMessage::encoded_len(&shape), hints.payload.len())?;
        check_useful(parameters, useful)?;
        let n = parameters.degree();
        let bits = parameters.hint_bits();
        let fft = Fft::new(n)?;
        let reshare = Reshare::new(&self.coins, inference, &self.request, reshare);
        let mut u = Buffer::zeros(useful.iter().map(|list| list.len()).sum());
        let jobs: Vec<_> = split_by(&mut u, useful).collect();
        jobs.into_par_iter()
            .zip(hints.payload.par_chunks(n * bits as usize / 8))
            .enumerate()
            .map_init(
                || {
                    let product = Buffer::zeros(n);
                    (fft.scratch(), fft.zero(), Zeroizing::new(fft.zero()), product)
                },
                |(scratch, hint, sum, product), (m, ((u, useful), bytes))| {
                    // The hint is c1 >> d: the product of the short words, then shifted up.
                    let words = packed::unpack(bytes, bits, n).map_err(malformed)?;
                    product.fill(0);
                    if self.exact {
                        let operand = fft.prepare_exact(&words, bits, scratch)?;
                        fft.exact_mul_add(&operand, &self.s, product, scratch)?;
                    } else {
                        fft.forward(&words, bits, hint, scratch)?;
                        sum.clear();
                        fft.mul_add(sum, hint, &self.s);
                        fft.inverse_add(sum, product, scratch)?;
                    }
                    reshare.words(parameters, m, u);
                    let d = parameters.dropped_bits();
                    for (u, index) in u.iter_mut().zip(useful) {
                        let product = product.get(*index as usize).copied().unwrap_or_default();
                        let sum = u.wrapping_add(product << d);
                        *u = client_share(parameters, sum);
                    }
                    Ok(())
                },
            )
            .collect::<Result<(), HeError>>()?;
        Ok(u)
    }
}

/// `out = -a s + e mod q`, the product exact, e fresh of deviation 3.2; reduced.
fn encrypt_zero(
    fft: &Fft,
    parameters: &Parameters,
    a: &[u64],
    s: &Fourier,
    errors: &mut Prg,
    scratch: &mut FftScratch,
    out: &mut [u64],
) -> Result<(), RingError> {
    let bits = parameters.modulus_bits();
    let mask = u64::MAX >> (64 - bits);
    let operand: ExactOperand<Fourier> = fft.prepare_exact(a, bits, scratch)?;
    out.fill(0);
    fft.exact_mul_add(&operand, s, out, scratch)?;
    let mut e = Zeroizing::new(vec![0i64; out.len()]);
    sample::gaussian_narrow(errors, Narrow::S3_2, &mut e);
    for (out, e) in out.iter_mut().zip(e.iter()) {
        *out = (*e as u64).wrapping_sub(*out) & mask;
    }
    Ok(())
}

/// From `v = -a s + e`: the free mask `r = beta - (v >> k)`, the packed levels of `v mod 2^k`,
/// and `v >> k` at the pinned positions (there `beta = r + (v >> k)` is sent). Wipes `v`.
fn share_seeded(
    parameters: &Parameters,
    v: &mut [u64],
    beta: &mut Prg,
    pinned: &[u32],
    mask: &mut [u64],
) -> (Vec<u8>, Zeroizing<Vec<u64>>) {
    let (l, k) = (parameters.ring_bits(), parameters.noise_bits());
    let ring = (1u64 << l) - 1;
    sample::uniform(beta, l, mask);
    for (r, v) in mask.iter_mut().zip(v.iter()) {
        *r = r.wrapping_sub(*v >> k) & ring;
    }
    let highs = pinned.iter().filter_map(|index| v.get(*index as usize)).map(|v| *v >> k);
    let highs = Zeroizing::new(highs.collect());
    let mut kept = Vec::with_capacity(kept_bytes(parameters));
    levels::pack(parameters, v, &mut kept);
    v.zeroize();
    (kept, highs)
}

/// The ternary secret that follows from a request's coins.
fn ternary_secret(parameters: &Parameters, private: &[u8; 32]) -> Zeroizing<Vec<i64>> {
    let mut small = Zeroizing::new(vec![0i64; parameters.degree()]);
    sample::ternary(&mut secret_stream(private, CoinKind::RequestSecret, &[]), &mut small);
    small
}

fn check_pinned(parameters: &Parameters, pinned: &[Pinned<'_>]) -> Result<(), HeError> {
    for pinned in pinned {
        check("pinned values", pinned.positions.len(), pinned.values.len())?;
        check_positions(parameters, pinned.positions)?;
    }
    Ok(())
}

/// Strictly increasing and below N.
pub(crate) fn check_positions(parameters: &Parameters, positions: &[u32]) -> Result<(), HeError> {
    if !positions.is_sorted_by(|a, b| a < b) {
        return Err(HeError::Caller { what: "increasing pinned positions", expected: 1, got: 0 });
    }
    match positions.last() {
        Some(last) => below("pinned position", *last as usize, parameters.degree()),
        None => Ok(()),
    }
}

/// Every useful index below N.
pub(crate) fn check_useful(parameters: &Parameters, useful: &[&[u32]]) -> Result<(), HeError> {
    match useful.iter().flat_map(|list| list.iter()).max() {
        Some(largest) => below("useful coefficient", *largest as usize, parameters.degree()),
        None => Ok(()),
    }
}

fn below(what: &'static str, got: usize, limit: usize) -> Result<(), HeError> {
    if got < limit { Ok(()) } else { Err(HeError::Caller { what, expected: limit - 1, got }) }
}

pub(crate) fn check(what: &'static str, expected: usize, got: usize) -> Result<(), HeError> {
    if expected == got { Ok(()) } else { Err(HeError::Caller { what, expected, got }) }
}

/// Cuts `words` into runs as long as the lists.
pub(crate) fn split_by<'a, 'b>(
    mut words: &'a mut [u64],
    lists: &'b [&'b [u32]],
) -> impl Iterator<Item = (&'a mut [u64], &'b [u32])> {
    lists.iter().map(move |list| {
        let (head, tail) = std::mem::take(&mut words).split_at_mut(list.len());
        words = tail;
        (head, *list)
    })
}

fn malformed(source: gazelle_wire::DecodeError) -> HeError {
    HeError::Malformed { what: HintMessage::NAME, source }
}

#[cfg(test)]
mod tests {
    use gazelle_prg::Seed;

    use super::*;
    use crate::public_coin::coins::tests::coins;

    /// Two processes that go on from one snapshot have equal generators: nothing of their requests is
    /// equal, least of all s under one a.
    #[test]
    fn clones_of_a_session_draw_different_coins() {
        let parameters = Parameters::new(2048, 30, 18, 6, 10).unwrap();
        let request = || {
            let mut rng = Prg::new(&Seed::from_bytes([3; 16]), 0);
            let pinned = [Pinned::default()];
            LayerSecret::request(&parameters, &coins(1), 0, &pinned, &mut rng).unwrap()
        };
        let (one, two) = (request(), request());
        assert!(*one.secret.s != *two.secret.s);
        assert_ne!(one.message.payload[..16], two.message.payload[..16], "the public seed");
        let equal = one.masks.words().iter().zip(two.masks.words()).filter(|(a, b)| a == b);
        assert!(equal.count() < 4, "masks agree");
    }

    #[test]
    fn requests_do_not_depend_on_the_schedule() {
        let parameters = Parameters::new(2048, 21, 27, 5, 18).unwrap();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let make = || {
                let settle = &mut |_: usize, _: &mut [u64]| ();
                let pinned: [&[u32]; 3] = [&[], &[1, 5], &[]];
                LayerSecret::request_from(&parameters, &coins(1), 0, &pinned, settle, &[7; 32])
            };
            let made = pool.install(make).unwrap();
            (made.message.payload, made.masks)
        };
        assert!(run(1) == run(3));
    }

    #[test]
    fn every_request_draws_a_fresh_ternary_secret() {
        let parameters = Parameters::new(2048, 30, 18, 6, 10).unwrap();
        let mut rng = Prg::new(&Seed::from_bytes([3; 16]), 0);
        let coins = coins(1);
        let mut secrets: Vec<Zeroizing<Fourier>> = Vec::new();
        let fft = Fft::new(2048).unwrap();
        // Two groups, two inferences each.
        for first_index in [0, 0, 7, 7] {
            let pinned = [Pinned::default()];
            let requested =
                LayerSecret::request(&parameters, &coins, first_index, &pinned, &mut rng).unwrap();
            let s = requested.secret.s;
            assert!(secrets.iter().all(|other| **other != *s));
            let mut coefficients = vec![0u64; 2048];
            let mut copy = (*s).clone();
            fft.inverse_add(&mut copy, &mut coefficients, &mut fft.scratch()).unwrap();
            assert!(coefficients.iter().all(|c| [-1, 0, 1].contains(&(*c as i64))));
            let nonzero = coefficients.iter().filter(|c| **c != 0).count() as f64;
            assert!((nonzero - 2048.0 * 2.0 / 3.0).abs() < 6.0 * (2048.0_f64 * 2.0 / 9.0).sqrt());
            secrets.push(s);
        }
    }

    #[test]
    fn encryptions_of_zero_are_exact_with_fresh_errors_of_deviation_3_2() {
        let mut rng = Prg::new(&Seed::from_bytes([4; 16]), 0);
        for (degree, l, k) in [(2048, 30, 18), (4096, 37, 25)] {
            let parameters = Parameters::new(degree, l, k, 6, 10).unwrap();
            let fft = Fft::new(degree).unwrap();
            let mut scratch = fft.scratch();
            let mut small = vec![0i64; degree];
            sample::ternary(&mut rng, &mut small);
            let mut s = fft.zero();
            fft.forward_small(&small, &mut s, &mut scratch).unwrap();
            let bits = parameters.modulus_bits();
            let a = coins(1).request_polynomials(&parameters, 0, 1);
            let mut square = 0.0;
            let mut last = Vec::new();
            for _ in 0..8 {
                let mut v = vec![0u64; degree];
                encrypt_zero(&fft, &parameters, a.words(), &s, &mut rng, &mut scratch, &mut v)
                    .unwrap();
                // v + a s by definition.
                for (i, s) in small.iter().enumerate().filter(|(_, s)| **s != 0) {
                    gazelle_ring::kernel::mul_add::shift_mul_add(*s, i, a.words(), &mut v);
                }
                let e: Vec<i64> =
                    v.iter().map(|v| ((v << (64 - bits)) as i64) >> (64 - bits)).collect();
                assert!(e.iter().all(|e| e.unsigned_abs() as usize <= Narrow::S3_2.bound()));
                assert_ne!(e, last);
                square += e.iter().map(|e| (e * e) as f64).sum::<f64>();
                last = e;
            }
            let deviation = (square / (8 * degree) as f64).sqrt();
            assert!((deviation / 3.2 - 1.0).abs() < 0.03, "{deviation}");
        }
    }
}
