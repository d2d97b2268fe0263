//! The sessions in which steps run, each on the backend that it was compiled for.
//!
//! Both backends share the OT session in which the server is the sender; the other direction is set
//! up only if some step runs on GMW.
//!
//! | client ([`StepsClient`]) | server ([`StepsServer`]) |
//! |---|---|
//! | `set_up`: OT receiver; for GMW the hash seed before it, and OT sender | OT sender; hash seed, OT receiver |
//! | `announce`, `prepare`: the [offline phase](crate::offline) of all steps at once | the same |
//! | `online`: that of the step's backend | the same |
//! | `online_wave`: garbled steps one after the other, then those by OT side by side | the same |

mod client;
mod server;

use std::ops::Range;

use gazelle_garble::GarblingScheme;
use gazelle_ot::OtExtension;
use gazelle_share::step::StepOutput;
use gazelle_share::{Misuse, NonlinearTraffic, OnlineSteps, ProtocolError, Step, StepCost};
use gazelle_wire::Cost;

pub(crate) use client::StepsClient;
pub(crate) use server::StepsServer;

use crate::garbled::check::check_traffic;
use crate::garbled::cost::{step_traffic, table_traffic};
use crate::garbled::program::GarbledStep;
use crate::gmw::plan::GmwStep;
use crate::offline::plan::StepRef;
use crate::ot_session::{down_cost, made_at_setup, setup_traffic};

/// A step, compiled for its backend.
#[derive(Debug)]
pub(crate) enum CompiledStep {
    Garbled(GarbledStep),
    Gmw(GmwStep),
}

impl CompiledStep {
    /// The name of its backend.
    pub(crate) fn backend(&self) -> &'static str {
        match self {
            Self::Garbled(_) => "garbled",
            Self::Gmw(_) => "gmw",
        }
    }
}

/// All steps, each compiled for its backend.
#[derive(Debug)]
pub struct CompiledSteps {
    pub(crate) steps: Vec<CompiledStep>,
    /// Whether the client's labels and colours are checked; all steps are garbled and exact then.
    checked: bool,
}

impl CompiledSteps {
    /// Compiles each step by `compile`, which gets its number.
    ///
    /// # Errors
    /// Those of `compile`.
    pub(crate) fn new(
        steps: &[Step],
        compile: impl Fn(usize, &Step) -> Result<CompiledStep, ProtocolError>,
    ) -> Result<Self, ProtocolError> {
        let steps = steps.iter().enumerate().map(|(index, step)| compile(index, step));
        Ok(Self::unchecked(steps.collect::<Result<_, _>>()?))
    }

    /// Of these, for clients that are trusted.
    pub(crate) fn unchecked(steps: Vec<CompiledStep>) -> Self {
        Self { steps, checked: false }
    }

    /// All steps garbled, the client's labels and colours checked.
    ///
    /// # Errors
    /// [`ProtocolError::Plan`] if a step rounds locally, or cannot be garbled, or the last one does not reveal.
    pub(crate) fn checked(steps: &[Step]) -> Result<Self, ProtocolError> {
        let garbled = Self::new(steps, |index, step| {
            if step.rounding.is_local() {
                let why =
                    format!("non-linear step {index} rounds locally: its client is not checked");
                return Err(ProtocolError::Plan(why));
            }
            GarbledStep::new(index, step).map(CompiledStep::Garbled)
        })?;
        if steps.last().is_none_or(|step| step.output != StepOutput::Reveal) {
            // What the colours say is compared before a reveal.
            let why = "the last step does not reveal: its client's colours would not be checked";
            return Err(ProtocolError::Plan(why.into()));
        }
        Ok(Self { checked: true, ..garbled })
    }

