//! What a step costs on a backend: for planners.

use gazelle_garble::GarblingScheme;
use gazelle_ot::OtExtension;
use gazelle_share::{ProtocolError, Step};
use gazelle_wire::Cost;

use crate::garbled::check::own_check_traffic;
use crate::garbled::cost::step_traffic;
use crate::garbled::program::GarbledStep;
use crate::gmw::chain::Variant;
use crate::gmw::plan::GmwStep;
use crate::gmw::schedule::Trip;
use crate::per_layer::{PerLayer, StepChoice};

/// Counts of one inference's step, in a session that has made OTs before: what a session begins with is no
/// step's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Price {
    /// Bytes offline, headers and the OT extension included.
    pub offline: Cost,
    /// Bytes online, headers included.
    pub online: Cost,
    /// One-way messages online.
    pub trips: usize,
    /// The first of them is the client's.
    pub client_first: bool,
    /// Messages that each of them is cut into, which go through the trips one by one.
    pub pieces: usize,
    /// AND gates garbled.
    pub and_gates: usize,
    /// Correlated OTs, S to C and C to S.
    pub rots: (usize, usize),
}

impl Price {
    /// The price of steps by OT that run side by side: sums, but for the trips, which they share.
    #[must_use]
    pub fn together(steps: &[Self]) -> Self {
        let client_first = steps.iter().all(|step| step.client_first);
        let mut all = Self { client_first, ..Self::default() };
        for step in steps {
            all.offline += step.offline;
            all.online += step.online;
            all.pieces += step.pieces;
            all.and_gates += step.and_gates;
            all.rots = (all.rots.0 + step.rots.0, all.rots.1 + step.rots.1);
            // A step's trips alternate: who comes second waits for one trip and no other.
            let waits = usize::from(step.client_first && !client_first);
            all.trips = all.trips.max(waits + step.trips);
        }
        all
    }
}

