//! Benchmarks of `gazelle-convert`: what the boolean backend does besides OT, one core.

use gazelle_block::hash::HashSeed;
use gazelle_block::{BitVec, Block, Delta};
use gazelle_convert::{ClientShare, Correlated, Known, Operation, Planes, Relu, Rots, yao};
use gazelle_prg::{Prg, Seed};
use rand_core::Rng;

use crate::Outcome;
use crate::limits::Limit;
use crate::measure::Bench;

const LANES: usize = 4096;

/// Runs the suite.
pub(crate) fn run(bench: &mut Bench) -> Outcome {
    let mut rng = Prg::new(&Seed::from_bytes([5; 16]), 1);
    let words: Vec<u64> = (0..LANES).map(|_| rng.next_u64()).collect();
    let items = LANES as u64;
    let bytes = Some((Limit::CopiedBytes, 8.0));
    bench.time("convert/to-planes/bits=12", items, bytes, || Planes::from_words(&words, 12))?;
    let planes = Planes::from_words(&words, 12);
    bench.time("convert/from-planes/bits=12", items, bytes, || planes.to_words())?;

    // Both parties' beginning of a ReLU: all hashing and all correlations.
    let relu = Relu::new(12, ClientShare::Offline);
    let (down, up) = relu.rots();
    let hash = HashSeed::new(&Seed::random(&mut rng));
    let delta = Delta::random(&mut rng);
    let mut y = vec![Block::ZERO; down.max(up) * LANES];
    Block::fill_random(&mut y, &mut rng);
    let choices = BitVec::random(y.len(), &mut rng);
    let ots = |count: usize| Correlated { blocks: y.split_at(count * LANES).0, tweak: 0 };
    let hashes =
        |sent: usize, received: usize| Some((Limit::AesBlocks, (2 * sent + received) as f64));
    bench.time("convert/relu-client/b=12", items, hashes(up, down), || {
        let mut rots = Rots::new([&hash; 2], (ots(up), delta.block()), (ots(down), &choices));
        rots.set_lanes(LANES);
        relu.client(&mut rots, Known { operand: &words, mask: &[] }).corrections
    })?;
    let mut coins = Prg::new(&Seed::random(&mut rng), 2);
    bench.time("convert/relu-server/b=12", items, hashes(down, up), || {
        let mut rots = Rots::new([&hash; 2], (ots(down), delta.block()), (ots(up), &choices));
        rots.set_lanes(LANES);
        relu.server(&mut rots, &mut coins).corrections
    })?;

    let blocks = Some((Limit::CopiedBytes, 16.0));
    y.truncate(LANES);
    let choices = BitVec::random(LANES, &mut rng);
    let mut labels = y;
    bench.time("convert/a2y/active-labels", items, blocks, || {
        yao::active_labels(&mut labels, &choices, &delta);
    })?;
    bench.time("convert/y2a/colours", items, blocks, || yao::colours(&labels))
}
