//! What a whole inference may take on a link with latency, and how many turns its phases.

use std::sync::Arc;

use gazelle::backend::DefaultService;

use super::session::{self, Session};
use super::{of_phase, phase_index};
use crate::Outcome;
use crate::measure::{Bench, Link, Measurement, median};
use crate::networks::Loaded;

/// Turns of setup and offline phase at most, on every network.
const SETUP_TURNS: u64 = 3;
const OFFLINE_TURNS: u64 = 12;
/// Round trips of a whole inference beside its online turns: setup, offline, and what TCP or scheduling adds.
const OTHER_TURNS: u64 = 15;
/// How much longer computing and sending may take together than the longer of them alone.
const OVERLAP: f64 = 1.15;

/// Fails if a phase takes more turns than any network may.
pub(super) fn turns(id: &str, setup: u64, offline: u64) -> Outcome {
    for (phase, turns, most) in [("setup", setup, SETUP_TURNS), ("offline", offline, OFFLINE_TURNS)]
    {
        eprintln!("bench: {id}/{phase}: {turns} turns, at most {most}");
        if turns > most {
            return Err(format!("{id}/{phase}: {turns} turns, more than {most}").into());
        }
    }
    Ok(())
}

/// Records `bound/whole`: the same plan runs on the memory link for it, as often as it did on `link`.
pub(super) fn record(
    bench: &mut Bench,
    id: &str,
    link: Link,
    (server, loaded): (&Arc<DefaultService>, &Loaded),
    sessions: &[Session],
) -> Outcome {
    let bound_id = format!("{id}/bound/whole");
    if !bench.wants(&bound_id) {
        return Ok(());
    }
    let here = sessions.iter().map(|_| session::run(Link::Memory, server, loaded));
    let here: Vec<Session> = here.collect::<Result<_, _>>()?;
    let whole = |sessions: &[Session]| {
        let phases = of_phase(sessions, "client", phase_index("whole"));
        let seconds: Vec<f64> = phases.iter().map(|phase| phase.seconds).collect();
        (median(&seconds), phases.last().copied().unwrap_or_default())
    };
    let ((memory_s, _), (measured_s, traffic)) = (whole(&here), whole(sessions));
    let online = of_phase(sessions, "client", phase_index("online"));
    let online = online.last().map_or(0, |phase| phase.turns);
    let shaped = link.shaped();
    let wire_s = shaped.transfer_time(traffic.bytes_sent.max(traffic.bytes_received)).as_secs_f64();
    let trips_s = (online + OTHER_TURNS) as f64 * shaped.round_trip.as_secs_f64();
    let bound_s = OVERLAP * memory_s.max(wire_s) + trips_s;
    let mut figure = Measurement::new(&bound_id, 1, &[bound_s]);
    (figure.party, figure.bytes, figure.turns) = ("client", traffic.bytes(), traffic.turns);
    figure.limit = Some("bound");
    figure.ratio_to_limit = Some(measured_s / bound_s);
    eprintln!(
        "bench: {bound_id}: {measured_s:.3} s of {bound_s:.3} s, ratio {:.2}: memory link {memory_s:.3} s, \
         wire {wire_s:.3} s, {online} online turns",
        measured_s / bound_s,
    );
    bench.record(&figure)
}
