//! Fixed kernels that bound what the layers can reach on this machine, measured in the same run.

use std::collections::HashMap;
use std::hint::black_box;

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aws_lc_rs::aead::{AES_256_GCM, Aad, BoundKey, Nonce, NonceSequence, SealingKey, UnboundKey};
use aws_lc_rs::error::Unspecified;
use serde::Serialize;

use crate::measure::{Measurement, repeat};
use crate::report::Report;

/// What bounds a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Limit {
    /// One AES-128 block under a fixed key, from L1.
    AesBlocks,
    /// One 64-bit wrapping multiply-add, operands in L1.
    MultiplyAdds,
    /// One byte copied in memory (32 MiB buffers).
    CopiedBytes,
    /// One byte sealed by AES-256-GCM (AWS-LC), 64 KiB at once.
    AesGcmBytes,
}

impl Limit {
    /// The name in the figures.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AesBlocks => "aes_blocks",
            Self::MultiplyAdds => "multiply_adds",
            Self::CopiedBytes => "copied_bytes",
            Self::AesGcmBytes => "aes_gcm_bytes",
        }
    }

    /// Theoretical peak on one core of the machine in targets.md (Zen 4, 3.7 GHz, VAES, AVX-512).
    fn peak_per_second(self) -> f64 {
        match self {
            // Two 256-bit VAES rounds per cycle, ten rounds a block.
            Self::AesBlocks => 1.48e9,
            Self::MultiplyAdds => 29.6e9,
            Self::CopiedBytes => 20e9,
            // Two 256-bit VAES rounds per cycle, fourteen rounds a block.
            Self::AesGcmBytes => 16.9e9,
        }
    }
}

/// Limits measured so far.
#[derive(Default)]
pub(crate) struct Limits {
    unit_ns: HashMap<Limit, f64>,
}

#[derive(Serialize)]
struct LimitLine {
    #[serde(flatten)]
    figure: Measurement,
    theoretical_peak_per_s: f64,
}

impl Limits {
    /// Nanoseconds per unit; measured at first use, when it is also written to `report`.
    pub(crate) fn unit_ns(
        &mut self,
        limit: Limit,
        report: &mut Report,
    ) -> Result<f64, Box<dyn std::error::Error>> {
        if let Some(ns) = self.unit_ns.get(&limit) {
            return Ok(*ns);
        }
        let (items, seconds) = match limit {
            Limit::AesBlocks => aes_blocks(),
            Limit::MultiplyAdds => multiply_adds(),
            Limit::CopiedBytes => copied_bytes(),
            Limit::AesGcmBytes => aes_gcm_bytes()?,
        };
        let figure = Measurement::new(format!("limit/{}", limit.name()), items, &seconds);
        let ns = figure.per_item_ns;
        self.unit_ns.insert(limit, ns);
        report.line(&LimitLine { figure, theoretical_peak_per_s: limit.peak_per_second() })?;
        Ok(ns)
    }
}

fn aes_blocks() -> (u64, Vec<f64>) {
    let cipher = Aes128::new(&[7u8; 16].into());
    let mut blocks = vec![aes::Block::default(); 1024];
    let seconds = repeat(0.3, || {
        for _ in 0..64 {
            cipher.encrypt_blocks(black_box(&mut blocks));
        }
    });
    (64 * 1024, seconds)
}

fn multiply_adds() -> (u64, Vec<f64>) {
    let factors: Vec<u64> = (0..1024u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    let mut sums = vec![1u64; 1024];
    let seconds = repeat(0.3, || multiply_add_rounds(black_box(&mut sums), black_box(&factors)));
    (256 * 1024, seconds)
}

/// 256 passes `sum = sum * round + factor` over 1024 words. The compiler vectorises this for the
/// baseline only, so [`multiply_add_rounds`] asks for the widest set at run time.
fn passes(sums: &mut [u64], factors: &[u64]) {
    for round in 0..256u64 {
        let round = black_box(round | 1);
        for (sum, factor) in sums.iter_mut().zip(factors) {
            *sum = sum.wrapping_mul(round).wrapping_add(*factor);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the limit kernel is compiled for the widest instruction set")]
fn multiply_add_rounds(sums: &mut [u64], factors: &[u64]) {
    #[target_feature(enable = "avx512f,avx512dq")]
    fn wide(sums: &mut [u64], factors: &[u64]) {
        for round in 0..256u64 {
            let round = black_box(round | 1);
            for (sum, factor) in sums.iter_mut().zip(factors) {
                *sum = sum.wrapping_mul(round).wrapping_add(*factor);
            }
        }
    }
    if std::arch::is_x86_feature_detected!("avx512dq") {
        // SAFETY: the instruction set was just detected.
        unsafe { wide(sums, factors) }
    } else {
        passes(sums, factors);
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn multiply_add_rounds(sums: &mut [u64], factors: &[u64]) {
    passes(sums, factors);
}

fn aes_gcm_bytes() -> Result<(u64, Vec<f64>), Box<dyn std::error::Error>> {
    let key = UnboundKey::new(&AES_256_GCM, &[7; 32])?;
    let mut key = SealingKey::new(key, CountingNonce(0));
    let mut bytes = vec![1u8; 64 << 10];
    let mut sealed = Ok(());
    let seconds = repeat(0.3, || {
        for _ in 0..64 {
            let tag = key.seal_in_place_separate_tag(Aad::empty(), black_box(&mut bytes));
            sealed = sealed.and(tag.map(drop));
        }
    });
    sealed?;
    Ok((64 * (64 << 10), seconds))
}

/// No two messages of one key have one nonce.
struct CountingNonce(u64);

impl NonceSequence for CountingNonce {
    fn advance(&mut self) -> Result<Nonce, Unspecified> {
        self.0 += 1;
        let mut nonce = [0; 12];
        nonce.iter_mut().zip(self.0.to_le_bytes()).for_each(|(to, byte)| *to = byte);
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

fn copied_bytes() -> (u64, Vec<f64>) {
    let from = vec![1u8; 32 << 20];
    let mut to = vec![0u8; 32 << 20];
    let seconds = repeat(0.3, || black_box(&mut to).copy_from_slice(black_box(&from)));
    (32 << 20, seconds)
}
