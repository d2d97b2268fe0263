//! Bare bits, cheapest trees and the faithful ReLU once more, by another hand.
//!
//! The author of this file wrote neither `crates/convert` nor the other programs in `views`, and had
//! seen neither when it was written: docs/protocol.md, 5.2, 5.6, 5.8 and 5.9 alone. It shares no line
//! with either. Where `views` goes from parts to wholes by induction, this one runs whole trees and
//! whole `ReLU`s: for every share of both parties the result is right, and for either party's coins and
//! share what it receives, offline and online together, has one distribution over *all* of the
//! other's coins, whatever the other's share. (A party's output is a function of what it holds and
//! receives.) Where a party's own coins are too many to go through, some are spread evenly.
//!
//! It also rebuilds the trees from the recursion and holds the traffic of whole `ReLU`s, counted bit by
//! bit as it is sent, against the tables of 5.5 and 5.9; and every random OT that is used twice on
//! purpose must be reported.

#![expect(
    clippy::indexing_slicing,
    reason = "what is received has as many bits as in the first run"
)]

mod coins;
mod protocol;
mod shape;

use crate::Failure;
use coins::{Run, Side, Traffic, bit, ones};
use protocol::{Known, Pair, Relu, carry, plain_relu, relu};
use shape::{Tree, ceil_log2, cheapest};

/// One run on both parties' shares; whether the result is right.
type Protocol = dyn Fn(&mut Run, Pair) -> bool;

/// Something to check, on shares of `width` bits.
struct Claim {
    name: String,
    width: u32,
    run: Box<Protocol>,
    effort: Effort,
}

/// How many of a party's own coins and shares and of the other's shares are gone through; all hidden
/// coins always are.
#[derive(Clone, Copy)]
struct Effort {
    own: u64,
    shares: u64,
    others: u64,
}

const ALL: Effort = Effort { own: 1 << 16, shares: 1 << 16, others: 1 << 16 };

pub(super) fn check() -> Result<(), Failure> {
    shapes()?;
    traffic()?;
    let some = |own, shares, others| Effort { own, shares, others };
    let one = || Tree::Leaf(1);
    let small = [
        trees(&one(), ALL),
        trees(&Tree::Leaf(2), some(64, 4, 4)),
        trees(&over(one(), one()), ALL),
        trees(&over(Tree::Bare, one()), ALL),
    ];
    let large = [
        trees(&over(Tree::Bare, over(Tree::Bare, one())), some(32, 8, 8)),
        trees(&tree(3, 1, false)?, some(32, 8, 8)),
        trees(&tree(4, 2, false)?, some(2, 8, 8)),
    ];
    let relus = [
        relu_claim(&whole(2, 1, 3, 0)?, some(8, 8, 8)),
        relu_claim(&whole(4, 1, 5, 0)?, some(1, 1, 2)),
    ];
    let mut runs = 0;
    for claim in small.iter().chain(&large).flatten().chain(&relus) {
        runs += views(claim, claim.effort, None)?;
    }
    let mut right = 0;
    for n in 1..=7 {
        for more in 0..=1 {
            for claim in trees(&tree(n, least(n) + more, false)?, ALL) {
                right += results(&claim, 1 << 14)?;
            }
        }
    }
    for (b, dropped) in [(2, 1), (3, 2), (4, 3), (6, 2), (8, 6), (12, 9), (12, 10)] {
        for more in 0..=1 {
            right += results(&relu_claim(&whole(b, dropped, b + 8, more)?, ALL), 1 << 14)?;
        }
    }
    let mut broken = 0;
    for claim in small.iter().chain(&large[..2]).flatten().chain(&relus[..1]) {
        broken += repeats(claim)?;
    }
    println!(
        "by another hand: {runs} runs of whole trees and ReLUs, {right} results more, \
         {broken} random OTs used twice and reported"
    );
    Ok(())
}

