//! The committed prices, a table for each instruction set: this file is what `cargo xtask bench --prices`
//! prints on an idle machine, but for two prices, by what inferences of the same hour took: a hint of large
//! networks costs 2.6 times what it costs the probe's (setups of SqueezeNet 1.0 and 1.1, `MobileNet`,
//! DenseNet-121 and ResNet-50), and OT setups of both directions, made at the same time, 0.785 times what they
//! cost one by one (setups of the MNIST networks).

use super::Machine;

/// Measured on two cores of a Zen 5 EPYC, at 5609337 (30 November 2026).
pub(super) const PORTABLE: Machine = Machine {
    and_offline_ns: 1.02e2,
    and_online_ns: 1.55e1,
    base_ot_ns: 3.95e6,
    description_byte_ns: 6.00e1,
    garbled_step_ns: 2.85e5,
    gmw_bulk_byte_ns: 3.53e0,
    gmw_byte_ns: 5.96e0,
    gmw_step_ns: 4.38e6,
    handshake_ns: 1.07e6,
    hint_mac_ns: 3.25e-1,
    hint_ns: 1.13e5,
    offline_mac_ns: 1.24e-1,
    online_mac_ns: 7.02e-2,
    ot_setup_ns: [7.00e6, 2.78e7],
    ot_start_ns: [3.54e6, 6.67e6, 1.19e7, 2.59e7],
    polynomial_ns: 3.96e4,
    rot_ns: 8.63e1,
    trip_ns: 1.13e4,
};

/// Measured on two cores of a Zen 5 EPYC, at 5609337 (30 November 2026).
pub(super) const AVX2: Machine = Machine {
    and_offline_ns: 3.42e1,
    and_online_ns: 8.75e0,
    base_ot_ns: 4.18e6,
    description_byte_ns: 6.00e1,
    garbled_step_ns: 2.27e5,
    gmw_bulk_byte_ns: 3.74e0,
    gmw_byte_ns: 5.35e0,
    gmw_step_ns: 3.78e5,
    handshake_ns: 1.05e6,
    hint_mac_ns: 1.23e-1,
    hint_ns: 9.26e4,
    offline_mac_ns: 8.83e-2,
    online_mac_ns: 1.59e-2,
    ot_setup_ns: [6.90e6, 8.30e6],
    ot_start_ns: [1.06e6, 1.63e6, 3.11e6, 7.99e6],
    polynomial_ns: 2.88e4,
    rot_ns: 2.51e1,
    trip_ns: 1.28e4,
};

/// Measured on two cores of a Zen 5 EPYC, at 5609337 (30 November 2026).
pub(super) const AVX512: Machine = Machine {
    and_offline_ns: 2.90e1,
    and_online_ns: 8.47e0,
    base_ot_ns: 4.06e6,
    description_byte_ns: 6.00e1,
    garbled_step_ns: 2.05e5,
    gmw_bulk_byte_ns: 3.67e0,
    gmw_byte_ns: 5.11e0,
    gmw_step_ns: 2.73e5,
    handshake_ns: 1.04e6,
    hint_mac_ns: 4.06e-2,
    hint_ns: 5.00e4,
    offline_mac_ns: 5.05e-2,
    online_mac_ns: 1.05e-2,
    ot_setup_ns: [6.90e6, 7.60e6],
    ot_start_ns: [9.84e5, 2.23e6, 2.47e6, 9.11e6],
    polynomial_ns: 2.18e4,
    rot_ns: 1.84e1,
    trip_ns: 9.47e3,
};
