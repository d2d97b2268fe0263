//! The program, run as its users run it: two processes over TCP.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

#[path = "suite/accuracy.rs"]
mod accuracy;
#[path = "suite/bad_input.rs"]
mod bad_input;
#[path = "suite/batches.rs"]
mod batches;
#[path = "suite/crowds.rs"]
mod crowds;
#[path = "suite/datasets.rs"]
mod datasets;
#[path = "suite/files.rs"]
mod files;
#[path = "suite/forms.rs"]
mod forms;
#[path = "suite/jobs.rs"]
mod jobs;
#[cfg(target_os = "linux")]
#[path = "suite/niceness.rs"]
mod niceness;
#[path = "suite/plans.rs"]
mod plans;
#[path = "suite/program.rs"]
mod program;
#[path = "suite/reports.rs"]
mod reports;
#[path = "suite/returns.rs"]
mod returns;
#[path = "suite/secured.rs"]
mod secured;
#[path = "suite/service.rs"]
mod service;
#[path = "suite/startup.rs"]
mod startup;
#[path = "suite/trust.rs"]
mod trust;
#[path = "suite/untrusted.rs"]
mod untrusted;
