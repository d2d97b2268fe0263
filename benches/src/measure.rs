//! Measuring and recording figures.
//!
//! ```ignore
//! pub(crate) fn run(bench: &mut Bench) -> Outcome {
//!     // A kernel of 2^20 items, whose limit is 4 AES blocks per item:
//!     bench.time("garble/and/lanes=4096/half-gates", 1 << 20, Some((Limit::AesBlocks, 4.0)), || kernel())?;
//!     // Something measured by hand (two parties, phases):
//!     if bench.wants("ot/extend/2^20/iknp") {
//!         bench.record(Measurement { bytes: 16 << 20, ..Measurement::new(id, items, &seconds) })?;
//!     }
//!     Ok(())
//! }
//! ```

use std::time::Instant;

use gazelle_model::RoundingMode;
use serde::Serialize;

use crate::Outcome;
use crate::limits::{Limit, Limits};
use crate::machine;
use crate::report::Report;

/// A simulated link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Link {
    /// Pipes in memory.
    Memory,
    /// 3 Gbit/s, 0.3 ms round trip.
    Lan,
    /// 400 Mbit/s, 40 ms round trip.
    Wan,
}

impl Link {
    /// The name used in ids.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Lan => "lan",
            Self::Wan => "wan",
        }
    }

    /// The link itself, simulated in this process.
    pub(crate) fn shaped(self) -> gazelle_wire::Link {
        match self {
            Self::Memory => gazelle_wire::Link::MEMORY,
            Self::Lan => gazelle_wire::Link::LAN,
            Self::Wan => gazelle_wire::Link::WAN,
        }
    }
}

/// One figure; the JSON line of product.md.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measurement {
    /// `layer/operation/parameters/implementation`.
    pub(crate) id: String,
    /// Median of all repetitions, in seconds.
    pub(crate) median_s: f64,
    /// Median distance from the median.
    pub(crate) mad_s: f64,
    /// Median per item, in nanoseconds.
    pub(crate) per_item_ns: f64,
    /// Items per repetition.
    pub(crate) items: u64,
    /// Bytes on the wire, both directions together, headers included.
    pub(crate) bytes: u64,
    /// Turns at this party.
    pub(crate) turns: u64,
    /// Largest resident set of the process so far.
    pub(crate) peak_rss_bytes: u64,
    /// The kernel that bounds this figure, measured in the same run.
    pub(crate) limit: Option<&'static str>,
    /// Measured time over the limit's time: 1 is at the limit, 2 is twice as slow.
    pub(crate) ratio_to_limit: Option<f64>,
    /// `client`, `server` or `both`.
    pub(crate) party: &'static str,
    /// `setup`, `offline`, `online` or `whole`.
    pub(crate) phase: &'static str,
}

impl Measurement {
    /// A figure from the seconds of each repetition; `party` is `both`, `phase` is `whole`, no
    /// traffic and no limit until the caller says otherwise.
    pub(crate) fn new(id: impl Into<String>, items: u64, seconds: &[f64]) -> Self {
        let median_s = median(seconds);
        let distances: Vec<f64> = seconds.iter().map(|s| (s - median_s).abs()).collect();
        Self {
            id: id.into(),
            median_s,
            mad_s: median(&distances),
            per_item_ns: median_s * 1e9 / items.max(1) as f64,
            items,
            bytes: 0,
            turns: 0,
            peak_rss_bytes: machine::peak_rss_bytes(),
            limit: None,
            ratio_to_limit: None,
            party: "both",
            phase: "whole",
        }
    }

    /// States the limit: `per_item` units of `limit` (whose unit takes `unit_ns`) for each item.
    #[must_use]
    pub(crate) fn against(mut self, limit: Limit, per_item: f64, unit_ns: f64) -> Self {
        self.limit = Some(limit.name());
        self.ratio_to_limit = Some(self.per_item_ns / (per_item * unit_ns));
        self
    }
}

/// What the command line asks for.
pub(crate) struct Selection {
    /// Only ids that contain this.
    pub(crate) filter: Option<String>,
    /// Only this link.
    pub(crate) link: Option<Link>,
    /// Only this network.
    pub(crate) model: Option<String>,
    /// Figures by layer.
    pub(crate) layers: bool,
    /// How networks round.
    pub(crate) rounding: RoundingMode,
    /// Seconds spent on repeating each figure.
    pub(crate) seconds: f64,
    /// Whether times are predicted by measured prices.
    pub(crate) calibrate: bool,
}

