//! Both parties of one group in one place, and the correctness of what they compute.

use gazelle_he::public_coin::{
    EncryptedRequest, HintBinding, HintKey, HintMessage, HintSource, LayerSecret, Parameters,
    Pinned, PublicCoins, Requested, ResponseNoise,
};
use gazelle_prg::{Prg, Seed, sample};
use gazelle_ring::weights::Term;
use gazelle_ring::{DenseWeights, Polys, SparseWeights, WeightMatrix};

pub(crate) fn rng(tag: u8) -> Prg {
    Prg::new(&Seed::from_bytes([tag; 16]), 0)
}

pub(crate) fn coins(tag: u8) -> PublicCoins {
    PublicCoins::from_joint(&[tag; 32])
}

pub(crate) fn uniform(prg: &mut Prg, bits: u32, len: usize) -> Vec<u64> {
    let mut out = vec![0; len];
    sample::uniform(prg, bits, &mut out);
    out
}

/// `terms` random coefficients of magnitude below `2^bits` per row, and the largest squared norm.
pub(crate) fn random_terms(
    degree: usize,
    requests: usize,
    rows: usize,
    terms: usize,
    bits: u32,
) -> (Vec<Vec<Term>>, f64) {
    let mut prg = rng(77);
    let rows: Vec<Vec<Term>> = (0..rows)
        .map(|_| {
            let shifts = uniform(&mut prg, 32, terms);
            let weights = uniform(&mut prg, bits + 1, terms);
            shifts
                .iter()
                .zip(weights)
                .enumerate()
                .map(|(j, (shift, w))| Term {
                    request: (j % requests) as u32,
                    shift: *shift as u32 % degree as u32,
                    weight: w as i32 - (1 << bits),
                })
                .collect()
        })
        .collect();
    let norm = rows
        .iter()
        .map(|row| row.iter().map(|t| f64::from(t.weight).powi(2)).sum::<f64>())
        .fold(0.0, f64::max);
    (rows, norm)
}

pub(crate) struct Group {
    pub(crate) parameters: Parameters,
    pub(crate) coins: PublicCoins,
    pub(crate) source: HintSource,
    pub(crate) matrix: Box<dyn WeightMatrix>,
    /// Applied exactly to r.
    pub(crate) reference: SparseWeights,
    pub(crate) useful: Vec<Vec<u32>>,
    pub(crate) pinned: Vec<(Vec<u32>, Vec<u64>)>,
    pub(crate) hints: HintMessage,
}

impl Group {
    pub(crate) fn new(
        parameters: Parameters,
        requests: usize,
        rows: Vec<Vec<Term>>,
        fft: bool,
    ) -> Self {
        let n = parameters.degree();
        let responses = rows.len();
        let reference = SparseWeights::new(n, requests, rows.clone()).unwrap();
        let matrix: Box<dyn WeightMatrix> = if fft {
            let write = move |m: usize, i: usize, out: &mut [i64]| {
                for term in rows[m].iter().filter(|term| term.request as usize == i) {
                    out[term.shift as usize] += i64::from(term.weight);
                }
            };
            Box::new(DenseWeights::new(n, requests, responses, 0, write).unwrap())
        } else {
            Box::new(reference.clone())
        };
        let coins = coins(1);
        let source = HintKey::fresh(&mut rng(2)).unwrap().source(&parameters, &coins, &binding());
        let hints = source.hints(matrix.as_ref(), 0..responses).unwrap();
        Self {
            parameters,
            coins,
            source,
            matrix,
            reference,
            useful: vec![(0..n as u32).collect(); responses],
            pinned: vec![(Vec::new(), Vec::new()); requests],
            hints,
        }
    }

    pub(crate) fn request(&self, rng: &mut Prg) -> Requested {
        let pinned: Vec<Pinned<'_>> =
            self.pinned.iter().map(|(positions, values)| Pinned { positions, values }).collect();
        LayerSecret::request(&self.parameters, &self.coins, 4, &pinned, rng).unwrap()
    }

    pub(crate) fn positions(&self) -> Vec<&[u32]> {
        self.pinned.iter().map(|(positions, _)| positions.as_slice()).collect()
    }

    pub(crate) fn useful(&self) -> Vec<&[u32]> {
        self.useful.iter().map(Vec::as_slice).collect()
    }

    /// One inference: `u + v - 2^g W r`, centred in the shares' ring, at all useful coefficients, and r.
    pub(crate) fn errors(&self, inference: u64, rng: &mut Prg) -> (Vec<i64>, Polys) {
        let Requested { message, masks, secret } = self.request(rng);
        let request =
            EncryptedRequest::open(&self.parameters, &message, &self.positions()).unwrap();
        let (nonce, reshare) = message.reshare(&self.coins, inference, rng);
        let useful = self.useful();
        let matrix = self.matrix.as_ref();
        let v = self.source.shares(&request, &reshare, matrix, &useful, noise(rng)).unwrap();
        let u = secret.shares(&self.hints, inference, &nonce, &useful).unwrap();
        let mut product = Polys::zeros(self.parameters.degree(), useful.len());
        self.reference.accumulate(&masks, 64, 0..useful.len(), &mut product);
        let expected = product
            .iter()
            .zip(&useful)
            .flat_map(|(poly, useful)| useful.iter().map(|j| poly[*j as usize]));
        let guard = self.parameters.guard_bits();
        let shift = 64 - self.parameters.share_bits();
        let errors = u
            .iter()
            .zip(v.iter())
            .zip(expected)
            .map(|((u, v), wr)| {
                (u.wrapping_add(*v).wrapping_sub(wr << guard) << shift) as i64 >> shift
            })
            .collect();
        (errors, masks)
    }
}

