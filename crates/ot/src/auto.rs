//! The extension that suits a session's size.

use crate::base::BaseOt;
use crate::either::Either;
use crate::ferret::{Ferret, Parameters};
use crate::softspoken::SoftSpoken;

/// Chooses by the number of OTs that a session will make, which both parties know from the plan:
/// small sessions do not pay for a large LPN instance.
///
/// | OTs | extension | why |
/// |---|---|---|
/// | under 2^16 | SoftSpokenOT, k = 8 | 1.9 bytes each; Ferret's setup alone costs 0.07 MB |
/// | under 5·2^15 | Ferret, 194 k | the least setup, 0.6 bytes each |
/// | under 3·2^17 | Ferret, 870 k | 0.12 MB of setup, 0.32 bytes each; half as many OTs before the first as the next set |
/// | under 3·2^20 | Ferret, 2.4 M | 0.16 MB of setup, 0.18 bytes each; a sixth less time: the code's secret takes 2 MB |
/// | more | Ferret, 4.8 M | 0.22 MB of setup, 0.10 bytes each |
pub const fn auto(expected: usize) -> AutoExtension {
    match expected {
        0..0x1_0000 => AutoExtension::First(SoftSpoken::K8),
        0x1_0000..0x2_8000 => AutoExtension::Second(Ferret::new(Parameters::FIRST)),
        0x2_8000..0x6_0000 => AutoExtension::Second(Ferret::new(Parameters::SMALL)),
        0x6_0000..0x30_0000 => AutoExtension::Second(Ferret::new(Parameters::MEDIUM)),
        _ => AutoExtension::Second(Ferret::new(Parameters::LARGE)),
    }
}

/// What [`auto`] chooses from.
pub type AutoExtension = Either<SoftSpoken, Ferret>;

impl AutoExtension {
    /// With other base OTs.
    #[must_use]
    pub const fn with_base(self, base: BaseOt) -> Self {
        match self {
            Self::First(inner) => Self::First(inner.with_base(base)),
            Self::Second(inner) => Self::Second(inner.with_base(base)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extension::OtExtension;
    use crate::traffic::OtTraffic;

    #[test]
    fn properties_small_sessions_do_not_pay_for_large_instances() {
        for log2 in 10..28 {
            let count = 1usize << log2;
            let auto = auto(count);
            let bytes = |setup: OtTraffic, extend: OtTraffic| setup.total() + extend.total();
            let chosen = bytes(auto.setup_traffic(), auto.extend_traffic(0, count));
            let others = [
                bytes(SoftSpoken::K8.setup_traffic(), SoftSpoken::K8.extend_traffic(0, count)),
                ferret(Parameters::FIRST, count),
                ferret(Parameters::SMALL, count),
                ferret(Parameters::MEDIUM, count),
                ferret(Parameters::LARGE, count),
            ];
            let best = others.into_iter().min().unwrap();
            assert!(chosen <= best + best / 2, "2^{log2}: {chosen} bytes against {best}");
        }
    }

    fn ferret(parameters: Parameters, count: usize) -> u64 {
        let ferret = Ferret::new(parameters);
        ferret.setup_traffic().total() + ferret.extend_traffic(0, count).total()
    }
}
