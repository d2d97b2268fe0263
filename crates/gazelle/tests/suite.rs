//! Integration tests of the orchestrator, one binary.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

#[path = "suite/adversarial.rs"]
mod adversarial;
#[path = "suite/at_once.rs"]
mod at_once;
#[path = "suite/audit.rs"]
mod audit;
#[path = "suite/caught.rs"]
mod caught;
#[path = "suite/exact.rs"]
mod exact;
#[path = "suite/ideal.rs"]
mod ideal;
#[path = "suite/kept.rs"]
mod kept;
#[path = "suite/lying.rs"]
mod lying;
#[path = "suite/networks.rs"]
mod networks;
#[path = "suite/parties.rs"]
mod parties;
#[path = "suite/real.rs"]
mod real;
#[path = "suite/recorded.rs"]
mod recorded;
#[path = "suite/replay.rs"]
mod replay;
#[path = "suite/restored.rs"]
mod restored;
#[path = "suite/scale.rs"]
mod scale;
#[path = "suite/sharing.rs"]
mod sharing;
#[path = "suite/stored.rs"]
mod stored;
#[path = "suite/traffic.rs"]
mod traffic;
#[path = "suite/waves.rs"]
mod waves;
