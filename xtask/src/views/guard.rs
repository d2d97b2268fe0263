//! Guard bits, docs/protocol.md 3.8: the rounding is exact for every noise within the bound.
//!
//! Goes through all values, masks, noises and low parts of small rings: the shares are formed as
//! 3.8 forms them, and the nearest multiple is found from its definition.

/// The widths of a case: a message of `l` bits above `k` bits of noise, `g` guard bits, `t` dropped.
#[derive(Clone, Copy, Debug)]
struct Widths {
    k: u32,
    l: u32,
    g: u32,
    t: u32,
}

impl Widths {
    /// D = 2^{k-g}, what one unit of E stands for in the ciphertext.
    fn unit(self) -> i64 {
        1 << (self.k - self.g)
    }

    /// u + v, modulo 2^{l+g}, for the value y, the noise n and S's mask rho modulo 2^{l+k}.
    fn shares(self, y: i64, n: i64, rho: i64) -> i64 {
        let ring = 1i64 << (self.l + self.k);
        let u = ((y << self.k) + n + rho).rem_euclid(ring) / self.unit();
        (u - rho / self.unit()).rem_euclid(1 << (self.l + self.g))
    }

    /// What becomes of `x` = 2^g y + E when S has added its halves: modulo 2^{l-t}.
    fn truncated(self, x: i64) -> i64 {
        let nearest = if self.t > 0 { 1i64 << (self.t + self.g - 1) } else { 0 };
        let sum = x + (1 << (self.g - 1)) + nearest;
        sum.rem_euclid(1 << (self.l + self.g)) >> (self.t + self.g)
    }

    /// y / 2^t to the nearest, halves up, modulo 2^{l-t}: the z with y in [2^t z - 2^t / 2, + 2^t).
    fn nearest(self, y: i64) -> Option<i64> {
        let step = 1i64 << self.t;
        let bound = 1i64 << self.l;
        (-bound..=bound)
            .find(|z| 2 * y >= 2 * step * z - step && 2 * y < 2 * step * z + step)
            .map(|z| z.rem_euclid(1 << (self.l - self.t)))
    }
}

/// Cases gone through; what went wrong as an error.
pub(super) fn check() -> Result<u64, String> {
    let mut cases = 0;
    for k in 2..=5 {
        for g in 2..=k {
            for l in 1..=3 {
                for t in 0..l {
                    cases += one_output(Widths { k, l, g, t })?;
                }
            }
        }
    }
    for (k, g) in [(3, 3), (4, 3), (4, 4)] {
        for t in 0..2 {
            cases += two_outputs(Widths { k, l: 2, g, t })?;
        }
    }
    Ok(cases)
}

/// Exact from -2^{g-1} D to (2^{g-1} - 1) D, and one unit of noise beyond is not.
fn one_output(widths: Widths) -> Result<u64, String> {
    let half = 1i64 << (widths.g - 1);
    let (least, most) = (-half * widths.unit(), (half - 1) * widths.unit());
    let mut cases = 0;
    for n in least - 1..=most + 1 {
        let mut wrong = false;
        for y in signed(widths.l) {
            let expected = widths.nearest(y).ok_or("a value has a nearest multiple")?;
            for rho in 0..1 << (widths.l + widths.k) {
                wrong |= widths.truncated(widths.shares(y, n, rho)) != expected;
                cases += 1;
            }
        }
        if wrong == (least..=most).contains(&n) {
            return Err(format!("{widths:?}, noise {n} of {least}..={most}: wrong is {wrong}"));
        }
    }
    Ok(cases)
}

/// A sum of two outputs: exact up to limit D each, wrong one unit of noise beyond.
fn two_outputs(widths: Widths) -> Result<u64, String> {
    let limit = ((1i64 << (widths.g - 1)) - 1) / 2;
    let bound = limit * widths.unit();
    let mut errors = std::collections::BTreeSet::new();
    let mut beyond = std::collections::BTreeSet::new();
    // All pairs (y, u + v) of one output, within the bound and one unit beyond.
    for y in signed(widths.l) {
        for rho in 0..1i64 << (widths.l + widths.k) {
            errors.extend((-bound..=bound).map(|n| (y, widths.shares(y, n, rho))));
            beyond.insert((y, widths.shares(y, bound + 1, rho)));
        }
    }
    let mut cases = 0;
    let mut all_exact = |outputs: &std::collections::BTreeSet<(i64, i64)>| {
        outputs.iter().all(|&(y1, x1)| {
            outputs.iter().all(|&(y2, x2)| {
                cases += 1;
                let y = signed_value(y1 + y2, widths.l);
                widths.nearest(y) == Some(widths.truncated(x1 + x2))
            })
        })
    };
    if !all_exact(&errors) {
        return Err(format!("{widths:?}: a sum of two within {bound} is rounded wrongly"));
    }
    // With limit (2^{g-1} - 1) / 2 rounded down, one unit more makes 2 limit + 2 > 2^{g-1} - 1.
    if all_exact(&beyond) {
        return Err(format!("{widths:?}: a sum of two beyond {bound} is never wrong"));
    }
    Ok(cases)
}

fn signed(bits: u32) -> std::ops::Range<i64> {
    -(1 << (bits - 1))..1 << (bits - 1)
}

fn signed_value(value: i64, bits: u32) -> i64 {
    let half = 1i64 << (bits - 1);
    (value + half).rem_euclid(2 * half) - half
}
