//! The declared range of a model's input, which every input is checked against: a network's ranges
//! hold for no other inputs.

use std::borrow::Cow;

use gazelle_share::{TensorShape, plain};
use serde::{Deserialize, Serialize};

use crate::error::ModelError;

/// Least and largest element of an input tensor, for all its elements alike or channel by channel.
/// Public.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InputRange {
    /// `[low, high]`; one, or one per channel.
    ends: Vec<[f32; 2]>,
}

/// What becomes of an input that leaves the declared range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfRange {
    /// It is an error that names the element and the range, but no value.
    Refuse,
    /// Elements are moved to the nearer end of the range.
    Clamp,
}

/// Where a declared range comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RangeSource {
    /// model.toml: its `range`, or what bytes become by its `scale`, `mean` and `std`.
    Given,
    /// What calibration inputs showed, and some more.
    Calibration,
    /// Nobody said anything: what bytes over 255 are.
    Assumed,
}

impl InputRange {
    /// One range for all elements.
    pub fn uniform(low: f32, high: f32) -> Self {
        Self { ends: vec![[low, high]] }
    }

    /// From `[low, high]`, one for all or one per channel.
    ///
    /// # Errors
    /// [`ModelError::Description`] if there are none, or ends that are not finite or not in order.
    pub fn new(ends: Vec<[f32; 2]>) -> Result<Self, ModelError> {
        let range = Self { ends };
        range.check_ends()?;
        Ok(range)
    }

    /// Whether it can be the range of an input of so many channels.
    ///
    /// # Errors
    /// [`ModelError::Description`] if not.
    pub(crate) fn check_for(&self, channels: usize) -> Result<(), ModelError> {
        self.check_ends()?;
        if self.ends.len() != 1 && self.ends.len() != channels {
            let given = self.ends.len();
            let why = format!("{given} input ranges for {channels} channels");
            return Err(ModelError::Description(why));
        }
        Ok(())
    }

    fn check_ends(&self) -> Result<(), ModelError> {
        let sound = |[low, high]: &[f32; 2]| low.is_finite() && high.is_finite() && low <= high;
        if self.ends.is_empty() || !self.ends.iter().all(sound) {
            let why = "an input range must be [low, high], or one such pair per channel";
            return Err(ModelError::Description(why.into()));
        }
        Ok(())
    }

    /// The largest size of a channel's elements.
    pub(crate) fn size(&self, channel: usize) -> f64 {
        let (low, high) = self.of(channel);
        f64::from(low.abs().max(high.abs()))
    }

    /// The range of a channel.
    ///
    /// # Panics
    /// If the range is for fewer channels.
    #[expect(clippy::indexing_slicing, reason = "`check_for`")]
    pub fn of(&self, channel: usize) -> (f32, f32) {
        let [low, high] = match self.ends.as_slice() {
            [all] => *all,
            ends => ends[channel],
        };
        (low, high)
    }

    /// The least range that holds all channels'.
    pub(crate) fn widest(&self) -> (f32, f32) {
        let start = (f32::INFINITY, f32::NEG_INFINITY);
        self.ends.iter().fold(start, |(low, high), ends| (low.min(ends[0]), high.max(ends[1])))
    }

    /// The least range that holds both.
    #[must_use]
    pub(crate) fn union(&self, other: &Self) -> Self {
        let channels = self.ends.len().max(other.ends.len());
        let both = (0..channels).map(|channel| {
            let (a, b) = (self.of(channel), other.of(channel));
            [a.0.min(b.0), a.1.max(b.1)]
        });
        Self { ends: both.collect() }
    }

