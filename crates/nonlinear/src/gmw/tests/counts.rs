//! The counts of protocol.md 5.8.

use gazelle_convert::Relu;
use gazelle_share::Rounding;
use gazelle_share::step::{StepFunction, StepOutput};
use gazelle_share::{Step, TensorShape};

use crate::gmw::chain::Variant;
use crate::gmw::plan::GmwStep;

fn relu(b: u32, l: u32, count: usize) -> GmwStep {
    let step = Step {
        function: StepFunction::Relu,
        input: TensorShape::vector(count),
        input_bits: b + 8,
        truncate_bits: 8,
        rounding: Rounding::Local,
        value_bits: b,
        sum_pool: None,
        output: StepOutput::Masked { bits: l },
    };
    GmwStep::new(0, &step, Variant::FewBits).unwrap()
}

/// The table of protocol.md 5.8: online, offline and ROTs `(S to C, C to S)`, trips.
#[test]
fn transcript_of_relu_is_the_protocols_table() {
    for ((b, l), online, offline, rots, trips) in
        [((12, 20), (37, 37), (24, 20), (16, 7), 6), ((17, 37), (53, 57), (52, 33), (25, 8), 6)]
    {
        let step = relu(b, l, 1);
        let chunk = &step.chunks[0];
        assert_eq!(step.opening_bits(chunk, &step.openings()), online);
        assert_eq!(step.offline_bits(chunk), offline);
        assert_eq!(step.rots(chunk), rots);
        assert_eq!(step.trips.len(), trips);
    }
}

/// The table of protocol.md 5.9: the same of a ReLU that is exact, T bits below values of b bits.
#[test]
fn transcript_of_an_exact_relu_is_the_protocols_table() {
    for ((b, t, l), online, offline, rots, trips) in [
        ((12, 9, 20), (62, 72), (39, 10), (27, 15), 8),
        ((12, 10, 20), (65, 75), (39, 10), (28, 16), 8),
        ((8, 6, 14), (39, 43), (33, 10), (20, 8), 6),
    ] {
        let local = relu(b, l, 1).step;
        let step = Step {
            rounding: Rounding::Exact { guard_bits: 2 },
            truncate_bits: t - 2,
            input_bits: b + t,
            ..local
        };
        let step = GmwStep::new(0, &step, Variant::FewBits).unwrap();
        let chunk = &step.chunks[0];
        let got = (step.opening_bits(chunk, &step.openings()), step.offline_bits(chunk));
        assert_eq!(got, (online, offline), "{b} {t} {l}");
        assert_eq!((step.rots(chunk), step.trips.len()), (rots, trips), "{b} {t} {l}");
    }
}

#[test]
fn transcript_trips_are_k_plus_1_or_2_for_all_widths() {
    for b in 2..=33u32 {
        let k = Relu::levels(b) + 2;
        assert_eq!(relu(b, b + 8, 1).trips.len(), if k % 2 == 1 { k + 1 } else { k + 2 });
    }
}

#[test]
fn transcript_of_a_2x2_pool_with_relu() {
    let window = gazelle_share::Window {
        kernel: [2, 2],
        stride: [2, 2],
        pads: gazelle_share::Pads::default(),
    };
    let step = Step {
        function: StepFunction::MaxPool { window, relu: true },
        input: TensorShape::new(1, 2, 2),
        input_bits: 21,
        truncate_bits: 8,
        rounding: Rounding::Local,
        value_bits: 12,
        sum_pool: None,
        output: StepOutput::Masked { bits: 20 },
    };
    let step = GmwStep::new(0, &step, Variant::FewBits).unwrap();
    let chunk = &step.chunks[0];
    // Three comparisons of 13 bits, a ReLU of 12, an extension by 8, a word of 20. Trees over 12 bits:
    // four two-bit leaves, four bits, seven merges; over 11: four, three, six.
    assert_eq!(step.rots(chunk), (3 * (8 + 7 + 1) + 8 + 6 + 1 + 1, 3 * (7 + 1) + 6 + 1));
    let (down, up) = step.opening_bits(chunk, &step.openings());
    // Per comparison: leaves, merges (three of them the lowest), b + 1; the online ones as much from
    // the client.
    let comparison = (8 + 3 * 7 - 3 + 13 + 1, 3 * 7 - 3 + 1);
    let relu = 8 + 3 * 6 - 3 + 12 + 1;
    assert_eq!(down, 3 * comparison.0 + relu + 1);
    assert_eq!(up, 2 * comparison.1 + comparison.0 + relu + 1 + 20);
    assert_eq!(step.trips.len(), 16);
}
