"""Estimates the hardness of LPN with regular noise for Ferret's parameter sets.

Usage: python3 estimate.py [n k t]      (needs numpy)

Formulas, written anew from the papers:
  LWYY    Liu, Wang, Yang, Yu, "The Hardness of LPN over Any Integer Ring and Field for PCG
          Applications" (EUROCRYPT 2024, ePrint 2022/712): pooled Gauss, statistical decoding,
          Stern-Dumer ISD; regular noise costs t parity equations: (n, k, t) -> (n - t, k - t, t).
  ES24    Esser, Santini, "Not Just Regular Decoding" (CRYPTO 2024, ePrint 2023/1568), appendix A:
          regular ISD by permutation, enumeration and representations of depth 2.
  BO23    Briaud, Oygarden, "A New Algebraic Approach to the Regular Syndrome Decoding Problem"
          (EUROCRYPT 2023, ePrint 2023/176): hybrid algebraic attack, degrees 2 to 4.
  HYB     ePrint 2025/1284: guessing combined with quadratic equations.
Every figure is log2 of bit operations. Those of ISD as published charge each iteration a Gaussian
elimination on all n samples. The rows "subset" are ours and more cautious: the attacker works on a
subset of the samples (k^2.8 per iteration, 64 bit operations per list element) and pays nothing for
memory, or pays the cube root of the memory in bits per list access.
"""
import sys
from math import ceil, comb, floor, lgamma, log, log2

import numpy as np

SETS = [(870_400, 1 << 16, 850), (2_396_160, 1 << 17, 1170), (15_564_800, 1 << 19, 1900)]
OLD = [(10_485_760, 452_000, 1280), (10_180_608, 124_000, 4971), (1 << 20, 32_771, 1419)]


def lbinom(n, k):
    if k < 0 or k > n:
        return -1e9
    return (lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)) / log(2)


def add(*logs):
    top = max(logs)
    return top + log2(sum(2.0 ** max(x - top, -900) for x in logs))


def gauss_regular(n, k, t):
    """k - t error-free samples, spread evenly over the bins; one k^2.8 elimination each."""
    return 2.8 * log2(k - t) - t * log2(1 - (k - t) / n)


def gauss_exact(n, k, t):
    n, k = n - t, k - t
    return 2.8 * log2(k) - (lbinom(n - k, t) - lbinom(n, t))


def statistical(n, k, t):
    n, k = n - t, k - t
    return log2(k + 1) + 2 * t * log2((n - t + 1) / (n - k - t))


