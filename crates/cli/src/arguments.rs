//! The command line.

mod compile;
mod keys;
mod link;
mod material;
mod model;
mod serve;
mod serve_file;
mod web;

use std::path::PathBuf;

use gazelle::wire::Link;
use gazelle_host::Niceness;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::failure::Failure;

pub(crate) use compile::Compile;
pub(crate) use keys::{Keys, KeysCommand};
pub(crate) use link::{ClientLink, ServerLink};
pub(crate) use material::{Material, MaterialCommand, Prepare};
pub(crate) use model::{Backend, ClientsArgument, HintsArgument, ModelArguments, RoundingArgument};
pub(crate) use serve::{ModelOrder, OnCheating, Serve, ServedSettings};
pub(crate) use serve_file::ServeOrders;
pub(crate) use web::WebArguments;

/// What `--help` begins with.
const ABOUT: &str = "\
Private neural-network inference: classify an image with somebody else's model.
The client learns the prediction; the server learns nothing about the image; the
model's weights stay hidden.

  gazelle demo                          both sides on this machine: see that it works
  gazelle serve model.onnx              the model's owner (listens on 127.0.0.1:7764)
  gazelle infer photo.jpg scan.png      the images' owner";

#[derive(Debug, Parser)]
#[command(name = "gazelle", version, about = ABOUT)]
pub(crate) struct Arguments {
    /// No progress, no tables, no remarks; log errors only
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
    /// Log more to standard error, and print the table of layers; twice for even more. `RUST_LOG`
    /// (such as `gazelle=debug`) takes precedence for the log
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Write the log, remarks and errors as lines of text, or each as a JSON object on a line
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What comes on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "a process has one")]
pub(crate) enum Command {
    /// Both parties on this machine, an embedded trained network, real images
    Demo(Demo),
    /// What a model needs: operators, plan, predicted traffic; exit code 1 if it cannot run
    Inspect(Inspect),
    /// Serve a model to clients
    Serve(Serve),
    /// Quantise and plan a model now, so that `serve FILE` starts at once
    Compile(Compile),
    /// Classify images with a server's model, privately
    Infer(Infer),
    /// Make material for later inferences now, stored by both parties; `infer` uses it
    Prepare(Prepare),
    /// What this client keeps: setups, and material that was made ahead
    Material(Material),
    /// What a server offers to this client
    Models(Models),
    /// Certificates, by which servers and clients recognise each other
    Keys(Keys),
    /// Print a shell's completions: bash, elvish, fish, powershell or zsh
    Completions(Completions),
    /// Print the manual as a man page: `gazelle man infer | man -l -`
    Man(Man),
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// A command: its page; else the program's
    #[arg(value_name = "COMMAND", conflicts_with = "directory")]
    pub(crate) command: Option<String>,
    /// Write all pages into this directory instead
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How many of the embedded images, 1 to 10
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = embedded_images)]
    pub(crate) images: usize,
    /// One JSON object per image on standard output, nothing else
    #[arg(long)]
    pub(crate) json: bool,
    /// Protocol of the non-linear layers
    #[arg(long, value_enum, default_value_t = Backend::Auto)]
    pub(crate) backend: Backend,
}