    /// The input as it may be encoded.
    ///
    /// # Errors
    /// [`ModelError::OutOfRange`] with the first element that lies outside, if such are refused;
    /// [`ModelError::Input`] for what is not a number.
    pub(crate) fn admit<'a>(
        &self,
        input: &'a [f32],
        shape: TensorShape,
        outside: OutOfRange,
    ) -> Result<Cow<'a, [f32]>, ModelError> {
        let plane = (shape.height * shape.width).max(1);
        let ends = |at: usize| self.of(at / plane);
        let leaves = |(at, x): (usize, &f32)| {
            let (low, high) = ends(at);
            !(low..=high).contains(x)
        };
        let Some(at) = input.iter().enumerate().position(leaves) else {
            return Ok(Cow::Borrowed(input));
        };
        if outside == OutOfRange::Refuse {
            let (low, high) = ends(at);
            return Err(ModelError::OutOfRange { element: at, low, high });
        }
        if let Some(at) = input.iter().position(|x| x.is_nan()) {
            return Err(ModelError::Input(format!("element {at} is not a number")));
        }
        let clamped = input.iter().enumerate().map(|(at, x)| {
            let (low, high) = ends(at);
            x.clamp(low, high)
        });
        Ok(Cow::Owned(clamped.collect()))
    }

    /// What inputs showed; nothing without inputs. Channel by channel for features of a table that
    /// differ in size by more than 4, else for all alike.
    pub(crate) fn observed(inputs: &[Vec<f32>], shape: TensorShape) -> Option<Self> {
        let plane = (shape.height * shape.width).max(1);
        let start = [f32::INFINITY, f32::NEG_INFINITY];
        let mut ends = vec![start; shape.channels];
        for input in inputs {
            for ([low, high], values) in ends.iter_mut().zip(input.chunks(plane)) {
                let (least, most) = least_and_most(values);
                // Zeros have no sign: which of two comes first depends on the processor.
                (*low, *high) = (low.min(least) + 0.0, high.max(most) + 0.0);
            }
        }
        let observed = Self::new(ends).ok()?;
        let sizes = || observed.ends.iter().map(|[low, high]| low.abs().max(high.abs()));
        let alike = sizes().fold(f32::INFINITY, f32::min) * 4.0 > sizes().fold(0.0, f32::max);
        if plane > 1 || alike {
            let (low, high) = observed.widest();
            return Some(Self::uniform(low, high));
        }
        Some(observed)
    }

    /// [`observed`](Self::observed) and some more on either side: the fewer elements were seen, the
    /// more.
    pub(crate) fn likely(inputs: &[Vec<f32>], shape: TensorShape) -> Option<Self> {
        let mut range = Self::observed(inputs, shape)?;
        let count = inputs.iter().map(Vec::len).sum::<usize>() / range.ends.len().max(1);
        let share = (SEEN / (count.max(1) as f32).sqrt()).clamp(LEAST_SHARE, MOST_SHARE);
        for [low, high] in &mut range.ends {
            let width = *high - *low;
            // Inputs that are all alike tell nothing about how far others go.
            let more = if width > 0.0 { share * width } else { low.abs().max(1.0) };
            (*low, *high) = ((*low - more).max(f32::MIN), (*high + more).min(f32::MAX));
        }
        Some(range)
    }

    /// The range widened by the least margin: for ends that are known, up to rounding.
    #[must_use]
    pub(crate) fn with_slack(mut self) -> Self {
        for [low, high] in &mut self.ends {
            let more = LEAST_SHARE * (*high - *low);
            (*low, *high) = (*low - more, *high + more);
        }
        self
    }

    /// Whether calibration inputs stay within this range.
    ///
    /// # Errors
    /// [`ModelError::Input`] names the first input, as [`admit`](Self::admit) does its element.
    pub(crate) fn admit_all(
        &self,
        inputs: &[Vec<f32>],
        shape: TensorShape,
    ) -> Result<(), ModelError> {
        for (index, input) in inputs.iter().enumerate() {
            self.admit(input, shape, OutOfRange::Refuse).map_err(|error| {
                ModelError::Input(format!("calibration input {index}: {error}"))
            })?;
        }
        Ok(())
    }
}

impl std::fmt::Display for InputRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (low, high) = self.widest();
        write!(f, "{low} to {high}")?;
        if self.ends.len() > 1 { write!(f, ", channel by channel") } else { Ok(()) }
    }
}

