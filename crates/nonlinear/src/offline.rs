//! The offline phase of any number of steps, at either party: two streams, one each way, that never wait
//! for a turn.
//!
//! | thread | client | server |
//! |---|---|---|
//! | before: announcements (`announce`) | of the OTs S to C, then C to S | the same |
//! | sends (`streams`), in the order of [`plan::order`] | its part of the OTs; corrections of earlier units | its part of the OTs; corrections or tables of earlier units |
//! | receives (`streams`), in the same order | the server's stream | the client's stream |
//! | decides (`coordinator`); a thread pool (`workers`) computes | a call with both its OTs begins; a unit that has begun and heard all is finished | the same |
//!
//! A *unit* is a part of a step whose corrections travel together, a *call* the OTs that are made
//! together. Both streams follow one order, which the compiled steps alone determine: a party sends the
//! OTs of up to [`plan::WINDOW`] ahead of its corrections. What it sends of a unit depends on what it
//! received of the same unit, and that on earlier parts of the streams: nobody waits in a circle.
//!
//! A party that has one thread does all of it in turn (`coordinator::alone`).
//!
//! Memory: the OTs of a window at most of the calls that this party makes, of two windows of those that
//! it receives (`streams::ReadGate`), whatever the peer sends; then the material itself.

pub(crate) mod client;
mod coordinator;
pub(crate) mod material;
pub(crate) mod parcel;
pub(crate) mod plan;
pub(crate) mod server;
mod streams;
pub(crate) mod work;
mod workers;

use gazelle_share::{PreparedSteps, ProtocolError};

/// The material of the one step that was prepared.
pub(crate) fn single<P>(all: PreparedSteps<P>) -> Result<P, ProtocolError> {
    let none = ProtocolError::Defect("nothing came of a step");
    all.into_iter().next().map(|(result, _)| result).ok_or(none)
}
