//! What an offline phase makes and says, unit by unit, and in which order.

#![expect(clippy::indexing_slicing, reason = "chunks are numbered by the step that was compiled")]

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use gazelle_block::TweakCounter;
use gazelle_block::tweak::purpose;
use gazelle_garble::{GarblingScheme, Tweaks};
use gazelle_share::ProtocolError;

use crate::garbled::program::GarbledStep;
use crate::gmw::plan::GmwStep;
use crate::offline::parcel::ParcelShape;

/// OTs, both directions together, that a party makes ahead of its corrections: what a link carries in a
/// round trip of 40 ms at the speed of the processor. At least one unit.
pub(crate) const WINDOW: usize = 5 << 19;

/// A compiled step of either backend.
#[derive(Clone, Copy)]
pub(crate) enum StepRef<'a> {
    Gmw(&'a GmwStep),
    Garbled(&'a GarbledStep),
    /// Garbled when the run is over, if an audit lets it pass.
    Checked(&'a GarbledStep),
}

/// OTs that these steps take, S to C and C to S.
pub(crate) fn ots(steps: &[StepRef<'_>]) -> (usize, usize) {
    steps.iter().fold((0, 0), |sum, step| {
        let (down, up) = match step {
            StepRef::Gmw(step) => step.all_rots(),
            StepRef::Garbled(step) | StepRef::Checked(step) => {
                (step.chunks.iter().map(|chunk| step.ots(chunk)).sum(), 0)
            }
        };
        (sum.0 + down, sum.1 + up)
    })
}

/// OTs that are made together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OtCall {
    /// The step's chunks that they are for.
    pub(crate) chunks: Range<usize>,
    /// How many, and the first one's tweak: from S to C.
    pub(crate) down: (usize, u64),
    /// From C to S.
    pub(crate) up: (usize, u64),
}

/// A part of a step whose corrections travel together.
pub(crate) struct Unit {
    /// The step's place in the run.
    pub(crate) step: usize,
    pub(crate) calls: Vec<OtCall>,
    pub(crate) chunks: Range<usize>,
    /// What the server says of it.
    pub(crate) down: Vec<ParcelShape>,
    /// What the client says of it.
    pub(crate) up: Vec<ParcelShape>,
    /// The server's and the client's corrections by chunk, in bits.
    pub(crate) bits: Vec<(usize, usize)>,
    /// Tweaks of garbling by chunk and stage, single use; none on GMW.
    tweaks: Mutex<Vec<Vec<Tweaks>>>,
}

impl Unit {
    /// Its OTs, both directions.
    pub(crate) fn ots(&self) -> usize {
        self.calls.iter().map(|call| call.down.0 + call.up.0).sum()
    }

    /// Tweaks of garbling by chunk and stage, to be used once.
    pub(crate) fn take_tweaks(&self) -> Vec<Vec<Tweaks>> {
        std::mem::take(&mut self.tweaks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A place in a party's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamPlace {
    /// This party's part of a unit's OTs.
    Ots(usize),
    /// What it says of a unit.
    Parcels(usize),
}

/// All units of a run.
pub(crate) struct RunPlan {
    pub(crate) units: Vec<Unit>,
    /// Chunks by step.
    pub(crate) chunks: Vec<usize>,
    pub(crate) order: Vec<StreamPlace>,
}

/// Reserves tweaks of hashing; none for no OTs.
fn reserve(
    counter: Option<&mut TweakCounter>,
    count: usize,
) -> Result<(usize, u64), ProtocolError> {
    let Some(counter) = counter.filter(|_| count > 0) else { return Ok((count, 0)) };
    let range = counter.reserve(purpose::RANDOM_OT, count as u64);
    Ok((count, range.map_err(ProtocolError::backend)?.start))
}

impl RunPlan {
    /// For these steps; reserves tweaks under the Deltas of both directions, alike at both parties.
    pub(crate) fn new<S: GarblingScheme>(
        steps: &[StepRef<'_>],
        scheme: &S,
        down: &mut TweakCounter,
        mut up: Option<&mut TweakCounter>,
    ) -> Result<Self, ProtocolError> {
        let mut units = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            match step {
                StepRef::Gmw(step) => {
                    for batch in step.batches() {
                        units.push(gmw_unit(index, step, batch, down, up.as_deref_mut())?);
                    }
                }
                StepRef::Garbled(garbled) | StepRef::Checked(garbled) => {
                    for (at, batch) in garbled.batches().enumerate() {
                        let unit = garbled_unit(index, garbled, scheme, (at == 0, batch), down)?;
                        let later = matches!(step, StepRef::Checked(_));
                        units.push(if later { Unit { down: Vec::new(), ..unit } } else { unit });
                    }
                }
            }
        }
        let chunks = steps.iter().map(|step| match step {
            StepRef::Gmw(step) => step.chunks.len(),
            StepRef::Garbled(step) | StepRef::Checked(step) => step.chunks.len(),
        });
        let order = order(&units.iter().map(Unit::ots).collect::<Vec<_>>(), WINDOW);
        Ok(Self { chunks: chunks.collect(), units, order })
    }
}

fn gmw_unit(
    index: usize,
    step: &GmwStep,
    chunks: Range<usize>,
    down: &mut TweakCounter,
    mut up: Option<&mut TweakCounter>,
) -> Result<Unit, ProtocolError> {
    let mut calls = Vec::with_capacity(chunks.len());
    for chunk in chunks.clone() {
        let rots = step.rots(&step.chunks[chunk]);
        calls.push(OtCall {
            chunks: chunk..chunk + 1,
            down: reserve(Some(&mut *down), rots.0)?,
            up: reserve(up.as_deref_mut(), rots.1)?,
        });
    }
    let bits = step.chunks[chunks.clone()].iter().map(|chunk| step.offline_bits(chunk));
    let bits: Vec<(usize, usize)> = bits.collect();
    let shape =
        |count: usize| Vec::from_iter((count > 0).then_some(ParcelShape::Corrections(count)));
    let sum = bits.iter().fold((0, 0), |sum, bits| (sum.0 + bits.0, sum.1 + bits.1));
    let (down, up, tweaks) = (shape(sum.0), shape(sum.1), Mutex::default());
    Ok(Unit { step: index, calls, chunks, down, up, bits, tweaks })
}

fn garbled_unit<S: GarblingScheme>(
    index: usize,
    step: &GarbledStep,
    scheme: &S,
    (first, chunks): (bool, Range<usize>),
    counter: &mut TweakCounter,
) -> Result<Unit, ProtocolError> {
    let (mut bits, mut tweaks) = (Vec::with_capacity(chunks.len()), Vec::new());
    let mut down = Vec::from_iter(first.then_some(ParcelShape::Seed));
    for chunk in &step.chunks[chunks.clone()] {
        bits.push((0, step.ots(chunk)));
        let program = step.program(chunk);
        let reserved = program.stages.iter().map(|stage| {
            let circuit = &step.circuits[stage.circuit];
            Tweaks::reserve(counter, circuit, stage.lanes).map_err(ProtocolError::backend)
        });
        tweaks.push(reserved.collect::<Result<_, _>>()?);
        down.push(ParcelShape::Tables(step.table_len(scheme, program)));
    }
    let count = bits.iter().map(|(_, own)| own).sum();
    // Labels are the OTs' own blocks: nothing is hashed.
    let call = OtCall { chunks: chunks.clone(), down: (count, 0), up: (0, 0) };
    let calls = Vec::from_iter((!chunks.is_empty()).then_some(call));
    let up = Vec::from_iter((!chunks.is_empty()).then_some(ParcelShape::Choices(count)));
    let tweaks = Mutex::new(tweaks);
    Ok(Unit { step: index, calls, chunks, down, up, bits, tweaks })
}

/// The order of both streams: the OTs of unit after unit, and behind them what is said of the units
/// before, so late that at most `window` OTs (or one unit's) are ahead.
pub(crate) fn order(ots: &[usize], window: usize) -> Vec<StreamPlace> {
    let mut order = Vec::with_capacity(2 * ots.len());
    let (mut open, mut ahead) = (VecDeque::new(), 0);
    for (unit, count) in ots.iter().enumerate() {
        while ahead + count > window
            && let Some((first, ots)) = open.pop_front()
        {
            ahead -= ots;
            order.push(StreamPlace::Parcels(first));
        }
        order.push(StreamPlace::Ots(unit));
        ahead += count;
        open.push_back((unit, *count));
    }
    order.extend(open.into_iter().map(|(unit, _)| StreamPlace::Parcels(unit)));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_answer_parcels_follow_their_ots_by_a_window() {
        use StreamPlace::{Ots, Parcels};
        let expected =
            [Ots(0), Ots(1), Parcels(0), Ots(2), Parcels(1), Parcels(2), Ots(3), Parcels(3)];
        assert_eq!(order(&[4, 4, 4, 9], 9), expected);
        assert_eq!(order(&[], 9), []);
    }

    proptest! {
        #[test]
        fn properties_every_unit_comes_once_and_no_more_than_a_window_is_ahead(
            ots in prop::collection::vec(0usize..50, 0..40),
        ) {
            let (mut made, mut said, mut ahead) = (0, 0, 0);
            for place in order(&ots, 60) {
                match place {
                    StreamPlace::Ots(unit) => {
                        prop_assert_eq!(unit, made);
                        made += 1;
                        ahead += ots[unit];
                    }
                    StreamPlace::Parcels(unit) => {
                        prop_assert_eq!(unit, said);
                        prop_assert!(unit < made, "OTs come first");
                        said += 1;
                        ahead -= ots[unit];
                    }
                }
                prop_assert!(ahead <= 60);
            }
            prop_assert_eq!((made, said), (ots.len(), ots.len()));
        }
    }
}
