//! Imports and quantises a network with the samples beside it, and prints what was chosen:
//! `cargo run --release -p gazelle-model --example quantise -- models/mnist_c_chameleon/model.onnx`

use std::path::Path;
use std::time::Instant;

use gazelle_model::{Options, import, quantise, samples};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: quantise model.onnx")?;
    let path = Path::new(&path);
    let start = Instant::now();
    let graph = import(&std::fs::read(path)?)?;
    println!("import: {:?}, {} multiply-adds", start.elapsed(), graph.macs());
    let calibration = samples::beside(path, &graph, 64);
    let start = Instant::now();
    let quantised = quantise(&graph, &Options { calibration, ..Options::default() })?;
    println!("quantise: {:?}", start.elapsed());
    println!("{:#?}", quantised.report);
    for node in &quantised.network.architecture.nodes {
        let tensor = quantised.network.architecture.tensors.get(node.output);
        println!(
            "{:40} {:?}",
            node.name,
            tensor.map(|t| (t.shape, t.scale, t.ring_bits, t.value_bits))
        );
    }
    Ok(())
}