#[derive(Debug, Args)]
pub(crate) struct Models {
    #[command(flatten)]
    pub(crate) link_layer: ClientLink,
    /// Seconds to wait for the server
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,
    /// One JSON object per model on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The ONNX file; `model.toml` beside it describes preprocessing and output
    #[arg(value_name = "MODEL.ONNX")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) model: ModelArguments,
    /// `lan`, `wan`, `memory` or `<bandwidth>,<round trip>` such as `100mbit,20ms`; LAN and WAN
    /// if left out
    #[arg(long, value_name = "LINK")]
    pub(crate) link: Option<Link>,
    /// Predict by what a second or two of measuring says of this machine, not by the committed prices
    /// of its instruction set; plans and bytes stay the same
    #[arg(long)]
    pub(crate) calibrate: bool,
    /// A directory of inputs whose classes are known, to measure how often the network is right: in
    /// f32, in fixed point and privately
    #[arg(long, value_name = "DIR", requires = "labels")]
    pub(crate) data: Option<PathBuf>,
    /// A CSV file of lines `file,label`: files of the directory, and a class's name or number
    #[arg(long, value_name = "CSV", requires = "data")]
    pub(crate) labels: Option<PathBuf>,
    /// At most so many of them privately, with both parties in this process
    #[arg(long, value_name = "N", default_value_t = 20, requires = "data")]
    pub(crate) limit: usize,
    /// Also write a page: the network as a graph, with what each layer costs, and the plan
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// One JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Infer {
    /// PNG, JPEG, TIFF, WebP, BMP, DICOM, NPY, CSV, IDX (.gz) or CIFAR .bin files; a folder, or a pattern
    /// such as 'scans/*.dcm', stands for its files. Pictures are preprocessed as the server's description
    /// says; an NPY tensor and a row of a table are taken as they are and must have the model's shape
    #[arg(required = true, value_name = "FILE")]
    pub(crate) inputs: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) link_layer: ClientLink,
    /// The model, by its name; may be left out if the server has only one (`gazelle models` lists them)
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) model: String,
    /// How long to stand in line if the server is full
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) wait: u64,
    /// Inferences at once, in so many sessions that share one setup: fills a link with a long round trip.
    /// The server may have fewer places for one client
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) jobs: u8,
    /// Let the setup and offline phases give way to online ones, of other jobs and programs as well: their
    /// threads are nicer by so much (Linux)
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=19))]
    pub(crate) offline_nice: u8,
    /// How often in a row a lost connection is made again, after pauses from half a second to half a
    /// minute; the batch goes on where it was
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) retries: u32,
    /// Note in this file which inputs have their answer, and leave those out: run the same command
    /// again to continue a batch
    #[arg(long, value_name = "FILE")]
    pub(crate) resume: Option<PathBuf>,
    /// At most so many inputs of each file with several
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) limit: Option<usize>,
    /// How many classes to print
    #[arg(long, default_value_t = 5, value_name = "K", value_parser = at_least_one)]
    pub(crate) top: usize,
    /// Stop at the first input that cannot be read, instead of going on and exiting with 1 at the
    /// end
    #[arg(long)]
    pub(crate) fail_fast: bool,
    /// Print time, bytes and round trips by layer, once
    #[arg(long)]
    pub(crate) layers: bool,
    /// A file with one label per line for each class, instead of the server's
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// Clip elements that lie outside the model's input range, instead of refusing the input
    #[arg(long)]
    pub(crate) clamp: bool,
    /// One JSON object per input on standard output, nothing else
    #[arg(long)]
    pub(crate) json: bool,
    /// One line per input in this CSV file, under a heading; `-` is standard output, nothing else there
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub(crate) csv: Option<PathBuf>,
    /// A page of all inputs: thumbnails, classes, times, bytes, what was revealed to whom. It holds the
    /// pictures: keep it as you keep these
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub(crate) html: Option<PathBuf>,
    /// Also predict time and bytes for this link: `lan`, `wan`, `memory` or
    /// `<bandwidth>,<round trip>`
    #[arg(long, value_name = "LINK")]
    pub(crate) link: Option<Link>,
    /// Predict by what a second or two of measuring says of this machine, not by the committed prices
    /// of its instruction set
    #[arg(long, requires = "link")]
    pub(crate) calibrate: bool,
    /// Seconds that one phase may wait for the server, a second more per 8 KiB that moves
    #[arg(long, default_value_t = 120, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,
    /// Refuse plans that move more than so many MiB per inference
    #[arg(long, default_value_t = 65536, value_name = "MIB")]
    pub(crate) max_traffic: u64,
    /// Refuse plans that take more than so many MiB of memory
    #[arg(long, default_value_t = 16384, value_name = "MIB")]
    pub(crate) max_memory: u64,
    /// Use and keep neither setups nor material on disk: every session sends its hints again
    #[arg(long)]
    pub(crate) no_store: bool,
    /// `fresh`: refuse servers that use a setup's hints for more than one inference
    #[arg(long, value_enum, default_value_t = HintsArgument::Reused)]
    pub(crate) hints: HintsArgument,
    /// Refuse any model but the one with this BLAKE3 digest (hexadecimal)
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    pub(crate) pin: Option<[u8; 32]>,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| *count >= 1);
    count.ok_or_else(|| "not a number of at least 1".into())
}

/// How many there are.
fn embedded_images(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=10).contains(count));
    count.ok_or_else(|| "not a number from 1 to 10".into())
}

fn digest(text: &str) -> Result<[u8; 32], String> {
    let mut digest = [0u8; 32];
    let digits = text.as_bytes();
    if digits.len() != 64 || !text.is_ascii() {
        return Err("must have 64 hexadecimal digits".into());
    }
    for (byte, pair) in digest.iter_mut().zip(digits.chunks(2)) {
        let pair = std::str::from_utf8(pair).map_err(|error| error.to_string())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|error| error.to_string())?;
    }
    Ok(digest)
}

/// What `--offline-nice` asks for, if the system lets threads have it.
pub(crate) fn niceness(by: u8) -> Result<Option<Niceness>, Failure> {
    Niceness::new(by).map_err(|error| Failure::Usage(format!("--offline-nice: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn adversarial_counts_of_nothing_are_wrong_usage() {
        for arguments in [
            &["infer", "--top", "0", "a.png"][..],
            &["infer", "--limit", "0", "a.png"],
            &["infer", "--timeout", "0", "a.png"],
            &["demo", "--images", "0"],
            &["demo", "--images", "11"],
            &["serve", "m.onnx", "--sessions", "0"],
            &["serve", "m.onnx", "--reveal-count", "0"],
            &["infer"],
        ] {
            let line = ["gazelle"].iter().chain(arguments);
            let error = Arguments::try_parse_from(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{arguments:?}");
        }
    }

    #[test]
    fn the_help_begins_with_a_purpose_and_an_example() {
        let help = <Arguments as clap::CommandFactory>::command().render_help().to_string();
        assert!(help.starts_with("Private neural-network inference"), "{help}");
        assert!(help.contains("gazelle infer photo.jpg"), "{help}");
    }

    #[test]
    fn digests_have_64_digits() {
        assert!(digest(&"0f".repeat(32)).is_ok());
        assert!(digest("0f").is_err());
        assert!(digest(&"zz".repeat(32)).is_err());
    }
}
