//! `gazelle serve`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use gazelle::wire::Link;
use gazelle_host::MaterialBytes;
use gazelle_service::Quota;

use super::{ModelArguments, ServerLink, WebArguments, at_least_one};

/// What a client may make by default where steps round locally: about a tenth of the replays that tell
/// the last layer's weights (docs/threat-model.md).
const LOCAL_INFERENCES: u64 = 256;

/// So many that all connections of one address that are held get in within the time for which they are.
const FAILURES_PER_SECOND: u32 = 32;

/// A model to serve, or a folder of them, with what counts for it alone.
#[derive(Debug, Clone)]
pub(crate) struct ModelOrder {
    /// ONNX, compiled, or a folder.
    pub(crate) path: PathBuf,
    pub(crate) settings: ServedSettings,
}

/// What each served model may have of its own.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServedSettings {
    #[command(flatten)]
    pub(crate) model: ModelArguments,
    /// The name that clients see (default: from model.toml or the file)
    #[arg(long)]
    pub(crate) model_name: Option<String>,
    /// The link to the clients, for `--backend auto`: `memory`, `lan`, `wan` or
    /// `<bandwidth>,<round trip>` such as `100mbit,20ms`
    #[arg(long, value_name = "LINK", default_value = "lan")]
    pub(crate) link: Link,
    /// Inferences of each client with each model in all: with `--rounding local` every replay of an image
    /// tells it a little about the weights (default: 256 with `--rounding local`, else no limit)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_inferences: Option<u64>,
    /// Inferences of each client with each model per day (UTC)
    #[arg(long, value_name = "N")]
    pub(crate) per_day: Option<u64>,
    /// Inferences of each client with each model per minute; faster clients are made to wait
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=60000))]
    pub(crate) per_minute: Option<u64>,
    /// Traffic of each client with each model per day (UTC), both ways
    #[arg(long, value_name = "MIB")]
    pub(crate) mib_per_day: Option<u64>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Serve {
    /// Models behind one port: ONNX files (`model.toml` beside one describes preprocessing and output), files
    /// of `gazelle compile`, or folders of them. Options of models count for all
    #[arg(value_name = "MODEL", required_unless_present = "config")]
    pub(crate) models: Vec<PathBuf>,
    /// Take models and options from this file; what the command line says as well goes before it
    #[arg(long, value_name = "SERVE.TOML", conflicts_with = "models")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: ServedSettings,
    /// Make models anew, and keep nothing of them: else a compiled copy of each is kept in the folder of
    /// keys, for the next start
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Address and port; port 0 picks a free one. Addresses that other machines can reach need keys
    /// (`gazelle keys`) or --insecure
    #[arg(long, default_value = "127.0.0.1:7764")]
    pub(crate) listen: String,
    /// Clients served at once; others stand in line. One client gets all places but one: one
    /// certificate, or without TLS one address, unless it is this machine's own
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = at_least_one)]
    pub(crate) sessions: usize,
    /// Memory that all sessions together may be predicted to take; who does not fit stands in line
    #[arg(long, default_value_t = 4096, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub(crate) memory: u64,
    /// How long a client may stand in line, told its place, before it is told that the server is busy
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=86400))]
    pub(crate) wait: u64,
    /// Connections of one address (IPv6: of a network of 64 bits) that may fail each second before their client is
    /// known, and 256 at once; the next ones wait up to 4 seconds, or are closed. 0: any number
    #[arg(long, default_value_t = FAILURES_PER_SECOND, value_name = "N", value_parser = clap::value_parser!(u32).range(..=1000))]
    pub(crate) failures_per_second: u32,
    /// Let setups and offline phases give way to online ones: their threads are nicer by so much, to other programs
    /// as well (Linux)
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=19))]
    pub(crate) offline_nice: u8,
    /// Serve one client, then stop
    #[arg(long)]
    pub(crate) once: bool,
    /// Seconds that one phase may wait for the client, a second more per 8 KiB that moves
    #[arg(long, default_value_t = 120, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,
    /// How long running inferences may go on after SIGTERM or SIGINT; a second signal ends them
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=86400))]
    pub(crate) drain: u64,
    /// Where inferences are counted (default: quota.redb in the folder of keys)
    #[arg(long, value_name = "FILE")]
    pub(crate) quota_file: Option<PathBuf>,
    /// Keep setups in this folder, so that clients of before need no new one after a restart (without,
    /// they are kept in memory), and material that clients make ahead. What lies there is sealed with the
    /// key of the TLS identity, or the passphrase in `GAZELLE_PASSPHRASE`
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// Material in --store at most
    #[arg(long, value_name = "MIB", default_value_t = 16384, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub(crate) store_mib: u64,
    /// Material of one certificate in --store at most (default: a quarter of --store-mib)
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub(crate) store_client_mib: Option<u64>,
    /// Serve metrics for Prometheus, /healthz and /readyz by HTTP on this address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<String>,
    /// Write who asked what, and how it ended, to this file: JSON lines
    #[arg(long, value_name = "FILE")]
    pub(crate) audit: Option<PathBuf>,
    /// What becomes of a client that was caught cheating, by its certificate or address
    #[arg(long, value_enum, default_value_t = OnCheating::Block)]
    pub(crate) on_cheating: OnCheating,
    /// Clients that were caught with `--clients untrusted`, a line each: remove one to serve it again (default:
    /// blocked.tsv in the folder of keys)
    #[arg(long, value_name = "FILE")]
    pub(crate) blocked: Option<PathBuf>,
    /// The audit log is moved away (FILE.1 to FILE.8) before it exceeds this
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub(crate) audit_mib: u64,
    #[command(flatten)]
    pub(crate) web: WebArguments,
    #[command(flatten)]
    pub(crate) link_layer: ServerLink,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnCheating {
    /// It is not served any more (with `--clients untrusted`; else only the session ends)
    Block,
    /// The session ends, and the audit log says why
    Log,
}

impl ServedSettings {
    /// Limits of one client; `exact`: how the model rounds.
    pub(crate) fn quota(&self, exact: bool) -> Quota {
        Quota {
            in_all: self.max_inferences.or((!exact).then_some(LOCAL_INFERENCES)),
            per_day: self.per_day,
            per_minute: self.per_minute,
            bytes_per_day: self.mib_per_day.map(|mib| mib.saturating_mul(1 << 20)),
        }
    }
}

impl Serve {
    /// `--store-mib` and `--store-client-mib` in bytes.
    pub(crate) fn material_bytes(&self) -> MaterialBytes {
        let all = self.store_mib << 20;
        MaterialBytes { all, each: self.store_client_mib.map_or(all / 4, |each| each << 20) }
    }

    /// `--memory` in bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory << 20
    }
}
