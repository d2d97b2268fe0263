//! Project chores: `cargo xtask ci | tidy | house | bench … | generate … | jobs … | prepared … | python [ray] | replicas | soak … | vectors [--check] | views | web`.

mod bench;
mod ci;
mod crash;
mod dist;
mod estimate;
mod fleet;
mod generate;
mod jobs;
mod plot;
mod prepared;
mod process;
mod python;
mod replicas;
mod shaped;
mod soak;
mod tests_built;
mod tidy;
mod vectors;
mod views;
mod web;

use std::path::PathBuf;
use std::process::ExitCode;

/// A chore's failure, said in full.
type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "\
usage: cargo xtask <chore>

  ci                 every check that a change has to pass, in order, stopping at the first failure
  tidy               the rules of the house that no compiler checks
  house              the figures behind some of them: repeated names, public surface, import circles
  bench [...]        cargo run --release -p gazelle-benches -- ...
  bench --plot       draws the committed results as docs/figures/*.svg
  crash              clients and a server are killed while they prepare and use stored material: no entry is
                     used twice, every store can be read, what survives is good [--kills N] [--program FILE]
  dist               the release program with manual and completions as target/dist/*.tar.gz and
                     its SHA-256, made to be the same for the same commit [--profile NAME] [--no-sbom]
  generate NAME FILE an ONNX file of resnet50, squeezenet1.1, densenet121 or mobilenet-v1
                     with random weights [--side PIXELS] [--classes N] [--seed N]
  estimate [--check] the cost of attacks on the RLWE and LPN parameters; with --check compares
                     with the documented figures
  jobs               many images over a link of 400 Mbit/s and 40 ms, one at a time and several at once
                     [--model NAME] [--images N] [--jobs J] [--program FILE] [--least RATIO]
  prepared           what inferences take whose material was made ahead, each by a new process
                     [--model NAME|resnet50] [--count N] [--program FILE] [--most SECONDS]
  python             the Python package: wheel, types, tests, examples, in an environment below target/
                     [ray: the example on Ray, with the wheel that is installed]
  replicas           three servers behind HAProxy and eight clients; one server is killed, every
                     client finishes
  soak               many clients on one server while hostile connections garble, stall and flood
                     [--clients N] [--hostile N] [--minutes N] [--offline-nice N] [--hostile-nice N]
  vectors [--check]  regenerates the committed ONNX message types; with --check only compares
  views              the non-linear protocols of docs/protocol.md as an independent program: right
                     results and views that say nothing, for all coins and shares of small widths
  web                the page for browsers as target/web, and its tests in headless Chromium; or an archive
                     [--no-tests | --pack | --time MODEL.onnx FILE...]";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let chore = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let result = match chore.as_str() {
        "ci" => ci::run(&root()),
        "tidy" => tidy::run(&root()),
        "house" => tidy::house(&root()),
        "bench" => bench::run(&root(), &rest),
        "crash" => crash::run(&root(), &rest),
        "dist" => dist::run(&root(), &rest),
        "generate" => generate::run(&root(), &rest),
        "estimate" => estimate::run(rest.iter().any(|argument| argument == "--check")),
        "jobs" => jobs::run(&root(), &rest),
        "prepared" => prepared::run(&root(), &rest),
        "python" => python::run(&root(), &rest),
        "replicas" => replicas::run(&root(), &rest),
        "soak" => soak::run(&root(), &rest),
        "vectors" => {
            let check = rest.iter().any(|argument| argument == "--check");
            vectors::run(&root(), check)
                .and_then(|()| if check { estimate::run(true) } else { Ok(()) })
        }
        "views" => views::run(),
        "web" => web::run(&root(), &rest),
        _ => Err(USAGE.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's root.
fn root() -> PathBuf {
    // `cargo run` says which checkout it runs for; several may share one target directory.
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.parent().map_or_else(|| here.clone(), PathBuf::from)
}
