//! Writes a network of a well-known shape with random weights as an ONNX file, to try `gazelle
//! inspect` and `gazelle serve` at scale: `cargo xtask generate resnet50 resnet50.onnx`

use gazelle_model::generate;

const USAGE: &str = "usage: generate NETWORK FILE [--side PIXELS] [--classes N] [--seed N]
  NETWORK: resnet50, squeezenet1.1, densenet121, mobilenet-v1 (ReLU6), mobilenet-v1-relu";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut positional = Vec::new();
    let (mut side, mut classes, mut seed) = (224usize, 1000usize, 1u64);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(USAGE);
        match argument.as_str() {
            "--side" => side = value()?.parse()?,
            "--classes" => classes = value()?.parse()?,
            "--seed" => seed = value()?.parse()?,
            _ => positional.push(argument),
        }
    }
    let [network, file] = positional.as_slice() else { return Err(USAGE.into()) };
    if !(32..=1024).contains(&side) || !(1..=100_000).contains(&classes) {
        return Err("sides from 32 to 1024, 1 to 100000 classes".into());
    }
    let bytes = match network.as_str() {
        "resnet50" => generate::resnet50(seed, side, classes),
        "squeezenet1.1" => generate::squeezenet1_1(seed, side, classes),
        "densenet121" => generate::densenet121(seed, side, classes),
        "mobilenet-v1" => generate::mobilenet_v1(seed, side, classes, true),
        "mobilenet-v1-relu" => generate::mobilenet_v1(seed, side, classes, false),
        _ => return Err(USAGE.into()),
    };
    std::fs::write(file, &bytes)?;
    println!("{file}: {:.1} MB, input [1, 3, {side}, {side}]", bytes.len() as f64 / 1e6);
    Ok(())
}
