//! Loops that the compiler makes vectors of, compiled for the processor at hand.

#[cfg(target_arch = "x86_64")]
use crate::isa::{Isa, level};

/// Calls `act` compiled for the widest vectors of this processor: for short loops that the compiler makes
/// vectors of by itself, and that call nothing which does not become part of them.
#[inline]
#[cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "calls of functions for instructions found at run time")
)]
pub fn widest<T>(act: impl FnOnce() -> T) -> T {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn avx2<T>(act: impl FnOnce() -> T) -> T {
            act()
        }
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
        fn avx512<T>(act: impl FnOnce() -> T) -> T {
            act()
        }
        match level() {
            // SAFETY: `level` found them on this processor.
            Isa::Avx512 => return unsafe { avx512(act) },
            // SAFETY: `level` found it on this processor.
            Isa::Avx2 => return unsafe { avx2(act) },
            Isa::Portable => {}
        }
    }
    act()
}