/// What a suite is given: filters, limits and the place for its figures.
pub(crate) struct Bench {
    report: Report,
    selection: Selection,
    limits: Limits,
}

impl Bench {
    pub(crate) fn new(report: Report, selection: Selection) -> Self {
        Self { report, selection, limits: Limits::default() }
    }

    fn filter(&self) -> Option<&str> {
        self.selection.filter.as_deref()
    }

    /// Whether the filter lets this id through.
    pub(crate) fn wants(&self, id: &str) -> bool {
        self.filter().is_none_or(|filter| id.contains(filter))
    }

    /// Whether the filter may let an id through that begins with `prefix` and goes on with one of
    /// `tails` (and perhaps further).
    pub(crate) fn wants_any(&self, prefix: &str, tails: &[&str]) -> bool {
        let Some(filter) = self.filter() else { return true };
        tails.iter().any(|tail| {
            let id = format!("{prefix}/{tail}");
            let starts = id.match_indices('/').map(|(at, _)| at + 1).chain([0]);
            // The filter may go on beyond what is known of the id.
            id.contains(filter)
                || starts
                    .filter_map(|at| id.get(at..).filter(|rest| rest.contains('/')))
                    .any(|rest| filter.starts_with(rest))
        })
    }

    /// Whether the filter names this.
    pub(crate) fn filter_contains(&self, what: &str) -> bool {
        self.filter().is_some_and(|filter| filter.contains(what))
    }

    /// Whether figures by layer are wanted.
    pub(crate) fn wants_layers(&self) -> bool {
        self.selection.layers || self.names_model() || self.filter_contains("layer/")
    }

    /// Whether `--model` names one network.
    pub(crate) fn names_model(&self) -> bool {
        self.selection.model.is_some()
    }

    /// Whether times are predicted by prices that this run measured.
    pub(crate) fn calibrates(&self) -> bool {
        self.selection.calibrate
    }

    /// How networks round.
    pub(crate) fn rounding(&self) -> RoundingMode {
        self.selection.rounding
    }

    /// The links to measure on.
    pub(crate) fn links(&self) -> Vec<Link> {
        self.selection
            .link
            .map_or_else(|| vec![Link::Memory, Link::Lan, Link::Wan], |link| vec![link])
    }

    /// Whether `--model` lets this network through.
    pub(crate) fn wants_model(&self, name: &str) -> bool {
        self.selection.model.as_deref().is_none_or(|model| model == name)
    }

    /// Seconds that one unit's repetitions may take (at least three are made).
    pub(crate) fn seconds(&self) -> f64 {
        self.selection.seconds
    }

    /// Nanoseconds per unit of a limit, measured once per run and printed then.
    pub(crate) fn limit_ns(&mut self, limit: Limit) -> Result<f64, Box<dyn std::error::Error>> {
        self.limits.unit_ns(limit, &mut self.report)
    }

    /// Times `work` (after one warm-up), `items` items each time; `limit` is a limit and how many
    /// of its units one item takes. Does nothing if the filter says no.
    pub(crate) fn time<T>(
        &mut self,
        id: &str,
        items: u64,
        limit: Option<(Limit, f64)>,
        work: impl FnMut() -> T,
    ) -> Outcome {
        if !self.wants(id) {
            return Ok(());
        }
        let seconds = repeat(self.selection.seconds, work);
        let mut figure = Measurement::new(id, items, &seconds);
        if let Some((limit, per_item)) = limit {
            figure = figure.against(limit, per_item, self.limit_ns(limit)?);
        }
        self.record(&figure)
    }

    /// Writes a figure.
    pub(crate) fn record(&mut self, figure: &Measurement) -> Outcome {
        self.report.line(figure)
    }
}

/// Seconds of each repetition of `work`: one warm-up, then at least three and until `budget_s` is
/// used up.
pub(crate) fn repeat<T>(budget_s: f64, mut work: impl FnMut() -> T) -> Vec<f64> {
    std::hint::black_box(work());
    let begin = Instant::now();
    let mut seconds = Vec::new();
    while seconds.len() < 3 || (begin.elapsed().as_secs_f64() < budget_s && seconds.len() < 10_000)
    {
        let start = Instant::now();
        std::hint::black_box(work());
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds
}

/// The median; 0 of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.get(middle.wrapping_sub(1))) {
        (Some(high), Some(low)) if sorted.len().is_multiple_of(2) => f64::midpoint(*low, *high),
        (Some(value), _) => *value,
        _ => 0.0,
    }
}