def stern_dumer(n, k, t):
    n, k = n - t, k - t
    best = (1e9,)
    for p in range(0, 40, 2):
        lists = lbinom((k + 60) // 2, p // 2)
        for ell in range(max(1, floor(lists) - 12), floor(lists) + 30):
            found = 2 * lists - ell
            cost = add(log2(n - k - ell) + log2(n) - log2(log2(n)), 1 + lists, 1 + found) + log2(n)
            chance = lbinom(n - k - ell, t - p) - lbinom(n, t) + ell + found
            best = min(best, (cost - min(chance, 0), p, ell, lists + log2(n)))
    return best


def regular_isd(n, k, t, subset=False, memory=0.0):
    """ES24's enumeration (eps = 0, one level) and representations (depth 2). `subset`: our cheaper
    iteration. Returns (bits, p, eps, ell, log2 of memory in bits)."""
    b = n // t
    k1 = k - t
    linear = 2.8 * log2(k1) if subset else log2(n) + 2 * log2(n - k1)
    per = 6.0 if subset else log2(n)
    best = (1e9,)
    for p in range(0, 28, 2):
        for eps in [None] + ([e for e in range(0, 16, 2)] if p % 4 == 0 else []):
            px = p if eps is None else p / 2 + eps
            if p > t or px / 2 != int(px / 2) or px < 0:
                continue
            base = lbinom(round(t / 2), px / 2) + log2(k1 / t) * (px / 2)
            reps = 0.0
            if eps is not None:
                reps = 2 * (lbinom(p // 2, p // 4) + lbinom(t // 2 - p // 2, eps // 2))
            centre = base if eps is None else 2 * base
            for ell in range(max(1, floor(centre * 0.5)), max(3, ceil(centre * 1.6))):
                v = (k1 + ell) / t
                if v >= b:
                    break
                one = lbinom(round(t / 2), px / 2) + log2(v) * (px / 2)
                if eps is None:
                    costs, size = [1 + one, 2 * one - ell], one
                else:
                    ellx = floor(reps)
                    if ellx >= ell:
                        continue
                    mid = 2 * one - ellx
                    costs, size = [2 + one, 1 + mid, 2 * mid - (ell - ellx)], max(one, mid)
                chance = (lbinom(t // 2, p // 2) + lbinom((t + 1) // 2, p // 2)
                          + log2(v / b) * p + log2(1 - v / b) * (t - p))
                bits = size + log2(64 if subset else n)
                cost = add(linear, max(costs) + per + memory * bits) - chance
                best = min(best, (cost, p, -1 if eps is None else eps, ell, bits))
    return best


def algebraic(n, k, t):
    """BO23 over F_2: fix mu zeros in each of f bins, then a Macaulay matrix of the witness degree."""
    beta = n // t
    f = np.arange(0, t + 1, dtype=np.float64)[:, None]
    best = (1e9,)
    for low in range(0, beta, 256):
        mu = np.arange(low, min(low + 256, beta), dtype=np.float64)[None, :]
        x, y, m = (beta - mu - 1), float(beta - 1), float(n - k)
        a = [x * f, x**2 * f * (f - 1) / 2, x**3 * f * (f - 1) * (f - 2) / 6,
             x**4 * f * (f - 1) * (f - 2) * (f - 3) / 24]
        g = t - f
        b = [y * g, y**2 * g * (g - 1) / 2, y**3 * g * (g - 1) * (g - 2) / 6,
             y**4 * g * (g - 1) * (g - 2) * (g - 3) / 24]
        c = [-(m - 1), m * (m - 1) / 2, -(m + 1) * m * (m - 1) / 6, (m + 2) * (m + 1) * m * (m - 1) / 24]
        pair = [a[0] + b[0], a[1] + a[0] * b[0] + b[1], a[2] + a[1] * b[0] + a[0] * b[1] + b[2],
                a[3] + a[2] * b[0] + a[1] * b[1] + a[0] * b[2] + b[3]]
        h2 = pair[0] + c[0] + pair[1] + pair[0] * c[0] + c[1]
        h3 = pair[2] + pair[1] * c[0] + pair[0] * c[1] + c[2]
        h4 = pair[3] + pair[2] * c[0] + pair[1] * c[1] + pair[0] * c[2] + c[3]
        sizes = [pair[0] + pair[1], pair[0] + pair[1] + pair[2], sum(pair)]
        degree = np.where(h2 < 1, 0, np.where(h2 + h3 < 1, 1, np.where(h2 + h3 + h4 < 1, 2, 3)))
        size = np.choose(np.minimum(degree, 2), sizes)
        left = k + 1 - f * mu
        with np.errstate(all="ignore"):
            cost = 2 * np.log2(np.maximum(size, 1)) + np.log2(3 * left) - f * np.log2(1 - mu / beta)
        cost = np.where((degree < 3) & (left > 0) & np.isfinite(cost), cost, 1e9)
        at = np.unravel_index(np.argmin(cost), cost.shape)
        best = min(best, (float(cost[at]), int(degree[at]) + 2, int(f[at[0], 0]), int(mu[0, at[1]])))
    return best


def hybrid(n, k, t):
    """ePrint 2025/1284 over F_2: guess u or u + 1 zeros per bin, nothing in q bins, then linearise."""
    beta = n // t
    n0_ = beta * t
    k = k - (n - n0_)
    n = n0_
    best = (1e9,)
    f = np.arange(0, t, dtype=np.float64)
    ell = (n - k) // (beta - 1)
    coarse = list(range(0, beta - 2, max(1, beta // 128)))
    for step in (coarse, None):
        if step is None:
            near = best[1]
            step = range(max(0, near - beta // 128), min(beta - 2, near + beta // 128 + 1))
        best = min([best] + [hybrid_at(n, k, t, beta, ell, u, f) for u in step])
    return best


def hybrid_at(n, k, t, beta, ell, u, f):
    best = (1e9, u, 0, 0)
    rest = max(n - k - ell * (beta - u - 2), 1)
    for q in range(0, 9):
        g = f[f < t - q]
        prob = g * log2(1 - (u + 1) / beta) + (t - q - g) * log2(1 - u / beta)
        unknown = k - t - (u + 1) * g - (t - g - q) * u
        one = np.maximum(rest * float(n - k) * (rest + unknown), 1)
        quadratic = (t - g - q) * (beta - u - 2) * (beta - u - 1) / 2 + g * (beta - u - 2) * (beta - u - 3) / 2
        w = float((beta - 1) * q)
        v = unknown - w
        with np.errstate(all="ignore"):
            two = np.maximum(v**4 * unknown**2 / 8 / np.log2(np.maximum(v**2 / 2, 2)), 1)
            three = np.maximum(1.25 * (2 * v * v * w + v * w * w) + (2.5 * v) ** 3 / np.log2(np.maximum(2.5 * v, 2)), 1)
            cost = -prob + np.log2(one + two + three * 2.0 ** min(log2(beta) * q, 900))
        feasible = (v >= 0) & (v <= np.sqrt(2 * np.maximum(quadratic, 0)) - 2)
        cost = np.where(unknown <= 0, -prob + np.log2(one), np.where(feasible, cost, 1e9))
        if cost.size:
            at = int(np.argmin(cost))
            best = min(best, (float(cost[at]), u, int(g[at]), q))
    return best


def show(n, k, t):
    print(f"(n, k, t) = ({n}, {k}, {t}), bins of {n / t:.1f}")
    rows = [
        ("pooled Gauss, regular", (gauss_regular(n, k, t),)),
        ("pooled Gauss, exact noise (LWYY)", (gauss_exact(n, k, t),)),
        ("statistical decoding (LWYY)", (statistical(n, k, t),)),
        ("Stern-Dumer ISD (LWYY) [p, ell, memory]", stern_dumer(n, k, t)),
        ("regular ISD (ES24) [p, eps, ell, memory]", regular_isd(n, k, t)),
        ("algebraic (BO23) [degree, f, mu]", algebraic(n, k, t)),
        ("hybrid (2025/1284) [u, f, q]", hybrid(n, k, t)),
    ]
    for name, figures in rows:
        print(f"  {name:44} {figures[0]:7.1f}  {[round(x, 1) for x in figures[1:]]}")
    print(f"  {'least of the published':44} {min(row[1][0] for row in rows):7.1f}")
    for name, memory in (("memory free", 0.0), ("cube root of memory", 1 / 3)):
        figures = regular_isd(n, k, t, True, memory)
        print(f"  {'regular ISD on a subset, ' + name:44} {figures[0]:7.1f}  {[round(x, 1) for x in figures[1:]]}")


if __name__ == "__main__":
    if len(sys.argv) == 4:
        show(*map(int, sys.argv[1:]))
    else:
        for parameters in SETS:
            show(*parameters)
        print("For comparison, sets in use elsewhere:")
        for parameters in OLD:
            show(*parameters)
