//! The material of a step on either backend, at either party.

use crate::garbled::audited::{LabelledStep, UngarbledStep};
use crate::garbled::client::GarbledClientPrepared;
use crate::garbled::server::GarbledServerPrepared;
use crate::gmw::client::GmwClientPrepared;
use crate::gmw::server::GmwServerPrepared;

/// The client's material of one step.
pub enum PerLayerClientPrepared {
    /// For a garbled step.
    Garbled(GarbledClientPrepared),
    /// For a checked step, before its tables.
    Labelled(LabelledStep),
    /// For a GMW step.
    Gmw(GmwClientPrepared),
}

/// The server's material of one step.
pub enum PerLayerServerPrepared {
    /// For a garbled step.
    Garbled(GarbledServerPrepared),
    /// For a checked step, before its tables.
    Ungarbled(UngarbledStep),
    /// For a GMW step.
    Gmw(GmwServerPrepared),
}
