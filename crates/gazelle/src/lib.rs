#![doc = include_str!("../README.md")]

mod answer;
pub mod backend;
mod description;
mod error;
mod plan;
mod report;
pub(crate) mod session;
mod suite;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod traffic;

pub use answer::{Answer, RankedClass, ranking};
pub use description::{Description, ModelInfo, digest};
pub use error::GazelleError;
pub use plan::Plan;
pub use report::{InferenceReport, Layer, Phase, peak_rss_bytes};
pub use session::{
    Observer, Progress,
    apart::OfflineStart,
    audit::server::CheatingEvidence,
    client::{Claim, Claimed, Client, EntryKept, Inference, KeepHalf, Learnt, Prepared},
    guest::{Activity, Guest, SessionStage},
    kept::{ClientShelf, ServerShelf, WriteInto},
    message::SetupName,
    offer::{Asking, Limits, Offer, catalogue},
    server::{ServerLimits, ServerReport, Service},
    watcher::SessionWatcher,
};
pub use suite::{AuditRate, AuditRateParseError, Clients, Hints, Suite};
pub use traffic::PlannedTraffic;

/// The code of docs/swapping.md, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/swapping.md")]
pub struct Swapping;

pub use gazelle_prg::{isa, refreshed, system_rng};
pub use gazelle_share as share;
pub use gazelle_wire as wire;
