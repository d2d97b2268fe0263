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
}
