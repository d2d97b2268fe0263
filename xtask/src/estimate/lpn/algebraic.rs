//! Algebraic attacks on regular noise: every bin gives quadratic equations, as two of its places cannot
//! both be one.

/// Fix mu places of f bins to zero, then a Macaulay matrix of the degree at which the system is solved
/// (Briaud, Øygarden, EUROCRYPT 2023, ePrint 2023/176, over the field of two elements).
pub(super) fn macaulay(n: f64, k: f64, t: f64) -> f64 {
    let bin = (n / t).floor();
    let m = n - k;
    let constants = [
        -(m - 1.0),
        m * (m - 1.0) / 2.0,
        -(m + 1.0) * m * (m - 1.0) / 6.0,
        (m + 2.0) * (m + 1.0) * m * (m - 1.0) / 24.0,
    ];
    let mut best = f64::INFINITY;
    for mu in 0..bin as usize {
        let mu = mu as f64;
        for f in 0..=t as usize {
            let f = f as f64;
            let left = k + 1.0 - f * mu;
            if left <= 0.0 {
                break;
            }
            let a = symmetric(bin - mu - 1.0, f);
            let b = symmetric(bin - 1.0, t - f);
            let pairs = [
                a[0] + b[0],
                a[1] + a[0] * b[0] + b[1],
                a[2] + a[1] * b[0] + a[0] * b[1] + b[2],
                a[3] + a[2] * b[0] + a[1] * b[1] + a[0] * b[2] + b[3],
            ];
            let [c0, c1, c2, c3] = constants;
            let [p0, p1, p2, p3] = pairs;
            let two = p0 + c0 + p1 + p0 * c0 + c1;
            let three = p2 + p1 * c0 + p0 * c1 + c2;
            let four = p3 + p2 * c0 + p1 * c1 + p0 * c2 + c3;
            let size = if two < 1.0 {
                p0 + p1
            } else if two + three < 1.0 {
                p0 + p1 + p2
            } else if two + three + four < 1.0 {
                p0 + p1 + p2 + p3
            } else {
                continue;
            };
            let cost =
                2.0 * size.max(1.0).log2() + (3.0 * left).log2() - f * (1.0 - mu / bin).log2();
            best = best.min(cost);
        }
    }
    best
}

/// Monomials of degree 1 to 4 with at most one of `places` of each of `bins`.
fn symmetric(places: f64, bins: f64) -> [f64; 4] {
    let mut sizes = [0.0; 4];
    let mut product = 1.0;
    for (i, size) in sizes.iter_mut().enumerate() {
        let i = i as f64;
        product *= places * (bins - i) / (i + 1.0);
        *size = product;
    }
    sizes
}

/// Guess u or u + 1 zeros per bin, nothing in q bins, then linearise (ePrint 2025/1284).
pub(super) fn hybrid(n: f64, k: f64, t: f64) -> f64 {
    let bin = (n / t).floor();
    let whole = bin * t;
    let (n, k) = (whole, k - (n - whole));
    let equations = ((n - k) / (bin - 1.0)).floor();
    let coarse = (bin as usize / 128).max(1);
    let at = |u: usize| hybrid_at((n, k, t), bin, equations, u as f64);
    let mut best = (f64::INFINITY, 0);
    for u in (0..bin as usize - 2).step_by(coarse) {
        best = least(best, (at(u), u));
    }
    let near = best.1;
    for u in near.saturating_sub(bin as usize / 128)..=near + bin as usize / 128 {
        if u < bin as usize - 2 {
            best = least(best, (at(u), u));
        }
    }
    best.0
}

fn least(a: (f64, usize), b: (f64, usize)) -> (f64, usize) {
    if b.0 < a.0 { b } else { a }
}

fn hybrid_at((n, k, t): (f64, f64, f64), bin: f64, equations: f64, u: f64) -> f64 {
    let rest = (n - k - equations * (bin - u - 2.0)).max(1.0);
    let mut best = f64::INFINITY;
    for q in 0..9 {
        let q = f64::from(q);
        let mut g = 0.0;
        while g < t - q {
            let chance = g * (1.0 - (u + 1.0) / bin).log2() + (t - q - g) * (1.0 - u / bin).log2();
            let unknown = k - t - (u + 1.0) * g - (t - g - q) * u;
            let one = (rest * (n - k) * (rest + unknown)).max(1.0);
            let quadratic = (t - g - q) * (bin - u - 2.0) * (bin - u - 1.0) / 2.0
                + g * (bin - u - 2.0) * (bin - u - 3.0) / 2.0;
            let w = (bin - 1.0) * q;
            let v = unknown - w;
            if unknown <= 0.0 {
                best = best.min(one.log2() - chance);
            } else if v >= 0.0 && v <= (2.0 * quadratic.max(0.0)).sqrt() - 2.0 {
                let two = v.powi(4) * unknown.powi(2) / 8.0 / (v * v / 2.0).max(2.0).log2();
                let three = 1.25 * (2.0 * v * v * w + v * w * w)
                    + (2.5 * v).powi(3) / (2.5 * v).max(2.0).log2();
                let guesses = (bin.log2() * q).min(900.0).exp2();
                best = best.min((one + two.max(1.0) + three.max(1.0) * guesses).log2() - chance);
            }
            g += 1.0;
        }
    }
    best
}
