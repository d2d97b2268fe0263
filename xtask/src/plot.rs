//! `cargo xtask bench --plot`: SVG figures of the committed results, for docs/benchmarks.md. Nothing is
//! measured: what `benches/results/*/` holds is drawn, the newest folder that has a figure first.

mod bars;
mod lines;
mod peers;
mod results;

use std::path::Path;

use crate::Failure;
use crate::plot::bars::{Bars, Row};
use crate::plot::results::Results;

/// Where the figures go, below the root.
const FIGURES: &str = "docs/figures";

/// Networks of the figure by phase, as results and as people name them.
const NETWORKS: [(&str, &str); 9] = [
    ("mnist_a_secureml", "MNIST A"),
    ("mnist_c_chameleon", "MNIST C"),
    ("mnist_d_minionn", "MNIST D"),
    ("pneumonia_cnn", "PneumoniaMNIST"),
    ("cifar10_minionn_gazelle", "CIFAR-10 MiniONN"),
    ("cifar10_resnet20", "CIFAR-10 ResNet-20"),
    ("squeezenet", "SqueezeNet 1.1"),
    ("resnet50", "ResNet-50"),
    ("densenet121", "DenseNet-121"),
];

/// Behind the caption of whole networks.
const EXACT: &str = "; exact rounding";

/// The network of the figure by layer.
const BY_LAYER: &str = "cifar10_resnet20";

const MILLISECOND: f64 = 1e-3;
const MEGABYTE: f64 = 1e6;

/// Draws all figures.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    let results = Results::read(&root.join("benches/results"))?;
    let folder = root.join(FIGURES);
    std::fs::create_dir_all(&folder)?;
    layers(&results, &folder)?;
    phases(&results, &folder)?;
    peers::draw(&results, &root.join("docs/benchmarks.md"), &folder)?;
    lines::relus(&results, &folder.join("relus.svg"))?;
    println!("figures are in {FIGURES}");
    Ok(())
}

/// Time and bytes of each layer, offline and online.
fn layers(results: &Results, folder: &Path) -> Result<(), Failure> {
    let prefix = format!("inference/{BY_LAYER}/memory/gmw/layer/");
    let names = results.names(&prefix, "/offline");
    let figure = |name: &str, phase: &str| results.client(&format!("{prefix}{name}/{phase}"));
    for (file, unit, of) in [
        ("layers-time.svg", "milliseconds at the client", results::seconds as fn(_) -> f64),
        ("layers-bytes.svg", "kilobytes, both directions", results::bytes),
    ] {
        let scale = if file == "layers-time.svg" { MILLISECOND } else { 1e3 };
        let row = |name: &String| {
            let part = |phase: &str| figure(name, phase).map_or(0.0, |found| of(found) / scale);
            Row { label: name.clone(), parts: vec![part("offline"), part("online")] }
        };
        Bars {
            title: format!("CIFAR-10 ResNet-20, exact, by layer: {unit}"),
            source: results.source(&format!("{prefix}{}/offline", first(&names))),
            series: vec!["offline", "online"],
            rows: names.iter().map(row).collect(),
            stacked: true,
            logarithmic: false,
        }
        .draw(&folder.join(file))?;
    }
    Ok(())
}

/// Time and bytes of each phase of whole networks.
fn phases(results: &Results, folder: &Path) -> Result<(), Failure> {
    const PHASES: [&str; 3] = ["setup", "offline", "online"];
    for (file, unit, of, scale) in [
        (
            "phases-time.svg",
            "milliseconds, both parties on two cores",
            results::seconds as fn(_) -> f64,
            MILLISECOND,
        ),
        ("phases-bytes.svg", "megabytes, both directions", results::bytes, MEGABYTE),
    ] {
        let row = |(name, label): &(&str, &str)| {
            let id = |phase: &str| format!("inference/{name}/memory/auto/{phase}");
            let part = |phase| results.client(&id(phase)).map(|found| of(found) / scale);
            let parts: Option<Vec<f64>> = PHASES.into_iter().map(part).collect();
            parts.map(|parts| Row { label: (*label).to_owned(), parts })
        };
        Bars {
            title: format!("One cold inference, memory link: {unit}"),
            source: format!("{}{EXACT}", results.source("inference/resnet50/memory/auto/whole")),
            series: PHASES.to_vec(),
            rows: NETWORKS.iter().filter_map(row).collect(),
            stacked: false,
            logarithmic: true,
        }
        .draw(&folder.join(file))?;
    }
    Ok(())
}

/// A network as people name it.
fn named(network: &str) -> &str {
    NETWORKS.iter().find(|(id, _)| *id == network).map_or(network, |(_, name)| name)
}

fn first(names: &[String]) -> &str {
    names.first().map_or("", String::as_str)
}