    /// The name of a step's backend.
    pub(crate) fn backend(&self, step: usize) -> &'static str {
        // optional: a name for a report, of a step that the caller counted
        self.steps.get(step).map_or("garbled", CompiledStep::backend)
    }

    /// What setup and each step move, offline and online, in a session that has prepared `earlier` inferences.
    pub(crate) fn traffic<O: OtExtension, S: GarblingScheme>(
        &self,
        ot: &O,
        scheme: &S,
        earlier: usize,
    ) -> NonlinearTraffic {
        let by_step = |made: &mut (usize, usize)| -> (Vec<Cost>, Vec<Cost>) {
            let cost = |step: &CompiledStep| match step {
                CompiledStep::Garbled(step) => step_traffic(ot, scheme, step, &mut made.0),
                CompiledStep::Gmw(step) => step.traffic(ot, made),
            };
            self.steps.iter().map(cost).unzip()
        };
        let mut made = if self.uses_gmw() { made_at_setup(ot) } else { (0, 0) };
        let begun = made;
        let (mut offline, mut online) = by_step(&mut made);
        if earlier > 0 {
            // What an OT costs depends on how many there were.
            let more = |begun: usize, made: usize| begun + earlier * (made - begun);
            made = (more(begun.0, made.0), more(begun.1, made.1));
            offline = by_step(&mut made).0;
        }
        let mut kept_back = Cost::default();
        if self.checked {
            let tables = self.steps.iter().filter_map(|step| match step {
                CompiledStep::Garbled(step) => Some(table_traffic(scheme, step)),
                CompiledStep::Gmw(_) => None,
            });
            kept_back = tables.sum();
            let reveals = self.steps.iter().map(|step| match step {
                CompiledStep::Garbled(step) => step.mask_bits == 0,
                CompiledStep::Gmw(_) => false,
            });
            for (cost, check) in online.iter_mut().zip(check_traffic(reveals)) {
                *cost += check;
            }
        }
        let setup = if self.uses_gmw() { setup_traffic(ot) } else { down_cost(ot.setup_traffic()) };
        NonlinearTraffic { setup, offline, online, kept_back }
    }

    fn refs(&self, steps: Range<usize>) -> Result<Vec<StepRef<'_>>, ProtocolError> {
        let step = |step| match self.step(step)? {
            CompiledStep::Garbled(step) if self.checked => Ok(StepRef::Checked(step)),
            CompiledStep::Garbled(step) => Ok(StepRef::Garbled(step)),
            CompiledStep::Gmw(step) => Ok(StepRef::Gmw(step)),
        };
        steps.map(step).collect()
    }

    fn uses_gmw(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, CompiledStep::Gmw(_)))
    }

    fn step(&self, index: usize) -> Result<&CompiledStep, ProtocolError> {
        self.steps.get(index).ok_or_else(|| Misuse::Step(index).into())
    }
}

/// A wave's results by place: those of steps that have run alone, the others' once they have run side by side.
struct SplitWave<R, W> {
    results: Vec<Option<(R, StepCost)>>,
    /// What the others run with, and their places.
    waiting: Vec<W>,
    places: Vec<usize>,
}

impl<R, W> Default for SplitWave<R, W> {
    fn default() -> Self {
        Self { results: Vec::new(), waiting: Vec::new(), places: Vec::new() }
    }
}

impl<R, W> SplitWave<R, W> {
    /// The next step has run.
    fn done(&mut self, result: R, cost: StepCost) {
        self.results.push(Some((result, cost)));
    }

    /// The next step is to run beside others.
    fn wait(&mut self, step: W) {
        self.places.push(self.results.len());
        self.results.push(None);
        self.waiting.push(step);
    }

    /// Runs what waits.
    fn finish(
        self,
        run: impl FnOnce(Vec<W>) -> Result<OnlineSteps<R>, ProtocolError>,
    ) -> Result<OnlineSteps<R>, ProtocolError> {
        let Self { mut results, waiting, places } = self;
        if !waiting.is_empty() {
            for (place, result) in places.into_iter().zip(run(waiting)?) {
                if let Some(slot) = results.get_mut(place) {
                    *slot = Some(result);
                }
            }
        }
        let missing = || ProtocolError::Defect("a step of a wave gave nothing");
        results.into_iter().map(|result| result.ok_or_else(missing)).collect()
    }
}

/// The error of who audits steps that are not checked.
fn unchecked() -> ProtocolError {
    Misuse::Unplanned("audit").into()
}

/// The error of who prepares in a session that has no OTs.
fn no_setup() -> ProtocolError {
    Misuse::Unplanned("preparation without a setup").into()
}
