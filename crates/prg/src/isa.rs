//! The instruction set that SIMD kernels may use, found once at run time.
//!
//! The environment variable `GAZELLE_ISA` (`portable`, `avx2` or `avx512`) caps it, for tests and
//! benchmarks. Kernels compare [`level`] with what they need; the portable path is their definition.

use std::sync::OnceLock;

/// Levels of SIMD, each containing those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// No intrinsics at all.
    Portable,
    /// AVX2 with AES-NI, PCLMULQDQ, BMI2 and FMA (Haswell and later, Zen 1 and later).
    Avx2,
    /// AVX-512 F, BW, DQ, VL with VAES and VPCLMULQDQ (Ice Lake and later, Zen 4 and later).
    Avx512,
}

impl std::fmt::Display for Isa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        })
    }
}

/// The highest level that the processor has and `GAZELLE_ISA` allows. Read once per process.
pub fn level() -> Isa {
    static LEVEL: OnceLock<Isa> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        let cap = match std::env::var("GAZELLE_ISA").as_deref() {
            Ok("portable") => Isa::Portable,
            Ok("avx2") => Isa::Avx2,
            _ => Isa::Avx512,
        };
        detected().min(cap)
    })
}

/// The highest level that the processor has.
#[cfg(target_arch = "x86_64")]
pub fn detected() -> Isa {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("aes")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("fma");
    let avx512 = avx2
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("vaes")
        && is_x86_feature_detected!("vpclmulqdq");
    if avx512 {
        Isa::Avx512
    } else if avx2 {
        Isa::Avx2
    } else {
        Isa::Portable
    }
}

/// The highest level that the processor has.
#[cfg(not(target_arch = "x86_64"))]
pub fn detected() -> Isa {
    Isa::Portable
}