impl<O: OtExtension, S: GarblingScheme> PerLayer<O, S> {
    /// The price of `step` on a backend; a checked one as one of several ([`StepChoice::Auto`]: GMW where it computes the step).
    ///
    /// # Errors
    /// [`ProtocolError::Plan`] if the backend does not compute the step.
    pub fn prices(&self, step: &Step, choice: StepChoice) -> Result<Price, ProtocolError> {
        let begun = self.ot.base_count() + 1;
        let gmw = |variant| -> Result<Price, ProtocolError> {
            let step = GmwStep::new(0, step, variant)?;
            let (offline, online) = step.traffic(&self.ot, &mut (begun, begun));
            let pairs = step.chunks.iter().map(|chunk| step.rots(chunk));
            let rots = pairs.fold((0, 0), |(a, b), (x, y)| (a + x, b + y));
            let (trips, pieces) = (step.trips.len(), step.pieces().count());
            let client_first = matches!(step.trips.first(), Some(Trip::Up(_)));
            Ok(Price { offline, online, trips, client_first, pieces, and_gates: 0, rots })
        };
        match choice {
            StepChoice::Gmw => gmw(Variant::FewBits),
            StepChoice::GmwFewTrips => gmw(Variant::FewTrips),
            StepChoice::Garbled | StepChoice::Checked => {
                let step = GarbledStep::new(0, step)?;
                let mut made = begun;
                let (offline, mut online) = step_traffic(&self.ot, &self.scheme, &step, &mut made);
                let mut trips = if step.mask_bits > 0 { 2 } else { 1 };
                if choice == StepChoice::Checked {
                    // The seed of the colours' check goes with the next labels; the sum takes a round trip.
                    let reveals = step.mask_bits == 0;
                    online += own_check_traffic(reveals);
                    trips += if reveals { 2 } else { 0 };
                }
                let and_gates = step.and_count();
                let rots = (made - begun, 0);
                let client_first = false;
                Ok(Price { offline, online, trips, client_first, pieces: 1, and_gates, rots })
            }
            StepChoice::Auto => {
                gmw(Variant::preferred(step)).or_else(|_| self.prices(step, StepChoice::Garbled))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gazelle_garble::HalfGates;
    use gazelle_ot::IdealOt;
    use gazelle_share::step::{StepFunction, StepOutput};
    use gazelle_share::{NonlinearProtocol, Pads, Rounding, TensorShape, Window};

    use super::*;
    use crate::gmw::schedule;

    /// What the colours say would be compared with nothing.
    #[test]
    fn adversarial_checked_steps_that_end_in_no_reveal_are_refused() {
        let relu = Step {
            function: StepFunction::Relu,
            input: TensorShape::vector(10),
            input_bits: 23,
            truncate_bits: 8,
            rounding: Rounding::Exact { guard_bits: 3 },
            value_bits: 12,
            sum_pool: None,
            output: StepOutput::Masked { bits: 23 },
        };
        let choices = vec![StepChoice::Checked].into();
        let protocol = PerLayer { ot: IdealOt, scheme: HalfGates::default(), choices };
        let reveal = Step { output: StepOutput::Reveal, ..relu.clone() };
        assert!(protocol.compile(vec![relu.clone(), reveal.clone()].into()).is_ok());
        for steps in [vec![], vec![relu.clone()], vec![reveal, relu]] {
            let refused = protocol.compile(steps.into()).unwrap_err().to_string();
            assert!(refused.contains("does not reveal"), "{refused}");
        }
    }

    /// Steps of different lengths, and a re-sharing that the client begins.
    #[test]
    fn properties_trips_together_are_those_of_the_schedule() {
        let step = |function, value_bits, input_bits, bits| Step {
            function,
            input: TensorShape::new(1, 6, 6),
            input_bits,
            truncate_bits: 4,
            rounding: Rounding::Local,
            value_bits,
            sum_pool: None,
            output: StepOutput::Masked { bits },
        };
        let window = Window { kernel: [3; 2], stride: [2; 2], pads: Pads::default() };
        let pool = StepFunction::MaxPool { window, relu: true };
        let steps = [
            step(StepFunction::Relu, 12, 20, 20),
            step(pool, 12, 20, 20),
            step(StepFunction::Rescale, 12, 20, 20),
            step(StepFunction::Rescale, 12, 20, 16),
        ];
        let protocol = PerLayer::auto(IdealOt, HalfGates::default());
        let price = |step: &Step| protocol.prices(step, StepChoice::Gmw).unwrap();
        let compiled =
            steps.each_ref().map(|step| GmwStep::new(0, step, Variant::FewBits).unwrap());
        let prices = steps.each_ref().map(price);
        let begins: Vec<bool> = prices.iter().map(|price| price.client_first).collect();
        assert_eq!(begins, [false, false, false, true]);
        for some in 1..1 << steps.len() {
            let here = || (0..steps.len()).filter(|step| some >> step & 1 == 1);
            let trips: Vec<&[Trip]> = here().map(|step| &compiled[step].trips[..]).collect();
            let apart: Vec<Price> = here().map(|step| prices[step]).collect();
            let all = Price::together(&apart);
            assert_eq!(all.trips, schedule::together(&trips).len());
            assert_eq!(all.client_first, apart.iter().all(|price| price.client_first));
            let bytes: u64 = apart.iter().map(|price| price.online.total()).sum();
            assert_eq!(all.online.total(), bytes);
        }
    }

    #[test]
    fn known_answer_prices_of_relu_on_both_backends() {
        let relu = Step {
            function: StepFunction::Relu,
            input: TensorShape::vector(100),
            input_bits: 20,
            truncate_bits: 8,
            rounding: Rounding::Local,
            value_bits: 12,
            sum_pool: None,
            output: StepOutput::Masked { bits: 20 },
        };
        let protocol = PerLayer::auto(IdealOt, HalfGates::default());
        let gmw = protocol.prices(&relu, StepChoice::Gmw).unwrap();
        assert_eq!((gmw.trips, gmw.and_gates, gmw.rots), (6, 0, (1600, 700)));
        let garbled = protocol.prices(&relu, StepChoice::Garbled).unwrap();
        assert_eq!((garbled.trips, garbled.and_gates, garbled.rots), (2, 4100, (3200, 0)));
        assert_eq!(protocol.prices(&relu, StepChoice::Auto).unwrap(), gmw);
        // What two checked steps say of their colours: a seed, then the sum before the reveal.
        let price = |step: &Step, choice| protocol.prices(step, choice).unwrap();
        let checked = price(&relu, StepChoice::Checked);
        assert_eq!(checked.online.total(), garbled.online.total() + 24);
        assert_eq!((checked.trips, checked.offline), (2, garbled.offline));
        let reveal = Step { output: StepOutput::Reveal, ..relu };
        let (plain, checked) =
            (price(&reveal, StepChoice::Garbled), price(&reveal, StepChoice::Checked));
        assert_eq!(checked.online.total(), plain.online.total() + 24);
        assert_eq!((checked.trips, plain.trips), (3, 1));
        assert!(protocol.prices(&reveal, StepChoice::Gmw).is_err());
        assert_eq!(protocol.prices(&reveal, StepChoice::Auto).unwrap().trips, 1);
    }
}
