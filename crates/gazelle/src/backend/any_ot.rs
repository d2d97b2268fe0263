//! The OT extension by name, as it travels in a description.

use gazelle_ot::AutoExtension;
use gazelle_ot::{BaseOt, Either, Iknp, auto};
use serde::{Deserialize, Serialize};

/// Which OT extension, chosen by the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnyOt {
    /// IKNP: 16 bytes per OT, the simplest.
    #[default]
    Iknp,
    /// What suits a session of about so many OTs: SoftSpokenOT for small ones, Ferret for large.
    For(u32),
}

/// One of all of them.
pub type Extension = Either<Iknp, AutoExtension>;

impl AnyOt {
    /// Gives the extension, on `base` OTs.
    pub(crate) fn extension(self, base: BaseOt) -> Extension {
        match self {
            Self::Iknp => Either::First(Iknp::default().with_base(base)),
            Self::For(expected) => Either::Second(auto(expected as usize).with_base(base)),
        }
    }
}
