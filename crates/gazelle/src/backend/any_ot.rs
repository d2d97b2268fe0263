//! The OT extension by name, as it travels in a description.

use gazelle_ot::{AutoExtension, BaseOt, Either, Iknp, PerDirection, auto};
use serde::{Deserialize, Serialize};

/// Which OT extension, chosen by the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnyOt {
    /// IKNP: 16 bytes per OT, the simplest.
    #[default]
    Iknp,
    /// What suits about so many OTs from the server to the client, and from the client to the server:
    /// SoftSpokenOT for few, Ferret for many.
    For(u32, u32),
}

/// One of all of them.
pub type Extension = Either<Iknp, PerDirection<AutoExtension>>;

impl AnyOt {
    /// Gives the extension, on `base` OTs.
    pub(crate) fn extension(self, base: BaseOt) -> Extension {
        match self {
            Self::Iknp => Either::First(Iknp::default().with_base(base)),
            Self::For(down, up) => {
                let [first, second] =
                    [down, up].map(|expected| auto(expected as usize).with_base(base));
                Either::Second(PerDirection { first, second })
            }
        }
    }
}
