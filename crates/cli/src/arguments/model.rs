//! How a model is made private and what its clients learn: the options that `inspect`, `compile` and `serve` share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use gazelle::backend::BaseOt;
use gazelle::{AuditRate, Hints};

#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct ModelArguments {
    /// Sizes of the input's axes where the file leaves them open, with or without its name:
    /// `1,3,224,224` or `x=1,3,224,224`
    #[arg(long, value_name = "[NAME=]SIZES", value_parser = input_shape)]
    pub(crate) input_shape: Vec<(Option<String>, Vec<usize>)>,
    /// The output to compute, of several (default: the first that depends on the input)
    #[arg(long, value_name = "NAME")]
    pub(crate) output: Option<String>,
    /// Calibration inputs that set scales and ranges: files, as of `infer`, or directories of them;
    /// interval bounds without any
    #[arg(long, value_name = "PATH")]
    pub(crate) calibration: Vec<PathBuf>,
    /// At most so many calibration inputs
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub(crate) calibration_limit: usize,
    /// Logits are rounded to this, a power of two such as 0.0625 or 1/16 (default: what model.toml
    /// says, or about 1/256 of the largest calibrated logit)
    #[arg(long, value_parser = resolution)]
    pub(crate) resolution: Option<i32>,
    /// Protocol of the non-linear layers
    #[arg(long, value_enum, default_value_t = Backend::Auto)]
    pub(crate) backend: Backend,
    /// How bits are dropped between layers
    #[arg(long, value_enum, default_value_t = RoundingArgument::Exact)]
    pub(crate) rounding: RoundingArgument,
    /// Prove that no input in the model's range can overflow a hidden value, at the price that
    /// `inspect` shows; else that is known of inputs like the calibration's alone
    #[arg(long)]
    pub(crate) guaranteed: bool,
    /// What the client learns (default: what model.toml says, or the logits)
    #[arg(long, value_enum)]
    pub(crate) reveal: Option<RevealArgument>,
    /// How many classes `--reveal top-k` reveals, 1 to 64; all if the model has fewer
    #[arg(long, default_value_t = 5, value_name = "K", value_parser = reveal_count)]
    pub(crate) reveal_count: usize,
    /// How many inferences a client makes per session, about: the more, the more is sent ahead once
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) inferences_per_setup: u32,
    /// What the base oblivious transfers rest on; `classic` saves 0.25 MB and some milliseconds
    #[arg(long, value_enum, default_value_t = BaseOtArgument::Hybrid)]
    pub(crate) base_ot: BaseOtArgument,
    /// How long one setup of the linear layers serves
    #[arg(long, value_enum, default_value_t = HintsArgument::Reused)]
    pub(crate) hints: HintsArgument,
    /// Whether clients are trusted to follow the protocol. `untrusted`: steps are garbled and exact, a fraction of
    /// what a client prepares is opened and checked against its coins before the rest is used, the colours that
    /// it returns are authenticated, inputs are clipped to the declared range (docs/untrusted-clients.md)
    #[arg(long, value_enum, default_value_t = ClientsArgument::Trusted)]
    pub(crate) clients: ClientsArgument,
    /// The fraction of inferences that is opened, with `--clients untrusted`: what a client that cheats is caught
    /// with. At most 1/2
    #[arg(long, value_name = "FRACTION", default_value = "1/8")]
    pub(crate) audit_rate: AuditRate,
    /// Number the network's nodes instead of telling clients the names in the file
    #[arg(long)]
    pub(crate) anonymous_names: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// Whatever is better for the network and link
    Auto,
    /// Garbled circuits
    Garbled,
    /// Oblivious transfer
    Gmw,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BaseOtArgument {
    /// Ristretto255 and ML-KEM-512: recordings stay closed to quantum computers
    Hybrid,
    /// Ristretto255 alone
    Classic,
}

