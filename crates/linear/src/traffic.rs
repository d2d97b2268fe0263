//! Exact bytes of a checked plan.

use std::ops::Range;

use gazelle_he::public_coin::{HintMessage, HintShape, Parameters, RequestMessage, RequestShape};
use gazelle_share::{LinearGroup, LinearTraffic};
use gazelle_wire::traffic::framed_len;
use gazelle_wire::{Cost, Message};

use crate::layout::GroupLayout;
use crate::plan::{GroupPlan, LinearPlan};

/// Hint rows that are computed together.
const HINT_ROWS: usize = 256;
/// Rows of hints in one message: what travels beside late hints waits for one of these.
pub(crate) const MESSAGE_ROWS: usize = 16;
const _: () = assert!(HINT_ROWS.is_multiple_of(MESSAGE_ROWS), "a run is cut into whole messages");

/// Bytes of every message of a checked group.
pub(crate) struct GroupTraffic {
    pub(crate) request: u64,
    pub(crate) hints: u64,
    pub(crate) nonce: u64,
}

pub(crate) fn request_shape(parameters: Parameters, layout: &GroupLayout) -> RequestShape {
    RequestShape { parameters, requests: layout.requests, pinned: layout.pinned() }
}

/// Rows of hints that are computed together.
pub(crate) fn hint_runs(responses: usize) -> impl Iterator<Item = Range<usize>> {
    (0..responses).step_by(HINT_ROWS).map(move |row| row..(row + HINT_ROWS).min(responses))
}

/// Row counts of the hint messages; runs are cut into whole ones but the last.
pub(crate) fn hint_messages(responses: usize) -> impl Iterator<Item = usize> {
    (0..responses).step_by(MESSAGE_ROWS).map(move |row| MESSAGE_ROWS.min(responses - row))
}

pub(crate) fn group_traffic(plan: &GroupPlan, layout: &GroupLayout) -> GroupTraffic {
    let parameters = plan.parameters;
    let request = RequestMessage::encoded_len(&request_shape(parameters, layout));
    let hints = hint_messages(layout.responses)
        .map(|responses| framed_len(HintMessage::encoded_len(&HintShape { parameters, responses })))
        .sum();
    GroupTraffic { request: framed_len(request), hints, nonce: framed_len(32) }
}

/// Exact traffic of a checked plan.
pub(crate) fn traffic(
    groups: &[LinearGroup],
    plan: &LinearPlan,
    layouts: &[GroupLayout],
) -> LinearTraffic {
    let mut traffic =
        LinearTraffic { setup: Cost::default(), offline: Vec::with_capacity(groups.len()) };
    for ((group, plan), layout) in groups.iter().zip(&plan.groups).zip(layouts) {
        let bytes = group_traffic(plan, layout);
        let mut offline = Cost { client_to_server: bytes.request, server_to_client: bytes.nonce };
        if group.revealed {
            offline.server_to_client += bytes.hints;
        } else {
            traffic.setup.server_to_client += bytes.hints;
        }
        traffic.offline.push(offline);
    }
    traffic
}
