//! `gazelle compile`.

use std::path::PathBuf;

use clap::Args;
use gazelle::wire::Link;

use super::ModelArguments;

#[derive(Debug, Args)]
pub(crate) struct Compile {
    /// The ONNX file; `model.toml` beside it describes preprocessing and output
    #[arg(value_name = "MODEL.ONNX")]
    pub(crate) file: PathBuf,
    /// Where the compiled model goes, for its owner alone (it holds the weights)
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) model: ModelArguments,
    /// The name that clients see (default: from model.toml or the file)
    #[arg(long)]
    pub(crate) model_name: Option<String>,
    /// The link to the clients, for `--backend auto`: `memory`, `lan`, `wan` or
    /// `<bandwidth>,<round trip>` such as `100mbit,20ms`
    #[arg(long, value_name = "LINK", default_value = "lan")]
    pub(crate) link: Link,
}
