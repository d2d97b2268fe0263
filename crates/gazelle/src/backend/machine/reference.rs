//! The prices that all plans are made with, frozen: another number here is another plan, other traffic and
//! another digest on every machine (docs/decisions/0008-one-table.md).

use super::Machine;

/// What AVX-512 on two cores of a Zen 4 at 3.7 GHz was measured at when plans stopped being made with what
/// a machine measures.
pub(super) const REFERENCE: Machine = Machine {
    handshake_ns: 1.50e6,
    description_byte_ns: 6.00e1,
    base_ot_ns: 1.60e7,
    ot_setup_ns: [1.50e6, 3.00e6],
    ot_start_ns: [1.00e6, 2.50e6, 3.50e6, 6.00e6],
    hint_ns: 6.00e4,
    hint_mac_ns: 1.50e-1,
    polynomial_ns: 6.00e4,
    offline_mac_ns: 1.50e-1,
    online_mac_ns: 5.00e-2,
    garbled_step_ns: 3.00e5,
    and_offline_ns: 1.00e1,
    and_online_ns: 4.00e0,
    gmw_step_ns: 3.00e5,
    rot_ns: 2.50e1,
    trip_ns: 4.00e4,
    gmw_byte_ns: 1.20e1,
    gmw_bulk_byte_ns: 1.20e1,
};