fn over(high: Tree, low: Tree) -> Tree {
    Tree::Merge(Box::new(high), Box::new(low))
}

/// Levels that pairs of two-bit leaves need.
fn least(n: u32) -> u32 {
    ceil_log2(n.div_ceil(2))
}

/// The cheapest tree of at most `levels` levels.
fn tree(n: u32, levels: u32, keeps_p: bool) -> Result<Tree, Failure> {
    cheapest(n, levels, keeps_p).ok_or_else(|| format!("no tree over {n} bits").into())
}

/// The carry of a tree, without p and with it, the client's share known offline and not.
fn trees(tree: &Tree, effort: Effort) -> [Claim; 4] {
    let (ahead, online) = (Known::Ahead, Known::OnlineOnly);
    [(ahead, false), (ahead, true), (online, false), (online, true)].map(|(known, keeps_p)| {
        let (name, tree) =
            (format!("carry {}, p kept: {keeps_p}, {known:?}", tree.text()), tree.clone());
        let n = tree.bits();
        let run = move |run: &mut Run, [c, s]: Pair| {
            let node = carry(run, &tree, [c, s], known, keeps_p);
            let (g, p) = (node.g[0] ^ node.g[1], node.p[0] ^ node.p[1]);
            g == bit(c + s, n) && (!keeps_p || p == u64::from(c ^ s == ones(n)))
        };
        Claim { name, width: n, run: Box::new(run), effort }
    })
}

/// A faithful ReLU with its cheapest trees, both of at most `more` levels above what the wider one
/// needs with two-bit leaves.
fn whole(b: u32, dropped: u32, l: u32, more: u32) -> Result<Relu, Failure> {
    let levels = least(dropped).max(least(b - 1)) + more;
    Ok(Relu { b, dropped, l, low: tree(dropped, levels, false)?, high: tree(b - 1, levels, true)? })
}

fn relu_claim(shape: &Relu, effort: Effort) -> Claim {
    let Relu { b, dropped, l, .. } = *shape;
    let shape = shape.clone();
    let run = move |run: &mut Run, [c, s]: Pair| {
        let out = relu(run, &shape, [c, s]);
        let x = c.wrapping_add(s) & ones(b + dropped);
        out[0].wrapping_add(out[1]) & ones(l) == plain_relu(b, dropped, x)
    };
    Claim {
        name: format!("ReLU ({b}, {dropped}, {l})"),
        width: b + dropped,
        run: Box::new(run),
        effort,
    }
}

/// `count` values of `bits` bits: all of them if they are no more, else evenly spread ones.
fn spread(bits: u32, count: u64) -> Vec<u128> {
    if bits < 64 && 1 << bits <= count {
        return (0..1 << bits).collect();
    }
    (1..=u128::from(count)).map(|i| i.wrapping_mul(GOLDEN) >> (128 - bits)).collect()
}

/// 2^128 divided by the golden ratio, odd.
const GOLDEN: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

/// Shares in the order `[client's, server's]`.
fn pair(watcher: Side, own: u64, other: u64) -> Pair {
    if watcher == Side::Client { [own, other] } else { [other, own] }
}

/// Results and either party's views; the number of runs.
fn views(claim: &Claim, effort: Effort, repeat: Option<u32>) -> Result<u64, String> {
    let mut runs = 0;
    for watcher in [Side::Client, Side::Server] {
        let mut first = Run::new(watcher, 0, 0, repeat);
        (claim.run)(&mut first, [0, 0]);
        for own in spread(first.own_bits, effort.own) {
            for share in spread(claim.width, effort.shares) {
                let mut expected: Option<Vec<u32>> = None;
                for other in spread(claim.width, effort.others) {
                    let shares = pair(watcher, share as u64, other as u64);
                    let mut seen = vec![0u32; 1 << first.received_bits];
                    for hidden in 0..1u128 << first.hidden_bits {
                        let mut run = Run::new(watcher, own, hidden, repeat);
                        if !(claim.run)(&mut run, shares) {
                            return Err(format!("{}: wrong for {shares:?}", claim.name));
                        }
                        seen[run.received as usize] += 1;
                        runs += 1;
                    }
                    if *expected.get_or_insert_with(|| seen.clone()) != seen {
                        return Err(format!("{}: {watcher:?} tells {shares:?}", claim.name));
                    }
                }
            }
        }
    }
    Ok(runs)
}

