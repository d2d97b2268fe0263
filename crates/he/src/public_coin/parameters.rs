//! Parameters, checked against the 128-bit table.

use serde::{Deserialize, Serialize};

use crate::error::HeError;

/// Degree and the largest `log2 q` with 128-bit security for ternary secrets (classical, 2024
/// tables of ePrint 2024/463).
pub const SECURITY_TABLE: [(usize, u32); 3] = [(2048, 53), (4096, 106), (8192, 214)];

/// What is used of the table: because one public `a` serves many secrets, `log2 q <= 50` at
/// N=2048; and `log2 q <= 62` everywhere, for words of 64 bits.
pub fn max_modulus_bits(degree: usize) -> Option<u32> {
    match degree {
        2048 => Some(50),
        4096 | 8192 => Some(62),
        _ => None,
    }
}

/// Smallest noise space k.
pub const MIN_NOISE_BITS: u32 = 12;
/// Smallest noise space with the truncated bits, k + t: F alone, `6 * 2^20 <= 2^{k+t-2}`, needs 25
/// (docs/protocol.md, 3.6, writes 26; at 25 F costs 2^-5 units in the last place).
pub const MIN_NOISE_AND_TRUNCATED_BITS: u32 = 25;

/// More guard bits than this are refused; the smallest noise space holds them.
pub const MAX_GUARD_BITS: u32 = 8;
/// Deviations that exact shares allow for (docs/protocol.md, 3.8).
pub const SIGMAS_EXACT: f64 = 13.0;

/// Public parameters of one group. Every value of this type is 128-bit secure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct Parameters {
    degree: usize,
    ring_bits: u32,
    noise_bits: u32,
    kept_quarters: u32,
    dropped_bits: u32,
    guard_bits: u32,
}

impl Parameters {
    /// Checks and builds.
    ///
    /// - `degree` N: 2048, 4096 or 8192; `ring_bits` l: 1 to 48; `noise_bits` k: at least 12;
    ///   l + k within [`max_modulus_bits`].
    /// - `kept_bits` h: 1 to k; `dropped_bits` d: below l + k.
    ///
    /// # Errors
    /// [`HeError::Parameters`] says what does not hold.
    pub fn new(
        degree: usize,
        ring_bits: u32,
        noise_bits: u32,
        kept_bits: u32,
        dropped_bits: u32,
    ) -> Result<Self, HeError> {
        let refuse = |what: String| Err(HeError::Parameters(what));
        let Some(limit) = max_modulus_bits(degree) else {
            return refuse(format!("degree {degree} is not 2048, 4096 or 8192"));
        };
        if !(1..=48).contains(&ring_bits) {
            return refuse(format!("ring of {ring_bits} bits is not between 1 and 48"));
        }
        if !(MIN_NOISE_BITS..=64).contains(&noise_bits) {
            return refuse(format!(
                "noise space of {noise_bits} bits is not {MIN_NOISE_BITS} to 64"
            ));
        }
        if ring_bits + noise_bits > limit {
            let bits = ring_bits + noise_bits;
            return refuse(format!("modulus of {bits} bits at degree {degree} is above {limit}"));
        }
        if !(1..=noise_bits).contains(&kept_bits) {
            return refuse(format!("{kept_bits} kept bits are not between 1 and {noise_bits}"));
        }
        // d may exceed k: what it drops below 2^{k+t-2} is within the truncation's budget.
        if dropped_bits >= ring_bits + noise_bits {
            let bits = ring_bits + noise_bits;
            return refuse(format!("{dropped_bits} dropped bits are not below {bits}"));
        }
        let kept_quarters = 4 * kept_bits;
        Ok(Self { degree, ring_bits, noise_bits, kept_quarters, dropped_bits, guard_bits: 0 })
    }

    /// The same with `h = quarters / 4`.
    ///
    /// # Errors
    /// [`HeError::Parameters`] if h is not 1 to k, or is not whole and 16 or more, or k above 48.
    pub fn with_kept_quarters(self, quarters: u32) -> Result<Self, HeError> {
        let whole = quarters.is_multiple_of(4);
        if !(4..=4 * self.noise_bits).contains(&quarters)
            || !whole && (quarters >= 64 || self.noise_bits > 48)
        {
            let k = self.noise_bits;
            return Err(HeError::Parameters(format!(
                "{quarters} quarters of kept bits at k = {k}"
            )));
        }
        Ok(Self { kept_quarters: quarters, ..self })
    }

