//! `cargo xtask views`: the non-linear protocols as an independent program, checked for all coins.
//!
//! Written from docs/protocol.md (3.8, 5.2 to 5.9) by someone who had not seen the crates (but for the
//! election and the fused variant, added afterwards), and uses none of them. For small widths it goes
//! through all coins and all shares: results are right, and each party's view (its coins, its random
//! OTs, what it receives) has a distribution that depends on its own input alone.
//!
//! **Why small parts suffice.** Let a protocol call parts one after the other, each with coins and
//! random OTs of its own, each part's inputs being functions of what its party has seen. Whatever
//! has happened before, a part's view given its party's input to it has a distribution that the
//! other's input does not change (checked for *all* inputs, so for every input that the past could
//! have made). By induction over the parts the distribution of the whole view is a product of
//! conditional distributions none of which depends on the other's inputs. Correctness composes
//! because parts are right for all shares of their inputs. Messages may travel in another order, as
//! long as none depends on a later one. So trees of any width, truncation, ReLU, pools and squares
//! follow from leaf, merge, AND, B2A, selection, extension and product.
//!
//! Whole steps of small widths are checked too, over all hidden coins and all shares, with the
//! watched party's own coins at random where there are too many to go through. `trees` does the same
//! for whole trees and `ReLU`s by another hand, in a program that shares nothing with this one.
//! `base_ots` goes through what makes two base OTs of one key out of four (7.1), by its reviewer.

mod base_ots;
mod carry;
mod check;
mod claims;
mod guard;
mod reveal;
mod steps;
#[cfg(test)]
mod tests;
mod trees;
mod words;
mod world;

use std::time::Instant;

use check::{Claim, Refuted};
use world::{Fault, Party, World};

use crate::Failure;

/// Shares that are tried, at most, of a step too wide to go through.
const RUNS: u32 = 50_000;

pub(crate) fn run() -> Result<(), Failure> {
    let parts = claims::parts();
    for claim in parts.iter().chain(&claims::steps()) {
        let start = Instant::now();
        let report = check::check(claim, Fault::None).map_err(|refuted| refuted.to_string())?;
        let messages = if report.uniform { "uniform" } else { "independent" };
        let seconds = start.elapsed().as_secs_f64();
        println!("{}: {} runs, messages {messages}, {seconds:.1} s", claim.name, report.runs);
    }
    for claim in claims::wide() {
        sample(&claim)?;
        println!("{}: right for {RUNS} random shares and coins", claim.name);
    }
    println!("guard bits: {} cases", guard::check()?);
    println!("two base OTs of one key out of four: {} cases", base_ots::check()?);
    let (mut broken, mut missed) = (0, Vec::new());
    for claim in &parts {
        broken += break_one(claim, &mut missed);
    }
    if !missed.is_empty() {
        return Err(format!("broken on purpose and not reported: {}", missed.join("; ")).into());
    }
    println!("{broken} parts broken on purpose, all reported");
    trees::check()
}

/// Runs `claim` with random shares and coins.
fn sample(claim: &Claim) -> Result<(), Failure> {
    for _ in 0..RUNS {
        let inputs = check::random();
        let client = u64::try_from(inputs & ((1 << claim.client_bits) - 1))?;
        let server = u64::try_from(inputs >> 64 & ((1 << claim.server_bits) - 1))?;
        let mut world = World::new(Party::Client, Fault::None, check::random(), check::random());
        if !(claim.run)(&mut world, client, server) {
            return Err(format!("{}: wrong for {client:#b} and {server:#b}", claim.name).into());
        }
    }
    Ok(())
}

/// Breaks `claim` in every single way: a mask that is missing, a random OT that is used twice, a
/// message that is lost. Returns in how many; what the check does not report goes to `missed`.
fn break_one(claim: &Claim, missed: &mut Vec<String>) -> u32 {
    let (coins, messages, rots) = check::size(claim);
    let pairs = (0..rots).flat_map(|second| (0..second).map(move |first| (first, second)));
    let faults: Vec<Fault> = (0..coins)
        .map(Fault::FixedCoin)
        .chain((0..messages).map(Fault::LostMessage))
        .chain(pairs.map(|(first, second)| Fault::SharedRot(first, second)))
        .collect();
    let mut broken = 0;
    for fault in faults {
        broken += 1;
        let expected = match (fault, check::check(claim, fault)) {
            (_, Ok(_)) => false,
            // A missing mask changes no result; a lost message does.
            (Fault::FixedCoin(_), Err(refuted)) => matches!(refuted, Refuted::Leak(_)),
            (Fault::LostMessage(_), Err(refuted)) => matches!(refuted, Refuted::Wrong(_)),
            (_, Err(_)) => true,
        };
        if !expected {
            missed.push(format!("{}: {fault:?}", claim.name));
        }
    }
    broken
}
