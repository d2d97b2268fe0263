//! Two base OTs of one key out of four, docs/protocol.md 7.1: right, silent, and what a lie changes.
//!
//! Written from that text by a reviewer of the change that brought it, who had read the crate but
//! copies nothing of it. Goes through all halves of one bit. That suffices: strings and differences
//! are XORs of bits at one place in their halves, and halves of keys that the receiver lacks are
//! uniform and independent (that is the KDF's part), so that longer ones are so many copies of this.

use std::collections::BTreeMap;

/// The choices (`c_0`, `c_1`), each 0 or 1.
type Choices = (u32, u32);

const CHOICES: [Choices; 4] = [(0, 0), (0, 1), (1, 0), (1, 1)];

/// The differences, by their place in what the sender says; and where a wrong one changes a string:
/// of which OT, and for which choices. It does so nowhere else.
const LIES: [(u32, Ot, Choices); 4] = [
    (0, Ot::First, (0, 1)),
    (1, Ot::First, (1, 1)),
    (2, Ot::Second, (1, 0)),
    (3, Ot::Second, (1, 1)),
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ot {
    First,
    Second,
}

/// What is broken on purpose, to see that it is reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Broken {
    /// Nothing.
    Nothing,
    /// Both OTs are made of the same half: b = a.
    SharedHalves,
    /// This difference arrives as 0.
    Lost(u32),
}

/// The halves of all four keys: bit 2 x + y of `a` is `a_xy`, of `b` it is `b_xy`.
#[derive(Clone, Copy, Debug)]
struct Halves {
    a: u32,
    b: u32,
}

impl Halves {
    fn all(broken: Broken) -> impl Iterator<Item = Halves> {
        (0..1 << 8).map(|bits| (bits >> 4, bits & 15)).filter_map(move |(a, b)| {
            let usable = broken != Broken::SharedHalves || a == b;
            usable.then_some(Halves { a, b })
        })
    }

    /// `d_0`, `d_1`, `e_0`, `e_1`, the first one lowest.
    fn said(self, broken: Broken) -> u32 {
        let d = |x| at(self.a, x, 0) ^ at(self.a, x, 1);
        let e = |y| at(self.b, 0, y) ^ at(self.b, 1, y);
        let said = d(0) | d(1) << 1 | e(0) << 2 | e(1) << 3;
        match broken {
            Broken::Lost(difference) => said & !(1 << difference),
            _ => said,
        }
    }

    /// What the receiver has of the one key that it can open.
    fn opened(self, (c0, c1): Choices) -> (u32, u32) {
        (at(self.a, c0, c1), at(self.b, c0, c1))
    }

    /// The sender's string of either OT: one of `a_00`, `a_10`, and one of `b_00`, `b_01`.
    fn strings(self, (first, second): Choices) -> (u32, u32) {
        (at(self.a, first, 0), at(self.b, 0, second))
    }
}

/// The receiver's strings. That of the first OT lies in the row `c_0` of a, where `d_{c_0}` leads from
/// the half that it has to the other one; that of the second in the column `c_1` of b.
fn receive((c0, c1): Choices, (a, b): (u32, u32), said: u32) -> (u32, u32) {
    let first = if c1 == 0 { a } else { a ^ bit(said, c0) };
    let second = if c0 == 0 { b } else { b ^ bit(said, 2 + c1) };
    (first, second)
}

/// Cases gone through; what went wrong as an error.
pub(super) fn check() -> Result<u32, String> {
    let mut cases = 0;
    for choices in CHOICES {
        cases += right(choices, Broken::Nothing)? + silent(choices, Broken::Nothing)?;
        for lie in LIES {
            cases += changes(choices, lie)?;
        }
        if silent(choices, Broken::SharedHalves).is_ok() {
            return Err(format!("base OTs, {choices:?}: one half for both OTs is not reported"));
        }
    }
    for (difference, _, choices) in LIES {
        if right(choices, Broken::Lost(difference)).is_ok() {
            return Err(format!("base OTs: difference {difference} can be lost unnoticed"));
        }
    }
    Ok(cases)
}

/// The receiver has the strings of its choices.
fn right(choices: Choices, broken: Broken) -> Result<u32, String> {
    let mut cases = 0;
    for halves in Halves::all(broken) {
        let got = receive(choices, halves.opened(choices), halves.said(broken));
        if got != halves.strings(choices) {
            return Err(format!("base OTs: wrong strings for {choices:?} and {halves:?}"));
        }
        cases += 1;
    }
    Ok(cases)
}

/// Whatever the receiver sees, the other strings of both OTs have all four values equally often.
fn silent((c0, c1): Choices, broken: Broken) -> Result<u32, String> {
    let mut cases = 0;
    let mut others = BTreeMap::<_, BTreeMap<_, u32>>::new();
    for halves in Halves::all(broken) {
        let view = (halves.opened((c0, c1)), halves.said(broken));
        *others.entry(view).or_default().entry(halves.strings((1 - c0, 1 - c1))).or_default() += 1;
        cases += 1;
    }
    for (view, counts) in others {
        let same = counts.values().all(|count| Some(count) == counts.values().next());
        if counts.len() != 4 || !same {
            return Err(format!("base OTs, choices {c0}, {c1}: {view:?} tells of other strings"));
        }
    }
    Ok(cases)
}

/// A sender that flips one difference changes a string where `LIES` says, always, and nowhere else.
fn changes(choices: Choices, (difference, ot, meets): (u32, Ot, Choices)) -> Result<u32, String> {
    let mut cases = 0;
    for halves in Halves::all(Broken::Nothing) {
        let said = halves.said(Broken::Nothing) ^ 1 << difference;
        let (got, own) = (receive(choices, halves.opened(choices), said), halves.strings(choices));
        let changed = (got.0 != own.0, got.1 != own.1);
        let met = choices == meets;
        if changed != (met && ot == Ot::First, met && ot == Ot::Second) {
            return Err(format!(
                "base OTs: difference {difference}, flipped, changes {changed:?} for {choices:?}"
            ));
        }
        cases += 1;
    }
    Ok(cases)
}

fn at(bits: u32, x: u32, y: u32) -> u32 {
    bit(bits, 2 * x + y)
}

fn bit(bits: u32, index: u32) -> u32 {
    bits >> index & 1
}
