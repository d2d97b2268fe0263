//! The check of a claim: right results for all coins and shares, and views that say nothing.
//!
//! For each party, each of its inputs and each value of the coins that it knows, the messages it
//! receives are counted over all coins that it does not know. The counts must be the same for every
//! input of the other party (for the client: every input of which it is told the same): then its
//! whole view, own coins and random OTs included, has a distribution that does not depend on the
//! other's input.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use super::world::{Fault, Party, World};

/// Something that a protocol is said to do.
pub(super) struct Claim {
    pub(super) name: String,
    /// Bits of each party's input.
    pub(super) client_bits: u32,
    pub(super) server_bits: u32,
    /// Values of the coins that the watched party knows: all of them, or so many at random.
    pub(super) own: Own,
    /// What the client is told of both inputs: its view may depend on that, besides its own.
    pub(super) told: fn(u64, u64) -> u64,
    pub(super) run: Run,
}

/// Runs it once, for the client's and the server's input; says whether the result is right.
pub(super) type Run = Box<dyn Fn(&mut World, u64, u64) -> bool>;

/// How much of the coins that the watched party knows is gone through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Own {
    /// All values.
    All,
    /// So many at random for each of its inputs.
    Random(u32),
}

/// What a check went through.
#[derive(Default, Debug)]
pub(super) struct Report {
    pub(super) runs: u64,
    /// Whether every message is uniform whatever the watched party knows.
    pub(super) uniform: bool,
}

/// Why a claim does not hold.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Refuted {
    /// The shares that came out do not add up to the result.
    Wrong(String),
    /// A party's view depends on the other's input.
    Leak(String),
}

impl std::fmt::Display for Refuted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refuted::Wrong(what) => write!(formatter, "wrong result: {what}"),
            Refuted::Leak(what) => write!(formatter, "view depends on the other's input: {what}"),
        }
    }
}

/// Checks `claim` with `fault` in place.
pub(super) fn check(claim: &Claim, fault: Fault) -> Result<Report, Refuted> {
    let mut report = Report { runs: 0, uniform: true };
    for eyes in [Party::Client, Party::Server] {
        watch(claim, fault, eyes, &mut report)?;
    }
    Ok(report)
}

/// Coins, messages and random OTs of one run of `claim`.
pub(super) fn size(claim: &Claim) -> (u32, u32, u32) {
    let mut world = World::new(Party::Client, Fault::None, 0, 0);
    (claim.run)(&mut world, 0, 0);
    (world.coins, world.messages, world.rots)
}

fn watch(claim: &Claim, fault: Fault, eyes: Party, report: &mut Report) -> Result<(), Refuted> {
    let mut empty = World::new(eyes, fault, 0, 0);
    (claim.run)(&mut empty, 0, 0);
    let (mine, others) = match eyes {
        Party::Client => (claim.client_bits, claim.server_bits),
        Party::Server => (claim.server_bits, claim.client_bits),
    };
    let values = match claim.own {
        Own::All => 1u64 << empty.own_bits,
        Own::Random(values) => u64::from(values),
    };
    let mut counts = vec![0u32; 1 << empty.heard_bits];
    for input in 0..1u64 << mine {
        for value in 0..values {
            let own = match claim.own {
                Own::All => u128::from(value),
                Own::Random(_) => random() & ((1u128 << empty.own_bits) - 1),
            };
            // The counts of the first input of the other for everything that may be told.
            let mut expected: BTreeMap<u64, (u64, Vec<u32>)> = BTreeMap::new();
            for other in 0..1u64 << others {
                let (client, server, told) = match eyes {
                    Party::Client => (input, other, (claim.told)(input, other)),
                    Party::Server => (other, input, 0),
                };
                counts.fill(0);
                for hidden in 0..1u128 << empty.hidden_bits {
                    let mut world = World::new(eyes, fault, own, hidden);
                    let right = (claim.run)(&mut world, client, server);
                    if !right {
                        return Err(Refuted::Wrong(format!(
                            "{}: client {client:#b}, server {server:#b}, {eyes:?}'s coins \
                             {own:#b}, the rest {hidden:#b}",
                            claim.name
                        )));
                    }
                    let place = usize::try_from(world.heard).ok();
                    if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
                        *count += 1;
                    }
                }
                report.runs += 1 << empty.hidden_bits;
                report.uniform &= counts.iter().all(|&count| Some(&count) == counts.first());
                let (first, same) = expected.entry(told).or_insert_with(|| (other, counts.clone()));
                if counts != *same {
                    return Err(Refuted::Leak(format!(
                        "{}: {eyes:?} with input {input:#b} and coins {own:#b} tells {other:#b} \
                         from {first:#b}",
                        claim.name
                    )));
                }
            }
        }
    }
    Ok(())
}

/// Random bits, of the quality that choosing test cases asks for.
pub(super) fn random() -> u128 {
    let half = || u128::from(RandomState::new().hash_one(0u8));
    half() << 64 | half()
}
