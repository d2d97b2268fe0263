//! Imports and quantises a network with the samples beside it, and prints what was chosen:
//! `cargo run --release -p gazelle-model --example quantise -- models/mnist_c_chameleon/model.onnx`

use std::path::Path;
use std::time::Instant;

use gazelle_model::{Interface, Options, import, quantise, samples};
use gazelle_share::step::StepFunction;
use gazelle_share::{NodeKind, Step};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path =
        std::env::args().nth(1).ok_or("usage: quantise model.onnx [fraction bits of weights]")?;
    let path = Path::new(&path);
    let start = Instant::now();
    let graph = import(&std::fs::read(path)?)?;
    println!("import: {:?}, {} multiply-adds", start.elapsed(), graph.macs());
    let calibration = samples::beside(path, &graph, 64);
    let (input_range, source) = Interface::beside(path, &graph)?.declare(&graph, &calibration)?;
    println!("inputs: {input_range} ({source:?})");
    let start = Instant::now();
    let weight_bits = match std::env::args().nth(2) {
        Some(bits) => bits.parse()?,
        None => Options::default().weight_bits,
    };
    let options = Options { calibration, input_range, weight_bits, ..Options::default() };
    let quantised = quantise(&graph, &options)?;
    println!("quantise: {:?}", start.elapsed());
    let report = &quantised.report;
    println!(
        "margin {}, tolerance {:.4}, relative error {:.4}, largest logit {:.2}, agreement {}, {} of {} inputs checked",
        report.margin,
        report.tolerance,
        report.relative_error,
        report.largest_logit,
        report.agreement,
        report.checked_inputs,
        report.calibration_inputs
    );
    let mut total = 0.0;
    for node in quantised.network.architecture().nodes() {
        let NodeKind::Step(step) = &node.kind else { continue };
        let bytes = traffic(step) / 8.0;
        total += bytes;
        println!(
            "{:40} {:8} elements, {:2} bits, {:2} dropped, ring {:2} -> {:2}, about {:8.0} kB",
            node.name,
            step.input.len(),
            step.value_bits,
            step.dropped_bits(),
            step.input_bits,
            step.output_bits(),
            bytes / 1e3
        );
    }
    println!("weights: {:?}", report.weight_bits);
    println!("all steps: about {:.2} MB of openings and corrections", total / 1e6);
    Ok(())
}

/// Bits online and offline by the formulas of protocol.md, 5.5, without the random OTs.
fn traffic(step: &Step) -> f64 {
    let (b, l) = (step.value_bits, step.output_bits());
    // A comparison and selection of w-bit values.
    let coarse = |w: u32, drop: u32, known: bool| {
        let (n, m) = (w - drop - 1, (w - drop) / 2);
        let merges = 6 * m.saturating_sub(1) - 2 * m.next_power_of_two().ilog2();
        let (leaves, offline) =
            if known { (n, 6 * (n / 2) + n % 2 + w) } else { (2 * n + w, 4 * (n / 2) + n % 2) };
        f64::from(leaves + merges + 2 + w + offline)
    };
    let relu = |w: u32, known: bool| coarse(w, 0, known);
    let (values, outputs) = (step.input.len() as f64, step.function_shape().len() as f64);
    let reshare = f64::from(2 + l.saturating_sub(b) + l) * step.output_shape().len() as f64;
    let function = match &step.function {
        StepFunction::Relu => values * relu(b, true),
        StepFunction::CoarseRelu { drop_bits } => values * coarse(b, *drop_bits, true),
        StepFunction::Clip { .. } => values * (relu(b, true) + relu(b, false)),
        StepFunction::MaxPool { window, relu: fused } => {
            let [rows, columns] = window.kernel;
            let shared = rows.min(window.stride[0]);
            let along = outputs * ((columns - 1) * shared) as f64;
            let first = along / 2.0 * (relu(b + 1, true) + relu(b + 1, false));
            let behind = if *fused { outputs * relu(b, false) } else { 0.0 };
            first + outputs * (rows - 1) as f64 * relu(b + 1, false) + behind
        }
        _ => 0.0,
    };
    function + reshare
}
