//! The committed prices, a table for each instruction set: this file is what `cargo xtask bench --prices`
//! prints on an idle machine.

use super::Machine;

/// Those of AVX-512 times what one run of `bench --prices` on a loaded machine (2 cores of a Zen 4) says of
/// this set beside AVX-512, no price below it.
pub(super) const PORTABLE: Machine = Machine {
    handshake_ns: 1.50e6,
    description_byte_ns: 6.00e1,
    base_ot_ns: 1.60e7,
    ot_setup_ns: [1.50e6, 9.73e6],
    ot_start_ns: [1.06e7, 5.17e7, 1.37e8, 3.12e8],
    hint_ns: 8.16e4,
    hint_mac_ns: 3.51e0,
    polynomial_ns: 1.38e5,
    offline_mac_ns: 4.08e-1,
    online_mac_ns: 4.23e-1,
    garbled_step_ns: 4.04e5,
    and_offline_ns: 2.60e2,
    and_online_ns: 7.70e0,
    gmw_step_ns: 2.25e6,
    rot_ns: 9.62e2,
    trip_ns: 4.14e4,
    gmw_byte_ns: 1.25e1,
    gmw_bulk_byte_ns: 1.25e1,
};

/// As that of portable code, for this set.
pub(super) const AVX2: Machine = Machine {
    handshake_ns: 1.50e6,
    description_byte_ns: 6.00e1,
    base_ot_ns: 1.60e7,
    ot_setup_ns: [1.50e6, 3.00e6],
    ot_start_ns: [5.30e6, 9.30e6, 1.75e7, 3.00e7],
    hint_ns: 6.33e4,
    hint_mac_ns: 1.68e0,
    polynomial_ns: 8.41e4,
    offline_mac_ns: 2.43e-1,
    online_mac_ns: 1.21e-1,
    garbled_step_ns: 3.37e5,
    and_offline_ns: 1.18e1,
    and_online_ns: 4.37e0,
    gmw_step_ns: 3.00e5,
    rot_ns: 2.95e1,
    trip_ns: 4.00e4,
    gmw_byte_ns: 1.25e1,
    gmw_bulk_byte_ns: 1.25e1,
};

/// Measured on two cores of a Zen 4 at 3.7 GHz. OT setups, of which the sum was measured, are estimates; OT
/// starts are in the ratios of a run on a loaded machine, at the level of idle runs of MNIST-D and ResNet-20
/// (benches/results/2026-11-28-epyc-2core: offline 32.5 and 283 ms); bytes beyond the first of a step are what
/// ResNet-50's steps took in an idle run (29 November 2026).
pub(super) const AVX512: Machine = Machine {
    handshake_ns: 1.50e6,
    description_byte_ns: 6.00e1,
    base_ot_ns: 1.60e7,
    ot_setup_ns: [1.50e6, 3.00e6],
    ot_start_ns: [2.30e6, 6.00e6, 8.20e6, 3.00e7],
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
    gmw_bulk_byte_ns: 5.00e0,
};