/// Results alone, for all shares if they are no more than `count`, at coins that are all different.
fn results(claim: &Claim, count: u64) -> Result<u64, Failure> {
    let mut runs = 0;
    for word in spread(2 * claim.width, count) {
        let shares = [word as u64 & ones(claim.width), (word >> claim.width) as u64];
        let coins = (word + 1).wrapping_mul(GOLDEN);
        let mut run = Run::new(Side::Client, coins, coins.swap_bytes() ^ coins, None);
        if !(claim.run)(&mut run, shares) {
            return Err(format!("{}: wrong for {shares:?}", claim.name).into());
        }
        runs += 1;
    }
    Ok(runs)
}

/// Every random OT is replaced by an earlier one: each time a result or a view must be wrong.
fn repeats(claim: &Claim) -> Result<u32, Failure> {
    let mut broken = 0;
    let mut first = Run::new(Side::Client, 0, 0, None);
    (claim.run)(&mut first, [0, 0]);
    for number in 0..first.traffic.rots.iter().sum() {
        let mut run = Run::new(Side::Client, 0, 0, Some(number));
        (claim.run)(&mut run, [0, 0]);
        if !run.repeated {
            continue;
        }
        broken += 1;
        if views(claim, Effort { own: 16, shares: 4, others: 4 }, Some(number)).is_ok() {
            return Err(format!("{}: OT {number} used twice goes unnoticed", claim.name).into());
        }
    }
    Ok(broken)
}

/// The trees that the page names, and what it says of all of them.
fn shapes() -> Result<(), Failure> {
    for (levels, text) in [(3, "((1 2) ((1 2) (1 2)))"), (4, "(1 ((1 (1 2)) (1 (1 2))))")] {
        let found = tree(9, levels, false)?.text();
        if found != text {
            return Err(format!("tree over 9 bits: {found}, not {text}").into());
        }
    }
    Ok(())
}

/// A whole ReLU's traffic and trips against the tables.
fn traffic() -> Result<(), Failure> {
    // (b, T, l), levels above the least, from C and from S: offline, online, OTs; trips.
    let table = [
        ((12, 9, 20), 1, [10, 39], [72, 62], [15, 27], 8),
        ((12, 10, 20), 1, [10, 39], [75, 65], [16, 28], 8),
        ((8, 6, 14), 0, [10, 33], [43, 39], [8, 20], 6),
    ];
    for ((b, dropped, l), more, offline, online, rots, trips) in table {
        let shape = whole(b, dropped, l, more)?;
        let mut run = Run::new(Side::Client, 0, 0, None);
        relu(&mut run, &shape, [0, 0]);
        let expected = Traffic { offline, online, rots };
        if run.traffic != expected || shape.trips() != trips {
            let (found, name) = (run.traffic, (b, dropped, l));
            return Err(format!("ReLU {name:?}: {found:?}, {} trips", shape.trips()).into());
        }
    }
    // 5.5: a tree of the least height, then selection and extension with re-sharing.
    for (b, l, bits, rots) in [(12, 20, 74 + 44, 23), (17, 37, 110 + 85, 33)] {
        let cost = tree(b - 1, least(b - 1), false)?.cost(false);
        let found = (cost.0 + 2 * b + 2 + (l - b) + 2 + l, cost.1 + 3);
        if found != (bits, rots) {
            return Err(format!("plain ReLU ({b}, {l}): {found:?}").into());
        }
    }
    Ok(())
}
