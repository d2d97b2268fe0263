//! Every transform and every matrix against the definition.

use gazelle_ring::negacyclic_mul_add;
use gazelle_ring::testing;
use gazelle_ring::weights::{Column, Term, fft_deviation};
use gazelle_ring::{DenseWeights, Fft, Schoolbook, ShiftedWeights, SparseWeights, Transform};

use super::{product, stream, uniform, weights};

#[test]
fn the_fft_conforms() {
    for (degree, bits, weight_bits) in [
        (32, 20, 8),
        (64, 48, 12),
        (1024, 48, 12),
        (2048, 48, 12),
        (2048, 50, 16),
        (4096, 62, 12),
        (8192, 62, 16),
    ] {
        testing::transform(&Fft::new(degree).unwrap(), bits, weight_bits);
    }
}

#[test]
fn the_schoolbook_conforms() {
    for degree in [32, 64, 256] {
        testing::transform(&Schoolbook::new(degree), 62, 16);
    }
}

#[test]
fn the_sparse_product_of_these_tests_is_the_definition() {
    let mut prg = stream(1);
    let (a, b) = (uniform(&mut prg, 64, 128), weights(&mut prg, 16, 128));
    let words: Vec<u64> = b.iter().map(|w| *w as u64).collect();
    let mut expected = vec![0; 128];
    negacyclic_mul_add(&a, &words, &mut expected);
    assert_eq!(product(&a, &b), expected);
}

#[test]
fn degrees_and_lengths_are_checked() {
    for degree in [0, 16, 48, 3000, 1 << 15] {
        assert!(Fft::new(degree).is_err());
    }
    let fft = Fft::new(64).unwrap();
    let (mut eval, mut scratch) = (fft.zero(), fft.scratch());
    assert!(fft.forward_small(&[0; 65], &mut eval, &mut scratch).is_err());
    assert!(fft.inverse_add(&mut eval, &mut [0; 32], &mut scratch).is_err());
}

#[test]
fn sparse_matrices_conform() {
    let (n, p) = (256, 5);
    let mut prg = stream(2);
    let mut dense = vec![vec![vec![0i64; n]; p]; 7];
    let mut rows = vec![Vec::new(); 7];
    for (row, terms) in rows.iter_mut().enumerate() {
        for _ in 0..9 * row {
            let [request, shift, weight] = uniform(&mut prg, 32, 3)[..] else { unreachable!() };
            let term = Term {
                request: request as u32 % p as u32,
                shift: shift as u32 % n as u32,
                weight: (weight % 60_000) as i32 - 30_000,
            };
            dense[row][term.request as usize][term.shift as usize] += i64::from(term.weight);
            terms.push(term);
        }
    }
    let matrix = SparseWeights::new(n, p, rows).unwrap();
    testing::weight_matrix(&matrix, n, 64, &|m, i| dense[m][i].clone(), 0.0);
    let bad =
        |request, shift| SparseWeights::new(n, p, vec![vec![Term { request, shift, weight: 1 }]]);
    assert!(bad(5, 0).is_err() && bad(0, 256).is_err() && bad(4, 255).is_ok());
}

#[test]
fn shifted_matrices_conform_for_every_shape() {
    for (n, p, taps, rows) in [(64, 1, 1, 1), (128, 3, 9, 8), (256, 20, 9, 70), (512, 7, 1, 13)] {
        let mut prg = stream(4);
        let columns: Vec<Column> = (0..p as u32)
            .flat_map(|request| (0..taps).map(move |tap| (request, tap)))
            .map(|(request, tap)| Column { request, shift: (tap * 29 + request) % n as u32 })
            .collect();
        let values: Vec<i16> =
            weights(&mut prg, 16, rows * columns.len()).iter().map(|w| *w as i16).collect();
        let mut dense = vec![vec![vec![0i64; n]; p]; rows];
        for (row, values) in dense.iter_mut().zip(values.chunks(columns.len())) {
            for (column, w) in columns.iter().zip(values) {
                row[column.request as usize][column.shift as usize] += i64::from(*w);
            }
        }
        let matrix = ShiftedWeights::new(n, p, columns, &values).unwrap();
        testing::weight_matrix(&matrix, n, 64, &|m, i| dense[m][i].clone(), 0.0);
    }
    let column = |request, shift| vec![Column { request, shift }];
    assert!(ShiftedWeights::new(64, 2, column(2, 0), &[1]).is_err());
    assert!(ShiftedWeights::new(64, 2, column(0, 64), &[1]).is_err());
    assert!(ShiftedWeights::new(64, 2, [column(0, 0), column(1, 3)].concat(), &[1; 3]).is_err());
}

#[test]
fn dense_matrices_conform_cached_or_not() {
    for (n, p, rows, bits, cached) in
        [(1024, 3, 3, 48, 0), (2048, 3, 3, 48, 7), (2048, 2, 3, 50, 100), (4096, 2, 2, 62, 1)]
    {
        let mut prg = stream(6);
        let dense: Vec<Vec<Vec<i64>>> =
            (0..rows).map(|_| (0..p).map(|_| weights(&mut prg, 12, n)).collect()).collect();
        let matrix =
            DenseWeights::new(n, p, rows, cached, |m: usize, i: usize, out: &mut [i64]| {
                out.copy_from_slice(&dense[m][i]);
            })
            .unwrap();
        let norm = dense[0].iter().flatten().map(|w| (*w as f64).powi(2)).sum::<f64>();
        let deviation = fft_deviation(bits, norm);
        testing::weight_matrix(&matrix, n, bits, &|m, i| dense[m][i].clone(), deviation);
    }
}
