//! Sessions: one client, one server, many inferences.
//!
//! | client | server |
//! |---|---|
//! | [`Offer::receive`]: hello | description |
//! | [`Offer::accept`]: digest; command, setup of both protocols | [`Service::serve`], or [`Guest`] step by step: compares; setup |
//! | [`Client::prepare`]: command, linear groups, steps | the same |
//! | [`Client::infer`]: command, x - r; steps | steps; the last one reveals |
//! | [`Client::infer_at_once`]: both side by side | the same |
//! | [`Client::set_up_and_infer`]: a setup, then the same and the setup's hints beside it | the same |
//! | [`Client::close`]: command | ends |

pub(crate) mod apart;
mod at_once;
pub(crate) mod audit;
mod background;
pub(crate) mod client;
pub(crate) mod coins;
pub(crate) mod guest;
mod hint_gate;
pub(crate) mod kept;
mod linear_client;
pub(crate) mod message;
pub(crate) mod offer;
pub(crate) mod server;
mod server_run;
mod step_shares;
pub(crate) mod stored;
pub(crate) mod watcher;

pub(crate) use client::Client;
pub(crate) use offer::{Limits, Offer};
pub(crate) use server::{ServerLimits, Service};

/// How far a phase has come; for progress bars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// `setup`, `offline`, `online`, or `inference` where both run side by side: steps are counted that are through.
    pub phase: &'static str,
    /// Layers done.
    pub done: usize,
    /// Layers in all.
    pub of: usize,
    /// The layer that was just finished.
    pub layer: &'a str,
}

/// Is told about progress; must return quickly.
pub type Observer = dyn Fn(&Progress<'_>) + Send + Sync;
