//! Who sends which halves of which openings when (protocol.md 5.8).
//!
//! A step is a chain of openings; each has a half of the server's, of the client's, or both. A party
//! makes its half of an opening once it knows all openings before, and sends as much as it can when
//! it is its turn. Turns alternate, the server first; an empty turn is skipped.

#![expect(clippy::indexing_slicing, reason = "`made` counts openings and stays below their number")]

use std::ops::Range;

/// A trip: one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trip {
    /// From the server: its halves of these openings (those that it has).
    Down(Range<usize>),
    /// From the client.
    Up(Range<usize>),
}

/// One party's progress: openings whose own half is made, and whose peer's half is there.
#[derive(Default)]
struct ChainProgress {
    made: usize,
    there: usize,
}

impl ChainProgress {
    /// Makes what can be made; whether that is anything to send.
    fn turn(&mut self, has_half: &[bool]) -> (Range<usize>, bool) {
        let start = self.made;
        while self.made < has_half.len() && (self.there >= self.made || !has_half[self.made]) {
            self.made += 1;
        }
        let any = has_half[start..self.made].contains(&true);
        (start..self.made, any)
    }

    fn receive(&mut self, made: usize, has_half: &[bool]) {
        self.there = self.there.max(made);
        while has_half.get(self.there) == Some(&false) {
            self.there += 1;
        }
    }
}

/// The trips for openings with these halves, `(server, client)`; every opening has at least one.
pub(crate) fn trips(openings: &[(bool, bool)]) -> Vec<Trip> {
    let (down, up): (Vec<bool>, Vec<bool>) = openings.iter().copied().unzip();
    let (mut server, mut client) = (ChainProgress::default(), ChainProgress::default());
    server.receive(0, &up);
    client.receive(0, &down);
    let mut trips = Vec::new();
    // Each round completes at least one opening.
    for _ in 0..=openings.len() {
        let (range, any) = server.turn(&down);
        if any {
            trips.push(Trip::Down(range));
        }
        client.receive(server.made, &down);
        let (range, any) = client.turn(&up);
        if any {
            trips.push(Trip::Up(range));
        }
        server.receive(client.made, &up);
    }
    trips
}

/// The trips of several steps taken together: by trip of all of them, `(step, trip of it)` of those that take one.
///
/// Both directions alternate, the server first if any step begins with it; each step takes its next trip as soon as
/// the direction is its own.
pub(crate) fn together(steps: &[&[Trip]]) -> Vec<Vec<(usize, usize)>> {
    let goes_down = |trip: &Trip| matches!(trip, Trip::Down(_));
    let mut down = steps.iter().filter_map(|trips| trips.first()).any(goes_down);
    let mut taken = vec![0; steps.len()];
    let mut all = Vec::new();
    while steps.iter().zip(&taken).any(|(trips, taken)| *taken < trips.len()) {
        let mut here = Vec::new();
        for (step, (trips, taken)) in steps.iter().zip(&mut taken).enumerate() {
            if trips.get(*taken).is_some_and(|trip| goes_down(trip) == down) {
                here.push((step, *taken));
                *taken += 1;
            }
        }
        if !here.is_empty() {
            all.push(here);
        }
        down = !down;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ReLU's openings: m and V; L merges, D, extension; the re-sharing.
    fn relu(levels: usize) -> Vec<(bool, bool)> {
        let mut openings = vec![(true, false)];
        openings.extend(vec![(true, true); levels + 2]);
        openings.push((false, true));
        openings
    }

    #[test]
    fn known_answer_a_relu_with_three_levels_takes_six_trips() {
        let expected = [
            Trip::Down(0..2),
            Trip::Up(0..3),
            Trip::Down(2..4),
            Trip::Up(3..5),
            Trip::Down(4..7),
            Trip::Up(5..7),
        ];
        assert_eq!(trips(&relu(3)), expected);
    }

    #[test]
    fn properties_trips_are_k_plus_1_or_k_plus_2() {
        for levels in 0..8 {
            let k = levels + 2;
            let expected = if k % 2 == 1 { k + 1 } else { k + 2 };
            assert_eq!(trips(&relu(levels)).len(), expected, "{levels} levels");
        }
    }

    #[test]
    fn properties_a_rescale_takes_two_trips_and_a_bare_re_sharing_one() {
        assert_eq!(trips(&[(true, true), (false, true)]).len(), 2);
        assert_eq!(trips(&[(false, true)]), [Trip::Up(0..1)]);
    }

    #[test]
    fn known_answer_steps_together_take_the_longest_ones_trips() {
        let (relu, rescale) = (trips(&relu(3)), trips(&[(true, true), (false, true)]));
        let share = trips(&[(false, true)]);
        let all = together(&[&relu, &rescale, &share]);
        let expected = [
            vec![(0, 0), (1, 0)],
            vec![(0, 1), (1, 1), (2, 0)],
            vec![(0, 2)],
            vec![(0, 3)],
            vec![(0, 4)],
            vec![(0, 5)],
        ];
        assert_eq!(all, expected);
        // Alone each step keeps its own trips, also one that the client begins.
        assert_eq!(together(&[&share]), [[(0, 0)]]);
        assert_eq!(together(&[&relu]).len(), 6);
        assert!(together(&[]).is_empty());
    }
}