    /// The same with g guard bits: shares in `Z_{2^{l+g}}` that carry the error instead of rounding
    /// it into the value. Responses then go without F, so that nothing that depends on their error
    /// may ever reach the client.
    ///
    /// # Errors
    /// [`HeError::Parameters`] if g is more than [`MAX_GUARD_BITS`].
    pub fn with_guard_bits(self, guard_bits: u32) -> Result<Self, HeError> {
        if guard_bits > MAX_GUARD_BITS {
            let what = format!("{guard_bits} guard bits are more than {MAX_GUARD_BITS}");
            return Err(HeError::Parameters(what));
        }
        Ok(Self { guard_bits, ..self })
    }

    /// N: coefficients of a polynomial.
    pub fn degree(&self) -> usize {
        self.degree
    }
    /// l: the shares' ring.
    pub fn ring_bits(&self) -> u32 {
        self.ring_bits
    }
    /// k: bits below the message.
    pub fn noise_bits(&self) -> u32 {
        self.noise_bits
    }
    /// l + k = log2 q.
    pub fn modulus_bits(&self) -> u32 {
        self.ring_bits + self.noise_bits
    }
    /// 4h: bits of four request coefficients that are sent.
    pub fn kept_quarters(&self) -> u32 {
        self.kept_quarters
    }
    /// `Q = floor(2^h)`: what a request tells apart below the message; `2^k` if h = k.
    pub(crate) fn levels(&self) -> u64 {
        if self.kept_quarters.is_multiple_of(4) {
            return 1 << (self.kept_quarters / 4);
        }
        // The fourth root of 2^(4h), from a guess that is at most one off.
        let guess = (f64::from(self.kept_quarters) / 4.0).exp2() as u64;
        let fits = |q: &u64| u128::from(*q).pow(4) <= 1 << self.kept_quarters;
        (guess.saturating_sub(1)..=guess + 1).rev().find(fits).unwrap_or(1)
    }
    /// Whether errors may reach the client, so that every response hides them under a fresh F:
    /// wherever there are no guard bits. Guard bits promise that all readers drop them exactly
    /// (docs/protocol.md, 3.9).
    pub fn is_flooded(&self) -> bool {
        self.guard_bits == 0
    }
    /// g: bits of a share below the value.
    pub fn guard_bits(&self) -> u32 {
        self.guard_bits
    }
    /// l + g: bits of a share.
    pub fn share_bits(&self) -> u32 {
        self.ring_bits + self.guard_bits
    }
    /// k - g: bits of a sum of ciphertexts that its share drops.
    pub fn share_shift(&self) -> u32 {
        self.noise_bits - self.guard_bits
    }
    /// d: low bits of a hint coefficient that are rounded away.
    pub fn dropped_bits(&self) -> u32 {
        self.dropped_bits
    }
    /// l + k - d: bits of a hint coefficient that are sent.
    pub fn hint_bits(&self) -> u32 {
        self.modulus_bits() - self.dropped_bits
    }
}

/// The same fields before the check; what lies on a wire.
#[derive(Serialize, Deserialize)]
struct Unchecked {
    degree: usize,
    ring_bits: u32,
    noise_bits: u32,
    kept_quarters: u32,
    dropped_bits: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    guard_bits: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(bits: &u32) -> bool {
    *bits == 0
}

impl TryFrom<Unchecked> for Parameters {
    type Error = HeError;
    fn try_from(raw: Unchecked) -> Result<Self, HeError> {
        Self::new(raw.degree, raw.ring_bits, raw.noise_bits, raw.noise_bits, raw.dropped_bits)?
            .with_kept_quarters(raw.kept_quarters)?
            .with_guard_bits(raw.guard_bits)
    }
}

impl From<Parameters> for Unchecked {
    fn from(p: Parameters) -> Self {
        Self {
            degree: p.degree,
            ring_bits: p.ring_bits,
            noise_bits: p.noise_bits,
            kept_quarters: p.kept_quarters,
            dropped_bits: p.dropped_bits,
            guard_bits: p.guard_bits,
        }
    }
}
