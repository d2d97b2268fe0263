//! Conformance, exact traffic, noise, and bad input of the linear protocols.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail loudly, also in their helpers"
)]

#[path = "suite/adversarial.rs"]
mod adversarial;
#[path = "suite/conformance.rs"]
mod conformance;
#[path = "suite/exact.rs"]
mod exact;
#[path = "suite/geometries.rs"]
mod geometries;
#[path = "suite/networks.rs"]
mod networks;
#[path = "suite/noise.rs"]
mod noise;
#[path = "suite/session.rs"]
mod session;
#[path = "suite/traffic.rs"]
mod traffic;
#[path = "suite/trained.rs"]
mod trained;
#[path = "suite/transcript.rs"]
mod transcript;
