//! Weight matrices against sums of products by definition.

use gazelle_ring::weights::{Column, Term, fft_deviation};
use gazelle_ring::{DenseWeights, Polys, ShiftedWeights, SparseWeights, WeightMatrix};

use super::{product, stream, uniform, weights};

fn requests(tag: u8, degree: usize, count: usize, bits: u32) -> Polys {
    let mut x = Polys::zeros(degree, count);
    x.words_mut().copy_from_slice(&uniform(&mut stream(tag), bits, degree * count));
    x
}

/// Compares every run of rows with `dense[row][request]`; returns the root mean square error.
fn check(
    matrix: &dyn WeightMatrix,
    x: &Polys,
    bits: u32,
    dense: &[Vec<Vec<i64>>],
    bound: f64,
) -> f64 {
    let (rows, n) = (matrix.responses(), x.degree());
    assert_eq!((matrix.requests(), rows), (x.count(), dense.len()));
    let (mut squares, mut count) = (0.0, 0.0);
    for run in [0..rows, 0..1, rows / 2..rows, rows / 3..rows / 3 + 1] {
        let mut got = Polys::zeros(n, run.len());
        got.words_mut().fill(5);
        matrix.accumulate(x, bits, run.clone(), &mut got);
        for (got, row) in got.iter().zip(&dense[run]) {
            let mut expected = vec![5u64; n];
            for (x, w) in x.iter().zip(row) {
                for (sum, term) in expected.iter_mut().zip(product(x, w)) {
                    *sum = sum.wrapping_add(term);
                }
            }
            for (got, expected) in got.iter().zip(expected) {
                let shift = 64 - bits;
                let error = ((got.wrapping_sub(expected) << shift) as i64 >> shift) as f64;
                assert!(error.abs() <= bound, "error {error}, bound {bound}");
                squares += error * error;
                count += 1.0;
            }
        }
    }
    (squares / count).sqrt()
}

#[test]
fn sparse_matrices_are_exact() {
    let (n, p) = (256, 5);
    let x = requests(1, n, p, 62);
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
    check(&matrix, &x, 64, &dense, 0.0);
    let bad =
        |request, shift| SparseWeights::new(n, p, vec![vec![Term { request, shift, weight: 1 }]]);
    assert!(bad(5, 0).is_err() && bad(0, 256).is_err() && bad(4, 255).is_ok());
}

#[test]
fn shifted_matrices_are_exact_for_every_shape() {
    for (n, p, taps, rows) in [(64, 1, 1, 1), (128, 3, 9, 8), (256, 20, 9, 70), (512, 7, 1, 13)] {
        let x = requests(3, n, p, 64);
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
        check(&matrix, &x, 64, &dense, 0.0);
    }
    let column = |request, shift| vec![Column { request, shift }];
    assert!(ShiftedWeights::new(64, 2, column(2, 0), &[1]).is_err());
    assert!(ShiftedWeights::new(64, 2, column(0, 64), &[1]).is_err());
    assert!(ShiftedWeights::new(64, 2, [column(0, 0), column(1, 3)].concat(), &[1; 3]).is_err());
}

#[test]
fn dense_matrices_err_as_predicted_cached_or_not() {
    for (n, p, rows, bits, cached) in
        [(1024, 3, 3, 48, 0), (2048, 4, 4, 48, 7), (2048, 2, 3, 50, 100), (4096, 2, 2, 62, 1)]
    {
        let x = requests(5, n, p, bits);
        let mut prg = stream(6);
        let dense: Vec<Vec<Vec<i64>>> =
            (0..rows).map(|_| (0..p).map(|_| weights(&mut prg, 12, n)).collect()).collect();
        let matrix =
            DenseWeights::new(n, p, rows, cached, |m: usize, i: usize, out: &mut [i64]| {
                out.copy_from_slice(&dense[m][i]);
            })
            .unwrap();
        let norm = dense[0].iter().flatten().map(|w| (*w as f64).powi(2)).sum::<f64>();
        let predicted = fft_deviation(bits, norm);
        let measured = check(&matrix, &x, bits, &dense, 8.0 * predicted);
        let ratio = measured / predicted;
        assert!((0.5..1.0).contains(&ratio), "N={n}, {bits} bits: {ratio}");
    }
}
