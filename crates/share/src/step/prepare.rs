//! What is done to a step's input before its function: the offset, the shift, and the reference.

use crate::rounding::Rounding;
use crate::shares::{Shares, ring_mask};
use crate::step::{Step, StepFunction};

impl Step {
    /// Bits T = t + g between the input's lowest bit and v's.
    pub fn dropped_bits(&self) -> u32 {
        self.truncate_bits + self.rounding.guard_bits()
    }

    /// Bits that are dropped only once the shares' low bits have been added: all of them if the step
    /// is exact, and those of [`StepFunction::Round`].
    pub fn carried_bits(&self) -> u32 {
        match (&self.function, self.rounding) {
            (StepFunction::Round, _) | (_, Rounding::Exact { .. }) => self.dropped_bits(),
            (_, Rounding::Local) => 0,
        }
    }

    /// What S adds to its share before anything is dropped, so that the sum is rounded by dropping:
    /// `2^(g-1)` and half a unit of v, if bits of the value are dropped; `2^t - 1` if local.
    fn offset(&self) -> u64 {
        let half = |bits: u32| (1u64 << bits) >> 1;
        let guard = half(self.rounding.guard_bits());
        match (&self.function, self.rounding) {
            (StepFunction::Round, _) | (_, Rounding::Exact { .. }) if self.truncate_bits > 0 => {
                guard + half(self.dropped_bits())
            }
            (StepFunction::Round, _) | (_, Rounding::Exact { .. }) => guard,
            (_, Rounding::Local) => (1u64 << self.truncate_bits) - 1,
        }
    }

    /// v, if the input's shares add up to `x` (signed, guard bits and their error included): the
    /// reference of a step that is exact, and of [`StepFunction::Round`].
    ///
    /// - `x`: within the input's ring, less than [`dropped_bits`](Self::dropped_bits) above its end.
    pub fn rounded(&self, x: i64) -> i64 {
        x.wrapping_add(self.offset() as i64) >> self.dropped_bits()
    }

    /// The client's share as the backends take it, modulo `2^bits`: shifted right by
    /// `truncate_bits`, as an unsigned integer, and reduced; where all bits are carried
    /// ([`carried_bits`](Self::carried_bits)) only reduced.
    ///
    /// Costs nothing on the wire. With [`prepare_server`](Self::prepare_server) it makes, if the
    /// rounding is local, shares of x rounded up or down, for `-2^(l-1) <= x <= 2^(l-1) - 2^t`: with
    /// `y_S = x_S + 2^t - 1`,
    /// `(y_S >> t) + (x_C >> t) = floor((x + 2^t - 1) / 2^t) - carry`, where carry is 1 iff the low
    /// bits of `y_S` and `x_C` overflow; it is as often as the fraction says, if `x_C` is uniform
    /// (protocol.md 5.1).
    #[must_use]
    pub fn prepare_client(&self, share: Shares, bits: u32) -> Shares {
        self.prepare(share, 0, bits)
    }

    /// The server's share as the backends take it, modulo `2^bits`: as the client's, but it adds an
    /// offset first: `2^t - 1` if the rounding is local; else `2^(g-1)` and, where bits of the value are
    /// dropped, half a unit of v.
    #[must_use]
    pub fn prepare_server(&self, share: Shares, bits: u32) -> Shares {
        self.prepare(share, self.offset(), bits)
    }

    fn prepare(&self, share: Shares, offset: u64, bits: u32) -> Shares {
        let ring = ring_mask(share.bits());
        let shift = self.dropped_bits() - self.carried_bits();
        let mut words = share.into_words();
        for word in &mut words {
            *word = (word.wrapping_add(offset) & ring) >> shift;
        }
        Shares::new(bits, words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TensorShape;
    use crate::shares::to_signed;
    use crate::step::StepOutput;

    fn relu() -> Step {
        Step {
            function: StepFunction::Relu,
            input: TensorShape::vector(1),
            input_bits: 20,
            truncate_bits: 8,
            rounding: Rounding::Local,
            value_bits: 12,
            sum_pool: None,
            output: StepOutput::Masked { bits: 20 },
        }
    }

    #[test]
    fn properties_truncation_of_all_sharings_of_one_value_rounds_up_or_down() {
        let step = Step { input_bits: 8, truncate_bits: 3, value_bits: 5, ..relu() };
        for x in -128i64..=127 - 8 {
            for client in 0..256u64 {
                let server = (x as u64).wrapping_sub(client) & 255;
                let [server, client] = [server, client].map(|word| Shares::new(8, vec![word]));
                let sum =
                    step.prepare_server(server, 5).add(&step.prepare_client(client.clone(), 5));
                let v = to_signed(sum.words()[0], 5);
                assert!(v == x >> 3 || v == (x + 7) >> 3, "{x}: {v}");
            }
        }
    }

    #[test]
    fn properties_exact_rounding_is_to_the_nearest_whatever_the_guard_bits_hold() {
        for (g, t) in [(2, 3), (3, 0), (1, 2), (0, 3)] {
            let rounding = Rounding::Exact { guard_bits: g };
            let l = 6 + t + g;
            let step = Step { input_bits: l, truncate_bits: t, value_bits: 5, rounding, ..relu() };
            let nearest = Step { function: StepFunction::Round, ..step.clone() };
            let bound = if g == 0 { 0 } else { (1i64 << (g - 1)) - 1 };
            for y in -(1i64 << (t + 4)) + 1..(1i64 << (t + 4)) - (1 << t) {
                for error in -bound..=bound {
                    let x = (y << g) + error;
                    let v = (y + ((1 << t) >> 1)) >> t;
                    assert_eq!(step.rounded(x), v, "{y} {error}");
                    assert_eq!(nearest.rounded(x), v, "{y} {error}");
                    // As the ideal protocol does it, for one sharing.
                    let client = Shares::new(l, vec![(y as u64).wrapping_mul(0x9e37_79b9)]);
                    let server = Shares::new(l, vec![x as u64]).sub(&client);
                    let sum = step.prepare_client(client, l).add(&step.prepare_server(server, l));
                    assert_eq!(to_signed(sum.words()[0], l) >> step.carried_bits(), v);
                }
            }
        }
    }
}