/// An element beyond the range of n elements seen is rare by 1 / n: the margin falls with n.
const SEEN: f32 = 8.0;
/// Of the width, on either side.
const LEAST_SHARE: f32 = 1.0 / 16.0;
/// Of the width, on either side.
const MOST_SHARE: f32 = 2.0;

/// Of values, several at a time; what is not a number counts for nothing.
fn least_and_most(values: &[f32]) -> (f32, f32) {
    const LANES: usize = 16;
    let (mut least, mut most) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
    let (whole, rest) = values.as_chunks::<LANES>();
    plain::widest(|| {
        for values in whole {
            for ((least, most), x) in least.iter_mut().zip(&mut most).zip(values) {
                (*least, *most) = (least.min(*x), most.max(*x));
            }
        }
    });
    let least = least.iter().chain(rest).copied().fold(f32::INFINITY, f32::min);
    (least, most.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer_elements_outside_are_refused_by_index_or_clamped() {
        let range = InputRange::new(vec![[0.0, 1.0], [-2.0, 2.0]]).unwrap();
        let shape = TensorShape::new(2, 1, 2);
        let inside = [0.0, 1.0, -2.0, 2.0];
        assert!(matches!(range.admit(&inside, shape, OutOfRange::Refuse), Ok(Cow::Borrowed(_))));
        let outside = [0.5, 1.0, 1.5, 2.125];
        let error = range.admit(&outside, shape, OutOfRange::Refuse).unwrap_err().to_string();
        assert!(error.contains("element 3") && error.contains("-2 to 2"), "{error}");
        assert!(!error.contains("2.125"), "{error}");
        let clamped = range.admit(&outside, shape, OutOfRange::Clamp).unwrap();
        assert_eq!(clamped.as_ref(), [0.5, 1.0, 1.5, 2.0]);
        let infinite = [f32::NEG_INFINITY, 0.0, 0.0, f32::INFINITY];
        let clamped = range.admit(&infinite, shape, OutOfRange::Clamp).unwrap();
        assert_eq!(clamped.as_ref(), [0.0, 0.0, 0.0, 2.0]);
        for outside in [OutOfRange::Clamp, OutOfRange::Refuse] {
            assert!(range.admit(&[f32::NAN, 0.0, 0.0, 0.0], shape, outside).is_err());
        }
    }

    #[test]
    fn properties_fewer_elements_seen_leave_more_to_spare() {
        let image = TensorShape::new(1, 1, 2);
        let few = InputRange::likely(&[vec![0.0, 1.0]], image).unwrap();
        assert_eq!(few.widest(), (-2.0, 3.0));
        let many = InputRange::likely(&vec![vec![0.0, 1.0]; 100_000], image).unwrap();
        assert_eq!(many.widest(), (-0.0625, 1.0625));
        assert_eq!(InputRange::likely(&[], image), None);
        let alike = InputRange::likely(&[vec![3.0; 2]], image).unwrap();
        assert_eq!(alike.widest(), (0.0, 6.0));
    }

    #[test]
    fn known_answer_features_of_different_size_have_ranges_of_their_own() {
        let table = TensorShape::vector(2);
        let inputs = [vec![1000.0, 0.01], vec![3000.0, 0.02]];
        let range = InputRange::observed(&inputs, table).unwrap();
        assert_eq!((range.of(0), range.of(1)), ((1000.0, 3000.0), (0.01, 0.02)));
        let similar = InputRange::observed(&[vec![1.0, 2.0], vec![3.0, 3.0]], table).unwrap();
        assert_eq!(similar, InputRange::uniform(1.0, 3.0));
    }

    #[test]
    fn adversarial_ranges_that_make_no_sense_are_refused() {
        for ends in [vec![], vec![[1.0, 0.0]], vec![[0.0, f32::INFINITY]], vec![[f32::NAN, 1.0]]] {
            assert!(InputRange::new(ends).is_err());
        }
        let range = InputRange::new(vec![[0.0, 1.0]; 3]).unwrap();
        assert!(range.check_for(3).is_ok() && range.check_for(2).is_err());
        assert!(InputRange::uniform(0.0, 1.0).check_for(2).is_ok());
    }
}