pub(crate) fn binding() -> HintBinding {
    HintBinding { plan: [1; 32], weights: [2; 32], group: 0, first_index: 4, setup: 0 }
}

#[test]
fn shares_add_up_to_the_product_within_the_bound() {
    // (N, l, k, h, d, truncated), the revealed layer's h = k among them.
    for (degree, l, k, h, d, fft) in [
        (2048, 21, 27, 12, 18, false),
        (2048, 30, 18, 10, 8, true),
        (2048, 36, 12, 12, 0, false),
        (4096, 37, 25, 12, 10, false),
        (4096, 40, 22, 22, 2, false),
        (8192, 30, 20, 14, 3, true),
    ] {
        let parameters = Parameters::new(degree, l, k, h, d).unwrap();
        let (rows, norm) = random_terms(degree, 3, 4, 40, 8);
        let weights = if fft {
            gazelle_he::public_coin::WeightNorm::fft(norm)
        } else {
            gazelle_he::public_coin::WeightNorm::direct(norm)
        };
        let bound = gazelle_he::public_coin::noise::error_bound(&parameters, weights, 8.0);
        let group = Group::new(parameters, 3, rows, fft);
        for inference in 0..2 {
            let (errors, masks) = group.errors(inference, &mut rng(30 + inference as u8));
            assert_eq!(errors.len(), 4 * degree);
            let worst = errors.iter().map(|e| e.unsigned_abs()).max().unwrap() as f64;
            assert!(worst <= bound, "{parameters:?}: {worst} > {bound}");
            assert!(masks.words().iter().all(|r| r >> l == 0));
        }
    }
}

#[test]
fn pinned_masks_come_out_as_wanted_and_free_ones_do_not_repeat() {
    let parameters = Parameters::new(2048, 30, 18, 8, 8).unwrap();
    let (rows, norm) = random_terms(2048, 2, 3, 20, 8);
    let mut group = Group::new(parameters, 2, rows, false);
    let values = uniform(&mut rng(9), 30, 300);
    group.pinned = vec![
        ((0..300).map(|j| 5 * j).collect(), values.clone()),
        (vec![0, 7, 2047], vec![0, (1 << 30) - 1, 12_345]),
    ];
    group.useful = vec![vec![3, 2047, 0], vec![], (100..200).collect()];
    let bound = gazelle_he::public_coin::noise::error_bound(&parameters, norm, 8.0);
    let mut seen: Vec<Polys> = Vec::new();
    for inference in 0..3 {
        let (errors, masks) = group.errors(inference, &mut rng(40 + inference as u8));
        assert_eq!(errors.len(), 103);
        assert!(errors.iter().all(|e| (e.abs() as f64) <= bound));
        assert!(values.iter().enumerate().all(|(j, r)| masks.poly(0)[5 * j] == *r));
        let second = masks.poly(1);
        assert_eq!([second[0], second[7], second[2047]], [0, (1 << 30) - 1, 12_345]);
        for other in &seen {
            let equal = masks.poly(0).iter().zip(other.poly(0)).filter(|(a, b)| a == b).count();
            assert!((300..310).contains(&equal), "{equal} coefficients agree");
        }
        seen.push(masks);
    }
}

#[test]
fn masks_are_uniform() {
    let parameters = Parameters::new(2048, 20, 28, 8, 8).unwrap();
    let (rows, _) = random_terms(2048, 8, 1, 8, 8);
    let group = Group::new(parameters, 8, rows, false);
    let masks = group.request(&mut rng(50)).masks;
    let count = (8 * 2048) as f64;
    for bit in 0..20 {
        let ones = masks.words().iter().filter(|r| *r >> bit & 1 == 1).count() as f64;
        assert!((ones - count / 2.0).abs() < 3.0 * count.sqrt(), "bit {bit}: {ones}");
    }
}

#[test]
fn hints_may_be_made_and_stored_in_runs_of_rows() {
    let parameters = Parameters::new(2048, 30, 18, 8, 8).unwrap();
    let (rows, _) = random_terms(2048, 2, 5, 20, 8);
    let group = Group::new(parameters, 2, rows, false);
    let mut joined = HintMessage::default();
    for run in [0..2, 2..3, 3..3, 3..5] {
        joined.append(group.source.hints(group.matrix.as_ref(), run).unwrap());
    }
    assert_eq!(joined, group.hints);
}

/// A fresh seed of F.
pub(crate) fn noise(rng: &mut Prg) -> ResponseNoise {
    ResponseNoise::fresh(rng).unwrap()
}