impl From<BaseOtArgument> for BaseOt {
    fn from(argument: BaseOtArgument) -> Self {
        match argument {
            BaseOtArgument::Hybrid => Self::Hybrid,
            BaseOtArgument::Classic => Self::Classic,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HintsArgument {
    /// All inferences of a session: docs/protocol.md, 3.9, says why that is safe
    Reused,
    /// One inference, for those who do not trust that argument; each costs what a first one does
    Fresh,
}

impl From<HintsArgument> for Hints {
    fn from(argument: HintsArgument) -> Self {
        match argument {
            HintsArgument::Reused => Self::Reused,
            HintsArgument::Fresh => Self::Fresh,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClientsArgument {
    /// They follow the protocol, and may compute what they like on what they saw
    Trusted,
    /// They may say what they like
    Untrusted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoundingArgument {
    /// The result is the fixed-point network's, bit for bit: the client learns it and nothing else
    Exact,
    /// Fewer bytes, for clients that are trusted with the weights: the result depends on coins that
    /// the client knows, and some thousands of replays of one image tell it the last layer's weights
    Local,
}

impl From<RoundingArgument> for gazelle_model::RoundingMode {
    fn from(rounding: RoundingArgument) -> Self {
        match rounding {
            RoundingArgument::Exact => Self::Exact,
            RoundingArgument::Local => Self::Local,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RevealArgument {
    /// All logits, rounded to the resolution
    Logits,
    /// The largest few classes, in order, without logits
    TopK,
    /// The class alone
    Class,
}

impl From<RevealArgument> for gazelle_model::Reveal {
    fn from(reveal: RevealArgument) -> Self {
        match reveal {
            RevealArgument::Logits => Self::Logits,
            RevealArgument::TopK => Self::TopK,
            RevealArgument::Class => Self::Class,
        }
    }
}

/// What one step ranks at most.
fn reveal_count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=64).contains(count));
    count.ok_or_else(|| "not a number from 1 to 64".into())
}

/// `x=1,3,224,224` -> the name and the sizes.
fn input_shape(text: &str) -> Result<(Option<String>, Vec<usize>), String> {
    // Names may hold `=` and `,`: the sizes are behind the last `=`.
    let (name, sizes) = match text.rsplit_once('=') {
        Some((name, sizes)) => (Some(name.to_owned()), sizes),
        None => (None, text),
    };
    let size = |text: &str| text.trim().parse().ok().filter(|size| *size >= 1);
    let sizes: Option<Vec<usize>> = sizes.split([',', 'x']).map(size).collect();
    sizes.map(|sizes| (name, sizes)).ok_or_else(|| "not a list of sizes such as 1,3,224,224".into())
}

/// `1/16` or `0.0625` -> 4.
fn resolution(text: &str) -> Result<i32, String> {
    let value = match text.split_once('/') {
        Some((over, under)) => {
            let over: f64 = over.trim().parse().map_err(|_| "not a number".to_owned())?;
            let under: f64 = under.trim().parse().map_err(|_| "not a number".to_owned())?;
            over / under
        }
        None => text.trim().parse().map_err(|_| "not a number".to_owned())?,
    };
    let bits = -value.log2();
    if bits.fract() == 0.0 && bits.abs() <= f64::from(gazelle_model::MAX_RESOLUTION) {
        Ok(bits as i32)
    } else {
        Err("must be a power of two, such as 1/16 or 4".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolutions_are_powers_of_two() {
        assert_eq!(resolution("1/16"), Ok(4));
        assert_eq!(resolution("0.0625"), Ok(4));
        assert_eq!(resolution("2"), Ok(-1));
        assert_eq!(resolution("1/4194304"), Ok(22));
        assert!(resolution("0.1").is_err());
        assert!(resolution("0").is_err());
        assert!(resolution("x").is_err());
    }

    #[test]
    fn known_answer_input_shapes_have_a_name_or_none() {
        assert_eq!(input_shape("1,3,8,8"), Ok((None, vec![1, 3, 8, 8])));
        assert_eq!(input_shape("a=b=1x3"), Ok((Some("a=b".into()), vec![1, 3])));
        assert!(input_shape("x=1,0").is_err());
        assert!(input_shape("x=1,N").is_err());
    }
}
