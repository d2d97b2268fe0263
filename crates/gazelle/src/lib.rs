#![doc = include_str!("../README.md")]

pub mod backend;
mod description;
mod error;
#[cfg(any(test, feature = "testing"))]
pub mod fuzz;
mod plan;
mod report;
pub mod session;
mod suite;
mod traffic;

pub use description::{Description, ModelInfo, digest};
pub use error::GazelleError;
pub use plan::Plan;
pub use report::{InferenceReport, Layer, Phase, peak_rss_bytes};
pub use session::{
    Activity, Client, Guest, Inference, Learnt, Limits, Observer, Offer, Prepared, Progress,
    ServerLimits, ServerReport, Service, SessionStage,
};
pub use suite::Suite;
pub use traffic::PlannedTraffic;

/// The code of docs/swapping.md, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/swapping.md")]
pub struct Swapping;

pub use gazelle_prg::system_rng;
pub use gazelle_share as share;
pub use gazelle_wire as wire;
