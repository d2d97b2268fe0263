//! Whether an input is like those that a network's ranges were taken from: three figures of a whole
//! input, which say when it is of another kind (a negative, noise, an empty picture) although every
//! element of it lies in the range.

use gazelle_share::TensorShape;
use serde::{Deserialize, Serialize};

/// What calibration inputs showed of each figure, and some more: `[least, largest]`. Public.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Likeness {
    /// Of all elements.
    mean: [f32; 2],
    /// Of an element from the mean.
    deviation: [f32; 2],
    /// Mean distance of neighbours in a row.
    roughness: [f32; 2],
}

/// Fewer inputs say too little.
const LEAST_INPUTS: usize = 4;

impl Likeness {
    /// Of inputs like these; nothing of fewer than four.
    ///
    /// Beyond what n inputs showed, another lies with probability `2 / (n + 1)`: the margin on either
    /// side is `4 / sqrt(n)` of the width, at least an eighth, at most all of it.
    pub fn of(inputs: &[Vec<f32>], shape: TensorShape) -> Option<Self> {
        if inputs.len() < LEAST_INPUTS {
            return None;
        }
        let all: Vec<[f32; 3]> = inputs.iter().map(|input| figures(input, shape)).collect();
        let share = (4.0 / (inputs.len() as f32).sqrt()).clamp(0.125, 1.0);
        let ends = |of: fn(&[f32; 3]) -> f32| {
            let low = all.iter().map(of).fold(f32::INFINITY, f32::min);
            let high = all.iter().map(of).fold(f32::NEG_INFINITY, f32::max);
            // Inputs that are all alike still leave room for rounding.
            let more = share * (high - low) + 1e-3 * high.abs();
            [low - more, high + more]
        };
        let found =
            Self { mean: ends(|f| f[0]), deviation: ends(|f| f[1]), roughness: ends(|f| f[2]) };
        found.is_sound().then_some(found)
    }

    /// Whether an input's figures lie in these ranges.
    pub fn admits(&self, input: &[f32], shape: TensorShape) -> bool {
        let [mean, deviation, roughness] = figures(input, shape);
        let inside = |[low, high]: [f32; 2], x: f32| (low..=high).contains(&x);
        inside(self.mean, mean)
            && inside(self.deviation, deviation)
            && inside(self.roughness, roughness)
    }

    pub(crate) fn is_sound(&self) -> bool {
        let ends = [self.mean, self.deviation, self.roughness];
        ends.iter().all(|[low, high]| low.is_finite() && high.is_finite() && low <= high)
    }
}

/// Mean, deviation, roughness.
fn figures(input: &[f32], shape: TensorShape) -> [f32; 3] {
    let count = input.len().max(1) as f64;
    let mean = input.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
    let variance = input.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / count;
    let rows = input.chunks(shape.width.max(1));
    let steps = rows.flat_map(|row| row.iter().zip(row.iter().skip(1)));
    let distance: f64 = steps.map(|(a, b)| f64::from((b - a).abs())).sum();
    let pairs = (input.len() / shape.width.max(1)) * shape.width.saturating_sub(1);
    [mean as f32, variance.sqrt() as f32, (distance / pairs.max(1) as f64) as f32]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: TensorShape = TensorShape { channels: 1, height: 16, width: 16 };

    /// A bright disc on a dark ground.
    fn disc(radius: f32, at: f32) -> Vec<f32> {
        let pixel = |i: usize| {
            let (y, x) = ((i / 16) as f32 - at, (i % 16) as f32 - 8.0);
            if (y * y + x * x).sqrt() < radius { 0.9 } else { 0.05 }
        };
        (0..256).map(pixel).collect()
    }

    #[test]
    fn known_answer_negatives_noise_and_empty_pictures_are_of_another_kind() {
        let seen: Vec<Vec<f32>> =
            (0..20).map(|i| disc(2.0 + (i % 5) as f32 * 0.5, 6.0 + (i % 3) as f32)).collect();
        let likeness = Likeness::of(&seen, SHAPE).unwrap();
        assert!(seen.iter().all(|input| likeness.admits(input, SHAPE)));
        assert!(likeness.admits(&disc(3.2, 9.0), SHAPE));
        let negative: Vec<f32> = seen[0].iter().map(|x| 1.0 - x).collect();
        let noise: Vec<f32> = (0..256).map(|i| (i * 7919 % 256) as f32 / 255.0).collect();
        for other in [negative, noise, vec![0.0; 256], vec![1.0; 256]] {
            assert!(!likeness.admits(&other, SHAPE));
        }
        assert_eq!(Likeness::of(&seen[..3], SHAPE), None);
    }
}
